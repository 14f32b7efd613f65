/*
 * kept_words: texts that are kept in English, in a file or for the log, and shown in the user's language.
 *
 * A whole sentence is its own name in the catalogue. One that was put together from a format is known by that
 * format, which has a single %s; kept_words.c has them.
 */
#ifndef KMI_BASE_KEPT_WORDS_H
#define KMI_BASE_KEPT_WORDS_H

#include "base/text.h"

#include <stddef.h>

enum kept_frame { KEPT_CONNECTION, KEPT_TLS, KEPT_CERTIFICATE, KEPT_STATUS, KEPT_FRAMES };

/* The sentence to be kept. */
void kept_make(enum kept_frame frame, const char *filling, char *out, size_t size);
/* What was kept, in that language, into out; returns out. What is not known stays as it is. */
const char *kept_words_in(enum locale locale, const char *kept, char *out, size_t size);
/* The same in the process's language. */
const char *kept_words(const char *kept, char *out, size_t size);

#endif
