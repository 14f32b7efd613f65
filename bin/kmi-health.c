/*
 * kmi-health: how much of its quota each key has left, and until when.
 *
 *	kmi-health [--refresh | --cached | --current] [--json | --plain | --quiet]
 *
 * Asks /usages of every key, all at once, when health.json is older than
 * KMI_USAGE_CACHE_SECONDS, and shows what is known, the worst first. The
 * proxy and the timer call it too: --refresh --quiet.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/kept_words.h"
#include "base/program.h"
#include "keys/client_config.h"
#include "keys/narrow.h"
#include "keys/refresh.h"
#include "keys/roster.h"
#include "show/standing.h"
#include "show/table.h"
#include "show/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-health"
#define TEXT_MAX (256u << 20)
#define AWAIT_MS 30000

static const char usage[] =
    "usage: kmi health [--refresh | --cached | --current]\n"
    "                  [--json | --plain | --quiet]\n"
    "\n"
    "Shows how much of its quota each key has left and when it is renewed, the worst\n"
    "first. Asks the upstream when what is known is older than\n"
    "KMI_USAGE_CACHE_SECONDS.\n"
    "\n"
    "  --refresh   ask now, however young it is\n"
    "  --cached    do not ask\n"
    "  --current   only the account in the Kimi CLI's config\n"
    "  --json      the same for scripts\n"
    "  --plain     no colours\n"
    "  --quiet     print nothing, ask blocked keys only now and then: for timers\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 done, 1 when nothing could be learned, 2 for a wrong call or\n"
    "setting.\n";

enum { OPT_REFRESH = 256, OPT_CACHED, OPT_CURRENT };

static const struct option options[] = {
	{ "cached", no_argument, NULL, OPT_CACHED },
	{ "current", no_argument, NULL, OPT_CURRENT },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-color", no_argument, NULL, 'p' },
	{ "plain", no_argument, NULL, 'p' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "refresh", no_argument, NULL, OPT_REFRESH },
	{ NULL, 0, NULL, 0 },
};

/* One line of the list: a key, how it stands, what is known of its quota. */
struct row {
	const char *label, *account;
	const char *hash;
	const struct choose_fit *fit;	/* NULL: not of the pool */
	const struct health_key *known;		/* NULL: nothing */
};

/* ---- which rows ---- */

/* Percent left as it counts for choosing; what is not known comes after what is. */
static double
left_of(const struct row *r)
{
	return r->known && r->known->seen_at && r->known->usage.total.left >= 0 ? r->known->usage.total.left : 101;
}

static int
by_trouble(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	double left = left_of(x) - left_of(y);

	if (x->fit->fitness != y->fit->fitness)
		return x->fit->fitness > y->fit->fitness ? -1 : 1;
	return left < 0 ? -1 : left > 0 ? 1 : strcmp(x->label, y->label);
}

static struct row *
pool_rows(const struct roster *r)
{
	struct row *rows = calloc(r->auths.count + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < r->auths.count; i++) {
		const struct auth *k = &r->auths.keys[i];

		rows[i] = (struct row){ k->label, k->account, k->hash, &r->fit[i],
			health_find(&r->health, k->label, k->hash) };
	}
	if (rows)
		qsort(rows, r->auths.count, sizeof(*rows), by_trouble);
	return rows;
}

/* ---- for scripts ---- */

static void
put_json_row(struct json_out *o, const struct row *r)
{
	json_open(o, '{');
	json_key(o, "label");
	json_put_cstr(o, r->label);
	json_key(o, "account");
	json_put_cstr(o, r->account);
	json_key(o, "key_hash");
	json_put_cstr(o, r->hash);
	json_key(o, "status");
	json_put_cstr(o, r->fit ? fitness_name(r->fit->fitness) : NULL);
	json_key(o, "reason");
	json_put_cstr(o, r->fit && r->fit->reason[0] ? r->fit->reason : NULL);
	health_put_json(o, r->known);
	json_close(o, '}');
}

static void
put_json(struct buf *out, const struct row *rows, size_t count, time_t refreshed, bool dry)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "refreshed_at");
	json_put_time(&o, refreshed);
	json_key(&o, "dry_run");
	json_put_bool(&o, dry);
	json_key(&o, "keys");
	json_open(&o, '[');
	for (size_t i = 0; i < count; i++)
		put_json_row(&o, &rows[i]);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
}

/* ---- for people ---- */

static void
add_bar(struct table *t, const struct look *look, double percent)
{
	struct buf b = BUF(256);

	standing_bar(&b, look, percent);
	table_add(t, buf_bad(&b) ? "?" : b.p, standing_bar_tone(percent));
	buf_free(&b);
}

static void
add_used(struct table *t, const struct usage_figures *g)
{
	double used = g->used >= 0 ? g->used : g->remaining >= 0 && g->limit >= 0 ? g->limit - g->remaining : -1;

	if (used >= 0 && g->limit >= 0)
		table_printf(t, TONE_NONE, "%.15g / %.15g", used, g->limit);
	else
		table_add(t, "", TONE_NONE);
}

static void
add_when(struct table *t, time_t when, time_t now)
{
	struct buf b = BUF(128);

	if (when)
		words_when(&b, when, now);
	table_add(t, b.n ? b.p : "", TONE_NONE);
	buf_free(&b);
}

static void
add_figures(struct table *t, const struct look *look, const char *window, const struct usage_figures *g, time_t now)
{
	table_add(t, window, TONE_NONE);
	add_bar(t, look, g->left);
	add_used(t, g);
	add_when(t, g->reset, now);
}

/* Whether the total says something that no window says. */
static bool
total_is_a_window(const struct usage *u)
{
	for (size_t i = 0; i < u->window_count; i++)
		if (memcmp(&u->windows[i].figures, &u->total, sizeof(u->total)) == 0)
			return true;
	return false;
}

static void
add_row(struct table *t, const struct look *look, const struct row *r, time_t now)
{
	static const struct usage_figures nothing = { -1, -1, -1, -1, 0 };
	const struct usage *u = r->known && r->known->seen_at ? &r->known->usage : NULL;
	bool first = true;

	table_row(t);
	table_add(t, r->label, TONE_BOLD);
	if (r->fit)
		table_add(t, _(fitness_name(r->fit->fitness)), standing_tone(r->fit->fitness));
	else
		table_add(t, "", TONE_NONE);
	if (!u || !u->window_count || !total_is_a_window(u)) {
		add_figures(t, look, u ? _("quota") : "", u ? &u->total : &nothing, now);
		first = false;
	}
	for (size_t i = 0; u && i < u->window_count; i++) {
		if (!first) {
			table_row(t);
			table_add(t, "", TONE_NONE);
			table_add(t, "", TONE_NONE);
		}
		add_figures(t, look, u->windows[i].name, &u->windows[i].figures, now);
		first = false;
	}
}

static int
put_table(struct buf *out, const struct row *rows, size_t count, const struct look *look, time_t now)
{
	struct table *t = table_new(look);
	int rc;

	table_column(t, _("LABEL"), TABLE_SHRINK);
	table_column(t, _("STATUS"), 0);
	table_column(t, _("WINDOW"), 0);
	table_column(t, _("LEFT"), 0);
	table_column(t, _("USED"), TABLE_RIGHT);
	table_column(t, _("RENEWED"), 0);
	for (size_t i = 0; i < count; i++)
		add_row(t, look, &rows[i], now);
	rc = table_text(t, out);
	table_free(t);
	return rc;
}

/* What the table has no room for: why a key stands badly, why it did not answer, money beside the quota. */
static void
put_notes(struct buf *out, const struct row *r, time_t now)
{
	struct buf line = BUF(4096), reason = BUF(512), when = BUF(128);
	const struct health_key *k = r->known;
	char why[400];

	/* That nothing is known is in the table. */
	if (r->fit && (r->fit->fitness != FIT_WARN || (k && k->seen_at)))
		standing_reason(&reason, r->fit, now);
	if (reason.n && (!k || !k->error[0]))
		buf_printf(&line, "%s: %s\n", r->label, reason.p);
	if (k && k->error[0]) {
		words_when(&when, k->checked_at, now);
		buf_printf(&line, _("%s: no answer of use %s: %s\n"), r->label, when.n ? when.p : "?",
		    kept_words(k->error, why, sizeof(why)));
	}
	if (k && k->usage.has_balance)
		buf_printf(&line, _("%s: pays by use, balance %.2f\n"), r->label, k->usage.balance);
	if (k && k->usage.has_booster)
		buf_printf(&line, _("%s: has a booster with %.15g left\n"), r->label, k->usage.booster);
	buf_str(out, buf_view(&line));
	buf_free(&line);
	buf_free(&reason);
	buf_free(&when);
}

static int
put_text(struct buf *out, const struct row *rows, size_t count, time_t refreshed, const struct look *look, time_t now)
{
	struct buf when = BUF(128);
	size_t before;

	if (put_table(out, rows, count, look, now) < 0)
		return -1;
	buf_putc(out, '\n');
	before = out->n;
	for (size_t i = 0; i < count; i++)
		put_notes(out, &rows[i], now);
	if (out->n > before)
		buf_putc(out, '\n');
	if (refreshed)
		words_when(&when, refreshed, now);
	if (when.n)
		buf_printf(out, _("asked %s\n"), when.p);
	else
		buf_puts(out, _("never asked yet\n"));
	buf_free(&when);
	return 0;
}

/* ---- the account in the Kimi CLI's config ---- */

/* A key that is not (or not as such) in the pool: what its file says. */
static int
read_config(struct auth *key, const char *path, const struct config *c, struct fail *f)
{
	struct buf text = BUF(KEY_FILE_MAX + 1);
	struct keyfile k = { 0 };
	struct fail why;
	int rc = -1;

	*key = (struct auth){ .format = KEY_TOML };
	if (file_read(path, KEY_FILE_MAX, &text, NULL, f) < 0)
		goto out;
	if (keyfile_parse(&k, KEY_TOML, buf_view(&text), NULL, &why) < 0) {
		fail_set(f, why.kind, "%s: %s", path, why.text);
		if (client_config_has_login(buf_view(&text)))
			fail_hint(f, "the Kimi CLI is logged in there: without a key nobody can be asked; kmi rotate writes one");
		else
			fail_hint(f, "mend the file; kmi rotate writes a key of the pool into it");
		goto out;
	}
	digest_short(str_from(keyfile_key(&k)), key->hash);
	key->path = strdup(path);
	key->provider = keyfile_provider(&k) ? strdup(keyfile_provider(&k)) : NULL;
	key->base_url = strdup(keyfile_base_url(&k) ? keyfile_base_url(&k) : c->upstream_base_url);
	rc = key->path && key->base_url ? 0 : fail_memory(f);
out:
	keyfile_free(&k);
	buf_wipe(&text);
	return rc;
}

static void
free_config(struct auth *key)
{
	free(key->label);
	free(key->path);
	free(key->provider);
	free(key->base_url);
}

/* The first Kimi CLI's that has one. */
static int
find_config(struct auth *key, const struct config *c, struct fail *f)
{
	char *paths[CLIENTS];
	int rc = -1, i = 0;

	*key = (struct auth){ 0 };
	for (int k = 0; k < CLIENTS; k++)
		paths[k] = client_config_path(k);
	while (i < CLIENTS && paths[i] && access(paths[i], F_OK) < 0)
		i++;
	if (i == CLIENTS) {
		fail_set(f, FAIL_INPUT, "the Kimi CLI has no config: there is neither %s nor %s", paths[CLIENT_KIMI_CLI],
		    paths[CLIENT_KIMI_CODE]);
		fail_hint(f, "kmi rotate writes one with a key of the pool");
	} else {
		rc = paths[i] ? read_config(key, paths[i], c, f) : fail_memory(f);
	}
	for (int k = 0; k < CLIENTS; k++)
		free(paths[k]);
	return rc;
}

static int
current(const struct config *c, const struct look *look, bool json, struct buf *out, struct fail *f)
{
	struct auth key;
	struct health_key asked = { 0 };
	struct row row = { 0 };
	struct roster r;
	char label[KEY_LABEL_MAX + 16] = "current", why[400];
	time_t now = clock_wall();
	int rc = -1;

	if (find_config(&key, c, f) < 0)
		return -1;
	if (roster_load(&r, c, now, f) < 0)
		goto out;
	row = (struct row){ .label = label, .hash = key.hash };
	for (size_t i = 0; i < r.auths.count; i++)
		if (strcmp(r.auths.keys[i].hash, key.hash) == 0) {
			snprintf(label, sizeof(label), "current:%s", r.auths.keys[i].label);
			row.account = r.auths.keys[i].account;
			row.fit = &r.fit[i];
			row.known = health_find(&r.health, r.auths.keys[i].label, key.hash);
		}
	key.label = strdup(label);
	rc = 0;
	if (!c->dry_run && key.label) {
		rc = refresh_one(c, &key, &asked, f);
		row.known = &asked;
	}
	if (rc == 0 && json)
		put_json(out, &row, 1, row.known ? row.known->seen_at : 0, c->dry_run);
	else if (rc == 0)
		rc = put_text(out, &row, 1, row.known ? row.known->seen_at : 0, look, clock_wall());
	if (rc == 0 && row.known && row.known->error[0])
		rc = fail_set(f, FAIL_SYSTEM, "%s: %s", label, kept_words(row.known->error, why, sizeof(why)));
	roster_free(&r);
out:
	free_config(&key);
	return rc;
}

/* ---- the pool ---- */

static void
show_progress(size_t done, size_t all, void *arg)
{
	(void)arg;
	fprintf(stderr, "\r\033[K");
	if (done < all) {
		fprintf(stderr, _("asking the upstream: %zu of %zu keys"), done, all);
		fflush(stderr);
	}
}

/* Old, or silent about a key that came since. */
static bool
is_old(const struct config *c, time_t now)
{
	struct roster r;
	struct fail f = { 0 };
	bool old;

	if (roster_load(&r, c, now, &f) < 0)
		return false;	/* who shows it will tell */
	old = r.health.refreshed_at == 0 || now < r.health.refreshed_at || now - r.health.refreshed_at >= c->usage_cache_seconds;
	for (size_t i = 0; i < r.auths.count && !old; i++)
		old = !r.auths.keys[i].disabled && !health_find(&r.health, r.auths.keys[i].label, r.auths.keys[i].hash);
	roster_free(&r);
	return old;
}

/* Asks, or waits for who is already asking. */
static int
refresh(const struct config *c, bool sparing, struct fail *f)
{
	struct refresh r = {
		.config = c,
		.sparing = sparing,
		.progress = !sparing && isatty(STDERR_FILENO) ? show_progress : NULL,
	};

	if (refresh_run(&r, f) < 0) {
		if (f->kind != FAIL_BUSY)
			return -1;
		*f = (struct fail){ 0 };
		return sparing ? 0 : refresh_await(c, AWAIT_MS, f);
	}
	if (r.asked && !r.answered) {
		fail_set(f, FAIL_SYSTEM, "none of the keys got an answer of use from the upstream");
		fail_hint(f, "kmi health --cached shows what each was told; kmi doctor looks for the cause");
		return -1;
	}
	return 0;
}

static int
pool(const struct config *c, const struct look *look, bool json, struct buf *out, struct fail *f)
{
	time_t now = clock_wall();
	struct row *rows = NULL;
	struct roster r;
	int rc = -1;

	if (roster_load(&r, c, now, f) < 0)
		return -1;
	rows = pool_rows(&r);
	if (!rows) {
		fail_memory(f);
	} else if (json) {
		put_json(out, rows, r.auths.count, r.health.refreshed_at, c->dry_run);
		rc = 0;
	} else if (r.auths.count) {
		rc = put_text(out, rows, r.auths.count, r.health.refreshed_at, look, now);
	} else {
		rc = 0;
	}
	if (rc == 0 && r.no_keys.kind) {
		*f = r.no_keys;
		rc = -1;
	}
	free(rows);
	roster_free(&r);
	return rc;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":hq", .options = options };
	bool quiet = false;
	int mode = 0, opt, code, rc = 0;
	struct buf out = BUF(TEXT_MAX);
	struct fail f = { 0 };
	struct config c;
	struct look look;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case OPT_REFRESH:
		case OPT_CACHED:
		case OPT_CURRENT:
			if (mode && mode != opt)
				return program_usage(NAME, "--refresh, --cached and --current: one at a time");
			mode = opt;
			break;
		case 'q':
			quiet = true;
			break;
		}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	if (narrow(NAME, &c, &f) < 0)
		return program_fail(NAME, &f);
	look_detect(&look, STDOUT_FILENO, call.plain || c.plain || c.no_color);
	if (c.dry_run && !quiet && mode != OPT_CACHED)
		program_warn(NAME, "this is a dry run: nothing is asked of the upstream (KMI_DRY_RUN=0 goes live)");
	if (mode == OPT_CURRENT)
		rc = current(&c, &look, call.json, &out, &f);
	else if (!c.dry_run && mode != OPT_CACHED && (mode == OPT_REFRESH || is_old(&c, clock_wall())))
		rc = refresh(&c, quiet, &f);
	code = rc < 0 ? program_fail(NAME, &f) : 0;
	if (mode != OPT_CURRENT && !quiet) {
		f = (struct fail){ 0 };
		if (pool(&c, &look, call.json, &out, &f) < 0)
			code = program_fail(NAME, &f);
	}
	if (!quiet)
		program_print(&out);
	buf_free(&out);
	config_free(&c);
	return program_end(NAME, code);
}
