/*
 * health: what /usages last said of each key, in STATE_DIR/health.json. The only place that knows that file's
 * format.
 *
 * Who refreshes it holds the lock of health.json.lock all the while, reads what is there, puts in what it
 * learned, and saves it whole. Readers take no lock. An entry counts only for the key it was asked with; what
 * an asking taught stays when the next one fails.
 *
 *	health_load(&h, dir, f)
 *	k = health_find(&h, label, hash)	who asks about a key
 *	k = health_put(&h, label, hash)		who has asked
 *	health_save(&h, dir, f)
 *	health_free(&h)
 */
#ifndef KMI_KEYS_HEALTH_H
#define KMI_KEYS_HEALTH_H

#include "base/digest.h"
#include "base/fail.h"
#include "base/json.h"
#include "keys/choose.h"
#include "keys/usage.h"

struct health_key {
	char *label;
	char hash[DIGEST_SHORT_SIZE];
	time_t checked_at;	/* last asked; 0 = never */
	time_t seen_at;		/* last answered well; 0 = never */
	int status;		/* of the last answer, 0 = none */
	char error[200];	/* why the last asking failed, "" = it did not */
	struct usage usage;	/* of seen_at */
};

struct health {
	time_t refreshed_at;	/* the last pass that any key answered */
	struct health_key *keys;	/* by label, strcmp order */
	size_t count, room;
};

/* A missing file is an empty health. -1: it cannot be read, or is none; *h is empty then, and may be written anew. */
int health_load(struct health *h, const char *state_dir, struct fail *f);
int health_save(const struct health *h, const char *state_dir, struct fail *f);
void health_free(struct health *h);

const struct health_key *health_find(const struct health *h, const char *label, const char *hash);	/* NULL: nothing known */
struct health_key *health_put(struct health *h, const char *label, const char *hash);	/* finds or adds; NULL: no memory */
/* What is known of a key, as members of an object that is open; NULL: as far as not known. The file's and the tools' form. */
void health_put_json(struct json_out *o, const struct health_key *k);
/* Drops those that `keep` does not want. */
void health_prune(struct health *h, bool (*keep)(const char *label, void *arg), void *arg);

/* Fills in what choosing wants to know. */
void health_tell(const struct health *h, const char *hash, time_t now, struct choose_key *k);

#endif
