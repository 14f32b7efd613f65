#include "keys/booking.h"

#include "base/clock.h"
#include "keys/lock.h"

#include <string.h>

static bool
has_lock(const struct state_key *k)
{
	return k->exhausted.until || k->blocked.until || k->file_tag[0];
}

/*
 * In place, when only counters move: nothing but an answer of a key that has
 * no lock and gets none. False: it takes the long way.
 */
static bool
book_in_place(struct keyring *kr, const struct pick *p, const struct judgement *j, time_t now)
{
	struct state_key k = { .label = p->label };
	struct state_counts was;
	struct state_head head;

	if (p->probe || state_peek(&kr->state, &head, NULL) < 0 || head.epoch != p->epoch ||
	    state_peek_key(&kr->state, p->state_offset, p->label, &was, NULL) < 0)
		return false;
	k.counts = was;
	lock_apply(&k, j, p->started, p->tag, now);
	if (has_lock(&k))
		return false;
	return memcmp(&was, &k.counts, sizeof(was)) == 0 ||
	    state_poke_key(&kr->state, p->state_offset, p->label, &was, &k.counts, NULL) == 0;
}

/* A success of one key ends what its whole account was barred for. */
static void
tell_siblings(const struct keyring *kr, struct state *st, const struct state_key *by, time_t started)
{
	struct index_facts x;
	struct index_key k;
	const char *account = NULL;

	if (!kr->index.p)
		return;
	index_facts(&kr->index, &x);
	for (size_t i = 0; i < x.key_count && !account; i++)
		if (index_key(&kr->index, i, &k) == 0 && strcmp(k.label, by->label) == 0)
			account = k.account;
	for (size_t i = 0; account && i < x.key_count; i++) {
		struct state_key *sibling;

		if (index_key(&kr->index, i, &k) < 0 || strcmp(k.account, account) != 0)
			continue;
		sibling = state_find(st, k.label);
		if (sibling && sibling != by)
			lock_account_served(sibling, by, started);
	}
}

/* Read whole, changed by an answer or a rest, written. */
static void
book_whole(struct keyring *kr, const char *label, const struct judgement *j, time_t started, const char *tag, bool rest)
{
	struct state st = { 0 };
	struct state_key *k;
	struct fail f = { 0 };
	time_t now = clock_wall();

	if (state_load(&kr->state, &st, NULL, &f) < 0 || !(k = state_add(&st, label))) {
		keyring_note(kr, &f);
	} else {
		if (rest)
			lock_rest(k, j, started, now);
		else
			lock_apply(k, j, started, tag, now);
		if (!rest && j->verdict == VERDICT_OK)
			tell_siblings(kr, &st, k, started);
		if (state_save(&kr->state, &st, false, &f) < 0)
			keyring_note(kr, &f);
	}
	state_free(&st);
}

void
booking_add(struct keyring *kr, const struct pick *p, const struct judgement *j)
{
	if (p->spotless && j->verdict == VERDICT_OK && !p->probe)
		return;		/* the common case: nothing to write, so nothing to lock */
	keyring_begin(kr);
	if (kr->books && !book_in_place(kr, p, j, clock_wall()))
		book_whole(kr, p->label, j, p->started, p->tag, false);
	keyring_end(kr);
}

void
booking_rest(struct keyring *kr, const char *label, const struct judgement *j, time_t started)
{
	keyring_begin(kr);
	if (kr->books)
		book_whole(kr, label, j, started, "", true);
	keyring_end(kr);
}
