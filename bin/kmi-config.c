/*
 * kmi-config: every setting, its value, and where it came from.
 *
 *	kmi-config [--json] [NAME]
 *	kmi-config --explain [NAME]
 *
 * Prints what config_load() found, as a table or as JSON; with a NAME only
 * that setting's value. Secrets are shown as ***. Reads the files that hold
 * settings and nothing else.
 */
#include "base/config.h"
#include "base/json.h"
#include "base/program.h"
#include "base/window.h"
#include "keys/narrow.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-config"
#define TEXT_MAX (64u << 20)
#define WIDE 22		/* a value longer than this goes to the end, or the table would outgrow 80 columns */

static const char usage[] =
    "usage: kmi config [--json] [NAME]\n"
    "       kmi config --explain [NAME]\n"
    "       kmi config --curl | curl --config - URL\n"
    "\n"
    "Prints every setting with its value and where it came from; secrets are masked.\n"
    "With a NAME (KMI_DRY_RUN, or dry_run): that value alone.\n"
    "\n"
    "  --json      the same for scripts\n"
    "  --explain   what the settings mean, their defaults, and what is allowed\n"
    "  --curl      what curl needs to be let in: the token, and a socket's path; not\n"
    "              to a terminal\n"
    "  -h, --help  this text\n";

static const struct option options[] = {
	{ "curl", no_argument, NULL, 'c' },
	{ "explain", no_argument, NULL, 'e' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static void
put_cell(struct buf *out, struct str s, size_t columns)
{
	size_t used = window_columns(s);

	/* A value with an escape sequence in it must not reach the terminal as one. */
	for (size_t i = 0; i < s.n; i++)
		buf_putc(out, (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i]);
	buf_fill(out, ' ', (used < columns ? columns - used : 0) + 2);
}

/* Where it came from goes below, when there is no room for it beside. */
static void
put_row(struct buf *out, struct str name, struct str value, struct str source, const size_t columns[2], size_t window)
{
	size_t used = columns[0] + 2 + (window_columns(value) > columns[1] ? window_columns(value) : columns[1]) + 2;

	put_cell(out, name, columns[0]);
	put_cell(out, value, columns[1]);
	if (window && used + window_columns(source) > window) {
		while (out->n && out->p[out->n - 1] == ' ')
			out->n--;
		buf_puts(out, "\n    ");
	}
	put_cell(out, source, 0);
	out->n -= 2;
	buf_putc(out, '\n');
}

/* The rows whose values are short, or those whose values are long. */
static void
put_rows(struct buf *out, const struct config *c, const size_t columns[2], size_t window, bool wide)
{
	struct buf value = BUF(TEXT_MAX), source = BUF(TEXT_MAX);

	for (size_t i = 0; i < config_count(); i++) {
		buf_reset(&value);
		buf_reset(&source);
		config_value(c, i, &value);
		config_origin(c, i, &source);
		if ((window_columns(buf_view(&value)) > WIDE) == wide)
			put_row(out, str_from(config_name(i)), buf_view(&value), buf_view(&source), columns, window);
	}
	buf_free(&value);
	buf_free(&source);
}

static void
put_table(struct buf *out, const struct config *c)
{
	size_t window = window_width(STDOUT_FILENO);
	struct str heading[] = { str_from(_("NAME")), str_from(_("VALUE")), str_from(_("SOURCE")) };
	size_t columns[2] = { window_columns(heading[0]), window_columns(heading[1]) };
	struct buf value = BUF(TEXT_MAX);

	for (size_t i = 0; i < config_count(); i++) {
		size_t name = strlen(config_name(i)), w;

		buf_reset(&value);
		config_value(c, i, &value);
		w = window_columns(buf_view(&value));
		if (name > columns[0])
			columns[0] = name;
		if (w > columns[1] && w <= WIDE)
			columns[1] = w;
	}
	buf_free(&value);
	put_row(out, heading[0], heading[1], heading[2], columns, window);
	put_rows(out, c, columns, window, false);
	put_rows(out, c, columns, window, true);
}

static void
put_json_setting(struct json_out *o, const struct config *c, size_t i)
{
	const struct config_origin *origin = &c->origins[i];
	struct buf text = BUF(TEXT_MAX);

	json_open(o, '{');
	json_key(o, "name");
	json_put_cstr(o, config_name(i));
	json_key(o, "value");
	config_value(c, i, &text);
	json_put(o, buf_view(&text));
	json_key(o, "default");
	buf_reset(&text);
	config_default(i, &text);
	json_put(o, buf_view(&text));
	json_key(o, "source");
	json_put_cstr(o, config_source_name(origin->source));
	json_key(o, "file");
	json_put_cstr(o, origin->file);
	json_key(o, "line");
	if (origin->line)
		json_put_int(o, origin->line);
	else
		json_put_null(o);
	json_key(o, "secret");
	json_put_bool(o, config_is_secret(i));
	json_close(o, '}');
	buf_free(&text);
}

/* One setting, or all when `only` is -1. */
static void
put_json(struct buf *out, const struct config *c, int only)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "settings");
	json_open(&o, '[');
	for (size_t i = 0; i < config_count(); i++)
		if (only < 0 || i == (size_t)only)
			put_json_setting(&o, c, i);
	json_close(&o, ']');
	json_key(&o, "warnings");
	json_open(&o, '[');
	for (char *const *w = c->warnings; *w; w++)
		json_put_cstr(&o, *w);
	json_close(&o, ']');
	json_close(&o, '}');
	buf_putc(out, '\n');
}

static void
put_wrapped(struct buf *out, const struct buf *text, size_t indent)
{
	buf_fill(out, ' ', 4);
	window_wrap(out, buf_view(text), window_width(STDOUT_FILENO), 4, indent);
	buf_putc(out, '\n');
}

static void
put_explanation(struct buf *out, size_t i)
{
	struct buf value = BUF(TEXT_MAX), text = BUF(TEXT_MAX);

	buf_printf(out, "%s\n", config_name(i));
	buf_puts(&text, config_help(i));
	put_wrapped(out, &text, 4);
	config_default(i, &value);
	buf_reset(&text);
	buf_printf(&text, _("default: %.*s"), STR_F(buf_view(&value)));
	put_wrapped(out, &text, 6);
	buf_reset(&value);
	config_allowed(i, &value);
	buf_reset(&text);
	buf_printf(&text, _("allowed: %.*s"), STR_F(buf_view(&value)));
	put_wrapped(out, &text, 6);
	buf_free(&value);
	buf_free(&text);
}

static void
explain(struct buf *out, int only)
{
	for (size_t i = 0; i < config_count(); i++)
		if (only < 0 || i == (size_t)only)
			put_explanation(out, i);
}

static int
no_such_setting(const char *name)
{
	const char *near = config_nearest(name);
	struct fail f;

	fail_set(&f, FAIL_USAGE, "unknown setting %s", name);
	if (near)
		fail_hint(&f, "did you mean %s?", near);
	else
		fail_hint(&f, "kmi config lists them all");
	return program_fail(NAME, &f);
}

/* A text in curl's config: quoted, with \\ before what ends it. */
static void
put_quoted(struct buf *out, const char *text)
{
	buf_putc(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_putc(out, '\\');
		buf_putc(out, *text);
	}
	buf_puts(out, "\"\n");
}

/* The token never stands in an argument list: it goes through a pipe. */
static void
put_curl(struct buf *out, const struct config *c)
{
	struct buf header = BUF(64u << 10);

	if (c->proxy_token && *c->proxy_token) {
		buf_printf(&header, "X-KMI-Proxy-Token: %s", c->proxy_token);
		buf_puts(out, "header = ");
		put_quoted(out, header.p);
	}
	if (c->listen.path) {
		buf_puts(out, "unix-socket = ");
		put_quoted(out, c->listen.path);
	}
	buf_wipe(&header);
}

int
main(int argc, char **argv)
{
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct buf out = BUF(TEXT_MAX);
	bool only_explain = false, curl = false;
	struct config c = { 0 };
	struct fail f;
	int opt, only = -1, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'c':
			curl = true;
			break;
		case 'e':
			only_explain = true;
			break;
		}
	if (call.over)
		return call.code;
	if (argc - optind > 1)
		return program_usage(NAME, "one setting at a time: %s", argv[optind + 1]);
	if (call.json + only_explain + curl > 1)
		return program_usage(NAME, "--json, --explain and --curl do not go together");
	if (curl && optind < argc)
		return program_usage(NAME, "--curl takes no name: %s", argv[optind]);
	if (curl && isatty(STDOUT_FILENO))
		return program_usage(NAME, "--curl shows the token: it writes to a pipe, not to a terminal");
	if (optind < argc && (only = config_find(argv[optind])) < 0)
		return no_such_setting(argv[optind]);
	if (only_explain) {
		explain(&out, only);	/* helps to mend a configuration that does not load */
	} else if (call.json) {
		if (config_load(&c, NULL, &f) < 0 || narrow(NAME, &c, &f) < 0)
			return program_fail(NAME, &f);
		put_json(&out, &c, only);
	} else {
		if ((code = program_config(NAME, &c, NULL)))
			return code;
		if (narrow(NAME, &c, &f) < 0)
			return program_fail(NAME, &f);
		if (curl) {
			put_curl(&out, &c);
		} else if (only >= 0) {
			config_value(&c, (size_t)only, &out);
			buf_putc(&out, '\n');
		} else {
			put_table(&out, &c);
		}
	}
	if (buf_bad(&out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	if (curl && out.n)
		fwrite(out.p, 1, out.n, stdout);	/* the one output that a secret is meant for */
	else
		program_print(&out);
	buf_wipe(&out);
	config_free(&c);
	return program_end(NAME, 0);
}
