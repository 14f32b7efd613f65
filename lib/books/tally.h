/*
 * tally: what many trace lines say together: who answered how often, how, how fast, and how fairly keys were
 * chosen.
 *
 *	struct tally t = { .sets = &sets };
 *	tally_add(&t, &line);
 *	tally_figures(&t, &figures);
 *	tally_free(&t);
 */
#ifndef KMI_BOOKS_TALLY_H
#define KMI_BOOKS_TALLY_H

#include "books/fairness.h"
#include "books/trace_sets.h"

enum { TALLY_NONE, TALLY_1XX, TALLY_2XX, TALLY_3XX, TALLY_4XX, TALLY_5XX, TALLY_CLASSES };

struct tally {
	struct trace_sets *sets;	/* borrowed */
	size_t total;
	size_t classes[TALLY_CLASSES];	/* by what the client got */
	size_t retried;			/* requests of more than one attempt */
	struct fairness choices;	/* of rotation: first attempts, and what each key was owed */
	struct fairness answers;	/* by the key that gave the answer */
	int64_t *latency;
	size_t latency_count, latency_room;
	bool partial;		/* set by the caller: not all requests, so nothing can be said of how keys were chosen */
	bool bad;
	char *among;			/* a set that the last lines named; its keys get what `waiting` requests owe them at once */
	char **labels;			/* they are ours */
	size_t label_count, waiting;
};

struct tally_figures {
	struct fairness_figures fair;
	int64_t p50, p90, p99, max;	/* ms; -1: none */
};

extern const char *const tally_class_names[TALLY_CLASSES];	/* "none", "1xx", ... */

void tally_add(struct tally *t, const struct trace_line *l);
/* -1: no memory. */
int tally_figures(struct tally *t, struct tally_figures *out);
void tally_free(struct tally *t);

#endif
