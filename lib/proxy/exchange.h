/*
 * exchange: one request's dealings with the upstream: a key, an attempt, a verdict, maybe another key, and the
 * answer streamed to the client.
 *
 * Nothing of an answer goes to the client before it is clear that this is the
 * one it gets: an error is read whole and judged first, a good answer is held until its
 * first byte, an event stream until its first event. After that there is no other attempt, ever.
 */
#ifndef KMI_PROXY_EXCHANGE_H
#define KMI_PROXY_EXCHANGE_H

#include "base/config.h"
#include "books/trace.h"
#include "keys/pick.h"
#include "proxy/conn.h"
#include "proxy/forward.h"
#include "proxy/request.h"

#define TAIL_MAX 16384		/* end of the answer kept for its usage figures */

struct exchange {
	/* the parts it works with, borrowed */
	const struct config *config;
	struct keyring *keyring;
	struct forward *forward;
	struct conn *conn;
	const struct request *request;
	struct str path;		/* below the base path */
	struct str cors;		/* header lines for a web page that may read the answer */

	struct trace_record trace;
	int64_t started_ms;
	struct picking picking;
	struct pick pick;
	struct received kept;		/* the last answer that was not good enough */
	char kept_code[40];
	struct buf tail;		/* the last bytes of the answer, not encoded ones only */
	bool keep;			/* the connection may be used for another request */
	bool sse;
	int64_t hold_until_ms;		/* an event stream without an event yet is held until then; 0 = not set */
	char last[2];			/* last two bytes of the body: whether an event stream stands at an event's end */
};

/* Picks, forwards or (dry run) pretends, answers the client. Afterwards trace is filled but not written. */
void exchange_run(struct exchange *x);
void exchange_free(struct exchange *x);
/* kmi's own error to the client, in the trace too. `header` and `keys` may be NULL and empty. */
void exchange_refuse(struct exchange *x, const struct refusal *no, long long retry_after, struct str keys);

#endif
