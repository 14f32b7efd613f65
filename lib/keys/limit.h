/*
 * limit: exact rate windows, shared by all processes. Never more than N starts in ANY window of a second or a
 * minute.
 *
 * Each limited thing ("*" for the whole proxy, else a key's label) has a
 * small file below STATE_DIR/limits/, named by a hash, with the times of its last N starts in a
 * ring: the N-th last start tells whether one more may follow. Asking and counting read and write a few
 * bytes, whatever N. Only a larger N makes a new ring, once; what the smaller one had already
 * forgotten then counts as started when its oldest entry was, so that a
 * changed setting refuses too much for a minute at worst, and never too little.
 *
 * The caller holds the state lock, which serves for these files too, and reads the clock after it got the
 * lock: a start is no earlier than it says. Times are of the monotonic clock; a file from before the last
 * boot counts as empty (when it can be told apart: else its starts count for a minute at most).
 *
 *	wait = limit_wait_ns(dir, "*", rps, rpm, now, f);
 *	if (wait <= 0)			-1 is no refusal: the books are out of order, the request is not
 *		limit_take(dir, "*", rps, rpm, now, f);
 */
#ifndef KMI_KEYS_LIMIT_H
#define KMI_KEYS_LIMIT_H

#include "base/fail.h"

#include <stdint.h>

#define LIMIT_MAX 1000000	/* largest N: 8 bytes each on disk */

/* 0: may start now. Else nanoseconds until it may. A file that cannot be read never refuses: -1 with *f. A limit of 0 is none. */
int64_t limit_wait_ns(const char *state_dir, const char *name, long long per_second, long long per_minute,
    int64_t now_ns, struct fail *f);
/* Counts a start, also one that limit_wait_ns() would have refused. A damaged file is started anew. */
int limit_take(const char *state_dir, const char *name, long long per_second, long long per_minute, int64_t now_ns,
    struct fail *f);

#endif
