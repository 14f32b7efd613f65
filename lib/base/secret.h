/*
 * secret: the last look at everything that leaves.
 *
 * Whoever reads a secret (a key, the proxy's token) tells it here, once; whoever writes for people or for a
 * file of record (fail, events, trace, the tools' output, what goes to a client about an error) lets this
 * look over the text first. What is kept is a fingerprint: the secret itself can be wiped as soon as it was
 * used.
 *
 * That no message quotes a secret is the duty of those who write them. This is the net below: an upstream
 * that repeats the key it refuses, a key in a file's name, a message written next year.
 */
#ifndef KMI_BASE_SECRET_H
#define KMI_BASE_SECRET_H

#include "base/buf.h"

#define SECRET_SHORTEST 8	/* anything shorter is as likely a word of the text */

/* From now on this is hidden. Out of memory: it is not, and nothing else is lost. */
void secret_know(struct str secret);
/* Every secret in the text becomes stars, byte for byte; one that the text's end cuts off, too. Whether there was any. */
bool secret_hide(char *text, size_t n);

#endif
