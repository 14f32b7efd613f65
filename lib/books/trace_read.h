/*
 * trace_read: trace lines read back, for the tools that show, count and prove them.
 *
 *	struct trace_line l;
 *	if (trace_read_line(&l, line, f) == 0) {
 *		... l.key_label, l.status ...
 *		trace_line_free(&l);
 *	}
 *
 * Fields that are not known are passed over; those that are missing, null or of another
 * type read as "not said", so lines of other versions can be read. A line that is no JSON
 * object, or has no time, is refused: a crash may have left half a one.
 */
#ifndef KMI_BOOKS_TRACE_READ_H
#define KMI_BOOKS_TRACE_READ_H

#include "books/trace.h"

/* Labels (or accounts), listed in the line or kept beside it as a set. */
struct trace_list {
	char **labels;			/* when the line lists them */
	size_t count;			/* how many there were, listed or not */
	char *set;			/* the name of their set, when the line only names it */
};

struct trace_line {
	time_t ended;
	char *request_id, *method, *endpoint, *model, *session;	/* all texts: owned, NULL = not said */
	char *key_label, *key_hash, *account;
	char *error_code;		/* a number as its digits */
	int64_t status;			/* -1 = not said, as all numbers here */
	int64_t latency_ms, wait_ms, connect_ms, ttfb_ms;
	int64_t bytes_in, bytes_out;
	int64_t prompt_tokens, completion_tokens, cached_tokens;
	int64_t rotation_index;
	bool stream, dry_run;
	struct trace_list eligible;	/* in pool order, but with strategy most-quota */
	struct trace_list accounts;	/* strategy session: their accounts; none: each key is its own */
	struct trace_quota *quota;	/* strategy most-quota: what was left of them */
	size_t quota_count;
	char *active, *conversation;
	int64_t active_place;
	int64_t passed;
	char *check;
	struct trace_attempt *attempts;
	int attempt_count;
	char *prompt_hint, *prompt_head;
};

int trace_read_line(struct trace_line *l, struct str line, struct fail *f);
/* Whether kmi wrote the line: one of the older tool's tells neither attempts nor a sum, and its turns are counted otherwise. */
bool trace_line_is_ours(const struct trace_line *l);
/* Whether the line is as it was written, as far as its sum tells: 1 yes, 0 no, -1 it has none (an older kmi's). */
int trace_line_intact(const struct trace_line *l);
void trace_line_free(struct trace_line *l);

/* The labels of a named set, as trace_set() wrote them; free with trace_labels_free(). */
int trace_read_set(const struct config *c, const char *set, char ***labels, size_t *count, struct fail *f);
void trace_labels_free(char **labels, size_t count);

#endif
