/*
 * Any two files: refused with a sentence, or a pair that fits. The first byte chooses: PEM as it is, with a zero byte
 * between certificate and key; or DER, which is dressed as PEM here, so that what lies inside is reached.
 */
#include "base/buf.h"
#include "tls/credential.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
dress(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_printf(out, "-----BEGIN %s-----\n", name);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		buf_putc(out, digits[three >> 18]);
		buf_putc(out, digits[three >> 12 & 63]);
		buf_putc(out, i + 1 < n ? digits[three >> 6 & 63] : '=');
		buf_putc(out, i + 2 < n ? digits[three & 63] : '=');
		if (i % 48 == 45)
			buf_putc(out, '\n');
	}
	buf_printf(out, "\n-----END %s-----\n", name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY" };
	struct buf cert = BUF(1 << 20), key = BUF(1 << 20);
	const uint8_t *cut;
	struct credential *c;
	struct fail f = { 0 };
	size_t first;
	int how;

	if (size < 3)
		return 0;
	how = data[0] % 4;
	first = (size_t)data[1] << 8 | data[2];
	data += 3;
	size -= 3;
	if (how == 3) {
		cut = memchr(data, 0, size);
		first = cut ? (size_t)(cut - data) : size;
		buf_put(&cert, data, first);
		buf_put(&key, data + first, size - first);
	} else {
		first = first < size ? first : size;
		dress(&cert, "CERTIFICATE", data, first);
		dress(&key, names[how], data + first, size - first);
	}
	if (credential_parse(&c, buf_view(&cert), "cert", buf_view(&key), "key", &f) == 0) {
		if (credential_facts(c)->certificates < 1)
			abort();
		credential_free(c);
	} else if (c || !f.text[0]) {
		abort();
	}
	buf_free(&cert);
	buf_wipe(&key);
	return 0;
}
