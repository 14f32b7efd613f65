#include "proxy/request.h"

#include "check.h"

#include <stdlib.h>

#define BODY_MAX 1000
#define HOST "Host: localhost\r\n"

/* A text with a NUL in it keeps its length. */
#define BYTES(lit) ((struct str){ lit, sizeof(lit) - 1 })

struct result {
	struct request r;
	struct refusal no;
	enum request_progress end;
	bool head; /* REQUEST_HEAD was seen */
	size_t used;
};

/* Feeds the bytes in pieces of `step`, as far as they are taken. */
static void
feed(struct result *t, struct str in, size_t step)
{
	*t = (struct result){ .end = REQUEST_MORE };
	request_init(&t->r, BODY_MAX);
	while (t->end == REQUEST_MORE || t->end == REQUEST_HEAD) {
		size_t used, to = t->used + step < in.n ? t->used + step : in.n;

		t->end = request_feed(&t->r, str_sub(in, t->used, to), &used, &t->no);
		t->used += used;
		if (t->end == REQUEST_HEAD) {
			check_failed += t->head; /* only once */
			t->head = true;
		} else if (used == 0 && t->end == REQUEST_MORE) {
			break;
		}
	}
}

/* The status a request is refused with, 0 when it is taken, -1 when more is wanted: the same however it is
 * cut. */
static int
outcome(struct str in)
{
	static const size_t steps[] = { 1 << 20, 1, 2, 3, 7 };
	int first = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct result t;
		int now;

		feed(&t, in, steps[i]);
		now = t.end == REQUEST_DONE ? 0 : t.end == REQUEST_REFUSED ? t.no.status : -1;
		if (now > 0 && !(t.no.code && t.no.message && *t.no.message && t.no.hint && *t.no.hint))
			now = -3;
		if (i == 0)
			first = now;
		else if (now != first)
			first = -2;
		request_free(&t.r);
	}
	return first;
}

struct situation {
	int status;
	struct str bytes;
};

static void
situations(const struct situation *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[120];
		int got = outcome(all[i].bytes);

		snprintf(name, sizeof(name), "%d: %.90s", all[i].status, all[i].bytes.p);
		for (char *c = name; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == '#' || (unsigned char)*c > 0x7e)
				*c = '~';
		if (!CHECK_NAMED(got == all[i].status, name))
			printf("# got %d\n", got);
	}
}

#define RUN(table) situations(table, sizeof(table) / sizeof(*(table)))
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"
#define WITH(headers) "POST /a HTTP/1.1\r\n" HOST headers "\r\n"
#define CHUNKED(body) WITH("Transfer-Encoding: chunked\r\n") body

static void
request_lines(void)
{
	static const struct situation all[] = {
		{ 0, BYTES(GET("/")) },
		{ 0, BYTES("FROBNICATE /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("get /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("M-SEARCH /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("a!#$%&'*+-.^_`|~9 /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("SOURCE /x HTTP/1.1\r\n" HOST "\r\n") }, /* llhttp has ideas about this one */
		{ 0, BYTES("PRI /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("DESCRIBE /x HTTP/1.1\r\n" HOST "\r\n") },
		{ 405, BYTES("CONNECT api.example:443 HTTP/1.1\r\n" HOST "\r\n") },
		{ 405, BYTES("TRACE / HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("CONNECTED / HTTP/1.1\r\n" HOST "\r\n") },
		{ 505, BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
		{ 505, BYTES("GET / HTTP/2\r\n" HOST "\r\n") },
		{ 505, BYTES("GET / HTTP/0.9\r\n\r\n") },
		{ 505, BYTES("GET / HTTP/1.2\r\n" HOST "\r\n") },
		{ 505, BYTES("GET / HTTP/1.10\r\n" HOST "\r\n") },
		{ 505, BYTES("CONNECT a:1 HTTP/3.0\r\n\r\n") },
		{ 400, BYTES("GET /\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/\r\n\r\n") },
		{ 400, BYTES("GET / http/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("GET / HTTP/1.1 \r\n" HOST "\r\n") },
		{ 400, BYTES("GET / HTTP/1.1x\r\n" HOST "\r\n") },
		{ 400, BYTES("GET / ICE/1.0\r\n" HOST "\r\n") },
		{ 400, BYTES("SOURCE / ICE/1.0\r\n" HOST "\r\n") },
		{ 400, BYTES("DESCRIBE / RTSP/1.0\r\n" HOST "\r\n") },
		{ 400, BYTES("GET  / HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("GET /  HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("GET / x HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("GET\t/ HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES(" GET / HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("G(T / HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\n" HOST "\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r" HOST "\r\n") },
		{ 400, BYTES("GET /\0 HTTP/1.1\r\n" HOST "\r\n") },
		{ 400, BYTES("\0") },
		{ 400, BYTES("\x80\x9e\x01\x03\x01") },
		{ 400, BYTES("{\"model\": 1}") },
		{ 400, BYTES("\n" GET("/")) },
		{ 0, BYTES("\r\n" GET("/")) },
		{ 0, BYTES("\r\n\r\n" GET("/")) },
		{ 400, BYTES("\r\n\r\n\r\n" GET("/")) },
		{ -1, BYTES("\r\n") },
		{ -1, BYTES("GET / HTTP/1.1\r\n" HOST "\r") },
		{ -1, BYTES("") },
	};
	char method[80];

	RUN(all);
	for (size_t n = 60; n < 70; n++) {
		struct buf b = BUF(1000);

		memset(method, 'M', n);
		buf_put(&b, method, n);
		buf_puts(&b, " / HTTP/1.1\r\n" HOST "\r\n");
		CHECK_INT(outcome(buf_view(&b)), n <= 64 ? 0 : 400);
		buf_free(&b);
	}
}

static void
targets(void)
{
	static const struct situation all[] = {
		{ 0, BYTES(GET("/a%2Fb//c/./d?x=1?y=%20&{}|\"<>^`\\")) },
		{ 0, BYTES(GET("//evil.example/x")) }, { 0, BYTES(GET("/?")) }, { 400, BYTES(GET("/a#b")) },
		{ 400, BYTES(GET("/a?b#c")) }, { 400, BYTES(GET("/\xc3\xa9")) },
		{ 400, BYTES(GET("/a?\x80")) }, { 400, BYTES(GET("/a\tb")) }, { 400, BYTES(GET("/a\x7f")) },
		{ 400, BYTES(GET("a")) }, { 400, BYTES(GET("?a")) }, { 400, BYTES(GET("*")) },
		{ 400, BYTES("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n") },
		{ 0, BYTES(GET("http://localhost:1/a?b")) }, { 0, BYTES(GET("HTTP://localhost")) },
		{ 0, BYTES(GET("http://localhost?q")) }, { 0, BYTES(GET("http://[::1]:5/")) },
		{ 400, BYTES(GET("https://localhost/a")) }, { 400, BYTES(GET("ftp://localhost/a")) },
		{ 400, BYTES(GET("http:///a")) }, { 400, BYTES(GET("http://u@localhost/a")) },
		{ 400, BYTES(GET("http://u:p@localhost/a")) }, { 400, BYTES(GET("http://a:99999/")) },
		{ 400, BYTES(GET("http://[::1/")) }, { 400, BYTES(GET("http:/a")) },
		{ 400, BYTES(GET("localhost:80")) },
		{ 400, BYTES("GET http://localhost/ HTTP/1.1\r\n\r\n") }, /* Host is due all the same */
	};

	RUN(all);
	for (int c = 1; c < 256; c++) {
		char text[] = "GET /x?x HTTP/1.1\r\n" HOST "\r\n";
		int want = c > 0x20 && c < 0x7f && c != '#' ? 0 : 400;

		text[5] = (char)c;
		if (outcome(str_from(text)) != want)
			CHECK_INT(c, -1);
		text[5] = 'x';
		text[7] = (char)c;
		if (outcome(str_from(text)) != want)
			CHECK_INT(c, -2);
	}
}

static void
header_lines(void)
{
	static const struct situation all[] = {
		{ 0, BYTES(WITH("X:\r\nY: \t \r\nZ:a\xff\tb \r\n")) },
		{ 0, BYTES(WITH("a!#$%&'*+-.^_`|~9: 1\r\n")) },
		{ 400, BYTES(WITH("X: 1\r\n folded\r\n")) },
		{ 400, BYTES(WITH("X: 1\r\n\tfolded\r\n")) },
		{ 400, BYTES("GET / HTTP/1.1\r\n " HOST "\r\n") },
		{ 400, BYTES(WITH("X : 1\r\n")) },
		{ 400, BYTES(WITH("X\t: 1\r\n")) },
		{ 400, BYTES(WITH(": 1\r\n")) },
		{ 400, BYTES(WITH("X\r\n")) },
		{ 400, BYTES(WITH("X Y: 1\r\n")) },
		{ 400, BYTES(WITH("X\xe9: 1\r\n")) },
		{ 400, BYTES(WITH("X(: 1\r\n")) },
		{ 400, BYTES(WITH("X: a\rb\r\n")) },
		{ 400, BYTES(WITH("X: a\nb: c\r\n")) },
		{ 400, BYTES(WITH("X: a\r\r\n")) },
		{ 400, BYTES(WITH("X: a\0b\r\n")) },
		{ 400, BYTES(WITH("X\0: a\r\n")) },
		{ 400, BYTES(WITH("X: a\x01\r\n")) },
		{ 400, BYTES(WITH("X: a\x1b[0m\r\n")) },
		{ 400, BYTES(WITH("X: a\x7f\r\n")) },
		{ 400, BYTES("GET / HTTP/1.1\r\n" HOST "\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\n" HOST "\r\r") },
		{ 400, BYTES("GET / HTTP/1.1\r\n" HOST "\rX") },
	};

	RUN(all);
}

static void
hosts(void)
{
	static const struct situation all[] = {
		{ 400, BYTES("GET / HTTP/1.1\r\n\r\n") },
		{ 0, BYTES("GET / HTTP/1.0\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.0\r\nHost: a b\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a:+1\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n") },
		{ 400, BYTES("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n") },
		{ 0, BYTES("GET / HTTP/1.1\r\nHost: [::1]:54123\r\n\r\n") },
		{ 0, BYTES("GET / HTTP/1.1\r\nHost: Kimi-proxy.local.:80\r\n\r\n") },
		{ 0, BYTES("GET / HTTP/1.1\r\nHost: a:\r\n\r\n") },
	};
	struct str name;
	int port;

	RUN(all);
	CHECK(request_split_host(STR("localhost:54123"), &name, &port) == 0 && str_is(name, "localhost") &&
	      port == 54123);
	CHECK(request_split_host(STR("localhost"), &name, &port) == 0 && str_is(name, "localhost") &&
	      port == -1);
	CHECK(request_split_host(STR("[::1]:7"), &name, &port) == 0 && str_is(name, "::1") && port == 7);
	CHECK(request_split_host(STR("[::1]"), &name, &port) == 0 && str_is(name, "::1") && port == -1);
	CHECK(request_split_host(STR("["), &name, &port) < 0);
	CHECK(request_split_host(STR("[]"), &name, &port) < 0);
}

static void
lengths(void)
{
	static const struct situation all[] = {
		{ 0, BYTES(WITH("Content-Length: 3\r\n") "abc") },
		{ 0, BYTES(WITH("Content-Length: 0003 \r\n") "abc") },
		{ 0, BYTES(WITH("Content-Length: 0\r\n")) },
		{ -1, BYTES(WITH("Content-Length: 3\r\n") "ab") },
		{ 400, BYTES(WITH("Content-Length: 3\r\nContent-Length: 4\r\n") "abcd") },
		{ 400, BYTES(WITH("Content-Length: 3\r\ncontent-length: 3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 0\r\nContent-Length: 0\r\n")) },
		{ 400, BYTES(WITH("Content-Length: 3, 3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length:\r\n")) },
		{ 400, BYTES(WITH("Content-Length: +3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: -3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 3x\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 0x3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 3 3\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 9223372036854775808\r\n")) },
		{ 400, BYTES(WITH("Content-Length: 18446744073709551619\r\n") "abc") },
		{ 400, BYTES(WITH("Content-Length: 99999999999999999999999999\r\n")) },
		{ 413, BYTES(WITH("Content-Length: 1001\r\n")) },
		{ 413, BYTES(WITH("Content-Length: 9223372036854775807\r\n")) },
		{ -1, BYTES(WITH("Content-Length: 1000\r\n")) },
		{ 400, BYTES(WITH("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") "0\r\n\r\n") },
		{ 400, BYTES("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: chunked, chunked\r\n") "0\r\n\r\n") },
		{ 400,
		    BYTES(WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH(
			   "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: identity\r\n")) },
		{ 400, BYTES(WITH("Transfer-Encoding: xchunked\r\n")) },
		{ 400, BYTES(WITH("Transfer-Encoding: chunked;q=1\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: chunked,\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding: \"chunked\"\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding:\r\n")) },
		{ 0, BYTES(WITH("Transfer-Encoding: Chunked \r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding : chunked\r\n") "0\r\n\r\n") },
		{ 400, BYTES(WITH("Transfer-Encoding\r\n : chunked\r\n") "0\r\n\r\n") },
	};

	RUN(all);
}

static void
chunks(void)
{
	static const struct situation all[] = {
		{ 0, BYTES(CHUNKED("3\r\nabc\r\n0\r\n\r\n")) },
		{ 0, BYTES(CHUNKED("00003\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")) },
		{ 0, BYTES(CHUNKED("3;a=\"b c\"\r\nabc\r\n0;x\r\n\r\n")) },
		{ 0, BYTES(CHUNKED("0\r\nX: 1\r\nY: 2\r\n\r\n")) },
		{ -1, BYTES(CHUNKED("3\r\nabc\r\n0\r\n")) },
		{ -1, BYTES(CHUNKED("3\r\nab")) },
		{ 400, BYTES(CHUNKED("3\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabc\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabc\r0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabc0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabcd\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabc\r\n0\n\n")) },
		{ 400, BYTES(CHUNKED("3\r\nabc\r\n0\r\n\n")) },
		{ 400, BYTES(CHUNKED("3\rabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED(" 3\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3 3\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3 \r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0x3\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("+3\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("-3\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("g\r\n")) },
		{ 400, BYTES(CHUNKED(";x\r\n")) },
		{ 400, BYTES(CHUNKED("3;a=b\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3;a=\0\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("3;\"\r\nabc\r\n0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("10000000000000003\r\nabc\r\n0\r\n\r\n")) },
		{ 413, BYTES(CHUNKED("ffffffffffffffff\r\n")) },
		{ 413, BYTES(CHUNKED("3e9\r\n")) },
		{ -1, BYTES(CHUNKED("3e8\r\n")) },
		{ 413, BYTES(CHUNKED("3\r\nabc\r\n3e6\r\n")) },
		{ -1, BYTES(CHUNKED("3\r\nabc\r\n3e5\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\nX: 1\r\n folded\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\nX : 1\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\n: 1\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\nX\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\nX: a\0\r\n\r\n")) },
		{ 400, BYTES(CHUNKED("0\r\nX: a\rb\r\n\r\n")) },
	};

	RUN(all);
}

/* One byte under a limit is taken, one over is refused. */
static void
limits(void)
{
	struct buf b = BUF(1 << 20);

	for (int over = 0; over < 2; over++) {
		buf_reset(&b);
		buf_puts(&b, "GET / HTTP/1.1\r\n" HOST "X: ");
		buf_fill(&b, 'x', REQUEST_HEAD_MAX - b.n - 4 + (size_t)over);
		buf_puts(&b, "\r\n\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 431 : 0);

		buf_reset(&b);
		buf_puts(&b, "GET / HTTP/1.1\r\n" HOST);
		for (int i = 0; i < REQUEST_HEADERS_MAX - 1 + over; i++)
			buf_printf(&b, "X%d: %d\r\n", i, i);
		buf_puts(&b, "\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 431 : 0);

		buf_reset(&b);
		buf_puts(&b, "GET / HTTP/1.1\r\n" HOST "Connection: x,\r\nConnection: ");
		buf_fill(&b, ',', 2046 + (size_t)over);
		buf_puts(&b, "\r\n\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 431 : 0);

		buf_reset(&b);
		buf_puts(&b, CHUNKED("1;"));
		buf_fill(&b, 'x', over ? 20000 : 10000);
		buf_puts(&b, "\r\na\r\n0\r\n\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 400 : 0);

		buf_reset(&b);
		buf_puts(&b, CHUNKED(""));
		buf_fill(&b, '0', over ? 20000 : 10000);
		buf_puts(&b, "\r\n\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 400 : 0);

		buf_reset(&b);
		buf_puts(&b, CHUNKED("0\r\n"));
		for (int i = 0; i < (over ? 2000 : 1000); i++)
			buf_puts(&b, "Trailer: x\r\n");
		buf_puts(&b, "\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 400 : 0);

		buf_reset(&b); /* a long extension on every small chunk */
		buf_puts(&b, CHUNKED(""));
		for (int i = 0; i < 900; i++) {
			buf_puts(&b, "1");
			if (over) {
				buf_putc(&b, ';');
				buf_fill(&b, 'x', 100);
			}
			buf_puts(&b, "\r\na\r\n");
		}
		buf_puts(&b, "0\r\n\r\n");
		CHECK_INT(outcome(buf_view(&b)), over ? 400 : 0);
	}
	buf_reset(&b); /* no end of a line: still refused at the limit */
	buf_fill(&b, 'A', REQUEST_HEAD_MAX + 1);
	CHECK_INT(outcome(buf_view(&b)), 431);
	buf_free(&b);
}

static void
head_and_body(void)
{
	static const char text[] =
	    "POST /kmi-rotor/v1/chat/completions?a=b&c?d HTTP/1.1\r\nHost: localhost:54123\r\n"
	    "X-Twice: one\r\nEmpty:\r\nx-twice:\t two  three \t\r\nContent-Length: 5\r\n\r\nhelloGET";

	for (size_t step = 1; step < sizeof(text) + 1; step += 3) {
		struct result t;
		const struct request *r = &t.r;

		feed(&t, str_from(text), step);
		CHECK(t.end == REQUEST_DONE && t.head);
		CHECK_INT(t.used, sizeof(text) - 1 - 3);
		CHECK(str_is(r->method, "POST") && r->minor == 1);
		CHECK(str_is(r->target, "/kmi-rotor/v1/chat/completions?a=b&c?d"));
		CHECK(str_is(r->path, "/kmi-rotor/v1/chat/completions"));
		CHECK(r->has_query && str_is(r->query, "a=b&c?d"));
		CHECK(str_is(r->host, "localhost:54123"));
		CHECK_INT(r->header_count, 5);
		CHECK(str_is(r->headers[1].name, "X-Twice") && str_is(r->headers[1].value, "one"));
		CHECK(str_is(r->headers[2].name, "Empty") && r->headers[2].value.n == 0);
		CHECK(str_is(r->headers[3].name, "x-twice") && str_is(r->headers[3].value, "two  three"));
		CHECK(request_header(r, "X-TWICE") == &r->headers[1] &&
		      request_header_times(r, "X-TWICE") == 2);
		CHECK(request_header(r, "X-Thrice") == NULL);
		CHECK(r->has_body && r->content_length == 5 && str_is(buf_view(&r->body), "hello"));
		CHECK(r->keep_alive && !r->expect_continue && r->started);
		request_free(&t.r);
	}
}

static void
progress(void)
{
	struct refusal no;
	struct request r = { 0 };
	size_t used;

	request_free(&r);
	request_init(&r, BODY_MAX);
	CHECK(request_feed(&r, STR("\r\n"), &used, &no) == REQUEST_MORE && used == 2 && !r.started);
	CHECK(request_feed(&r, STR("G"), &used, &no) == REQUEST_MORE && used == 1 && r.started);
	CHECK(request_feed(&r, STR("ET / HTTP/1.0\r\n\r\nGET"), &used, &no) == REQUEST_HEAD && used == 17);
	CHECK(!r.has_body && r.content_length == 0 && r.host.n == 0 && !r.keep_alive && r.minor == 0);
	CHECK(request_feed(&r, STR(""), &used, &no) == REQUEST_DONE && used == 0);
	CHECK(request_feed(&r, STR("GET"), &used, &no) == REQUEST_DONE && used == 0);
	request_free(&r);

	request_init(&r, BODY_MAX);
	CHECK(request_feed(&r, STR(CHUNKED("")), &used, &no) == REQUEST_HEAD);
	CHECK(r.has_body && r.content_length == -1);
	CHECK(request_feed(&r, STR("3\r\nab"), &used, &no) == REQUEST_MORE && used == 5);
	CHECK(
	    request_feed(&r, STR("c\r\n4;x\r\ndefg\r\n0\r\nX: y\r\n\r\nGET /"), &used, &no) == REQUEST_DONE);
	CHECK_INT(used, 25);
	CHECK(str_is(buf_view(&r.body), "abcdefg") && request_header(&r, "X") == NULL);
	request_free(&r);

	request_init(&r, BODY_MAX); /* a trailer changes nothing of the framing */
	CHECK(request_feed(&r, STR(CHUNKED("")), &used, &no) == REQUEST_HEAD);
	CHECK(request_feed(&r, STR("0\r\nContent-Length: 5\r\nConnection: close\r\n\r\nGET /"), &used, &no) ==
	      REQUEST_DONE);
	CHECK(used == 43 && r.keep_alive && r.body.n == 0);
	request_free(&r);

	request_init(&r, BODY_MAX); /* a refusal stays one */
	CHECK(request_feed(&r, STR("\x16\x03\x01"), &used, &no) == REQUEST_REFUSED);
	CHECK_STR(no.code, "tls_on_plain_port");
	CHECK_INT(no.status, 0); /* no answer, the connection ends */
	no = (struct refusal){ 0 };
	CHECK(
	    request_feed(&r, STR(GET("/")), &used, &no) == REQUEST_REFUSED && used == 0);
	CHECK_STR(no.code, "tls_on_plain_port");
	request_free(&r);

	request_init(&r, BODY_MAX);
	CHECK(request_feed(&r, STR("TRACE / HTTP/1.1\r\n"), &used, &no) == REQUEST_REFUSED);
	CHECK(no.header && !strncmp(no.header, "Allow: ", 7));
	request_free(&r);
}

/* All bytes are data inside a body, line ends and NUL too. */
static void
bodies_are_bytes(void)
{
	char all[256];
	struct buf b = BUF(10000);

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	for (int chunked = 0; chunked < 2; chunked++) {
		for (size_t step = 1; step < 600; step += 50) {
			struct result t;

			buf_reset(&b);
			buf_puts(&b, chunked ? CHUNKED("100\r\n") : WITH("Content-Length: 256\r\n"));
			buf_put(&b, all, 256);
			if (chunked)
				buf_puts(&b, "\r\n0\r\n\r\n");
			buf_put(&b, all, 256);
			feed(&t, buf_view(&b), step);
			CHECK(t.end == REQUEST_DONE && t.used == b.n - 256);
			CHECK(t.r.body.n == 256 && !memcmp(t.r.body.p, all, 256));
			request_free(&t.r);
		}
	}
	buf_free(&b);
}

static bool
kept(const char *text)
{
	struct result t;
	bool keep;

	feed(&t, str_from(text), 1000);
	CHECK(t.end == REQUEST_DONE && t.used == strlen(text));
	keep = t.r.keep_alive;
	request_free(&t.r);
	return keep;
}

static void
connection(void)
{
	CHECK(kept(GET("/")));
	CHECK(!kept(WITH("Connection: close\r\n")));
	CHECK(!kept(WITH("connection: X , CLOSE\r\n")));
	CHECK(!kept(WITH("Connection: keep-alive\r\nConnection: close\r\n")));
	CHECK(kept(WITH("Connection: closed\r\n")));
	CHECK(kept(WITH("Connection: upgrade\r\nUpgrade: websocket\r\n")));
	CHECK(kept(WITH(
	    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")));
	CHECK(!kept("GET / HTTP/1.0\r\n\r\n"));
	CHECK(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
	CHECK(!kept("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n"));
	CHECK(kept(WITH("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n") "abc"));
	CHECK(kept(
	    WITH("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n") "1\r\na\r\n0"
												"\r\n\r\n"));
}

static bool
expects(const char *text)
{
	struct refusal no;
	struct request r;
	size_t used;
	bool expect;

	request_init(&r, BODY_MAX);
	CHECK(request_feed(&r, str_from(text), &used, &no) == REQUEST_HEAD);
	expect = r.expect_continue;
	request_free(&r);
	return expect;
}

static void
expectation(void)
{
	CHECK(expects(WITH("Expect: 100-Continue\r\nContent-Length: 3\r\n")));
	CHECK(expects(WITH("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")));
	CHECK(!expects(WITH("Expect: 100-continue\r\n")));
	CHECK(!expects(WITH("Expect: else\r\nContent-Length: 3\r\n")));
	CHECK(!expects("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
}

static void
absolute_form(void)
{
	struct result t;

	feed(&t, STR("GET http://Here.example:8/a/b?c HTTP/1.1\r\nHost: there\r\n\r\n"), 5);
	CHECK(t.end == REQUEST_DONE && str_is(t.r.host, "Here.example:8"));
	CHECK(str_is(t.r.path, "/a/b") && str_is(t.r.query, "c"));
	request_free(&t.r);
	feed(&t, STR("GET http://here?c HTTP/1.1\r\nHost: there\r\n\r\n"), 5);
	CHECK(t.end == REQUEST_DONE && str_is(t.r.path, "/") && str_is(t.r.query, "c") && t.r.has_query);
	request_free(&t.r);
	feed(&t, STR("OPTIONS * HTTP/1.1\r\nHost: there\r\n\r\n"), 5);
	CHECK(t.end == REQUEST_DONE && str_is(t.r.path, "*") && !t.r.has_query && str_is(t.r.host, "there"));
	request_free(&t.r);
	feed(&t, STR("GET /? HTTP/1.1\r\nHost: there\r\n\r\n"), 5);
	CHECK(t.end == REQUEST_DONE && str_is(t.r.path, "/") && t.r.query.n == 0 && t.r.has_query);
	request_free(&t.r);
}

static void
hop_by_hop(void)
{
	static const char *ends[] = { "Connection", "keep-alive", "Proxy-Authenticate", "PROXY-AUTHORIZATION",
		"Proxy-Connection", "te", "Trailer", "Transfer-Encoding", "upgrade", "X-One", "x-two",
		"X-Three" };
	static const char *stays[] = { "Content-Type", "Accept", "X-Four", "t", "Trailers", "X-On" };
	struct header all[] = { { STR("Connection"), STR("x-one , X-Two") }, { STR("Accept"), STR("X-Four") },
		{ STR("connection"), STR(",,x-three,") } };

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		CHECK_NAMED(request_hop_by_hop(all, 3, str_from(ends[i])), ends[i]);
	for (size_t i = 0; i < sizeof(stays) / sizeof(*stays); i++)
		CHECK_NAMED(!request_hop_by_hop(all, 3, str_from(stays[i])), stays[i]);
}

static void
below(void)
{
	static const struct {
		const char *path, *base;
		int want;
		const char *rest;
	} all[] = {
		{ "/k/v1/models", "/k/v1", 1, "/models" },
		{ "/k/v1", "/k/v1", 1, "" },
		{ "/k/v1/", "/k/v1", 1, "/" },
		{ "/k/v1//a%2Fb/%zz", "/k/v1", 1, "//a%2Fb/%zz" },
		{ "/k/v10", "/k/v1", 0, NULL },
		{ "/k/v1models", "/k/v1", 0, NULL },
		{ "/k/v", "/k/v1", 0, NULL },
		{ "/K/v1/x", "/k/v1", 0, NULL },
		{ "/k/%761/x", "/k/v1", 0, NULL },
		{ "/k/v1%2fmodels", "/k/v1", 0, NULL },
		{ "/", "/k/v1", 0, NULL },
		{ "*", "/k/v1", 0, NULL },
		{ "*", "", 0, NULL },
		{ "/a", "", 1, "/a" },
		{ "/..", "", -1, NULL },
		{ "/k/v1/..", "/k/v1", -1, NULL },
		{ "/k/v1/../", "/k/v1", -1, NULL },
		{ "/k/v1/../v1/models", "/k/v1", -1, NULL },
		{ "/k/v1/./../x", "/k/v1", -1, NULL },
		{ "/k/v1/%2e%2E/x", "/k/v1", -1, NULL },
		{ "/k/v1/.%2e/x", "/k/v1", -1, NULL },
		{ "/k/v1/%2e./x", "/k/v1", -1, NULL },
		{ "/k/v1/a/../../x", "/k/v1", -1, NULL },
		{ "/k/v1/a%2f..%2f..%2fx", "/k/v1", -1, NULL },
		{ "/k/v1/%2f..%2fx", "/k/v1", -1, NULL },
		{ "/k/v1/..%2fx", "/k/v1", -1, NULL },
		{ "/k/v1/..\\x", "/k/v1", -1, NULL },
		{ "/k/v1/..%5cx", "/k/v1", -1, NULL },
		{ "/k/v1/a\\..\\..\\x", "/k/v1", -1, NULL },
		{ "/k/v1/a%2Fb/../../x", "/k/v1", -1, NULL },
		{ "/k/v1/a\\b/../../x", "/k/v1", -1, NULL },
		{ "/k/v1//../x", "/k/v1", -1, NULL },
		{ "/k/v1/a//../../x", "/k/v1", -1, NULL },
		{ "/k/v1/a/../b", "/k/v1", 1, "/a/../b" },
		{ "/k/v1/a/..", "/k/v1", 1, "/a/.." },
		{ "/k/v1/a/./%2e%2e/b", "/k/v1", 1, "/a/./%2e%2e/b" },
		{ "/k/v1/a%2f..", "/k/v1", 1, "/a%2f.." },
		{ "/k/v1/./x", "/k/v1", 1, "/./x" },
		{ "/k/v1/...", "/k/v1", 1, "/..." },
		{ "/k/v1/..a/b..", "/k/v1", 1, "/..a/b.." },
		{ "/k/v1/a..b/%2", "/k/v1", 1, "/a..b/%2" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct str rest = STR("untouched");
		int got = request_below(str_from(all[i].path), all[i].base, &rest);

		CHECK_NAMED(got == all[i].want && (got != 1 || str_is(rest, all[i].rest)), all[i].path);
	}
}

int
main(void)
{
	request_lines();
	targets();
	header_lines();
	hosts();
	lengths();
	chunks();
	limits();
	head_and_body();
	progress();
	bodies_are_bytes();
	connection();
	expectation();
	absolute_form();
	hop_by_hop();
	below();
	return check_done();
}
