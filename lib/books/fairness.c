#include "books/fairness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 10000	/* both ways to the gamma function end long before */

/* The key's place, or where it would stand. */
static size_t
place_of(const struct fairness *f, const char *label)
{
	size_t low = 0, high = f->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(f->keys[middle].label, label) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct fairness_key *
key_of(struct fairness *f, const char *label)
{
	size_t at = place_of(f, label);
	char *copy;

	if (at < f->count && strcmp(f->keys[at].label, label) == 0)
		return &f->keys[at];
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 16;
		struct fairness_key *keys = realloc(f->keys, room * sizeof(*keys));

		if (!keys)
			goto bad;
		f->keys = keys;
		f->room = room;
	}
	if (!(copy = strdup(label)))
		goto bad;
	memmove(f->keys + at + 1, f->keys + at, (f->count - at) * sizeof(*f->keys));
	f->keys[at] = (struct fairness_key){ .label = copy };
	f->count++;
	return &f->keys[at];
bad:
	f->bad = true;
	return NULL;
}

void
fairness_among(struct fairness *f, char *const *labels, size_t count, size_t requests)
{
	for (size_t i = 0; i < count && requests; i++) {
		struct fairness_key *k = key_of(f, labels[i]);

		if (k)
			k->owed += (double)requests / (double)count;
	}
}

void
fairness_chosen(struct fairness *f, const char *label)
{
	struct fairness_key *k = key_of(f, label);

	if (k)
		k->chosen++;
}

int
fairness_figures(const struct fairness *f, struct fairness_figures *out)
{
	double worst = 0;

	*out = (struct fairness_figures){ .confidence = -1, .p = 1 };
	if (f->bad)
		return -1;
	for (size_t i = 0; i < f->count; i++) {
		const struct fairness_key *k = &f->keys[i];
		double off = fabs((double)k->chosen - k->owed);

		out->requests += k->chosen;
		if (off > worst)
			worst = off;
		if (k->owed > 0) {
			out->chi_square += off * off / k->owed;
			out->freedom++;
		}
	}
	if (out->freedom > 0)
		out->freedom--;
	if (out->requests)
		out->confidence = 100 - 100 * worst / (double)out->requests;
	out->p = fairness_chi_square_p(out->chi_square, out->freedom);
	return 0;
}

void
fairness_free(struct fairness *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->keys[i].label);
	free(f->keys);
	*f = (struct fairness){ 0 };
}

/* The lower regularised gamma function by its series; converges fast for x < a + 1. */
static double
gamma_series(double a, double x)
{
	double term = 1 / a, sum = term;

	for (int n = 1; n < ROUNDS_MAX && term > sum * 1e-15; n++) {
		term *= x / (a + n);
		sum += term;
	}
	return sum * exp(-x + a * log(x) - lgamma(a));
}

/* The upper one by its continued fraction (Lentz's way), for the other x. */
static double
gamma_fraction(double a, double x)
{
	double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;

	for (int n = 1; n < ROUNDS_MAX; n++) {
		double an = -n * (n - a), step;

		b += 2;
		d = 1 / (an * d + b);
		c = b + an / c;
		step = c * d;
		h *= step;
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return h * exp(-x + a * log(x) - lgamma(a));
}

double
fairness_chi_square_p(double chi_square, int freedom)
{
	double a = freedom / 2.0, x = chi_square / 2;

	if (freedom < 1 || x <= 0)
		return 1;
	return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t
fairness_percentile(int64_t *values, size_t count, int percent)
{
	size_t rank = (count * (size_t)percent + 99) / 100;

	if (count == 0)
		return -1;
	qsort(values, count, sizeof(*values), by_value);
	return values[rank ? rank - 1 : 0];
}
