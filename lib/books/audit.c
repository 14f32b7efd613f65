#include "books/audit.h"

#include "base/clock.h"
#include "books/proof_end.h"
#include "books/trace_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum proof
audit_line(struct trace_sets *sets, const struct trace_line *l, struct fail *why)
{
	struct proof_among among = { 0 };
	char **labels, **accounts;
	size_t count, account_count;
	enum trace_set_answer of_labels = trace_sets_of(sets, &l->eligible, &labels, &count);
	enum trace_set_answer of_accounts = trace_sets_of(sets, &l->accounts, &accounts, &account_count);

	if (of_labels == TRACE_SET_CHANGED || of_accounts == TRACE_SET_CHANGED) {
		fail_set(why, FAIL_INPUT, "trace/sets/%s.json was changed: its labels do not give that name",
		    of_labels == TRACE_SET_CHANGED ? l->eligible.set : l->accounts.set);
		return PROOF_WRONG;
	}
	if (of_accounts == TRACE_SET_KNOWN && of_labels == TRACE_SET_KNOWN && count != account_count) {
		fail_set(why, FAIL_INPUT, "the line tells of %zu keys, but of the accounts of %zu", count, account_count);
		return PROOF_WRONG;
	}
	if (of_labels == TRACE_SET_KNOWN && (of_accounts == TRACE_SET_KNOWN || !l->accounts.set))
		among = (struct proof_among){ .labels = labels, .accounts = accounts, .count = count };
	return proof_line(l, &among, why);
}

static void
name_wrong(struct audit *a, long at, const struct trace_line *l)
{
	a->wrong = at;
	snprintf(a->id, sizeof(a->id), "%s", l->request_id ? l->request_id : "");
	clock_local(l->ended, a->ts);
}

/* Reads on to line number `at`, which comes from the turns, to name it. */
static void
name_line(const struct config *c, struct audit *a, long at)
{
	struct trace_back b;
	struct trace_line l;
	struct str line;
	long n = -1;

	trace_back_open(&b, c);
	while (n < at && trace_back_next(&b, &line)) {
		if (trace_read_line(&l, line, NULL) < 0)
			continue;
		if (++n == at)
			name_wrong(a, at, &l);
		trace_line_free(&l);
	}
	trace_back_close(&b);
}

static void
turn_round(struct proof_turns *t)
{
	for (size_t i = 0, j = t->count; i + 1 < j--; i++) {
		struct proof_entry e = t->list[i];

		t->list[i] = t->list[j];
		t->list[j] = e;
	}
}

static bool
oldest_is_last(const struct config *c)
{
	char *path = NULL;
	struct stat st;
	bool full;

	if (asprintf(&path, "%s/trace/trace.jsonl.%lld", c->state_dir, c->trace_backups) < 0)
		return true;
	full = c->trace_backups == 0 || stat(path, &st) == 0;
	free(path);
	return full;
}

static void
find_missing(struct audit *a, const struct proof_end *end)
{
	proof_end_look(end, a->warnings.last_turn, clock_wall(), &a->missing);
	if (a->missing.key) {
		snprintf(a->missing_key, sizeof(a->missing_key), "%s", a->missing.key);
		a->missing.key = a->missing_key;
	}
}

void
audit_run(struct audit *a, const struct config *c)
{
	struct trace_sets sets = { .config = c };
	struct proof_turns turns = { 0 };
	struct trace_back b;
	struct proof_end end;
	struct trace_line l;
	struct fail why;
	struct str line;
	long at;

	*a = (struct audit){ .wrong = -1 };
	(void)proof_end_open(&end, c->state_dir, &a->no_books);
	trace_back_open(&b, c);
	while (trace_back_next(&b, &line)) {
		enum proof proof;

		if (trace_read_line(&l, line, NULL) < 0) {
			a->corrupt++;
			continue;
		}
		proof = audit_line(&sets, &l, &why);
		a->right += proof == PROOF_RIGHT;
		a->open += proof == PROOF_OPEN && (l.attempt_count || !trace_line_is_ours(&l));
		a->by_turn += l.rotation_index >= 0 && trace_line_is_ours(&l);
		if (proof == PROOF_WRONG) {	/* from the newest on: the last one found is the first */
			name_wrong(a, (long)a->lines, &l);
			a->why = why;
		}
		proof_turns_add(&turns, &l);
		proof_end_add(&end, &l);
		a->lines++;
		trace_line_free(&l);
	}
	turn_round(&turns);
	at = proof_turns_first_wrong(&turns, oldest_is_last(c), clock_wall(), &a->warnings, &why);
	if (at >= 0 && (long)turns.count - 1 - at > a->wrong) {
		name_line(c, a, (long)turns.count - 1 - at);
		a->why = why;
	}
	proof_turns_free(&turns);
	find_missing(a, &end);
	proof_end_close(&end);
	a->trouble = b.trouble;
	trace_back_close(&b);
	trace_sets_free(&sets);
}

bool
audit_is_right(const struct audit *a)
{
	return a->wrong < 0 && !a->missing.late;
}

bool
audit_is_open(const struct audit *a)
{
	return a->warnings.running || a->missing.turns || a->missing.key;
}
