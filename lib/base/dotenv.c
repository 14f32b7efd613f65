#include "base/dotenv.h"

#include "base/text.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* How far the values together may outgrow the text: names can be doubled on every line. */
#define EXPANSION_MAX (1 << 20)

/* A name, once: the tree finds it, the list keeps the order. */
struct node {
	struct dotenv_entry entry;	/* value is NULL while the name stands without `=` */
	struct node *next;
};

struct reader {
	struct str text;	/* lines end in \n alone */
	size_t at;
	int line;
	void *names;
	struct node *first, **last;
	size_t count;
	size_t budget;		/* bytes the values may still take */
	struct fail *f;
};

/* The length of the white-space character at i, 0 when there is none: those of Python's `\s`. */
static size_t
space_at(struct str s, size_t i)
{
	unsigned char c = i < s.n ? (unsigned char)s.p[i] : 'x';
	unsigned rune;

	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
	if (c == 0xc2)
		return (unsigned char)s.p[i + 1] == 0x85 || (unsigned char)s.p[i + 1] == 0xa0 ? 2 : 0;
	if (c < 0xe1 || c > 0xe3)
		return 0;
	rune = (c & 0xfu) << 12 | (s.p[i + 1] & 0x3fu) << 6 | (s.p[i + 2] & 0x3fu);
	return rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 || rune == 0x2029 ||
	    rune == 0x202f || rune == 0x205f || rune == 0x3000 ? 3 : 0;
}

static int
peek(const struct reader *r)
{
	return r->at < r->text.n ? (unsigned char)r->text.p[r->at] : -1;
}

/* Goes on to `to`, counting lines, and gives what was passed. */
static struct str
advance(struct reader *r, size_t to)
{
	struct str passed = str_sub(r->text, r->at, to);

	for (size_t i = 0; i < passed.n; i++)
		r->line += passed.p[i] == '\n';
	r->at = to;
	return passed;
}

static bool
skip_space(struct reader *r, bool over_lines)
{
	size_t i = r->at, n;

	while ((n = space_at(r->text, i)) && (over_lines || r->text.p[i] != '\n'))
		i += n;
	n = i - r->at;
	advance(r, i);
	return n > 0;
}

static size_t
line_end(const struct reader *r)
{
	const char *end = memchr(r->text.p + r->at, '\n', r->text.n - r->at);

	return end ? (size_t)(end - r->text.p) : r->text.n;
}

static int
bad(struct reader *r, int line, const char *what)
{
	return fail_set(r->f, FAIL_INPUT, "line %d: %s", line, text_say(what));
}

/*
 * The inside of a quoted value. A backslash guards the character after it.
 * Until 1.2.3 python-dotenv let a guarded quote close when no other one did, so
 * that `'C:\dir\'` could be written: such files are still read.
 */
static int
read_quoted(struct reader *r, char quote, struct str *inside)
{
	size_t close = r->at + 1, guarded = 0;
	int line = r->line;

	for (; close < r->text.n && r->text.p[close] != quote; close++)
		if (r->text.p[close] == '\\' && close + 1 < r->text.n && r->text.p[++close] == quote)
			guarded = close;
	if (close == r->text.n)
		close = guarded;
	if (!close)
		return bad(r, line, "the quote is not closed");
	advance(r, r->at + 1);
	*inside = advance(r, close);
	advance(r, close + 1);
	return 0;
}

/* The rest of the line up to white space and `#`, without white space at its end. */
static struct str
read_unquoted(struct reader *r, bool after_space)
{
	struct str part = advance(r, line_end(r));
	size_t end = 0, n;

	if (after_space && part.n && part.p[0] == '#')
		return str_sub(part, 0, 0);
	for (size_t i = 0; i < part.n; i += n ? n : 1) {
		n = space_at(part, i);
		if (!n && part.p[i] == '#' && end < i)
			break;
		if (!n)
			end = i + 1;
	}
	return str_sub(part, 0, end);
}

static void
put_unescaped(struct buf *b, struct str s, char quote)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	size_t known = quote == '"' ? sizeof(from) - 1 : 2;

	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] == '\\' && i + 1 < s.n ? memchr(from, s.p[i + 1], known) : NULL;

		if (at)
			i++;
		buf_putc(b, at ? to[at - from] : s.p[i]);
	}
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->entry.name, ((const struct node *)b)->entry.name);
}

static struct node *
find(const struct reader *r, char *name)
{
	struct node key = { .entry = { .name = name } };
	void *at = tfind(&key, &r->names, by_name);

	return at ? *(struct node **)at : NULL;
}

/* A name that stands in the file without a value hides the environment's. */
static void
put_variable(struct reader *r, struct buf *b, struct str name, struct str otherwise)
{
	char *c_name = str_dup(name);
	const struct node *node;
	const char *value;

	if (!c_name) {
		b->bad = true;
		return;
	}
	node = find(r, c_name);
	value = node ? node->entry.value : getenv(c_name);
	if (value)
		buf_puts(b, value);
	else if (!node)
		buf_str(b, otherwise);
	free(c_name);
}

/* ${NAME} and ${NAME:-default}; what does not have that form stays as it is. */
static void
put_expanded(struct reader *r, struct buf *b, struct str s)
{
	long open;

	while ((open = str_find(s, STR("${"))) >= 0) {
		size_t from = (size_t)open + 2, end = from, close;
		struct str otherwise = { "", 0 };

		while (end < s.n && s.p[end] != ':' && s.p[end] != '}')
			end++;
		close = end;
		if (end + 1 < s.n && s.p[end] == ':' && s.p[end + 1] == '-') {
			while (close < s.n && s.p[close] != '}')
				close++;
			otherwise = str_sub(s, end + 2, close);
		}
		if (close == s.n || s.p[close] != '}') {
			/* No other `${` up to here can fare better. */
			buf_str(b, str_sub(s, 0, close));
			s = str_sub(s, close, s.n);
			continue;
		}
		buf_str(b, str_sub(s, 0, (size_t)open));
		put_variable(r, b, str_sub(s, from, end), otherwise);
		s = str_sub(s, close + 1, s.n);
	}
	buf_str(b, s);
}

/* What follows `=`; *value is made, also when it is empty. */
static int
read_value(struct reader *r, char **value)
{
	bool after_space = skip_space(r, false);
	int quote = peek(r), line = r->line, rc = -1;
	struct buf plain = BUF(r->text.n), whole = BUF(r->budget);
	struct str raw;

	if (quote == '\'' || quote == '"') {
		if (read_quoted(r, (char)quote, &raw) < 0)
			return -1;
	} else {
		raw = read_unquoted(r, after_space);
	}
	/* Room at once, so that a secret is not moved about and left behind. */
	buf_room(&plain, raw.n);
	buf_room(&whole, raw.n);
	buf_puts(&whole, "");
	if (quote == '\'' || quote == '"')
		put_unescaped(&plain, raw, (char)quote);
	else
		buf_str(&plain, raw);
	if (quote == '\'')
		buf_str(&whole, buf_view(&plain));
	else
		put_expanded(r, &whole, buf_view(&plain));
	if (buf_bad(&plain) || buf_bad(&whole)) {
		bad(r, line, "the value expands to more than can be kept");
		goto out;
	}
	r->budget -= whole.n;
	*value = whole.p;
	whole = BUF(0);
	rc = 0;
out:
	buf_wipe(&plain);
	buf_wipe(&whole);
	return rc;
}

/* 1 with *name made, 0 for a comment. */
static int
read_name(struct reader *r, char **name)
{
	struct str word = str_sub(r->text, r->at, r->at + 6);
	size_t end;
	struct str key;

	if (str_is(word, "export") && space_at(r->text, r->at + 6) && r->text.p[r->at + 6] != '\n') {
		advance(r, r->at + 6);
		skip_space(r, false);
	}
	if (peek(r) == '#')
		return 0;
	if (peek(r) == '\'') {
		const char *close = memchr(r->text.p + r->at + 1, '\'', r->text.n - r->at - 1);

		end = close ? (size_t)(close - r->text.p) : 0;
		if (end < r->at + 2)
			return bad(r, r->line, "a quoted name is empty or not closed");
		advance(r, r->at + 1);
		key = advance(r, end);
		advance(r, end + 1);
	} else {
		for (end = r->at; end < r->text.n && !space_at(r->text, end); end++)
			if (r->text.p[end] == '=' || r->text.p[end] == '#')
				break;
		key = advance(r, end);
		if (key.n == 0)
			return bad(r, r->line, "a name is missing before \"=\"");
	}
	*name = str_dup(key);
	return *name ? 1 : fail_memory(r->f);
}

static void
drop_value(struct dotenv_entry *e)
{
	if (e->value)
		explicit_bzero(e->value, strlen(e->value));
	free(e->value);
	e->value = NULL;
}

/* Takes both over. */
static int
keep(struct reader *r, char *name, char *value, int line)
{
	struct node *node = find(r, name);

	if (node) {
		free(name);
		drop_value(&node->entry);
	} else {
		node = calloc(1, sizeof(*node));
		if (node)
			node->entry.name = name;
		if (!node || !tsearch(node, &r->names, by_name)) {
			struct dotenv_entry lost = { .value = value };

			drop_value(&lost);
			free(name);
			free(node);
			return fail_memory(r->f);
		}
		*r->last = node;
		r->last = &node->next;
		r->count++;
	}
	node->entry.value = value;
	node->entry.line = line;
	return 0;
}

/* One binding, with the empty lines before it; or a comment; or the end. */
static int
read_binding(struct reader *r)
{
	char *name = NULL, *value = NULL;
	int line;

	skip_space(r, true);
	if (peek(r) < 0)
		return 0;
	line = r->line;
	if (read_name(r, &name) < 0)
		return -1;
	skip_space(r, false);
	if (name && peek(r) == '=') {
		advance(r, r->at + 1);
		if (read_value(r, &value) < 0) {
			free(name);
			return -1;
		}
	}
	if (name && keep(r, name, value, line) < 0)
		return -1;
	skip_space(r, false);
	if (peek(r) == '#')
		advance(r, line_end(r));
	if (peek(r) >= 0 && peek(r) != '\n')
		return bad(r, r->line, value ? "something stands after the closing quote" : "not NAME=value");
	return 0;
}

/* Line ends become \n, as they do for Python; a byte-order mark is dropped. */
static int
normalise(struct buf *b, struct str text, struct fail *f)
{
	struct str view;
	int line;

	if (str_starts(text, "\xef\xbb\xbf"))
		text = str_sub(text, 3, text.n);
	buf_room(b, text.n);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != '\r')
			buf_putc(b, text.p[i]);
		else if (i + 1 == text.n || text.p[i + 1] != '\n')
			buf_putc(b, '\n');
	}
	if (buf_bad(b))
		return fail_memory(f);
	view = buf_view(b);
	line = str_utf8_bad_line(view);
	if (line)
		return fail_set(f, FAIL_INPUT, "line %d: not UTF-8 text", line);
	for (line = 1; view.n; line++) {
		struct str one = str_cut(&view, '\n');

		if (one.n && memchr(one.p, '\0', one.n))
			return fail_set(f, FAIL_INPUT, "line %d: a NUL byte", line);
	}
	return 0;
}

static void
keep_in_tree(void *node)
{
	(void)node;
}

int
dotenv_parse(struct dotenv *d, struct str text, struct fail *f)
{
	struct buf b = BUF(text.n + 1);
	struct reader r = { .line = 1, .budget = text.n + EXPANSION_MAX, .f = f };
	int rc = -1;

	*d = (struct dotenv){ 0 };
	r.last = &r.first;
	if (normalise(&b, text, f) < 0)
		goto out;
	r.text = buf_view(&b);
	while (r.at < r.text.n)
		if (read_binding(&r) < 0)
			goto out;
	d->entries = calloc(r.count + 1, sizeof(*d->entries));
	if (!d->entries) {
		fail_memory(f);
		goto out;
	}
	for (struct node *n = r.first; n; n = n->next) {
		if (!n->entry.value)
			continue;
		d->entries[d->count++] = n->entry;
		n->entry = (struct dotenv_entry){ 0 };
	}
	rc = 0;
out:
	tdestroy(r.names, keep_in_tree);
	while (r.first) {
		struct node *n = r.first;

		r.first = n->next;
		drop_value(&n->entry);
		free(n->entry.name);
		free(n);
	}
	buf_wipe(&b);
	return rc;
}

const char *
dotenv_get(const struct dotenv *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->entries[i].name, name) == 0)
			return d->entries[i].value;
	return NULL;
}

void
dotenv_free(struct dotenv *d)
{
	for (size_t i = 0; i < d->count; i++) {
		drop_value(&d->entries[i]);
		free(d->entries[i].name);
	}
	free(d->entries);
	*d = (struct dotenv){ 0 };
}
