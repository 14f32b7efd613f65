/*
 * lock: how a judgement changes the books of a key, and when a lock ends. Pure: works on struct state_key.
 *
 * A key has two: `blocked` for what a person has to mend (auth, payment), `exhausted` for what passes. Rules:
 * a lock never gets shorter by a later shorter hint, and our own guess does not outlast what the upstream
 * stated of the same trouble; it ends by its time, by a success of a request that began after it was set, by
 * unlock, or by a changed key file. A clock that was set back does not stretch it: what counts is the length
 * it was set for.
 *
 * A lock stands in the books of the key that earned it; choose lets it bar all keys of the account. So a success or
 * an unlock of one key is told to its siblings too: lock_account_served(), lock_clear().
 */
#ifndef KMI_KEYS_LOCK_H
#define KMI_KEYS_LOCK_H

#include "base/config.h"
#include "keys/state.h"
#include "keys/verdict.h"

/* The end of a lock as it stands now: 0 when it has none or is over; TIME_NEVER when only an event ends it. */
time_t lock_end(const struct lock *l, time_t now);
/* Whether it bars every key of the account: all do, but a refused key and a server's fault. */
bool lock_whole_account(const struct lock *l);
/* Whether it is only our guess, and about something that may have passed meanwhile: auth, payment, forbidden, server. */
bool lock_may_probe(const struct lock *l);

/*
 * Takes in what one attempt taught. `started`: wall time it began; `tag`: the key file's version used. Of a
 * server fault it only counts the error: whether the key rests is told by lock_rest().
 */
void lock_apply(struct state_key *k, const struct judgement *j, time_t started, const char *tag, time_t now);

/*
 * A server fault, once it is known that other keys do better meanwhile: rests 5, 10, 20, 40, 60 s.
 * Attempts that began before the last rest was set do not count again.
 */
void lock_rest(struct state_key *k, const struct judgement *j, time_t started, time_t now);

/*
 * Another key of the same account, `by`, was served by a request that began at `started`: what barred the whole
 * account is over in these books too. True when something changed.
 */
bool lock_account_served(struct state_key *k, const struct state_key *by, time_t started);

/* The key's file is not the one a lock was set for: all locks end. True when something changed. */
bool lock_file_changed(struct state_key *k, const char *tag);

/* /usages answered well to an asking that began at `asked`: a block for bad credentials is over. True when something changed. */
bool lock_recheck_passed(struct state_key *k, time_t asked);

void lock_clear(struct state_key *k);	/* by hand */

#endif
