/*
 * roster: everybody in the pool, in its order, with all that is known of each: key file, books, quota, standing.
 *
 * For the tools that tell a person about the pool. A request has no time for it.
 *
 *	struct roster r;
 *	if (roster_load(&r, &c, clock_wall(), f) < 0) ... no memory
 *	r.auths.keys[i] stands as r.fit[i] says, because of r.keys[i]
 *	roster_free(&r);
 *
 * What is missing is no failure: without usable key files the pool is empty and no_keys says why, without a
 * readable state.json nothing is known of anybody and no_books says why. Nothing is written, but an
 * unreadable state.json is set aside.
 */
#ifndef KMI_KEYS_ROSTER_H
#define KMI_KEYS_ROSTER_H

#include "base/config.h"
#include "keys/auths.h"
#include "keys/choose.h"
#include "keys/health.h"
#include "keys/state.h"

struct roster {
	struct auths auths;
	struct state state;
	struct health health;
	struct choose_key *keys;	/* both in the order of auths.keys */
	struct choose_fit *fit;
	struct fail no_keys, no_books, no_health;	/* kind FAIL_NONE: all is well */
};

/*
 * The same for who asks only how keys stand: while pool.index is true to the key files, none of them is
 * opened. Mask, email, priority and provider are not known then.
 */
int roster_load_standing(struct roster *r, const struct config *c, time_t now, struct fail *f);
int roster_load(struct roster *r, const struct config *c, time_t now, struct fail *f);
/* Reads state.json again and judges anew: for who holds its lock by now, and may not go by what was there before. */
void roster_again(struct roster *r, const struct config *c, time_t now);
void roster_free(struct roster *r);

/* How many keys stand so. */
size_t roster_count(const struct roster *r, enum fitness fitness);
/* Keys that may serve a request now: healthy or warn. */
size_t roster_usable(const struct roster *r);
/* The key that manual mode starts from; NULL when the pool is empty. */
const struct auth *roster_active(const struct roster *r);

#endif
