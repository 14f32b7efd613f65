#include "keys/client_config.h"

#include "base/file.h"
#include "base/toml.h"

#include <stdlib.h>
#include <string.h>

#define NEW_PROVIDER "kimi-for-coding"

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

/* A change: these bytes of the text give way to others. */
struct edit {
	size_t from, to;
	struct buf text;
};

static const struct toml *
member(const struct toml *table, const char *name)
{
	return toml_get(table, str_from(name));
}

static bool
is_kimis(const struct toml *provider)
{
	const char *type = toml_string(member(provider, "type"), NULL);

	return toml_type(provider) == TOML_TABLE && type && strcmp(type, "kimi") == 0;
}

/* The same order as when a config is read for its key. */
static const struct toml *
find_provider(const struct toml *root)
{
	static const char *const names[] = { "managed:kimi-code", "kimi-for-coding", "moonshot-ai" };
	const struct toml *providers = member(root, "providers");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (toml_type(member(providers, names[i])) == TOML_TABLE)
			return member(providers, names[i]);
	for (const struct toml *p = toml_type(providers) == TOML_TABLE ? toml_first(providers) : NULL; p; p = toml_next(p))
		if (is_kimis(p))
			return p;
	return NULL;
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

static size_t
line_start(struct str text, size_t at)
{
	while (at > 0 && text.p[at - 1] != '\n')
		at--;
	return at;
}

static size_t
line_end(struct str text, size_t at)
{
	const char *end = memchr(text.p + at, '\n', text.n - at);

	return end ? (size_t)(end - text.p) : text.n;
}

static const char *
newline(struct str text)
{
	return memmem(text.p, text.n, "\r\n", 2) ? "\r\n" : "\n";
}

/*
 * A member that is not there yet goes in behind the table's header, or first into its braces, or before the line of a
 * dotted key, with the same beginning.
 */
static void
insert(struct str text, const struct toml *table, const char *name, struct str value, struct edit *e)
{
	size_t from, to, start;

	toml_span(table, &from, &to);
	start = line_start(text, from);
	if (text.p[from] == '{') {
		e->from = e->to = from + 1;
		buf_printf(&e->text, " %s = ", name);
		put_string(&e->text, value);
		buf_puts(&e->text, toml_size(table) ? "," : " ");
	} else if (text.p[from] == '[') {
		e->from = e->to = line_end(text, to);
		if (e->from > to && text.p[e->from - 1] == '\r')
			e->from = e->to = e->from - 1;
		buf_printf(&e->text, "%s%s = ", newline(text), name);
		put_string(&e->text, value);
	} else {
		e->from = e->to = start;
		buf_str(&e->text, str_sub(text, start, to));
		buf_printf(&e->text, ".%s = ", name);
		put_string(&e->text, value);
		buf_puts(&e->text, newline(text));
	}
}

static void
make_edit(struct str text, const struct toml *table, const char *name, struct str value, struct edit *e)
{
	const struct toml *there = member(table, name);

	*e = (struct edit){ .text = BUF(CLIENT_CONFIG_MAX) };
	if (there) {
		toml_span(there, &e->from, &e->to);
		put_string(&e->text, value);
	} else {
		insert(text, table, name, value, e);
	}
}

static void
put_new_provider(struct str text, struct str api_key, struct str base_url, struct buf *out)
{
	const char *end = newline(text);

	buf_str(out, text);
	if (text.n && text.p[text.n - 1] != '\n')
		buf_puts(out, end);
	if (text.n)
		buf_puts(out, end);
	buf_printf(out, "[providers.%s]%stype = \"kimi\"%sbase_url = ", NEW_PROVIDER, end, end);
	put_string(out, base_url);
	buf_printf(out, "%sapi_key = ", end);
	put_string(out, api_key);
	buf_puts(out, end);
}

static void
put_changed(struct str text, const struct toml *provider, struct str api_key, struct str base_url, struct buf *out)
{
	struct edit edits[2], *first = &edits[0], *second = &edits[1];

	make_edit(text, provider, "base_url", base_url, &edits[0]);
	make_edit(text, provider, "api_key", api_key, &edits[1]);
	if (edits[1].from < edits[0].from) {
		first = &edits[1];
		second = &edits[0];
	}
	buf_str(out, str_sub(text, 0, first->from));
	buf_str(out, buf_view(&first->text));
	buf_str(out, str_sub(text, first->to, second->from));
	buf_str(out, buf_view(&second->text));
	buf_str(out, str_sub(text, second->to, text.n));
	buf_wipe(&edits[0].text);
	buf_wipe(&edits[1].text);
}

static bool
says(const struct toml *provider, const char *name, struct str value)
{
	size_t n;
	const char *s = toml_string(member(provider, name), &n);

	return s && str_eq((struct str){ s, n }, value);
}

int
client_config_set(struct str text, struct str api_key, struct str base_url, struct buf *out, struct fail *f)
{
	struct toml *root, *check = NULL;
	const struct toml *provider;
	size_t before = out->n;
	int rc = -1;

	if (toml_parse(&root, text, f) < 0)
		return -1;
	provider = find_provider(root);
	if (provider)
		put_changed(text, provider, api_key, base_url, out);
	else
		put_new_provider(text, api_key, base_url, out);
	/* Whatever form it had: it must read back as what was meant. */
	if (buf_bad(out))
		fail_memory(f);
	else if (toml_parse(&check, str_sub(buf_view(out), before, out->n), f) < 0)
		fail_set(f, FAIL_INPUT, "its providers are written in a form that cannot be changed in place");
	else if (!says(find_provider(check), "api_key", api_key) || !says(find_provider(check), "base_url", base_url))
		fail_set(f, FAIL_INPUT, "its providers are written in a form that cannot be changed in place");
	else
		rc = 0;
	toml_free(check);
	toml_free(root);
	return rc;
}
