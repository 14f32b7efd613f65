/*
 * check: TAP for unit tests in a few lines.
 *
 *	CHECK(a == b);                 one test, named by its own text
 *	CHECK_STR(got, "wanted");      compares C strings and shows both
 *	CHECK_INT(got, wanted);
 *	int main(void) { ...; return check_done(); }
 */
#ifndef KMI_TESTS_CHECK_H
#define KMI_TESTS_CHECK_H

#include <stdio.h>
#include <string.h>

static int check_count, check_failed;

static inline int
check_that(int ok, const char *what, const char *file, int line)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++check_count, what);
	if (!ok) {
		check_failed++;
		printf("# at %s:%d\n", file, line);
	}
	return ok;
}

#define CHECK(cond) check_that(!!(cond), #cond, __FILE__, __LINE__)
#define CHECK_NAMED(cond, name) check_that(!!(cond), name, __FILE__, __LINE__)
#define CHECK_STR(got, want)                                                        \
	do {                                                                        \
		const char *g_ = (got), *w_ = (want);                               \
		if (!check_that(g_ && !strcmp(g_, w_), #got, __FILE__, __LINE__))   \
			printf("# got:  %s\n# want: %s\n", g_ ? g_ : "(null)", w_); \
	} while (0)
#define CHECK_INT(got, want)                                                        \
	do {                                                                        \
		long long g_ = (long long)(got), w_ = (long long)(want);            \
		if (!check_that(g_ == w_, #got, __FILE__, __LINE__))                \
			printf("# got:  %lld\n# want: %lld\n", g_, w_);             \
	} while (0)

static inline int
check_done(void)
{
	printf("1..%d\n", check_count);
	return check_failed != 0;
}

#endif
