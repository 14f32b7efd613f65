#include "books/proof.h"

#include "keys/choose.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAP 1024	/* turns that may have been under way when an older file ended */

static bool
is(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static bool
is_first_choice(const char *choice)
{
	static const char *const all[] = { "turn", "own_turn", "active", "session", "most_quota", "probe" };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (is(choice, all[i]))
			return true;
	return false;
}

/* Where among the eligible keys the way to the first one began: at one of `span` places from `place` on. */
struct start {
	size_t place, span;
};

/* The key that such a way leads to, past those at a limit. */
static const char *
due(const struct trace_line *l, const struct proof_among *among, size_t place)
{
	size_t passed = l->passed > 0 ? (size_t)l->passed : 0;

	return among->labels[(place + passed % among->count) % among->count];
}

static bool
leads_to(const struct trace_line *l, const struct proof_among *among, const struct start *s, const char *label)
{
	for (size_t i = 0; i < s->span; i++)
		if (is(label, due(l, among, s->place + i)))
			return true;
	return false;
}

static const char *
used(const struct trace_line *l)
{
	return l->attempts[0].label ? l->attempts[0].label : "?";
}

static enum proof
prove_turn(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	struct start s = { .span = 1 };

	if (l->rotation_index < 0) {
		fail_set(why, FAIL_INPUT, "a turn chose its key, but rotation_index is missing");
		return PROOF_WRONG;
	}
	if (!among->count)
		return PROOF_OPEN;
	s.place = choose_turn(l->rotation_index, among->count);
	if (leads_to(l, among, &s, l->attempts[0].label))
		return PROOF_RIGHT;
	fail_set(why, FAIL_INPUT, "turn %lld among %zu keys was that of %s, but %s was used", (long long)l->rotation_index,
	    among->count, due(l, among, s.place), used(l));
	return PROOF_WRONG;
}

/* What an older kmi's line can show: that nobody unfit was used. */
static enum proof
prove_member(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	struct start s = { .span = among->count };

	if (!among->count)
		return PROOF_OPEN;
	if (leads_to(l, among, &s, l->attempts[0].label))
		return PROOF_RIGHT;
	fail_set(why, FAIL_INPUT, "%s was used, but is not among the keys that were fit", used(l));
	return PROOF_WRONG;
}

static enum proof
prove_active(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	struct start s = { .span = 1 };

	if (l->active_place < 0 || !among->count)
		return prove_member(l, among, why);
	s.place = (size_t)l->active_place;
	for (size_t i = 0; i < among->count; i++)
		if (is(l->active, among->labels[i]) && i != s.place) {
			fail_set(why, FAIL_INPUT, "the active key %s was fit, but the choice did not begin there", l->active);
			return PROOF_WRONG;
		}
	if (s.place < among->count && leads_to(l, among, &s, l->attempts[0].label))
		return PROOF_RIGHT;
	fail_set(why, FAIL_INPUT, "with %s as the active key it was for %s to serve, but %s was used",
	    l->active ? l->active : "?", due(l, among, s.place), used(l));
	return PROOF_WRONG;
}

static enum proof
prove_session(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	struct choose_heaviest best = { 0 };
	struct start s = { .span = 1 };

	if (!l->conversation || !among->count)
		return prove_member(l, among, why);
	for (size_t i = 0; i < among->count; i++)
		choose_weigh(&best, l->conversation, among->accounts ? among->accounts[i] : among->labels[i],
		    among->labels[i], i);
	s.place = best.at;
	if (leads_to(l, among, &s, l->attempts[0].label))
		return PROOF_RIGHT;
	fail_set(why, FAIL_INPUT, "conversation %s was to go to %s, but %s was used", l->conversation,
	    due(l, among, s.place), used(l));
	return PROOF_WRONG;
}

/* Those with most left come first, and one of them is drawn. */
static enum proof
prove_quota(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	struct start s = { 0 };
	size_t told = 0;

	if (!l->quota_count || !among->count)
		return prove_member(l, among, why);
	s.span = l->quota[0].keys;
	for (size_t i = 0; i < l->quota_count; i++) {
		told += l->quota[i].keys;
		if (l->quota[i].keys > among->count || (i && l->quota[i].left >= l->quota[i - 1].left))
			s.span = 0;	/* no figures that kmi writes */
	}
	if (s.span == 0 || told != among->count) {
		fail_set(why, FAIL_INPUT, "quota does not tell of the %zu keys that were fit, the most left first", among->count);
		return PROOF_WRONG;
	}
	if (leads_to(l, among, &s, l->attempts[0].label))
		return PROOF_RIGHT;
	if (s.span == 1)
		fail_set(why, FAIL_INPUT, "%s had most quota left, but %s was used", due(l, among, 0), used(l));
	else
		fail_set(why, FAIL_INPUT, "%s was used, but is not one of the %zu keys that had most quota left", used(l), s.span);
	return PROOF_WRONG;
}

static enum proof
prove_first(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	const char *choice = l->attempts[0].choice;

	if (is(choice, "turn") || is(choice, "own_turn") || (!*choice && l->rotation_index >= 0))
		return prove_turn(l, among, why);
	if (is(choice, "active"))
		return prove_active(l, among, why);
	if (is(choice, "session"))
		return prove_session(l, among, why);
	if (is(choice, "most_quota"))
		return prove_quota(l, among, why);
	if (is(choice, "probe")) {
		if (!l->eligible.count)
			return PROOF_RIGHT;
		fail_set(why, FAIL_INPUT, "a locked key was probed although %zu keys were fit", l->eligible.count);
		return PROOF_WRONG;
	}
	if (!is(choice, "other_account") && !is(choice, "other_key") && !is(choice, "again"))
		return PROOF_OPEN;
	fail_set(why, FAIL_INPUT, "the first attempt was chosen as if it were another one (%s)", choice);
	return PROOF_WRONG;
}

/* Another attempt: on an account, or at least a key, not tried yet; or the same after what may pass. */
static enum proof
prove_another(const struct trace_line *l, int n, struct fail *why)
{
	const struct trace_attempt *a = &l->attempts[n], *before = &l->attempts[n - 1];
	bool key = false, account = false;

	for (int i = 0; i < n; i++) {
		key |= is(l->attempts[i].label, a->label);
		account |= is(l->attempts[i].account, a->account);
	}
	if (is(a->choice, "again")) {
		if (is(a->label, before->label) && (is(before->verdict, "overload") || is(before->verdict, "server")))
			return PROOF_RIGHT;
		fail_set(why, FAIL_INPUT, "attempt %d repeats %s after the verdict %s on %s", n + 1, a->label ? a->label : "?",
		    before->verdict, before->label ? before->label : "?");
		return PROOF_WRONG;
	}
	if (is(a->choice, "other_account") || is(a->choice, "other_key")) {
		if (!key && account == is(a->choice, "other_key"))
			return PROOF_RIGHT;
		fail_set(why, FAIL_INPUT, is(a->choice, "other_key") ?
		    "attempt %d was to be on another key of a tried account, but %s (account %s) is not" :
		    "attempt %d was to be on another account, but %s (account %s) is not", n + 1, a->label ? a->label : "?",
		    a->account ? a->account : "?");
		return PROOF_WRONG;
	}
	if (!is_first_choice(a->choice))
		return PROOF_OPEN;
	fail_set(why, FAIL_INPUT, "attempt %d was chosen as if it were the first (%s)", n + 1, a->choice);
	return PROOF_WRONG;
}

enum proof
proof_line(const struct trace_line *l, const struct proof_among *among, struct fail *why)
{
	const struct trace_attempt *last = l->attempt_count ? &l->attempts[l->attempt_count - 1] : NULL;
	enum proof proof = PROOF_OPEN;

	if (last && !is(l->key_label, last->label)) {
		fail_set(why, FAIL_INPUT, "key_label is %s, but the last attempt was on %s", l->key_label ? l->key_label : "null",
		    last->label ? last->label : "?");
		return PROOF_WRONG;
	}
	if (last && last->account && !is(l->account, last->account)) {
		fail_set(why, FAIL_INPUT, "account is %s, but the last attempt was on %s", l->account ? l->account : "null",
		    last->account);
		return PROOF_WRONG;
	}
	if (last)
		proof = prove_first(l, among, why);
	for (int i = 1; i < l->attempt_count && proof != PROOF_WRONG; i++) {
		enum proof next = prove_another(l, i, why);

		if (next != PROOF_RIGHT)
			proof = next;
	}
	if (proof != PROOF_WRONG && trace_line_intact(l) == 0) {
		fail_set(why, FAIL_INPUT, "the line was changed after it was written: its sum does not fit");
		return PROOF_WRONG;
	}
	return proof;
}

/* ---- turns */

void
proof_turns_add(struct proof_turns *t, const struct trace_line *l)
{
	int64_t turn = l->rotation_index;
	char start[17] = "";

	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 1024;
		struct proof_entry *list = realloc(t->list, room * sizeof(*list));

		if (!list) {
			t->bad = true;
			return;
		}
		t->list = list;
		t->room = room;
	}
	if (!trace_line_is_ours(l) || (l->attempt_count && is(l->attempts[0].choice, "own_turn")))
		turn = -1;
	memccpy(start, l->request_id ? l->request_id : "", '\0', sizeof(start) - 1);
	t->list[t->count++] = (struct proof_entry){
		.request = strtoull(start, NULL, 16),
		.turn = turn,
		.ended = l->ended,
	};
}

void
proof_turns_free(struct proof_turns *t)
{
	free(t->list);
	*t = (struct proof_turns){ 0 };
}

/* An entry and where it stood, to be sorted. */
struct placed {
	uint64_t key;
	size_t at;
};

static int
by_key(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

struct search {
	time_t now;
	long at;	/* the first wrong line so far, -1: none */
	struct fail why;
};

static bool
is_sooner(const struct search *s, size_t at)
{
	return s->at < 0 || (long)at < s->at;
}

static void
find_doubles(const struct proof_turns *t, struct placed *room, struct search *s)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].request)
			room[n++] = (struct placed){ t->list[i].request, i };
	qsort(room, n, sizeof(*room), by_key);
	for (size_t i = 1; i < n; i++)
		if (room[i].key == room[i - 1].key && is_sooner(s, room[i].at)) {
			s->at = (long)room[i].at;
			fail_set(&s->why, FAIL_INPUT, "this request is in the trace twice");
		}
}

/* One life of the rotation: the lines from `from` up to `to`. */
static void
find_gaps(const struct proof_turns *t, size_t from, size_t to, bool older_deleted, struct placed *room, struct search *s,
    struct proof_warnings *w)
{
	uint64_t first = UINT64_MAX;
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		if (t->list[i].turn >= 0) {
			if (first == UINT64_MAX)
				first = (uint64_t)t->list[i].turn;
			room[n++] = (struct placed){ (uint64_t)t->list[i].turn, i };
		}
	if (older_deleted)
		first += OVERLAP;
	qsort(room, n, sizeof(*room), by_key);
	for (size_t i = 1; i < n; i++) {
		uint64_t before = room[i - 1].key, now = room[i].key;

		if (now <= before + 1)
			continue;
		if (older_deleted && now <= first) {
			w->unseen += (size_t)(now - before - 1);
		} else if (t->list[room[i].at].ended + PROOF_RUNNING_SECONDS > s->now) {
			w->running += (size_t)(now - before - 1);
		} else if (is_sooner(s, room[i].at)) {
			s->at = (long)room[i].at;
			if (now == before + 2)
				fail_set(&s->why, FAIL_INPUT, "turn %llu is missing before it: its line was removed, "
				    "or its request was killed, or still runs", (unsigned long long)before + 1);
			else
				fail_set(&s->why, FAIL_INPUT, "turns %llu to %llu are missing before it: lines were removed, "
				    "state.json was changed, or requests were killed or still run",
				    (unsigned long long)before + 1, (unsigned long long)now - 1);
		}
	}
}

/* Whether the rotation began anew about here: then turns go on from 0, and nothing else explains one that repeats. */
static bool
begins_anew(const struct proof_turns *t, size_t at)
{
	for (size_t i = at; i < t->count && i < at + OVERLAP; i++)
		if (t->list[i].turn == 0)
			return true;
	return false;
}

/* Cuts the lines into lives at turns that repeat, and looks for gaps in each. */
static void
find_turns(const struct proof_turns *t, bool older_deleted, struct placed *room, size_t *life, struct search *s,
    struct proof_warnings *w)
{
	size_t from = 0, n = 0;

	/* For each line, the one before it with the same turn: SIZE_MAX, none. */
	for (size_t i = 0; i < t->count; i++) {
		life[i] = SIZE_MAX;
		if (t->list[i].turn >= 0)
			room[n++] = (struct placed){ (uint64_t)t->list[i].turn, i };
	}
	qsort(room, n, sizeof(*room), by_key);
	for (size_t i = 1; i < n; i++)
		if (room[i].key == room[i - 1].key)
			life[room[i].at] = room[i - 1].at;
	for (size_t i = 0; i < t->count; i++) {
		if (life[i] == SIZE_MAX || life[i] < from || t->list[life[i]].request == t->list[i].request)
			continue;
		if (!begins_anew(t, i)) {
			if (is_sooner(s, i)) {
				s->at = (long)i;
				fail_set(&s->why, FAIL_INPUT, "turn %lld was given to two requests", (long long)t->list[i].turn);
			}
			continue;
		}
		find_gaps(t, from, i, older_deleted && from == 0, room, s, w);
		w->restarts++;
		from = i;
	}
	find_gaps(t, from, t->count, older_deleted && from == 0, room, s, w);
	for (size_t i = from; i < t->count; i++)
		if (t->list[i].turn > w->last_turn)
			w->last_turn = t->list[i].turn;
}

long
proof_turns_first_wrong(const struct proof_turns *t, bool older_deleted, time_t now, struct proof_warnings *w,
    struct fail *why)
{
	struct placed *room = calloc(t->count + 1, sizeof(*room));
	size_t *life = calloc(t->count + 1, sizeof(*life));
	struct search s = { .now = now, .at = -1 };

	*w = (struct proof_warnings){ .last_turn = -1 };
	if (!room || !life || t->bad) {
		fail_memory(&s.why);
		s.at = t->count ? (long)t->count - 1 : 0;
	} else {
		find_doubles(t, room, &s);
		find_turns(t, older_deleted, room, life, &s, w);
	}
	if (s.at >= 0)
		*why = s.why;
	free(room);
	free(life);
	return s.at;
}
