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
 * in-place write, and then any mixture of old and new bytes may meet its eye.
 * So a value is only written over in place when every such mixture is valid: two
 * times; two numbers, at the left of their field, of equal length, or one digit apart
 * and none of them 0. Anything else (a first use: null becomes a time) goes
 * through a patched copy and a rename; no caller sees the difference. And because a
 * killed writer may stop at a page boundary, the part of a line that changes
 * in place never straddles one.
 *
 * Every change of anything but these values (a lock, a key, an unknown member) raises `epoch`, so that
 * whoever cached something made from the file sees in the header that it is stale. The header also names the
 * inode and the size of its file: one that was edited, copied or restored by others does not
 * look like ours, is read the long way and written anew, with epoch + 1. A fresh file starts from
 * the time in milliseconds, so that no epoch comes twice.
 *
 * The lock is flock on state.json.lock. Each process has its own: a struct state_file that came
 * through fork() opens it again at its first state_lock(). Do not fork while holding it, and never
 * hold it across the network.
 *
 *	struct state_file sf;
 *	state_open(&sf, dir, f);
 *	state_lock(&sf, 2000, f);
 *	   quick: state_peek(&sf, &head, f), state_peek_key(), state_poke_key(), state_poke()
 *	   long:  state_load(&sf, &st, &aside, f), change st, state_save(&sf, &st, sync, f), state_free(&st)
 *	state_unlock(&sf);
 *	state_close(&sf);
 *
 * or, for a tool, all of the long way at once:
 *
 *	struct state_change ch;
 *	if (state_begin(&ch, dir, f) < 0) return -1;
 *	   change ch.state
 *	return state_commit(&ch, true, f);	or state_abort(&ch)
 *
 * Without the lock nothing may be written; reading is always allowed. When the state folder cannot
 * be written, state_open() and state_lock() fail at once, and the caller serves on without books.
 *
 * A file of the older Python tool is read as it is. Its locks carry no source: one on payment or
 * authorisation (blocked) counts as a guess, which may be probed; one on a limit (exhausted)
 * as stated by the upstream. A member of a wrong type counts as absent; counters are kept within what their
 * field holds; text that is no JSON object, or names a key twice, is set aside.
 */
#ifndef KMI_KEYS_STATE_H
#define KMI_KEYS_STATE_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/fail.h"
#include "base/file.h"
#include "keys/verdict.h"

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define STATE_SCHEMA 1
#define STATE_SIZE_MAX (32u << 20)

#define STATE_ROW_MAX 512

/* A row as this process read or wrote it under the lock it holds: what stands there, without another look. */
struct state_row {
	size_t at, n;		/* n 0: none */
	char bytes[STATE_ROW_MAX];
};

struct state_file {
	char *path;
	char *lock_path;
	int lock_fd;		/* -1: the folder cannot be written, there is no lock */
	pid_t pid;		/* whose lock_fd it is: after fork() a process needs its own */
	bool locked;
	int fd;			/* the file as last seen, -1 = not open */
	struct state_row head, key;	/* the last ones; forgotten with the lock */
	unsigned long long device, inode, size;		/* which file that is: path may name another by now */
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
	size_t offset;		/* where its line begins in the file; set by load and save; 0 = not laid out by us */
};

struct state_head {
	uint64_t epoch;
	long long active_index, rotation_index;
	bool auto_rotate;
	time_t last_health_refresh;	/* 0 = null */
};

struct state {
	struct state_head head;
	struct state_key *keys;		/* in the order of the file */
	size_t count;
	char *extra;
	uint32_t *slots;		/* keys by label, for state_find() */
	size_t slot_count;
};

/* Makes folder and lock file. On -1 there is no lock, but the file may still be read; close sf in any case. */
int state_open(struct state_file *sf, const char *dir, struct fail *f);
void state_close(struct state_file *sf);
/* FAIL_BUSY when another process held it all the time; FAIL_SYSTEM at once when there is no lock (each call tries anew). */
int state_lock(struct state_file *sf, int timeout_ms, struct fail *f);
void state_unlock(struct state_file *sf);

/*
 * Quick ways, under the lock. Each returns -1 when the file is not (or no longer) laid out as kmi
 * writes it: then take the long way. state_peek() comes first after each state_lock(): it notices a
 * replaced file. The others work on the file it found. `offset` is a state_key's, from any time: a line that
 * does not begin with this label is not touched. A poke is -1 as well when the file does not hold `was`.
 */
int state_peek(struct state_file *sf, struct state_head *head, struct fail *f);
int state_poke(struct state_file *sf, const struct state_head *was, const struct state_head *now, struct fail *f);
int state_peek_key(struct state_file *sf, size_t offset, const char *label, struct state_counts *counts, struct fail *f);
int state_poke_key(struct state_file *sf, size_t offset, const char *label, const struct state_counts *was,
    const struct state_counts *now, struct fail *f);

/*
 * Long ways. state_load() gives an empty state for a missing file; sets an unreadable one aside as
 * state.json.corrupt.YYYYMMDDHHMMSS, gives an empty state and says so in *aside (the new name; caller frees;
 * may be NULL); fails with FAIL_NEWER when schema_version is newer than ours. Before a file is set aside it
 * is read again for 0.2 s: somebody may be writing it with an editor. It needs no lock when the result is
 * only read (and takes it for a moment when it finds something to set aside).
 */
int state_load(struct state_file *sf, struct state *st, char **aside, struct fail *f);
/* Writes in place when only in-place values differ from what the file holds, else whole, with head.epoch + 1. */
int state_save(struct state_file *sf, struct state *st, bool sync, struct fail *f);
void state_free(struct state *st);

/* A change of the books: locked and loaded, until it is committed or aborted. Either lets go of all of it. */
struct state_change {
	struct state_file file;
	struct state state;
};

int state_begin(struct state_change *ch, const char *dir, struct fail *f);
int state_commit(struct state_change *ch, bool sync, struct fail *f);
void state_abort(struct state_change *ch);

/*
 * Both take O(1). The result is valid until the next state_add(). A label that is not UTF-8 cannot stand in
 * JSON: its bad bytes count as U+FFFD.
 */
struct state_key *state_find(const struct state *st, const char *label);	/* NULL when unknown */
struct state_key *state_add(struct state *st, const char *label);		/* finds or adds; NULL: no memory */

/* Pieces that stand alone and are tested as such: the file's text to a state, and back (offsets are set). */
int state_parse(struct state *st, struct str text, struct fail *f);
void state_print(struct state *st, unsigned long long inode, struct buf *out);

#endif
