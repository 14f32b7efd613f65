/*
 * trace_sets: the labels a line's choice was made among, whether the line lists them or names their set.
 *
 * The sets seen last are kept, since many lines name the same. What is given out belongs to the line or to
 * the sets, and is good until the call after the next one: a line may name two.
 */
#ifndef KMI_BOOKS_TRACE_SETS_H
#define KMI_BOOKS_TRACE_SETS_H

#include "books/trace_read.h"

#define TRACE_SETS_KEPT 8

struct trace_sets {
	const struct config *config;
	struct trace_set_kept {
		char *name, **labels;
		size_t count;
		bool changed;
	} kept[TRACE_SETS_KEPT];
	unsigned next, last;	/* the place to be taken, and the one given out last */
};

enum trace_set_answer {
	TRACE_SET_KNOWN,
	TRACE_SET_NONE,		/* the line has no such list, or its set is not there any more */
	TRACE_SET_CHANGED,	/* the file is there, but holds other labels than the line was written for */
};

enum trace_set_answer trace_sets_of(struct trace_sets *s, const struct trace_list *l, char ***labels, size_t *count);
void trace_sets_free(struct trace_sets *s);

#endif
