#include "keys/state_layout.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define TIME_WIDTH (CLOCK_ISO_SIZE + 1)		/* the quotes, and no NUL */
#define BOOL_WIDTH 5

static const struct layout_field head_fields[HEAD_FIELDS] = {
	[HEAD_SCHEMA] = { "schema_version", LAYOUT_NUMBER, 1 },
	[HEAD_EPOCH] = { "epoch", LAYOUT_NUMBER, 15 },
	[HEAD_INODE] = { "file_inode", LAYOUT_NUMBER, 18 },
	[HEAD_SIZE] = { "file_size", LAYOUT_NUMBER, 9 },
	[HEAD_ACTIVE] = { "active_index", LAYOUT_NUMBER, 9 },
	[HEAD_ROTATION] = { "rotation_index", LAYOUT_NUMBER, 15 },
	[HEAD_AUTO] = { "auto_rotate", LAYOUT_BOOL, BOOL_WIDTH },
	[HEAD_REFRESH] = { "last_health_refresh", LAYOUT_TIME, TIME_WIDTH },
};

static const struct layout_field key_fields[KEY_FIELDS] = {
	[KEY_USED] = { "last_used", LAYOUT_TIME, TIME_WIDTH },
	[KEY_REQUESTS] = { "request_count", LAYOUT_NUMBER, 12 },
	[KEY_401] = { "error_401", LAYOUT_NUMBER, 9 },
	[KEY_403] = { "error_403", LAYOUT_NUMBER, 9 },
	[KEY_429] = { "error_429", LAYOUT_NUMBER, 9 },
	[KEY_5XX] = { "error_5xx", LAYOUT_NUMBER, 9 },
	[KEY_SUCCESS] = { "last_success", LAYOUT_TIME, TIME_WIDTH },
	[KEY_ERROR] = { "last_error", LAYOUT_TIME, TIME_WIDTH },
	[KEY_FAULTS] = { "faults", LAYOUT_NUMBER, 1 },
};

const struct layout layout_head = { head_fields, HEAD_FIELDS };
const struct layout layout_key = { key_fields, KEY_FIELDS };

/* `"name": ` and, but for the last, `, `: what stands around a value. */
#define AROUND 4

size_t
layout_length(const struct layout *l)
{
	size_t n = 0;

	for (int i = 0; i < l->count; i++)
		n += strlen(l->fields[i].name) + AROUND + (size_t)l->fields[i].width + 2;
	return n - 2;
}

static long long
largest(int width)
{
	long long v = 1;

	while (width--)
		v *= 10;
	return v - 1;
}

static void
put_value(const struct layout_field *f, long long v, char *at)
{
	char text[CLOCK_ISO_SIZE + 3];
	int n = 0;

	switch (f->kind) {
	case LAYOUT_NUMBER:
		v = v < 0 ? 0 : v > largest(f->width) ? largest(f->width) : v;
		n = snprintf(text, sizeof(text), "%lld", v);
		break;
	case LAYOUT_TIME:
		if (v <= 0) {
			n = snprintf(text, sizeof(text), "null");
			break;
		}
		text[0] = '"';
		clock_iso((time_t)v, text + 1);
		n = (int)strlen(text);
		text[n++] = '"';
		break;
	case LAYOUT_BOOL:
		n = snprintf(text, sizeof(text), v ? "true" : "false");
		break;
	}
	memset(at, ' ', (size_t)f->width);
	memcpy(at, text, (size_t)n);
}

static int
get_value(const struct layout_field *f, struct str s, long long *v)
{
	size_t n = s.n;
	time_t t;

	while (n && s.p[n - 1] == ' ')
		n--;
	s.n = n;
	switch (f->kind) {
	case LAYOUT_NUMBER:
		if (!n || s.p[0] < '0' || s.p[0] > '9' || (s.p[0] == '0' && n > 1))
			return -1;
		return str_int(s, 0, INT64_MAX, v);
	case LAYOUT_TIME:
		*v = 0;
		if (str_is(s, "null"))
			return 0;
		if (n != TIME_WIDTH || s.p[0] != '"' || s.p[n - 2] != 'Z' || s.p[n - 1] != '"' ||
		    clock_parse(str_sub(s, 1, n - 1), &t) < 0)
			return -1;
		*v = t;
		return 0;
	case LAYOUT_BOOL:
		*v = str_is(s, "true");
		return *v || str_is(s, "false") ? 0 : -1;
	}
	return -1;
}

void
layout_write(const struct layout *l, const long long *values, char *row)
{
	for (int i = 0; i < l->count; i++) {
		const struct layout_field *f = &l->fields[i];
		size_t n = strlen(f->name);

		*row++ = '"';
		memcpy(row, f->name, n);
		memcpy(row + n, "\": ", 3);
		row += n + 3;
		put_value(f, values[i], row);
		row += f->width;
		if (i + 1 < l->count) {
			memcpy(row, ", ", 2);
			row += 2;
		}
	}
}

int
layout_read(const struct layout *l, struct str row, long long *values)
{
	const char *p = row.p;

	if (row.n < layout_length(l))
		return -1;
	for (int i = 0; i < l->count; i++) {
		const struct layout_field *f = &l->fields[i];
		size_t n = strlen(f->name);

		if (p[0] != '"' || memcmp(p + 1, f->name, n) != 0 || memcmp(p + 1 + n, "\": ", 3) != 0)
			return -1;
		p += n + AROUND;
		if (get_value(f, (struct str){ p, (size_t)f->width }, &values[i]) < 0)
			return -1;
		p += f->width;
		if (i + 1 < l->count) {
			if (memcmp(p, ", ", 2) != 0)
				return -1;
			p += 2;
		}
	}
	return 0;
}

/*
 * Digits of two numbers may mix when both fill the same places, or one has one more: "9 " and "10" make "90" at
 * worst. With 0 in play they could make "00", and two places apart "5 00".
 */
static bool
may_mix(const struct layout_field *f, const char *old, const char *new)
{
	size_t a, b;

	if (memcmp(old, new, (size_t)f->width) == 0)
		return true;
	switch (f->kind) {
	case LAYOUT_NUMBER:
		a = strspn(old, "0123456789");
		b = strspn(new, "0123456789");
		return a == b || ((a + 1 == b || b + 1 == a) && *old != '0' && *new != '0');
	case LAYOUT_TIME:
		return *old == '"' && *new == '"';
	case LAYOUT_BOOL:
		break;
	}
	return false;
}

bool
layout_change(const struct layout *l, const long long *was, const long long *now, char *row)
{
	bool safe = true;

	for (int i = 0; i < l->count; i++) {
		const struct layout_field *f = &l->fields[i];
		char old[TIME_WIDTH + 1] = "", new[TIME_WIDTH + 1] = "";

		row += strlen(f->name) + AROUND;
		if (was[i] != now[i]) {
			memcpy(old, row, (size_t)f->width);
			put_value(f, now[i], new);
			memcpy(row, new, (size_t)f->width);
			safe = safe && may_mix(f, old, new);
		}
		row += f->width + 2;
	}
	return safe;
}

void
layout_from_head(const struct state_head *h, long long values[HEAD_FIELDS])
{
	values[HEAD_SCHEMA] = STATE_SCHEMA;
	values[HEAD_EPOCH] = (long long)h->epoch;
	values[HEAD_ACTIVE] = h->active_index;
	values[HEAD_ROTATION] = h->rotation_index;
	values[HEAD_AUTO] = h->auto_rotate;
	values[HEAD_REFRESH] = h->last_health_refresh;
}

void
layout_to_head(const long long values[HEAD_FIELDS], struct state_head *h)
{
	h->epoch = (uint64_t)values[HEAD_EPOCH];
	h->active_index = values[HEAD_ACTIVE];
	h->rotation_index = values[HEAD_ROTATION];
	h->auto_rotate = values[HEAD_AUTO] != 0;
	h->last_health_refresh = (time_t)values[HEAD_REFRESH];
}

void
layout_from_counts(const struct state_counts *c, long long values[KEY_FIELDS])
{
	values[KEY_USED] = c->last_used;
	values[KEY_REQUESTS] = c->request_count;
	values[KEY_401] = c->error_401;
	values[KEY_403] = c->error_403;
	values[KEY_429] = c->error_429;
	values[KEY_5XX] = c->error_5xx;
	values[KEY_SUCCESS] = c->last_success;
	values[KEY_ERROR] = c->last_error;
	values[KEY_FAULTS] = c->faults;
}

void
layout_to_counts(const long long values[KEY_FIELDS], struct state_counts *c)
{
	c->last_used = (time_t)values[KEY_USED];
	c->request_count = values[KEY_REQUESTS];
	c->error_401 = values[KEY_401];
	c->error_403 = values[KEY_403];
	c->error_429 = values[KEY_429];
	c->error_5xx = values[KEY_5XX];
	c->last_success = (time_t)values[KEY_SUCCESS];
	c->last_error = (time_t)values[KEY_ERROR];
	c->faults = (int)values[KEY_FAULTS];
}
