#include "books/proof.h"

#include "keys/choose.h"

#include "check.h"

#include <stdlib.h>

static char *const abc[] = { (char[]){ "a" }, (char[]){ "b" }, (char[]){ "c" } };

struct tried {
	const char *label, *account, *choice, *verdict;
};

static const struct situation {
	const char *name;
	int64_t turn, passed;
	size_t count;		/* of abc, that were eligible */
	struct tried tried[3];
	enum proof proof;
} situations[] = {
	{ "the first turn", 0, 0, 3, { { "a", "a", "turn", "ok" } }, PROOF_RIGHT },
	{ "a later one", 7, 0, 3, { { "b", "b", "turn", "ok" } }, PROOF_RIGHT },
	{ "a very late one", INT64_MAX, 0, 3, { { "b", "b", "turn", "ok" } }, PROOF_RIGHT },
	{ "not its turn", 7, 0, 3, { { "c", "c", "turn", "ok" } }, PROOF_WRONG },
	{ "one at a limit", 7, 1, 3, { { "c", "c", "turn", "ok" } }, PROOF_RIGHT },
	{ "round the end", 7, 2, 3, { { "a", "a", "turn", "ok" } }, PROOF_RIGHT },
	{ "a turn without a number", -1, 0, 3, { { "a", "a", "turn", "ok" } }, PROOF_WRONG },
	{ "nobody knows among whom", 7, 0, 0, { { "c", "c", "turn", "ok" } }, PROOF_OPEN },
	{ "without books", 4, 0, 3, { { "b", "b", "own_turn", "ok" } }, PROOF_RIGHT },
	{ "an older kmi", 4, -1, 3, { { "b", NULL, "", "ok" } }, PROOF_RIGHT },
	{ "an older kmi, wrong", 4, -1, 3, { { "a", NULL, "", "ok" } }, PROOF_WRONG },
	{ "a newer kmi", 4, 0, 3, { { "a", "a", "by_moonlight", "ok" } }, PROOF_OPEN },
	{ "manual, an older kmi", -1, 0, 3, { { "c", "c", "active", "ok" } }, PROOF_RIGHT },
	{ "manual, not fit", -1, 0, 2, { { "c", "c", "active", "ok" } }, PROOF_WRONG },
	{ "by session", -1, 0, 3, { { "b", "b", "session", "ok" } }, PROOF_RIGHT },
	{ "by quota, not fit", -1, 0, 2, { { "c", "c", "most_quota", "ok" } }, PROOF_WRONG },
	{ "a probe", -1, -1, 0, { { "c", "c", "probe", "ok" } }, PROOF_RIGHT },
	{ "a probe, but keys were fit", -1, 0, 2, { { "c", "c", "probe", "ok" } }, PROOF_WRONG },
	{ "no attempt", 3, 0, 3, { { NULL, NULL, "", "" } }, PROOF_OPEN },
	{ "another account", 0, 0, 3, { { "a", "x", "turn", "rate" }, { "b", "y", "other_account", "ok" } }, PROOF_RIGHT },
	{ "it is the same", 0, 0, 3, { { "a", "x", "turn", "rate" }, { "b", "x", "other_account", "ok" } }, PROOF_WRONG },
	{ "another key", 0, 0, 3, { { "a", "x", "turn", "rate" }, { "b", "x", "other_key", "ok" } }, PROOF_RIGHT },
	{ "the same key", 0, 0, 3, { { "a", "x", "turn", "rate" }, { "a", "x", "other_key", "ok" } }, PROOF_WRONG },
	{ "again", 0, 0, 3, { { "a", "x", "turn", "overload" }, { "a", "x", "again", "ok" } }, PROOF_RIGHT },
	{ "again, after a refusal", 0, 0, 3, { { "a", "x", "turn", "auth" }, { "a", "x", "again", "ok" } }, PROOF_WRONG },
	{ "a second turn", 0, 0, 3, { { "a", "x", "turn", "rate" }, { "b", "y", "turn", "ok" } }, PROOF_WRONG },
	{ "an attempt that begins as another", 0, 0, 3, { { "a", "x", "again", "ok" } }, PROOF_WRONG },
	{ "three", 1, 0, 3, { { "b", "x", "turn", "server" }, { "c", "y", "other_account", "server" },
	    { "a", "x", "other_key", "ok" } }, PROOF_RIGHT },
};

static void
lines(void)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		const struct situation *s = &situations[i];
		struct trace_attempt attempts[3];
		struct trace_line l = { .rotation_index = s->turn, .passed = s->passed, .eligible = { .count = s->count },
			.attempts = attempts, .active_place = -1 };
		struct proof_among among = { .labels = abc, .count = s->count };
		struct fail why = { 0 };

		for (; l.attempt_count < 3 && s->tried[l.attempt_count].label; l.attempt_count++) {
			const struct tried *t = &s->tried[l.attempt_count];
			struct trace_attempt *a = &attempts[l.attempt_count];

			*a = (struct trace_attempt){ .label = (char *)(uintptr_t)t->label, .account = (char *)(uintptr_t)t->account };
			strcpy(a->choice, t->choice);
			strcpy(a->verdict, t->verdict);
			l.key_label = a->label;
			l.account = a->account;
		}
		CHECK_NAMED(proof_line(&l, &among, &why) == s->proof, s->name);
		CHECK_NAMED(s->proof != PROOF_WRONG || why.text[0], s->name);
	}
}

static char *const accounts_xyx[] = { (char[]){ "x" }, (char[]){ "y" }, (char[]){ "x" } };

/* What the strategies go by: of each line one key is right, or some are. */
static const struct strategy {
	const char *name, *choice;
	const char *active;
	int64_t active_place;
	const char *conversation;
	char *const *accounts;
	struct trace_quota quota[4];
	int64_t passed;
	const char *right;	/* letters */
} strategies[] = {
	{ "manual: the active key", "active", .active = "b", .active_place = 1, .right = "b" },
	{ "manual: the active key is at a limit", "active", .active = "b", .active_place = 1, .passed = 2, .right = "a" },
	{ "manual: the active key is not fit", "active", .active = "bb", .active_place = 2, .right = "c" },
	{ "manual: the pool has no such place any more", "active", .active_place = 0, .right = "a" },
	{ "manual: no place that there is", "active", .active = "bb", .active_place = 3, .right = "" },
	{ "manual: not where the active key is", "active", .active = "b", .active_place = 2, .right = "" },
	{ "manual, an older kmi", "active", .active_place = -1, .right = "abc" },
	{ "by session", "session", .active_place = -1, .conversation = "0123456789ab", .right = "?" },
	{ "by session, one at a limit", "session", .active_place = -1, .conversation = "0123456789ab", .passed = 1, .right = "?" },
	{ "by session and account", "session", .active_place = -1, .conversation = "0123456789ab", .accounts = accounts_xyx,
	    .right = "?" },
	{ "by session, an older kmi", "session", .active_place = -1, .right = "abc" },
	{ "by quota", "most_quota", .active_place = -1, .quota = { { 80, 1 }, { 20, 2 } }, .right = "a" },
	{ "by quota, two have most", "most_quota", .active_place = -1, .quota = { { 80, 2 }, { -1, 1 } }, .right = "ab" },
	{ "by quota, two have most, one is at a limit", "most_quota", .active_place = -1, .quota = { { 80, 2 }, { 20, 1 } },
	    .passed = 1, .right = "bc" },
	{ "by quota, nothing is known", "most_quota", .active_place = -1, .quota = { { -1, 3 } }, .right = "abc" },
	{ "by quota, not of all", "most_quota", .active_place = -1, .quota = { { 80, 2 } }, .right = "" },
	{ "by quota, not in order", "most_quota", .active_place = -1, .quota = { { 20, 1 }, { 80, 2 } }, .right = "" },
	{ "by quota, none", "most_quota", .active_place = -1, .quota = { { 80, 0 }, { 20, 3 } }, .right = "" },
	{ "by quota, far too many", "most_quota", .active_place = -1, .quota = { { 80, SIZE_MAX }, { 20, 4 } }, .right = "" },
	{ "by quota, an older kmi", "most_quota", .active_place = -1, .right = "abc" },
};

/* Said again, by the rule as it is documented: the heaviest account, and there the heaviest key. */
static size_t
home_of(const struct strategy *s)
{
	size_t best = 0;

	for (size_t i = 1; i < 3; i++) {
		const char *account = s->accounts ? s->accounts[i] : abc[i], *other = s->accounts ? s->accounts[best] : abc[best];
		uint64_t mine = choose_weight(s->conversation, account), theirs = choose_weight(s->conversation, other);

		if (mine > theirs || (mine == theirs && choose_weight(s->conversation, abc[i]) > choose_weight(s->conversation, abc[best])))
			best = i;
	}
	return best;
}

static void
all_strategies(void)
{
	for (size_t i = 0; i < sizeof(strategies) / sizeof(*strategies); i++) {
		const struct strategy *s = &strategies[i];
		struct proof_among among = { .labels = abc, .accounts = s->accounts, .count = 3 };
		char right[2] = "";

		if (*s->right == '?')
			right[0] = abc[(home_of(s) + (size_t)s->passed) % 3][0];
		for (size_t k = 0; k < 3; k++) {
			struct trace_attempt attempt = { .label = abc[k], .account = abc[k] };
			struct trace_line l = { .rotation_index = -1, .passed = s->passed, .eligible = { .count = 3 },
				.attempts = &attempt, .attempt_count = 1, .key_label = abc[k], .account = abc[k],
				.active = (char *)(uintptr_t)s->active, .active_place = s->active_place,
				.conversation = (char *)(uintptr_t)s->conversation, .quota = (struct trace_quota *)(uintptr_t)s->quota };
			struct fail why = { 0 };
			bool good = strchr(*s->right == '?' ? right : s->right, abc[k][0]) != NULL;

			while (l.quota_count < 4 && (s->quota[l.quota_count].keys || s->quota[l.quota_count].left))
				l.quota_count++;
			strcpy(attempt.choice, s->choice);
			CHECK_NAMED(proof_line(&l, &among, &why) == (good ? PROOF_RIGHT : PROOF_WRONG), s->name);
			CHECK_NAMED(good || why.text[0], s->name);
		}
	}
}

static char sum[] = "any: it says that the line is ours";

/* Turns in the order of the file; -1 ends them. Two that are negative below that are the same request. */
static const struct order {
	const char *name;
	int64_t turns[16];
	bool older_deleted;
	long wrong;
	size_t restarts, unseen;
} orders[] = {
	{ "none", { -1 }, false, -1, 0, 0 },
	{ "in order", { 0, 1, 2, 3, -1 }, false, -1, 0, 0 },
	{ "not from the beginning", { 40, 41, 42, -1 }, false, -1, 0, 0 },
	{ "as requests ended", { 2, 0, 1, 4, 3, -1 }, false, -1, 0, 0 },
	{ "one missing", { 0, 1, 3, 4, -1 }, false, 2, 0, 0 },
	{ "two missing", { 0, 1, 2, 5, 6, 8, -1 }, false, 3, 0, 0 },
	{ "missing, in a file that is gone", { 40, 42, 43, -1 }, true, -1, 0, 1 },
	{ "missing, long after it", { 40, 41, 5000, -1 }, true, 2, 0, 0 },
	{ "given twice", { 0, 1, 2, 2, 3, -1 }, false, 3, 1, 0 },
	{ "begun anew", { 0, 1, 2, 3, 0, 1, 2, -1 }, false, -1, 1, 0 },
	{ "begun anew, not in order", { 0, 1, 2, 3, 1, 0, 2, -1 }, false, -1, 1, 0 },
	{ "begun anew, and one missing", { 0, 1, 2, 3, 0, 1, 3, -1 }, false, 6, 1, 0 },
};

static void
all_turns(void)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		const struct order *o = &orders[i];
		struct proof_turns t = { 0 };
		struct trace_line older = { .rotation_index = 77 };
		struct proof_warnings w;
		struct fail why = { 0 };

		for (size_t n = 0; o->turns[n] >= 0; n++) {
			char id[33];
			struct trace_line l = { .request_id = id, .rotation_index = o->turns[n], .check = sum };

			snprintf(id, sizeof(id), "%016zx%016d", n + 1, 0);
			proof_turns_add(&t, &l);
		}
		proof_turns_add(&t, &older);	/* one of the older tool, which counts otherwise */
		CHECK_NAMED(proof_turns_first_wrong(&t, o->older_deleted, 1000000, &w, &why) == o->wrong, o->name);
		CHECK_NAMED(o->wrong >= 0 || (w.restarts == o->restarts && w.unseen == o->unseen), o->name);
		CHECK_NAMED((o->wrong >= 0) == (why.text[0] != '\0'), o->name);
		proof_turns_free(&t);
	}
}

/* A line comes when its request ends: what has not come yet is no wrong, for a while. */
static void
still_running(void)
{
	struct proof_turns t = { 0 };
	struct proof_warnings w;
	struct fail why = { 0 };

	for (int64_t turn = 0; turn < 6; turn++) {
		char id[33];
		struct trace_line l = { .request_id = id, .rotation_index = turn, .ended = 1000 + turn, .check = sum };

		snprintf(id, sizeof(id), "%016d%016d", (int)turn + 1, 0);
		if (turn != 2 && turn != 3)
			proof_turns_add(&t, &l);
	}
	CHECK_INT(proof_turns_first_wrong(&t, false, 1010, &w, &why), -1);
	CHECK_INT(w.running, 2);
	CHECK_INT(proof_turns_first_wrong(&t, false, 100000, &w, &why), 2);
	proof_turns_free(&t);
}

static void
the_same_request(void)
{
	struct trace_line l = { .request_id = (char[]){ "00000000000000070000000000000000" }, .rotation_index = -1 };
	struct proof_turns t = { 0 };
	struct proof_warnings w;
	struct fail why;

	proof_turns_add(&t, &l);
	CHECK_INT(proof_turns_first_wrong(&t, false, 1000000, &w, &why), -1);
	proof_turns_add(&t, &l);
	CHECK_INT(proof_turns_first_wrong(&t, false, 1000000, &w, &why), 1);
	proof_turns_free(&t);
}

int
main(void)
{
	lines();
	all_strategies();
	all_turns();
	still_running();
	the_same_request();
	return check_done();
}
