/*
 * proof: whether each choice the trace tells of was right by the rules.
 *
 * From a line alone:
 *
 *	switch (proof_line(&line, &among, &why)) ...	among: the eligible keys as the line or its sets have them
 *
 * and from many of them, in the order of the file: no turn of the rotation was left out, none was given
 * twice, and no request is told twice.
 *
 *	struct proof_turns t = { 0 };
 *	proof_turns_add(&t, &line);
 *	bad = proof_turns_first_wrong(&t, older_deleted, now, &warnings, &why);	the number of a line, or -1
 *	proof_turns_free(&t);
 */
#ifndef KMI_BOOKS_PROOF_H
#define KMI_BOOKS_PROOF_H

#include "base/fail.h"
#include "books/trace_read.h"

/*
 * A line comes when its request has ended; after so long it should be there, and what is missing counts as
 * wrong. A request may run longer, and one that was killed never gets its line: what is said about it names
 * these causes too.
 */
#define PROOF_RUNNING_SECONDS 900

enum proof {
	PROOF_RIGHT,
	PROOF_WRONG,
	PROOF_OPEN,	/* the line does not say enough: an older kmi's, a set that was deleted, or no choice was made */
};

struct proof_among {
	char *const *labels;
	char *const *accounts;	/* in the same order; NULL: each key is an account of its own */
	size_t count;		/* 0: not known, or none */
};

enum proof proof_line(const struct trace_line *l, const struct proof_among *among, struct fail *why);

struct proof_entry {
	uint64_t request;	/* the beginning of its id */
	int64_t turn;		/* -1: none that the books counted */
	time_t ended;
};

struct proof_turns {
	struct proof_entry *list;
	size_t count, room;
	bool bad;		/* no memory */
};

struct proof_warnings {
	size_t restarts;	/* the rotation began anew: state.json was deleted, or set aside */
	size_t unseen;		/* turns before those of the first line: their lines may have been in a file that is gone */
	size_t running;		/* turns whose requests may still run: those after them have only just ended */
	int64_t last_turn;	/* the highest since the rotation began (anew); -1: none */
};

void proof_turns_add(struct proof_turns *t, const struct trace_line *l);
/*
 * older_deleted: files older than the first line were there once, so turns near it may be missing. One that
 * is missing before a line that ended less than PROOF_RUNNING_SECONDS ago is not missed yet.
 */
long proof_turns_first_wrong(const struct proof_turns *t, bool older_deleted, time_t now, struct proof_warnings *w,
    struct fail *why);
void proof_turns_free(struct proof_turns *t);

#endif
