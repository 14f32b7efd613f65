#include "proxy/conn.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS 10

static volatile sig_atomic_t stop_all;

void
conn_stop_all(void)
{
	stop_all = 1;
}

static void
obey_stop(struct conn *c)
{
	if (stop_all && !c->gone)
		c->gone = c->stopped = c->draining = true;
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void
conn_init(struct conn *c, int in, int out, int control)
{
	*c = (struct conn){
		.in = in,
		.out = out,
		.control = control,
		.in_socket = is_socket(in),
		.rx = BUF(CONN_RX_MAX),
		.tx = BUF(CONN_TX_MAX),
	};
	c->out_socket = in == out ? c->in_socket : is_socket(out);
}

void
conn_free(struct conn *c)
{
	buf_wipe(&c->rx);
	buf_free(&c->tx);
}

bool
conn_read(struct conn *c)
{
	size_t want = CONN_RX_MAX - c->rx.n;
	char *room;
	ssize_t n;

	/* Enough for a head and its body in one call, little enough not to grow every idle handler. */
	if (want > 16384)
		want = 16384;
	if (c->eof || want == 0 || !(room = buf_room(&c->rx, want)))
		return false;
	do
		n = c->in_socket ? recv(c->in, room, want, MSG_DONTWAIT) : read(c->in, room, want);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->rx.n += (size_t)n;
		c->rx.p[c->rx.n] = '\0';
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	c->eof = true;
	/*
	 * A socket whose peer closed: nobody waits for the answer any more. (A
	 * peer that only closed its sending half looks the same; no HTTP client
	 * does that.) A pipe that ended just has no further request.
	 */
	if (c->in_socket)
		c->gone = true;
	return false;
}

void
conn_flush(struct conn *c)
{
	while (!c->gone && c->tx_sent < c->tx.n) {
		const char *p = c->tx.p + c->tx_sent;
		size_t n = c->tx.n - c->tx_sent;
		ssize_t out = c->out_socket ? send(c->out, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(c->out, p, n);

		if (out < 0 && errno == EINTR)
			continue;
		if (out < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (out <= 0) {
			c->gone = true;
			break;
		}
		c->tx_sent += (size_t)out;
		c->bytes_out += (uint64_t)out;
	}
	c->tx_sent = 0;
	buf_reset(&c->tx);
}

void
conn_send(struct conn *c, struct str s)
{
	if (c->gone)
		return;
	if (c->tx_sent) {
		buf_drop(&c->tx, c->tx_sent);
		c->tx_sent = 0;
	}
	buf_str(&c->tx, s);
	if (buf_bad(&c->tx)) {	/* cannot be: callers stop at far less. But never send a stream with a hole */
		c->gone = true;
		return;
	}
	conn_flush(c);
}

size_t
conn_pending(const struct conn *c)
{
	return c->tx.n - c->tx_sent;
}

void
conn_watch(const struct conn *c, struct pollfd fds[2])
{
	fds[0] = (struct pollfd){ .fd = c->eof && !c->in_socket ? -1 : c->in, .events = POLLRDHUP };
	if (!c->eof && c->rx.n < CONN_RX_MAX / 2)
		fds[0].events |= POLLIN;
	fds[1] = (struct pollfd){ .fd = -1 };
	if (conn_pending(c)) {
		if (c->in == c->out)
			fds[0].events |= POLLOUT;
		else
			fds[1] = (struct pollfd){ .fd = c->out, .events = POLLOUT };
	}
}

void
conn_noticed(struct conn *c, const struct pollfd fds[2])
{
	short in = fds[0].revents, out = c->in == c->out ? fds[0].revents : fds[1].revents;

	if (c->in_socket && (in & (POLLRDHUP | POLLHUP | POLLERR)))
		c->eof = c->gone = true;
	else if (in & (POLLIN | POLLHUP | POLLERR))
		conn_read(c);
	if (out & (POLLOUT | POLLERR | POLLHUP))
		conn_flush(c);
	obey_stop(c);
}

bool
conn_wait(struct conn *c, short events, int64_t until_ms)
{
	for (;;) {
		struct pollfd fds[3] = {
			{ .fd = events & POLLIN && !c->eof ? c->in : -1, .events = POLLIN },
			{ .fd = events & POLLOUT ? c->out : -1, .events = POLLOUT },
			{ .fd = c->draining ? -1 : c->control, .events = POLLIN },
		};
		int64_t left = until_ms - clock_mono_ms();
		int n = poll(fds, 3, left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);

		obey_stop(c);
		if (c->stopped)
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->gone = true;
			return true;
		}
		if (n == 0) {
			if (clock_mono_ms() < until_ms)
				continue;
			return false;
		}
		if (fds[2].revents)
			c->draining = true;
		if (fds[0].revents)
			conn_read(c);
		if (fds[1].revents)
			conn_flush(c);
		return true;
	}
}

bool
conn_pause(struct conn *c, int64_t until_ms)
{
	int64_t left;

	while ((left = until_ms - clock_mono_ms()) > 0 && !c->gone && !c->draining) {
		struct pollfd fds[2] = {
			{ .fd = c->in_socket ? c->in : -1, .events = POLLRDHUP },
			{ .fd = c->control, .events = POLLIN },
		};

		if (poll(fds, 2, left > 60000 ? 60000 : (int)left) > 0) {
			c->gone = fds[0].revents;
			c->draining = fds[1].revents;
		}
		obey_stop(c);
	}
	return left <= 0;
}

bool
conn_finish(struct conn *c, int64_t until_ms)
{
	conn_flush(c);
	while (!c->gone && conn_pending(c))
		if (!conn_wait(c, POLLOUT, until_ms))
			return false;
	return !c->gone;
}

void
conn_linger(struct conn *c, int silence_ms, int most_ms)
{
	int64_t now = clock_mono_ms(), end = now + most_ms;

	if (!c->in_socket || c->gone)
		return;
	shutdown(c->out, SHUT_WR);
	/* The time is asked each round: one who never stops sending lets no wait run out. */
	for (; !c->eof && now < end; now = clock_mono_ms()) {
		int64_t silent = now + silence_ms;

		buf_reset(&c->rx);
		if (c->draining && end > silent)
			end = silent;
		if (!conn_wait(c, POLLIN, silent < end ? silent : end))
			return;
	}
}

void
conn_set_cut(struct conn *c, bool yes)
{
	struct linger hard = { .l_onoff = yes, .l_linger = 0 };

	c->cut = yes;
	if (c->out_socket)
		setsockopt(c->out, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

bool
conn_is_unix(const struct conn *c)
{
	int domain = 0;
	socklen_t n = sizeof(domain);

	return c->out_socket && getsockopt(c->out, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

void
conn_settle(struct conn *c, int64_t until_ms)
{
	int left = 0;

	while (c->out_socket && !c->stopped && clock_mono_ms() < until_ms && ioctl(c->out, SIOCOUTQ, &left) == 0 && left > 0)
		poll(NULL, 0, TICK_MS);
}
