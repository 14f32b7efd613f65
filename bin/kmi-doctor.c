/*
 * kmi-doctor: what is wrong with this setup, and what to do about it.
 *
 *	kmi-doctor [--recheck-keys | --clear-blocklist] [--json | --plain]
 *
 * Looks at the settings, the keys, the proxy, the clients, the files and the
 * machine; changes nothing unless told to.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "base/window.h"
#include "books/events.h"
#include "doctor/doctor.h"
#include "keys/lock.h"
#include "keys/refresh.h"
#include "show/look.h"

#include <stdio.h>
#include <unistd.h>

#define NAME "kmi-doctor"
#define PIPE_WIDTH 100
#define INDENT 8

static const char usage[] =
    "usage: kmi doctor [--recheck-keys | --clear-blocklist] [--json | --plain]\n"
    "\n"
    "Looks for what is wrong with this setup and says what to do about it.\n"
    "\n"
    "  --recheck-keys     first ask the upstream about all keys, blocked ones too\n"
    "  --clear-blocklist  first lift the blocks of all keys\n"
    "  --json             the findings for scripts\n"
    "  --plain            no colours\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 when nothing fails (there may be warnings), 1 when something\n"
    "does, 2 for a wrong call or setting.\n";

static const struct option options[] = {
	{ "clear-blocklist", no_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-color", no_argument, NULL, 'p' },
	{ "plain", no_argument, NULL, 'p' },
	{ "recheck-keys", no_argument, NULL, 'r' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	const char *name;
	void (*look)(struct doctor *d);
} groups[] = {
	{ N_("Settings"), doctor_settings },
	{ N_("Keys"), doctor_keys },
	{ N_("Proxy"), doctor_proxy },
	{ N_("Clients"), doctor_client },
	{ N_("Files"), doctor_files },
	{ N_("System"), doctor_system },
};

static const char *const level_words[] = { [FINDING_OK] = N_("ok"), [FINDING_NOTE] = N_("note"), [FINDING_WARN] = N_("WARN"),
	[FINDING_FAIL] = N_("FAIL") };
static const char *const level_names[] = { [FINDING_OK] = "ok", [FINDING_NOTE] = "note", [FINDING_WARN] = "warn",
	[FINDING_FAIL] = "fail" };
static const enum tone level_tones[] = { [FINDING_OK] = TONE_GOOD, [FINDING_NOTE] = TONE_DIM, [FINDING_WARN] = TONE_WARN,
	[FINDING_FAIL] = TONE_BAD };

/* ---- what is shown ---- */

static void
put_finding(struct buf *out, const struct look *look, const struct finding *f)
{
	size_t width = look->width > INDENT + 20 ? (size_t)look->width : PIPE_WIDTH;
	struct str word = str_from(_(level_words[f->level]));

	buf_puts(out, "  ");
	buf_puts(out, look_begin(look, level_tones[f->level]));
	buf_str(out, word);
	buf_puts(out, look_end(look, level_tones[f->level]));
	buf_fill(out, ' ', window_columns(word) < INDENT - 2 ? INDENT - 2 - window_columns(word) : 1);
	window_wrap(out, str_from(f->what ? f->what : "?"), width, INDENT, INDENT);
	buf_putc(out, '\n');
	if (f->remedy) {
		buf_fill(out, ' ', INDENT);
		buf_puts(out, "-> ");
		window_wrap(out, str_from(f->remedy), width, INDENT + 3, INDENT);
		buf_putc(out, '\n');
	}
}

static void
put_text(const struct doctor *d, const struct look *look, struct buf *out)
{
	const char *group = NULL;
	long long failures = (long long)doctor_count(d, FINDING_FAIL), warnings = (long long)doctor_count(d, FINDING_WARN);

	for (size_t i = 0; i < d->count; i++) {
		if (d->findings[i].group != group) {
			group = d->findings[i].group;
			buf_printf(out, "%s%s%s%s\n", i ? "\n" : "", look_begin(look, TONE_BOLD), _(group), look_end(look, TONE_BOLD));
		}
		put_finding(out, look, &d->findings[i]);
	}
	buf_putc(out, '\n');
	if (!failures && !warnings) {
		buf_puts(out, _("all is well\n"));
		return;
	}
	buf_printf(out, text_plural(failures, "%lld failure, ", "%lld failures, "), failures);
	buf_printf(out, text_plural(warnings, "%lld warning\n", "%lld warnings\n"), warnings);
}

static void
put_json(const struct doctor *d, struct buf *out)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "ok");
	json_put_bool(&o, doctor_count(d, FINDING_FAIL) == 0);
	json_key(&o, "failures");
	json_put_int(&o, (long long)doctor_count(d, FINDING_FAIL));
	json_key(&o, "warnings");
	json_put_int(&o, (long long)doctor_count(d, FINDING_WARN));
	json_key(&o, "findings");
	json_open(&o, '[');
	for (size_t i = 0; i < d->count; i++) {
		json_open(&o, '{');
		json_key(&o, "group");
		json_put_cstr(&o, d->findings[i].group);
		json_key(&o, "level");
		json_put_cstr(&o, level_names[d->findings[i].level]);
		json_key(&o, "what");
		json_put_cstr(&o, d->findings[i].what);
		json_key(&o, "remedy");
		json_put_cstr(&o, d->findings[i].remedy);
		json_close(&o, '}');
	}
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
}

/* ---- what is done when told so ---- */

/* Blocks are what a person has to mend: payment and credentials. Limits stay, they end by themselves. */
static int
clear_blocks(const struct config *c, struct fail *f)
{
	struct state_change ch;
	time_t now = clock_wall();

	if (state_begin(&ch, c->state_dir, f) < 0)
		return -1;
	for (size_t i = 0; i < ch.state.count; i++) {
		struct state_key *k = &ch.state.keys[i];

		if (!lock_end(&k->blocked, now))
			continue;
		event_audit(c, "unlock", "label", k->label, "reason", k->blocked.reason, NULL);
		k->blocked = (struct lock){ 0 };
	}
	return state_commit(&ch, true, f);
}

static int
recheck(const struct config *c, struct fail *f)
{
	struct refresh r = { .config = c };

	return refresh_run(&r, f);
}

/* What the other programs stop at is a finding here, and the rest is looked at as far as it can be. */
static void
setting_refused(const struct fail *why, void *arg)
{
	struct doctor *d = arg;

	d->refused = true;
	doctor_failed(d, FINDING_FAIL, why);
	if (!why->hint[0])
		doctor_remedy(d, "correct it: nothing starts before; what follows is told as if it were not set");
}

static int
carry_out(struct doctor *d, int order, struct fail *f)
{
	if (order && d->refused) {
		doctor_found(d, FINDING_WARN, "the keys were left as they are");
		doctor_remedy(d, "correct the settings first, then say so again");
		return 0;
	}
	if (order == 'r')
		return recheck(d->config, f);
	return order == 'c' ? clear_blocks(d->config, f) : 0;
}

static int
examine(struct doctor *d, int order, struct fail *f)
{
	if (carry_out(d, order, f) < 0)
		return -1;
	if (roster_load(&d->roster, d->config, d->now, f) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		d->group = groups[i].name;
		groups[i].look(d);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct buf out = BUF(16u << 20);
	struct fail f = { 0 };
	struct doctor d;
	struct config c;
	struct look look;
	int opt, order = 0, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'c':
		case 'r':
			if (order && order != opt)
				return program_usage(NAME, "--recheck-keys and --clear-blocklist: one at a time");
			order = opt;
			break;
		}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	d = (struct doctor){ .config = &c, .now = clock_wall(), .group = groups[0].name };
	if (config_load_around(&c, NULL, setting_refused, &d, &f) < 0)
		return program_fail(NAME, &f);
	look_detect(&look, STDOUT_FILENO, call.plain || c.plain || c.no_color);
	if (examine(&d, order, &f) < 0) {
		code = program_fail(NAME, &f);
	} else {
		if (call.json)
			put_json(&d, &out);
		else
			put_text(&d, &look, &out);
		program_print(&out);
		code = d.refused ? 2 : doctor_count(&d, FINDING_FAIL) ? 1 : 0;
	}
	buf_free(&out);
	doctor_free(&d);
	config_free(&c);
	return program_end(NAME, code);
}
