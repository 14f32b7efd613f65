/*
 * rank: which key a person is best served by: manual rotation. Pure.
 *
 * Of the keys that are fit: by status, then by what is left of the quota, then by the error rate; where these
 * tie, the current key stays, or, with ROTATE_ON_TIE, the next one in pool order takes its turn.
 */
#ifndef KMI_KEYS_RANK_H
#define KMI_KEYS_RANK_H

#include "keys/choose.h"

enum rank_why {
	RANK_NOBODY,		/* no key is fit */
	RANK_ONLY,		/* the one that is fit */
	RANK_CURRENT_UNFIT,	/* the current one is not */
	RANK_CURRENT_GONE,	/* the current one is not even in the pool any more */
	RANK_STATUS,		/* what speaks for it against the current key, or for the current one against the next best */
	RANK_QUOTA,
	RANK_ERRORS,
	RANK_TIE,		/* nothing; the current one stays */
	RANK_TURN,		/* nothing; it is its turn */
};

struct rank {
	size_t chosen;		/* place in the pool */
	size_t against;		/* with whom it was compared, for STATUS, QUOTA, ERRORS, TIE and TURN */
	enum rank_why why;
};

void rank_choose(const struct choose_key *keys, const struct choose_fit *fit, size_t count, size_t current, bool on_tie,
    struct rank *out);
bool rank_is_fit(const struct choose_key *key, const struct choose_fit *fit);
/* Errors in a hundred requests. */
int rank_error_rate(const struct choose_key *key);

#endif
