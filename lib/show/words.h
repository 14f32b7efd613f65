/*
 * words: times, counts and states as a person says them.
 *
 * Every human-facing text goes through _(), which gives it in the configured
 * language; the English text is the name it is looked up by.
 */
#ifndef KMI_SHOW_WORDS_H
#define KMI_SHOW_WORDS_H

#include "base/buf.h"

#include <time.h>

#define _(english) words_text(english)

const char *words_text(const char *english) __attribute__((format_arg(1)));

/* "45 s", "4 min", "2 h 5 min", "3 d 4 h": a second unit only while it matters. */
void words_span(struct buf *out, long long seconds);
/* "in 4 min", "2 h ago", "now"; 0 is "never", TIME_NEVER "until unlocked". */
void words_when(struct buf *out, time_t when, time_t now);
/* The form of a text that fits the number; both forms take it as %lld. */
const char *words_plural(long long n, const char *one, const char *many)
    __attribute__((format_arg(2))) __attribute__((format_arg(3)));
/* A word of a file as a word of language: "payment_required" -> "payment required". */
void words_reason(struct buf *out, const char *reason);

#endif
