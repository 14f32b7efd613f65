/*
 * forward: one request to the upstream through libcurl, and its answer piece by piece. The only user of libcurl on a
 * request's way.
 *
 * One struct forward a process: it keeps the upstream connection between
 * requests. It never follows a redirect, never speaks anything but HTTPS,
 * decodes no content, and sends no header the client did not send, but for Host, the length and the key.
 *
 *	forward_start(fw, &ask, f);
 *	while (!fw->done) {
 *		forward_turn(fw, fds, 2, until);	waits for upstream or fds (at most 4)
 *		... fw->head_complete: got.status, got.headers;  got.body: bytes arrived, take them with buf_drop()
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
#include "proxy/request.h"

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

/* An answer, as far as it has come. The slices point into head. */
struct received {
	int status;			/* 0: none */
	struct str reason;
	struct header *headers;
	size_t header_count;
	struct buf head, body;
};

struct forward_wire;		/* libcurl's side of it */

struct forward {
	struct forward_wire *wire;
	struct received got;
	bool head_complete;
	bool done;			/* nothing more will come */
	enum trouble trouble;		/* why it ended early; TROUBLE_NONE: a whole answer */
	char error[256];		/* libcurl's words for it */
	int64_t started_ms, last_byte_ms;		/* monotonic */
	int64_t connect_ms, first_byte_ms;	/* since started, -1 = not (yet) */
};

/* Once a process, before any fork: loads and prepares what all handlers share. */
int forward_global(struct fail *f);
int forward_open(struct forward *fw, const struct config *c, struct fail *f);
void forward_close(struct forward *fw);

int forward_start(struct forward *fw, const struct forward_ask *ask, struct fail *f);
void forward_turn(struct forward *fw, struct pollfd *fds, unsigned count, int64_t until_ms);
void forward_stop(struct forward *fw);


/* The answer changes hands: it stays with the caller when the next request goes out. */
void forward_take(struct forward *fw, struct received *to);
void received_free(struct received *r);
const struct header *received_header(const struct received *r, const char *name);

#endif
