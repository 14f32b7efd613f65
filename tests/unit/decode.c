#include "proxy/decode.h"

#include "check.h"

#include <stdlib.h>
#include <zlib.h>

static struct buf
packed(struct str plain, int window_bits)
{
	struct buf out = BUF(1 << 20);
	z_stream z = { 0 };
	char *room = buf_room(&out, plain.n + 1000);

	deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(void *)(size_t)plain.p;
	z.avail_in = (uInt)plain.n;
	z.next_out = (Bytef *)room;
	z.avail_out = (uInt)plain.n + 1000;
	deflate(&z, Z_FINISH);
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

static void
reads(const char *encoding, int window_bits)
{
	struct str text = STR("{\"error\": {\"message\": \"usage limit\"}}");
	struct buf in = packed(text, window_bits), out = BUF(1000);

	CHECK(decode_body(str_from(encoding), buf_view(&in), &out));
	CHECK(str_eq(buf_view(&out), text));
	buf_reset(&out);
	/* Cut anywhere: what can be read, and no harm. */
	for (size_t n = 0; n < in.n; n++) {
		buf_reset(&out);
		decode_body(str_from(encoding), str_sub(buf_view(&in), 0, n), &out);
		if (out.n > text.n || (out.n && memcmp(out.p, text.p, out.n) != 0))
			CHECK_NAMED(0, "a cut body gave something else");
	}
	buf_free(&in);
	buf_free(&out);
}

static void
bomb(void)
{
	char *zeros = calloc(1, 900000);
	struct buf in = packed((struct str){ zeros, 900000 }, 31), out = BUF(100000);

	CHECK(in.n < 2000);
	CHECK(decode_body(STR("gzip"), buf_view(&in), &out));
	CHECK_INT(out.n, 100000);
	CHECK(!buf_bad(&out));
	buf_free(&in);
	buf_free(&out);
	free(zeros);
}

int
main(void)
{
	struct buf out = BUF(10);

	reads("gzip", 31);
	reads("GZIP", 31);
	reads("deflate", 15);
	reads("deflate", -15);
	bomb();
	CHECK(decode_body(STR(""), STR("plain and longer"), &out) && out.n == 10);
	CHECK(!decode_body(STR("br"), STR("x"), &out));
	buf_free(&out);
	return check_done();
}
