/*
 * choose: keys + state + now -> a key, or why none. Pure: no I/O, time is a parameter.
 *
 * In three steps, because the first is the only one whose cost grows with the number of keys, and its
 * result holds until something changes:
 *
 *	choose_eligible()  who can be chosen now, in pool order, and until when that answer holds
 *	choose_turn()      whose turn it is among them: O(1)
 *	choose_none()      when nobody can: whom to probe, or what to answer and for how long
 */
#ifndef KMI_KEYS_CHOOSE_H
#define KMI_KEYS_CHOOSE_H

#include "base/config.h"
#include "keys/state.h"

#include <stdint.h>

enum fitness { FIT_HEALTHY, FIT_WARN, FIT_EXHAUSTED, FIT_BLOCKED, FIT_DISABLED };

const char *fitness_name(enum fitness f);	/* "healthy", "warn", ... */

/* What is known of one key: its file, its books, its quota. */
struct choose_key {
	const char *label;
	const char *account;
	bool disabled;
	const struct state_key *books;	/* NULL: nothing yet */
	bool usage_seen;		/* health has an answer for it */
	int usage_left;			/* percent left, -1 = not known */
	time_t usage_reset;		/* 0 = not known */
};

struct choose_fit {
	enum fitness fitness;
	time_t until;		/* end of what bars it, TIME_NEVER, or 0 */
	const struct lock *lock;	/* the lock that bars it (its own or its account's), or NULL */
	bool may_probe;		/* whatever bars it is our own guess: choose_none() may propose it */
	char reason[64];	/* "" when healthy */
};

/*
 * The status of every key of the pool; locks of an account bar all its keys.
 *
 * Errors fade: the books keep totals and the time of the last error, so each error is taken to be as old as
 * the last one and to weigh half as much every 5 minutes. The weighted errors over all requests are the error
 * rate; and for 10 minutes after the last one (until it weighs a quarter) any 403, 429 or 5xx is a warning by
 * itself. Without the time of an error (unlocked since, or a new key in the file) they weigh nothing.
 */
void choose_fitness(const struct choose_key *keys, size_t count, const struct config *c, time_t now, struct choose_fit *out);

struct choose_set {
	uint32_t *index;	/* into keys, pool order; room for `count`, from the caller */
	size_t count;
	time_t valid_until;	/* the soonest end of a lock (a fading warning does not count), TIME_NEVER = no end in sight */
};

/*
 * automatic: health, when there, narrows the set to healthy (and warn when the configuration allows); if that
 * leaves nobody, to warn; if still nobody, all that no lock bars. Manual: all that no lock bars. Strict
 * (REQUIRE_USAGE_BEFORE_REQUEST) leaves out keys that health has no answer for; while it has none for any
 * key, all of them or, with FAIL_OPEN_ON_EMPTY_CACHE, none.
 */
void choose_eligible(const struct choose_key *keys, const struct choose_fit *fit, size_t count, bool automatic,
    const struct config *c, time_t now, struct choose_set *out);

/* Automatic: the member whose turn it is. `turn` is rotation_index. */
size_t choose_turn(long long turn, size_t eligible_count);
/* Manual: the place in `eligible` of the active key while it is fit, else of the next one after it in pool order. */
size_t choose_active(const uint32_t *eligible, size_t count, long long active_index);	/* eligible ascending: binary search */

/* Percent left of its quota: health's figure, unless the window it was about has ended since; -1 = not known. */
int choose_left(const struct choose_key *key, time_t now);
/* Strategy most-quota: puts those with most quota left first (unknown counts as none); returns how many share that place. */
size_t choose_by_quota(const struct choose_key *keys, time_t now, struct choose_set *set);
/*
 * Strategy session: rendezvous hashing. A session belongs to the account that weighs most for it, and there to the
 * key that does. Needs no table, and a key that comes or goes moves only the sessions that become or were its own.
 */
uint64_t choose_weight(const char *session, const char *name);

struct choose_heaviest {
	uint64_t account, key;
	size_t at;		/* the place of the one that weighs most so far */
};

/* Starts with a zeroed struct; called for each eligible key in order. */
void choose_weigh(struct choose_heaviest *best, const char *session, const char *account, const char *label, size_t at);

struct choose_none {
	long probe;		/* index of a key whose lock is only a guess and may be tried now, or -1 */
	int status;		/* 429, 402 or 503 */
	time_t soonest;		/* end of the first lock, 0 = none will end by time */
	const char *code;	/* all_keys_locked, payment_required, all_keys_blocked, all_keys_disabled, no_keys, usage_unknown */
};

/*
 * Every 5 s one request may try an account whose lock is our own guess (may_probe), the soonest-ending first,
 * then the one that was tried longest ago; the caller writes probed_at. The answer, when there is nobody to
 * try: 429 when a lock other than for payment will end by time, 402 when payment blocks are what is left
 * beside keys that only a person can mend, else 503. `soonest` counts payment blocks too.
 */
void choose_none(const struct choose_key *keys, const struct choose_fit *fit, size_t count, time_t now,
    struct choose_none *out);

#endif
