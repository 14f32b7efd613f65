/*
 * proof_end: whether the trace ends where the books do.
 *
 * Lines that are removed at the end leave no gap behind. But state.json knows how many turns were taken, and
 * when each key was used last: later than the trace tells, and a line is missing. It may yet come, when its
 * request still runs.
 *
 *	struct proof_end e;
 *	proof_end_open(&e, state_dir, &f);	before the trace is read, or requests that end meanwhile are missed
 *	proof_end_add(&e, &line);		each line, in any order
 *	proof_end_look(&e, last_turn, now, &missing);
 *	proof_end_close(&e);
 */
#ifndef KMI_BOOKS_PROOF_END_H
#define KMI_BOOKS_PROOF_END_H

#include "books/trace_read.h"
#include "keys/state.h"

struct proof_end {
	struct state state;
	time_t *told;		/* for each key of the state: when its last line ended */
	time_t first;		/* when the oldest line of ours ended: what was before it may be gone, that is allowed */
	size_t lines;
};

struct proof_missing {
	size_t turns;		/* that were taken after those that the lines tell of */
	const char *key;	/* one that was used, and no line tells of it; NULL: none. Good until proof_end_close() */
	time_t used;		/* when that was, or the last of the turns */
	bool late;		/* its line should be there by now */
	bool empty;		/* requests there were, but not a line is left */
};

/* -1: state.json cannot be read; then nothing will be missed. A missing one is no failure. */
int proof_end_open(struct proof_end *e, const char *state_dir, struct fail *f);
void proof_end_add(struct proof_end *e, const struct trace_line *l);
/* last_turn: the highest since the rotation began, -1: no line tells of one. */
void proof_end_look(const struct proof_end *e, int64_t last_turn, time_t now, struct proof_missing *out);
void proof_end_close(struct proof_end *e);

#endif
