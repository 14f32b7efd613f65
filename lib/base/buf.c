#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET_MAX (128u << 10)

struct str
str_from(const char *cstr)
{
	return (struct str){ cstr ? cstr : "", cstr ? strlen(cstr) : 0 };
}

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_is(struct str a, const char *cstr)
{
	return str_eq(a, str_from(cstr));
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool
str_caseeq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool
str_caseis(struct str a, const char *cstr)
{
	return str_caseeq(a, str_from(cstr));
}

bool
str_starts(struct str a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool
str_ends(struct str a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && (n == 0 || memcmp(a.p + a.n - n, suffix, n) == 0);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str
str_trim(struct str a)
{
	while (a.n && is_space(a.p[0])) {
		a.p++;
		a.n--;
	}
	while (a.n && is_space(a.p[a.n - 1]))
		a.n--;
	return a;
}

struct str
str_cut(struct str *rest, char sep)
{
	const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
	struct str head = *rest;

	if (!at) {
		*rest = (struct str){ rest->p ? rest->p + rest->n : NULL, 0 };
		return head;
	}
	head.n = (size_t)(at - rest->p);
	rest->p = at + 1;
	rest->n -= head.n + 1;
	return head;
}

struct str
str_sub(struct str a, size_t from, size_t to)
{
	if (to > a.n)
		to = a.n;
	if (from > to)
		from = to;
	return (struct str){ a.p ? a.p + from : NULL, to - from };
}

long
str_find(struct str hay, struct str needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	if (hay.n < needle.n)
		return -1;
	at = memmem(hay.p, hay.n, needle.p, needle.n);
	return at ? (long)(at - hay.p) : -1;
}

long
str_casefind(struct str hay, struct str needle)
{
	for (size_t i = 0; i + needle.n <= hay.n; i++)
		if (str_caseeq(str_sub(hay, i, i + needle.n), needle))
			return (long)i;
	return -1;
}

char *
str_dup(struct str a)
{
	char *p = malloc(a.n + 1);

	if (!p)
		return NULL;
	if (a.n)
		memcpy(p, a.p, a.n);
	p[a.n] = '\0';
	return p;
}

int
str_int(struct str a, long long min, long long max, long long *out)
{
	bool minus = a.n && a.p[0] == '-';
	unsigned long long v = 0;
	size_t i = minus || (a.n && a.p[0] == '+');

	if (i == a.n)
		return -1;
	for (; i < a.n; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return -1;
		if (__builtin_mul_overflow(v, 10ULL, &v) ||
		    __builtin_add_overflow(v, (unsigned long long)(a.p[i] - '0'), &v))
			return -1;
	}
	if (v > INT64_MAX)
		return -1;
	*out = minus ? -(long long)v : (long long)v;
	return *out < min || *out > max ? -1 : 0;
}

bool
str_utf8(struct str a)
{
	const unsigned char *p = (const unsigned char *)a.p, *end = p + a.n;

	while (p < end) {
		unsigned char c = *p++;
		unsigned char lo = 0x80, hi = 0xbf;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1;
		} else if (c >= 0xe0 && c <= 0xef) {
			more = 2;
			if (c == 0xe0)
				lo = 0xa0;
			if (c == 0xed)
				hi = 0x9f;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3;
			if (c == 0xf0)
				lo = 0x90;
			if (c == 0xf4)
				hi = 0x8f;
		} else {
			return false;
		}
		for (; more; more--, lo = 0x80, hi = 0xbf)
			if (p == end || *p < lo || *p++ > hi)
				return false;
	}
	return true;
}

int
str_utf8_bad_line(struct str a)
{
	for (int line = 1; a.n; line++)
		if (!str_utf8(str_cut(&a, '\n')))
			return line;
	return 0;
}

/* A copy left behind by a move could be one of a key. What is larger than any of those moves by its pages, and leaves none. */
static char *
grow(struct buf *b, size_t cap)
{
	char *p;

	if (b->cap > SECRET_MAX)
		return realloc(b->p, cap);
	p = malloc(cap);
	if (p && b->p) {
		memcpy(p, b->p, b->cap);
		explicit_bzero(b->p, b->cap);
		free(b->p);
	}
	return p;
}

char *
buf_room(struct buf *b, size_t n)
{
	size_t want, cap;
	char *p;

	if (b->bad)
		return NULL;
	if (n > b->max || b->n > b->max - n) {
		b->bad = true;
		return NULL;
	}
	want = b->n + n;
	if (want < b->cap)		/* one byte is kept for the NUL */
		return b->p + b->n;
	cap = b->cap ? b->cap : 256;
	while (cap <= want)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	p = grow(b, cap);
	if (!p) {
		b->bad = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return b->p + b->n;
}

void
buf_put(struct buf *b, const void *p, size_t n)
{
	char *room = buf_room(b, n);

	if (!room)
		return;
	if (n)
		memcpy(room, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void
buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_str(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.n);
}

void
buf_put_utf8(struct buf *b, unsigned c)
{
	if (c < 0x80) {
		buf_putc(b, (char)c);
	} else if (c < 0x800) {
		buf_putc(b, (char)(0xc0 | c >> 6));
		buf_putc(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_putc(b, (char)(0xe0 | c >> 12));
		buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(b, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_putc(b, (char)(0xf0 | c >> 18));
		buf_putc(b, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(b, (char)(0x80 | (c & 0x3f)));
	}
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room_left;
	va_list again;
	char *room;
	int n;

	/* Most texts fit into what is there: then once is enough. */
	room = buf_room(b, 0);
	if (!room)
		return;
	room_left = b->cap - b->n;
	va_copy(again, ap);
	n = vsnprintf(room, room_left, fmt, again);
	va_end(again);
	if (n >= 0 && (size_t)n >= room_left) {
		*room = '\0';
		room = buf_room(b, (size_t)n);
		if (!room)
			return;
		vsnprintf(room, (size_t)n + 1, fmt, ap);
	}
	if (n < 0)
		b->bad = true;
	else
		b->n += (size_t)n;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_fill(struct buf *b, char c, size_t n)
{
	char *room = buf_room(b, n);

	if (!room)
		return;
	memset(room, c, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n > b->n)
		n = b->n;
	if (!n)
		return;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->bad = false;
	if (b->p)
		b->p[0] = '\0';
}

void
buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	b->bad = false;
}

void
buf_wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_free(b);
}

bool
buf_bad(const struct buf *b)
{
	return b->bad;
}

struct str
buf_view(const struct buf *b)
{
	return (struct str){ b->p ? b->p : "", b->n };
}
