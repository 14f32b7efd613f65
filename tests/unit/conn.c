/* The client's end over real socket pairs and pipes: what is noticed, and when a wait ends. */
#include "proxy/conn.h"

#include "base/clock.h"

#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct conn c;
static int peer, control;

static void
open_pair(void)
{
	int s[2], k[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, k);
	conn_init(&c, s[0], s[0], k[0]);
	peer = s[1];
	control = k[1];
}

static void
close_pair(void)
{
	conn_free(&c);
	close(c.in);
	close(c.control);
	if (peer >= 0)
		close(peer);
	if (control >= 0)
		close(control);
}

static int64_t
in_ms(int ms)
{
	return clock_mono_ms() + ms;
}

static void
reading(void)
{
	open_pair();
	CHECK_NAMED(!conn_read(&c) && !c.eof && !c.gone, "nothing there: nothing read, and no end");
	CHECK(write(peer, "hello", 5) == 5);
	CHECK_NAMED(conn_wait(&c, POLLIN, in_ms(1000)), "a wait takes in what has come");
	CHECK_STR(c.rx.p, "hello");
	CHECK_NAMED(!conn_wait(&c, POLLIN, in_ms(20)), "and ends at its time when nothing more does");
	CHECK(write(peer, "bye", 3) == 3);
	close(peer);
	peer = -1;
	CHECK(conn_wait(&c, POLLIN, in_ms(1000)));
	CHECK_STR(c.rx.p, "hellobye");
	CHECK_NAMED(!c.gone, "what was sent before the end is read first");
	CHECK(conn_wait(&c, POLLIN, in_ms(1000)));
	CHECK_NAMED(c.eof && c.gone, "a socket that has ended: nobody waits for an answer");
	close_pair();
}

static void
reading_has_a_bound(void)
{
	static char piece[65536];
	struct pollfd fds[2];

	open_pair();
	fcntl(peer, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 64; i++) {
		while (write(peer, piece, sizeof(piece)) > 0)
			;
		conn_read(&c);
	}
	CHECK_NAMED(c.rx.n <= CONN_RX_MAX, "what nobody takes is read up to a bound");
	conn_watch(&c, fds);
	CHECK_NAMED(!(fds[0].events & POLLIN), "and then no longer waited for: no loop around bytes that have no room");
	CHECK_NAMED(fds[0].events & POLLRDHUP, "but the client's leaving is");
	close_pair();
}

static void
writing(void)
{
	static char big[1 << 20];
	char *got = malloc(sizeof(big));
	size_t n = 0;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 251);
	open_pair();
	conn_send(&c, STR("ab"));
	CHECK_INT(conn_pending(&c), 0);
	CHECK(read(peer, got, 10) == 2);
	conn_send(&c, (struct str){ big, sizeof(big) / 2 });
	conn_send(&c, (struct str){ big + sizeof(big) / 2, sizeof(big) / 2 });
	CHECK_NAMED(conn_pending(&c) > 0, "what a slow client does not take is queued");
	CHECK_NAMED(!conn_finish(&c, in_ms(20)), "finishing has a time too");
	while (n < sizeof(big)) {
		ssize_t r = recv(peer, got + n, sizeof(big) - n, MSG_DONTWAIT);

		if (r <= 0 && !conn_wait(&c, POLLOUT, in_ms(1000)))
			break;
		n += r > 0 ? (size_t)r : 0;
	}
	CHECK_NAMED(n == sizeof(big) && memcmp(big, got, n) == 0, "and arrives whole and in order");
	CHECK(conn_finish(&c, in_ms(20)));
	CHECK_INT(c.bytes_out, sizeof(big) + 2);
	close(peer);
	peer = -1;
	conn_send(&c, STR("x"));
	CHECK_NAMED(c.gone && conn_pending(&c) == 0, "to one who left nothing is queued");
	CHECK_NAMED(!conn_finish(&c, in_ms(1000)), "and nothing finishes");
	close_pair();
	free(got);
}

static void
leaving(void)
{
	struct pollfd fds[2];

	open_pair();
	conn_watch(&c, fds);
	CHECK_INT(poll(fds, 2, 0), 0);
	close(peer);
	peer = -1;
	CHECK_NAMED(poll(fds, 2, 1000) == 1, "leaving wakes a poll that waits for neither bytes nor room");
	conn_noticed(&c, fds);
	CHECK(c.gone);
	close_pair();
}

static void
control_line(void)
{
	open_pair();
	CHECK(send(control, "d", 1, 0) == 1);
	CHECK_NAMED(conn_wait(&c, POLLIN, in_ms(1000)) && c.draining, "a byte on the control line: finish up");
	CHECK_NAMED(!conn_wait(&c, POLLIN, in_ms(20)), "told once, the line wakes nobody again");
	close_pair();
	open_pair();
	close(control);
	control = -1;
	CHECK_NAMED(conn_wait(&c, POLLIN, in_ms(1000)) && c.draining, "so is its end: the parent was killed");
	close_pair();
}

static void
pipes(void)
{
	int in[2], out[2];
	char got[8] = "";

	if (pipe(in) < 0 || pipe(out) < 0)
		return;
	conn_init(&c, in[0], out[1], -1);
	CHECK(write(in[1], "hi", 2) == 2);
	close(in[1]);
	CHECK(conn_wait(&c, POLLIN, in_ms(1000)));
	CHECK(conn_wait(&c, POLLIN, in_ms(1000)));
	CHECK_NAMED(c.eof && !c.gone, "a pipe that ended has no further request, but its answer is waited for");
	conn_send(&c, STR("yes"));
	CHECK(read(out[0], got, sizeof(got)) == 3);
	CHECK_STR(got, "yes");
	conn_linger(&c, 1000, 1000);
	conn_free(&c);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

/* How long a client that goes on sending (every step_ms) is listened to. */
static int64_t
linger_for(int step_ms, int silence_ms, int most_ms, bool draining)
{
	int64_t begin, took;
	pid_t child;

	open_pair();
	child = fork();
	if (child == 0) {
		close(c.in);
		for (int i = 0; i < 5000; i++) {
			if (send(peer, "more", 4, MSG_NOSIGNAL) < 0)
				break;
			if (step_ms)
				poll(NULL, 0, step_ms);
		}
		if (step_ms)
			poll(NULL, 0, 3000);
		_exit(0);
	}
	c.draining = draining;
	begin = clock_mono_ms();
	conn_linger(&c, silence_ms, most_ms);
	took = clock_mono_ms() - begin;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close_pair();
	return took;
}

static void
lingering(void)
{
	int64_t ms;

	ms = linger_for(10, 200, 600, false);
	CHECK_NAMED(ms >= 600 && ms < 1500, "one who sends on is listened to, but not for ever");
	ms = linger_for(1000, 100, 5000, false);
	CHECK_NAMED(ms >= 100 && ms < 900, "one who is silent not so long");
	ms = linger_for(10, 100, 5000, true);
	CHECK_NAMED(ms >= 100 && ms < 1500, "when others want the place, neither");
	open_pair();
	close(peer);
	peer = -1;
	ms = clock_mono_ms();
	conn_linger(&c, 1000, 1000);
	CHECK_NAMED(clock_mono_ms() - ms < 500, "one who has left not at all");
	close_pair();
}

/* How the connection ends for the other side, over the network: the bytes it gets, or -1 for a reset. */
static int
ends(bool cut, bool put_right, bool settle)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), all = 0, got, fd;
	char bytes[8];

	bind(listener, (struct sockaddr *)&at, sizeof(at));
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&at, &n);
	peer = socket(AF_INET, SOCK_STREAM, 0);
	connect(peer, (struct sockaddr *)&at, n);
	fd = accept(listener, NULL, NULL);
	conn_init(&c, fd, fd, -1);
	if (cut)
		conn_set_cut(&c, true);
	if (put_right)
		conn_set_cut(&c, false);
	conn_send(&c, STR("hello"));
	if (settle)
		conn_settle(&c, in_ms(1000));
	CHECK(!conn_is_unix(&c));
	conn_free(&c);
	close(fd);
	while ((got = (int)recv(peer, bytes, sizeof(bytes), 0)) > 0)
		all += got;
	close(peer);
	close(listener);
	return got < 0 ? -1 - all : all;
}

/* A client that takes its time, while others want the place: how much of `n` bytes it gets before the reset. */
static size_t
settles_slowly(size_t n)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), small = 4096, told[2], fd;
	char *bytes = calloc(1, n);
	size_t all = 0;
	ssize_t got;
	pid_t slow;

	bind(listener, (struct sockaddr *)&at, sizeof(at));
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&at, &size);
	CHECK(pipe(told) == 0);
	slow = fork();
	if (slow == 0) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		connect(fd, (struct sockaddr *)&at, sizeof(at));
		poll(NULL, 0, 100);
		while ((got = recv(fd, bytes, n, 0)) > 0)
			all += (size_t)got;
		_exit(write(told[1], &all, sizeof(all)) < 0);
	}
	fd = accept(listener, NULL, NULL);
	conn_init(&c, fd, fd, -1);
	c.draining = true;
	conn_set_cut(&c, true);
	conn_send(&c, (struct str){ bytes, n });
	CHECK(conn_finish(&c, in_ms(3000)));
	conn_settle(&c, in_ms(3000));
	conn_free(&c);
	close(fd);
	waitpid(slow, NULL, 0);
	CHECK(read(told[0], &all, sizeof(all)) == sizeof(all));
	close(told[0]);
	close(told[1]);
	close(listener);
	free(bytes);
	return all;
}

static void
cutting(void)
{
	CHECK_NAMED(settles_slowly(100000) == 100000, "one that is cut while the pool stops: every byte all the same");
	CHECK_NAMED(ends(false, false, false) == 5, "an end in order");
	CHECK_NAMED(ends(true, false, true) == -6, "a cut one: every byte, then a reset");
	CHECK_NAMED(ends(true, true, false) == 5, "one that came to its end after all");
	open_pair();
	CHECK(conn_is_unix(&c));
	close_pair();
}

/* Last: there is no way back from it. */
static void
stopping(void)
{
	open_pair();
	conn_stop_all();
	CHECK_NAMED(conn_wait(&c, POLLIN, in_ms(50)) || c.gone, "told to stop: a wait ends");
	CHECK_NAMED(c.gone && c.stopped, "as gone, and known why");
	close_pair();
}

static void
pausing(void)
{
	int64_t t;

	open_pair();
	t = clock_mono_ms();
	CHECK(write(peer, "body", 4) == 4);
	CHECK_NAMED(conn_pause(&c, in_ms(100)) && clock_mono_ms() - t >= 100, "a pause lasts its time, whatever comes in");
	CHECK_NAMED(c.rx.n == 0 && !c.gone && !c.draining, "and reads nothing");
	CHECK_NAMED(conn_pause(&c, in_ms(-5)), "one that is over does not wait");
	CHECK(write(control, "x", 1) == 1);
	t = clock_mono_ms();
	CHECK_NAMED(!conn_pause(&c, in_ms(5000)) && c.draining && clock_mono_ms() - t < 1000, "it ends when others want the place");
	close_pair();
	open_pair();
	close(peer);
	peer = -1;
	t = clock_mono_ms();
	CHECK_NAMED(!conn_pause(&c, in_ms(5000)) && c.gone && clock_mono_ms() - t < 1000, "and when the client leaves");
	close_pair();
}

int
main(void)
{
	reading();
	pausing();
	reading_has_a_bound();
	writing();
	leaving();
	control_line();
	pipes();
	lingering();
	cutting();
	stopping();
	return check_done();
}
