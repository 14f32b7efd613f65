/*
 * refresh: asks /usages of the keys and writes the answers down in health.json.
 *
 * All keys at once, each at its own upstream, ten seconds for each; one refresher at a time on the machine.
 * Keys that are disabled are not asked. In a sparing pass (a timer's, or one that a request set off) keys
 * that are blocked are asked only every KMI_BLOCKLIST_RECHECK_SECONDS, KMI_BLOCKLIST_RECHECK_MAX of them. A
 * key blocked for its credentials that answers well is blocked no more; every other lock stays: what an
 * answer taught outranks what a poll says.
 *
 *	struct refresh r = { .config = &c };
 *	if (refresh_run(&r, f) < 0) ... FAIL_BUSY: another one is at it; refresh_await() waits for that to end
 */
#ifndef KMI_KEYS_REFRESH_H
#define KMI_KEYS_REFRESH_H

#include "base/config.h"
#include "base/fail.h"

#include "keys/auths.h"
#include "keys/health.h"

#include <time.h>

struct refresh {
	const struct config *config;
	bool sparing;
	void (*progress)(size_t done, size_t all, void *arg);	/* may be NULL */
	void *arg;
	/* What came of it. */
	size_t asked, answered, unblocked;
};

/* Never in dry run. */
int refresh_run(struct refresh *r, struct fail *f);
/* Asks for one key, of the pool or not, and writes nothing down. */
int refresh_one(const struct config *c, struct auth *key, struct health_key *out, struct fail *f);
/* Waits until no refresher is at work. */
int refresh_await(const struct config *c, int timeout_ms, struct fail *f);
/*
 * Whether a request should set off a refresh now: health is older than KMI_USAGE_CACHE_SECONDS and nobody has tried
 * for a minute. Who gets a yes is noted as having tried. `last`: when it was refreshed last.
 */
bool refresh_due(const struct config *c, time_t last, time_t now);

#endif
