/*
 * fairness: whether the keys were used as evenly as they could be.
 *
 * A request can be fair only to the keys that it could have gone to: each of the n that were eligible is owed 1/n
 * of it. So a key that was locked for an hour is owed nothing for that hour.
 *
 *	struct fairness f = { 0 };
 *	fairness_among(&f, labels, n, 20);		20 requests were chosen among these
 *	fairness_chosen(&f, "alpha");			once for each
 *	fairness_figures(&f, &out);
 *	fairness_free(&f);
 *
 * Memory that runs out is told by fairness_figures().
 */
#ifndef KMI_BOOKS_FAIRNESS_H
#define KMI_BOOKS_FAIRNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fairness_key {
	char *label;
	size_t chosen;
	double owed;
};

struct fairness {
	struct fairness_key *keys;	/* by label */
	size_t count, room;
	bool bad;
};

struct fairness_figures {
	size_t requests;
	double confidence;	/* 100 - the largest deviation of a key's share from its fair share, in % of all requests; -1: no requests */
	double chi_square;
	int freedom;
	double p;		/* how often chance alone would be as uneven, or more */
};

void fairness_among(struct fairness *f, char *const *labels, size_t count, size_t requests);
void fairness_chosen(struct fairness *f, const char *label);
int fairness_figures(const struct fairness *f, struct fairness_figures *out);
void fairness_free(struct fairness *f);

/* The upper tail of the chi-square distribution. */
double fairness_chi_square_p(double chi_square, int freedom);

/* The value that `percent` of the values do not exceed (nearest rank); -1 of none. Sorts them. */
int64_t fairness_percentile(int64_t *values, size_t count, int percent);

#endif
