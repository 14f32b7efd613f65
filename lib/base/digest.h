/* digest: SHA-256 fingerprints, constant-time comparison and random names. */
#ifndef KMI_BASE_DIGEST_H
#define KMI_BASE_DIGEST_H

#include "base/buf.h"

#define DIGEST_SHORT_SIZE 13	/* 12 hex digits and the NUL */
#define DIGEST_ID_SIZE 33	/* 32 hex digits and the NUL */

/* The first 12 hex digits of SHA-256: how a secret is named without being told. */
void digest_short(struct str data, char out[DIGEST_SHORT_SIZE]);
/* 128 random bits in hex, for request ids. */
void digest_random(char out[DIGEST_ID_SIZE]);
/* A random number below n (n > 0), for jitter. */
unsigned digest_below(unsigned n);
/* Equality in a time that depends on neither content nor the length of `secret`. */
bool digest_same(struct str given, struct str secret);

#endif
