/*
 * Any TOML, with a key set in it: it reads back as meant, all else says what it said, no byte is lost but those of the values
 * that gave way, and setting it again changes nothing. The input is a text, or, behind a first byte over 127, picks the pieces
 * of one: so the forms that a table can have come up soon.
 */
#include "base/toml.h"
#include "keys/client_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEY STR("sk-fake-\"\\new")
#define URL STR("https://u/v1")
#define NEW "kimi-for-coding"
#define ADDED_MAX 700

static const char *const pieces[] = { "\n", "\n", "\r\n", "[", "]", "[[", "]]", "{", "}", ".", ",", " ", "\t", " = ", " = ", " = { ", " }\n",
	"providers", "[providers.", "[providers]\n", "[[providers.", "\"providers\"", "providers = { ", "]\n", "moonshot-ai", "'moonshot-ai'",
	"\"managed:kimi-code\"", "kimi-for-coding", "other", "type", "type = \"kimi\"\n", "type = \"kimi\"", "api_key", "\"api_key\"",
	"base_url", "oauth", "models", "[models]\n", "[models.", "default_model", "default_model = \"\"\n", "\"\"", "\"sk\"", "'x'",
	"\"\"\"\n[a\"\"\"", "'''\n{'''", "3", "true", "2026-01-31", "[1, 2]", "[\n[1],\n]", "{}", "# c", "# [providers]\n", "\xef\xbb\xbf" };

static bool same(const struct toml *a, const struct toml *b);

static bool
same_members(const struct toml *a, const struct toml *b)
{
	const struct toml *p, *q = toml_first(b);

	if (toml_size(a) != toml_size(b))
		return false;
	for (p = toml_first(a); p; p = toml_next(p), q = toml_next(q))
		if (!same(p, toml_type(a) == TOML_ARRAY ? q : toml_get(b, toml_key(p))))
			return false;
	return true;
}

static bool
same(const struct toml *a, const struct toml *b)
{
	long long i, j;
	size_t n, m;
	bool t, u;

	if (toml_type(a) != toml_type(b))
		return false;
	switch (toml_type(a)) {
	case TOML_TABLE:
	case TOML_ARRAY:
		return same_members(a, b);
	case TOML_STRING:
		return toml_string(a, &n) && toml_string(b, &m) && n == m && memcmp(toml_string(a, NULL), toml_string(b, NULL), n) == 0;
	case TOML_INTEGER:
		return toml_integer(a, &i) == 0 && toml_integer(b, &j) == 0 && i == j;
	case TOML_BOOL:
		return toml_bool(a, &t) == 0 && toml_bool(b, &u) == 0 && t == u;
	case TOML_NONE:
	case TOML_FLOAT:		/* of the same bytes */
		return true;
	case TOML_OFFSET_DATETIME:
	case TOML_LOCAL_DATETIME:
	case TOML_LOCAL_DATE:
	case TOML_LOCAL_TIME:
		return strcmp(toml_datetime(a), toml_datetime(b)) == 0;
	}
	return false;
}

/* Whether a member of the root (0), of its tables (1), of theirs (2) may be set. */
static bool
may_be_set(const struct toml *t, int level)
{
	struct str key = toml_key(t);

	return level == 0 ? str_is(key, "default_model") : level == 2 && (str_is(key, "api_key") || str_is(key, "base_url"));
}

static bool
may_be_made(const struct toml *t, int level)
{
	struct str key = toml_key(t);

	return may_be_set(t, level) || (level == 0 && (str_is(key, "providers") || str_is(key, "models"))) ||
	    (level == 1 && str_is(key, NEW));
}

/* All that `a` says is in `b` too, but what was set: where that stood goes to `gone`. */
static void
compare(const struct toml *a, const struct toml *b, int level, struct buf *gone)
{
	size_t from, to;

	for (const struct toml *p = toml_first(a); p; p = toml_next(p)) {
		const struct toml *q = toml_get(b, toml_key(p));

		if (same(p, q))
			continue;
		if (may_be_set(p, level)) {
			if (level == 0 && (!toml_string(p, &from) || from))
				abort();
			toml_span(p, &from, &to);
			buf_put(gone, (const char *)&from, sizeof(from));
			buf_put(gone, (const char *)&to, sizeof(to));
		} else if (toml_type(p) == TOML_TABLE && toml_type(q) == TOML_TABLE) {
			compare(p, q, level + 1, gone);
		} else {
			abort();
		}
	}
	for (const struct toml *q = toml_first(b); q; q = toml_next(q))
		if (!toml_get(a, toml_key(q)) && !may_be_made(q, level))
			abort();
}

static bool
in_gone(const struct buf *gone, size_t at)
{
	size_t span[2];

	for (size_t i = 0; i < gone->n; i += sizeof(span)) {
		memcpy(span, gone->p + i, sizeof(span));
		if (at >= span[0] && at < span[1])
			return true;
	}
	return false;
}

static void
check(struct str text, struct str result)
{
	struct toml *a, *b;
	struct fail f = { 0 };
	struct buf gone = BUF(1 << 16);
	size_t at = 0, kept = 0;

	if (toml_parse(&a, text, &f) < 0 || toml_parse(&b, result, &f) < 0)
		abort();
	compare(a, b, 0, &gone);
	if (gone.n > 4 * sizeof(size_t))
		abort();
	for (size_t i = 0; i < text.n; i++) {
		if (in_gone(&gone, i))
			continue;
		while (at < result.n && result.p[at] != text.p[i])
			at++;
		if (at++ >= result.n)
			abort();
		kept++;
	}
	if (result.n - kept > ADDED_MAX + 2 * text.n)	/* the beginning of a dotted key comes again */
		abort();
	toml_free(a);
	toml_free(b);
	buf_free(&gone);
}

static void
try(struct str text)
{
	struct buf once = BUF(1 << 20), twice = BUF(1 << 20);
	struct fail f = { 0 };
	struct client_route route;
	struct toml *root;

	if (client_config_route(text, &route, &f) == 0)
		client_route_free(&route);
	if (client_config_set(text, KEY, URL, &once, &f) == 0) {
		check(text, buf_view(&once));
		if (client_config_set(buf_view(&once), KEY, URL, &twice, &f) < 0 || !str_eq(buf_view(&once), buf_view(&twice)))
			abort();
	} else if (toml_parse(&root, text, NULL) == 0) {
		/* Refused: then it says where, and what to do. */
		if (!str_starts(str_from(f.text), "line ") || !f.hint[0])
			abort();
		toml_free(root);
	}
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf text = BUF(1 << 18);

	if (n && data[0] > 127) {
		for (size_t i = 1; i < n; i++)
			buf_puts(&text, pieces[data[i] % (sizeof(pieces) / sizeof(*pieces))]);
		if (!buf_bad(&text))
			try(buf_view(&text));
	} else {
		try((struct str){ (const char *)data, n });
	}
	buf_free(&text);
	return 0;
}
