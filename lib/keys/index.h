/*
 * index: the pool of keys as one flat file, STATE_DIR/pool.index, so that a
 * request costs the same with seven keys and with a thousand.
 *
 * It holds what the key files say but the secrets, in pool order; who of them
 * can be chosen, and until when that is true; and the versions of all files
 * it was made from. It is a cache: deleting it costs one slow request. Made
 * whole in memory, written by replacement, mapped by readers; every offset
 * read from it is checked, so a damaged one is just no index.
 */
#ifndef KMI_KEYS_INDEX_H
#define KMI_KEYS_INDEX_H

#include "base/buf.h"
#include "base/fail.h"
#include "keys/auths.h"
#include "keys/choose.h"
#include "keys/state.h"

#include <stdint.h>

/* One key, its strings borrowed from the index. */
struct index_key {
	const char *label, *account, *path, *base_url, *provider;	/* provider: NULL when none */
	char hash[DIGEST_SHORT_SIZE];
	char tag[DIGEST_SHORT_SIZE];	/* the version of its file, as state keeps it */
	enum key_format format;
	bool disabled;
	long long max_rpm, max_concurrency;
	struct file_stamp stamp;
	uint64_t state_offset;
};

struct index {
	char *p;
	size_t n;
	bool mapped;	/* else from malloc */
};

/* What the index is good for. */
struct index_facts {
	uint64_t epoch;		/* of state.json */
	bool automatic;
	int64_t made_at, valid_until;	/* wall time */
	int64_t health;		/* when health.json was refreshed */
	uint64_t settings;	/* a fingerprint of the settings it was made under */
	size_t key_count, eligible_count, folder_count;
	size_t skipped_count;	/* files that gave no key */
	size_t leading_count;	/* strategy most-quota: how many at the front of the eligible ones have most left */
	struct str set_text;	/* what a trace line says of the eligible keys */
};

/* The eligible keys, and what the strategy goes by; NULL what it does not ask for. */
struct index_among {
	const char *const *labels;
	const char *const *accounts;	/* strategy session */
	const int *left;		/* strategy most-quota: percent, -1 = not known */
	size_t count;
};

/* How they are told in the trace: given by the room that knows the trace. */
typedef int (*index_describe)(const struct config *c, const struct index_among *among, struct buf *text, struct fail *f);

/* The settings that decide what is in it. */
uint64_t index_settings(const struct config *c);
/* Makes one from a fresh look at the key files. Eligible keys follow by index_decide(). */
int index_from_auths(struct index *ix, const struct auths *a, uint64_t settings, struct fail *f);
/* The way back, for who needs neither secret nor what is made of it: mask, email, priority and provider stay empty. */
int index_auths(const struct index *ix, struct auths *a, struct fail *f);
/* The same keys with new decisions: from the books in `st` (whose offsets it takes over), health.json, the clock, the mode. */
int index_decide(struct index *ix, const struct state *st, const struct config *c, bool automatic, time_t now,
    index_describe describe, struct fail *f);
int index_write(const struct index *ix, const char *state_dir, struct fail *f);
/* -1 when there is none, or it is not whole. */
int index_read(struct index *ix, const char *state_dir);
void index_free(struct index *ix);

void index_facts(const struct index *ix, struct index_facts *out);
int index_key(const struct index *ix, size_t i, struct index_key *out);	/* -1: damaged */
uint32_t index_eligible(const struct index *ix, size_t i);
const uint32_t *index_eligible_all(const struct index *ix);	/* numbers of keys, ascending but with most-quota */
/*
 * Whether folders and key files are as they were. Folders always, and up to
 * `most` files (those first in the pool); a file that is used is compared anyway when it is read.
 */
bool index_files_same(const struct index *ix, size_t most);
/* The version of a key file in 12 hex digits. */
void index_tag(const struct file_stamp *s, char out[DIGEST_SHORT_SIZE]);

#endif
