#include "base/nearest.h"

#include "check.h"

static const char *const known[] = { "PROXY_LISTEN", "PROXY_TOKEN", "DRY_RUN", "TIMEZONE", "LOCALE", "PLAIN", NULL };

int
main(void)
{
	char endless[500];

	CHECK_STR(nearest_word("PROXY_LISTN", known), "PROXY_LISTEN");
	CHECK_STR(nearest_word("proxy_litsen", known), "PROXY_LISTEN");
	CHECK_STR(nearest_word("DRYRUN", known), "DRY_RUN");
	CHECK_STR(nearest_word("DRY_RNU", known), "DRY_RUN");
	CHECK_STR(nearest_word("TIME_ZONE", known), "TIMEZONE");
	CHECK_STR(nearest_word("LISTEN", known), "PROXY_LISTEN");
	CHECK_STR(nearest_word("TOKEN", known), "PROXY_TOKEN");
	CHECK_STR(nearest_word("PLANE", known), "PLAIN");
	CHECK(nearest_word("WHOLLY_OTHER", known) == NULL);
	CHECK(nearest_word("", known) == NULL);
	CHECK(nearest_word("X", known) == NULL);
	CHECK(nearest_word("PRO", known) == NULL);
	memset(endless, 'A', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	CHECK(nearest_word(endless, known) == NULL);
	return check_done();
}
