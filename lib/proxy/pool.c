#include "proxy/pool.h"

#include "base/children.h"
#include "base/clock.h"
#include "base/handover.h"
#include "base/notify.h"
#include "base/program.h"
#include "books/events.h"
#include "keys/narrow.h"
#include "proxy/conn.h"
#include "proxy/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDLER "kmi-handle"
#define IDLE_MS 10000		/* an idle handler is let go after this */
#define CONNECTIONS_MAX 500	/* and after so many connections in any case */
#define TICK_MS 250
#define GROUND_MS 1000		/* between two looks whether handlers would reach other places now */
#define MAKE_ROOM 8		/* handlers asked to finish up a tick, when clients wait at the cap */
#define OTHER_DESCRIPTORS 24	/* the parent's own, and room to accept and to log */
#define OFFER_MS 1000		/* who has not accepted by then is stopped, or worse: another is asked */
#define OFFERS_AT_ONCE 16
#define STOP_MS 2000		/* between telling a handler to stop at once and killing it */
#define DRAIN_SPARE_SECONDS 10	/* what the supervisor gives us beyond the time for draining */

/* What a handler says: it has accepted a connection; it has served one, or found none; that, and that it ends. */
#define SAYS_TAKEN 't'
#define SAYS_IDLE 'i'
#define SAYS_LEAVING 'l'

struct handler {
	pid_t pid;		/* 0: this place is free */
	int channel;
	int connections;
	bool busy, told;	/* told: asked to finish up */
	int offered;		/* the listener that it is to accept from and has not answered about, -1 = none */
	int64_t since_ms;	/* busy or idle since then */
	int below;		/* idle stack: the next one down, -1 = none */
};

struct pool {
	const struct config *config;
	const struct pool_listener *listeners;
	int listener_count;
	int epoll, signals;
	struct handler *handlers;
	int max, count;
	int *free_places, free_count;
	int idle_top;		/* the handler that went idle last, -1 = none */
	int offers[POOL_LISTENERS_MAX];	/* handlers that are to accept from it and have not answered */
	bool accepting, stopping, renewing;
	uint64_t ground;	/* what handlers were narrowed to, as a number */
	int64_t looked_ms;	/* at it */
	int64_t stop_at;	/* when stopping: running answers are cut then */
	sigset_t old_mask;
};

/* What an event is about: a handler, the signals, or (so and below) a listening socket. */
#define EVENT_SIGNAL (-1)
#define EVENT_LISTEN (-2)

static int
watch(struct pool *p, int fd, int what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(int64_t)what };

	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* Once: a connection that waits for a handler to accept it is no news. */
static void
await_client(struct pool *p, int listener, bool yes)
{
	struct epoll_event ev = { .events = yes ? EPOLLIN | EPOLLONESHOT : 0 };

	ev.data.u64 = (uint64_t)(int64_t)(EVENT_LISTEN - listener);
	epoll_ctl(p->epoll, EPOLL_CTL_MOD, p->listeners[listener].fd, &ev);
}

static void
accept_some_more(struct pool *p, bool yes)
{
	if (p->accepting == yes)
		return;
	for (int i = 0; i < p->listener_count; i++)
		await_client(p, i, yes);
	p->accepting = yes;
}

/* ---- offering a connection ---------------------------------------------------------------------------------- */

/*
 * What is passed on is the listening socket, and the handler accepts. So a connection is in the backlog or
 * with the one who serves it, and never with the parent, whose end it would share.
 */
static int
send_offer(int channel, int fd, enum serve_facts facts)
{
	char byte = (char)facts, space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(channel, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* A listening socket to accept from, ours to close, or -1: the parent wants us to go. */
static int
receive_offer(int channel, enum serve_facts *facts)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	*facts = (enum serve_facts)byte;
	return fd;
}

/* ---- a handler ---------------------------------------------------------------------------------------------- */

static void
on_stop_now(int sig)
{
	(void)sig;
	conn_stop_all();
}

/* False: the parent is no more. */
static bool
say(int channel, char what)
{
	return send(channel, &what, 1, MSG_NOSIGNAL) == 1;
}

/* A client, or -1: another handler was quicker, the client has left, or the system has no descriptor to spare for now. */
static int
accept_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && (errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		poll(NULL, 0, TICK_MS);		/* it waits on: the parent would ask again at once */
	close(listener);
	return fd;
}

/* Until it is time to go. One that could not begin (s is NULL) tells its client so, and leaves the next to a fresh one. */
static void
serve_offers(struct serve *s, const struct config *c, int channel)
{
	enum serve_facts facts;
	int listener;

	while ((listener = receive_offer(channel, &facts)) >= 0) {
		int fd = accept_client(listener);
		bool leaving = !s;

		if (fd >= 0) {
			say(channel, SAYS_TAKEN);
			if (s)
				leaving = serve_connection(s, fd, fd, channel, facts);
			else
				serve_unconfigured(c, fd, fd);
			close(fd);
		}
		if (!say(channel, leaving ? SAYS_LEAVING : SAYS_IDLE) || leaving)
			break;
	}
}

/* Everything a handler does, from fork to exit. Signals of the terminal and the supervisor are the parent's business. */
static _Noreturn void
be_handler(struct pool *p, int channel)
{
	struct sigaction stop_now = { .sa_handler = on_stop_now };
	struct fail f = { 0 };
	struct serve s;

	for (int i = 0; i < p->listener_count; i++)
		close(p->listeners[i].fd);
	close(p->epoll);
	close(p->signals);
	for (int i = 0; i < p->max; i++)
		if (p->handlers[i].pid)
			close(p->handlers[i].channel);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGUSR1, &stop_now, NULL);
	sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
	if (serve_open(&s, p->config, &f) == 0) {
		serve_offers(&s, p->config, channel);
		serve_close(&s);
	} else {
		if (event_due(p->config, f.text))
			event_log(p->config, EVENT_ERROR, f.text, NULL);
		serve_offers(NULL, p->config, channel);
	}
	_exit(0);
}

/* ---- the parent's books on its handlers --------------------------------------------------------------------- */

static void
push_idle(struct pool *p, int i)
{
	struct handler *h = &p->handlers[i];

	h->busy = false;
	h->since_ms = clock_mono_ms();
	h->below = p->idle_top;
	p->idle_top = i;
}

static int
pop_idle(struct pool *p)
{
	int i = p->idle_top;

	if (i >= 0)
		p->idle_top = p->handlers[i].below;
	return i;
}

static void
drop_from_idle(struct pool *p, int gone)
{
	for (int *at = &p->idle_top; *at >= 0; at = &p->handlers[*at].below)
		if (*at == gone) {
			*at = p->handlers[gone].below;
			return;
		}
}

/* It has accepted, or will not: who waits there is looked for again. */
static void
settle_offer(struct pool *p, struct handler *h)
{
	int listener = h->offered;

	if (listener < 0)
		return;
	h->offered = -1;
	p->offers[listener]--;
	if (p->accepting)
		await_client(p, listener, true);
}

/* The handler is gone or about to be: closing its channel tells it, and its place is free. waitpid() follows by itself. */
static void
forget(struct pool *p, int i)
{
	struct handler *h = &p->handlers[i];

	if (!h->busy)
		drop_from_idle(p, i);
	settle_offer(p, h);
	/* By itself it is forgotten there only when the last copy is closed, and one just forked has one for a moment. */
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, h->channel, NULL);
	close(h->channel);
	*h = (struct handler){ .channel = -1, .offered = -1, .below = -1 };
	p->free_places[p->free_count++] = i;
	p->count--;
	if (!p->stopping)
		accept_some_more(p, true);
}

/* One that is idle until it gets its first offer. */
static int
fork_handler(struct pool *p)
{
	int pair[2], i;
	pid_t pid;

	if (p->free_count == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (p->count == 0)
		p->ground = narrow_ground(HANDLER, p->config);
	i = p->free_places[p->free_count - 1];
	pid = watch(p, pair[0], i) < 0 ? -1 : fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid == 0) {
		close(pair[0]);
		be_handler(p, pair[1]);
	}
	close(pair[1]);
	p->free_count--;
	p->handlers[i] = (struct handler){ .pid = pid, .channel = pair[0], .offered = -1, .below = -1 };
	p->count++;
	push_idle(p, i);
	return 0;
}

/* The one that went idle last is to accept, else a new one. -1: there is none to be had. */
static int
offer(struct pool *p, int listener)
{
	bool made = false;
	int i;

	while ((i = pop_idle(p)) >= 0 || (!made && (made = fork_handler(p) == 0) && (i = pop_idle(p)) >= 0)) {
		struct handler *h = &p->handlers[i];

		h->busy = true;
		if (send_offer(h->channel, p->listeners[listener].fd, p->listeners[listener].facts) == 0) {
			h->connections++;
			h->since_ms = clock_mono_ms();
			h->offered = listener;
			p->offers[listener]++;
			return 0;
		}
		forget(p, i);	/* it died while idle: the next one */
	}
	return -1;
}

/* How many have connected and not been accepted; of a unix socket it is only known that there are some. */
static int
count_waiting(int listener)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);

	return getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? (int)info.tcpi_unacked : 1;
}

/* A few at a time, so that handlers that become idle meanwhile are seen. */
static void
on_listen(struct pool *p, int listener)
{
	int waiting = count_waiting(p->listeners[listener].fd);

	for (int n = 0; n < OFFERS_AT_ONCE && p->offers[listener] < waiting; n++)
		if (offer(p, listener) < 0) {
			if (p->count < p->max && event_due(p->config, "fork"))
				event_log(p->config, EVENT_ERROR, "a handler could not be started, so clients wait", "reason",
				    strerror(errno), NULL);
			accept_some_more(p, false);	/* the next tick or a leaving handler turns it on again */
			return;
		}
	/* Else the answer to an offer does it. */
	if (p->offers[listener] < waiting || p->offers[listener] == 0)
		await_client(p, listener, true);
}

static void
on_handler(struct pool *p, int i)
{
	struct handler *h = &p->handlers[i];
	ssize_t n;
	char says;

	if (!h->pid)
		return;
	n = recv(h->channel, &says, 1, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;		/* it has this place since another left it, a moment ago */
	if (n == 1 && says == SAYS_TAKEN) {
		settle_offer(p, h);
		return;
	}
	if (n != 1 || says != SAYS_IDLE || h->told || h->connections >= CONNECTIONS_MAX) {
		forget(p, i);
		return;
	}
	settle_offer(p, h);
	push_idle(p, i);
	if (!p->stopping)
		accept_some_more(p, true);
}

static void
finish_up(struct handler *h)
{
	h->told = true;
	/* Any byte will do; the handler ends the connection after the answer in hand. */
	if (send(h->channel, "d", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return;
}

static bool
somebody_waits(const struct pool *p)
{
	struct pollfd waiting[POOL_LISTENERS_MAX];

	for (int i = 0; i < p->listener_count; i++)
		waiting[i] = (struct pollfd){ .fd = p->listeners[i].fd, .events = POLLIN };
	return poll(waiting, (nfds_t)p->listener_count, 0) > 0;
}

/* Clients wait, all handlers are busy: those that have been longest may be idle keep-alive connections. */
static void
make_room(struct pool *p)
{
	if (p->accepting || p->stopping)
		return;
	if (p->count < p->max || p->idle_top >= 0) {
		accept_some_more(p, true);
		return;
	}
	if (!somebody_waits(p))
		return;
	for (int n = 0; n < MAKE_ROOM; n++) {
		struct handler *oldest = NULL;

		for (int i = 0; i < p->max; i++) {
			struct handler *h = &p->handlers[i];

			if (h->pid && h->busy && !h->told && (!oldest || h->since_ms < oldest->since_ms))
				oldest = h;
		}
		if (!oldest)
			return;
		finish_up(oldest);
	}
}

static void
look_after_handlers(struct pool *p)
{
	int64_t now = clock_mono_ms();

	for (int i = 0; i < p->max; i++) {
		struct handler *h = &p->handlers[i];

		if (h->pid && h->offered >= 0 && now - h->since_ms > OFFER_MS)
			settle_offer(p, h);
		if (h->pid && !h->busy && (p->stopping || now - h->since_ms > IDLE_MS))
			forget(p, i);
	}
}

/*
 * Handlers reach the places that there were when they were made. When one was replaced (the folder of keys,
 * the list of name servers), others take over.
 */
static void
follow_ground(struct pool *p)
{
	uint64_t ground;

	if (p->count == 0 || clock_mono_ms() < p->looked_ms + GROUND_MS)
		return;
	p->looked_ms = clock_mono_ms();
	ground = narrow_ground(HANDLER, p->config);
	if (ground == p->ground)
		return;
	p->ground = ground;
	for (int i = 0; i < p->max; i++) {
		struct handler *h = &p->handlers[i];

		if (h->pid && !h->busy)
			forget(p, i);
		else if (h->pid && !h->told)
			finish_up(h);
	}
}

static void
reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

static void
signal_all(const struct pool *p, int sig)
{
	for (int i = 0; i < p->max; i++)
		if (p->handlers[i].pid)
			kill(p->handlers[i].pid, sig);
}

static void
begin_stop(struct pool *p)
{
	char text[80];

	/* However long answers may take here, it is not a hanging stop. */
	snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
	    (p->config->proxy_drain_seconds + DRAIN_SPARE_SECONDS) * 1000000);
	notify_systemd(text);
	p->stopping = true;
	p->stop_at = clock_mono_ms() + p->config->proxy_drain_seconds * 1000;
	accept_some_more(p, false);
	for (int i = 0; i < p->listener_count; i++)
		close(p->listeners[i].fd);
	p->listener_count = 0;
	for (int i = 0; i < p->max; i++)
		if (p->handlers[i].pid && p->handlers[i].busy)
			finish_up(&p->handlers[i]);
	look_after_handlers(p);
}

/* Not with settings that a new image would refuse: better to go on with the old ones. */
static void
begin_renewal(struct pool *p)
{
	struct config fresh;
	struct fail f;

	if (config_load(&fresh, NULL, &f) < 0) {
		program_warn(HANDLER, "the old settings stay: %s", f.text);
		return;
	}
	config_free(&fresh);
	p->renewing = true;
}

/* A successor takes the listening sockets: we end as after SIGTERM, and no client notices. */
static void
hand_over_sockets(struct pool *p)
{
	struct passed sockets[POOL_LISTENERS_MAX] = { 0 };
	int asking;

	for (int i = 0; i < p->listener_count; i++)
		sockets[i].fd = p->listeners[i].fd;
	asking = handover_give(p->config->state_dir, sockets, p->listener_count);
	if (asking < 0)
		return;
	begin_stop(p);
	close(asking);
}

static void
on_signal(struct pool *p)
{
	struct signalfd_siginfo si;

	while (read(p->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap();
		else if (si.ssi_signo == SIGHUP)
			begin_renewal(p);
		else if (si.ssi_signo == SIGUSR2 && !p->stopping)
			hand_over_sockets(p);
		else if (si.ssi_signo != SIGUSR2 && !p->stopping)
			begin_stop(p);
	}
}

static void
loop(struct pool *p)
{
	int64_t next_tick = clock_mono_ms() + TICK_MS, kill_at = 0;

	while (p->stopping ? p->count > 0 : !p->renewing) {
		struct epoll_event ev[64];
		int n = epoll_wait(p->epoll, ev, 64, TICK_MS);

		for (int i = 0; i < n; i++) {
			int64_t what = (int64_t)ev[i].data.u64;

			if (what <= EVENT_LISTEN && p->accepting)
				on_listen(p, (int)(EVENT_LISTEN - what));
			else if (what == EVENT_SIGNAL)
				on_signal(p);
			else if (what >= 0)
				on_handler(p, (int)what);
		}
		if (clock_mono_ms() < next_tick)
			continue;
		next_tick = clock_mono_ms() + TICK_MS;
		look_after_handlers(p);
		make_room(p);
		follow_ground(p);
		if (!p->stopping)
			continue;
		if (clock_mono_ms() >= p->stop_at) {
			/* Out of patience: they end their answers (and book them), then they are killed. */
			kill_at = kill_at ? kill_at : clock_mono_ms() + STOP_MS;
			signal_all(p, clock_mono_ms() >= kill_at ? SIGKILL : SIGUSR1);
		}
	}
}

static bool
all_have_ended(int64_t until)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && clock_mono_ms() < until)
		if (pid == 0)
			poll(NULL, 0, 10);
	return pid < 0;
}

/*
 * Handlers that have said goodbye are writing their books; those of the image before a SIGHUP, of whom only the
 * kernel knows, are still at their answers. They have the same time as the others.
 */
static void
wait_for_the_last(const struct pool *p)
{
	int64_t until = clock_mono_ms() + STOP_MS;

	if (all_have_ended(until < p->stop_at ? p->stop_at : until))
		return;
	children_signal(SIGUSR1);
	if (all_have_ended(clock_mono_ms() + STOP_MS))
		return;
	children_signal(SIGKILL);
	all_have_ended(clock_mono_ms() + STOP_MS);
}

/*
 * A channel a handler: the usual soft limit of 1,024 descriptors is a little too low for as many of them. Returns
 * how many there is room for; with fewer than wanted the cap is what makes idle connections give way.
 */
static int
make_descriptors(int handlers)
{
	rlim_t want = (rlim_t)handlers + OTHER_DESCRIPTORS;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= want)
		return handlers;
	r.rlim_cur = r.rlim_max > want ? want : r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0 && getrlimit(RLIMIT_NOFILE, &r) < 0)
		return handlers;
	if (r.rlim_cur >= want)
		return handlers;
	return r.rlim_cur > OTHER_DESCRIPTORS ? (int)(r.rlim_cur - OTHER_DESCRIPTORS) : 1;
}

static void
tell_cap(const struct pool *p)
{
	char handlers[16];

	if (p->max == p->config->proxy_max_connections)
		return;
	snprintf(handlers, sizeof(handlers), "%d", p->max);
	event_log(p->config, EVENT_WARNING, "there are too few descriptors for KMI_PROXY_MAX_CONNECTIONS", "connections",
	    handlers, "hint", "raise the limit of open files (ulimit -n, LimitNOFILE=)", NULL);
}

/* Everything but the first handler. What it has made is there also after a failure. */
static int
prepare(struct pool *p, struct fail *f)
{
	sigset_t mine;

	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGINT);
	sigaddset(&mine, SIGUSR2);
	if (!program_has_terminal())
		sigaddset(&mine, SIGHUP);
	sigprocmask(SIG_BLOCK, &mine, &p->old_mask);
	p->handlers = calloc((size_t)p->max, sizeof(*p->handlers));
	p->free_places = calloc((size_t)p->max, sizeof(*p->free_places));
	if (!p->handlers || !p->free_places)
		return fail_memory(f);
	for (int i = p->max; i > 0; i--)
		p->free_places[p->free_count++] = i - 1;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->epoll < 0 || p->signals < 0 || watch(p, p->signals, EVENT_SIGNAL) < 0)
		return fail_sys(f, "prepare the pool");
	for (int i = 0; i < p->listener_count; i++) {
		int fd = p->listeners[i].fd;

		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || watch(p, fd, EVENT_LISTEN - i) < 0)
			return fail_sys(f, "prepare the listening socket");
	}
	return wire_global(f);
}

int
pool_run(const struct pool_listener *listeners, int count, int ready_fd, const struct config *c, enum pool_end *end,
    struct fail *f)
{
	struct pool p = { .config = c, .listeners = listeners, .listener_count = count, .epoll = -1, .signals = -1,
		.idle_top = -1, .max = make_descriptors((int)c->proxy_max_connections) };
	int rc = prepare(&p, f);

	if (rc < 0)
		goto out;
	tell_cap(&p);
	accept_some_more(&p, true);
	notify_systemd("READY=1");
	notify_fd(ready_fd);
	loop(&p);
	*end = p.stopping ? POOL_STOPPED : POOL_RENEWED;
	if (p.stopping)
		wait_for_the_last(&p);
	else
		notify_systemd("RELOADING=1");
out:
	if (p.epoll >= 0)
		close(p.epoll);
	if (p.signals >= 0)
		close(p.signals);
	free(p.handlers);
	free(p.free_places);
	return rc;
}
