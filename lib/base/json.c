#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include "base/json.h"

#include "base/clock.h"
#include "base/text.h"

#include <jsmn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* jsmn's token is kept as it comes; `next` is the index after the whole value. */
struct json_token {
	jsmntok_t t;
	int next;
};

struct checker {
	struct str text;
	jsmntok_t *tok;
	struct json_token *out;
	int count;
	size_t at;		/* all text before it is accounted for */
	struct fail *f;
};

static int
bad_at(struct checker *c, size_t at, const char *what)
{
	int line = 1;

	if (at > c->text.n)
		at = c->text.n;
	for (size_t i = 0; i < at; i++)
		line += c->text.p[i] == '\n';
	return fail_set(c->f, FAIL_INPUT, "line %d: bad JSON: %s", line, text_say(what));
}

static void
skip_space(struct checker *c)
{
	while (c->at < c->text.n && strchr(" \t\r\n", c->text.p[c->at]) && c->text.p[c->at])
		c->at++;
}

static int
expect(struct checker *c, char want, const char *what)
{
	skip_space(c);
	if (c->at >= c->text.n || c->text.p[c->at] != want)
		return bad_at(c, c->at, what);
	c->at++;
	return 0;
}

static bool
is_number(struct str s)
{
	size_t i = s.n && s.p[0] == '-';
	size_t digits = i;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i == digits || (s.p[digits] == '0' && i > digits + 1))
		return false;
	if (i < s.n && s.p[i] == '.') {
		digits = ++i;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i == digits)
			return false;
	}
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
			i++;
		digits = i;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i == digits)
			return false;
	}
	return i == s.n;
}

static int
hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9' ? c - '0' :
		    c >= 'a' && c <= 'f'     ? c - 'a' + 10 :
		    c >= 'A' && c <= 'F'     ? c - 'A' + 10 :
					       -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* A lone surrogate becomes U+FFFD. */
void
json_unescape(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		const char *slash = memchr(s.p + i, '\\', s.n - i);
		size_t plain = slash ? (size_t)(slash - (s.p + i)) : s.n - i;

		buf_put(b, s.p + i, plain);
		i += plain;
		if (i + 1 >= s.n)
			return;
		switch (s.p[++i]) {
		case 'n':
			buf_putc(b, '\n');
			break;
		case 't':
			buf_putc(b, '\t');
			break;
		case 'r':
			buf_putc(b, '\r');
			break;
		case 'b':
			buf_putc(b, '\b');
			break;
		case 'f':
			buf_putc(b, '\f');
			break;
		case 'u': {
			int hi = i + 4 < s.n ? hex4(s.p + i + 1) : -1;

			i += 4;
			if (hi >= 0xd800 && hi < 0xdc00 && i + 6 < s.n && s.p[i + 1] == '\\' &&
			    s.p[i + 2] == 'u') {
				int lo = hex4(s.p + i + 3);

				if (lo >= 0xdc00 && lo < 0xe000) {
					buf_put_utf8(b, 0x10000 + ((unsigned)(hi - 0xd800) << 10) +
						 (unsigned)(lo - 0xdc00));
					i += 6;
					break;
				}
			}
			buf_put_utf8(b, hi < 0 || (hi >= 0xd800 && hi < 0xe000) ? 0xfffd : (unsigned)hi);
			break;
		}
		default:
			buf_putc(b, s.p[i]);
		}
	}
}

static struct str
token_str(const struct checker *c, int i)
{
	return (struct str){ c->text.p + c->tok[i].start, (size_t)(c->tok[i].end - c->tok[i].start) };
}

static int
check_string(struct checker *c, int i)
{
	struct str s = token_str(c, i);

	if (expect(c, '"', "a string is expected") < 0)
		return -1;
	for (size_t k = 0; k < s.n; k++) {
		if ((unsigned char)s.p[k] < 0x20)
			return bad_at(c, c->at + k, "control character in a string");
		if (s.p[k] == '\\') {
			k++;
			if (k < s.n && s.p[k] == 'u') {
				if (k + 4 >= s.n || hex4(s.p + k + 1) < 0)
					return bad_at(c, c->at + k, "bad \\u escape");
				k += 4;
			} else if (k >= s.n || !strchr("\"\\/bfnrt", s.p[k])) {
				return bad_at(c, c->at + k, "bad escape");
			}
		}
	}
	if (!str_utf8(s))
		return bad_at(c, c->at, "a string is not UTF-8");
	c->at = (size_t)c->tok[i].end + 1;
	return 0;
}

static int check_value(struct checker *c, int i, int depth);

/* Equal keys are found through a table of hashes, so a hostile object costs no more than its length. */
static int
check_double_keys(struct checker *c, int object, int members)
{
	size_t cap = 16;
	int *slots;
	int rc = 0;

	if (members < 2)
		return 0;
	while (cap < (size_t)members * 2)
		cap *= 2;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return fail_memory(c->f);
	for (int k = object + 1, m = 0; m < members && rc == 0; m++, k = c->out[k].next) {
		struct buf name = BUF(c->text.n + 16);
		uint64_t h = 1469598103934665603ULL;

		json_unescape(&name, token_str(c, k));
		for (size_t n = 0; n < name.n; n++)
			h = (h ^ (unsigned char)name.p[n]) * 1099511628211ULL;
		for (size_t at = h & (cap - 1);; at = (at + 1) & (cap - 1)) {
			struct buf other = BUF(c->text.n + 16);
			bool same;

			if (!slots[at]) {
				slots[at] = k;
				break;
			}
			json_unescape(&other, token_str(c, slots[at]));
			same = str_eq(buf_view(&name), buf_view(&other));
			buf_free(&other);
			if (same) {
				rc = bad_at(c, (size_t)c->tok[k].start, "the same key twice");
				break;
			}
		}
		buf_free(&name);
	}
	free(slots);
	return rc;
}

static int
check_members(struct checker *c, int i, int depth)
{
	bool object = c->tok[i].type == JSMN_OBJECT;
	int members = c->tok[i].size;
	int k = i + 1;

	if (depth >= JSON_DEPTH_MAX)
		return bad_at(c, c->at, "nested too deeply");
	if (expect(c, object ? '{' : '[', "a bracket is expected") < 0)
		return -1;
	for (int m = 0; m < members; m++) {
		if (m && expect(c, ',', "a comma is expected") < 0)
			return -1;
		if (k >= c->count)
			return bad_at(c, c->at, "cut short");
		if (object) {
			if (c->tok[k].type != JSMN_STRING || c->tok[k].size != 1)
				return bad_at(c, (size_t)c->tok[k].start, "a key with one value is expected");
			skip_space(c);
			if (check_string(c, k) < 0 || expect(c, ':', "a colon is expected") < 0)
				return -1;
			if (k + 1 >= c->count || c->tok[k + 1].parent != k)
				return bad_at(c, c->at, "a value is expected");
			if (check_value(c, k + 1, depth + 1) < 0)
				return -1;
			c->out[k].t = c->tok[k];
			k = c->out[k].next = c->out[k + 1].next;
		} else {
			if (check_value(c, k, depth + 1) < 0)
				return -1;
			k = c->out[k].next;
		}
	}
	c->out[i].next = k;
	if (expect(c, object ? '}' : ']', "a bracket does not close") < 0)
		return -1;
	return object ? check_double_keys(c, i, members) : 0;
}

static int
check_value(struct checker *c, int i, int depth)
{
	struct str s = token_str(c, i);

	c->out[i].t = c->tok[i];
	c->out[i].next = i + 1;
	skip_space(c);
	switch (c->tok[i].type) {
	case JSMN_OBJECT:
	case JSMN_ARRAY:
		return check_members(c, i, depth);
	case JSMN_STRING:
		if (c->tok[i].size != 0)
			return bad_at(c, c->at, "a comma is expected");
		return check_string(c, i);
	case JSMN_PRIMITIVE:
		if (c->at != (size_t)c->tok[i].start || c->tok[i].size != 0 ||
		    !(str_is(s, "null") || str_is(s, "true") || str_is(s, "false") || is_number(s)))
			return bad_at(c, c->at, "not a value");
		c->at = (size_t)c->tok[i].end;
		return 0;
	case JSMN_UNDEFINED:
		break;
	}
	return bad_at(c, c->at, "not a value");
}

int
json_parse(struct json *j, struct str text, struct fail *f)
{
	struct checker c = { .text = text, .f = f };
	jsmn_parser p;
	int rc = -1;

	*j = (struct json){ .text = text };
	if (text.n > INT32_MAX / 2)
		return fail_set(f, FAIL_INPUT, "too large to be JSON of ours");
	jsmn_init(&p);
	c.count = jsmn_parse(&p, text.p, text.n, NULL, 0);
	if (c.count <= 0) {
		/* jsmn stops where it could not go on. */
		return bad_at(&c, c.count == 0 ? 0 : p.pos, c.count == 0 ? "empty" :
		    c.count == JSMN_ERROR_PART ? "cut short" : "unexpected character");
	}
	c.tok = malloc((size_t)c.count * sizeof(*c.tok));
	c.out = calloc((size_t)c.count, sizeof(*c.out));
	if (!c.tok || !c.out) {
		fail_memory(f);
		goto out;
	}
	jsmn_init(&p);
	if (jsmn_parse(&p, text.p, text.n, c.tok, (unsigned)c.count) != c.count) {
		bad_at(&c, p.pos, "unexpected character");
		goto out;
	}
	if (check_value(&c, 0, 0) < 0)
		goto out;
	skip_space(&c);
	if (c.at != text.n || c.out[0].next != c.count) {
		bad_at(&c, c.at, "something stands after the value");
		goto out;
	}
	j->tokens = c.out;
	j->count = c.count;
	c.out = NULL;
	rc = 0;
out:
	free(c.tok);
	free(c.out);
	return rc;
}

void
json_free(struct json *j)
{
	free(j->tokens);
	*j = (struct json){ 0 };
}

static const jsmntok_t *
token(const struct json *j, int v)
{
	return v >= 0 && v < j->count ? &j->tokens[v].t : NULL;
}

enum json_type
json_type(const struct json *j, int v)
{
	const jsmntok_t *t = token(j, v);

	if (!t)
		return JSON_NONE;
	switch (t->type) {
	case JSMN_OBJECT:
		return JSON_OBJECT;
	case JSMN_ARRAY:
		return JSON_ARRAY;
	case JSMN_STRING:
		return JSON_STRING;
	case JSMN_PRIMITIVE:
		switch (j->text.p[t->start]) {
		case 'n':
			return JSON_NULL;
		case 't':
			return JSON_TRUE;
		case 'f':
			return JSON_FALSE;
		default:
			return JSON_NUMBER;
		}
	case JSMN_UNDEFINED:
		break;
	}
	return JSON_NONE;
}

int
json_size(const struct json *j, int v)
{
	enum json_type t = json_type(j, v);

	return t == JSON_ARRAY || t == JSON_OBJECT ? j->tokens[v].t.size : 0;
}

int
json_first(const struct json *j, int v)
{
	if (json_size(j, v) == 0)
		return -1;
	return json_type(j, v) == JSON_OBJECT ? v + 2 : v + 1;
}

int
json_next(const struct json *j, int v)
{
	int parent, next, container;

	if (v <= 0 || v >= j->count)
		return -1;
	parent = j->tokens[v].t.parent;
	next = j->tokens[v].next;
	if (parent < 0)
		return -1;
	if (j->tokens[parent].t.type == JSMN_ARRAY)
		return next < j->tokens[parent].next ? next : -1;
	container = j->tokens[parent].t.parent;		/* parent is the key */
	return next < j->tokens[container].next ? next + 1 : -1;
}

int
json_at(const struct json *j, int array, int i)
{
	int v = json_type(j, array) == JSON_ARRAY ? json_first(j, array) : -1;

	while (v >= 0 && i-- > 0)
		v = json_next(j, v);
	return v;
}

int
json_name(const struct json *j, int v, struct buf *b)
{
	const jsmntok_t *t = token(j, v), *k = t ? token(j, t->parent) : NULL;

	if (!k || k->type != JSMN_STRING)
		return -1;
	json_unescape(b, str_sub(j->text, (size_t)k->start, (size_t)k->end));
	return 0;
}

int
json_get(const struct json *j, int object, const char *key)
{
	size_t n = strlen(key);

	if (json_type(j, object) != JSON_OBJECT)
		return -1;
	for (int v = json_first(j, object); v >= 0; v = json_next(j, v)) {
		const jsmntok_t *k = &j->tokens[j->tokens[v].t.parent].t;
		struct str raw = str_sub(j->text, (size_t)k->start, (size_t)k->end);

		if (!memchr(raw.p, '\\', raw.n)) {
			if (raw.n == n && memcmp(raw.p, key, n) == 0)
				return v;
		} else {
			struct buf name = BUF(raw.n + 16);
			bool same;

			json_unescape(&name, raw);
			same = str_is(buf_view(&name), key);
			buf_free(&name);
			if (same)
				return v;
		}
	}
	return -1;
}

struct str
json_raw(const struct json *j, int v)
{
	const jsmntok_t *t = token(j, v);
	size_t quote;

	if (!t)
		return (struct str){ "", 0 };
	quote = t->type == JSMN_STRING;
	return str_sub(j->text, (size_t)t->start - quote, (size_t)t->end + quote);
}

size_t
json_offset(const struct json *j, int v)
{
	const jsmntok_t *t = token(j, v);

	return t ? (size_t)t->start - (t->type == JSMN_STRING) : 0;
}

int
json_str(const struct json *j, int v, struct buf *out)
{
	const jsmntok_t *t = token(j, v);

	if (!t || t->type != JSMN_STRING)
		return -1;
	json_unescape(out, str_sub(j->text, (size_t)t->start, (size_t)t->end));
	return 0;
}

char *
json_strdup(const struct json *j, int v)
{
	struct buf b = BUF(j->text.n + 16);

	buf_puts(&b, "");
	if (json_str(j, v, &b) < 0 || buf_bad(&b) || memchr(b.p, '\0', b.n)) {
		buf_wipe(&b);	/* it may have been a key */
		return NULL;
	}
	return b.p;
}

int
json_int(const struct json *j, int v, long long *out)
{
	if (json_type(j, v) != JSON_NUMBER)
		return -1;
	return str_int(json_raw(j, v), INT64_MIN + 1, INT64_MAX, out);
}

int
json_double(const struct json *j, int v, double *out)
{
	struct str raw = json_raw(j, v);
	char text[64];

	if (json_type(j, v) != JSON_NUMBER || raw.n >= sizeof(text))
		return -1;
	memcpy(text, raw.p, raw.n);
	text[raw.n] = '\0';
	*out = strtod(text, NULL);
	return isfinite(*out) ? 0 : -1;
}

int
json_bool(const struct json *j, int v, bool *out)
{
	enum json_type t = json_type(j, v);

	if (t != JSON_TRUE && t != JSON_FALSE)
		return -1;
	*out = t == JSON_TRUE;
	return 0;
}

bool
json_is(const struct json *j, int v, const char *text)
{
	struct buf b = BUF(j->text.n + 16);
	bool same = json_str(j, v, &b) == 0 && str_is(buf_view(&b), text);

	buf_free(&b);
	return same;
}

static void
comma(struct json_out *o)
{
	if (o->after_key)
		o->after_key = false;
	else if (o->some >> o->depth & 1)
		buf_puts(o->to, ", ");
	o->some |= 1ULL << o->depth;
}

void
json_open(struct json_out *o, char bracket)
{
	comma(o);
	buf_putc(o->to, bracket);
	if (o->depth == 63)
		o->to->bad = true;
	else
		o->depth++;
	o->some &= ~(1ULL << o->depth);
}

void
json_close(struct json_out *o, char bracket)
{
	if (o->depth)
		o->depth--;
	buf_putc(o->to, bracket);
}

void
json_quote(struct buf *b, struct str s)
{
	static const char hex[] = "0123456789abcdef";

	buf_putc(b, '"');
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t run = i;

		while (run < s.n && (unsigned char)s.p[run] >= 0x20 && (unsigned char)s.p[run] < 0x7f &&
		    s.p[run] != '"' && s.p[run] != '\\')
			run++;
		if (run > i) {
			buf_put(b, s.p + i, run - i);
			i = run;
			continue;
		}
		if (c >= 0x80) {
			size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

			if (str_utf8(str_sub(s, i, i + len)) && i + len <= s.n) {
				buf_put(b, s.p + i, len);
				i += len;
			} else {
				buf_puts(b, "\xef\xbf\xbd");
				i++;
			}
			continue;
		}
		buf_putc(b, '\\');
		switch (c) {
		case '"':
		case '\\':
			buf_putc(b, (char)c);
			break;
		case '\n':
			buf_putc(b, 'n');
			break;
		case '\t':
			buf_putc(b, 't');
			break;
		case '\r':
			buf_putc(b, 'r');
			break;
		default:
			buf_puts(b, "u00");
			buf_putc(b, hex[c >> 4]);
			buf_putc(b, hex[c & 15]);
		}
		i++;
	}
	buf_putc(b, '"');
}

void
json_key_str(struct json_out *o, struct str key)
{
	comma(o);
	json_quote(o->to, key);
	buf_puts(o->to, ": ");
	o->after_key = true;
}

void
json_key(struct json_out *o, const char *key)
{
	json_key_str(o, str_from(key));
}

void
json_put(struct json_out *o, struct str s)
{
	comma(o);
	json_quote(o->to, s);
}

void
json_put_cstr(struct json_out *o, const char *s)
{
	if (s)
		json_put(o, str_from(s));
	else
		json_put_null(o);
}

void
json_put_int(struct json_out *o, long long v)
{
	comma(o);
	buf_printf(o->to, "%lld", v);
}

void
json_put_double(struct json_out *o, double v, int decimals)
{
	if (!isfinite(v)) {
		json_put_null(o);
		return;
	}
	comma(o);
	buf_printf(o->to, "%.*f", decimals, v);
}

void
json_put_bool(struct json_out *o, bool v)
{
	json_put_raw(o, v ? STR("true") : STR("false"));
}

void
json_put_null(struct json_out *o)
{
	json_put_raw(o, STR("null"));
}

void
json_put_time(struct json_out *o, time_t t)
{
	char iso[CLOCK_ISO_SIZE];

	clock_iso(t, iso);
	json_put_cstr(o, t ? iso : NULL);
}

void
json_put_raw(struct json_out *o, struct str json)
{
	comma(o);
	buf_str(o->to, json);
}
