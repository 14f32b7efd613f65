/*
 * request: one HTTP/1.x request, read strictly. llhttp parses; what it lets through is refused before it.
 *
 * Bytes go in as they come; nothing is forwarded on a guess:
 *
 *	struct request r;
 *	request_init(&r, body_max);
 *	switch (request_feed(&r, bytes, &used, &refusal)) {
 *	case REQUEST_MORE:	read on
 *	case REQUEST_HEAD:	the head is complete (returned once; r.body not yet): now access, `Expect`; then
 *				feed on, even with nothing left: a request without a body needs no more bytes
 *	case REQUEST_DONE:	the body is complete too; bytes after `used` belong to the next request
 *	case REQUEST_REFUSED:	answer with *refusal (without a status: not at all) and close
 *	}
 *	request_free(&r);
 *
 * `used` bytes are consumed by each call; the caller keeps the rest and offers it again.
 * The request keeps its own copy of head and body; every slice in it points there.
 *
 * Refused are, before a byte of them could be understood in two ways: line ends other than CRLF, control
 * characters, folded lines, two lengths, codings other than chunked, versions other than 1.0 and 1.1, a missing
 * or doubtful Host. Status and code do not depend on how the bytes were cut on their way. Trailers are dropped.
 */
#ifndef KMI_PROXY_REQUEST_H
#define KMI_PROXY_REQUEST_H

#include "base/buf.h"

#include <stdint.h>

#define REQUEST_HEAD_MAX 65536
#define REQUEST_HEADERS_MAX 512

struct header {
	struct str name, value;	/* value trimmed; may be empty */
};

struct refusal {
	int status;		/* 0: the connection just ends, for the client does not speak HTTP */
	const char *code;	/* machine word: "bad_request", "header_too_large", ... */
	const char *message;	/* what is wrong with this request */
	const char *hint;	/* what to do */
	const char *header;	/* a header line that the answer owes ("Allow: ..."), without CRLF, or NULL */
};

enum request_progress { REQUEST_MORE, REQUEST_HEAD, REQUEST_DONE, REQUEST_REFUSED };

struct request_parser;

struct request {
	struct buf head, body;
	struct str method, target;	/* target as it came */
	struct str path, query;		/* of the target, or "*"; query without "?", has_query tells "?" alone */
	bool has_query;
	struct str host;		/* of an absolute-form target, else the value of Host; may be empty in 1.0 */
	int minor;			/* HTTP/1.minor */
	struct header *headers;
	size_t header_count;
	int64_t content_length;		/* -1 = chunked, 0 = none */
	bool has_body;			/* a Content-Length or chunked framing was given */
	bool keep_alive;		/* the client wants the connection kept */
	bool expect_continue;
	bool started;			/* a byte of this request was seen; empty lines before it do not count */
	struct request_parser *parser;
};

void request_init(struct request *r, size_t body_max);
enum request_progress request_feed(struct request *r, struct str in, size_t *used, struct refusal *no);
void request_free(struct request *r);

const struct header *request_header(const struct request *r, const char *name);	/* the first, or NULL */
size_t request_header_times(const struct request *r, const char *name);
/* Whether a header is one that ends at this hop: the standard ones, and those that Connection names. */
bool request_hop_by_hop(const struct header *all, size_t count, struct str name);
/* Takes "name:port", "[ipv6]:port" apart: *name without brackets, *port -1 when not given. -1 when malformed. */
int request_split_host(struct str host, struct str *name, int *port);
/*
 * The path below base ("" = all), matched on whole segments, byte for byte: 1 and *rest (empty, or "/..."),
 * 0 when outside; -1 when dot segments would leave the base in any reading a server may have (%2e, %2f, "\").
 */
int request_below(struct str path, const char *base, struct str *rest);

#endif
