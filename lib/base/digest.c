#include "base/digest.h"

#include <bearssl/bearssl_hash.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

static void
hex(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static void
sha256(struct str data, unsigned char out[br_sha256_SIZE])
{
	br_sha256_context c;

	br_sha256_init(&c);
	br_sha256_update(&c, data.p, data.n);
	br_sha256_out(&c, out);
	explicit_bzero(&c, sizeof(c));
}

void
digest_short(struct str data, char out[DIGEST_SHORT_SIZE])
{
	unsigned char sum[br_sha256_SIZE];

	sha256(data, sum);
	hex(sum, (DIGEST_SHORT_SIZE - 1) / 2, out);
}

static void
random_bytes(void *p, size_t n)
{
	/* Up to 256 bytes never fail nor come short once the system is up. */
	while (getrandom(p, n, 0) != (ssize_t)n)
		;
}

void
digest_random(char out[DIGEST_ID_SIZE])
{
	unsigned char id[16];

	random_bytes(id, sizeof(id));
	hex(id, sizeof(id), out);
}

unsigned
digest_below(unsigned n)
{
	uint32_t r;

	random_bytes(&r, sizeof(r));
	return (unsigned)((uint64_t)r * n >> 32);
}

bool
digest_same(struct str given, struct str secret)
{
	unsigned char a[br_sha256_SIZE], b[br_sha256_SIZE], diff = 0;

	/* Sums have one length, whatever was given; comparing them tells nothing of the secret. */
	sha256(given, a);
	sha256(secret, b);
	for (size_t i = 0; i < sizeof(a); i++)
		diff |= a[i] ^ b[i];
	explicit_bzero(b, sizeof(b));
	return diff == 0;
}
