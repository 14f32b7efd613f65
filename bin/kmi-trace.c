/*
 * kmi-trace: who was used when, and why.
 *
 *	kmi-trace [--lines N] [--since TIME] [--key LABEL] [--status 4xx] [--no-follow] [--json | --plain]
 *	kmi-trace --summary | --verify | --why ID
 *
 * On a terminal a live screen (show/screen), else like tail -f. --summary counts, --verify recomputes every choice,
 * --why tells one request's story. Reads trace.jsonl and the files it was moved to; opens no key file.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "base/text.h"
#include "books/proof_end.h"
#include "books/tally.h"
#include "books/trace_files.h"
#include "books/trace_filter.h"
#include "show/screen.h"
#include "show/trace_text.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "kmi-trace"
#define TEXT_MAX (256u << 20)
#define LINES_DEFAULT 20
#define LINES_MAX 100000
#define WINDOW_DEFAULT 200
#define WINDOW_MAX 10000
#define LABEL_WIDTH 12
#define CLOCK_SLACK 60		/* lines stand in the order in which requests ended, but for clocks that jump a little */

static const char usage[] =
    "usage: kmi trace [--lines N | --all] [--since TIME] [--key LABEL]\n"
    "                 [--status STATUS] [--no-follow] [--window N] [--json | --plain]\n"
    "       kmi trace --summary [--since TIME] [--key LABEL] [--status STATUS]\n"
    "                 [--window N] [--json | --plain]\n"
    "       kmi trace --verify [--json]\n"
    "       kmi trace --why ID [--json | --plain]\n"
    "\n"
    "Shows the requests that kmi served: on a terminal a live screen, else line by\n"
    "line as they end.\n"
    "\n"
    "  -n, --lines N    begin with the last N lines (20)\n"
    "      --all        begin with all there are\n"
    "      --since TIME only what ended since: 10m, 2h, 1d, 2026-01-31,\n"
    "                   2026-01-31T10:00:00Z\n"
    "      --key LABEL  only requests that this key answered or was tried for\n"
    "      --status S   only this status: 429, 4xx, error, none\n"
    "      --no-follow  print what there is, and end\n"
    "      --window N   figures are of the last N requests (live: 200; summary: all)\n"
    "      --summary    totals, latency, and how fairly keys were chosen\n"
    "      --verify     recompute every choice from the trace; exit 1 if one is wrong\n"
    "      --why ID     the story of one request; the beginning of its id is enough\n"
    "      --json       lines as they are in the trace, or the figures, for scripts\n"
    "      --plain      no colours and no screen\n"
    "  -h, --help       this text\n";

enum { OPT_ALL = 256, OPT_SINCE, OPT_KEY, OPT_STATUS, OPT_WINDOW, OPT_WHY };

static const struct option options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "lines", required_argument, NULL, 'n' },
	{ "no-color", no_argument, NULL, 'c' },
	{ "no-follow", no_argument, NULL, 'f' },
	{ "plain", no_argument, NULL, 'p' },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "status", required_argument, NULL, OPT_STATUS },
	{ "summary", no_argument, NULL, 's' },
	{ "verify", no_argument, NULL, 'v' },
	{ "why", required_argument, NULL, OPT_WHY },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ NULL, 0, NULL, 0 },
};

struct call {
	const char *since, *lines, *window, *why;
	bool all, json, plain, no_color, no_follow, summary, verify;
	struct trace_filter filter;
	size_t line_count, window_count;
};

struct show {
	const struct config *c;
	const struct call *call;
	struct trace_sets sets;
	struct look look;
	size_t corrupt;
};

/* A line of the trace; false, and counted, when it is none. */
static bool
read_line(struct show *s, struct trace_line *l, struct str line)
{
	if (trace_read_line(l, line, NULL) == 0)
		return true;
	s->corrupt++;
	return false;
}

static void
say_corrupt(const struct show *s)
{
	if (s->corrupt)
		program_warn(NAME, text_plural((long long)s->corrupt, "%lld line of the trace cannot be read and is passed over",
		    "%lld lines of the trace cannot be read and are passed over"), (long long)s->corrupt);
}

static int
end(const struct show *s, const struct trace_back *b, struct buf *out, int code)
{
	struct fail f;

	say_corrupt(s);
	if (b->trouble.kind != FAIL_NONE) {
		program_fail(NAME, &b->trouble);
		code = code ? code : 1;
	}
	if (buf_bad(out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	program_print(out);
	return program_end(NAME, code);
}

/* ---- lines */

static void
put_line(struct show *s, struct buf *out, struct str raw, const struct trace_line *l)
{
	struct buf row = BUF(TRACE_LINE_MAX);

	if (s->call->json) {
		buf_str(out, raw);
	} else {
		trace_text_row(&row, &s->look, l, LABEL_WIDTH);
		look_clip(&s->look, buf_view(&row), out);
	}
	buf_putc(out, '\n');
	buf_free(&row);
}

/* The last lines that are wanted, from the newest on; their texts are copies. */
static size_t
collect(struct show *s, struct trace_back *b, struct str *lines, size_t max)
{
	const struct trace_filter *filter = &s->call->filter;
	size_t n = 0, bytes = 0;
	struct trace_line l;
	struct str line;
	bool old = false;

	while (n < max && !old && bytes < TEXT_MAX / 4 && trace_back_next(b, &line)) {
		if (!read_line(s, &l, line))
			continue;
		old = filter->since && l.ended < filter->since - CLOCK_SLACK;
		if (trace_filter_takes(filter, &l)) {
			lines[n] = (struct str){ str_dup(line), line.n };
			bytes += line.n;
			n += lines[n].p != NULL;
		}
		trace_line_free(&l);
	}
	return n;
}

static void
put_last(struct show *s, struct trace_back *b, struct buf *out)
{
	size_t max = s->call->line_count;
	struct str *lines = calloc(max + 1, sizeof(*lines));
	size_t n = lines ? collect(s, b, lines, max) : 0;
	struct trace_line l;

	while (n-- > 0) {
		if (trace_read_line(&l, lines[n], NULL) == 0) {
			put_line(s, out, lines[n], &l);
			trace_line_free(&l);
		}
		free((char *)(uintptr_t)lines[n].p);
	}
	free(lines);
}

/* Prints what is new. False: nobody reads any more. */
static bool
print_new(struct show *s, struct trace_follow *w)
{
	struct buf out = BUF(TEXT_MAX);
	struct trace_line l;
	struct str line;
	size_t corrupt = s->corrupt;
	bool ok;

	while (out.n < (1u << 20) && trace_follow_next(w, &line)) {
		if (!read_line(s, &l, line))
			continue;
		if (trace_filter_takes(&s->call->filter, &l))
			put_line(s, &out, line, &l);
		trace_line_free(&l);
	}
	if (corrupt == 0)
		say_corrupt(s);		/* said once */
	ok = !out.n || (fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0);
	buf_free(&out);
	return ok;
}

static int
follow(struct show *s, const struct trace_back *b)
{
	struct pollfd fds[] = { { .fd = -1, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	struct trace_follow w;

	trace_follow_open(&w, s->c, b);
	fds[0].fd = w.notify;
	while (print_new(s, &w)) {
		if (poll(fds, 2, trace_follow_timeout_ms(&w)) > 0 && fds[1].revents & (POLLERR | POLLNVAL))
			break;		/* the reader has gone */
		trace_follow_notice(&w);
	}
	trace_follow_close(&w);
	return program_end(NAME, 0);
}

static int
show_lines(struct show *s)
{
	struct buf out = BUF(TEXT_MAX);
	struct trace_back b;
	int code;

	trace_back_open(&b, s->c);
	put_last(s, &b, &out);
	code = end(s, &b, &out, 0);
	if (code == 0 && !s->call->no_follow)
		code = follow(s, &b);
	trace_back_close(&b);
	return code;
}

/* ---- the summary */

static void
put_keys_json(struct json_out *o, const struct tally *t)
{
	const struct fairness *f = &t->choices;

	json_key(o, "counts");
	json_open(o, '{');
	for (size_t i = 0; i < t->answers.count; i++) {
		json_key(o, t->answers.keys[i].label);
		json_put_int(o, (long long)t->answers.keys[i].chosen);
	}
	json_close(o, '}');
	json_key(o, "choices");
	json_open(o, '[');
	for (size_t i = 0; i < f->count; i++) {
		json_open(o, '{');
		json_key(o, "label");
		json_put_cstr(o, f->keys[i].label);
		json_key(o, "chosen");
		json_put_int(o, (long long)f->keys[i].chosen);
		json_key(o, "fair");
		json_put_double(o, f->keys[i].owed, 3);
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void
put_ms(struct json_out *o, const char *key, int64_t ms)
{
	json_key(o, key);
	if (ms < 0)
		json_put_null(o);
	else
		json_put_int(o, ms);
}

static void
put_summary_json(struct buf *out, const struct show *s, const struct tally *t, const struct tally_figures *f)
{
	struct json_out o = { .to = out };
	size_t window = s->call->window_count;

	json_open(&o, '{');
	json_key(&o, "total");
	json_put_int(&o, (long long)t->total);
	json_key(&o, "window");
	if (window)
		json_put_int(&o, (long long)window);
	else
		json_put_null(&o);
	json_key(&o, "warming_up");
	json_put_bool(&o, t->total < window);
	put_keys_json(&o, t);
	json_key(&o, "statuses");
	json_open(&o, '{');
	for (int i = 0; i < TALLY_CLASSES; i++) {
		json_key(&o, tally_class_names[i]);
		json_put_int(&o, (long long)t->classes[i]);
	}
	json_close(&o, '}');
	json_key(&o, "retried");
	json_put_int(&o, (long long)t->retried);
	json_key(&o, "confidence");
	if (f->fair.confidence < 0)
		json_put_null(&o);
	else
		json_put_double(&o, f->fair.confidence, 3);
	json_key(&o, "chi_square");
	json_put_double(&o, f->fair.chi_square, 4);
	json_key(&o, "chi_square_p");
	json_put_double(&o, f->fair.p, 6);
	json_key(&o, "latency_ms");
	json_open(&o, '{');
	put_ms(&o, "p50", f->p50);
	put_ms(&o, "p90", f->p90);
	put_ms(&o, "p99", f->p99);
	put_ms(&o, "max", f->max);
	json_close(&o, '}');
	json_key(&o, "corrupt_lines");
	json_put_int(&o, (long long)s->corrupt);
	json_close(&o, '}');
	buf_putc(out, '\n');
}

static int
summarise(struct show *s)
{
	const struct call *call = s->call;
	struct tally t = { .sets = &s->sets };
	struct buf out = BUF(TEXT_MAX);
	struct tally_figures figures;
	struct trace_back b;
	struct trace_line l;
	struct str line;
	bool old = false;

	trace_back_open(&b, s->c);
	while (!old && (!call->window_count || t.total < call->window_count) && trace_back_next(&b, &line)) {
		if (!read_line(s, &l, line))
			continue;
		old = call->filter.since && l.ended < call->filter.since - CLOCK_SLACK;
		if (trace_filter_takes(&call->filter, &l))
			tally_add(&t, &l);
		trace_line_free(&l);
	}
	if (tally_figures(&t, &figures) < 0)
		out.bad = true;
	else if (call->json)
		put_summary_json(&out, s, &t, &figures);
	else if (trace_text_summary(&out, &s->look, &t, &figures, call->window_count) < 0)
		out.bad = true;
	tally_free(&t);
	trace_back_close(&b);
	return end(s, &b, &out, 0);
}

/* ---- the proof */

struct finding {
	size_t lines, right, open, by_turn;
	long wrong;		/* lines from the newest to the first wrong one; -1: none */
	char id[DIGEST_ID_SIZE];
	char ts[CLOCK_LOCAL_SIZE];
	struct fail why;
	struct proof_warnings warnings;
	struct proof_missing missing;	/* at the end; its key is `missing_key` */
	char missing_key[256];
	struct fail no_books;		/* why the end was not looked at */
};

static enum proof
prove(struct show *s, const struct trace_line *l, struct fail *why)
{
	struct proof_among among = { 0 };
	char **labels, **accounts;
	size_t count, account_count;
	enum trace_set_answer of_labels = trace_sets_of(&s->sets, &l->eligible, &labels, &count);
	enum trace_set_answer of_accounts = trace_sets_of(&s->sets, &l->accounts, &accounts, &account_count);

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
name_wrong(struct finding *v, long at, const struct trace_line *l)
{
	v->wrong = at;
	snprintf(v->id, sizeof(v->id), "%s", l->request_id ? l->request_id : "");
	clock_local(l->ended, v->ts);
}

/* Reads on to line number `at`, which comes from the turns, to name it. */
static void
name_line(struct show *s, struct finding *v, long at)
{
	struct trace_back b;
	struct trace_line l;
	struct str line;
	long n = -1;

	trace_back_open(&b, s->c);
	while (n < at && trace_back_next(&b, &line)) {
		if (trace_read_line(&l, line, NULL) < 0)
			continue;
		if (++n == at)
			name_wrong(v, at, &l);
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
oldest_is_last(const struct show *s)
{
	char *path = NULL;
	struct stat st;
	bool full;

	if (asprintf(&path, "%s/trace/trace.jsonl.%lld", s->c->state_dir, s->c->trace_backups) < 0)
		return true;
	full = s->c->trace_backups == 0 || stat(path, &st) == 0;
	free(path);
	return full;
}

static void
find_missing(struct finding *v, const struct proof_end *end)
{
	proof_end_look(end, v->warnings.last_turn, clock_wall(), &v->missing);
	if (v->missing.key) {
		snprintf(v->missing_key, sizeof(v->missing_key), "%s", v->missing.key);
		v->missing.key = v->missing_key;
	}
}

static void
examine(struct show *s, struct trace_back *b, struct finding *v)
{
	struct proof_turns turns = { 0 };
	struct proof_end end;
	struct trace_line l;
	struct fail why;
	struct str line;
	long at;

	(void)proof_end_open(&end, s->c->state_dir, &v->no_books);
	trace_back_open(b, s->c);
	while (trace_back_next(b, &line)) {
		enum proof proof;

		if (!read_line(s, &l, line))
			continue;
		proof = prove(s, &l, &why);
		v->right += proof == PROOF_RIGHT;
		v->open += proof == PROOF_OPEN && l.attempt_count;
		v->by_turn += l.rotation_index >= 0;
		if (proof == PROOF_WRONG) {	/* from the newest on: the last one found is the first */
			name_wrong(v, (long)v->lines, &l);
			v->why = why;
		}
		proof_turns_add(&turns, &l);
		proof_end_add(&end, &l);
		v->lines++;
		trace_line_free(&l);
	}
	turn_round(&turns);
	at = proof_turns_first_wrong(&turns, oldest_is_last(s), clock_wall(), &v->warnings, &why);
	if (at >= 0 && (long)turns.count - 1 - at > v->wrong) {
		name_line(s, v, (long)turns.count - 1 - at);
		v->why = why;
	}
	proof_turns_free(&turns);
	find_missing(v, &end);
	proof_end_close(&end);
}

static bool
is_right(const struct finding *v)
{
	return v->wrong < 0 && !v->missing.late;
}

/* Whether something may yet turn out to be missing. */
static bool
is_open_ended(const struct finding *v)
{
	return v->warnings.running || v->missing.turns || v->missing.key;
}

/* "2 turns", or a key and when. */
static void
put_missing_text(struct buf *out, const struct finding *v)
{
	const struct proof_missing *m = &v->missing;
	char at[CLOCK_LOCAL_SIZE];

	clock_local(m->used, at);
	if (m->turns && m->late)
		buf_printf(out, text_plural((long long)m->turns,
		    "state.json counts %lld turn after the last line: its line was removed, or its request was killed or still runs\n",
		    "state.json counts %lld turns after the last line: lines were removed, or requests were killed or still run\n"),
		    (long long)m->turns);
	else if (m->turns)
		buf_printf(out, text_plural((long long)m->turns,
		    "%lld turn after the last line is not there yet: its request still runs, or was killed, or its line was removed\n",
		    "%lld turns after the last line are not there yet: their requests still run, or were killed, or lines were removed\n"),
		    (long long)m->turns);
	else if (m->key && m->late)
		buf_printf(out, _("key %s was used %s, as state.json says, but no line tells of it: it was removed, or its request "
		    "was killed or still runs\n"), m->key, at);
	else if (m->key)
		buf_printf(out, _("key %s was used %s, as state.json says, and no line tells of it yet: its request still runs, or was "
		    "killed, or its line was removed\n"), m->key, at);
	else if (m->empty)
		buf_puts(out, _("the trace has no line, though state.json knows of requests: nothing can be said of these\n"));
}

static void
put_missing_json(struct json_out *o, const struct finding *v)
{
	const struct proof_missing *m = &v->missing;
	char at[CLOCK_ISO_SIZE];

	if (!m->turns && !m->key) {
		json_put_null(o);
		return;
	}
	clock_iso(m->used, at);
	json_open(o, '{');
	json_key(o, "turns");
	json_put_int(o, (long long)m->turns);
	json_key(o, "key");
	json_put_cstr(o, m->key);
	json_key(o, "used_at");
	json_put_cstr(o, at);
	json_key(o, "counts_as_wrong");
	json_put_bool(o, m->late);
	json_close(o, '}');
}

static void
put_verdict_json(struct buf *out, const struct show *s, const struct finding *v)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "ok");
	json_put_bool(&o, is_right(v));
	json_key(&o, "lines");
	json_put_int(&o, (long long)v->lines);
	json_key(&o, "proved");
	json_put_int(&o, (long long)v->right);
	json_key(&o, "unprovable");
	json_put_int(&o, (long long)v->open);
	json_key(&o, "corrupt_lines");
	json_put_int(&o, (long long)s->corrupt);
	json_key(&o, "rotation_restarts");
	json_put_int(&o, (long long)v->warnings.restarts);
	json_key(&o, "turns_not_there_yet");
	json_put_int(&o, (long long)v->warnings.running);
	json_key(&o, "missing_at_end");
	put_missing_json(&o, v);
	json_key(&o, "first_wrong");
	if (v->wrong < 0) {
		json_put_null(&o);
	} else {
		json_open(&o, '{');
		json_key(&o, "request_id");
		json_put_cstr(&o, v->id);
		json_key(&o, "ts");
		json_put_cstr(&o, v->ts);
		json_key(&o, "lines_from_end");
		json_put_int(&o, v->wrong);
		json_key(&o, "reason");
		json_put_cstr(&o, v->why.text);
		json_close(&o, '}');
	}
	json_close(&o, '}');
	buf_putc(out, '\n');
}

static void
put_verdict_text(struct buf *out, const struct show *s, const struct finding *v)
{
	if (v->wrong >= 0)
		buf_printf(out, _("%sWRONG%s: request %s, ended %s (%ld lines before the last): %s\n"),
		    look_begin(&s->look, TONE_BAD), look_end(&s->look, TONE_BAD), v->id, v->ts, v->wrong, v->why.text);
	else if (v->missing.late)
		buf_printf(out, _("%sINCOMPLETE%s: what there is is right (%zu of %zu requests recomputed), but lines are missing at the end\n"),
		    look_begin(&s->look, TONE_BAD), look_end(&s->look, TONE_BAD), v->right, v->lines);
	else if (is_open_ended(v))
		buf_printf(out, _("%sright so far%s: %zu of %zu requests recomputed, %zu of them by turns; what is not there yet counts as wrong after %d minutes\n"),
		    look_begin(&s->look, TONE_WARN), look_end(&s->look, TONE_WARN), v->right, v->lines, v->by_turn,
		    PROOF_RUNNING_SECONDS / 60);
	else
		buf_printf(out, _("%sright%s: %zu of %zu requests recomputed, %zu of them by turns without gap or repeat\n"),
		    look_begin(&s->look, TONE_GOOD), look_end(&s->look, TONE_GOOD), v->right, v->lines, v->by_turn);
	if (v->open)
		buf_printf(out, text_plural((long long)v->open, "%lld line does not say enough to be recomputed\n",
		    "%lld lines do not say enough to be recomputed\n"), (long long)v->open);
	if (v->warnings.restarts)
		buf_printf(out, text_plural((long long)v->warnings.restarts,
		    "%lld time the rotation began anew from 0: state.json was deleted or set aside\n",
		    "%lld times the rotation began anew from 0: state.json was deleted or set aside\n"),
		    (long long)v->warnings.restarts);
	if (v->warnings.running)
		buf_printf(out, text_plural((long long)v->warnings.running,
		    "%lld turn is not there yet: its request still runs, or was killed, or its line was removed\n",
		    "%lld turns are not there yet: their requests still run, or were killed, or lines were removed\n"),
		    (long long)v->warnings.running);
	put_missing_text(out, v);
	if (v->no_books.kind != FAIL_NONE)
		buf_printf(out, _("whether lines are missing at the end is not known: %s\n"), v->no_books.text);
	if (v->warnings.unseen)
		buf_printf(out, text_plural((long long)v->warnings.unseen,
		    "%lld turn near the oldest line is not there: its line was in a file that is gone\n",
		    "%lld turns near the oldest line are not there: their lines were in files that are gone\n"),
		    (long long)v->warnings.unseen);
}

static int
verify(struct show *s)
{
	struct finding v = { .wrong = -1 };
	struct buf out = BUF(TEXT_MAX);
	struct trace_back b;

	examine(s, &b, &v);
	trace_back_close(&b);
	if (s->call->json)
		put_verdict_json(&out, s, &v);
	else
		put_verdict_text(&out, s, &v);
	return end(s, &b, &out, is_right(&v) ? 0 : 1);
}

/* ---- one request */

/* The line of the one request whose id begins so; a copy, or NULL. */
static char *
find_request(struct show *s, const char *id, struct fail *f)
{
	struct trace_back b;
	struct trace_line l;
	struct str line;
	char *found = NULL;
	size_t count = 0;

	trace_back_open(&b, s->c);
	while (count < 2 && trace_back_next(&b, &line)) {
		if (!read_line(s, &l, line))
			continue;
		if (l.request_id && str_starts(str_from(l.request_id), id) && ++count == 1)
			found = str_dup(line);
		trace_line_free(&l);
		if (count && strlen(id) == DIGEST_ID_SIZE - 1)
			break;
	}
	trace_back_close(&b);
	if (count == 1 && found)
		return found;
	free(found);
	if (count == 0) {
		fail_set(f, FAIL_INPUT, "no request in the trace has an id that begins with %.40s", id);
		fail_hint(f, "kmi trace --json shows ids; a client finds its own in the header X-KMI-Request-Id");
	} else {
		fail_set(f, FAIL_INPUT, "more than one request has an id that begins with %.40s", id);
		fail_hint(f, "give more of it");
	}
	return NULL;
}

static int
tell_why(struct show *s)
{
	struct buf out = BUF(TEXT_MAX);
	struct fail f = { 0 }, why = { 0 };
	struct trace_back none = { .fd = -1 };
	char *raw = find_request(s, s->call->why, &f), **labels;
	struct trace_line l;
	enum proof proof;
	size_t count;

	if (!raw || trace_read_line(&l, str_from(raw), &f) < 0) {
		free(raw);
		return program_fail(NAME, &f);
	}
	if (s->call->json) {
		buf_puts(&out, raw);
		buf_putc(&out, '\n');
	} else {
		proof = prove(s, &l, &why);
		trace_sets_of(&s->sets, &l.eligible, &labels, &count);
		trace_text_why(&out, &s->look, &l, labels, count, proof, &why);
	}
	trace_line_free(&l);
	free(raw);
	return end(s, &none, &out, 0);
}

/* ---- the call */

static int
parse_count(const char *option, const char *text, long long max, size_t *count)
{
	long long n;

	if (str_int(str_from(text), 0, max, &n) < 0)
		return program_usage(NAME, "%s %.40s: a whole number from 0 to %lld is wanted", option, text, max);
	*count = (size_t)n;
	return 0;
}

/* An option that the question does not ask for, and which nobody should believe to be heard; NULL: none. */
static const char *
unheard(const struct call *call)
{
	bool one = call->verify || call->why;

	if (call->lines && (one || call->summary))
		return "--lines";
	if (one && call->since)
		return "--since";
	if (one && call->filter.key)
		return "--key";
	if (one && call->filter.status)
		return "--status";
	return one && call->window ? "--window" : NULL;
}

/* What can be judged only when all options are known. 0, or the exit code. */
static int
complete(struct call *call)
{
	const char *other;
	struct fail f;
	int code;

	if (call->summary + call->verify + (call->why != NULL) > 1)
		return program_usage(NAME, "--summary, --verify and --why are three questions; ask one");
	if ((other = unheard(call)))
		return program_usage(NAME, call->verify ? "--verify is about the whole trace: %s does not go with it" :
		    call->why ? "--why is about one request: %s does not go with it" :
				"--summary is about all requests, or with --window N the last N: %s does not go with it", other);
	if (call->why && (strlen(call->why) < 4 || strlen(call->why) >= DIGEST_ID_SIZE ||
	    strspn(call->why, "0123456789abcdef") != strlen(call->why)))
		return program_usage(NAME, "--why %.40s: an id has 32 hex digits; give at least the first four", call->why);
	if (call->filter.status && !trace_filter_is_status(call->filter.status))
		return program_usage(NAME, "--status %.40s: write a status as 429 or 4xx, or one of: error, none",
		    call->filter.status);
	if (call->since && trace_filter_since(call->since, clock_wall(), &call->filter.since, &f) < 0)
		return program_fail(NAME, &f);
	call->line_count = call->all || call->since ? LINES_MAX : LINES_DEFAULT;
	if (call->lines && (code = parse_count("--lines", call->lines, LINES_MAX, &call->line_count)))
		return code;
	call->window_count = call->summary ? 0 : WINDOW_DEFAULT;
	return call->window ? parse_count("--window", call->window, WINDOW_MAX, &call->window_count) : 0;
}

static int
answer(struct show *s)
{
	const struct call *call = s->call;
	int code;

	if (call->verify)
		return verify(s);
	if (call->summary)
		return summarise(s);
	if (call->why)
		return tell_why(s);
	if (!call->no_follow && !call->json && !call->plain && !s->c->plain && s->look.terminal &&
	    (code = screen_run(s->c, &call->filter, call->window_count, s->look.colour)) >= 0)
		return code;
	return show_lines(s);
}

int
main(int argc, char **argv)
{
	struct program_call line = { .name = NAME, .usage = usage, .letters = ":hn:", .options = options };
	struct call call = { 0 };
	struct show s = { .call = &call };
	struct config c;
	int opt, code;

	program_start();
	while ((opt = program_option(&line, argc, argv)) >= 0)
		switch (opt) {
		case OPT_ALL:
			call.all = true;
			break;
		case OPT_SINCE:
			call.since = optarg;
			break;
		case OPT_KEY:
			call.filter.key = optarg;
			break;
		case OPT_STATUS:
			call.filter.status = optarg;
			break;
		case OPT_WINDOW:
			call.window = optarg;
			break;
		case OPT_WHY:
			call.why = optarg;
			break;
		case 'c':
			call.no_color = true;
			break;
		case 'f':
			call.no_follow = true;
			break;
		case 'n':
			call.lines = optarg;
			break;
		case 's':
			call.summary = true;
			break;
		case 'v':
			call.verify = true;
			break;
		}
	if (line.over)
		return line.code;
	call.json = line.json;
	call.plain = line.plain;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	s.c = &c;
	s.sets.config = &c;
	look_detect(&s.look, STDOUT_FILENO, call.plain || call.no_color || c.plain || c.no_color);
	if ((code = complete(&call)) == 0)
		code = answer(&s);
	trace_sets_free(&s.sets);
	config_free(&c);
	return code;
}
