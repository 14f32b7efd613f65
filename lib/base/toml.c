#include "base/toml.h"

#include "base/text.h"
#include "base/toml_scalar.h"

#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How a table or array came to be decides what may still be added to it. */
enum made {
	MADE_WHOLE,	/* written as a value, { ... } or [ ... ]: complete, nothing may be added */
	MADE_HEADER,	/* [name] or [[name]] */
	MADE_IMPLIED,	/* the first parts of a longer header: its own [name] may still come */
	MADE_DOTTED,	/* the first parts of a dotted key: further dotted keys may add */
};

struct toml {
	enum toml_type type;
	enum made made;
	int depth, line;
	size_t from, to;
	struct toml *parent, *next;
	struct str key;		/* its bytes follow the struct */
	union {
		struct {
			struct toml *first, *last;
			size_t size;
		};
		struct {
			char *text;		/* strings, dates and times */
			size_t text_n;
		};
		long long integer;
		double number;
		bool truth;
	};
};

struct parser {
	struct str text;
	size_t at;
	int line;
	size_t key_from, key_to;	/* where the last key part was written */
	struct buf scratch;		/* the last key part or string, decoded; has room for the whole text */
	void *index;			/* all members of all tables, so that a huge table costs no more */
	struct toml *root, *table;	/* the table that the last header opened */
	struct fail *f;
};

static int
bad(struct parser *p, const char *what)
{
	return fail_set(p->f, FAIL_INPUT, "line %d: %s", p->line, text_say(what));
}

/* The characters. */

static int
peek(const struct parser *p)
{
	return p->at < p->text.n ? (unsigned char)p->text.p[p->at] : -1;
}

static bool
take(struct parser *p, const char *what)
{
	if (!str_starts(str_sub(p->text, p->at, p->text.n), what))
		return false;
	p->at += strlen(what);
	return true;
}

static bool
take_newline(struct parser *p)
{
	if (!take(p, "\n") && !take(p, "\r\n"))
		return false;
	p->line++;
	return true;
}

static void
skip_blank(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static bool
is_control(int c)
{
	return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

static void
skip_comment(struct parser *p)
{
	if (peek(p) == '#')
		while (peek(p) >= 0 && !is_control(peek(p)))
			p->at++;
}

/* White space, line ends and comments, as they may stand between the items of an array. */
static void
skip_filling(struct parser *p)
{
	do {
		skip_blank(p);
		skip_comment(p);
	} while (take_newline(p));
}

/* The tree. */

static int
by_key(const void *va, const void *vb)
{
	const struct toml *a = va, *b = vb;

	if (a->parent != b->parent)
		return (uintptr_t)a->parent < (uintptr_t)b->parent ? -1 : 1;
	if (a->key.n != b->key.n)
		return a->key.n < b->key.n ? -1 : 1;
	return a->key.n ? memcmp(a->key.p, b->key.p, a->key.n) : 0;
}

/* The member of a table under the key part read last. */
static struct toml *
find(struct parser *p, struct toml *table)
{
	struct toml wanted = { .parent = table, .key = buf_view(&p->scratch) };
	void *at = tfind(&wanted, &p->index, by_key);

	return at ? *(struct toml **)at : NULL;
}

/* A new last member; of a table under the key part read last, which must be free. */
static struct toml *
add(struct parser *p, struct toml *parent, enum toml_type type, enum made made)
{
	bool named = parent && parent->type == TOML_TABLE;
	struct str key = named ? buf_view(&p->scratch) : (struct str){ "", 0 };
	struct toml *t;
	char *copy;

	if (parent && parent->depth == TOML_DEPTH_MAX) {
		bad(p, "nested too deeply");
		return NULL;
	}
	t = calloc(1, sizeof(*t) + key.n + 1);
	if (!t) {
		fail_memory(p->f);
		return NULL;
	}
	copy = (char *)(t + 1);
	memcpy(copy, key.p, key.n);
	t->key = (struct str){ copy, key.n };
	t->type = type;
	t->made = made;
	t->line = p->line;
	t->from = p->key_from;
	t->to = p->key_to;
	t->parent = parent;
	if (!parent)
		return t;
	if (named && !tsearch(t, &p->index, by_key)) {
		fail_memory(p->f);
		free(t);
		return NULL;
	}
	t->depth = parent->depth + 1;
	if (parent->last)
		parent->last->next = t;
	else
		parent->first = t;
	parent->last = t;
	parent->size++;
	return t;
}

static bool
has_text(const struct toml *t)
{
	switch (t->type) {
	case TOML_STRING:
	case TOML_OFFSET_DATETIME:
	case TOML_LOCAL_DATETIME:
	case TOML_LOCAL_DATE:
	case TOML_LOCAL_TIME:
		return true;
	case TOML_NONE:
	case TOML_TABLE:
	case TOML_ARRAY:
	case TOML_INTEGER:
	case TOML_FLOAT:
	case TOML_BOOL:
		break;
	}
	return false;
}

static bool
has_members(const struct toml *t)
{
	return t && (t->type == TOML_TABLE || t->type == TOML_ARRAY);
}

static int
set_text(struct parser *p, struct toml *t, enum toml_type type, struct str text)
{
	t->text = str_dup(text);
	if (!t->text)
		return fail_memory(p->f);
	t->text_n = text.n;
	t->type = type;
	return 0;
}

/* Strings. */

static int
read_code_point(struct parser *p, int digits)
{
	unsigned c = 0;

	for (int i = 0; i < digits; i++) {
		int d = peek(p);

		d = d >= '0' && d <= '9' ? d - '0' :
		    d >= 'a' && d <= 'f' ? d - 'a' + 10 :
		    d >= 'A' && d <= 'F' ? d - 'A' + 10 :
					   -1;
		if (d < 0)
			return bad(p, "a \\u escape needs 4 hex digits, \\U needs 8");
		c = c << 4 | (unsigned)d;
		p->at++;
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return bad(p, "the escape names no Unicode character");
	buf_put_utf8(&p->scratch, c);
	return 0;
}

/* A backslash at the end of a line takes away all white space up to the next text. */
static int
skip_line_end(struct parser *p)
{
	skip_blank(p);
	if (!take_newline(p))
		return bad(p, "no such escape");
	do
		skip_blank(p);
	while (take_newline(p));
	return 0;
}

static int
read_escape(struct parser *p, bool multiline)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *known;
	int c;

	p->at++;
	c = peek(p);
	known = c > 0 ? strchr(from, c) : NULL;
	if (known) {
		p->at++;
		buf_putc(&p->scratch, to[known - from]);
		return 0;
	}
	if (take(p, "u"))
		return read_code_point(p, 4);
	if (take(p, "U"))
		return read_code_point(p, 8);
	return multiline ? skip_line_end(p) : bad(p, "no such escape");
}

/* Decodes a string of any of the four kinds into scratch; as a key only those of one line count. */
static int
read_string(struct parser *p, bool is_key)
{
	const char quote = (char)peek(p), three[] = { quote, quote, quote, '\0' };
	bool multiline = !is_key && take(p, three);
	int first_line = p->line;

	buf_reset(&p->scratch);
	if (multiline)
		take_newline(p);
	else
		p->at++;
	for (;;) {
		int c = peek(p);

		if (c < 0) {
			p->line = first_line;
			return bad(p, "the string is not closed");
		}
		if (c == quote && (!multiline || take(p, three))) {
			p->at += !multiline;
			/* Of up to five quotes at the end, the last three close. */
			for (int i = 0; multiline && i < 2 && peek(p) == quote; i++, p->at++)
				buf_putc(&p->scratch, quote);
			return 0;
		}
		if (c == '\\' && quote == '"') {
			if (read_escape(p, multiline) < 0)
				return -1;
		} else if (multiline && take_newline(p)) {
			buf_putc(&p->scratch, '\n');
		} else if (is_control(c)) {
			return bad(p, c == '\n' ? "the string is not closed" : "a control character in a string");
		} else {
			buf_putc(&p->scratch, (char)c);
			p->at++;
		}
	}
}

/* Keys. */

static bool
is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int
read_key_part(struct parser *p)
{
	p->key_from = p->at;
	if (peek(p) == '"' || peek(p) == '\'') {
		if (read_string(p, true) < 0)
			return -1;
	} else {
		while (is_bare(peek(p)))
			p->at++;
		buf_reset(&p->scratch);
		buf_str(&p->scratch, str_sub(p->text, p->key_from, p->at));
		if (p->at == p->key_from)
			return bad(p, "a key is missing");
	}
	p->key_to = p->at;
	return 0;
}

/* Into the member table under the key part read last, which is made when missing. */
static struct toml *
step(struct parser *p, struct toml *table, enum made made)
{
	struct toml *t = find(p, table);

	if (!t)
		return add(p, table, TOML_TABLE, made);
	if (made == MADE_IMPLIED && t->type == TOML_ARRAY && t->made == MADE_HEADER)
		t = t->last;
	if (t->type != TOML_TABLE || t->made == MADE_WHOLE) {
		bad(p, "the key goes through something that is no open table");
		return NULL;
	}
	if (made == MADE_DOTTED) {
		if (t->made == MADE_HEADER) {
			bad(p, "a dotted key may not add to a table that has its own header");
			return NULL;
		}
		if (t->made == MADE_IMPLIED) {
			t->made = MADE_DOTTED;
			t->from = p->key_from;
			t->to = p->key_to;
		}
	}
	return t;
}

/* A dotted key: *table becomes the table it ends in, its last part is left in scratch. */
static int
read_key(struct parser *p, struct toml **table, enum made made)
{
	for (;;) {
		skip_blank(p);
		if (read_key_part(p) < 0)
			return -1;
		skip_blank(p);
		if (!take(p, "."))
			return 0;
		*table = step(p, *table, made);
		if (!*table)
			return -1;
	}
}

/* Values. */

static int read_value(struct parser *p, struct toml *t);

static int
read_pair(struct parser *p, struct toml *table)
{
	struct toml *t;

	if (read_key(p, &table, MADE_DOTTED) < 0)
		return -1;
	if (!take(p, "="))
		return bad(p, "\"=\" is missing after the key");
	if (find(p, table))
		return bad(p, "the key is defined twice");
	t = add(p, table, TOML_NONE, MADE_WHOLE);
	if (!t)
		return -1;
	skip_blank(p);
	return read_value(p, t);
}

static int
read_array(struct parser *p, struct toml *array)
{
	array->type = TOML_ARRAY;
	p->at++;
	for (;;) {
		struct toml *t;

		skip_filling(p);
		if (take(p, "]"))
			return 0;
		t = add(p, array, TOML_NONE, MADE_WHOLE);
		if (!t || read_value(p, t) < 0)
			return -1;
		skip_filling(p);
		if (!take(p, ",") && peek(p) != ']')
			return bad(p, "\",\" or \"]\" is missing in an array");
	}
}

static int
read_inline_table(struct parser *p, struct toml *table)
{
	table->type = TOML_TABLE;
	p->at++;
	skip_blank(p);
	if (take(p, "}"))
		return 0;
	do {
		if (read_pair(p, table) < 0)
			return -1;
		skip_blank(p);
	} while (take(p, ","));
	return take(p, "}") ? 0 : bad(p, "\",\" or \"}\" is missing in an inline table");
}

static struct str
read_word(struct parser *p)
{
	size_t from = p->at;
	struct str word;

	for (;;) {
		while (peek(p) > ' ' && !strchr(",]}#", peek(p)))
			p->at++;
		word = str_sub(p->text, from, p->at);
		if (word.n != 10 || !toml_scalar_is_date(word) || peek(p) != ' ' || p->at + 1 == p->text.n ||
		    p->text.p[p->at + 1] < '0' || p->text.p[p->at + 1] > '9')
			return word;
		p->at++;	/* the space between a date and a time */
	}
}

static int
read_scalar(struct parser *p, struct toml *t)
{
	struct str word = read_word(p);
	struct toml_scalar s;
	const char *wrong = word.n ? toml_scalar_read(word, &p->scratch, &s) : N_("a value is missing");

	if (wrong)
		return bad(p, wrong);
	switch (s.type) {
	case TOML_INTEGER:
		t->integer = s.integer;
		break;
	case TOML_FLOAT:
		t->number = s.number;
		break;
	case TOML_BOOL:
		t->truth = s.truth;
		break;
	case TOML_OFFSET_DATETIME:
	case TOML_LOCAL_DATETIME:
	case TOML_LOCAL_DATE:
	case TOML_LOCAL_TIME:
		if (set_text(p, t, s.type, word) < 0)
			return -1;
		for (char *c = t->text; *c; c++)
			*c = *c == 't' || *c == ' ' ? 'T' : *c == 'z' ? 'Z' : *c;
		break;
	case TOML_NONE:
	case TOML_TABLE:
	case TOML_ARRAY:
	case TOML_STRING:
		break;		/* never a bare word */
	}
	t->type = s.type;
	return 0;
}

static int
read_value(struct parser *p, struct toml *t)
{
	int rc;

	t->from = p->at;
	t->line = p->line;
	switch (peek(p)) {
	case '"':
	case '\'':
		rc = read_string(p, false);
		if (rc == 0)
			rc = set_text(p, t, TOML_STRING, buf_view(&p->scratch));
		break;
	case '[':
		rc = read_array(p, t);
		break;
	case '{':
		rc = read_inline_table(p, t);
		break;
	default:
		rc = read_scalar(p, t);
	}
	t->to = p->at;
	return rc;
}

/* Lines. */

static struct toml *
open_table(struct parser *p, struct toml *parent)
{
	struct toml *t = find(p, parent);

	if (!t)
		return add(p, parent, TOML_TABLE, MADE_HEADER);
	if (t->type != TOML_TABLE || t->made != MADE_IMPLIED) {
		bad(p, "the table is defined twice");
		return NULL;
	}
	t->made = MADE_HEADER;
	return t;
}

static struct toml *
open_element(struct parser *p, struct toml *parent)
{
	struct toml *array = find(p, parent);

	if (!array)
		array = add(p, parent, TOML_ARRAY, MADE_HEADER);
	if (!array)
		return NULL;
	if (array->type != TOML_ARRAY || array->made != MADE_HEADER) {
		bad(p, "the key is already something else than an array of tables");
		return NULL;
	}
	return add(p, array, TOML_TABLE, MADE_HEADER);
}

static int
read_header(struct parser *p)
{
	size_t from = p->at;
	bool element = take(p, "[[") || !take(p, "[");
	struct toml *table = p->root;

	if (read_key(p, &table, MADE_IMPLIED) < 0)
		return -1;
	if (!take(p, element ? "]]" : "]"))
		return bad(p, "the header is not closed");
	table = element ? open_element(p, table) : open_table(p, table);
	if (!table)
		return -1;
	table->from = from;
	table->to = p->at;
	table->line = p->line;
	p->table = table;
	return 0;
}

static int
read_line(struct parser *p)
{
	int c;

	skip_blank(p);
	c = peek(p);
	if (c == '[') {
		if (read_header(p) < 0)
			return -1;
	} else if (c >= 0 && c != '#' && !is_control(c)) {
		if (read_pair(p, p->table) < 0)
			return -1;
	}
	skip_blank(p);
	skip_comment(p);
	if (take_newline(p) || peek(p) < 0)
		return 0;
	return bad(p, is_control(peek(p)) ? "a control character" : "unexpected text at the end of the line");
}

static void
leave(void *member)
{
	(void)member;
}

int
toml_parse(struct toml **root, struct str text, struct fail *f)
{
	struct parser p = { .text = text, .scratch = BUF(text.n + 1), .f = f };
	int rc = -1;

	*root = NULL;
	p.line = str_utf8_bad_line(text);
	if (p.line)
		return bad(&p, "not UTF-8 text");
	p.line = 1;
	/* Room at once: strings are then decoded in one place, which is wiped at the end. */
	if (!buf_room(&p.scratch, text.n + 1)) {
		fail_memory(f);
		goto out;
	}
	p.root = p.table = add(&p, NULL, TOML_TABLE, MADE_HEADER);
	if (!p.root)
		goto out;
	p.root->to = text.n;
	take(&p, "\xef\xbb\xbf");
	while (p.at < text.n)
		if (read_line(&p) < 0)
			goto out;
	*root = p.root;
	p.root = NULL;
	rc = 0;
out:
	tdestroy(p.index, leave);
	toml_free(p.root);
	buf_wipe(&p.scratch);
	return rc;
}

void
toml_free(struct toml *root)
{
	struct toml *t, *next;

	if (!root)
		return;
	for (t = has_members(root) ? root->first : NULL; t; t = next) {
		next = t->next;
		toml_free(t);
	}
	if (has_text(root)) {
		explicit_bzero(root->text, root->text_n);
		free(root->text);
	}
	free(root);
}

enum toml_type
toml_type(const struct toml *t)
{
	return t ? t->type : TOML_NONE;
}

const struct toml *
toml_get(const struct toml *table, struct str key)
{
	if (toml_type(table) != TOML_TABLE)
		return NULL;
	for (const struct toml *t = table->first; t; t = t->next)
		if (str_eq(t->key, key))
			return t;
	return NULL;
}

size_t
toml_size(const struct toml *t)
{
	return has_members(t) ? t->size : 0;
}

const struct toml *
toml_first(const struct toml *t)
{
	return has_members(t) ? t->first : NULL;
}

const struct toml *
toml_next(const struct toml *member)
{
	return member ? member->next : NULL;
}

struct str
toml_key(const struct toml *member)
{
	return member ? member->key : (struct str){ "", 0 };
}

const char *
toml_string(const struct toml *t, size_t *n)
{
	if (toml_type(t) != TOML_STRING)
		return NULL;
	if (n)
		*n = t->text_n;
	return t->text;
}

int
toml_integer(const struct toml *t, long long *out)
{
	if (toml_type(t) != TOML_INTEGER)
		return -1;
	*out = t->integer;
	return 0;
}

int
toml_float(const struct toml *t, double *out)
{
	if (toml_type(t) != TOML_FLOAT && toml_type(t) != TOML_INTEGER)
		return -1;
	*out = t->type == TOML_FLOAT ? t->number : (double)t->integer;
	return 0;
}

int
toml_bool(const struct toml *t, bool *out)
{
	if (toml_type(t) != TOML_BOOL)
		return -1;
	*out = t->truth;
	return 0;
}

const char *
toml_datetime(const struct toml *t)
{
	return t && has_text(t) && t->type != TOML_STRING ? t->text : NULL;
}

void
toml_span(const struct toml *t, size_t *from, size_t *to)
{
	*from = t ? t->from : 0;
	*to = t ? t->to : 0;
}

int
toml_line(const struct toml *t)
{
	return t ? t->line : 0;
}
