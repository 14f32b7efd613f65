/*
 * trace_files: the trace's files as one stream of lines, backwards from its end or forwards as it grows.
 *
 * Backwards, through trace.jsonl, trace.jsonl.1 and so on:
 *
 *	struct trace_back b;
 *	trace_back_open(&b, config);
 *	while (trace_back_next(&b, &line)) ...		line is good until the next call
 *	trace_back_close(&b);
 *
 * Forwards, from now on (or from where a struct trace_back began):
 *
 *	struct trace_follow w;
 *	trace_follow_open(&w, config, &b);
 *	for (;;) {
 *		while (trace_follow_next(&w, &line)) ...
 *		poll on w.notify for trace_follow_timeout_ms(), then trace_follow_notice(&w);
 *	}
 *
 * Files may be rotated, emptied, deleted and made anew under both. A line longer than TRACE_LINE_MAX comes as an
 * empty one; memory is bounded whatever the files hold. A file that cannot be read is like one that is not there,
 * and why is in `trouble`.
 */
#ifndef KMI_BOOKS_TRACE_FILES_H
#define KMI_BOOKS_TRACE_FILES_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"

#include <stdint.h>
#include <sys/types.h>

#define TRACE_FILES_MAX 128

struct trace_back {
	const struct config *config;
	int number;			/* 0 is trace.jsonl */
	int fd;
	off_t at;			/* what is before is not read yet */
	char *room;			/* bytes read and not yet given out: [begin, end) */
	size_t begin, end;
	bool overlong;			/* the line at hand is too long, and its end is dropped already */
	ino_t seen[TRACE_FILES_MAX];	/* a file that moves on while we read is not read twice */
	int seen_count;
	ino_t first;			/* trace.jsonl as it was found, 0 = there was none, and how long it was */
	off_t first_size;
	struct fail trouble;
};

void trace_back_open(struct trace_back *b, const struct config *c);
bool trace_back_next(struct trace_back *b, struct str *line);
void trace_back_close(struct trace_back *b);

/* One file that is read as it grows. */
struct trace_growing {
	int fd;
	ino_t inode;
	off_t at;
	struct buf rest;	/* bytes after the last whole line */
	size_t given;		/* of these, already given out */
	bool overlong;
};

struct trace_follow {
	const struct config *config;
	int notify;		/* inotify, -1 where the system has none left */
	int watch, above;	/* the trace's folder, and the nearest one above it that there is; -1: not watched */
	bool gone;		/* there is no trace.jsonl at the moment */
	struct trace_growing now, late;	/* late: the one before, which may still get a line for a moment */
	int64_t late_until_ms;
};

/* from: begins where that reading began, so that no line is missed or seen twice; NULL: at the end. */
void trace_follow_open(struct trace_follow *w, const struct config *c, const struct trace_back *from);
bool trace_follow_next(struct trace_follow *w, struct str *line);
/* Something has happened, or the time is up. */
void trace_follow_notice(struct trace_follow *w);
int trace_follow_timeout_ms(const struct trace_follow *w);	/* -1: none */
void trace_follow_close(struct trace_follow *w);

#endif
