/*
 * dryrun: the upstream that is not there. Answers in the shape the real endpoints have, so that a real client
 * works; no network.
 */
#ifndef KMI_PROXY_DRYRUN_H
#define KMI_PROXY_DRYRUN_H

#include "base/buf.h"

#include <time.h>

struct dryrun_ask {
	struct str method, path;	/* path below the base */
	struct str body;
	const char *base_url;		/* of the key: where it would have gone */
	const char *key_label;
	const char *request_id;
	time_t now;
};

struct dryrun_answer {
	int status;
	bool stream;		/* server-sent events */
	struct buf body;	/* caller frees */
};

void dryrun_answer(const struct dryrun_ask *ask, struct dryrun_answer *out);

#endif
