#include "books/trace_filter.h"

#include "base/clock.h"

#include <string.h>

/* "10m" and the like: so long ago. */
static int
parse_span(struct str s, long long *seconds)
{
	static const struct {
		char letter;
		long long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

	for (size_t i = 0; s.n && i < sizeof(units) / sizeof(*units); i++)
		if (s.p[s.n - 1] == units[i].letter && str_int(str_sub(s, 0, s.n - 1), 0, 1000000, seconds) == 0) {
			*seconds *= units[i].seconds;
			return 0;
		}
	return -1;
}

/* A date, with or without a time of day, in the zone that is set. */
static int
parse_local(const char *text, time_t *t)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S",
		"%Y-%m-%dT%H:%M:%S" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		struct tm tm = { .tm_isdst = -1 }, back;
		const char *end = strptime(text, formats[i], &tm);
		struct tm given = tm;

		if (!end || *end)
			continue;
		*t = mktime(&tm);
		/* The 31st of February is no day. */
		if (*t == (time_t)-1 || !localtime_r(t, &back) || back.tm_mday != given.tm_mday)
			continue;
		return 0;
	}
	return -1;
}

int
trace_filter_since(const char *text, time_t now, time_t *since, struct fail *f)
{
	long long seconds;
	size_t n = strlen(text);

	if (parse_span(str_from(text), &seconds) == 0) {
		*since = now > seconds ? now - seconds : 0;
		return 0;
	}
	if (n >= 10 && n < 40 && (parse_local(text, since) == 0 || clock_parse(str_from(text), since) == 0))
		return 0;
	fail_set(f, FAIL_USAGE, "--since %.60s is no time", text);
	return fail_hint(f, "write 30s, 10m, 2h, 1d or 1w for so long ago, or 2026-01-31, \"2026-01-31 10:00\", "
	    "2026-01-31T10:00:00Z");
}

bool
trace_filter_is_status(const char *text)
{
	if (strcmp(text, "none") == 0 || strcmp(text, "error") == 0)
		return true;
	if (strlen(text) != 3 || text[0] < '1' || text[0] > '5')
		return false;
	return strcasecmp(text + 1, "xx") == 0 || (strspn(text, "0123456789") == 3);
}

static bool
has_status(const char *wanted, int64_t status)
{
	if (strcmp(wanted, "none") == 0)
		return status <= 0;
	if (strcmp(wanted, "error") == 0)
		return status <= 0 || status >= 400;
	if (strcasecmp(wanted + 1, "xx") == 0)
		return status / 100 == wanted[0] - '0';
	return status == (wanted[0] - '0') * 100 + (wanted[1] - '0') * 10 + (wanted[2] - '0');
}

static bool
has_key(const char *label, const struct trace_line *l)
{
	if (l->key_label && strcmp(l->key_label, label) == 0)
		return true;
	for (int i = 0; i < l->attempt_count; i++)
		if (l->attempts[i].label && strcmp(l->attempts[i].label, label) == 0)
			return true;
	return false;
}

bool
trace_filter_takes(const struct trace_filter *f, const struct trace_line *l)
{
	if (f->since && l->ended < f->since)
		return false;
	if (f->key && !has_key(f->key, l))
		return false;
	if (f->status && !has_status(f->status, l->status))
		return false;
	if (f->text && trace_filter_is_status(f->text))
		return has_status(f->text, l->status);
	return !f->text || str_casefind(str_from(l->key_label), str_from(f->text)) >= 0;
}
