/*
 * keyring: the pool of keys as a process that serves requests keeps it: its index, true to the key files, the
 * books and health.json, and the lock of the books.
 *
 *	keyring_open(&kr, config, trace_among, f);
 *	...				keys/pick.h takes a key, keys/booking.h notes what came of it
 *	keyring_close(&kr);
 *
 * Everything under the state lock takes microseconds; the network never
 * happens under it. When the state folder cannot be used the keyring goes on
 * without books, and says so once through keyring_trouble().
 */
#ifndef KMI_KEYS_KEYRING_H
#define KMI_KEYS_KEYRING_H

#include "base/config.h"
#include "base/fail.h"
#include "keys/index.h"
#include "keys/state.h"
#include "keys/verdict.h"

struct keyring {
	const struct config *config;
	index_describe describe;
	struct state_file state;
	int64_t stuck_until_ms;		/* somebody did not let go of the lock: until then it is waited for but a moment */
	bool books;			/* the lock is held: what happens now can be written down */
	struct verdict_rules *rules;
	struct index index;
	uint64_t settings;
	int64_t looked_ms;		/* when all key files were last compared, monotonic */
	int64_t glanced_ms;		/* and when a few of them */
	long long own_turn;		/* the rotation without books */
	time_t health_at;		/* when health was refreshed last, as the books say; -1: not looked yet */
	struct fail trouble;		/* why there are no books, or what was set aside; see keyring_trouble() */
};

int keyring_open(struct keyring *kr, const struct config *c, index_describe describe, struct fail *f);
void keyring_close(struct keyring *kr);

/* For those two. The lock is taken when kr->books says so afterwards, and then keyring_end() lets it go. */
void keyring_begin(struct keyring *kr);
void keyring_end(struct keyring *kr);
/*
 * The same with an index that holds: ours, else one another process has left, else a new one; `rescan`: that
 * in any case. The head of the books goes to *head. Also after a failure keyring_end() is due.
 */
int keyring_begin_fresh(struct keyring *kr, struct state_head *head, bool rescan, struct fail *f);
/* Whether every request takes the next key: switched on, and allowed. */
bool keyring_is_automatic(const struct keyring *kr, const struct state_head *head);
/* For keyring_trouble(); the first counts. */
void keyring_note(struct keyring *kr, const struct fail *f);

/* Something to tell the log, once: fills *f and forgets it. False when there is nothing. */
bool keyring_trouble(struct keyring *kr, struct fail *f);

#endif
