/*
 * forward: one request to the upstream, and its answer piece by piece.
 *
 * One struct forward a process: it keeps the upstream connection between requests. It follows no redirect,
 * decodes no content, and sends no header the client did not send, but for Host, the length and the key. A
 * request that meets an idle connection just closed by the upstream goes out once more on a new one.
 *
 *	forward_start(fw, &ask, f);		what ask points to, but for the secret, must outlive this
 *	while (!fw->done) {
 *		forward_turn(fw, fds, 2, until);	waits for upstream or fds (at most 4)
 *		... got.head_complete: got.status, got.headers;  got.body: bytes arrived, take them with buf_drop()
 *	}
 *	forward_stop(fw);		also in mid-answer: ends the request at once
 *
 * While got.body holds more than FORWARD_HOLD bytes the upstream is made to wait.
 */
#ifndef KMI_PROXY_FORWARD_H
#define KMI_PROXY_FORWARD_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"
#include "keys/verdict.h"
#include "proxy/received.h"
#include "proxy/wire.h"

#include <poll.h>
#include <stdint.h>

#define FORWARD_HOLD (1u << 20)

enum key_form { KEY_AS_BEARER, KEY_AS_X_API_KEY };

struct forward_ask {
	const char *base_url;		/* of the key: scheme, host, port, path prefix */
	struct str path, query;		/* below the base path, byte for byte */
	bool has_query;
	struct str method;
	const struct header *headers;	/* the client's, all of them */
	size_t header_count;
	struct str body;
	bool has_body;
	struct str secret;
	enum key_form form;
};

struct forward {
	struct wire wire;
	struct received got;
	bool done;			/* nothing more will come */
	enum trouble trouble;		/* why it ended early; TROUBLE_NONE: a whole answer */
	char error[300];		/* ... in words */
	int64_t started_ms, last_byte_ms;		/* monotonic */
	int64_t connect_ms, first_byte_ms;	/* since started, -1 = not (yet) */
	int64_t idle_ms;
	/* What goes out: the head with the beginning of the body, and the rest, which stays the caller's. */
	struct buf head;
	struct str rest;
	size_t sent;
	bool refused;			/* the upstream takes no more of it */
	bool heard;			/* something of an answer has come */
	const char *base_url;
	char *piece;			/* where bytes arrive */
};

int forward_open(struct forward *fw, const struct config *c, struct fail *f);
void forward_close(struct forward *fw);

int forward_start(struct forward *fw, const struct forward_ask *ask, struct fail *f);
void forward_turn(struct forward *fw, struct pollfd *fds, unsigned count, int64_t until_ms);
void forward_stop(struct forward *fw);
/* The answer changes hands: it stays with the caller when the next request goes out. */
void forward_take(struct forward *fw, struct received *to);

#endif
