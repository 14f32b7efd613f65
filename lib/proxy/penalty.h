/*
 * penalty: who tries out tokens is answered ever more slowly.
 *
 * After five wrong tokens within a minute each further wrong one of the same origin costs a wait: 1, 2, 4 and
 * then always 8 seconds, until fewer come. Only what is wrong waits: a right token is never looked up here,
 * so that nobody behind the same address is locked out by somebody else's failures.
 *
 *	penalty_origin(&peer, origin);			who counts as one
 *	penalty_add(state_dir, origin, &delay_ms, &f);	a wrong token came in: how long its answer is to wait
 *
 * STATE_DIR/penalty holds the times, shared by all processes: a table of fixed size, where an origin's row is
 * found by a hash under a key of the file's own, so that no two origins can be made to share one on purpose.
 * Times are of the monotonic clock. A file that is missing, damaged or from before the last boot just begins
 * anew.
 */
#ifndef KMI_PROXY_PENALTY_H
#define KMI_PROXY_PENALTY_H

#include "base/fail.h"
#include "base/peer.h"

#include <stdint.h>

#define PENALTY_FREE 5		/* wrong tokens in PENALTY_WINDOW_MS that cost nothing */
#define PENALTY_WINDOW_MS 60000
#define PENALTY_MAX_MS 8000
#define PENALTY_ORIGIN_SIZE 24

/* What is kept of an origin. Any bytes are a valid one. */
struct penalty {
	int64_t tried_ms[PENALTY_FREE];	/* when its last wrong tokens came, in a ring */
	uint32_t oldest;		/* in that ring */
	uint32_t step;			/* how many in a row had to wait */
};

/* Counts one that comes now. Returns how long its answer is to wait, in ms. */
int64_t penalty_count(struct penalty *p, int64_t now_ms);

/* An IPv4 address, also in IPv6's clothes; the network (/64) of an IPv6 one; the user at a unix socket. */
void penalty_origin(const struct peer *peer, char out[PENALTY_ORIGIN_SIZE]);

/* -1 when it cannot be counted, with *delay_ms 0. */
int penalty_add(const char *state_dir, const char *origin, int64_t *delay_ms, struct fail *f);

#endif
