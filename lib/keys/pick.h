/*
 * pick: one key for one attempt of a request.
 *
 *	picking_init(&g);		once a request: its place in the rotation, and what it has tried
 *	switch (pick_next(&kr, &g, &p, &none)) ...
 *	   PICK_KEY:    p.label, p.secret, ...; send; then booking_add(&kr, &p, &judgement)
 *	   PICK_LATER:  everybody is at a limit; none.wait_ns until the first is not
 *	   PICK_NONE:   nobody can: none.why says what to answer
 *	pick_free(&p); picking_free(&g);
 *
 * Who is fit, and whose turn it is, are decisions of keys/choose.h, most of them made already when the index
 * was; here they meet limits, slots, the books and the key file.
 */
#ifndef KMI_KEYS_PICK_H
#define KMI_KEYS_PICK_H

#include "keys/choose.h"
#include "keys/keyring.h"
#include "keys/slot.h"

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
	struct slot slot;	/* its place among the requests in flight on the account; see pick_release() */
	struct buf secret;
	uint64_t state_offset, epoch;
	time_t started, used_before;	/* when this attempt began; when the key had been used last */
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

void picking_init(struct picking *g);
void picking_free(struct picking *g);
void pick_free(struct pick *p);
void pick_none_free(struct pick_none *n);

/* The key whose turn it is; on later calls for the same request one of an account not tried yet, else one not tried yet. */
enum pick_answer pick_next(struct keyring *kr, struct picking *g, struct pick *p, struct pick_none *none);
/* Another attempt on the key that *p holds: counted, its secret read again. -1: it is at its limit, or cannot be read. */
int pick_again(struct keyring *kr, struct pick *p);
/* The upstream has done its part: another request may use the account. pick_free() does the same. */
void pick_release(struct pick *p);

#endif
