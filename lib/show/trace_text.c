#include "show/trace_text.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/window.h"
#include "show/standing.h"
#include "show/table.h"
#include "show/words.h"

#include <string.h>

#define LONG_MS 10000	/* from here on seconds are clearer */
#define NAMES_MAX 16	/* of the keys a choice was made among, that many are named */

enum tone
trace_text_tone(const struct trace_line *l)
{
	if (l->status >= 200 && l->status < 400 && !l->error_code)
		return TONE_GOOD;
	return l->status >= 400 && l->status < 500 ? TONE_WARN : TONE_BAD;
}

void
trace_text_label(struct buf *out, const struct look *look, const char *label, int width)
{
	struct look narrow = { .width = width - 1 };
	struct buf clean = BUF(65536);
	size_t n;

	words_clean(&clean, label ? label : "-");
	n = window_columns(buf_view(&clean));
	if (look->width && n > (size_t)width) {
		look_clip(&narrow, buf_view(&clean), out);
		buf_puts(out, "…");
	} else {
		buf_str(out, buf_view(&clean));
		buf_fill(out, ' ', n < (size_t)width ? (size_t)width - n : 0);
	}
	buf_free(&clean);
}

static void
put_time(struct buf *out, time_t ended, time_t today)
{
	char ts[CLOCK_LOCAL_SIZE], day[CLOCK_LOCAL_SIZE];

	clock_local(ended, ts);
	clock_local(today, day);
	if (!today)
		buf_printf(out, "%.19s", ts);
	else if (strncmp(ts, day, 10) == 0)
		buf_printf(out, "   %.8s", ts + 11);
	else
		buf_printf(out, "%.11s", ts + 5);
}

void
trace_text_row(struct buf *out, const struct look *look, const struct trace_line *l, const struct trace_row *row)
{
	enum tone tone = trace_text_tone(l);

	put_time(out, l->ended, row->today);
	buf_printf(out, "  %s", look_begin(look, tone));
	if (l->status > 0)
		buf_printf(out, "%3lld", (long long)l->status);
	else
		buf_puts(out, "---");
	buf_printf(out, "%s  ", look_end(look, tone));
	trace_text_label(out, look, l->key_label, row->label_width);
	buf_printf(out, " %6lld ms  ", (long long)(l->latency_ms > 0 ? l->latency_ms : 0));
	words_clean(out, l->method);
	buf_putc(out, ' ');
	words_clean(out, l->endpoint);
	if (l->model) {
		buf_puts(out, "  ");
		words_clean(out, l->model);
	}
	if (l->error_code && strspn(l->error_code, "0123456789") != strlen(l->error_code)) {
		buf_puts(out, "  ");
		words_clean(out, l->error_code);
	}
	if (l->attempt_count > 1)
		buf_printf(out, text_plural(l->attempt_count, "  %lld attempt", "  %lld attempts"), (long long)l->attempt_count);
	if (l->prompt_hint) {
		buf_printf(out, "  %s", look_begin(look, TONE_DIM));
		words_clean(out, l->prompt_hint);
		buf_puts(out, look_end(look, TONE_DIM));
	}
}

/* ---- one request at length */

static void
put_among(struct buf *out, const struct trace_line *l, char *const *labels, size_t count)
{
	if (!l->eligible.count) {
		buf_puts(out, _("no key was fit"));
		return;
	}
	buf_printf(out, text_plural((long long)l->eligible.count, "%lld key was fit", "%lld keys were fit"),
	    (long long)l->eligible.count);
	for (size_t i = 0; i < count && i < NAMES_MAX; i++) {
		buf_puts(out, i ? ", " : ": ");
		words_clean(out, labels[i]);
	}
	if (count > NAMES_MAX)
		buf_puts(out, ", ...");
}

static void
put_passed(struct buf *out, const struct trace_line *l, char *const *labels, size_t count)
{
	size_t passed = l->passed > 0 ? (size_t)l->passed : 0;

	buf_printf(out, text_plural((long long)passed, "%lld key was passed over, being at a limit",
	    "%lld keys were passed over, each being at a limit"), (long long)passed);
	for (size_t i = 0; l->rotation_index >= 0 && count && i < passed && i < NAMES_MAX; i++) {
		buf_puts(out, i ? ", " : ": ");
		words_clean(out, labels[((uint64_t)l->rotation_index + i) % count]);
	}
	if (passed > NAMES_MAX)
		buf_puts(out, ", ...");
}

static const char *
choice_words(const char *choice)
{
	static const struct {
		const char *choice, *words;
	} all[] = {
		{ "turn", N_("its turn in the rotation") },
		{ "own_turn", N_("its turn, as this process counted: the books could not be written") },
		{ "active", N_("the active key, or the next fit one") },
		{ "session", N_("the key of its conversation") },
		{ "most_quota", N_("one with most quota left") },
		{ "other_account", N_("another account") },
		{ "other_key", N_("another key; every account was tried") },
		{ "again", N_("the same key again") },
		{ "probe", N_("tried in spite of a lock that was only a guess") },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strcmp(all[i].choice, choice) == 0)
			return _(all[i].words);
	return choice;
}

static const char *
verdict_words(const char *verdict)
{
	static const struct {
		const char *verdict, *words;
	} all[] = {
		{ "ok", N_("served") },
		{ "request", N_("the request was at fault, not the key") },
		{ "auth", N_("the key was refused: blocked") },
		{ "payment", N_("the account must pay: blocked") },
		{ "quota", N_("the quota is used up: locked until it is renewed") },
		{ "concurrency", N_("too many requests at once on this account") },
		{ "rate", N_("a rate limit: locked until it is over") },
		{ "overload", N_("the service was overloaded; not the key's fault") },
		{ "forbidden", N_("forbidden: the key rests") },
		{ "server", N_("a fault of the server, or of the way to it") },
		{ "client_gone", N_("the client left") },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strcmp(all[i].verdict, verdict) == 0)
			return _(all[i].words);
	return verdict;
}

static void
put_attempt(struct buf *out, const struct trace_attempt *a, int number)
{
	buf_printf(out, _("  attempt %d: "), number);
	words_clean(out, a->label);
	if (a->account && a->label && strcmp(a->account, a->label) != 0) {
		buf_puts(out, " (");
		words_clean(out, a->account);
		buf_putc(out, ')');
	}
	if (*a->choice) {
		buf_puts(out, ", ");
		words_clean(out, choice_words(a->choice));
	}
	buf_puts(out, "\n    -> ");
	if (a->status)
		buf_printf(out, "%d, ", a->status);
	else
		buf_puts(out, _("no answer, "));
	words_clean(out, verdict_words(a->verdict));
	buf_printf(out, _(", after %lld ms\n"), (long long)(a->ms > 0 ? a->ms : 0));
}

static void
put_times(struct buf *out, const struct trace_line *l)
{
	buf_printf(out, _("  it took %lld ms"), (long long)(l->latency_ms > 0 ? l->latency_ms : 0));
	if (l->wait_ms > 0)
		buf_printf(out, _(", of that %lld ms waiting for a key"), (long long)l->wait_ms);
	if (l->connect_ms > 0)
		buf_printf(out, _(", %lld ms to connect"), (long long)l->connect_ms);
	if (l->ttfb_ms > 0)
		buf_printf(out, _(", %lld ms to the first byte"), (long long)l->ttfb_ms);
	buf_putc(out, '\n');
}

static void
put_proof(struct buf *out, const struct look *look, enum proof proof, const struct fail *why)
{
	enum tone tone = proof == PROOF_RIGHT ? TONE_GOOD : proof == PROOF_WRONG ? TONE_BAD : TONE_DIM;

	buf_printf(out, "  %s", look_begin(look, tone));
	switch (proof) {
	case PROOF_RIGHT:
		buf_puts(out, _("the choice was right: recomputed from this line"));
		break;
	case PROOF_WRONG:
		buf_printf(out, _("the choice was NOT right: %s"), why->text);
		break;
	case PROOF_OPEN:
		buf_puts(out, _("the line does not say enough to recompute the choice"));
		break;
	}
	buf_printf(out, "%s\n", look_end(look, tone));
}

/* Whose turn it was, among whom, and what came of it. */
static void
put_choice(struct buf *out, const struct trace_line *l, char *const *labels, size_t count)
{
	if (l->rotation_index >= 0)
		buf_printf(out, _("  rotation, turn %lld: "), (long long)l->rotation_index);
	else
		buf_puts(out, l->eligible.count ? _("  without a turn: ") : _("  no choice: "));
	put_among(out, l, labels, count);
	if (l->passed > 0) {
		buf_puts(out, "\n  ");
		put_passed(out, l, labels, count);
	}
	buf_putc(out, '\n');
	for (int i = 0; i < l->attempt_count; i++)
		put_attempt(out, &l->attempts[i], i + 1);
}

void
trace_text_why(struct buf *out, const struct look *look, const struct trace_line *l, char *const *labels, size_t count,
    enum proof proof, const struct fail *why)
{
	char ts[CLOCK_LOCAL_SIZE];

	clock_local(l->ended, ts);
	buf_puts(out, look_begin(look, TONE_BOLD));
	words_clean(out, l->request_id);
	buf_printf(out, "%s  ", look_end(look, TONE_BOLD));
	words_clean(out, l->method);
	buf_putc(out, ' ');
	words_clean(out, l->endpoint);
	buf_printf(out, _("\n  ended %s\n"), ts);
	if (l->dry_run)
		buf_puts(out, _("  dry run: no upstream was asked\n"));
	if (trace_line_is_ours(l)) {
		put_choice(out, l, labels, count);
	} else {
		buf_puts(out, _("  a line of the older tool, which tells only the key: "));
		words_clean(out, l->key_label);
		buf_putc(out, '\n');
	}
	if (l->status > 0)
		buf_printf(out, _("  the client got %lld"), (long long)l->status);
	else
		buf_puts(out, _("  the client got no answer"));
	if (l->error_code) {
		buf_puts(out, ", ");
		words_clean(out, l->error_code);
	}
	buf_putc(out, '\n');
	put_times(out, l);
	if (l->attempt_count)
		put_proof(out, look, proof, why);
}

/* ---- many */

void
trace_text_classes(struct buf *out, const struct tally *t)
{
	bool some = false;

	for (int i = TALLY_1XX; i < TALLY_CLASSES; i++)
		if (t->classes[i] || i == TALLY_2XX || i >= TALLY_4XX) {
			buf_printf(out, "%s%s %zu", some ? "  " : "", tally_class_names[i], t->classes[i]);
			some = true;
		}
	if (t->classes[TALLY_NONE])
		buf_printf(out, _("  no answer %zu"), t->classes[TALLY_NONE]);
}

void
trace_text_latency(struct buf *out, const struct tally_figures *f)
{
	const struct {
		const char *name;
		int64_t ms;
	} all[] = { { N_("p50"), f->p50 }, { N_("p90"), f->p90 }, { N_("p99"), f->p99 }, { N_("max"), f->max } };

	if (f->max < 0)
		buf_putc(out, '-');
	for (size_t i = 0; f->max >= 0 && i < sizeof(all) / sizeof(*all); i++) {
		buf_printf(out, i ? "  %s " : "%s ", _(all[i].name));
		if (all[i].ms < LONG_MS)
			buf_printf(out, _("%lld ms"), (long long)all[i].ms);
		else
			buf_printf(out, _("%.1f s"), (double)all[i].ms / 1000);
	}
}

void
trace_text_confidence(struct buf *out, const struct tally *t, const struct tally_figures *f)
{
	if (t->partial)
		buf_puts(out, _("none: only some of the requests are looked at"));
	else if (f->fair.confidence < 0)
		buf_puts(out, _("none: no request was given out by rotation"));
	else
		buf_printf(out, _("%.1f %%  (chi-square p %.3f)"), f->fair.confidence, f->fair.p);
}

/* All keys that were chosen, could have been, or answered: both lists are by label. */
static int
put_keys(struct buf *out, const struct look *look, const struct tally *t, const struct tally_figures *f)
{
	struct table *table = table_new(look);
	struct buf cell = BUF(65536);
	size_t i = 0, j = 0;
	int rc;

	table_column(table, _("LABEL"), 0);
	table_column(table, _("ANSWERS"), TABLE_RIGHT);
	table_column(table, _("CHOSEN"), TABLE_RIGHT);
	table_column(table, _("FAIR"), TABLE_RIGHT);
	table_column(table, _("SHARE OF CHOICES"), 0);
	while (i < t->choices.count || j < t->answers.count) {
		const struct fairness_key *a = i < t->choices.count ? &t->choices.keys[i] : NULL;
		const struct fairness_key *b = j < t->answers.count ? &t->answers.keys[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->label, b->label);
		const struct fairness_key *chosen = order <= 0 ? a : NULL;

		i += order <= 0;
		j += order >= 0;
		buf_reset(&cell);
		words_clean(&cell, chosen ? chosen->label : b->label);
		table_row(table);
		table_add(table, cell.p, TONE_NONE);
		table_printf(table, TONE_NONE, "%zu", order >= 0 ? b->chosen : 0);
		if (chosen) {
			buf_reset(&cell);
			standing_bar(&cell, look, f->fair.requests ? 100.0 * (double)chosen->chosen / (double)f->fair.requests : 0);
			table_printf(table, TONE_NONE, "%zu", chosen->chosen);
			table_printf(table, TONE_NONE, "%.1f", chosen->owed);
			table_add(table, cell.p, TONE_NONE);
		} else {
			table_add(table, "-", TONE_DIM);
			table_add(table, "-", TONE_DIM);
			table_add(table, "", TONE_NONE);
		}
	}
	rc = table_text(table, out);
	table_free(table);
	buf_free(&cell);
	return rc;
}

int
trace_text_summary(struct buf *out, const struct look *look, const struct tally *t, const struct tally_figures *f,
    size_t window)
{
	buf_printf(out, _("requests    %zu"), t->total);
	if (window && t->total < window)
		buf_printf(out, _("  (warming up %zu/%zu)"), t->total, window);
	if (t->retried)
		buf_printf(out, _("  (%zu of more than one attempt)"), t->retried);
	buf_puts(out, _("\nanswers     "));
	trace_text_classes(out, t);
	buf_puts(out, _("\nlatency     "));
	trace_text_latency(out, f);
	buf_puts(out, _("\nconfidence  "));
	trace_text_confidence(out, t, f);
	buf_puts(out, "\n");
	if (t->choices.count || t->answers.count) {
		buf_putc(out, '\n');
		return put_keys(out, look, t, f);
	}
	return 0;
}
