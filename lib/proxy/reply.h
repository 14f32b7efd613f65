/*
 * reply: what goes to the client: heads of forwarded answers, framing of their bodies, and kmi's own answers.
 *
 * A forwarded answer keeps the upstream's status, reason and headers as they
 * are, but for those of one hop; only the framing is decided anew, because it
 * belongs to this connection:
 *
 *	reply_plan(&plan, got, request, keep);
 *	reply_head(&out, got, &plan, request_id);
 *	reply_piece(&out, &plan, bytes);  ...;  reply_end(&out, &plan);
 */
#ifndef KMI_PROXY_REPLY_H
#define KMI_PROXY_REPLY_H

#include "base/buf.h"
#include "proxy/received.h"
#include "proxy/request.h"

enum reply_framing { REPLY_NO_BODY, REPLY_LENGTH, REPLY_CHUNKED, REPLY_UNTIL_CLOSE };

struct reply_plan {
	enum reply_framing framing;
	bool keep;		/* the connection can be used again afterwards */
	int minor;		/* the client's HTTP/1.minor */
};

const char *reply_reason(int status);

/* `keep`: whether both sides would keep the connection; cleared when the framing does not allow it. */
void reply_plan(struct reply_plan *plan, const struct received *got, const struct request *r, bool keep);
/* `cors`: header lines that take the place of the upstream's Access-Control-*; empty = none. */
void reply_head(struct buf *out, const struct received *got, const struct reply_plan *plan, const char *request_id,
    struct str cors);
void reply_piece(struct buf *out, const struct reply_plan *plan, struct str piece);
void reply_end(struct buf *out, const struct reply_plan *plan);

/* kmi's own answer. */
struct reply_own {
	int status;
	const char *content_type;
	struct str body;
	long long retry_after;		/* seconds; 0 = no such header */
	const char *request_id;		/* NULL = none yet */
	const char *header;		/* one further header line without CRLF, or NULL */
	struct str cors;		/* header lines, each with its CRLF */
	bool keep, head_only, chunked;
	int minor;
};

void reply_own(struct buf *out, const struct reply_own *own);
/* {"error": {...}} in the OpenAI shape; keys: a JSON array told along, or empty. */
void reply_error_body(struct buf *body, int status, const char *code, const char *message, const char *hint,
    struct str keys);

#endif
