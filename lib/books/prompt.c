#include "books/prompt.h"

#include "base/json.h"

#include <string.h>
#include <strings.h>

/*
 * The scanner. A body may have 64 MB of which three words are wanted, so nothing is stored:
 * it walks forward once and hands out slices. Inside strings it only looks for the end,
 * with memchr; that is where nearly all bytes are.
 */
struct scan {
	const char *p, *end;
	int depth_max;		/* of a value that is passed over: up to DEPTH_MAX */
	bool bad;
};

#define DEPTH_MAX 1024

static char
peek(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
	return s->p < s->end ? *s->p : '\0';
}

static bool
take(struct scan *s, char c)
{
	if (peek(s) != c || s->p == s->end)
		return false;
	s->p++;
	return true;
}

static struct str
bad(struct scan *s)
{
	s->bad = true;
	return (struct str){ "", 0 };
}

/* The inside of a string, escapes and all. */
static struct str
scan_string(struct scan *s)
{
	const char *start, *quote, *back;

	if (!take(s, '"'))
		return bad(s);
	start = s->p;
	while ((quote = memchr(s->p, '"', (size_t)(s->end - s->p)))) {
		for (back = quote; back > start && back[-1] == '\\'; back--)
			;
		s->p = quote + 1;
		if ((quote - back) % 2 == 0)
			return (struct str){ start, (size_t)(quote - start) };
	}
	return bad(s);
}

/* A number or one of the three words. */
static struct str
scan_scalar(struct scan *s)
{
	const char *start;
	struct str word;

	peek(s);
	start = s->p;
	while (s->p < s->end && (*s->p == '-' || *s->p == '+' || *s->p == '.' || (*s->p >= '0' && *s->p <= '9') ||
	    (*s->p >= 'a' && *s->p <= 'z') || *s->p == 'E'))
		s->p++;
	word = (struct str){ start, (size_t)(s->p - start) };
	if (str_is(word, "true") || str_is(word, "false") || str_is(word, "null"))
		return word;
	return word.n && (*start == '-' || (*start >= '0' && *start <= '9')) ? word : bad(s);
}

/*
 * The walk through an object or array, behind its opening bracket and with first = true. Each
 * call stands behind a value and moves before the next; false at the end, and when the text is bad.
 */
static bool
next_element(struct scan *s, bool *first)
{
	if (s->bad || take(s, ']'))
		return false;
	if (!*first && !take(s, ','))
		s->bad = true;
	*first = false;
	return !s->bad;
}

static bool
next_member(struct scan *s, bool *first, struct str *key)
{
	if (s->bad || (*first && take(s, '}')))
		return false;
	if (!*first) {
		if (take(s, '}'))
			return false;
		if (!take(s, ','))
			s->bad = true;
	}
	*first = false;
	*key = scan_string(s);
	if (!take(s, ':'))
		s->bad = true;
	return !s->bad;
}

/* Passes over one value of any kind. Not recursive: the depth is the sender's to choose. */
static void
scan_skip(struct scan *s)
{
	unsigned char objects[DEPTH_MAX / 8] = { 0 };	/* one bit a level: object or array */
	int depth = 0;

	do {
		bool first = false;
		char c = peek(s);

		/* At a value. */
		if (c == '"') {
			scan_string(s);
		} else if (c == '{' || c == '[') {
			s->p++;
			if (depth == s->depth_max) {
				s->bad = true;
				return;
			}
			objects[depth / 8] &= (unsigned char)~(1 << depth % 8);
			objects[depth / 8] |= (unsigned char)((c == '{') << depth % 8);
			depth++;
			first = true;
		} else {
			scan_scalar(s);
		}
		/* To the next value, out of all that end here. */
		for (; depth > 0 && !s->bad; depth--, first = false) {
			bool object = objects[(depth - 1) / 8] >> (depth - 1) % 8 & 1;
			struct str key;

			if (object ? next_member(s, &first, &key) : next_element(s, &first))
				break;
		}
	} while (depth > 0 && !s->bad);
}

/* A value that is wanted only if it is a string; anything else gives the empty slice. */
static struct str
scan_text(struct scan *s)
{
	if (peek(s) == '"')
		return scan_string(s);
	scan_skip(s);
	return (struct str){ "", 0 };
}

static bool
read_true(struct scan *s)
{
	bool is_true = peek(s) == 't';	/* no other value begins so, or the text is bad */

	scan_skip(s);
	return is_true;
}

/* The words of one message: its parts, as slices of the body. More than this never fit into a hint. */
struct text {
	struct str parts[8];
	size_t count;
};

static void
text_add(struct text *t, struct str part)
{
	if (part.n && t->count < sizeof(t->parts) / sizeof(*t->parts))
		t->parts[t->count++] = part;
}

/* {"type": "text", "text": "..."}; the Responses API says input_text. */
static void
read_part(struct scan *s, struct text *t)
{
	struct str key, type = { "", 0 }, text = { "", 0 };
	bool first = true;

	if (!take(s, '{')) {
		scan_skip(s);
		return;
	}
	while (next_member(s, &first, &key)) {
		if (str_is(key, "type"))
			type = scan_text(s);
		else if (str_is(key, "text"))
			text = scan_text(s);
		else
			scan_skip(s);
	}
	if (str_is(type, "text") || str_is(type, "input_text"))
		text_add(t, text);
}

static void
read_content(struct scan *s, struct text *t)
{
	bool first = true;

	t->count = 0;
	if (take(s, '[')) {
		while (next_element(s, &first))
			read_part(s, t);
	} else {
		text_add(t, scan_text(s));
	}
}

/* Takes the place of *last when it is a user's and has text: the results of tools come as user messages too. */
static void
read_message(struct scan *s, struct text *last)
{
	struct str key, role = { "", 0 };
	struct text t = { .count = 0 };
	bool first = true;

	if (!take(s, '{')) {
		scan_skip(s);
		return;
	}
	while (next_member(s, &first, &key)) {
		if (str_is(key, "role"))
			role = scan_text(s);
		else if (str_is(key, "content"))
			read_content(s, &t);
		else
			scan_skip(s);
	}
	if (str_is(role, "user") && t.count)
		*last = t;
}

/* The last user text, and the bytes up to the end of the first. */
static void
read_messages(struct scan *s, struct text *last, struct str *opening)
{
	bool first = true;

	if (take(s, '[')) {
		const char *begin = s->p;

		while (next_element(s, &first)) {
			read_message(s, last);
			if (last->count && !opening->n && !s->bad)
				*opening = (struct str){ begin, (size_t)(s->p - begin) };
		}
	} else {
		struct str text = scan_text(s);

		if (text.n) {
			last->count = 0;
			text_add(last, text);
			*opening = text;
		}
	}
}

static struct str
read_user_id(struct scan *s)
{
	struct str key, id = { "", 0 };
	bool first = true;

	if (!take(s, '{')) {
		scan_skip(s);
		return id;
	}
	while (next_member(s, &first, &key)) {
		if (str_is(key, "user_id"))
			id = scan_text(s);
		else
			scan_skip(s);
	}
	return id;
}

/* Characters that would end a line, move a cursor or turn the direction of a terminal's text, and all blanks. */
static bool
is_blank(unsigned c)
{
	return c <= 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x1680 || (c >= 0x2000 && c <= 0x200b) ||
	    c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) ||
	    c == 0x3000 || c == 0xfeff;
}

/* The length of the character at the front, 0 when the bytes there are none; *c is its number. */
static size_t
character(struct str s, unsigned *c)
{
	unsigned char lead = (unsigned char)s.p[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	if (n > s.n || !str_utf8(str_sub(s, 0, n)))
		return 0;
	*c = n == 1 ? lead : lead & (0x7fU >> n);
	for (size_t i = 1; i < n; i++)
		*c = *c << 6 | ((unsigned char)s.p[i] & 0x3f);
	return n;
}

#define OPENING_MAX 16384	/* of the beginning of a conversation: tells it from others */
#define RAW_MAX 4096	/* what is looked at of one string: ample for six words */
#define CLEAN_MAX 1024

/* Decodes a raw string and adds it to `to` on one line, blanks folded into single spaces. False: there is more. */
static bool
add_clean(struct buf *to, struct str raw)
{
	struct buf plain = BUF(RAW_MAX * 2);
	struct str left;

	buf_room(&plain, raw.n < RAW_MAX ? raw.n : RAW_MAX);
	json_unescape(&plain, str_sub(raw, 0, RAW_MAX));
	for (left = buf_view(&plain); left.n && !buf_bad(to);) {
		unsigned c = 0xfffd;
		size_t n = character(left, &c);

		if (!is_blank(c))
			buf_put(to, n ? left.p : "\xef\xbf\xbd", n ? n : 3);
		else if (to->n && to->p[to->n - 1] != ' ')
			buf_putc(to, ' ');
		left = str_sub(left, n ? n : 1, left.n);
	}
	buf_free(&plain);
	return raw.n <= RAW_MAX && !buf_bad(to);
}

static bool
is_key_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/*
 * What people paste by mistake: keys with the prefixes that vendors give them, and long words of
 * letters and digits, or very long ones of anything. An innocent identifier may go with them.
 */
static bool
looks_like_key(struct str s)
{
	static const char *const prefixes[] = { "sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_",
		"glpat-", "xoxb-", "xoxp-", "AKIA", "AIza", "hf_", "eyJ" };
	bool digit = false, letter = false;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (s.n >= n + 5 && strncasecmp(s.p, prefixes[i], n) == 0)
			return true;
	}
	for (size_t i = 0; i < s.n; i++) {
		digit |= s.p[i] >= '0' && s.p[i] <= '9';
		letter |= (s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z';
	}
	return s.n >= 64 || (s.n >= 20 && digit && letter);
}

/* Copies the text with "***" for keys. A run of key characters at a cut end may be the beginning of one. */
static void
redact(struct buf *to, struct str text, bool cut)
{
	for (size_t i = 0, run; i < text.n; i += run) {
		for (run = 0; i + run < text.n && is_key_character(text.p[i + run]); run++)
			;
		if (!run)
			buf_put(to, text.p + i, run = 1);
		else if (looks_like_key(str_sub(text, i, i + run)) || (cut && i + run == text.n))
			buf_puts(to, "***");
		else
			buf_put(to, text.p + i, run);
	}
}

/* The first words of clean text, at most PROMPT_CHARACTERS_MAX characters with the dots. `more`: the text went on. */
static void
put_words(char out[PROMPT_HINT_SIZE], struct str text, int words, bool more)
{
	size_t at = 0, before_dots = 0;
	int characters = 0;

	while (at < text.n && characters <= PROMPT_CHARACTERS_MAX) {
		unsigned c;
		size_t n = character(str_sub(text, at, text.n), &c);

		if (c == ' ' && --words == 0)
			break;
		if (characters++ == PROMPT_CHARACTERS_MAX - 3)
			before_dots = at;
		at += n;
	}
	more = more || at < text.n || characters > PROMPT_CHARACTERS_MAX;
	if (more && before_dots)
		at = before_dots;
	while (at && text.p[at - 1] == ' ')
		at--;
	memcpy(out, text.p, at);
	strcpy(out + at, more ? "..." : "");
}

static void
put_hints(struct prompt *p, const struct text *t)
{
	struct buf clean = BUF(CLEAN_MAX), safe = BUF(CLEAN_MAX * 2);
	struct str text, rest;
	bool whole = true;

	for (size_t i = 0; i < t->count && whole; i++) {
		if (i)
			buf_putc(&clean, ' ');
		whole = add_clean(&clean, t->parts[i]);
	}
	redact(&safe, buf_view(&clean), !whole);
	rest = text = str_trim(buf_view(&safe));
	put_words(p->hint, text, PROMPT_WORDS_MAX, !whole);
	put_words(p->head, str_cut(&rest, ' '), 1, !whole && !rest.n);
	buf_free(&clean);
	buf_free(&safe);
}

static void
put_model(struct prompt *p, struct str raw)
{
	struct buf clean = BUF(sizeof(p->model) - 1);

	add_clean(&clean, raw);
	memcpy(p->model, buf_view(&clean).p, clean.n);
	buf_free(&clean);
}

static void
put_session(struct prompt *p, struct str raw)
{
	struct buf plain = BUF(RAW_MAX * 2);

	json_unescape(&plain, str_sub(raw, 0, RAW_MAX));
	if (plain.n)
		digest_short(buf_view(&plain), p->session);
	buf_free(&plain);
}

void
prompt_read(struct prompt *p, struct str body, bool hints)
{
	struct scan s = { .p = body.p, .end = body.p + body.n, .depth_max = DEPTH_MAX };
	struct str key, model = { "", 0 }, cache_key = { "", 0 }, user_id = { "", 0 }, opening = { "", 0 };
	struct text last = { .count = 0 };
	bool first = true, stream = false;

	*p = (struct prompt){ .stream = false };
	if (!body.n || !take(&s, '{'))
		return;
	while (next_member(&s, &first, &key)) {
		if (str_is(key, "model"))
			model = scan_text(&s);
		else if (str_is(key, "stream"))
			stream = read_true(&s);
		else if (str_is(key, "prompt_cache_key"))
			cache_key = scan_text(&s);
		else if (str_is(key, "metadata"))
			user_id = read_user_id(&s);
		else if (hints && (str_is(key, "messages") || str_is(key, "input")))
			read_messages(&s, &last, &opening);
		else
			scan_skip(&s);
	}
	peek(&s);
	if (s.bad || s.p != s.end)
		return;
	p->stream = stream;
	put_model(p, model);
	put_session(p, cache_key.n ? cache_key : user_id);
	if (opening.n)
		digest_short(str_sub(opening, 0, OPENING_MAX), p->opening);
	if (last.count)
		put_hints(p, &last);
}

/* -1 unless the value is a whole number that a count can be. */
static int64_t
scan_count(struct scan *s)
{
	long long v;
	struct str word = { "", 0 };

	if (peek(s) == '"' || peek(s) == '{' || peek(s) == '[')
		scan_skip(s);
	else
		word = scan_scalar(s);
	return str_int(word, 0, INT64_C(1) << 53, &v) == 0 ? v : -1;
}

/* {"cached_tokens": N} of prompt_tokens_details or input_tokens_details. */
static int64_t
read_cached(struct scan *s)
{
	struct str key;
	int64_t cached = -1;
	bool first = true;

	if (!take(s, '{')) {
		scan_skip(s);
		return -1;
	}
	while (next_member(s, &first, &key)) {
		if (str_is(key, "cached_tokens"))
			cached = scan_count(s);
		else
			scan_skip(s);
	}
	return cached;
}

static void
say(int64_t *number, int64_t v)
{
	if (v >= 0)
		*number = v;
}

static void
read_usage(struct scan *s, struct prompt_usage *u)
{
	struct str key;
	bool first = true;

	while (next_member(s, &first, &key)) {
		if (str_is(key, "prompt_tokens") || str_is(key, "input_tokens"))
			say(&u->prompt_tokens, scan_count(s));
		else if (str_is(key, "completion_tokens") || str_is(key, "output_tokens"))
			say(&u->completion_tokens, scan_count(s));
		else if (str_is(key, "cached_tokens") || str_is(key, "cache_read_input_tokens"))
			say(&u->cached_tokens, scan_count(s));
		else if (str_is(key, "prompt_tokens_details") || str_is(key, "input_tokens_details"))
			say(&u->cached_tokens, read_cached(s));
		else
			scan_skip(s);
	}
}

/* Usage has one object in it, not a tree; and what cannot nest cannot make us read the same bytes often. */
#define USAGE_DEPTH_MAX 4

void
prompt_usage_read(struct prompt_usage *u, struct str tail)
{
	*u = (struct prompt_usage){ -1, -1, -1 };
	/* Streams tell the usage in pieces (message_start, message_delta) or again and again: the last word counts. */
	for (long at; (at = str_find(tail, STR("\"usage\""))) >= 0;) {
		/* Inside a string the quotes of such a text are escaped, and a key stands behind one of these. */
		bool is_key = at == 0 || memchr("{, \t\r\n", tail.p[at - 1], 6);
		struct prompt_usage found = *u;
		struct scan s;

		tail = str_sub(tail, (size_t)at + strlen("\"usage\""), tail.n);
		s = (struct scan){ .p = tail.p, .end = tail.p + tail.n, .depth_max = USAGE_DEPTH_MAX };
		if (!is_key || !take(&s, ':') || !take(&s, '{'))
			continue;
		read_usage(&s, &found);
		if (s.bad)
			continue;
		*u = found;
		tail = str_sub(tail, (size_t)(s.p - tail.p), tail.n);
	}
}
