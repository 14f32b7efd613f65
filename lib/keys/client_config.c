#include "keys/client_config.h"

#include "base/file.h"
#include "base/toml.h"

#include <stdlib.h>
#include <string.h>

/* A provider that is made, and the model that comes with it: without one no client starts. */
#define NEW_NAME CLIENT_MODEL

#define EDITS_MAX 4

/* A change: these bytes of the text give way to others. */
struct edit {
	size_t from, to;
	struct buf text;
};

struct edits {
	struct str text;
	const char *newline;
	struct edit list[EDITS_MAX];
	int count;
};

/* What is to stand in a table. */
struct pair {
	const char *name;
	struct str value;
	bool bare;		/* written as it is, and not as a string */
};

char *
client_config_path(enum client client)
{
	static const struct {
		const char *variable, *folder;
	} places[] = { [CLIENT_KIMI_CLI] = { "KIMI_SHARE_DIR", "~/.kimi" },
		[CLIENT_KIMI_CODE] = { "KIMI_CODE_HOME", "~/.kimi-code" } };
	const char *named = getenv(places[client].variable);
	char *folder = file_expand(named && *named ? named : places[client].folder);
	char *path = folder ? file_join(folder, "config.toml") : NULL;

	free(folder);
	return path;
}

static const struct toml *
member(const struct toml *table, const char *name)
{
	return toml_get(table, str_from(name));
}

static bool
says(const struct toml *table, const char *name, struct str value)
{
	size_t n;
	const char *s = toml_string(member(table, name), &n);

	return s && str_eq((struct str){ s, n }, value);
}

/* The same order as when a config is read for its key. */
static const struct toml *
find_provider(const struct toml *root)
{
	static const char *const names[] = { "managed:kimi-code", "kimi-for-coding", "moonshot-ai" };
	const struct toml *providers = member(root, "providers");

	if (toml_type(providers) != TOML_TABLE)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (toml_type(member(providers, names[i])) == TOML_TABLE)
			return member(providers, names[i]);
	for (const struct toml *p = toml_first(providers); p; p = toml_next(p))
		if (says(p, "type", STR("kimi")))
			return p;
	return NULL;
}

/* ---- the text ---- */

static size_t
text_start(struct str text)
{
	return str_starts(text, "\xef\xbb\xbf") ? 3 : 0;
}

static size_t
line_start(struct str text, size_t at)
{
	while (at > text_start(text) && text.p[at - 1] != '\n')
		at--;
	return at;
}

static size_t
line_end(struct str text, size_t at)
{
	const char *end = memchr(text.p + at, '\n', text.n - at);
	size_t to = end ? (size_t)(end - text.p) : text.n;

	return to > at && text.p[to - 1] == '\r' ? to - 1 : to;
}

/* Whether a table or array stands in its own brackets, and not under headers or in dotted keys. Anything else does. */
static bool
is_one_value(struct str text, const struct toml *t)
{
	size_t from, to;

	toml_span(t, &from, &to);
	if (toml_type(t) == TOML_TABLE)
		return text.p[from] == '{';
	return toml_type(t) != TOML_ARRAY || text.p[from] == '[';
}

static bool
is_inline(struct str text, const struct toml *t)
{
	return toml_type(t) == TOML_TABLE && is_one_value(text, t);
}

/* A basic string. Keys and URLs are visible ASCII, but who knows. */
static void
put_string(struct buf *out, struct str s)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04X", c);
		else
			buf_putc(out, (char)c);
	}
	buf_putc(out, '"');
}

/* `prefix.name = value` for each. */
static void
put_pairs(struct buf *out, struct str prefix, const struct pair *pairs, size_t count, const char *between)
{
	for (size_t i = 0; i < count; i++) {
		buf_puts(out, i ? between : "");
		buf_str(out, prefix);
		buf_printf(out, prefix.n ? ".%s = " : "%s = ", pairs[i].name);
		if (pairs[i].bare)
			buf_str(out, pairs[i].value);
		else
			put_string(out, pairs[i].value);
	}
}

/* ---- changes ---- */

static struct buf *
edit(struct edits *e, size_t from, size_t to)
{
	struct edit *new = &e->list[e->count++];

	*new = (struct edit){ .from = from, .to = to, .text = BUF(CLIENT_CONFIG_MAX) };
	return &new->text;
}

static void
edit_value(struct edits *e, const struct toml *there, struct str value)
{
	size_t from, to;

	toml_span(there, &from, &to);
	put_string(edit(e, from, to), value);
}

/* In the order of their places; those of one place in the order they were made in. */
static void
sort(struct edits *e)
{
	for (int i = 1; i < e->count; i++)
		for (int k = i; k > 0 && e->list[k].from < e->list[k - 1].from; k--) {
			struct edit later = e->list[k - 1];

			e->list[k - 1] = e->list[k];
			e->list[k] = later;
		}
}

static void
apply(struct edits *e, struct buf *out)
{
	size_t done = 0;

	sort(e);
	for (int i = 0; i < e->count; i++) {
		buf_str(out, str_sub(e->text, done, e->list[i].from));
		buf_str(out, buf_view(&e->list[i].text));
		out->bad |= buf_bad(&e->list[i].text);
		done = e->list[i].to;
	}
	buf_str(out, str_sub(e->text, done, e->text.n));
}

static void
wipe(struct edits *e)
{
	for (int i = 0; i < e->count; i++)
		buf_wipe(&e->list[i].text);
}

static int
refuse(const struct toml *t, const char *what, struct fail *f)
{
	fail_set(f, FAIL_INPUT, "line %d: %s is written in a form that cannot be changed in place", toml_line(t), what);
	return fail_hint(f, "take it out of the file, then run kmi rotate again");
}

/*
 * Members that are not there yet go in first: into the table's braces, behind its header, or before the first
 * dotted key that begins with it, beginning as that does. A table that only a longer header implies gets one
 * of its own before that.
 */
static void
insert(struct edits *e, const struct toml *table, bool within_braces, const struct pair *pairs, size_t count)
{
	static const struct str none = { "", 0 };
	struct str line;
	struct buf *out;
	size_t from, to, start;

	toml_span(table, &from, &to);
	start = line_start(e->text, from);
	line = str_sub(e->text, start, to);
	if (is_inline(e->text, table)) {
		out = edit(e, from + 1, from + 1);
		buf_putc(out, ' ');
		put_pairs(out, none, pairs, count, ", ");
		buf_puts(out, toml_size(table) ? "," : " ");
	} else if (within_braces) {
		out = edit(e, from, from);
		put_pairs(out, str_sub(e->text, from, to), pairs, count, ", ");
		buf_puts(out, ", ");
	} else if (e->text.p[from] == '[') {
		out = edit(e, line_end(e->text, to), line_end(e->text, to));
		buf_puts(out, e->newline);
		put_pairs(out, none, pairs, count, e->newline);
	} else if (str_starts(str_trim(line), "[")) {
		out = edit(e, start, start);
		for (line = str_trim(line); str_starts(line, "["); line = str_sub(line, 1, line.n))
			;
		buf_putc(out, '[');
		buf_str(out, line);
		buf_printf(out, "]%s", e->newline);
		put_pairs(out, none, pairs, count, e->newline);
		buf_puts(out, e->newline);
	} else {
		out = edit(e, start, start);
		put_pairs(out, line, pairs, count, e->newline);
		buf_puts(out, e->newline);
	}
}

static int
change_provider(struct edits *e, const struct toml *root, const struct toml *provider, const struct pair *pairs, size_t count,
    struct fail *f)
{
	struct pair missing[2];
	size_t missing_count = 0;

	for (size_t i = 0; i < count; i++) {
		const struct toml *there = member(provider, pairs[i].name);

		if (!there)
			missing[missing_count++] = pairs[i];
		else if (is_one_value(e->text, there))
			edit_value(e, there, pairs[i].value);
		else
			return refuse(there, pairs[i].name, f);
	}
	if (missing_count)
		insert(e, provider, is_inline(e->text, member(root, "providers")), missing, missing_count);
	return 0;
}

/* A table NEW_NAME in `group`: within its braces, or by a header, for which `end` is. */
static int
add_table(struct edits *e, struct buf *end, const struct toml *root, const char *group, const struct pair *pairs, size_t count,
    struct fail *f)
{
	const struct toml *table = member(root, group);
	const struct str none = { "", 0 };
	size_t from, to;
	struct buf *out;

	if (table && toml_type(table) != TOML_TABLE)
		return refuse(table, group, f);
	if (member(table, NEW_NAME))
		return refuse(member(table, NEW_NAME), NEW_NAME, f);
	if (is_inline(e->text, table)) {
		toml_span(table, &from, &to);
		out = edit(e, from + 1, from + 1);
		buf_puts(out, " " NEW_NAME " = { ");
		put_pairs(out, none, pairs, count, ", ");
		buf_puts(out, toml_size(table) ? " }," : " } ");
	} else {
		buf_printf(end, "%s[%s." NEW_NAME "]%s", e->newline, group, e->newline);
		put_pairs(end, none, pairs, count, e->newline);
		buf_puts(end, e->newline);
	}
	return 0;
}

/* Also a model, and that as the one to start with where none is: else the provider would never be asked. */
static int
make_provider(struct edits *e, const struct toml *root, const struct pair *pairs, size_t count, struct fail *f)
{
	static const struct pair model[] = { { "provider", { NEW_NAME, sizeof(NEW_NAME) - 1 }, false },
		{ "model", { NEW_NAME, sizeof(NEW_NAME) - 1 }, false },
		{ "max_context_size", { CLIENT_MODEL_CONTEXT, sizeof(CLIENT_MODEL_CONTEXT) - 1 }, true } };
	const struct toml *models = member(root, "models"), *first = member(root, "default_model");
	bool add_model = (!models || toml_type(models) == TOML_TABLE) && !member(models, NEW_NAME);
	size_t top = text_start(e->text);
	struct buf *end;

	if (add_model && !first)
		buf_printf(edit(e, top, top), "default_model = \"" NEW_NAME "\"%s", e->newline);
	else if (add_model && says(root, "default_model", STR("")))
		edit_value(e, first, STR(NEW_NAME));
	end = edit(e, e->text.n, e->text.n);
	if (e->text.n > top && e->text.p[e->text.n - 1] != '\n')
		buf_puts(end, e->newline);
	if (add_table(e, end, root, "providers", pairs, count, f) < 0)
		return -1;
	return add_model ? add_table(e, end, root, "models", model, sizeof(model) / sizeof(*model), f) : 0;
}

int
client_config_set(struct str text, struct str api_key, struct str base_url, struct buf *out, struct fail *f)
{
	const struct pair pairs[] = { { "type", STR("kimi"), false }, { "base_url", base_url, false },
		{ "api_key", api_key, false } };
	struct edits e = { .text = text, .newline = str_find(text, STR("\r\n")) >= 0 ? "\r\n" : "\n" };
	struct toml *root, *check = NULL;
	const struct toml *provider;
	size_t before = out->n;
	int rc = -1;

	if (toml_parse(&root, text, f) < 0)
		return -1;
	provider = find_provider(root);
	if ((provider ? change_provider(&e, root, provider, pairs + 1, 2, f) : make_provider(&e, root, pairs, 3, f)) < 0)
		goto out;
	apply(&e, out);
	/* Whatever form it had: it must read back as what was meant. */
	if (buf_bad(out)) {
		fail_memory(f);
		goto out;
	}
	if (toml_parse(&check, str_sub(buf_view(out), before, out->n), f) < 0 ||
	    !says(find_provider(check), "api_key", api_key) || !says(find_provider(check), "base_url", base_url)) {
		fail_set(f, FAIL_INPUT, "its providers are written in a form that cannot be changed in place");
		goto out;
	}
	rc = 0;
out:
	wipe(&e);
	toml_free(check);
	toml_free(root);
	return rc;
}

/* ---- where it leads ---- */

static const struct toml *
default_provider(const struct toml *root)
{
	size_t n = 0;
	const char *model = toml_string(member(root, "default_model"), &n);
	const struct toml *of_model = model ? toml_get(member(root, "models"), (struct str){ model, n }) : NULL;
	const char *name = toml_string(member(of_model, "provider"), &n);
	const struct toml *p = name ? toml_get(member(root, "providers"), (struct str){ name, n }) : NULL;

	return toml_type(p) == TOML_TABLE ? p : find_provider(root);
}

static char *
text_of(const struct toml *table, const char *name)
{
	const char *s = toml_string(member(table, name), NULL);

	return s && *s ? strdup(s) : NULL;
}

int
client_config_route(struct str text, struct client_route *out, struct fail *f)
{
	const struct toml *p;
	struct toml *root;

	*out = (struct client_route){ 0 };
	if (toml_parse(&root, text, f) < 0)
		return -1;
	p = default_provider(root);
	if (p) {
		out->provider = str_dup(toml_key(p));
		out->base_url = text_of(p, "base_url");
		out->api_key = text_of(p, "api_key");
	}
	toml_free(root);
	return 0;
}

void
client_route_free(struct client_route *r)
{
	if (r->api_key)
		explicit_bzero(r->api_key, strlen(r->api_key));
	free(r->provider);
	free(r->base_url);
	free(r->api_key);
	*r = (struct client_route){ 0 };
}

bool
client_config_has_login(struct str text)
{
	struct toml *root;
	bool has;

	if (toml_parse(&root, text, NULL) < 0)
		return false;
	has = toml_type(member(find_provider(root), "oauth")) == TOML_TABLE;
	toml_free(root);
	return has;
}
