/*
 * kmi-keys: the pool of keys, in its order, and the key files that give none.
 *
 *	kmi-keys [--json | --plain]
 *
 * Reads the folder of key files and state.json; shows no secret. The exit
 * code answers one question: 0 while a key is usable, else 1.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "keys/narrow.h"
#include "keys/roster.h"
#include "show/standing.h"
#include "show/table.h"
#include "show/words.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-keys"
#define TEXT_MAX (256u << 20)

static const char usage[] =
    "usage: kmi keys [--json | --plain]\n"
    "\n"
    "Lists the pool of API keys in the order it is used, with the standing of each,\n"
    "and the key files that were skipped, with the reason. Keys are masked.\n"
    "\n"
    "  --json      the same for scripts\n"
    "  --plain     no colours\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 while a key is usable, 1 when none is, 2 for a wrong call or\n"
    "setting.\n";

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-color", no_argument, NULL, 'p' },
	{ "plain", no_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

static void
put_json_key(struct json_out *o, const struct roster *r, size_t i)
{
	const struct auth *k = &r->auths.keys[i];
	const struct choose_fit *fit = &r->fit[i];

	json_open(o, '{');
	json_key(o, "index");
	json_put_int(o, (long long)i);
	json_key(o, "label");
	json_put_cstr(o, k->label);
	json_key(o, "account");
	json_put_cstr(o, k->account);
	json_key(o, "source");
	json_put_cstr(o, k->path);
	json_key(o, "key");
	json_put_cstr(o, k->masked);
	json_key(o, "key_hash");
	json_put_cstr(o, k->hash);
	json_key(o, "base_url");
	json_put_cstr(o, k->base_url);
	json_key(o, "email");
	json_put_cstr(o, k->email);
	json_key(o, "priority");
	json_put_int(o, k->priority);
	json_key(o, "disabled");
	json_put_bool(o, k->disabled);
	json_key(o, "status");
	json_put_cstr(o, fitness_name(fit->fitness));
	json_key(o, "reason");
	json_put_cstr(o, fit->reason[0] ? fit->reason : NULL);
	json_key(o, "until");
	json_put_time(o, fit->until);
	json_close(o, '}');
}

static void
put_json_skip(struct json_out *o, const char *source, const char *reason)
{
	json_open(o, '{');
	json_key(o, "source");
	json_put_cstr(o, source);
	json_key(o, "reason");
	json_put_cstr(o, reason);
	json_close(o, '}');
}

static void
put_json(struct buf *out, const struct roster *r, const struct config *c)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "keys");
	json_open(&o, '[');
	for (size_t i = 0; i < r->auths.count; i++)
		put_json_key(&o, r, i);
	json_close(&o, ']');
	json_key(&o, "skipped");
	json_open(&o, '[');
	for (size_t i = 0; i < r->auths.skipped_count; i++)
		put_json_skip(&o, r->auths.skipped[i].source, r->auths.skipped[i].reason);
	if (r->no_keys.kind && !r->auths.skipped_count)
		put_json_skip(&o, c->auths_dir, r->no_keys.text);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
}

static void
add_reason(struct table *t, const struct choose_fit *fit, time_t now)
{
	struct buf b = BUF(512);

	standing_reason(&b, fit, now);
	table_add(t, buf_bad(&b) ? "" : b.p, TONE_NONE);
	buf_free(&b);
}

/* The path below the folder of key files, which all have in common. */
static const char *
short_path(const char *path, const struct config *c)
{
	size_t n = strlen(c->auths_dir);

	if (strncmp(path, c->auths_dir, n) != 0)
		return path;
	path += n;
	return path + strspn(path, "/");
}

static int
put_pool(struct buf *out, const struct roster *r, const struct config *c, const struct look *look, time_t now)
{
	struct table *t = table_new(look);
	bool accounts = false, priorities = false;
	int rc;

	for (size_t i = 0; i < r->auths.count; i++) {
		accounts |= strcmp(r->auths.keys[i].account, r->auths.keys[i].label) != 0;
		priorities |= r->auths.keys[i].priority != 0;
	}
	table_column(t, _("LABEL"), 0);
	if (accounts)
		table_column(t, _("ACCOUNT"), 0);
	table_column(t, _("KEY"), 0);
	table_column(t, _("STATUS"), 0);
	table_column(t, _("REASON"), 0);
	if (priorities)
		table_column(t, _("PRIORITY"), TABLE_RIGHT);
	table_column(t, _("FILE"), TABLE_SHRINK);
	for (size_t i = 0; i < r->auths.count; i++) {
		const struct auth *k = &r->auths.keys[i];

		table_row(t);
		table_add(t, k->label, TONE_NONE);
		if (accounts)
			table_add(t, strcmp(k->account, k->label) != 0 ? k->account : "", TONE_NONE);
		table_add(t, k->masked, TONE_NONE);
		table_add(t, _(fitness_name(r->fit[i].fitness)), standing_tone(r->fit[i].fitness));
		add_reason(t, &r->fit[i], now);
		if (priorities)
			table_printf(t, TONE_NONE, "%d", k->priority);
		table_add(t, short_path(k->path, c), TONE_DIM);
	}
	rc = table_text(t, out);
	table_free(t);
	return rc;
}

static int
put_skipped(struct buf *out, const struct auths *a, const struct config *c, const struct look *look)
{
	struct table *t = table_new(look);
	int rc;

	table_column(t, _("SKIPPED FILE"), 0);
	table_column(t, _("WHY"), TABLE_WRAP);
	for (size_t i = 0; i < a->skipped_count; i++) {
		table_row(t);
		table_add(t, short_path(a->skipped[i].source, c), TONE_NONE);
		table_add(t, a->skipped[i].reason, TONE_NONE);
	}
	if (a->skipped_count)
		buf_putc(out, '\n');
	rc = table_text(t, out);
	table_free(t);
	return rc;
}

static void
put_summary(struct buf *out, const struct roster *r, const struct config *c)
{
	static const enum fitness told[] = { FIT_EXHAUSTED, FIT_BLOCKED, FIT_DISABLED };
	long long count = (long long)r->auths.count, usable = (long long)roster_usable(r);
	struct buf line = BUF(65536);

	buf_printf(&line, text_plural(count, "%lld key in %s: ", "%lld keys in %s: "), count, c->auths_dir);
	buf_printf(&line, text_plural(usable, "%lld usable", "%lld usable"), usable);
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (roster_count(r, told[i])) {
			buf_puts(&line, ", ");
			words_fitness(&line, told[i], roster_count(r, told[i]));
		}
	buf_str(out, buf_view(&line));
	buf_putc(out, '\n');
	buf_free(&line);
}

static int
put_text(struct buf *out, const struct roster *r, const struct config *c, const struct look *look, time_t now)
{
	if (put_pool(out, r, c, look, now) < 0)
		return -1;
	if (r->auths.count) {
		buf_putc(out, '\n');
		put_summary(out, r, c);
	}
	return put_skipped(out, &r->auths, c, look);
}

/* What stands beside the list, on stderr: why it is empty, or why it says so little. */
static void
say_troubles(const struct roster *r)
{
	if (r->no_keys.kind)
		program_fail(NAME, &r->no_keys);
	if (r->no_books.kind)
		program_warn(NAME, "state.json: %s", r->no_books.text);
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct buf out = BUF(TEXT_MAX);
	time_t now = clock_wall();
	struct config c;
	struct roster r;
	struct look look;
	struct fail f;
	int code, rc = 0;

	program_start();
	while (program_option(&call, argc, argv) >= 0)
		continue;	/* it has no options of its own */
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	if (narrow(NAME, &c, &f) < 0)
		return program_fail(NAME, &f);
	if (roster_load(&r, &c, now, &f) < 0)
		return program_fail(NAME, &f);
	say_troubles(&r);
	if (call.json) {
		put_json(&out, &r, &c);
	} else {
		look_detect(&look, STDOUT_FILENO, call.plain || c.plain || c.no_color);
		rc = put_text(&out, &r, &c, &look, now);
	}
	if (rc < 0 || buf_bad(&out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	program_print(&out);
	code = roster_usable(&r) ? 0 : 1;
	buf_free(&out);
	roster_free(&r);
	config_free(&c);
	return program_end(NAME, code);
}
