/* However an answer's bytes are cut, what is read from it is the same, and so is the refusal. */
#include "proxy/received.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
tell(struct buf *out, struct str in, size_t step, bool head_only)
{
	struct received r;
	struct fail f = { 0 };
	size_t fed = 0;
	int rc = 0;

	received_init(&r);
	if (received_begin(&r, head_only, &f) < 0)
		abort();
	while (rc == 0 && fed < in.n && !r.complete) {
		size_t to = in.n - fed > step ? fed + step : in.n;

		rc = received_feed(&r, str_sub(in, fed, to), &f);
		fed = to;
	}
	buf_printf(out, "%d ", rc);
	if (rc == 0) {
		buf_printf(out, "%d %d %zu|", received_end(&r), r.status, r.header_count);
		for (size_t i = 0; i < r.header_count; i++)
			buf_printf(out, "%.*s: %.*s|", STR_F(r.headers[i].name), STR_F(r.headers[i].value));
		buf_str(out, buf_view(&r.body));
	}
	received_free(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole = BUF(8u << 20), cut = BUF(8u << 20);
	struct str in;

	if (n < 1 || n > 60000)
		return 0;
	in = (struct str){ (const char *)data + 1, n - 1 };
	tell(&whole, in, SIZE_MAX / 2, data[0] & 1);
	tell(&cut, in, 1 + (data[0] >> 1) % 40, data[0] & 1);
	if (whole.n != cut.n || (whole.n && memcmp(whole.p, cut.p, whole.n) != 0))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
