/*
 * lock: how a judgement changes the books of a key, and when a lock ends. Pure: works on struct state_key.
 *
 * Rules: a lock never gets shorter by a later shorter hint; it ends by its
 * time, by a success of a request that began after it was set, by unlock, or
 * by a changed key file. A clock that was set back does not stretch it: what counts is the length it was set for.
 */
#ifndef KMI_KEYS_LOCK_H
#define KMI_KEYS_LOCK_H

#include "base/config.h"
#include "keys/state.h"
#include "keys/verdict.h"

/* The end of a lock as it stands now: 0 when it has none or is over; TIME_NEVER when only an event ends it. */
time_t lock_end(const struct lock *l, time_t now);

/* Takes in what one attempt taught. `started`: wall time it began; `tag`: the key file's version used. */
void lock_apply(struct state_key *k, const struct judgement *j, time_t started, const char *tag, time_t now);

/*
 * A server fault, once it is known that other keys do better meanwhile: rests 5, 10, 20, 40, 60 s.
 * Attempts that began before the last rest was set do not count again.
 */
void lock_rest(struct state_key *k, const struct judgement *j, time_t started, time_t now);

/* The key's file is not the one a block was set for: the block and any guess end. */
bool lock_file_changed(struct state_key *k, const char *tag);

void lock_clear(struct state_key *k);	/* by hand */

#endif
