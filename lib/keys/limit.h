/*
 * limit: exact rate windows, shared by all processes. Never more than N starts in ANY window of a second or a minute.
 *
 * Each limited thing ("*" for the whole proxy, else a key's label) has a
 * small file below STATE_DIR/limits/ with the times of its last N starts in a
 * ring. The caller holds the state lock, which serves for these files too. Times
 * are of the monotonic clock; a file from before the last boot counts as empty.
 */
#ifndef KMI_KEYS_LIMIT_H
#define KMI_KEYS_LIMIT_H

#include "base/fail.h"

#include <stdint.h>

/* 0: may start now. Else nanoseconds until it may. A file that cannot be read never refuses: -1 with *f. */
int64_t limit_wait_ns(const char *state_dir, const char *name, long long per_second, long long per_minute,
    int64_t now_ns, struct fail *f);
/* Counts a start. */
int limit_take(const char *state_dir, const char *name, long long per_second, long long per_minute, int64_t now_ns,
    struct fail *f);

#endif
