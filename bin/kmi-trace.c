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
#include "base/nearest.h"
#include "base/program.h"
#include "base/text.h"
#include "books/audit.h"
#include "books/tally.h"
#include "books/trace_files.h"
#include "books/trace_filter.h"
#include "keys/narrow.h"
#include "show/audit_text.h"
#include "show/screen.h"
#include "show/trace_text.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-trace"
#define TEXT_MAX (256u << 20)
#define LINES_DEFAULT 20
#define LINES_MAX 100000
#define WINDOW_DEFAULT 200
#define WINDOW_MAX 10000
#define LABEL_WIDTH 12
#define LABELS_MAX 1000	/* of those that a wrong one is compared with */
#define CLOCK_SLACK 60		/* lines stand in the order in which requests ended, but for clocks that jump a little */

static const char usage[] =
    "usage: kmi trace [--lines N | --all] [--since TIME] [--key LABEL]\n"
    "                 [--status STATUS] [--follow | --no-follow] [--window N]\n"
    "                 [--json | --plain]\n"
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
    "  -f, --follow     line by line, also on a terminal\n"
    "      --no-follow  print what there is, and end\n"
    "      --window N   figures are of the last N requests (live: 200; summary: all)\n"
    "      --summary    totals, latency, and how fairly keys were chosen\n"
    "      --verify     recompute every choice from the trace; exit 1 if one is wrong\n"
    "      --why ID     the story of one request; the beginning of its id is enough\n"
    "      --json       lines as they are in the trace, or the figures, for scripts\n"
    "      --plain      no colours and no screen\n"
    "  -h, --help       this text\n";

enum { OPT_ALL = 256, OPT_SINCE, OPT_KEY, OPT_STATUS, OPT_WINDOW, OPT_WHY, OPT_NO_FOLLOW };

static const struct option options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	{ "follow", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "lines", required_argument, NULL, 'n' },
	{ "no-color", no_argument, NULL, 'c' },
	{ "no-follow", no_argument, NULL, OPT_NO_FOLLOW },
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
	bool all, json, plain, no_color, follow, no_follow, summary, verify;
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

static bool
was_met(char *const *labels, size_t count, const char *label)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(labels[i], label) == 0)
			return true;
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
end(const struct show *s, const struct fail *trouble, struct buf *out, int code)
{
	struct fail f;

	say_corrupt(s);
	if (trouble && trouble->kind != FAIL_NONE) {
		program_fail(NAME, trouble);
		code = code ? code : 1;
	}
	if (buf_bad(out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	program_print(out);
	return program_end(NAME, code);
}

/* Nothing was of the key that was asked for: is there another that was meant? */
static void
say_no_key(const struct show *s)
{
	const char *wanted = s->call->filter.key, *near;
	char *known[LABELS_MAX + 1] = { NULL };
	struct trace_back b;
	struct trace_line l;
	struct str line;
	size_t n = 0;

	trace_back_open(&b, s->c);
	while (n < LABELS_MAX && trace_back_next(&b, &line)) {
		if (trace_read_line(&l, line, NULL) < 0)
			continue;
		if (l.key_label && !was_met(known, n, l.key_label) && (known[n] = strdup(l.key_label)))
			n++;
		trace_line_free(&l);
	}
	trace_back_close(&b);
	near = was_met(known, n, wanted) ? NULL : nearest_word(wanted, (const char *const *)known);
	if (near)
		program_warn(NAME, "no request was of a key %s; did you mean %s?", wanted, near);
	else
		program_warn(NAME, "no request was of a key %s", wanted);
	while (n > 0)
		free(known[--n]);
}

/* ---- lines */

static void
put_line(struct show *s, struct buf *out, struct str raw, const struct trace_line *l)
{
	struct buf row = BUF(TRACE_LINE_MAX);

	if (s->call->json) {
		buf_str(out, raw);
	} else {
		trace_text_row(&row, &s->look, l, &(struct trace_row){ .label_width = LABEL_WIDTH });
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

	if (lines && n == 0 && max && s->call->filter.key)
		say_no_key(s);
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

	while (out.n < (1u << 20) && trace_follow_next(w, &line)) {
		if (!read_line(s, &l, line))
			continue;
		if (trace_filter_takes(&s->call->filter, &l))
			put_line(s, &out, line, &l);
		trace_line_free(&l);
	}
	if (corrupt == 0)
		say_corrupt(s);		/* said once */
	program_print(&out);
	return !ferror(stdout);
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
	code = end(s, &b.trouble, &out, 0);
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
put_known(struct json_out *o, double value, int digits, bool known)
{
	if (known)
		json_put_double(o, value, digits);
	else
		json_put_null(o);
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
	put_known(&o, f->fair.confidence, 3, f->fair.confidence >= 0);
	json_key(&o, "chi_square");
	put_known(&o, f->fair.chi_square, 4, !t->partial);
	json_key(&o, "chi_square_p");
	put_known(&o, f->fair.p, 6, !t->partial);
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
	struct tally t = { .sets = &s->sets, .partial = call->filter.key || call->filter.status };
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
	if (t.total == 0 && call->filter.key)
		say_no_key(s);
	if (tally_figures(&t, &figures) < 0)
		out.bad = true;
	else if (call->json)
		put_summary_json(&out, s, &t, &figures);
	else if (trace_text_summary(&out, &s->look, &t, &figures, call->window_count) < 0)
		out.bad = true;
	tally_free(&t);
	trace_back_close(&b);
	return end(s, &b.trouble, &out, 0);
}

/* ---- the proof */

static int
verify(struct show *s)
{
	struct buf out = BUF(TEXT_MAX);
	struct audit a;

	audit_run(&a, s->c);
	s->corrupt = a.corrupt;
	if (s->call->json)
		audit_json(&out, &a);
	else
		audit_text(&out, &s->look, &a);
	return end(s, &a.trouble, &out, audit_is_right(&a) ? 0 : 1);
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
		if (l.request_id && strncasecmp(l.request_id, id, strlen(id)) == 0 && ++count == 1)
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
		proof = audit_line(&s->sets, &l, &why);
		trace_sets_of(&s->sets, &l.eligible, &labels, &count);
		trace_text_why(&out, &s->look, &l, labels, count, proof, &why);
	}
	trace_line_free(&l);
	free(raw);
	return end(s, NULL, &out, 0);
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
	if (call->all && call->lines)
		return program_usage(NAME, "--all and --lines are two answers; give one");
	if (call->why && (strlen(call->why) < 4 || strlen(call->why) >= DIGEST_ID_SIZE ||
	    strspn(call->why, "0123456789abcdefABCDEF") != strlen(call->why)))
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
	if (!call->follow && !call->no_follow && !call->json && !call->plain && !s->c->plain && s->look.terminal &&
	    (code = screen_run(s->c, &call->filter, call->window_count, s->look.colour)) >= 0)
		return code;
	return show_lines(s);
}

int
main(int argc, char **argv)
{
	struct program_call line = { .name = NAME, .usage = usage, .letters = ":fhn:", .options = options };
	struct call call = { 0 };
	struct show s = { .call = &call };
	struct config c;
	struct fail f;
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
			call.follow = true;
			break;
		case OPT_NO_FOLLOW:
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
	if (narrow(NAME, &c, &f) < 0)
		return program_fail(NAME, &f);
	s.c = &c;
	s.sets.config = &c;
	look_detect(&s.look, STDOUT_FILENO, call.plain || call.no_color || c.plain || c.no_color);
	if ((code = complete(&call)) == 0)
		code = answer(&s);
	trace_sets_free(&s.sets);
	config_free(&c);
	return code;
}
