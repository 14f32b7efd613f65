/* However a connection's bytes are cut, the requests read from it are the same, and so is the refusal. */
#include "proxy/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Writes down all that the bytes say when they come in pieces of `step`. */
static void
tell(struct buf *out, struct str in, size_t step)
{
	enum request_progress at = REQUEST_DONE;
	struct refusal no = { 0 };
	size_t used = 0, got, head = 0;
	struct str rest;

	while (at == REQUEST_DONE && used < in.n) {
		struct request r;

		request_init(&r, BODY_MAX);
		do {
			size_t to = in.n - used > step ? used + step : in.n;

			at = request_feed(&r, str_sub(in, used, to), &got, &no);
			if (got > to - used)
				abort();
			used += got;
			head += at == REQUEST_HEAD;
		} while (at == REQUEST_HEAD || (at == REQUEST_MORE && used < in.n));
		if (at == REQUEST_DONE) {
			buf_printf(out, "%.*s %.*s %.*s %.*s %.*s %d%d%d%d %lld %zu\n", STR_F(r.method),
			    STR_F(r.target), STR_F(r.path), STR_F(r.query), STR_F(r.host), r.minor, r.has_body,
			    r.keep_alive, r.expect_continue, (long long)r.content_length, used);
			for (size_t i = 0; i < r.header_count; i++)
				buf_printf(out, "%.*s: %.*s|%d\n", STR_F(r.headers[i].name), STR_F(r.headers[i].value),
				    request_hop_by_hop(r.headers, r.header_count, r.headers[i].name));
			buf_str(out, buf_view(&r.body));
			if (request_below(r.path, "/v1", &rest) == 1)
				buf_str(out, rest);
			if (memchr(r.path.p, '\0', r.path.n) || r.body.n > BODY_MAX)
				abort();
		}
		request_free(&r);
	}
	buf_printf(out, "%d %zu %d %s\n", at, head, no.status, at == REQUEST_REFUSED ? no.code : "");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole = BUF(1 << 24), cut = BUF(1 << 24);
	struct str in = { (const char *)data, n };

	tell(&whole, in, n + 1);
	tell(&cut, in, 1);
	if (!str_eq(buf_view(&whole), buf_view(&cut)))
		abort();
	buf_reset(&cut);
	tell(&cut, in, 5);
	if (!str_eq(buf_view(&whole), buf_view(&cut)))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
