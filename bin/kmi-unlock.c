/*
 * kmi-unlock: lifts what bars a key, by hand.
 *
 *	kmi-unlock [--json] LABEL ... | --all
 *
 * The next request counts with it; nothing needs to be restarted. A lock that
 * a key's account has from another key of the same account goes too.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "books/events.h"
#include "keys/auths.h"
#include "keys/lock.h"
#include "keys/narrow.h"
#include "keys/state.h"
#include "show/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "kmi-unlock"

static const char usage[] =
    "usage: kmi unlock [--json] LABEL ... | --all\n"
    "\n"
    "Lifts the locks of keys at once: limits, payment and refused credentials. Keys\n"
    "of one account share their locks, and are freed together.\n"
    "\n"
    "  --all       all keys\n"
    "  --json      what was lifted, for scripts\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 done (also when there was no lock), 1 when it could not be, 2 for\n"
    "a wrong call or setting.\n";

static const struct option options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

/* A lock that was lifted, for the report. */
struct lifted {
	char *label;
	struct lock lock;
};

struct report {
	struct lifted *list;
	size_t count;
};

static void
note(struct report *r, const char *label, const struct lock *l, time_t now)
{
	struct lifted *more;

	if (!lock_end(l, now))
		return;
	more = reallocarray(r->list, r->count + 1, sizeof(*more));
	if (!more)
		return;
	r->list = more;
	more[r->count++] = (struct lifted){ strdup(label), *l };
}

static void
clear(struct state_key *k, struct report *r, time_t now)
{
	note(r, k->label, &k->blocked, now);
	note(r, k->label, &k->exhausted, now);
	lock_clear(k);
}

static const char *
account_of(const struct auths *a, const char *label)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->keys[i].label, label) == 0)
			return a->keys[i].account;
	return label;
}

/* The key itself, and what its account has from its siblings. */
static void
unlock(struct state *st, const struct auths *a, const char *label, struct report *r, time_t now)
{
	const char *account = account_of(a, label);

	for (size_t i = 0; i < st->count; i++) {
		struct state_key *k = &st->keys[i];

		if (strcmp(k->label, label) == 0)
			clear(k, r, now);
		else if (strcmp(account_of(a, k->label), account) == 0 &&
		    (lock_whole_account(&k->exhausted) || lock_whole_account(&k->blocked)))
			clear(k, r, now);
	}
}

/* Every name is known, or nothing is done. */
static int
check_labels(const struct state *st, const struct auths *a, char **labels)
{
	const char **known = calloc(st->count + a->count + 1, sizeof(*known));
	size_t n = 0;
	int code = 0;

	for (size_t i = 0; known && i < a->count; i++)
		known[n++] = a->keys[i].label;
	for (size_t i = 0; known && i < st->count; i++)
		known[n++] = st->keys[i].label;
	for (; known && *labels && code == 0; labels++) {
		bool found = false;

		for (size_t i = 0; i < n && !found; i++)
			found = strcmp(known[i], *labels) == 0;
		if (!found)
			code = program_unknown(NAME, *labels, known, "no key is called %s", *labels);
	}
	free(known);
	return code;
}

static void
print_json(const struct report *r, struct buf *out)
{
	struct json_out o = { .to = out };
	char iso[CLOCK_ISO_SIZE];

	json_open(&o, '{');
	json_key(&o, "unlocked");
	json_open(&o, '[');
	for (size_t i = 0; i < r->count; i++) {
		json_open(&o, '{');
		json_key(&o, "label");
		json_put_cstr(&o, r->list[i].label);
		json_key(&o, "reason");
		json_put_cstr(&o, r->list[i].lock.reason);
		json_key(&o, "until");
		clock_iso(r->list[i].lock.until, iso);
		json_put_cstr(&o, iso);
		json_close(&o, '}');
	}
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
}

/* One line of the report. */
static void
print_lifted(const struct lifted *l, struct buf *out, time_t now)
{
	struct buf label = BUF(4096), reason = BUF(256), when = BUF(128);
	const char *why;

	words_clean(&label, l->label);
	words_reason(&reason, l->lock.reason);
	words_when(&when, l->lock.until, now);
	why = reason.n ? reason.p : _("nobody noted why");
	if (l->lock.until >= TIME_NEVER)
		buf_printf(out, _("%s: unlocked (%s); it was barred until somebody unlocks it\n"), label.n ? label.p : "", why);
	else
		buf_printf(out, _("%s: unlocked (%s); it would have been free %s\n"), label.n ? label.p : "", why,
		    when.n ? when.p : "?");
	buf_free(&label);
	buf_free(&reason);
	buf_free(&when);
}

static void
print_text(const struct report *r, struct buf *out, time_t now)
{
	for (size_t i = 0; i < r->count; i++)
		print_lifted(&r->list[i], out, now);
	if (!r->count)
		buf_puts(out, _("nothing was locked\n"));
}

static int
run(const struct config *c, char **labels, bool all, struct report *r, int *code, struct fail *f)
{
	struct state_change ch;
	struct auths a = { 0 };
	struct fail no_keys = { 0 };
	time_t now = clock_wall();
	int rc = -1;

	(void)auths_scan(&a, c, &no_keys);
	if (state_begin(&ch, c->state_dir, f) < 0)
		goto out;
	*code = all ? 0 : check_labels(&ch.state, &a, labels);
	if (*code) {
		state_abort(&ch);
		rc = 0;
		goto out;
	}
	for (size_t i = 0; all && i < ch.state.count; i++)
		clear(&ch.state.keys[i], r, now);
	for (; !all && *labels; labels++)
		unlock(&ch.state, &a, *labels, r, now);
	rc = state_commit(&ch, true, f);
out:
	auths_free(&a);
	return rc;
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct report report = { 0 };
	bool all = false;
	struct buf out = BUF(16u << 20);
	struct fail f = { 0 };
	struct config c;
	int opt, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'a':
			all = true;
			break;
		}
	if (call.over)
		return call.code;
	if (all && optind < argc)
		return program_usage(NAME, "--all and a label do not go together: %s", argv[optind]);
	if (!all && optind == argc)
		return program_usage(NAME, "which key? Give its label, or --all");
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	if (narrow(NAME, &c, &f) < 0)
		return program_fail(NAME, &f);
	if (run(&c, argv + optind, all, &report, &code, &f) < 0)
		code = program_fail(NAME, &f);
	for (size_t i = 0; i < report.count && code == 0; i++)
		event_audit(&c, "unlock", "label", report.list[i].label, "reason", report.list[i].lock.reason, NULL);
	if (code == 0) {
		if (call.json)
			print_json(&report, &out);
		else
			print_text(&report, &out, clock_wall());
		program_print(&out);
	}
	for (size_t i = 0; i < report.count; i++)
		free(report.list[i].label);
	free(report.list);
	buf_free(&out);
	config_free(&c);
	return program_end(NAME, code);
}
