#include "books/fairness.h"

#include "check.h"

#include <math.h>

static char *const abc[] = { (char[]){ "a" }, (char[]){ "b" }, (char[]){ "c" } };

static void
chose(struct fairness *f, const char *label, int times)
{
	for (int i = 0; i < times; i++)
		fairness_chosen(f, label);
}

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-4;
}

/* Times a, b and c were chosen; of `all` requests among the three and `two` among a and b alone. */
static const struct situation {
	const char *name;
	int a, b, c, all, two;
	double confidence, chi_square;
	int freedom;
} situations[] = {
	{ "nothing", 0, 0, 0, 0, 0, -1, 0, 0 },
	{ "even", 10, 10, 10, 30, 0, 100, 0, 2 },
	{ "one never", 15, 15, 0, 30, 0, 100 - 100 * 10 / 30.0, 15, 2 },
	{ "one less, as it must be", 4, 3, 3, 10, 0, 100 - 100 * (2 / 3.0) / 10, 0.2, 2 },
	{ "c was locked for a while", 20, 20, 10, 30, 20, 100, 0, 2 },
	{ "c was locked for good", 20, 20, 0, 0, 40, 100, 0, 1 },
	{ "c was chosen though it could not be", 10, 10, 10, 0, 30, 100 - 100 * 10 / 30.0, 100 / 15.0 / 2 + 5 - 5 / 3.0, 1 },
};

int
main(void)
{
	int64_t values[] = { 50, 10, 40, 20, 30, 60, 70, 80, 90, 100 };

	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		const struct situation *s = &situations[i];
		struct fairness f = { 0 };
		struct fairness_figures out;

		fairness_among(&f, abc, 3, (size_t)s->all);
		fairness_among(&f, abc, 2, (size_t)s->two);
		chose(&f, "a", s->a);
		chose(&f, "b", s->b);
		chose(&f, "c", s->c);
		CHECK_INT(fairness_figures(&f, &out), 0);
		CHECK_NAMED(near(out.confidence, s->confidence), s->name);
		CHECK_INT(out.freedom, s->freedom);
		if (i < 6)
			CHECK_NAMED(near(out.chi_square, s->chi_square), s->name);
		fairness_free(&f);
	}
	/* From printed tables of the chi-square distribution. */
	CHECK(near(fairness_chi_square_p(3.8414588, 1), 0.05));
	CHECK(near(fairness_chi_square_p(5.9914645, 2), 0.05));
	CHECK(near(fairness_chi_square_p(2.7058, 1), 0.1));
	CHECK(near(fairness_chi_square_p(18.307038, 10), 0.05));
	CHECK(near(fairness_chi_square_p(3.940299, 10), 0.95));
	CHECK(near(fairness_chi_square_p(1073.6427, 999), 0.05));
	CHECK(near(fairness_chi_square_p(0, 5), 1));
	CHECK(fairness_chi_square_p(1e6, 5) < 1e-9);
	CHECK(fairness_chi_square_p(1, 0) == 1);

	CHECK_INT(fairness_percentile(values, 10, 50), 50);
	CHECK_INT(fairness_percentile(values, 10, 90), 90);
	CHECK_INT(fairness_percentile(values, 10, 99), 100);
	CHECK_INT(fairness_percentile(values, 10, 0), 10);
	CHECK_INT(fairness_percentile(values, 1, 50), 10);
	CHECK_INT(fairness_percentile(values, 0, 50), -1);
	return check_done();
}
