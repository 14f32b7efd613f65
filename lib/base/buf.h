/*
 * buf: borrowed slices, and the one growing buffer.
 *
 * A `struct str` borrows bytes that somebody else owns; whoever keeps one
 * longer than its owner lives copies it. A `struct buf` owns its bytes and
 * has a maximum, set where it is declared. Its failure is sticky: append as
 * often as you like, then ask buf_bad() once, before the content is used.
 *
 *	struct buf b = BUF(4096);
 *	buf_puts(&b, "a");
 *	buf_printf(&b, "%d", 7);
 *	if (buf_bad(&b)) ...
 *	buf_free(&b);
 *
 * The content is always followed by a NUL that does not count, so b.p can be
 * handed to a C function when the bytes are known to hold none.
 */
#ifndef KMI_BASE_BUF_H
#define KMI_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
	const char *p;
	size_t n;
};

/* A slice over a string literal, and the printf arguments for "%.*s". */
#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_F(s) (int)(s).n, (s).p ? (s).p : ""

struct str str_from(const char *cstr);		/* NULL gives the empty slice */
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *cstr);
bool str_caseeq(struct str a, struct str b);	/* ASCII only */
bool str_caseis(struct str a, const char *cstr);
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
struct str str_trim(struct str a);		/* spaces, tabs, CR, LF at both ends */
struct str str_cut(struct str *rest, char sep);	/* takes up to sep off the front */
struct str str_sub(struct str a, size_t from, size_t to);
long str_find(struct str hay, struct str needle);	/* offset, or -1 */
long str_casefind(struct str hay, struct str needle);	/* the same, ASCII case folded */
char *str_dup(struct str a);			/* caller frees; NULL when out of memory */
/* The whole slice as a decimal number in [min, max]: 0, or -1 (empty, junk, overflow). */
int str_int(struct str a, long long min, long long max, long long *out);
/* Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_utf8(struct str a);
/* The line (from 1) of the first byte that is not UTF-8; 0 when there is none. */
int str_utf8_bad_line(struct str a);

struct buf {
	char *p;
	size_t n, cap, max;
	bool bad;
};

#define BUF(maximum) ((struct buf){ .max = (maximum) })

void buf_put(struct buf *b, const void *p, size_t n);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *s);
void buf_str(struct buf *b, struct str s);
void buf_put_utf8(struct buf *b, unsigned c);	/* one code point, U+0000 to U+10FFFF */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_fill(struct buf *b, char c, size_t n);
/* Room for n more bytes at b->p + b->n; NULL (and bad) when over the maximum. Then add to b->n. */
char *buf_room(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n);		/* takes n bytes off the front */
void buf_reset(struct buf *b);			/* empty and no longer bad; keeps the memory */
void buf_free(struct buf *b);
void buf_wipe(struct buf *b);			/* buf_free, for secrets: overwrites first */
bool buf_bad(const struct buf *b);		/* out of memory, or over the maximum */
struct str buf_view(const struct buf *b);

#endif
