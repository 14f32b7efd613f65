/*
 * trace_filter: which lines of the trace are wanted.
 */
#ifndef KMI_BOOKS_TRACE_FILTER_H
#define KMI_BOOKS_TRACE_FILTER_H

#include "books/trace_read.h"

struct trace_filter {
	time_t since;		/* 0: from the beginning */
	const char *key;	/* the label of the key that answered, or was tried; NULL: any */
	const char *status;	/* NULL: any */
	const char *text;	/* a piece of the key's label, or a status: what a person types; NULL: any */
};

/* "10m", "2h", "1d", "2026-01-31", "2026-01-31 10:00", "2026-01-31T10:00:00Z": -1 and which forms there are. */
int trace_filter_since(const char *text, time_t now, time_t *since, struct fail *f);
/* "429", "4xx", "none" (no answer), "error" (400 and above, or none). */
bool trace_filter_is_status(const char *text);
bool trace_filter_takes(const struct trace_filter *f, const struct trace_line *l);

#endif
