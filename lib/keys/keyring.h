/*
 * keyring: the pool of keys as a request meets it: pick one, use it, book what came of it.
 *
 *	keyring_open(&kr, config, trace_among, f);
 *	picking_init(&g);		once a request: its place in the rotation, and what it has tried
 *	switch (keyring_pick(&kr, &g, &p, &none)) ...
 *	   PICK_KEY:    p.label, p.secret, ...; send; then keyring_book(&kr, &p, &judgement)
 *	   PICK_LATER:  everybody is at a limit; none.wait_ns until the first is not
 *	   PICK_NONE:   nobody can: none.why says what to answer
 *	pick_free(&p); picking_free(&g);
 *
 * Everything under the state lock takes microseconds; the network never
 * happens under it. When the state folder cannot be used the keyring goes on
 * without books, and says so once through keyring_trouble().
 */
#ifndef KMI_KEYS_KEYRING_H
#define KMI_KEYS_KEYRING_H

#include "base/config.h"
#include "base/fail.h"
#include "keys/choose.h"
#include "keys/index.h"
#include "keys/slot.h"
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

#define PICK_TRIED_MAX 32

/* By which rule a key was picked; the trace names it, so that the choice can be proved later. */
enum pick_choice {
	PICK_TURN,		/* automatic mode: its turn by rotation_index */
	PICK_OWN_TURN,		/* the same by a turn of this process's own: there were no books to count it in */
	PICK_SESSION,		/* strategy session: the key that the conversation belongs to */
	PICK_MOST_QUOTA,	/* strategy most-quota: one of those with most left */
	PICK_ACTIVE,		/* manual mode: the active key, or the next fit one */
	PICK_OTHER_ACCOUNT,	/* another attempt: a key of an account not tried yet */
	PICK_OTHER_KEY,		/* another attempt: every account was tried, but not this key */
	PICK_AGAIN,		/* another attempt on the same key */
	PICK_PROBE,		/* nobody was fit: tried in spite of a lock that was only a guess */
};

const char *pick_choice_name(enum pick_choice choice);	/* "turn", "own_turn", ... */

/* One key, picked for one attempt. Strings are its own, for the index may change meanwhile. */
struct pick {
	enum pick_choice choice;
	char *label, *account, *base_url, *path, *provider;
	char hash[DIGEST_SHORT_SIZE], tag[DIGEST_SHORT_SIZE];
	enum key_format format;
	struct file_stamp stamp;	/* the version of its file that the index knows */
	long long max_rpm, max_concurrency;
	struct slot slot;	/* its place among the requests in flight on the account; see keyring_release() */
	struct buf secret;
	uint64_t state_offset, epoch;
	time_t started;
	bool probe;		/* tried in spite of a lock that was only a guess */
	bool spotless;		/* no fault in a row, and a success noted a moment ago: another one changes nothing */
};

/* A request's way through the pool: what it has tried, and its place in the rotation. */
struct picking {
	char session[DIGEST_SHORT_SIZE];	/* from the caller: the conversation, for strategy session; "" = none */
	bool placed;			/* what follows is set */
	enum pick_choice rule;		/* by which the first key was chosen */
	long long turn;			/* rotation_index; -1 in manual mode */
	bool own_turn;			/* the books could not count it: others may have had the same */
	char *active;			/* manual mode: the label of the active key; NULL: there is none */
	size_t active_place;		/* and where among the eligible keys it, or the next fit one, is */
	struct buf eligible;		/* for the trace: among whom the choice was made */
	size_t passed;			/* for the trace: how many keys the first choice passed over, each at a limit */
	char *tried[PICK_TRIED_MAX];	/* labels */
	char *accounts[PICK_TRIED_MAX];
	size_t tried_count;
};

enum pick_answer { PICK_KEY, PICK_LATER, PICK_NONE };

struct pick_none {
	int64_t wait_ns;		/* PICK_LATER */
	bool whole_proxy;		/* ... by the limit of the whole proxy */
	bool in_flight;			/* ... or as many requests are in flight as may be */
	struct choose_none why;		/* PICK_NONE */
	struct buf keys;		/* JSON array: label, status, reason, until of each key */
};

int keyring_open(struct keyring *kr, const struct config *c, index_describe describe, struct fail *f);
void keyring_close(struct keyring *kr);

void picking_init(struct picking *g);
void picking_free(struct picking *g);
void pick_free(struct pick *p);
void pick_none_free(struct pick_none *n);

/* The key whose turn it is; on later calls for the same request one of an account not tried yet, else one not tried yet. */
enum pick_answer keyring_pick(struct keyring *kr, struct picking *g, struct pick *p, struct pick_none *none);
/* Counts another attempt on the key that *p holds already, and reads its secret again. -1: it is at its own limit, or cannot be read. */
int keyring_again(struct keyring *kr, struct pick *p);
/* The upstream has done its part: another request may use the account. pick_free() does the same. */
void keyring_release(struct pick *p);
/* What an attempt taught. Server faults are only counted; see keyring_rest(). */
void keyring_book(struct keyring *kr, const struct pick *p, const struct judgement *j);
/* A key failed as `j` says while another key did well: it rests. */
void keyring_rest(struct keyring *kr, const char *label, const struct judgement *j, time_t started);

/* Something to tell the log, once: fills *f and forgets it. False when there is nothing. */
bool keyring_trouble(struct keyring *kr, struct fail *f);

#endif
