#include "proxy/forward.h"

#include "base/clock.h"
#include "proxy/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX (2 * REQUEST_HEAD_MAX + 16384)	/* the client's, and a few lines of ours with a key */
#define PIECES_A_TURN 8		/* then the client gets its turn */

int
forward_open(struct forward *fw, const struct config *c, struct fail *f)
{
	*fw = (struct forward){
		.head = BUF(HEAD_MAX),
		.idle_ms = c->upstream_idle_timeout_seconds * 1000,
		.piece = malloc(WIRE_PIECE),
	};
	received_init(&fw->got);
	if (wire_open(&fw->wire, c, f) < 0)
		return -1;
	return fw->piece ? 0 : fail_memory(f);
}

void
forward_close(struct forward *fw)
{
	forward_stop(fw);
	wire_close(&fw->wire);
	buf_wipe(&fw->head);
	received_free(&fw->got);
	free(fw->piece);
	*fw = (struct forward){ 0 };
}

/* ---- what goes out ------------------------------------------------------------------------------------------- */

static void
put_header(struct buf *head, struct str name, struct str value)
{
	buf_str(head, name);
	buf_puts(head, ": ");
	buf_str(head, value);
	buf_puts(head, "\r\n");
}

static bool
stays_here(const struct forward_ask *ask, struct str name)
{
	return str_caseis(name, "Host") || str_caseis(name, "Content-Length") || str_caseis(name, "Expect") ||
	    access_is_credential(name) || request_hop_by_hop(ask->headers, ask->header_count, name);
}

/* The request line: the path of the key's base URL, then what the client asked for, byte for byte. Host goes with it. */
static void
put_target(struct buf *head, const struct forward_ask *ask)
{
	const char *authority = strstr(ask->base_url, "://"), *path;

	authority = authority ? authority + 3 : ask->base_url;
	path = authority + strcspn(authority, "/");
	buf_str(head, ask->method);
	buf_putc(head, ' ');
	buf_puts(head, path);
	buf_str(head, ask->path);
	if (!*path && !ask->path.n)
		buf_putc(head, '/');
	if (ask->has_query) {
		buf_putc(head, '?');
		buf_str(head, ask->query);
	}
	buf_puts(head, " HTTP/1.1\r\n");
	put_header(head, STR("Host"), (struct str){ authority, (size_t)(path - authority) });
}

/*
 * The head, and as much of the body as goes into the same TLS record. Room is made before the key is written:
 * where it stands it stays, and no copy is left behind.
 */
static int
make_request(struct forward *fw, const struct forward_ask *ask)
{
	struct buf *head = &fw->head;
	size_t along;

	put_target(head, ask);
	for (size_t i = 0; i < ask->header_count; i++)
		if (!stays_here(ask, ask->headers[i].name))
			put_header(head, ask->headers[i].name, ask->headers[i].value);
	if (ask->has_body || str_is(ask->method, "POST") || str_is(ask->method, "PUT") || str_is(ask->method, "PATCH"))
		buf_printf(head, "Content-Length: %zu\r\n", ask->body.n);
	buf_room(head, ask->secret.n + 64 + WIRE_PIECE);
	buf_puts(head, ask->form == KEY_AS_X_API_KEY ? "x-api-key: " : "Authorization: Bearer ");
	buf_str(head, ask->secret);
	buf_puts(head, "\r\n\r\n");
	along = head->n < WIRE_PIECE ? WIRE_PIECE - head->n : 0;
	if (along > ask->body.n)
		along = ask->body.n;
	buf_str(head, str_sub(ask->body, 0, along));
	fw->rest = str_sub(ask->body, along, ask->body.n);
	return buf_bad(head) ? -1 : 0;
}

/* The next bytes to go, empty when all have gone. The same ones until they have: TLS asks for that. */
static struct str
next_piece(const struct forward *fw)
{
	if (fw->sent < fw->head.n)
		return str_sub(buf_view(&fw->head), fw->sent, fw->head.n);
	return str_sub(fw->rest, fw->sent - fw->head.n, fw->rest.n);
}

static bool
all_sent(const struct forward *fw)
{
	return fw->sent == fw->head.n + fw->rest.n;
}

/* ---- the two ends of it --------------------------------------------------------------------------------------- */

static void
finish(struct forward *fw, enum trouble trouble, const char *words)
{
	bool keep = trouble == TROUBLE_NONE && fw->got.reusable && all_sent(fw);

	fw->done = true;
	fw->trouble = trouble;
	snprintf(fw->error, sizeof(fw->error), "%.*s", (int)sizeof(fw->error) - 1, words);
	wire_put_back(&fw->wire, keep);
}

int
forward_start(struct forward *fw, const struct forward_ask *ask, struct fail *f)
{
	forward_stop(fw);
	fw->done = fw->refused = fw->heard = false;
	fw->trouble = TROUBLE_NONE;
	fw->error[0] = '\0';
	fw->connect_ms = fw->first_byte_ms = -1;
	fw->started_ms = fw->last_byte_ms = clock_mono_ms();
	if (received_begin(&fw->got, str_is(ask->method, "HEAD"), f) < 0)
		return -1;
	if (make_request(fw, ask) < 0)
		return fail_memory(f);
	fw->base_url = ask->base_url;
	return wire_take(&fw->wire, ask->base_url, false, f);
}

void
forward_stop(struct forward *fw)
{
	/* An answer that is not done: closing its connection ends it upstream. */
	wire_put_back(&fw->wire, false);
	if (fw->head.n)
		explicit_bzero(fw->head.p, fw->head.n);		/* memory is kept for the next request, the key in it is not */
	buf_reset(&fw->head);
	fw->rest = (struct str){ 0 };
	fw->sent = 0;
}

void
forward_take(struct forward *fw, struct received *to)
{
	received_free(to);
	*to = fw->got;
	received_init(&fw->got);
}

/* ---- as it goes ------------------------------------------------------------------------------------------------ */

/*
 * The connection is gone. One that was idle may have been closed by the upstream before it saw this request:
 * then, and when no byte of an answer has come, the request goes out again on a new one.
 */
static void
lost(struct forward *fw, const char *words)
{
	struct fail f = { 0 };

	if (fw->wire.was_idle && !fw->heard) {
		wire_put_back(&fw->wire, false);
		fw->sent = 0;
		fw->refused = false;
		if (wire_take(&fw->wire, fw->base_url, true, &f) < 0)
			finish(fw, TROUBLE_CONNECT, f.text);
	} else if (fw->got.head_complete) {
		finish(fw, TROUBLE_CUT, words);
	} else {
		finish(fw, fw->wire.trouble != TROUBLE_NONE ? fw->wire.trouble : TROUBLE_CONNECT, words);
	}
}

/* Sends what goes without waiting. An upstream that takes no more may still have an answer to give. */
static void
send_pieces(struct forward *fw)
{
	for (int i = 0; i < PIECES_A_TURN && !all_sent(fw) && !fw->refused; i++) {
		struct str piece = next_piece(fw);
		ssize_t n = wire_send(&fw->wire, piece.p, piece.n);

		if (n == 0)
			return;
		if (n < 0) {
			fw->refused = true;
			return;
		}
		fw->sent += (size_t)n;
		fw->last_byte_ms = clock_mono_ms();
	}
}

static void
note_progress(struct forward *fw)
{
	if (!fw->heard && fw->sent >= fw->head.n)
		explicit_bzero(fw->head.p, fw->head.n);		/* no key lies there while an answer streams */
	fw->heard = true;
	fw->last_byte_ms = clock_mono_ms();
	if (!fw->got.head_complete)
		return;
	if (fw->first_byte_ms < 0)
		fw->first_byte_ms = fw->last_byte_ms - fw->started_ms;
	if (fw->got.status >= 400)
		fw->refused = true;	/* the rest of the request is of no use to it */
}

static void
receive_pieces(struct forward *fw)
{
	struct fail f = { 0 };
	bool end = false;
	ssize_t n = WIRE_PIECE;

	for (int i = 0; i < PIECES_A_TURN && n == WIRE_PIECE && fw->got.body.n <= FORWARD_HOLD; i++) {
		n = wire_receive(&fw->wire, fw->piece, WIRE_PIECE, &end);
		if (n > 0 && received_feed(&fw->got, (struct str){ fw->piece, (size_t)n }, &f) < 0) {
			finish(fw, fw->got.head_complete ? TROUBLE_CUT : TROUBLE_CONNECT, f.text);
			return;
		}
		if (n > 0)
			note_progress(fw);
		if (fw->got.status == 101) {
			finish(fw, TROUBLE_CONNECT, "upstream switched protocols unasked");
			return;
		}
		if (fw->got.complete || (end && wire_ended_in_order(&fw->wire) && received_end(&fw->got))) {
			finish(fw, TROUBLE_NONE, "");
			return;
		}
	}
	if (n < 0 || end)
		lost(fw, n < 0 ? fw->wire.error : fw->got.head_complete ? "upstream closed in the middle of its answer" :
		    "upstream closed without an answer");
}

/* The connection has come about, or has not. */
static void
connected(struct forward *fw)
{
	if (fw->wire.stage == WIRE_BROKEN)
		finish(fw, fw->wire.trouble, fw->wire.error);
	else if (fw->wire.stage == WIRE_READY)
		fw->connect_ms = clock_mono_ms() - fw->started_ms;
}

void
forward_turn(struct forward *fw, struct pollfd *fds, unsigned count, int64_t until_ms)
{
	bool full = fw->got.body.n > FORWARD_HOLD;
	short events = fw->done || full ? 0 : POLLIN;

	if (full)
		fw->last_byte_ms = clock_mono_ms();	/* it is we who are slow */
	else if (!fw->done && fw->last_byte_ms + fw->idle_ms < until_ms)
		until_ms = fw->last_byte_ms + fw->idle_ms;
	if (fw->wire.stage == WIRE_READY) {
		send_pieces(fw);
		if (!all_sent(fw) && !fw->refused)
			events |= POLLOUT;
	}
	if (fw->wire.stage == WIRE_CONNECTING) {
		wire_wait(&fw->wire, 0, fds, count, until_ms);
		connected(fw);
	} else if (wire_wait(&fw->wire, events, fds, count, until_ms) & ~POLLOUT) {
		receive_pieces(fw);
	}
	if (!fw->done && !full && clock_mono_ms() >= fw->last_byte_ms + fw->idle_ms)
		finish(fw, TROUBLE_TIMEOUT, "upstream said nothing for too long");
}
