#include "base/toml_scalar.h"

#include "base/text.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
digit(char c, int base)
{
	int d = c >= '0' && c <= '9' ? c - '0' :
	    c >= 'a' && c <= 'f'     ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F'     ? c - 'A' + 10 :
				       16;

	return d < base ? d : -1;
}

static bool
take(struct str *s, const char *any)
{
	if (!s->n || !s->p[0] || !strchr(any, s->p[0]))
		return false;
	*s = str_sub(*s, 1, s->n);
	return true;
}

/* Exactly n digits off the front, with a value in [min, max]. */
static bool
take_number(struct str *s, size_t n, int min, int max, int *value)
{
	*value = 0;
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (digit(s->p[i], 10) < 0)
			return false;
		*value = *value * 10 + digit(s->p[i], 10);
	}
	*s = str_sub(*s, n, s->n);
	return *value >= min && *value <= max;
}

/* One or more digits off the front; single underscores may stand between them. */
static struct str
take_digits(struct str *s, int base)
{
	struct str all = *s;
	size_t i = 0;

	while (i < all.n && (digit(all.p[i], base) >= 0 ||
	    (all.p[i] == '_' && i > 0 && all.p[i - 1] != '_' && i + 1 < all.n && digit(all.p[i + 1], base) >= 0)))
		i++;
	*s = str_sub(all, i, all.n);
	return str_sub(all, 0, i);
}

static int
days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static bool
take_date(struct str *s)
{
	int year, month, day;

	return take_number(s, 4, 0, 9999, &year) && take(s, "-") && take_number(s, 2, 1, 12, &month) &&
	    take(s, "-") && take_number(s, 2, 1, days_in_month(year, month), &day);
}

static bool
take_time(struct str *s)
{
	int part;

	/* RFC 3339 has second 60 for leap seconds. */
	if (!take_number(s, 2, 0, 23, &part) || !take(s, ":") || !take_number(s, 2, 0, 59, &part) ||
	    !take(s, ":") || !take_number(s, 2, 0, 60, &part))
		return false;
	if (!take(s, "."))
		return true;
	if (!take_number(s, 1, 0, 9, &part))
		return false;
	while (take(s, "0123456789"))
		;
	return true;
}

static bool
take_offset(struct str *s)
{
	int part;

	return take(s, "Zz") || (take(s, "+-") && take_number(s, 2, 0, 23, &part) && take(s, ":") &&
	    take_number(s, 2, 0, 59, &part));
}

static enum toml_type
moment_type(struct str s)
{
	bool date = toml_scalar_is_date(s);

	if (date) {
		if (!take_date(&s))
			return TOML_NONE;
		if (s.n == 0)
			return TOML_LOCAL_DATE;
		if (!take(&s, "Tt "))
			return TOML_NONE;
	}
	if (!take_time(&s))
		return TOML_NONE;
	if (s.n == 0)
		return date ? TOML_LOCAL_DATETIME : TOML_LOCAL_TIME;
	return date && take_offset(&s) && s.n == 0 ? TOML_OFFSET_DATETIME : TOML_NONE;
}

static const char *
read_integer(struct str digits, int base, bool minus, struct toml_scalar *out)
{
	unsigned long long v = 0, max = minus ? (unsigned long long)LLONG_MAX + 1 : LLONG_MAX;

	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] == '_')
			continue;
		if (__builtin_mul_overflow(v, (unsigned long long)base, &v) ||
		    __builtin_add_overflow(v, (unsigned long long)digit(digits.p[i], base), &v) || v > max)
			return N_("the integer does not fit in 64 bits");
	}
	out->type = TOML_INTEGER;
	out->integer = minus && v ? -(long long)(v - 1) - 1 : (long long)v;
	return NULL;
}

static const char *
read_float(struct str word, struct buf *scratch, struct toml_scalar *out)
{
	buf_reset(scratch);
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] != '_')
			buf_putc(scratch, word.p[i]);
	out->type = TOML_FLOAT;
	out->number = strtod(scratch->p, NULL);
	return NULL;
}

static const char *
read_number(struct str word, struct buf *scratch, struct toml_scalar *out)
{
	static const char no[] = "not a value (a string needs quotes)";
	struct str s = word, whole;
	bool minus = str_starts(word, "-"), sign = take(&s, "+-");
	int base = str_starts(s, "0x") ? 16 : str_starts(s, "0o") ? 8 : str_starts(s, "0b") ? 2 : 10;

	if (str_is(s, "inf") || str_is(s, "nan")) {
		out->type = TOML_FLOAT;
		out->number = copysign(str_is(s, "inf") ? INFINITY : NAN, minus ? -1 : 1);
		return NULL;
	}
	if (base != 10) {
		s = str_sub(s, 2, s.n);
		whole = take_digits(&s, base);
		return sign || !whole.n || s.n ? no : read_integer(whole, base, false, out);
	}
	whole = take_digits(&s, 10);
	if (!whole.n)
		return no;
	if (whole.n > 1 && whole.p[0] == '0')
		return N_("a number must not start with a zero");
	if (s.n == 0)
		return read_integer(whole, 10, minus, out);
	if (take(&s, ".") && !take_digits(&s, 10).n)
		return no;
	if (take(&s, "eE")) {
		take(&s, "+-");
		if (!take_digits(&s, 10).n)
			return no;
	}
	return s.n ? no : read_float(word, scratch, out);
}

bool
toml_scalar_is_date(struct str word)
{
	int year;

	return take_number(&word, 4, 0, 9999, &year) && take(&word, "-");
}

const char *
toml_scalar_read(struct str word, struct buf *scratch, struct toml_scalar *out)
{
	struct str rest = word;
	int hour;

	*out = (struct toml_scalar){ 0 };
	if (str_is(word, "true") || str_is(word, "false")) {
		out->type = TOML_BOOL;
		out->truth = word.p[0] == 't';
		return NULL;
	}
	if (toml_scalar_is_date(word) || (take_number(&rest, 2, 0, 99, &hour) && take(&rest, ":"))) {
		out->type = moment_type(word);
		return out->type == TOML_NONE ? "no such date or time" : NULL;
	}
	return read_number(word, scratch, out);
}
