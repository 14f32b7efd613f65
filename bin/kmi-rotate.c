/*
 * kmi-rotate: whose turn it is, by hand; and rotation by itself, on and off.
 *
 *	kmi-rotate [--to LABEL] [--json | --plain]
 *	kmi-rotate auto | off [--json]
 *
 * Without a word it takes the key that serves best (keys/rank), makes it the
 * active one, writes it into the Kimi CLI's config, and says why.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "books/events.h"
#include "keys/client_config.h"
#include "keys/client_write.h"
#include "keys/narrow.h"
#include "keys/rank.h"
#include "keys/roster.h"
#include "show/standing.h"
#include "show/table.h"
#include "show/words.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "kmi-rotate"
#define TEXT_MAX (64u << 20)
#define TURN_WAIT_MS 10000

static const char usage[] =
    "usage: kmi rotate [--to LABEL] [--json | --plain]\n"
    "       kmi rotate auto | off [--json]\n"
    "\n"
    "Makes the key that serves best the active one: by status, by what is left of its\n"
    "quota, by its errors; where these tie, the next one in turn (KMI_ROTATE_ON_TIE).\n"
    "Then writes it into the Kimi CLI's config (KMI_WRITE_CONFIG; not in dry run).\n"
    "\n"
    "  auto        from now on every request takes the next key, if that is allowed\n"
    "              (KMI_AUTO_ROTATE_ALLOWED); kmi e2e tries it (KMI_AUTO_ROTATE_E2E)\n"
    "  off         no longer: the active key serves while it is fit\n"
    "  --to LABEL  this key and no other\n"
    "  --json      what was done, for scripts\n"
    "  --plain     no colours\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 done, 1 when it could not be, 2 for a wrong call or setting.\n";

static const struct option options[] = {
	{ "auto", no_argument, NULL, 'a' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-color", no_argument, NULL, 'p' },
	{ "off", no_argument, NULL, 'o' },
	{ "plain", no_argument, NULL, 'p' },
	{ "to", required_argument, NULL, 't' },
	{ NULL, 0, NULL, 0 },
};

/* A config of the Kimi CLI, and what became of it. */
struct written {
	char *path;
	struct client_written did;
	struct fail fail;
};

struct turn {
	const struct config *c;
	struct roster roster;
	struct rank rank;
	size_t before;
	bool named;		/* --to */
	bool automatic;		/* rotation goes by itself: the active key does not count just now */
	struct written written[CLIENTS];
	size_t written_count;
};

/* ---- why ---- */

static const char *
label_of(const struct turn *t, size_t i)
{
	return i < t->roster.auths.count ? t->roster.auths.keys[i].label : _("none");
}

static void
put_left(const struct turn *t, size_t i, char out[32])
{
	int left = t->roster.keys[i].usage_left;

	if (left < 0)
		snprintf(out, 32, "%s", _("unknown"));
	else
		snprintf(out, 32, "%d %%", left);
}

static void
put_reason(const struct turn *t, struct buf *out)
{
	size_t to = t->rank.chosen, by = t->rank.against;
	const char *chosen = label_of(t, to), *other = label_of(t, by);
	char left[32], other_left[32];

	switch (t->rank.why) {
	case RANK_NOBODY:
		buf_puts(out, _("no key is fit"));
		return;
	case RANK_ONLY:
		buf_printf(out, _("it is the only one that is fit"));
		return;
	case RANK_CURRENT_UNFIT:
		buf_printf(out, _("%s cannot serve now"), other);
		return;
	case RANK_CURRENT_GONE:
		buf_puts(out, _("the key that was active is no longer in the pool"));
		return;
	case RANK_STATUS:
		buf_printf(out, _("%s is %s, %s is %s"), chosen, _(fitness_name(t->roster.fit[to].fitness)), other,
		    _(fitness_name(t->roster.fit[by].fitness)));
		return;
	case RANK_QUOTA:
		put_left(t, to, left);
		put_left(t, by, other_left);
		buf_printf(out, _("%s has more of its quota left: %s against %s of %s"), chosen, left, other_left, other);
		return;
	case RANK_ERRORS:
		buf_printf(out, _("%s has fewer errors: %d in 100 requests against %d of %s"), chosen,
		    rank_error_rate(&t->roster.keys[to]), rank_error_rate(&t->roster.keys[by]), other);
		return;
	case RANK_TIE:
		buf_printf(out, _("%s is no better"), other);
		return;
	case RANK_TURN:
		buf_printf(out, _("it is as good as %s, and it is its turn"), other);
		return;
	}
}

/* ---- the Kimi CLI's config ---- */

/* kimi-cli's always; kimi-code's when that is installed. */
static int
write_configs(struct turn *t)
{
	int rc = 0;

	for (int i = 0; i < CLIENTS; i++) {
		struct written *w = &t->written[t->written_count];
		char *path = client_config_path(i);

		if (!path || (i != CLIENT_KIMI_CLI && access(path, F_OK) < 0)) {
			free(path);
			continue;
		}
		w->path = path;
		t->written_count++;
		if (client_write(path, &t->roster.auths, t->rank.chosen, &w->did, &w->fail) < 0)
			rc = -1;
		else if (w->did.changed)
			event_audit(t->c, "config_written", "path", path, "label", label_of(t, t->rank.chosen), NULL);
	}
	return rc;
}

/* ---- what is shown ---- */

static void
add_row(struct table *table, const struct turn *t, size_t i, const struct look *look, time_t now)
{
	const struct auth *k = &t->roster.auths.keys[i];
	const struct state_counts *n = t->roster.keys[i].books ? &t->roster.keys[i].books->counts : NULL;
	const struct health_key *h = health_find(&t->roster.health, k->label, k->hash);
	struct buf b = BUF(256);

	table_row(table);
	table_add(table, i == t->rank.chosen ? "*" : "", TONE_BOLD);
	table_add(table, k->label, i == t->rank.chosen ? TONE_BOLD : TONE_NONE);
	table_add(table, k->masked, TONE_NONE);
	table_add(table, _(fitness_name(t->roster.fit[i].fitness)), standing_tone(t->roster.fit[i].fitness));
	words_when(&b, n ? n->last_used : 0, now);
	table_add(table, b.n ? b.p : "", TONE_NONE);
	table_printf(table, TONE_NONE, "%lld", n ? n->error_401 + n->error_403 + n->error_429 + n->error_5xx : 0);
	buf_reset(&b);
	standing_bar(&b, look, h && h->seen_at ? h->usage.total.left : -1);
	table_add(table, b.n ? b.p : "", standing_bar_tone(h && h->seen_at ? h->usage.total.left : -1));
	buf_reset(&b);
	if (h && h->usage.total.reset)
		words_when(&b, h->usage.total.reset, now);
	table_add(table, b.n ? b.p : "", TONE_NONE);
	buf_free(&b);
}

static int
put_dashboard(const struct turn *t, const struct look *look, struct buf *out, time_t now)
{
	struct table *table = table_new(look);
	int rc;

	table_column(table, "", 0);
	table_column(table, _("LABEL"), TABLE_SHRINK);
	table_column(table, _("KEY"), 0);
	table_column(table, _("STATUS"), 0);
	table_column(table, _("LAST USED"), 0);
	table_column(table, _("ERRORS"), TABLE_RIGHT);
	table_column(table, _("LEFT"), 0);
	table_column(table, _("RENEWED"), 0);
	for (size_t i = 0; i < t->roster.auths.count; i++)
		add_row(table, t, i, look, now);
	rc = table_text(table, out);
	table_free(table);
	return rc;
}

static void
put_line(struct buf *out, const struct buf *line)
{
	buf_str(out, buf_view(line));
	buf_putc(out, '\n');
}

/* A key that was named may be one that cannot serve. */
static void
put_unfit(const struct turn *t, struct buf *out)
{
	const struct choose_fit *fit = &t->roster.fit[t->rank.chosen];
	struct buf line = BUF(8192), why = BUF(4096);

	if (!rank_is_fit(&t->roster.keys[t->rank.chosen], fit)) {
		standing_reason(&why, fit, clock_wall());
		buf_printf(&line, _("it cannot serve now (%s); until it can, the next one that is fit does"), why.n ? why.p : "?");
		put_line(out, &line);
	}
	buf_free(&line);
	buf_free(&why);
}

static int
put_text(const struct turn *t, const struct look *look, struct buf *out)
{
	struct buf line = BUF(8192), why = BUF(4096);
	const char *chosen = label_of(t, t->rank.chosen);
	int rc;

	put_reason(t, &why);
	if (t->named)
		buf_printf(&line, t->rank.chosen == t->before ? _("%s stays the active key") : _("%s is the active key now"),
		    chosen);
	else if (t->rank.chosen == t->before)
		buf_printf(&line, _("%s stays the active key: %s"), chosen, why.n ? why.p : "?");
	else
		buf_printf(&line, _("%s is the active key now: %s"), chosen, why.n ? why.p : "?");
	put_line(out, &line);
	put_unfit(t, out);
	for (size_t i = 0; i < t->written_count; i++) {
		const struct written *w = &t->written[i];

		if (w->fail.kind != FAIL_NONE)
			continue;
		buf_reset(&line);
		buf_printf(&line, w->did.changed ? _("written into %s") : _("%s has it already"), w->path);
		put_line(out, &line);
		if (w->did.closed) {
			buf_reset(&line);
			buf_printf(&line, _("others could read %s; it is its owner's alone now"), w->path);
			put_line(out, &line);
		}
		if (w->did.login) {
			buf_reset(&line);
			buf_puts(&line, _("the Kimi CLI is logged in: until `kimi logout` it does not use this key"));
			put_line(out, &line);
		}
	}
	if (t->c->dry_run && t->c->write_config)
		buf_puts(out, _("this is a dry run: the Kimi CLI's config is left alone\n"));
	if (t->automatic)
		buf_puts(out, _("rotation is automatic: it counts once that is off (kmi rotate off)\n"));
	buf_putc(out, '\n');
	rc = put_dashboard(t, look, out, clock_wall());
	buf_free(&line);
	buf_free(&why);
	return rc;
}

static const char *
why_name(const struct turn *t)
{
	static const char *const names[] = { [RANK_NOBODY] = "nobody_fit", [RANK_ONLY] = "only_one_fit",
		[RANK_CURRENT_UNFIT] = "current_unfit", [RANK_CURRENT_GONE] = "current_gone", [RANK_STATUS] = "status",
		[RANK_QUOTA] = "quota",
		[RANK_ERRORS] = "errors", [RANK_TIE] = "tie", [RANK_TURN] = "turn" };

	return t->named ? "named" : names[t->rank.why];
}

static void
put_json(const struct turn *t, struct buf *out)
{
	struct json_out o = { .to = out };
	struct buf why = BUF(4096);

	put_reason(t, &why);
	json_open(&o, '{');
	json_key(&o, "label");
	json_put_cstr(&o, label_of(t, t->rank.chosen));
	json_key(&o, "previous");
	json_put_cstr(&o, t->before < t->roster.auths.count ? label_of(t, t->before) : NULL);
	json_key(&o, "changed");
	json_put_bool(&o, t->rank.chosen != t->before);
	json_key(&o, "why");
	json_put_cstr(&o, why_name(t));
	json_key(&o, "reason");
	json_put_cstr(&o, t->named || !why.n ? NULL : why.p);
	json_key(&o, "auto_rotate");
	json_put_bool(&o, t->automatic);
	json_key(&o, "written");
	json_open(&o, '[');
	for (size_t i = 0; i < t->written_count; i++)
		if (t->written[i].fail.kind == FAIL_NONE)
			json_put_cstr(&o, t->written[i].path);
	json_close(&o, ']');
	json_key(&o, "logged_in");
	json_open(&o, '[');
	for (size_t i = 0; i < t->written_count; i++)
		if (t->written[i].did.login)
			json_put_cstr(&o, t->written[i].path);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
	buf_free(&why);
}

/* ---- by hand ---- */

static int
find_label(const struct turn *t, const char *label, size_t *place)
{
	const char **known = calloc(t->roster.auths.count + 1, sizeof(*known));
	int code = 0;

	*place = t->roster.auths.count;
	for (size_t i = 0; known && i < t->roster.auths.count; i++) {
		known[i] = t->roster.auths.keys[i].label;
		if (strcmp(known[i], label) == 0)
			*place = i;
	}
	if (*place == t->roster.auths.count)
		code = program_unknown(NAME, label, known, "no key is called %s", label);
	free(known);
	return code;
}

static int
check_pool(const struct turn *t, struct fail *f)
{
	if (t->roster.auths.count)
		return 0;
	*f = t->roster.no_keys;
	return -1;
}

/* By the books as they are under the lock: who rotates at the same time goes on from here. */
static int
choose(struct turn *t, const char *to, int *code, struct fail *f)
{
	const struct roster *r = &t->roster;

	t->before = r->state.head.active_index >= 0 ? (size_t)r->state.head.active_index : 0;
	t->automatic = r->state.head.auto_rotate && t->c->auto_rotate_allowed;
	if (to) {
		t->named = true;
		if ((*code = find_label(t, to, &t->rank.chosen)))
			return 0;
		if (r->keys[t->rank.chosen].disabled) {
			fail_set(f, FAIL_INPUT, "%s is disabled by its file", to);
			return fail_hint(f, "take KMI_KEY_DISABLED out of %s", r->auths.keys[t->rank.chosen].path);
		}
		t->rank.against = t->before;
		return 0;
	}
	rank_choose(r->keys, r->fit, r->auths.count, t->before, t->c->rotate_on_tie, &t->rank);
	if (t->rank.why == RANK_NOBODY) {
		fail_set(f, FAIL_BUSY, "no key is fit to serve now");
		return fail_hint(f, "kmi keys tells why and until when; kmi unlock LABEL lifts a lock");
	}
	return 0;
}

static int
take_turn(struct turn *t, const char *to, int *code, struct fail *f)
{
	struct state_change ch;
	int rc;

	if (check_pool(t, f) < 0 || state_begin(&ch, t->c->state_dir, f) < 0)
		return -1;
	roster_again(&t->roster, t->c, clock_wall());
	rc = choose(t, to, code, f);
	if (rc < 0 || *code) {
		state_abort(&ch);
		return rc;
	}
	ch.state.head.active_index = (long long)t->rank.chosen;
	return state_commit(&ch, true, f);
}

static void
audit(const struct turn *t)
{
	const char *from = t->before < t->roster.auths.count ? t->roster.auths.keys[t->before].label : "none";

	event_audit(t->c, "rotate", "from", from, "to", label_of(t, t->rank.chosen), "why", why_name(t), NULL);
}

static int
report(const struct turn *t, bool json, const struct look *look, struct buf *out)
{
	struct fail f;

	for (size_t i = 0; i < t->written_count; i++) {
		const struct written *w = &t->written[i];

		if (w->fail.kind == FAIL_NONE)
			continue;
		fail_set(&f, w->fail.kind, "%s is left as it was: %s", w->path, w->fail.text);
		if (w->fail.hint[0])
			memcpy(f.hint, w->fail.hint, sizeof(f.hint));
		else
			fail_hint(&f, "kmi rotate --to %s writes it once that is mended", label_of(t, t->rank.chosen));
		(void)program_fail(NAME, &f);
	}
	if (json)
		put_json(t, out);
	else if (put_text(t, look, out) < 0)
		return 1;
	return 0;
}

/* Until closed, no other rotation begins: the config of the Kimi CLI is to hold the key that the books name. */
static int
alone(const struct config *c, struct fail *f)
{
	char *path = file_join(c->state_dir, "rotate.lock");
	int fd = -1;

	if (!path)
		return fail_memory(f);
	if (file_mkdirs(c->state_dir, f) == 0)
		fd = file_lock(path, TURN_WAIT_MS, f);
	if (fd < 0 && f->kind == FAIL_BUSY)
		fail_hint(f, "fuser %s names the process", path);
	else if (fd < 0)
		fail_hint(f, "kmi doctor looks for the cause");
	free(path);
	return fd;
}

static int
rotate(const struct config *c, const char *to, bool json, const struct look *look, struct buf *out)
{
	struct turn t = { .c = c };
	struct fail f = { 0 };
	int lock = alone(c, &f), code = 0;

	if (lock < 0 || roster_load(&t.roster, c, clock_wall(), &f) < 0) {
		code = program_fail(NAME, &f);
	} else {
		if (t.roster.no_books.kind == FAIL_INPUT)
			program_warn(NAME, "state.json: %s", t.roster.no_books.text);
		if (take_turn(&t, to, &code, &f) < 0)
			code = program_fail(NAME, &f);
	}
	if (code == 0) {
		audit(&t);
		if (c->write_config && !c->dry_run && write_configs(&t) < 0)
			code = 1;
		code |= report(&t, json, look, out);
	}
	for (size_t i = 0; i < t.written_count; i++)
		free(t.written[i].path);
	roster_free(&t.roster);
	if (lock >= 0)
		close(lock);
	return code;
}

/* ---- by itself ---- */

/* kmi-e2e beside this program: rotation is not believed before it was seen. What it says is for people. */
static int
try_out(bool quiet, struct fail *f)
{
	char path[PATH_MAX];
	pid_t child;
	int status = 0;

	if (program_beside("kmi-e2e", path, sizeof(path), f) < 0)
		return -1;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		int nowhere = quiet ? open("/dev/null", O_WRONLY) : -1;

		if (nowhere >= 0)
			dup2(nowhere, STDOUT_FILENO);
		execl(path, "kmi-e2e", (char *)NULL);
		_exit(127);
	}
	if (child < 0)
		return fail_sys(f, "run %s", path);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fail_set(f, FAIL_INPUT, "rotation is automatic, but it did not pass the test");
	return fail_hint(f, "kmi e2e repeats it, kmi rotate off goes back to manual rotation");
}

static int
set_automatic(const struct config *c, bool on, bool json)
{
	bool try = on && c->auto_rotate_e2e;
	struct state_change ch;
	struct fail f = { 0 };
	int rc = 0;

	if (on && !c->auto_rotate_allowed) {
		fail_set(&f, FAIL_INPUT, "automatic rotation is not allowed here");
		fail_hint(&f, "KMI_AUTO_ROTATE_ALLOWED=1 in the environment, or auto_rotate_allowed = true in "
		    "kmi.config.toml, allows it; to the proxy, too");
		return program_fail(NAME, &f);
	}
	if (state_begin(&ch, c->state_dir, &f) < 0)
		return program_fail(NAME, &f);
	ch.state.head.auto_rotate = on;
	if (state_commit(&ch, true, &f) < 0)
		return program_fail(NAME, &f);
	event_audit(c, on ? "auto_on" : "auto_off", NULL);
	if (!json)
		puts(on ? _("rotation is automatic: every request takes the next key") :
			  _("rotation is manual: the active key serves while it is fit"));
	if (try)
		rc = try_out(json, &f);
	if (json)
		printf("{\"auto_rotate\": %s, \"e2e\": %s}\n", on ? "true" : "false",
		    !try ? "null" : rc < 0 ? "\"failed\"" : "\"passed\"");
	return rc < 0 ? program_fail(NAME, &f) : 0;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	const char *to = NULL, *word = NULL;
	struct buf out = BUF(TEXT_MAX);
	struct config c;
	struct look look;
	struct fail f;
	int opt, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'a':
		case 'o':
			if (word)
				return program_usage(NAME, "auto and off: one at a time");
			word = opt == 'a' ? "auto" : "off";
			break;
		case 't':
			to = optarg;
			break;
		}
	if (call.over)
		return call.code;
	for (; optind < argc; optind++) {
		static const char *const words[] = { "auto", "off", NULL };

		if (strcmp(argv[optind], "auto") != 0 && strcmp(argv[optind], "off") != 0)
			return program_unknown(NAME, argv[optind], words, "unexpected argument: %s", argv[optind]);
		if (word)
			return program_usage(NAME, "auto and off: one at a time");
		word = argv[optind];
	}
	if (word && to)
		return program_usage(NAME, "%s and --to do not go together", word);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	/* What turning it on runs to see it work, starts and reaches much. */
	if ((!word || strcmp(word, "off") == 0) && narrow(NAME, &c, &f) < 0)
		return program_fail(NAME, &f);
	look_detect(&look, STDOUT_FILENO, call.plain || c.plain || c.no_color);
	code = word ? set_automatic(&c, strcmp(word, "auto") == 0, call.json) : rotate(&c, to, call.json, &look, &out);
	program_print(&out);
	config_free(&c);
	return program_end(NAME, code);
}
