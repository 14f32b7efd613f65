#include "proxy/pool.h"

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
#define STOP_MS 2000		/* between telling a handler to stop at once and killing it */
#define DRAIN_SPARE_SECONDS 10	/* what the supervisor gives us beyond the time for draining */

/* What a handler says when it has served a connection. */
#define SAYS_IDLE 'i'
#define SAYS_LEAVING 'l'

struct handler {
	pid_t pid;		/* 0: this place is free */
	int channel;
	int connections;
	bool busy, told;	/* told: asked to finish up */
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
	int held;		/* a connection that waits for a handler because none could be made, -1 = none */
	enum serve_facts held_facts;
	bool accepting, stopping, renewing;
	uint64_t ground;	/* what handlers were narrowed to, as a number */
	int64_t looked_ms;	/* at it */
	int64_t stop_at;	/* when stopping: running answers are cut then */
	sigset_t old_mask;
};

/* What an event is about: a handler, the signals, or (so and below) a listening socket. */
#define EVENT_SIGNAL (-1)
#define EVENT_LISTEN (-2)

static void
watch(struct pool *p, int fd, int what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(int64_t)what };

	epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void
accept_some_more(struct pool *p, bool yes)
{
	if (p->accepting == yes)
		return;
	for (int i = 0; i < p->listener_count; i++)
		if (yes)
			watch(p, p->listeners[i].fd, EVENT_LISTEN - i);
		else
			epoll_ctl(p->epoll, EPOLL_CTL_DEL, p->listeners[i].fd, NULL);
	p->accepting = yes;
}

/* ---- passing a connection on -------------------------------------------------------------------------------- */

static int
send_connection(int channel, int fd, enum serve_facts facts)
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

/* A connection to serve, or -1: the parent wants us to go. */
static int
receive_connection(int channel, enum serve_facts *facts)
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

/* Everything a handler does, from fork to exit. Signals of the terminal and the supervisor are the parent's business. */
static _Noreturn void
be_handler(struct pool *p, int channel, int first, enum serve_facts facts)
{
	struct sigaction stop_now = { .sa_handler = on_stop_now };
	struct fail f = { 0 };
	struct serve s;
	int fd = first;

	for (int i = 0; i < p->listener_count; i++)
		close(p->listeners[i].fd);
	close(p->epoll);
	close(p->signals);
	if (p->held >= 0 && p->held != first)
		close(p->held);
	for (int i = 0; i < p->max; i++)
		if (p->handlers[i].pid)
			close(p->handlers[i].channel);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGUSR1, &stop_now, NULL);
	sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
	if (serve_open(&s, p->config, &f) < 0) {
		event_log(p->config, EVENT_ERROR, f.text, NULL);
		_exit(fail_exit_code(f.kind));
	}
	while (fd >= 0) {
		bool leaving = serve_connection(&s, fd, fd, channel, facts);
		char says = leaving ? SAYS_LEAVING : SAYS_IDLE;

		close(fd);
		if (send(channel, &says, 1, MSG_NOSIGNAL) != 1 || leaving)
			break;
		fd = receive_connection(channel, &facts);
	}
	serve_close(&s);
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

/* The handler is gone or about to be: closing its channel tells it, and its place is free. waitpid() follows by itself. */
static void
forget(struct pool *p, int i)
{
	struct handler *h = &p->handlers[i];

	if (!h->busy)
		drop_from_idle(p, i);
	close(h->channel);	/* also takes it out of epoll */
	*h = (struct handler){ .channel = -1, .below = -1 };
	p->free_places[p->free_count++] = i;
	p->count--;
	if (!p->stopping && p->held < 0)
		accept_some_more(p, true);
}

static int
fork_handler(struct pool *p, int fd, enum serve_facts facts)
{
	int pair[2], i;
	pid_t pid;

	if (p->free_count == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (p->count == 0)
		p->ground = narrow_ground(HANDLER, p->config);
	pid = fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid == 0) {
		close(pair[0]);
		be_handler(p, pair[1], fd, facts);
	}
	close(pair[1]);
	i = p->free_places[--p->free_count];
	p->handlers[i] = (struct handler){ .pid = pid, .channel = pair[0], .connections = 1, .busy = true,
		.since_ms = clock_mono_ms(), .below = -1 };
	p->count++;
	watch(p, pair[0], i);
	return 0;
}

static int
hand_over(struct pool *p, int fd, enum serve_facts facts)
{
	int i;

	while ((i = pop_idle(p)) >= 0) {
		struct handler *h = &p->handlers[i];

		h->busy = true;
		if (send_connection(h->channel, fd, facts) == 0) {
			h->connections++;
			h->since_ms = clock_mono_ms();
			return 0;
		}
		forget(p, i);	/* it died while idle: the next one */
	}
	return fork_handler(p, fd, facts);
}

/* No process or descriptor to be had: the client waits until there is, and the others in the backlog. */
static void
hold(struct pool *p, int fd, enum serve_facts facts)
{
	int why = errno;

	p->held = fd;
	p->held_facts = facts;
	accept_some_more(p, false);
	if (event_due(p->config, "fork"))
		event_log(p->config, EVENT_ERROR, "a handler could not be started, so clients wait", "reason",
		    strerror(why), NULL);
}

/* Tries again; accepting goes on when nobody is held any more. */
static void
serve_held(struct pool *p)
{
	int fd = p->held;

	if (fd >= 0 && hand_over(p, fd, p->held_facts) < 0)
		return;
	if (fd >= 0)
		close(fd);
	p->held = -1;
	if (!p->stopping)
		accept_some_more(p, true);
}

static void
on_listen(struct pool *p, const struct pool_listener *l)
{
	/* A few at a time, so that handlers that become idle meanwhile are seen. */
	for (int n = 0; n < 16; n++) {
		int fd;

		if (p->idle_top < 0 && p->count >= p->max) {
			accept_some_more(p, false);
			return;
		}
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
				accept_some_more(p, false);	/* the next tick or a leaving handler turns it on again */
			return;
		}
		if (hand_over(p, fd, l->facts) < 0) {
			hold(p, fd, l->facts);
			return;
		}
		close(fd);
	}
}

static void
on_handler(struct pool *p, int i)
{
	struct handler *h = &p->handlers[i];
	char says;

	if (!h->pid)
		return;
	if (recv(h->channel, &says, 1, MSG_DONTWAIT) != 1 || says != SAYS_IDLE || h->told ||
	    h->connections >= CONNECTIONS_MAX) {
		forget(p, i);
		return;
	}
	push_idle(p, i);
	serve_held(p);
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
	if (p->held >= 0 || p->count < p->max || p->idle_top >= 0) {
		serve_held(p);
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
let_idle_go(struct pool *p)
{
	int64_t now = clock_mono_ms();

	for (int i = 0; i < p->max; i++) {
		struct handler *h = &p->handlers[i];

		if (h->pid && !h->busy && (p->stopping || now - h->since_ms > IDLE_MS))
			forget(p, i);
	}
}

/*
 * Handlers reach the places that there were when they were made. When one was replaced (the folder of keys, the list of
 * name servers), others take over.
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
	if (p->held >= 0)
		close(p->held);		/* nobody can serve it: it ends as those in the backlog do */
	p->held = -1;
	for (int i = 0; i < p->max; i++)
		if (p->handlers[i].pid && p->handlers[i].busy)
			finish_up(&p->handlers[i]);
	let_idle_go(p);
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
				on_listen(p, &p->listeners[EVENT_LISTEN - what]);
			else if (what == EVENT_SIGNAL)
				on_signal(p);
			else if (what >= 0)
				on_handler(p, (int)what);
		}
		if (clock_mono_ms() < next_tick)
			continue;
		next_tick = clock_mono_ms() + TICK_MS;
		let_idle_go(p);
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

/*
 * Handlers that have said goodbye are writing their books; those of the image before a SIGHUP, of whom only the
 * kernel knows, are still at their answers.
 */
static void
wait_for_the_last(const struct pool *p)
{
	int64_t until = clock_mono_ms() + STOP_MS;

	if (until < p->stop_at)
		until = p->stop_at;
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_mono_ms() < until)
		poll(NULL, 0, 10);
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

int
pool_run(const struct pool_listener *listeners, int count, int ready_fd, const struct config *c, enum pool_end *end,
    struct fail *f)
{
	struct pool p = { .config = c, .listeners = listeners, .listener_count = count, .epoll = -1, .signals = -1, .idle_top = -1,
		.held = -1, .max = make_descriptors((int)c->proxy_max_connections) };
	sigset_t mine;
	int rc = -1;

	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGINT);
	sigaddset(&mine, SIGUSR2);
	if (!program_has_terminal())
		sigaddset(&mine, SIGHUP);
	sigprocmask(SIG_BLOCK, &mine, &p.old_mask);
	p.handlers = calloc((size_t)p.max, sizeof(*p.handlers));
	p.free_places = calloc((size_t)p.max, sizeof(*p.free_places));
	p.epoll = epoll_create1(EPOLL_CLOEXEC);
	p.signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!p.handlers || !p.free_places) {
		fail_memory(f);
		goto out;
	}
	if (p.epoll < 0 || p.signals < 0) {
		fail_sys(f, "prepare the pool");
		goto out;
	}
	for (int i = 0; i < count; i++)
		if (fcntl(listeners[i].fd, F_SETFL, fcntl(listeners[i].fd, F_GETFL) | O_NONBLOCK) < 0) {
			fail_sys(f, "prepare the listening socket");
			goto out;
		}
	for (int i = p.max; i > 0; i--)
		p.free_places[p.free_count++] = i - 1;
	if (wire_global(f) < 0)
		goto out;
	tell_cap(&p);
	watch(&p, p.signals, EVENT_SIGNAL);
	accept_some_more(&p, true);
	notify_systemd("READY=1");
	notify_fd(ready_fd);
	loop(&p);
	*end = p.stopping ? POOL_STOPPED : POOL_RENEWED;
	if (p.stopping)
		wait_for_the_last(&p);
	else
		notify_systemd("RELOADING=1");
	rc = 0;
out:
	if (p.epoll >= 0)
		close(p.epoll);
	if (p.signals >= 0)
		close(p.signals);
	free(p.handlers);
	free(p.free_places);
	return rc;
}
