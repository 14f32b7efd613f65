/*
 * received: an answer as it comes from an upstream, from bytes to status, headers and body.
 *
 * llhttp parses, strictly, and says where the body ends. The head is kept as it was sent; the body is what
 * lies inside the framing, and leaves through buf_drop() while more comes. Interim answers (1xx) are skipped;
 * trailers end here.
 *
 *	received_begin(&r, head_only)
 *	received_feed(&r, bytes, f)	until r.complete; -1: this is not HTTP, or no end of it is in sight
 *	received_end(&r)		no more bytes will come: true when that is how this answer ends
 */
#ifndef KMI_PROXY_RECEIVED_H
#define KMI_PROXY_RECEIVED_H

#include "base/buf.h"
#include "base/fail.h"
#include "proxy/request.h"

/* The slices point into head. */
struct received {
	int status;			/* 0: no head yet */
	struct str reason;
	struct header *headers;
	size_t header_count;
	struct buf head, body;
	bool head_complete;
	bool complete;
	bool reusable;			/* complete, and the connection can carry another request */
	struct received_parser *parser;
};

void received_init(struct received *r);
int received_begin(struct received *r, bool head_only, struct fail *f);	/* empty again, memory kept */
int received_feed(struct received *r, struct str bytes, struct fail *f);
bool received_end(struct received *r);
void received_free(struct received *r);
const struct header *received_header(const struct received *r, const char *name);

#endif
