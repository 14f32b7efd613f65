/*
 * trace: one JSON line for each request that has ended, in STATE_DIR/trace/trace.jsonl.
 *
 * The only place that knows the line's format, for writing and for reading. A line
 * is built whole and leaves in one write; failing to write it never fails the
 * request. Never a key, a token or a whole prompt.
 */
#ifndef KMI_BOOKS_TRACE_H
#define KMI_BOOKS_TRACE_H

#include "base/buf.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/fail.h"

#include <stdint.h>
#include <time.h>

#define TRACE_ATTEMPTS_MAX 32
#define TRACE_LIST_MAX 16	/* larger sets of eligible keys are named by their hash, see below */

struct trace_attempt {
	char *label;		/* owned by the record */
	int status;		/* 0 = no answer */
	char verdict[16];
	int64_t ms;
};

struct trace_record {
	time_t ended;
	char request_id[DIGEST_ID_SIZE];
	struct str method, endpoint;	/* borrowed, as all struct str here */
	struct str model;		/* empty = null */
	char session[DIGEST_SHORT_SIZE];	/* "" = null */
	bool stream;
	const char *key_label, *key_hash, *account;	/* borrowed; NULL = null */
	int status;
	char error_code[40];		/* "" = null */
	int64_t latency_ms, wait_ms, connect_ms, ttfb_ms;	/* -1 = null */
	int64_t bytes_in, bytes_out;
	int64_t prompt_tokens, completion_tokens, cached_tokens;	/* -1 = null */
	int64_t rotation_index;		/* -1 = null: manual mode */
	struct str eligible;		/* JSON text: an array of labels in pool order, or {"count": N, "set": "HASH"}; empty = null */
	struct trace_attempt attempts[TRACE_ATTEMPTS_MAX];
	int attempt_count;
	struct str prompt_hint, prompt_head;
	bool dry_run;
};

void trace_attempt_add(struct trace_record *t, const char *label, int status, const char *verdict, int64_t ms);
void trace_format(const struct trace_record *t, const struct config *c, struct buf *line);
int trace_write(const struct trace_record *t, const struct config *c, struct fail *f);
void trace_free(struct trace_record *t);

/*
 * A set too large for every line is kept once, in STATE_DIR/trace/sets/HASH.json (an array of labels), and lines
 * name it. trace_set() makes the text for `eligible` from the labels, writing that file when it is not there.
 */
int trace_set(const struct config *c, const char *const *labels, size_t count, struct buf *text, struct fail *f);

#endif
