#include "proxy/received.h"

#include "check.h"

#include <stdlib.h>

enum how { WHOLE, CUT, NOT_HTTP };

struct situation {
	const char *what;
	const char *bytes;
	bool head_only;
	bool closed;		/* the upstream closes after them */
	enum how how;
	int status;
	const char *body;
	bool reusable;
};

static const struct situation situations[] = {
	{ "a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", .status = 200, .body = "abc", .reusable = true },
	{ "no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .status = 200, .body = "", .reusable = true },
	{ "no reason", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", .status = 404, .body = "", .reusable = true },
	{ "chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
	    .status = 200, .body = "abc", .reusable = true },
	{ "trailers end here", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nDigest: x\r\n\r\n",
	    .status = 200, .body = "a", .reusable = true },
	{ "until close", "HTTP/1.1 200 OK\r\n\r\nabc", .closed = true, .status = 200, .body = "abc" },
	{ "1.0 until close", "HTTP/1.0 200 OK\r\n\r\nabc", .closed = true, .status = 200, .body = "abc" },
	{ "Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", .status = 200, .body = "a" },
	{ "the answer to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", .head_only = true, .status = 200, .body = "",
	    .reusable = true },
	{ "304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", .status = 304, .body = "",
	    .reusable = true },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", .status = 204, .body = "", .reusable = true },
	{ "an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
	    .status = 200, .body = "a", .reusable = true },
	{ "more than announced", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", .status = 200, .body = "a" },
	{ "cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", .closed = true, .how = CUT, .status = 200,
	    .body = "ab" },
	{ "cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", .closed = true, .how = CUT,
	    .status = 200, .body = "ab" },
	{ "cut in the head", "HTTP/1.1 200 OK\r\nContent-Le", .closed = true, .how = CUT, .status = 0, .body = "" },
	{ "cut before it began", "", .closed = true, .how = CUT, .status = 0, .body = "" },
	{ "garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", .how = NOT_HTTP },
	{ "bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", .how = NOT_HTTP },
	{ "an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", .how = NOT_HTTP },
	{ "HTTP/2", "HTTP/2 200\r\nContent-Length: 0\r\n\r\n", .how = NOT_HTTP },
	{ "a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", .how = NOT_HTTP },
	{ "both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .how = NOT_HTTP },
	{ "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", .how = NOT_HTTP },
	{ "a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .how = NOT_HTTP },
	{ "a chunk size beyond all", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", .how = NOT_HTTP },
	{ "a folded header", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", .how = NOT_HTTP },
	{ "a header without a name", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", .how = NOT_HTTP },
};

/* Feeds in pieces of so many bytes. */
static void
feed(const struct situation *s, size_t piece)
{
	struct received r;
	struct fail f = { 0 };
	struct str rest = str_from(s->bytes);
	int rc = 0;

	received_init(&r);
	received_begin(&r, s->head_only, &f);
	while (rc == 0 && rest.n) {
		size_t n = piece < rest.n ? piece : rest.n;

		rc = received_feed(&r, str_sub(rest, 0, n), &f);
		rest = str_sub(rest, n, rest.n);
	}
	CHECK_NAMED((rc < 0) == (s->how == NOT_HTTP), s->what);
	if (rc < 0)
		printf("# %s\n", f.text);
	if (rc == 0) {
		bool whole = s->closed ? received_end(&r) : r.complete;

		CHECK_NAMED(whole == (s->how == WHOLE), s->what);
		CHECK_INT(r.status, s->status);
		CHECK(str_is(buf_view(&r.body), s->body));
		CHECK_NAMED(r.reusable == s->reusable, s->what);
	}
	received_free(&r);
}

static void
heads(void)
{
	struct received r;
	struct fail f = { 0 };
	const struct header *h;

	received_init(&r);
	received_begin(&r, false, &f);
	CHECK(received_feed(&r, STR("HTTP/1.1 200 All is well\r\nX-A: 1\r\nx-a:2 \r\nEmpty:\r\nContent-Length: 0\r\n\r\n"), &f) == 0);
	CHECK(str_is(r.reason, "All is well"));
	CHECK_INT(r.header_count, 4);
	h = received_header(&r, "X-a");
	CHECK(h && str_is(h->name, "X-A") && str_is(h->value, "1"));
	CHECK(str_is(r.headers[1].name, "x-a") && str_is(r.headers[1].value, "2"));
	CHECK(r.headers[2].value.n == 0);
	/* The next one begins empty. */
	received_begin(&r, false, &f);
	CHECK(!r.head_complete && !r.complete && r.status == 0 && r.header_count == 0 && r.head.n == 0);
	received_free(&r);
}

/* What never ends has an end: heads, interim answers, trailers, headers. */
static void
endless(const char *what, const char *start, const char *more)
{
	struct received r;
	struct fail f = { 0 };
	size_t fed = 0;
	int rc;

	received_init(&r);
	received_begin(&r, false, &f);
	rc = received_feed(&r, str_from(start), &f);
	while (rc == 0 && fed < (8u << 20)) {
		rc = received_feed(&r, str_from(more), &f);
		fed += strlen(more);
	}
	CHECK_NAMED(rc < 0, what);
	printf("# %s after %zu bytes\n", f.text, fed);
	received_free(&r);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		feed(&situations[i], 1);
		feed(&situations[i], 7);
		feed(&situations[i], SIZE_MAX);
	}
	heads();
	endless("a line without end", "HTTP/1.1 200 OK\r\nA: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	endless("headers without end", "HTTP/1.1 200 OK\r\n", "A: b\r\n");
	endless("interim answers without end", "", "HTTP/1.1 100 Continue\r\n\r\n");
	endless("trailers without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", "A: b\r\n");
	endless("a chunk extension without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", "bbbbbbbbbbbbbbbb");
	endless("a body nobody takes", "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	return check_done();
}
