/*
 * kmi-status: how things stand, on one page.
 *
 *	kmi-status [--json | --plain]
 *
 * Mode, proxy, keys, rotation, and what needs a person's attention. Scripts
 * poll it, so it is quick: it asks the kernel who listens instead of trying a
 * connection, and draws no table.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/listener.h"
#include "base/program.h"
#include "base/running.h"
#include "base/superserver.h"
#include "keys/narrow.h"
#include "keys/roster.h"
#include "show/look.h"
#include "show/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-status"
#define TEXT_MAX (16u << 20)
#define ALERTS_MAX 16
#define LABEL_WIDTH 10

static const char usage[] =
    "usage: kmi status [--json | --plain]\n"
    "\n"
    "Shows the mode, whether the proxy runs and where, the keys, the rotation, and\n"
    "what needs attention.\n"
    "\n"
    "  --json      the same for scripts\n"
    "  --plain     no colours\n"
    "  -h, --help  this text\n";

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-color", no_argument, NULL, 'p' },
	{ "plain", no_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

struct alert {
	char text[600];
	char hint[240];
};

struct status {
	const struct config *c;
	struct roster r;
	struct listeners l;
	struct superserver by;
	struct running with;	/* the settings of the proxy that runs */
	bool dry_run, auto_rotate_allowed;	/* of that one, else as they are here */
	char *url, *daemon_log;
	struct alert alerts[ALERTS_MAX];
	size_t alert_count;
	time_t now;
};

static void alert(struct status *s, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
alert(struct status *s, const char *hint, const char *fmt, ...)
{
	struct alert *a = &s->alerts[s->alert_count];
	va_list ap;

	if (s->alert_count == ALERTS_MAX)
		return;
	s->alert_count++;
	snprintf(a->hint, sizeof(a->hint), "%s", hint);
	va_start(ap, fmt);
	vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
}

/* The address a client on this machine connects to: a wildcard is none. */
static const char *
connect_host(const struct config *c)
{
	const char *host = c->listen.host;

	if (host && strcmp(host, "0.0.0.0") == 0)
		return "127.0.0.1";
	return host && strcmp(host, "::") == 0 ? "::1" : host;
}

/* NULL when memory is out. */
static char *
make_url(const struct config *c)
{
	const char *host = connect_host(c);
	struct buf b = BUF(65536);

	if (!host)
		buf_printf(&b, "unix:%s", c->listen.path);
	else
		buf_printf(&b, strchr(host, ':') ? "%s://[%s]:%d%s" : "%s://%s:%d%s",
		    config_scheme(c), host, c->listen.port, c->proxy_base_path);
	if (buf_bad(&b))
		buf_free(&b);
	return b.p;
}

/* What it does is told by its own settings. */
static void
look_at_settings(struct status *s)
{
	char hint[sizeof(s->alerts[0].hint)];

	running_find(&s->with, s->c, &s->by);
	s->dry_run = s->with.known ? s->with.dry_run : s->c->dry_run;
	s->auto_rotate_allowed = s->with.known ? s->with.auto_rotate_allowed : s->c->auto_rotate_allowed;
	if (!*s->with.differs)
		return;
	if (*s->with.state_dir)
		snprintf(hint, sizeof(hint), _("KMI_STATE_DIR=%s kmi proxy-stop stops it"), s->with.state_dir);
	else
		snprintf(hint, sizeof(hint), "%s", _("kmi proxy-restart takes those of here; ~/.kmi/kmi.config.toml keeps them"));
	alert(s, hint, _("the proxy was started with other settings than those of here: %s"), s->with.differs);
}

static int
look_at_proxy(struct status *s, struct fail *f)
{
	s->url = make_url(s->c);
	s->daemon_log = file_join(s->c->state_dir, "logs/proxy.out");
	if (!s->url || !s->daemon_log)
		return fail_memory(f);
	if (superserver_find(&s->by, s->c, &s->l, f) < 0)
		return -1;
	if (s->by.kind == SUPERSERVER_EMBEDDED && !s->l.listening)
		alert(s, _("see kmi proxy-logs"), _("the proxy (process %ld) runs, but nobody listens on %s"),
		    (long)s->by.pid, s->c->proxy_listen);
	if (s->by.kind == SUPERSERVER_STRANGER)
		alert(s, _("stop it, or choose another KMI_PROXY_LISTEN"),
		    _("%s is held by another program: %s (process %ld)"), s->c->proxy_listen,
		    s->by.command, (long)s->by.pid);
	look_at_settings(s);
	return 0;
}

/* The end of the first lock among the keys; 0 when none ends by itself. */
static time_t
soonest_end(const struct roster *r)
{
	time_t end = 0;

	for (size_t i = 0; i < r->auths.count; i++)
		if (r->fit[i].fitness != FIT_DISABLED && r->fit[i].until && r->fit[i].until < TIME_NEVER &&
		    (end == 0 || r->fit[i].until < end))
			end = r->fit[i].until;
	return end;
}

static void
look_at_keys(struct status *s)
{
	const struct roster *r = &s->r;
	long long skipped = (long long)r->auths.skipped_count;
	struct buf when = BUF(64);

	if (r->no_keys.kind)
		alert(s, r->no_keys.hint, "%s", r->no_keys.text);
	else if (roster_usable(r) == 0) {
		words_when(&when, soonest_end(r), s->now);
		alert(s, _("kmi keys tells why; kmi unlock lifts a lock by hand"),
		    _("no key can be used now; next one free: %s"), buf_bad(&when) ? "?" : when.p);
	}
	buf_free(&when);
	if (skipped)
		alert(s, _("kmi keys tells why"),
		    text_plural(skipped, "%lld key file is skipped", "%lld key files are skipped"), skipped);
	if (r->no_books.kind)
		alert(s, *r->no_books.hint ? r->no_books.hint : _("kmi doctor tells more"), "state.json: %s",
		    r->no_books.text);
	if (r->state.head.auto_rotate && !s->auto_rotate_allowed)
		alert(s, _("set KMI_AUTO_ROTATE_ALLOWED=1, or run kmi rotate off"),
		    _("auto-rotation is switched on but not allowed: the active key serves alone"));
}

static void
put_proxy(struct json_out *o, const struct status *s)
{
	json_open(o, '{');
	json_key(o, "running");
	json_put_bool(o, s->by.running);
	json_key(o, "host");
	json_put_cstr(o, connect_host(s->c));
	json_key(o, "port");
	if (s->c->listen.host)
		json_put_int(o, s->c->listen.port);
	else
		json_put_null(o);
	json_key(o, "url");
	json_put_cstr(o, s->url);
	json_key(o, "pids");
	json_open(o, '[');
	for (size_t i = 0; i < s->l.count; i++)
		json_put_int(o, s->l.items[i].pid);
	if (s->by.pid && s->l.count == 0)
		json_put_int(o, s->by.pid);
	json_close(o, ']');
	json_key(o, "superserver");
	json_put_cstr(o, superserver_name(s->by.kind));
	json_key(o, "unit");
	json_put_cstr(o, *s->by.unit ? s->by.unit : NULL);
	json_key(o, "daemon_log");
	json_put_cstr(o, s->daemon_log);
	json_close(o, '}');
}

static void
put_keys(struct json_out *o, const struct roster *r)
{
	json_open(o, '{');
	json_key(o, "total");
	json_put_int(o, (long long)r->auths.count);
	json_key(o, "usable");
	json_put_int(o, (long long)roster_usable(r));
	json_key(o, "disabled");
	json_put_int(o, (long long)roster_count(r, FIT_DISABLED));
	json_key(o, "blocked");
	json_put_int(o, (long long)roster_count(r, FIT_BLOCKED));
	json_key(o, "exhausted");
	json_put_int(o, (long long)roster_count(r, FIT_EXHAUSTED));
	json_key(o, "skipped");
	json_put_int(o, (long long)r->auths.skipped_count);
	json_close(o, '}');
}

static void
put_rotation(struct json_out *o, const struct state_head *head)
{
	json_open(o, '{');
	json_key(o, "active_index");
	json_put_int(o, head->active_index);
	json_key(o, "rotation_index");
	json_put_int(o, head->rotation_index);
	json_key(o, "auto_rotate");
	json_put_bool(o, head->auto_rotate);
	json_close(o, '}');
}

static void
put_settings(struct json_out *o, const struct config *c)
{
	json_key(o, "policy");
	json_open(o, '{');
	json_key(o, "strict_usage_check");
	json_put_bool(o, c->require_usage_before_request);
	json_key(o, "fail_open_on_empty_cache");
	json_put_bool(o, c->fail_open_on_empty_cache);
	json_close(o, '}');
	json_key(o, "cache");
	json_open(o, '{');
	json_key(o, "usage_refresh_seconds");
	json_put_int(o, c->usage_cache_seconds);
	json_key(o, "blocklist_recheck_seconds");
	json_put_int(o, c->blocklist_recheck_seconds);
	json_key(o, "blocklist_max");
	json_put_int(o, c->blocklist_recheck_max);
	json_close(o, '}');
	json_key(o, "payment_block_seconds");
	json_put_int(o, c->payment_block_seconds);
}

static void
put_alerts(struct json_out *o, const struct status *s)
{
	json_open(o, '[');
	for (size_t i = 0; i < s->alert_count; i++) {
		json_open(o, '{');
		json_key(o, "message");
		json_put_cstr(o, s->alerts[i].text);
		json_key(o, "hint");
		json_put_cstr(o, s->alerts[i].hint);
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void
put_json(struct buf *out, const struct status *s)
{
	const struct auth *active = roster_active(&s->r);
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "mode");
	json_put_cstr(&o, s->dry_run ? "dry-run" : "live");
	json_key(&o, "proxy");
	put_proxy(&o, s);
	json_key(&o, "upstream");
	json_put_cstr(&o, s->c->upstream_base_url);
	json_key(&o, "keys");
	put_keys(&o, &s->r);
	json_key(&o, "active_key");
	json_put_cstr(&o, active ? active->label : NULL);
	json_key(&o, "rotation");
	put_rotation(&o, &s->r.state.head);
	json_key(&o, "auto_rotate_allowed");
	json_put_bool(&o, s->auto_rotate_allowed);
	put_settings(&o, s->c);
	json_key(&o, "last_health_refresh");
	json_put_time(&o, s->r.state.head.last_health_refresh);
	json_key(&o, "alerts");
	put_alerts(&o, s);
	json_close(&o, '}');
	buf_putc(out, '\n');
}

/* The beginning of a line: the label in a column of its own. */
static void
put_label(struct buf *out, const struct look *look, const char *label)
{
	size_t columns = 0;

	for (const char *p = label; *p; p++)
		columns += (*p & 0xc0) != 0x80;
	buf_printf(out, "%s%s%s", look_begin(look, TONE_BOLD), label, look_end(look, TONE_BOLD));
	buf_fill(out, ' ', columns < LABEL_WIDTH ? LABEL_WIDTH + 1 - columns : 1);
}

static void
put_toned(struct buf *out, const struct look *look, enum tone tone, const char *text)
{
	buf_printf(out, "%s%s%s", look_begin(look, tone), text, look_end(look, tone));
}

static void
put_proxy_line(struct buf *out, const struct status *s, const struct look *look)
{
	put_label(out, look, _("proxy"));
	if (!s->by.running) {
		put_toned(out, look, TONE_BAD, _("not running"));
		buf_printf(out, _(" (it would listen on %s)\n"), s->url);
		return;
	}
	if (s->by.kind == SUPERSERVER_STRANGER)
		put_toned(out, look, TONE_WARN, _("not ours"));
	else
		put_toned(out, look, TONE_GOOD, _("running"));
	buf_printf(out, ", %s", s->url);
	if (*s->by.unit)
		buf_printf(out, s->by.user ? _(", by systemd for this user (%s)") : _(", by systemd (%s)"), s->by.unit);
	else if (s->l.count)
		buf_printf(out, ", %s (%ld)", s->l.items[0].command, (long)s->l.items[0].pid);
	else if (s->by.pid)
		buf_printf(out, _(", process %ld"), (long)s->by.pid);
	buf_putc(out, '\n');
}

static void
put_keys_line(struct buf *out, const struct roster *r, const struct look *look)
{
	static const enum fitness told[] = { FIT_EXHAUSTED, FIT_BLOCKED, FIT_DISABLED };
	size_t usable = roster_usable(r);

	put_label(out, look, _("keys"));
	buf_printf(out, "%zu: ", r->auths.count);
	buf_puts(out, look_begin(look, usable ? TONE_GOOD : TONE_BAD));
	buf_printf(out, text_plural((long long)usable, "%lld usable", "%lld usable"), (long long)usable);
	buf_puts(out, look_end(look, usable ? TONE_GOOD : TONE_BAD));
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (roster_count(r, told[i])) {
			buf_puts(out, ", ");
			words_fitness(out, told[i], roster_count(r, told[i]));
		}
	buf_putc(out, '\n');
}

static const char *
strategy_name(enum rotate_strategy strategy)
{
	switch (strategy) {
	case ROTATE_ROUND_ROBIN:
		return _("every request takes the next key");
	case ROTATE_SESSION:
		return _("a conversation stays with its key");
	case ROTATE_MOST_QUOTA:
		return _("the key with most quota left");
	}
	return "";
}

static void
put_rotation_line(struct buf *out, const struct status *s, const struct look *look)
{
	put_label(out, look, _("rotation"));
	if (s->r.state.head.auto_rotate && s->auto_rotate_allowed)
		buf_printf(out, _("automatic: %s"), strategy_name(s->c->rotate_strategy));
	else
		buf_puts(out, _("manual: the active key serves while it is fit"));
	buf_putc(out, '\n');
}

static void
put_text(struct buf *out, const struct status *s, const struct look *look)
{
	const struct auth *active = roster_active(&s->r);
	struct buf asked = BUF(128);

	put_label(out, look, _("mode"));
	buf_puts(out, s->dry_run ? _("dry run: no request leaves this machine") : _("live"));
	buf_putc(out, '\n');
	put_proxy_line(out, s, look);
	put_label(out, look, _("upstream"));
	buf_printf(out, "%s\n", s->c->upstream_base_url);
	put_keys_line(out, &s->r, look);
	put_label(out, look, _("active"));
	buf_printf(out, "%s\n", active ? active->label : _("none"));
	put_rotation_line(out, s, look);
	put_label(out, look, _("quota"));
	words_when(&asked, s->r.state.head.last_health_refresh, s->now);
	buf_printf(out, _("last asked: %s\n"), buf_bad(&asked) ? "?" : asked.p);
	buf_free(&asked);
	for (size_t i = 0; i < s->alert_count; i++) {
		buf_puts(out, i ? "" : "\n");
		put_toned(out, look, TONE_WARN, _("attention"));
		buf_printf(out, ": %s", s->alerts[i].text);
		buf_printf(out, *s->alerts[i].hint ? "\n  -> %s\n" : "%s\n", s->alerts[i].hint);
	}
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct status s = { .now = clock_wall() };
	struct buf out = BUF(TEXT_MAX);
	struct config c;
	struct look look;
	struct fail f;
	int code;

	program_start();
	while (program_option(&call, argc, argv) >= 0)
		continue;	/* it has no options of its own */
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "unexpected argument: %s", argv[optind]);
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	s.c = &c;
	/* Other processes can be looked at only before. */
	if (look_at_proxy(&s, &f) < 0 || narrow(NAME, &c, &f) < 0 || roster_load_standing(&s.r, &c, s.now, &f) < 0)
		return program_fail(NAME, &f);
	look_at_keys(&s);
	if (call.json) {
		put_json(&out, &s);
	} else {
		look_detect(&look, STDOUT_FILENO, call.plain || c.plain || c.no_color);
		put_text(&out, &s, &look);
	}
	if (buf_bad(&out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	program_print(&out);
	free(s.url);
	free(s.daemon_log);
	listener_free(&s.l);
	roster_free(&s.r);
	config_free(&c);
	return program_end(NAME, 0);
}
