/*
 * audit: the whole trace put to the proof, from its newest line to its oldest, and against the books.
 *
 *	audit_run(&a, config);		reads every file of the trace, and state.json
 *	audit_is_right(&a)
 *
 * The rules are proof's and proof_end's; this finds the first line that breaks one, and counts.
 */
#ifndef KMI_BOOKS_AUDIT_H
#define KMI_BOOKS_AUDIT_H

#include "base/clock.h"
#include "base/config.h"
#include "base/digest.h"
#include "books/proof.h"
#include "books/proof_end.h"
#include "books/trace_sets.h"

struct audit {
	size_t lines, corrupt;
	size_t right, open, by_turn;
	long wrong;		/* lines from the newest to the first wrong one; -1: none */
	char id[DIGEST_ID_SIZE];	/* of that one: its request, when it ended, and what is wrong */
	char ts[CLOCK_LOCAL_SIZE];
	struct fail why;
	struct proof_warnings warnings;
	struct proof_missing missing;	/* at the end; its key is `missing_key` */
	char missing_key[256];
	struct fail no_books;		/* why the end was not looked at */
	struct fail trouble;		/* why not all files could be read */
};

void audit_run(struct audit *a, const struct config *c);
bool audit_is_right(const struct audit *a);
/* Whether something may yet turn out to be missing. */
bool audit_is_open(const struct audit *a);

/* One line alone, with the sets that it names. */
enum proof audit_line(struct trace_sets *sets, const struct trace_line *l, struct fail *why);

#endif
