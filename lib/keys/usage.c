#include "keys/usage.h"

#include "base/clock.h"
#include "base/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN (-1.0)
#define NUMBER_MAX 64			/* longest text read as a number */
#define CONTRADICTION 1.0		/* a stated percent may be off by so much, rounded as it is */
#define BOOSTER_SHOWN 1			/* percent left of an account that only its booster pays for */
#define EPOCH_MS_MIN 100000000000.0	/* a number of this size is milliseconds */
#define SECONDS_MAX (400LL * 86400)

static const char *const limit_names[] = { "limit", "total", NULL };
static const char *const used_names[] = { "used", NULL };
static const char *const remaining_names[] = { "remaining", "remain", "left", NULL };
static const char *const percent_names[] = { "remaining_percent", "remainingPercent", "percent_left", NULL };
static const char *const reset_at_names[] = { "reset_at", "resetAt", "reset_time", "resetTime", NULL };
static const char *const reset_in_names[] = { "reset_in", "resetIn", "ttl", "window", NULL };

/* ---- reading values ---- */

/* A number, or a text that is one. */
static double
number(const struct json *j, int v)
{
	struct buf text = BUF(NUMBER_MAX);
	double d = UNKNOWN;
	char *end;

	if (json_double(j, v, &d) < 0 && json_str(j, v, &text) == 0 && !buf_bad(&text) && text.n) {
		d = strtod(text.p, &end);
		if (*end || !(isdigit((unsigned char)text.p[0]) || text.p[0] == '-' || text.p[0] == '.'))
			d = UNKNOWN;
	}
	buf_free(&text);
	return isfinite(d) ? d : UNKNOWN;
}

static double
number_of(const struct json *j, int object, const char *const *names)
{
	for (; *names; names++) {
		double d = number(j, json_get(j, object, *names));

		if (d != UNKNOWN)
			return d;
	}
	return UNKNOWN;
}

/* A moment: text, or seconds or milliseconds since 1970. */
static time_t
moment(const struct json *j, int v)
{
	struct buf text = BUF(NUMBER_MAX);
	time_t t = 0;
	double d = number(j, v);

	if (d > 0)
		t = (time_t)(d >= EPOCH_MS_MIN ? d / 1000 : d);
	else if (json_str(j, v, &text) == 0 && !buf_bad(&text) && clock_parse(buf_view(&text), &t) < 0)
		t = 0;
	buf_free(&text);
	return t;
}

static time_t
reset_of(const struct json *j, int object, time_t now)
{
	double in = number_of(j, object, reset_in_names);

	for (const char *const *name = reset_at_names; *name; name++) {
		time_t t = moment(j, json_get(j, object, *name));

		if (t > 0)
			return t;
	}
	return in > 0 && in < (double)SECONDS_MAX ? now + (time_t)ceil(in) : 0;
}

/* ---- figures ---- */

static double
clamp(double percent)
{
	return percent < 0 ? 0 : percent > 100 ? 100 : percent;
}

/* Percent left by the counts, unless they do not tell. */
static double
percent_by_counts(const struct usage_figures *g)
{
	if (g->limit <= 0)
		return UNKNOWN;
	if (g->remaining != UNKNOWN)
		return clamp(100 * g->remaining / g->limit);
	if (g->used >= 0)
		return clamp(100 - 100 * g->used / g->limit);
	return UNKNOWN;
}

static struct usage_figures
read_figures(const struct json *j, int object, time_t now)
{
	struct usage_figures g = {
		.limit = number_of(j, object, limit_names),
		.used = number_of(j, object, used_names),
		.remaining = number_of(j, object, remaining_names),
		.left = number_of(j, object, percent_names),
		.reset = reset_of(j, object, now),
	};
	double ratio = number(j, json_get(j, object, "used_ratio"));
	double by_use = g.limit > 0 && g.used >= 0 ? clamp(100 - 100 * g.used / g.limit) : UNKNOWN;

	if (g.left >= 0 && by_use >= 0 && fabs(g.left - by_use) > CONTRADICTION)
		g.left = by_use;
	if (g.left < 0)
		g.left = percent_by_counts(&g);
	if (g.left < 0 && ratio >= 0)
		g.left = clamp(100 - 100 * ratio);
	if (g.left > 100)
		g.left = 100;
	return g;
}

static bool
is_told(const struct usage_figures *g)
{
	return g->left >= 0 || g->limit >= 0 || g->remaining >= 0;
}

/* ---- windows ---- */

static struct usage_window *
add_window(struct usage *u, long long minutes, struct usage_figures figures)
{
	struct usage_window *w;

	if (u->window_count == USAGE_WINDOWS_MAX || figures.left < 0)
		return NULL;
	w = &u->windows[u->window_count++];
	*w = (struct usage_window){ .minutes = minutes, .figures = figures };
	return w;
}

/* "5h", "7d": in the largest unit that comes out even. */
static void
name_by_length(struct usage_window *w)
{
	if (w->minutes <= 0)
		snprintf(w->name, sizeof(w->name), "window");
	else if (w->minutes % 1440 == 0)
		snprintf(w->name, sizeof(w->name), "%lldd", w->minutes / 1440);
	else if (w->minutes % 60 == 0)
		snprintf(w->name, sizeof(w->name), "%lldh", w->minutes / 60);
	else
		snprintf(w->name, sizeof(w->name), "%lldmin", w->minutes);
}

/* {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"} */
static long long
window_minutes(const struct json *j, int window)
{
	static const struct {
		const char *unit;
		long long minutes;
	} units[] = { { "MINUTE", 1 }, { "HOUR", 60 }, { "DAY", 1440 }, { "WEEK", 7 * 1440 } };
	double n = number(j, json_get(j, window, "duration"));
	struct str unit = json_raw(j, json_get(j, window, "timeUnit"));

	for (size_t i = 0; n > 0 && n < 1e6 && unit.n && i < sizeof(units) / sizeof(*units); i++)
		if (memmem(unit.p, unit.n, units[i].unit, strlen(units[i].unit)))
			return (long long)(n * (double)units[i].minutes);
	return 0;
}

/* "limit_5h", "limit_7d", "limit_month_total": the name says how long it is. */
static long long
name_minutes(const char *name)
{
	char *unit;
	long long n = strtoll(name, &unit, 10);

	if (unit == name || n <= 0 || n > 1000)
		return strncmp(name, "month", 5) == 0 ? 30 * 1440 : strncmp(name, "week", 4) == 0 ? 7 * 1440 :
		    strncmp(name, "day", 3) == 0						  ? 1440 : 0;
	return strcmp(unit, "m") == 0 ? n : strcmp(unit, "h") == 0 ? 60 * n : strcmp(unit, "d") == 0 ? 1440 * n :
	    strcmp(unit, "w") == 0								     ? 7 * 1440 * n : 0;
}

static void
read_named_window(struct usage *u, const struct json *j, int v, time_t now)
{
	struct buf key = BUF(64);
	struct usage_window *w;
	const char *name;

	json_name(j, v, &key);
	name = buf_bad(&key) || !key.n ? "?" : strncmp(key.p, "limit_", 6) == 0 ? key.p + 6 : key.p;
	w = json_type(j, v) == JSON_OBJECT ? add_window(u, name_minutes(name), read_figures(j, v, now)) : NULL;
	if (w) {
		snprintf(w->name, sizeof(w->name), "%.*s", (int)sizeof(w->name) - 1, name);
		for (char *p = w->name; *p; p++)
			*p = *p == '_' ? ' ' : (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p;
	}
	buf_free(&key);
}

static void
read_windows(struct usage *u, const struct json *j, int object, time_t now)
{
	int limits = json_get(j, object, "limits"), named = json_get(j, object, "usages");

	for (int v = json_type(j, limits) == JSON_ARRAY ? json_first(j, limits) : -1; v >= 0; v = json_next(j, v)) {
		struct usage_window *w = add_window(u, window_minutes(j, json_get(j, v, "window")),
		    read_figures(j, json_get(j, v, "detail"), now));

		if (w)
			name_by_length(w);
	}
	for (int v = json_type(j, named) == JSON_OBJECT ? json_first(j, named) : -1; v >= 0; v = json_next(j, v))
		read_named_window(u, j, v, now);
}

static const struct usage_window *
longest_window(const struct usage *u)
{
	const struct usage_window *best = NULL;

	for (size_t i = 0; i < u->window_count; i++)
		if (!best || u->windows[i].minutes > best->minutes)
			best = &u->windows[i];
	return best;
}

/* ---- the rest ---- */

/* Money beside the quota, as far as this month's ceiling lets it be spent. */
static void
read_booster(struct usage *u, const struct json *j, int wallet)
{
	double left = number(j, json_get(j, json_get(j, wallet, "balance"), "amountLeft"));
	double ceiling = number(j, json_get(j, json_get(j, wallet, "monthlyChargeLimit"), "priceInCents"));
	double spent = number(j, json_get(j, json_get(j, wallet, "monthlyUsed"), "priceInCents"));
	bool limited = false;

	if (left < 0 || u->has_booster)
		return;
	(void)json_bool(j, json_get(j, wallet, "monthlyChargeLimitEnabled"), &limited);
	u->has_booster = true;
	u->booster = limited && ceiling >= 0 && spent >= ceiling ? 0 : left;
}

static void
read_balance(struct usage *u, const struct json *j, int object)
{
	int v = json_get(j, object, "available_balance");
	double balance = number(j, v);

	if (balance == UNKNOWN && json_type(j, v) != JSON_NUMBER)	/* a debt of 1 is a number too */
		return;
	u->has_balance = true;
	u->balance = balance;
}

/* The first text under a name that speaks of e-mail and looks like one. */
static void
find_email(struct usage *u, const struct json *j, int object, int depth)
{
	for (int v = json_first(j, object); v >= 0 && depth < 4 && !u->email[0]; v = json_next(j, v)) {
		struct buf name = BUF(64), text = BUF(sizeof(u->email) - 1);

		if (json_type(j, v) == JSON_OBJECT)
			find_email(u, j, v, depth + 1);
		else if (json_type(j, v) == JSON_STRING && json_name(j, v, &name) == 0 && !buf_bad(&name) && name.n &&
		    strcasestr(name.p, "email") && json_str(j, v, &text) == 0 && !buf_bad(&text) && text.n &&
		    strlen(text.p) == text.n && strchr(text.p, '@') && !strpbrk(text.p, " \t\r\n\x1b"))
			snprintf(u->email, sizeof(u->email), "%s", text.p);
		buf_free(&name);
		buf_free(&text);
	}
}

static void
read_place(struct usage *u, const struct json *j, int object, time_t now)
{
	int places[2] = { object, json_get(j, object, "usage") };

	for (size_t i = 0; i < 2; i++) {
		struct usage_figures g = { .left = UNKNOWN };

		if (json_type(j, places[i]) == JSON_OBJECT)
			g = read_figures(j, places[i], now);
		if (!is_told(&u->total) && json_type(j, places[i]) == JSON_OBJECT && is_told(&g))
			u->total = g;
	}
	read_windows(u, j, object, now);
	read_booster(u, j, json_get(j, object, "boosterWallet"));
	read_balance(u, j, object);
}

int
usage_parse(struct usage *u, struct str text, time_t now, struct fail *f)
{
	const struct usage_window *longest;
	struct json j;
	int data;

	*u = (struct usage){ .total = { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 0 } };
	if (text.n > USAGE_SIZE_MAX)
		return fail_set(f, FAIL_INPUT, "the answer is larger than any account of usage");
	if (json_parse(&j, text, f) < 0)
		return -1;
	data = json_get(&j, 0, "data");
	read_place(u, &j, 0, now);
	if (json_type(&j, data) == JSON_OBJECT)
		read_place(u, &j, data, now);
	if (json_type(&j, 0) == JSON_OBJECT)
		find_email(u, &j, 0, 0);
	json_free(&j);
	longest = longest_window(u);
	if (longest && u->total.left < 0)
		u->total = longest->figures;
	if (!is_told(&u->total) && !u->has_balance && !u->has_booster)
		return fail_set(f, FAIL_INPUT, "the answer tells nothing of a quota");
	return 0;
}

static bool
is_spent(const struct usage_figures *g, time_t now)
{
	return g->left == 0 && (g->reset == 0 || g->reset > now);
}

int
usage_left(const struct usage *u, time_t now, time_t *until)
{
	bool spent = is_spent(&u->total, now) || (u->has_balance && u->balance <= 0);
	double left = u->total.left;

	*until = u->total.reset;
	for (size_t i = 0; i < u->window_count; i++)
		if (is_spent(&u->windows[i].figures, now)) {
			if (!spent || u->windows[i].figures.reset > *until)
				*until = u->windows[i].figures.reset;
			spent = true;
		}
	if (spent)
		return u->booster > 0 ? BOOSTER_SHOWN : 0;
	if (left < 0)
		return u->has_balance ? 100 : -1;	/* money that is there has no percentage */
	return left > 0 && left < 1 ? 1 : (int)(left + 0.5);
}
