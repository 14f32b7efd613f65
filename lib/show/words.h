/*
 * words: times, counts and states as a person says them.
 */
#ifndef KMI_SHOW_WORDS_H
#define KMI_SHOW_WORDS_H

#include "base/buf.h"
#include "base/text.h"
#include "keys/choose.h"

#include <time.h>

#define words_text text_say
#define words_plural text_plural

/* The text without control characters, for a terminal may obey them; NULL is nothing. */
void words_clean(struct buf *out, const char *text);
/* "45 s", "4 min", "2 h 5 min", "3 d 4 h", "12 y": a second unit only while it matters. */
void words_span(struct buf *out, long long seconds);
/* "in 4 min", "2 h ago", "now"; 0 is "never", TIME_NEVER "until unlocked". */
void words_when(struct buf *out, time_t when, time_t now);
/* How many keys stand so: "3 exhausted". */
void words_fitness(struct buf *out, enum fitness fitness, size_t n);
/* Why a key stands as it does, from the word of the books: "payment_required" -> "payment required". */
void words_reason(struct buf *out, const char *reason);

#endif
