#include "proxy/decode.h"

#include <zlib.h>

static void
inflate_into(struct str body, int window_bits, struct buf *out)
{
	z_stream z = { 0 };
	int rc = Z_OK;

	if (inflateInit2(&z, window_bits) != Z_OK)
		return;
	z.next_in = (Bytef *)(void *)(size_t)body.p;
	z.avail_in = (uInt)(body.n > 1u << 30 ? 1u << 30 : body.n);
	while (rc == Z_OK) {
		size_t want = out->max - out->n > 65536 ? 65536 : out->max - out->n;
		char *room = want ? buf_room(out, want) : NULL;

		if (!room)
			break;
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)want;
		rc = inflate(&z, Z_SYNC_FLUSH);
		out->n += want - z.avail_out;
		if (rc == Z_BUF_ERROR || (rc == Z_OK && z.avail_out == want))
			break;
	}
	inflateEnd(&z);
	if (out->p)
		out->p[out->n] = '\0';
}

bool
decode_body(struct str encoding, struct str body, struct buf *out)
{
	if (encoding.n == 0 || str_caseis(encoding, "identity")) {
		buf_str(out, str_sub(body, 0, out->max));
		return true;
	}
	if (str_caseis(encoding, "gzip") || str_caseis(encoding, "x-gzip")) {
		inflate_into(body, 15 + 32, out);
		return true;
	}
	if (str_caseis(encoding, "deflate")) {
		/* Meant to be zlib; some senders leave its header out. */
		inflate_into(body, 15, out);
		if (!out->n)
			inflate_into(body, -15, out);
		return true;
	}
	return false;
}
