/*
 * trace: one JSON line for each request that has ended, in STATE_DIR/trace/trace.jsonl.
 *
 * The only place that writes the line's format; trace_read reads it back. A line is
 * built whole and leaves in one write; failing to write it never fails the request.
 * Never a key, a token or a whole prompt.
 *
 *	struct trace_record t = { .ended = clock_wall(), .status = 200, ... };
 *	trace_attempt_add(&t, label, account, "turn", 200, "ok", ms);
 *	if (trace_write(&t, c, &f) < 0) -> an event, at most once a minute
 *	trace_free(&t);
 *
 * Times are written in the zone that config_load() has set for the process (KMI_TIMEZONE).
 */
#ifndef KMI_BOOKS_TRACE_H
#define KMI_BOOKS_TRACE_H

#include "base/buf.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/fail.h"

#include <stdint.h>
#include <time.h>

struct index_among;

#define TRACE_SCHEMA_VERSION 1
#define TRACE_ATTEMPTS_MAX 32
#define TRACE_LIST_MAX 16	/* larger sets of eligible keys are named by their hash, see below */
#define TRACE_LINE_MAX (256 * 1024)
#define TRACE_HASH_SIZE 17

struct trace_attempt {
	char *label, *account;	/* owned by the record */
	char choice[16];	/* by which rule its key was chosen, see docs/files.md; "" = not said */
	int status;		/* 0 = no answer */
	char verdict[16];
	int64_t ms;
};

/* So many of the eligible keys, one after the other, have so much of their quota left. */
struct trace_quota {
	int left;	/* percent; -1 = not known */
	size_t keys;
};

#define TRACE_QUOTA_MAX 102	/* 100 to 0, and not known */

struct trace_record {
	time_t ended;
	char request_id[DIGEST_ID_SIZE];
	struct str method, endpoint;	/* borrowed, as all struct str here; a very long endpoint is cut */
	struct str model;		/* empty = null */
	char session[DIGEST_SHORT_SIZE];	/* "" = null */
	bool stream;
	const char *key_label, *key_hash, *account;	/* borrowed; NULL = null */
	int status;			/* 0 = null: nothing was answered */
	char error_code[40];		/* "" = null; digits are written as a number */
	int64_t latency_ms, wait_ms, connect_ms, ttfb_ms;	/* -1 = null */
	int64_t bytes_in, bytes_out;
	int64_t prompt_tokens, completion_tokens, cached_tokens;	/* -1 = null */
	int64_t rotation_index;		/* -1 = null: manual mode */
	struct str eligible;		/* what trace_among() made; empty = null */
	bool manual;			/* the choice began at the active key: the next two are told */
	const char *active;		/* its label; NULL = null */
	int64_t active_place;		/* where it, or the next fit one, is in `eligible` */
	char conversation[DIGEST_SHORT_SIZE];	/* what strategy session went by; "" = not said */
	int64_t passed;			/* how many of them the choice passed over, each at a limit; -1 = null */
	struct trace_attempt attempts[TRACE_ATTEMPTS_MAX];
	int attempt_count;
	struct str prompt_hint, prompt_head;	/* empty = null; both left out when KMI_TRACE_PROMPTS is 0 */
	bool dry_run;
};

/* Beyond TRACE_ATTEMPTS_MAX the newest takes the last place, so that the end of the story is kept. */
void trace_attempt_add(struct trace_record *t, const char *label, const char *account, const char *choice, int status,
    const char *verdict, int64_t ms);
/* Appends the line and its newline. */
void trace_format(const struct trace_record *t, const struct config *c, struct buf *line);
/* Makes the folder when it is missing, and rotates (KMI_TRACE_MAX_MB, KMI_TRACE_BACKUPS). */
int trace_write(const struct trace_record *t, const struct config *c, struct fail *f);
void trace_free(struct trace_record *t);	/* what the record owns: the attempts */

/*
 * A set too large for every line is kept once, in STATE_DIR/trace/sets/HASH.json (an array of labels), and lines
 * name it. trace_set() appends the text for `eligible` made from the labels, writing that file when it is not
 * there. On -1 the text is whole all the same, only what it names may be missing.
 */
int trace_set(const struct config *c, const char *const *labels, size_t count, struct buf *text, struct fail *f);
/* A set's name, made from its labels: who reads the file can tell that it is the one the line means. */
void trace_set_name(const char *const *labels, size_t count, char name[TRACE_HASH_SIZE]);

/*
 * The text that lines have from `eligible` on: the labels as above; with strategy session, when some account
 * is not called like its key, `accounts`, in the same order and form; with most-quota `quota`: [percent left,
 * how many keys] for one run of `eligible` after the other.
 */
int trace_among(const struct config *c, const struct index_among *among, struct buf *text, struct fail *f);

/*
 * The sum over what a line says of its choice (request_id, key_label, and all from rotation_index to attempts), its
 * last field. It tells a line that was changed from one that is as it was written; it is no seal against a forger.
 */
void trace_check(const struct trace_record *t, char check[TRACE_HASH_SIZE]);
/* ", \"quota\": ..." */
void trace_quota_text(const struct trace_quota *runs, size_t count, struct buf *to);
/* The text of a list of labels, as it stands in `eligible`. */
void trace_labels_text(const char *const *labels, size_t count, struct buf *text);

#endif
