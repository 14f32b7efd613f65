/*
 * load: a bounded HTTP/1.1 load generator, cheap enough to find a proxy's limits on two cores.
 *
 *	load [-c CONNS] [-n REQUESTS | -d SECONDS] [-k | -K] [-m METHOD] [-b BODYFILE]
 *	     [-H 'Name: value']... [-t SECONDS] [--expect FILE] [--json]
 *	     http://HOST:PORT/PATH | unix:/SOCKET:/PATH
 *
 * CONNS clients (1) each send the same request, one after the other, until REQUESTS (1000) have ended
 * or SECONDS are over. -k (default) keeps connections; -K opens one for each request and closes it when
 * the answer is whole, as curl does, and then the latency includes the connect. -t is how long a
 * request may take (30). --expect compares every body with FILE.
 *
 * Every answer's framing is checked to the last byte. Errors: connect; short (closed or reset before
 * the answer was whole); malformed; mismatch (--expect); timeout. Exit 0: none, 1: some, 2: usage.
 *
 * One thread around epoll. The usual request costs one send and one recv: a request is tried at once,
 * and a recv that did not fill its buffer is not followed by another.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define CONNECT_ERRORS_MAX 1000		/* nobody is there: do not spin until the time is over */

enum error { ERR_CONNECT, ERR_SHORT, ERR_MALFORMED, ERR_MISMATCH, ERR_TIMEOUT, ERRORS };
static const char *const error_names[ERRORS] = {"connect", "short", "malformed", "mismatch", "timeout"};

enum phase {
	HEAD,
	BODY_LENGTH,	/* `left` bytes to go */
	BODY_CLOSE,	/* until the peer closes */
	CHUNK_SIZE, CHUNK_EXT, CHUNK_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF,
	TRAILER_START, TRAILER, TRAILER_LF, END_LF,
	WHOLE
};

struct conn {
	int fd;			/* -1: none open */
	bool busy;		/* a request is on its way */
	bool connected;		/* something has been sent on this connection */
	bool wants_out;		/* EPOLLOUT is armed */
	bool will_close;	/* the peer said so */
	bool mismatch;
	enum phase phase;
	int status;
	uint64_t begun_ns;
	uint64_t left;
	uint64_t body_at;	/* body bytes seen */
	unsigned size_digits;
	size_t sent;
	size_t head_n;
	char *head;		/* only when a head comes in pieces */
};

static struct {
	struct sockaddr_storage addr;
	socklen_t addr_n;
	const char *host, *path;
	char *request, *expect;
	size_t request_n, expect_n;
	unsigned conns;
	uint64_t requests, timeout_ns;
	double seconds;
	bool fresh, json, head_method;
} opt = {.conns = 1, .timeout_ns = 30000000000u};

static struct conn *conns;
static int ep;
static uint64_t begun, ended, connections, bytes_in, bytes_out, stop_ns;
static uint64_t errors[ERRORS], statuses[1000];
static uint64_t *latency_ns;
static size_t latencies, latencies_max;
static char in[HEAD_MAX];

static void
die(const char *fmt, ...)
{
	va_list ap;

	fputs("load: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *
grow(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		die("out of memory");
	return p;
}

static char *
slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;
	size_t got;

	if (!f)
		die("open %s: %s", path, strerror(errno));
	*n = 0;
	do {
		p = grow(p, *n + 65536);
		got = fread(p + *n, 1, 65536, f);
		*n += got;
	} while (got);
	if (ferror(f))
		die("read %s: %s", path, strerror(errno));
	fclose(f);
	return p;
}

/* --- an answer, taken apart as it comes --- */

/* The head is whole at p[0..n), blank line included: says how the body is framed. */
static bool
head_parse(struct conn *c, const char *p, size_t n)
{
	const char *end = p + n - 2;	/* the blank line */
	bool length = false, chunked = false;

	if (n < 15 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return false;
	c->status = 0;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		c->status = c->status * 10 + (p[i] - '0');
	}
	c->will_close = p[7] == '0';
	c->left = 0;
	p = (const char *)memchr(p, '\n', n) + 1;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *colon;
		size_t name, value;

		if (!nl || nl == p || nl[-1] != '\r')
			return false;
		colon = memchr(p, ':', (size_t)(nl - p));
		if (!colon || colon == p || colon[-1] == ' ')
			return false;
		name = (size_t)(colon++ - p);
		while (*colon == ' ' || *colon == '\t')
			colon++;
		value = (size_t)(nl - 1 - colon);
		if (name == 14 && !strncasecmp(p, "Content-Length", 14)) {
			if (length || !value)
				return false;
			length = true;
			for (size_t i = 0; i < value; i++) {
				if (colon[i] < '0' || colon[i] > '9' || c->left > UINT64_MAX / 100)
					return false;
				c->left = c->left * 10 + (uint64_t)(colon[i] - '0');
			}
		} else if (name == 17 && !strncasecmp(p, "Transfer-Encoding", 17)) {
			if (chunked || value != 7 || strncasecmp(colon, "chunked", 7))
				return false;
			chunked = true;
		} else if (name == 10 && !strncasecmp(p, "Connection", 10)) {
			if (value == 5 && !strncasecmp(colon, "close", 5))
				c->will_close = true;
			else if (value == 10 && !strncasecmp(colon, "keep-alive", 10))
				c->will_close = false;
		}
		p = nl + 1;
	}
	if (length && chunked)
		return false;
	c->body_at = 0;
	c->size_digits = 0;
	if (c->status < 200)
		c->phase = HEAD;	/* the real one follows */
	else if (opt.head_method || c->status == 204 || c->status == 304)
		c->phase = WHOLE;
	else if (chunked)
		c->phase = CHUNK_SIZE;
	else if (length)
		c->phase = c->left ? BODY_LENGTH : WHOLE;
	else
		c->phase = BODY_CLOSE;
	return c->status >= 100 && c->status != 101;
}

static void
body_take(struct conn *c, const char *p, size_t n)
{
	if (opt.expect && (c->body_at + n > opt.expect_n || memcmp(p, opt.expect + c->body_at, n)))
		c->mismatch = true;
	c->body_at += n;
}

/* Digest n bytes of an answer's body; false: not HTTP. Stops at the end of the answer, *used tells where. */
static bool
body_parse(struct conn *c, const char *p, size_t n, size_t *used)
{
	size_t i = 0, take;

	while (i < n && c->phase != WHOLE) {
		char ch = p[i];

		switch (c->phase) {
		case BODY_LENGTH:
		case CHUNK_DATA:
			take = c->left < n - i ? (size_t)c->left : n - i;
			body_take(c, p + i, take);
			i += take;
			c->left -= take;
			if (!c->left)
				c->phase = c->phase == BODY_LENGTH ? WHOLE : CHUNK_DATA_CR;
			continue;
		case BODY_CLOSE:
			body_take(c, p + i, n - i);
			i = n;
			continue;
		case CHUNK_SIZE:
			if (ch >= '0' && ch <= '9')
				take = (size_t)(ch - '0');
			else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
				take = (size_t)((ch | 32) - 'a' + 10);
			else if (c->size_digits && (ch == '\r' || ch == ';' || ch == ' ')) {
				c->phase = ch == '\r' ? CHUNK_LF : CHUNK_EXT;
				break;
			} else
				return false;
			if (c->size_digits++ == 0)
				c->left = 0;
			if (c->size_digits > 15)
				return false;
			c->left = c->left * 16 + take;
			break;
		case CHUNK_EXT:
			if (ch == '\r')
				c->phase = CHUNK_LF;
			break;
		case CHUNK_LF:
			if (ch != '\n')
				return false;
			c->size_digits = 0;
			c->phase = c->left ? CHUNK_DATA : TRAILER_START;
			break;
		case CHUNK_DATA_CR:
			if (ch != '\r')
				return false;
			c->phase = CHUNK_DATA_LF;
			break;
		case CHUNK_DATA_LF:
			if (ch != '\n')
				return false;
			c->phase = CHUNK_SIZE;
			break;
		case TRAILER_START:
			c->phase = ch == '\r' ? END_LF : TRAILER;
			break;
		case TRAILER:
			if (ch == '\r')
				c->phase = TRAILER_LF;
			break;
		case TRAILER_LF:
			if (ch != '\n')
				return false;
			c->phase = TRAILER_START;
			break;
		case END_LF:
			if (ch != '\n')
				return false;
			c->phase = WHOLE;
			break;
		case HEAD:
		case WHOLE:
			return false;	/* not reached: the caller and the loop see to it */
		}
		i++;
	}
	*used = i;
	return true;
}

/* Digest what was received; false: not HTTP. */
static bool
answer_parse(struct conn *c, const char *p, size_t n)
{
	size_t used;

	while (n && c->phase == HEAD) {
		const char *end;

		if (c->head_n) {	/* the rare case: the head came in pieces */
			size_t old = c->head_n;

			if (old + n > HEAD_MAX)
				return false;
			memcpy(c->head + old, p, n);
			end = memmem(c->head, old + n, "\r\n\r\n", 4);
			if (!end) {
				c->head_n += n;
				return true;
			}
			used = (size_t)(end + 4 - c->head);
			c->head_n = 0;
			if (!head_parse(c, c->head, used))
				return false;
			used -= old;
		} else if ((end = memmem(p, n, "\r\n\r\n", 4))) {
			used = (size_t)(end + 4 - p);
			if (!head_parse(c, p, used))
				return false;
		} else {
			if (!c->head)
				c->head = grow(NULL, HEAD_MAX);
			memcpy(c->head, p, n);
			c->head_n = n;
			return true;
		}
		p += used;
		n -= used;
	}
	if (c->phase == HEAD || c->phase == WHOLE)
		return n == 0;
	if (!body_parse(c, p, n, &used))
		return false;
	return used == n;		/* nobody asked for more than one answer */
}

/* --- one client --- */

static void
conn_drop(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->connected = c->wants_out = false;
}

static void
request_end(struct conn *c)
{
	c->busy = false;
	ended++;
}

static void
request_fail(struct conn *c, enum error e)
{
	errors[e]++;
	conn_drop(c);
	request_end(c);
}

static void
request_done(struct conn *c)
{
	if (c->mismatch || (opt.expect && c->body_at != opt.expect_n)) {
		request_fail(c, ERR_MISMATCH);
		return;
	}
	statuses[c->status]++;
	if (latencies == latencies_max) {
		latencies_max = latencies_max ? latencies_max * 2 : 65536;
		latency_ns = grow(latency_ns, latencies_max * sizeof(*latency_ns));
	}
	latency_ns[latencies++] = now_ns() - c->begun_ns;
	/* An answer that came before the request was out (413) leaves a connection of no further use. */
	if (opt.fresh || c->will_close || c->sent < opt.request_n)
		conn_drop(c);
	request_end(c);
}

static bool
conn_open(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	bool tcp = opt.addr.ss_family != AF_UNIX;
	int one = 1;

	/* A unix socket with a full backlog refuses who does not wait (EAGAIN); TCP waits by itself. */
	c->fd = socket(opt.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (tcp ? SOCK_NONBLOCK : 0), 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	if (tcp)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&opt.addr, opt.addr_n) < 0 && errno != EINPROGRESS)
		return false;
	if (!tcp)
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
	connections++;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl: %s", strerror(errno));
	return true;
}

static void
conn_wait_out(struct conn *c, bool want)
{
	struct epoll_event ev = {.events = EPOLLIN | (want ? EPOLLOUT : 0u), .data.ptr = c};

	if (c->wants_out != want && epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		die("epoll_ctl: %s", strerror(errno));
	c->wants_out = want;
}

static void
conn_send(struct conn *c)
{
	while (c->sent < opt.request_n) {
		ssize_t n = send(c->fd, opt.request + c->sent, opt.request_n - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			conn_wait_out(c, true);
			return;
		}
		if (n < 0) {
			if (!c->connected)
				request_fail(c, ERR_CONNECT);
			else
				conn_wait_out(c, false);	/* an answer may be there all the same: read */
			return;
		}
		c->connected = true;
		c->sent += (size_t)n;
		bytes_out += (uint64_t)n;
	}
	conn_wait_out(c, false);
}

static void
request_begin(struct conn *c)
{
	begun++;
	c->busy = true;
	c->mismatch = false;
	c->phase = HEAD;
	c->status = 0;
	c->sent = c->head_n = 0;
	c->begun_ns = now_ns();
	if (c->fd < 0 && !conn_open(c)) {
		request_fail(c, ERR_CONNECT);
		return;
	}
	conn_send(c);
}

static void
conn_receive(struct conn *c)
{
	ssize_t n;

	do {
		n = recv(c->fd, in, sizeof(in), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			if (!c->busy)
				conn_drop(c);	/* an idle connection may be closed */
			else if (n == 0 && c->phase == BODY_CLOSE) {
				c->will_close = true;
				request_done(c);
			} else
				request_fail(c, c->connected ? ERR_SHORT : ERR_CONNECT);
			return;
		}
		bytes_in += (uint64_t)n;
		if (!c->busy || !answer_parse(c, in, (size_t)n)) {
			if (c->busy)
				request_fail(c, ERR_MALFORMED);
			else
				errors[ERR_MALFORMED]++, conn_drop(c);
			return;
		}
		if (c->phase == WHOLE) {
			request_done(c);
			return;
		}
	} while ((size_t)n == sizeof(in));
}

/* --- the run --- */

static bool
more(void)
{
	if (errors[ERR_CONNECT] >= CONNECT_ERRORS_MAX)
		return false;
	return stop_ns ? now_ns() < stop_ns : begun < opt.requests;
}

static void
expire(void)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < opt.conns; i++)
		if (conns[i].busy && now - conns[i].begun_ns > opt.timeout_ns)
			request_fail(&conns[i], ERR_TIMEOUT);
}

static void
run(void)
{
	struct epoll_event ev[256];
	uint64_t checked = now_ns();

	for (unsigned i = 0; i < opt.conns; i++)
		if (more())
			request_begin(&conns[i]);
	for (;;) {
		bool go_on = more();
		int n;

		if (!go_on && begun == ended)
			return;
		n = epoll_wait(ep, ev, 256, 100);
		if (n < 0 && errno != EINTR)
			die("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (ev[i].events & EPOLLOUT)
				conn_send(c);
			if (c->fd >= 0 && ev[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
				conn_receive(c);
			if (!c->busy && more())
				request_begin(c);
		}
		if (now_ns() - checked > 100000000u) {
			expire();
			/* Clients whose attempt failed at once have no event to wake them. */
			for (unsigned i = 0; i < opt.conns; i++)
				if (!conns[i].busy && more())
					request_begin(&conns[i]);
			checked = now_ns();
		}
	}
}

static int
by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
percentile_ms(double p)
{
	size_t i = (size_t)(p * (double)latencies);

	if (!latencies)
		return 0;
	return (double)latency_ns[i < latencies ? i : latencies - 1] / 1e6;
}

static void
report(double seconds)
{
	struct rusage ru;
	double cpu, rate = seconds > 0 ? (double)latencies / seconds : 0;
	const char *sep = "";

	if (latencies)
		qsort(latency_ns, latencies, sizeof(*latency_ns), by_size);
	getrusage(RUSAGE_SELF, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	if (opt.json) {
		printf("{\"requests\": %llu, \"answers\": %zu, \"seconds\": %.6f, \"rate\": %.1f, \"latency_ms\": "
		    "{\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}, \"connections\": %llu, "
		    "\"bytes_in\": %llu, \"bytes_out\": %llu, \"cpu_seconds\": %.3f, \"status\": {",
		    (unsigned long long)ended, latencies, seconds, rate, percentile_ms(.5), percentile_ms(.9),
		    percentile_ms(.99), percentile_ms(1), (unsigned long long)connections,
		    (unsigned long long)bytes_in, (unsigned long long)bytes_out, cpu);
		for (int i = 0; i < 1000; i++)
			if (statuses[i]) {
				printf("%s\"%d\": %llu", sep, i, (unsigned long long)statuses[i]);
				sep = ", ";
			}
		printf("}, \"errors\": {");
		for (int i = 0; i < ERRORS; i++)
			printf("%s\"%s\": %llu", i ? ", " : "", error_names[i], (unsigned long long)errors[i]);
		printf("}}\n");
		return;
	}
	printf("%llu requests, %zu answers in %.3f s: %.0f per s; %llu connections; %llu bytes out, %llu in; own cpu %.3f s\n",
	    (unsigned long long)ended, latencies, seconds, rate, (unsigned long long)connections,
	    (unsigned long long)bytes_out, (unsigned long long)bytes_in, cpu);
	printf("latency ms: p50 %.3f  p90 %.3f  p99 %.3f  max %.3f\n", percentile_ms(.5), percentile_ms(.9),
	    percentile_ms(.99), percentile_ms(1));
	for (int i = 0; i < 1000; i++)
		if (statuses[i])
			printf("status %d: %llu\n", i, (unsigned long long)statuses[i]);
	for (int i = 0; i < ERRORS; i++)
		if (errors[i])
			printf("error %s: %llu\n", error_names[i], (unsigned long long)errors[i]);
}

/* --- the command line --- */

static void
target_parse(char *url)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&opt.addr;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	char *host, *port, *slash, *end;
	int rc;

	if (!strncmp(url, "unix:", 5)) {
		char *path = strchr(url + 5, ':');

		if (path)
			*path++ = '\0';
		opt.path = path ? path : "/";
		opt.host = "localhost";
		if (strlen(url + 5) >= sizeof(un->sun_path))
			die("%s: too long for a socket's path", url + 5);
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, url + 5, strlen(url + 5) + 1);
		opt.addr_n = sizeof(*un);
		return;
	}
	if (strncmp(url, "http://", 7))
		die("%s: neither http:// nor unix:", url);
	host = url + 7;
	slash = strchr(host, '/');
	opt.path = slash ? strdup(slash) : "/";
	if (slash)
		*slash = '\0';
	opt.host = strdup(host);
	end = *host == '[' ? strchr(host, ']') : host;
	if (!end)
		die("%s: no ]", host);
	port = strchr(end, ':');
	if (port)
		*port++ = '\0';
	if (*host == '[') {
		host++;
		*end = '\0';
	}
	rc = getaddrinfo(host, port ? port : "80", &hints, &ai);
	if (rc)
		die("%s: %s", host, gai_strerror(rc));
	memcpy(&opt.addr, ai->ai_addr, ai->ai_addrlen);
	opt.addr_n = ai->ai_addrlen;
	freeaddrinfo(ai);
}

static void
request_build(const char *method, const char *headers, bool own_host, const char *body_file)
{
	char *body = NULL;
	size_t body_n = 0, n;
	FILE *f = open_memstream(&opt.request, &n);

	if (!f)
		die("out of memory");
	if (body_file)
		body = slurp(body_file, &body_n);
	fprintf(f, "%s %s HTTP/1.1\r\n", method, opt.path);
	if (!own_host)
		fprintf(f, "Host: %s\r\n", opt.host);
	if (headers)
		fputs(headers, f);
	if (body_file)
		fprintf(f, "Content-Length: %zu\r\n", body_n);
	fputs("\r\n", f);
	if (body_n)
		fwrite(body, 1, body_n, f);
	if (fclose(f))
		die("out of memory");
	opt.request_n = n;
	free(body);
}

static double
number(const char *s, double min)
{
	char *end;
	double d = strtod(s, &end);

	if (*end || end == s || !(d >= min) || d > 1e12)
		die("%s: not a number of at least %g", s, min);
	return d;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"expect", required_argument, NULL, 'e'}, {"json", no_argument, NULL, 'j'}, {0}};
	const char *method = NULL, *body_file = NULL;
	char *headers = NULL;
	size_t headers_n;
	bool own_host = false, failed = false;
	uint64_t start;
	FILE *hf = open_memstream(&headers, &headers_n);
	int o;

	while ((o = getopt_long(argc, argv, "c:n:d:kKm:b:H:t:", longs, NULL)) >= 0)
		switch (o) {
		case 'c': opt.conns = (unsigned)number(optarg, 1); break;
		case 'n': opt.requests = (uint64_t)number(optarg, 1); break;
		case 'd': opt.seconds = number(optarg, 0.01); break;
		case 'k': opt.fresh = false; break;
		case 'K': opt.fresh = true; break;
		case 'm': method = optarg; break;
		case 'b': body_file = optarg; break;
		case 'H':
			fprintf(hf, "%s\r\n", optarg);
			own_host |= !strncasecmp(optarg, "Host:", 5);
			break;
		case 't': opt.timeout_ns = (uint64_t)(number(optarg, 0.001) * 1e9); break;
		case 'e': opt.expect = slurp(optarg, &opt.expect_n); break;
		case 'j': opt.json = true; break;
		default: exit(2);
		}
	if (argc - optind != 1 || (opt.requests && opt.seconds > 0) || !hf || fclose(hf))
		die("usage: load [-c CONNS] [-n REQUESTS | -d SECONDS] [-k | -K] [-m METHOD] [-b BODYFILE] "
		    "[-H 'Name: value']... [-t SECONDS] [--expect FILE] [--json] URL|unix:/SOCKET:/PATH");
	if (!opt.requests)
		opt.requests = 1000;
	target_parse(argv[optind]);
	if (!method)
		method = body_file ? "POST" : "GET";
	opt.head_method = !strcmp(method, "HEAD");
	request_build(method, headers, own_host, body_file);
	free(headers);

	conns = calloc(opt.conns, sizeof(*conns));
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || ep < 0)
		die("start: %s", strerror(errno));
	for (unsigned i = 0; i < opt.conns; i++)
		conns[i].fd = -1;

	start = now_ns();
	if (opt.seconds > 0)
		stop_ns = start + (uint64_t)(opt.seconds * 1e9);
	run();
	report((double)(now_ns() - start) / 1e9);
	for (int i = 0; i < ERRORS; i++)
		failed |= errors[i] > 0;
	return failed;
}
