#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

time_t
clock_wall(void)
{
	struct timespec ts;

	/* time() may lag clock_gettime() by a tick; two clocks in one program disagree at the edges. */
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

int64_t
clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

void
clock_iso(time_t t, char out[CLOCK_ISO_SIZE])
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
		t = 253402300799;	/* 9999-12-31T23:59:59Z */
		gmtime_r(&t, &tm);
	}
	strftime(out, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

int64_t
clock_days(int year, int month, int day)
{
	/* March is the first month of this reckoning, so the leap day is the last day of a year. */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static int
digits(struct str *s, int n, int *out)
{
	*out = 0;
	if (s->n < (size_t)n)
		return -1;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return -1;
		*out = *out * 10 + (s->p[i] - '0');
	}
	*s = str_sub(*s, (size_t)n, s->n);
	return 0;
}

static int
one_of(struct str *s, const char *set)
{
	char c;

	if (!s->n || !strchr(set, s->p[0]) || !s->p[0])
		return -1;
	c = s->p[0];
	*s = str_sub(*s, 1, s->n);
	return (unsigned char)c;
}

static int
month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static int
compose(int y, int mo, int d, int h, int mi, int s, time_t *out)
{
	if (mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 || s > 60)
		return -1;
	*out = clock_days(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
	return 0;
}

int
clock_parse(struct str s, time_t *out)
{
	int y, mo, d, h, mi, sec, sign, oh = 0, om = 0;

	if (digits(&s, 4, &y) < 0 || one_of(&s, "-") < 0 || digits(&s, 2, &mo) < 0 ||
	    one_of(&s, "-") < 0 || digits(&s, 2, &d) < 0 || one_of(&s, "Tt ") < 0 ||
	    digits(&s, 2, &h) < 0 || one_of(&s, ":") < 0 || digits(&s, 2, &mi) < 0 ||
	    one_of(&s, ":") < 0 || digits(&s, 2, &sec) < 0)
		return -1;
	if (one_of(&s, ".") > 0) {
		if (one_of(&s, "0123456789") < 0)
			return -1;
		while (one_of(&s, "0123456789") > 0)
			;
	}
	if (s.n > 1)
		one_of(&s, " ");	/* clock_local() puts a space before the offset */
	sign = one_of(&s, "Zz+-");
	if (sign < 0 && s.n)
		return -1;
	if (sign == '+' || sign == '-') {
		if (digits(&s, 2, &oh) < 0)
			return -1;
		one_of(&s, ":");
		if (digits(&s, 2, &om) < 0 || oh > 23 || om > 59)
			return -1;
	}
	if (s.n || compose(y, mo, d, h, mi, sec, out) < 0)
		return -1;
	*out -= (sign == '-' ? -1 : 1) * (oh * 3600 + om * 60);
	return 0;
}

int
clock_parse_http(struct str s, time_t *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int y, mo, d, h, mi, sec;
	long at;

	if (s.n != 29 || s.p[3] != ',' || !str_ends(s, " GMT"))
		return -1;
	at = str_find(str_from(months), str_sub(s, 8, 11));
	mo = at >= 0 && at % 3 == 0 ? (int)at / 3 + 1 : 0;
	s = str_sub(s, 5, s.n);
	if (digits(&s, 2, &d) < 0)
		return -1;
	s = str_sub(s, 5, s.n);
	if (digits(&s, 4, &y) < 0 || one_of(&s, " ") < 0 || digits(&s, 2, &h) < 0 ||
	    one_of(&s, ":") < 0 || digits(&s, 2, &mi) < 0 || one_of(&s, ":") < 0 ||
	    digits(&s, 2, &sec) < 0)
		return -1;
	return compose(y, mo, d, h, mi, sec, out);
}

/* The folder of zones holds folders and tables, too. */
static bool
is_zone_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char magic[4];
	bool is;

	if (fd < 0)
		return false;
	is = read(fd, magic, sizeof(magic)) == sizeof(magic) && memcmp(magic, "TZif", sizeof(magic)) == 0;
	close(fd);
	return is;
}

int
clock_set_zone(const char *zone)
{
	struct str z = str_from(zone);
	char tz[64], path[320];
	int h, m, sign;

	if (!z.n || str_is(z, "local")) {
		tzset();
		return 0;
	}
	if (str_caseis(z, "UTC") || str_is(z, "Z")) {
		setenv("TZ", "UTC0", 1);
		tzset();
		return 0;
	}
	sign = one_of(&z, "+-");
	if (sign > 0) {
		if (digits(&z, 2, &h) < 0)
			return -1;
		one_of(&z, ":");
		if (digits(&z, 2, &m) < 0 || z.n || h > 14 || m > 59)
			return -1;
		/* POSIX counts west of Greenwich as positive, so the sign turns. */
		snprintf(tz, sizeof(tz), "<%c%02d%02d>%c%02d:%02d", sign, h, m, sign == '+' ? '-' : '+', h, m);
		setenv("TZ", tz, 1);
		tzset();
		return 0;
	}
	/* An unknown name would silently mean UTC to the C library: look before. */
	if (z.n > 200 || zone[0] == '/' || strstr(zone, ".."))
		return -1;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
	if (!is_zone_file(path))
		return -1;
	setenv("TZ", zone, 1);
	tzset();
	return 0;
}

void
clock_local(time_t t, char out[CLOCK_LOCAL_SIZE])
{
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, CLOCK_LOCAL_SIZE, "%Y-%m-%d %H:%M:%S %z", &tm))
		out[0] = '\0';
}
