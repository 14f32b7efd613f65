/*
 * kmi-metrics: the pool in figures, as OpenMetrics text.
 *
 *	kmi-metrics [--output FILE]
 *
 * For the textfile collector of Prometheus' node_exporter, or whatever reads
 * that format. Asks nobody, and opens no secret but to know its file.
 */
#include "base/clock.h"
#include "base/program.h"
#include "keys/lock.h"
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
    "key, its status, locks and quota.\n"
    "\n"
    "  --output FILE  write it there, whole or not at all, for everybody to read\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0 done, 1 when it could not be written, 2 for a wrong call or\n"
    "setting.\n";

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

/* Others are to read it, so it is not one of the files that are its owner's alone. */
static int
write_for_all(const char *path, struct str text, struct fail *f)
{
	if (file_replace(path, text, false, f) < 0)
		return -1;
	return chmod(path, 0644) < 0 ? fail_sys(f, "chmod %s", path) : 0;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":ho:", .options = options };
	struct buf out = BUF(TEXT_MAX);
	const char *path = NULL;
	struct fail f = { 0 };
	struct config c;
	struct roster r;
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
	if (roster_load_standing(&r, &c, clock_wall(), &f) < 0)
		return program_fail(NAME, &f);
	put_counts(&out, &r);
	put_standing(&out, &r);
	put_policy(&out, &r, &c);
	buf_puts(&out, "# EOF\n");
	if (buf_bad(&out)) {
		fail_memory(&f);
		code = program_fail(NAME, &f);
	} else if (path) {
		code = write_for_all(path, buf_view(&out), &f) < 0 ? program_fail(NAME, &f) : 0;
	} else {
		program_print(&out);
	}
	buf_free(&out);
	roster_free(&r);
	config_free(&c);
	return program_end(NAME, code);
}
