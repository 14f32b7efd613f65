#include "base/clock.h"

#include "check.h"

#define NOW 1790000000	/* 2026-09-21T14:13:20Z */

int
main(void)
{
	static const struct {
		const char *text;
		time_t since;	/* 0: refused */
	} table[] = {
		{ "1s", NOW - 1 },
		{ "90s", NOW - 90 },
		{ "10m", NOW - 600 },
		{ "2h", NOW - 7200 },
		{ "3d", NOW - 259200 },
		{ "1w", NOW - 604800 },
		{ "3650d", NOW - 315360000 },
		{ "2026-09-21T14:13:20Z", NOW },
		{ "2026-09-21 17:13:20 +0300", NOW },
		{ "", 0 },
		{ "m", 0 },
		{ "10", 0 },
		{ "0m", 0 },
		{ "-10m", 0 },
		{ "10 m", 0 },
		{ "10M", 0 },
		{ "10min", 0 },
		{ "1.5h", 0 },
		{ "99999999999999999999d", 0 },
		{ "3651d", 0 },
		{ "yesterday", 0 },
		{ "2026-13-01T00:00:00Z", 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		time_t since = 0;
		int rc = clock_parse_since(str_from(table[i].text), NOW, &since);

		CHECK_NAMED(table[i].since ? rc == 0 && since == table[i].since : rc < 0, table[i].text);
	}
	return check_done();
}
