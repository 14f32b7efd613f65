/*
 * kmi-metrics: the pool in figures, as OpenMetrics text.
 *
 *	kmi-metrics [--output FILE]
 *
 * For the textfile collector of Prometheus' node_exporter, or whatever reads
 * that format. Asks nobody, and opens no secret but to know its file. The books
 * give what is for ever, the trace what its files still hold.
 */
#include "base/clock.h"
#include "base/program.h"
#include "books/tally.h"
#include "books/trace_files.h"
#include "keys/lock.h"
#include "keys/narrow.h"
#include "keys/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "kmi-metrics"
#define TEXT_MAX (64u << 20)

static const char usage[] =
    "usage: kmi metrics [--output FILE]\n"
    "\n"
    "Prints the state of the pool as OpenMetrics text: requests and errors of each\n"
    "key, its status, locks and quota; and what the trace adds up to.\n"
    "\n"
    "  --output FILE  write it there, whole or not at all, for everybody to read\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0 done, 1 when something could not be read or written, 2 for a\n"
    "wrong call or setting.\n";

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "output", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

static void
family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: what the format gives a meaning is escaped. */
static void
put_value(struct buf *out, const char *value)
{
	for (; *value; value++)
		if (*value == '\n')
			buf_puts(out, "\\n");
		else if (*value == '"' || *value == '\\')
			buf_printf(out, "\\%c", *value);
		else
			buf_putc(out, *value);
}

/* name{label="...", key="value"} figure */
static void
sample(struct buf *out, const char *name, const char *label, const char *key, const char *value, double figure)
{
	buf_puts(out, name);
	if (label) {
		buf_puts(out, "{label=\"");
		put_value(out, label);
		buf_putc(out, '"');
	}
	if (key && value) {
		buf_printf(out, "%s%s=\"", label ? "," : "{", key);
		put_value(out, value);
		buf_putc(out, '"');
	}
	buf_printf(out, "%s %.15g\n", label || key ? "}" : "", figure);
}

static void
put_counts(struct buf *out, const struct roster *r)
{
	static const struct state_counts nothing;

	family(out, "kmi_key_requests", "counter", "Attempts made with a key.");
	for (size_t i = 0; i < r->auths.count; i++) {
		const struct state_counts *n = r->keys[i].books ? &r->keys[i].books->counts : &nothing;

		sample(out, "kmi_key_requests_total", r->auths.keys[i].label, NULL, NULL, (double)n->request_count);
	}
	family(out, "kmi_key_errors", "counter", "Answers that spoke against a key, by their kind.");
	for (size_t i = 0; i < r->auths.count; i++) {
		const struct state_counts *n = r->keys[i].books ? &r->keys[i].books->counts : &nothing;
		const char *label = r->auths.keys[i].label;

		sample(out, "kmi_key_errors_total", label, "kind", "401", (double)n->error_401);
		sample(out, "kmi_key_errors_total", label, "kind", "403", (double)n->error_403);
		sample(out, "kmi_key_errors_total", label, "kind", "429", (double)n->error_429);
		sample(out, "kmi_key_errors_total", label, "kind", "5xx", (double)n->error_5xx);
	}
	family(out, "kmi_key_last_used_timestamp_seconds", "gauge", "When a key was used last; 0: never.");
	for (size_t i = 0; i < r->auths.count; i++)
		sample(out, "kmi_key_last_used_timestamp_seconds", r->auths.keys[i].label, NULL, NULL,
		    r->keys[i].books ? (double)r->keys[i].books->counts.last_used : 0);
}

static void
put_standing(struct buf *out, const struct roster *r)
{
	static const enum fitness all[] = { FIT_HEALTHY, FIT_WARN, FIT_EXHAUSTED, FIT_BLOCKED, FIT_DISABLED };

	family(out, "kmi_keys", "gauge", "Keys of the pool, by status.");
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
		sample(out, "kmi_keys", NULL, "status", fitness_name(all[k]), (double)roster_count(r, all[k]));
	family(out, "kmi_key_status", "gauge", "1 for the status a key has.");
	for (size_t i = 0; i < r->auths.count; i++)
		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
			sample(out, "kmi_key_status", r->auths.keys[i].label, "status", fitness_name(all[k]), r->fit[i].fitness == all[k]);
	family(out, "kmi_key_locked_until_timestamp_seconds", "gauge", "When the lock of a key ends; 0: it has none.");
	for (size_t i = 0; i < r->auths.count; i++)
		sample(out, "kmi_key_locked_until_timestamp_seconds", r->auths.keys[i].label, NULL, NULL,
		    r->fit[i].lock ? (double)r->fit[i].until : 0);
	family(out, "kmi_key_quota_left_ratio", "gauge", "What is left of the quota, 0 to 1, where it is known.");
	for (size_t i = 0; i < r->auths.count; i++) {
		const struct auth *k = &r->auths.keys[i];
		const struct health_key *h = health_find(&r->health, k->label, k->hash);

		if (h && h->seen_at && h->usage.total.left >= 0)
			sample(out, "kmi_key_quota_left_ratio", k->label, NULL, NULL, h->usage.total.left / 100);
	}
}

static void
put_policy(struct buf *out, const struct roster *r, const struct config *c)
{
	const struct state_head *h = &r->state.head;

	family(out, "kmi_rotation_turns", "counter", "Turns taken by automatic rotation.");
	sample(out, "kmi_rotation_turns_total", NULL, NULL, NULL, (double)h->rotation_index);
	family(out, "kmi_rotation_automatic", "gauge", "1 when every request takes the next key.");
	sample(out, "kmi_rotation_automatic", NULL, NULL, NULL, h->auto_rotate && c->auto_rotate_allowed);
	family(out, "kmi_dry_run", "gauge", "1 when nothing goes upstream.");
	sample(out, "kmi_dry_run", NULL, NULL, NULL, c->dry_run);
	family(out, "kmi_key_files_skipped", "gauge", "Key files that give no key.");
	sample(out, "kmi_key_files_skipped", NULL, NULL, NULL, (double)r->auths.skipped_count);
	family(out, "kmi_health_refreshed_timestamp_seconds", "gauge", "When quotas were last asked for; 0: never.");
	sample(out, "kmi_health_refreshed_timestamp_seconds", NULL, NULL, NULL, (double)r->health.refreshed_at);
}

/* What the lines of the trace add up to, beside what a tally counts. */
struct totals {
	struct tally tally;
	size_t unreadable;
	time_t first;		/* the oldest line; 0: none */
	long long prompt_tokens, completion_tokens, cached_tokens, bytes_in, bytes_out;
};

static void
add(long long *sum, int64_t n)
{
	if (n > 0 && *sum <= INT64_MAX - n)
		*sum += n;
}

static int
add_trace(struct totals *t, const struct config *c, struct fail *f)
{
	struct trace_back b;
	struct trace_line l;
	struct str line;
	int rc = 0;

	trace_back_open(&b, c);
	while (trace_back_next(&b, &line)) {
		if (trace_read_line(&l, line, NULL) < 0) {
			t->unreadable++;
			continue;
		}
		tally_add(&t->tally, &l);
		t->first = t->first && t->first < l.ended ? t->first : l.ended;
		add(&t->prompt_tokens, l.prompt_tokens);
		add(&t->completion_tokens, l.completion_tokens);
		add(&t->cached_tokens, l.cached_tokens);
		add(&t->bytes_in, l.bytes_in);
		add(&t->bytes_out, l.bytes_out);
		trace_line_free(&l);
	}
	if (b.trouble.kind != FAIL_NONE) {
		*f = b.trouble;
		rc = -1;
	}
	trace_back_close(&b);
	return rc;
}

static void
put_latency(struct buf *out, const char *quantile, int64_t ms)
{
	if (ms >= 0)
		sample(out, "kmi_trace_latency_seconds", NULL, "quantile", quantile, (double)ms / 1000);
}

/* Gauges: old lines go when the trace is rotated, and a counter may not fall. */
static void
put_totals(struct buf *out, const struct totals *t, const struct tally_figures *figures)
{
	const struct tally *n = &t->tally;

	family(out, "kmi_trace_requests", "gauge", "Requests in the trace, by the status that the client got.");
	for (int i = 0; i < TALLY_CLASSES; i++)
		sample(out, "kmi_trace_requests", NULL, "status", tally_class_names[i], (double)n->classes[i]);
	family(out, "kmi_trace_answers", "gauge", "Requests in the trace, by the key that answered.");
	for (size_t i = 0; i < n->answers.count; i++)
		sample(out, "kmi_trace_answers", n->answers.keys[i].label, NULL, NULL, (double)n->answers.keys[i].chosen);
	family(out, "kmi_trace_retried", "gauge", "Requests in the trace that took more than one attempt.");
	sample(out, "kmi_trace_retried", NULL, NULL, NULL, (double)n->retried);
	family(out, "kmi_trace_latency_seconds", "summary", "How long the requests in the trace took.");
	put_latency(out, "0.5", figures->p50);
	put_latency(out, "0.9", figures->p90);
	put_latency(out, "0.99", figures->p99);
	put_latency(out, "1", figures->max);
	family(out, "kmi_trace_tokens", "gauge",
	    "Tokens of the requests in the trace, as far as their answers told; cached ones are of the prompt.");
	sample(out, "kmi_trace_tokens", NULL, "kind", "prompt", (double)t->prompt_tokens);
	sample(out, "kmi_trace_tokens", NULL, "kind", "completion", (double)t->completion_tokens);
	sample(out, "kmi_trace_tokens", NULL, "kind", "cached", (double)t->cached_tokens);
	family(out, "kmi_trace_bytes", "gauge", "Bytes of the requests in the trace, and of their answers.");
	sample(out, "kmi_trace_bytes", NULL, "direction", "in", (double)t->bytes_in);
	sample(out, "kmi_trace_bytes", NULL, "direction", "out", (double)t->bytes_out);
	family(out, "kmi_trace_unreadable_lines", "gauge", "Lines of the trace that cannot be read.");
	sample(out, "kmi_trace_unreadable_lines", NULL, NULL, NULL, (double)t->unreadable);
	family(out, "kmi_trace_begin_timestamp_seconds", "gauge", "When the oldest request in the trace ended; 0: there is none.");
	sample(out, "kmi_trace_begin_timestamp_seconds", NULL, NULL, NULL, (double)t->first);
}

static int
put_trace(struct buf *out, const struct config *c, struct fail *f)
{
	struct trace_sets sets = { .config = c };
	struct totals t = { .tally = { .sets = &sets } };
	struct tally_figures figures;
	int rc = add_trace(&t, c, f);

	if (rc == 0 && tally_figures(&t.tally, &figures) < 0)
		rc = fail_memory(f);
	if (rc == 0)
		put_totals(out, &t, &figures);
	tally_free(&t.tally);
	trace_sets_free(&sets);
	return rc;
}

/* Without the books every figure would be a zero that nobody could tell from a true one. */
static int
put_pool(struct buf *out, const struct config *c, struct fail *f)
{
	struct roster r;
	int rc = 0;

	if (roster_load_standing(&r, c, clock_wall(), f) < 0)
		return -1;
	if (r.no_books.kind == FAIL_NONE) {
		put_counts(out, &r);
		put_standing(out, &r);
		put_policy(out, &r, c);
	} else {
		rc = fail_set(f, r.no_books.kind, "nothing is known of the keys: state.json: %s", r.no_books.text);
		fail_hint(f, "kmi doctor tells what to do about it");
	}
	roster_free(&r);
	return rc;
}

/* Others are to read it, so it is not one of the files that are its owner's alone. */
static int
write_for_all(const char *path, struct str text, struct fail *f)
{
	if (file_replace(path, text, false, f) < 0)
		return -1;
	return chmod(path, 0644) < 0 ? fail_sys(f, "chmod %s", path) : 0;
}

static int
put_end(struct buf *out, const char *path, struct fail *f)
{
	buf_puts(out, "# EOF\n");
	if (buf_bad(out))
		return fail_memory(f);
	if (path)
		return write_for_all(path, buf_view(out), f);
	program_print(out);
	return 0;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":ho:", .options = options };
	struct buf out = BUF(TEXT_MAX);
	const char *path = NULL;
	struct fail f = { 0 };
	struct config c;
	struct sandbox s;
	int opt, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'o':
			path = optarg;
			break;
		}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	narrow_begin(&s, NAME, &c);
	if (path)
		narrow_folder_of(&s, path, SANDBOX_WRITE);
	if (sandbox_enter(&s, &f) < 0)
		return program_fail(NAME, &f);
	if (put_pool(&out, &c, &f) < 0 || put_trace(&out, &c, &f) < 0 || put_end(&out, path, &f) < 0)
		code = program_fail(NAME, &f);
	buf_free(&out);
	config_free(&c);
	return program_end(NAME, code);
}
