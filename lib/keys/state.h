/*
 * state: the books kept on each key, in STATE_DIR/state.json. The only place that knows that file's format.
 *
 * The file is a table that stays plain JSON: a header line, then one line a
 * key, with every number and time padded to a constant width. A request only
 * moves counters and times, so it rewrites its own record and the header in
 * place, a few bytes each, whatever the number of keys. Anything else (a lock
 * set or lifted, a key added, a hand-edited file, the Python tool's layout)
 * goes the long way: read with json, written whole to a temporary file,
 * renamed.
 *
 * A reader that takes no lock must find valid JSON even in the middle of an
 * in-place write. So a value is only written over in place when ANY mixture
 * of a beginning of one and the end of the other is valid: two times, two
 * numbers that both do not start with 0 or both have one digit. Numbers stand at the left of their
 * field. And because a killed writer may stop at a page boundary, the
 * fields that change in place never straddle one.
 *
 * Every long write raises `epoch`, so that whoever cached something made from the file sees in the
 * header that it is stale. Never hold the lock across the network.
 *
 *	struct state_file sf;
 *	state_open(&sf, dir, f);
 *	state_lock(&sf, 2000, f);
 *	   quick: state_peek(&sf, &head, f), state_peek_key(), state_poke_key(), state_poke()
 *	   long:  state_load(&sf, &st, f), change st, state_save(&sf, &st, sync, f), state_free(&st)
 *	state_unlock(&sf);
 *	state_close(&sf);
 */
#ifndef KMI_KEYS_STATE_H
#define KMI_KEYS_STATE_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/fail.h"
#include "base/file.h"
#include "keys/verdict.h"

#include <stdint.h>
#include <time.h>

#define STATE_SCHEMA 1

struct state_file {
	char *path;
	int lock_fd;		/* -1: the folder cannot be written, there is no lock */
	int fd;			/* the file as last seen, -1 = not open */
	struct file_stamp seen;	/* device and inode tell whether path still names fd */
};

struct lock {
	time_t until;		/* 0 = none */
	time_t set_at;
	char reason[32];
	enum lock_source source;
	char evidence[200];
};

/* What a request changes in place. */
struct state_counts {
	time_t last_used, last_success, last_error;		/* 0 = null */
	long long request_count, error_401, error_403, error_429, error_5xx;
	int faults;		/* server faults in a row, 0 to 9 */
};

struct state_key {
	char *label;
	struct state_counts counts;
	struct lock exhausted, blocked;	/* exhausted_until ..., blocked_until ... */
	char file_tag[DIGEST_SHORT_SIZE];	/* the key file's version when a block was set: another version ends it */
	time_t probed_at;	/* when a lock that is only our guess was last tried in spite of it */
	char *extra;		/* members kmi does not know: JSON text "\"a\": 1, \"b\": []", or NULL */
	size_t offset;		/* where its line begins in the file; set by load and save; 0 = not there yet */
};

struct state_head {
	uint64_t epoch;
	long long active_index, rotation_index;
	bool auto_rotate;
	time_t last_health_refresh;	/* 0 = null */
};

struct state {
	struct state_head head;
	struct state_key *keys;
	size_t count;
	char *extra;
};

int state_open(struct state_file *sf, const char *dir, struct fail *f);	/* makes the folder; on -1 sf may still be closed */
void state_close(struct state_file *sf);
int state_lock(struct state_file *sf, int timeout_ms, struct fail *f);
void state_unlock(struct state_file *sf);

/*
 * Quick ways, under the lock. Each returns -1 when the file is not (or no longer) laid out as kmi
 * writes it: then take the long way. state_peek() notices a replaced file.
 */
int state_peek(struct state_file *sf, struct state_head *head, struct fail *f);
int state_poke(struct state_file *sf, const struct state_head *was, const struct state_head *now, struct fail *f);
int state_peek_key(struct state_file *sf, size_t offset, const char *label, struct state_counts *counts, struct fail *f);
int state_poke_key(struct state_file *sf, size_t offset, const char *label, const struct state_counts *was,
    const struct state_counts *now, struct fail *f);

/*
 * Long ways. state_load() gives an empty state for a missing file; sets an unreadable one aside as
 * state.json.corrupt.YYYYMMDDHHMMSS, gives an empty state and says so in *aside (the new name; caller frees; may be NULL);
 * fails with FAIL_NEWER when schema_version is newer than ours. It needs no lock when the result is only read.
 */
int state_load(struct state_file *sf, struct state *st, char **aside, struct fail *f);
/* Writes in place when only in-place values differ from what the file holds, else whole, with head.epoch + 1. */
int state_save(struct state_file *sf, struct state *st, bool sync, struct fail *f);
void state_free(struct state *st);

struct state_key *state_find(const struct state *st, const char *label);	/* NULL when unknown */
struct state_key *state_add(struct state *st, const char *label);		/* finds or adds; NULL: no memory */

#endif
