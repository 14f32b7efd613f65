#include "proxy/serve.h"

#include "base/clock.h"
#include "base/digest.h"
#include "books/events.h"
#include "books/prompt.h"
#include "books/trace.h"
#include "keys/narrow.h"
#include "keys/refresh.h"
#include "proxy/access.h"
#include "proxy/aside.h"
#include "proxy/conn.h"
#include "proxy/exchange.h"
#include "proxy/guess.h"
#include "proxy/penalty.h"
#include "proxy/place.h"
#include "proxy/reply.h"
#include "proxy/request.h"

#include <stdio.h>
#include <string.h>

#define HEAD_MS 30000		/* a head must be complete by then */
#define BODY_STALL_MS 60000	/* and a body must go on coming */
#define FINISH_MS 10000		/* for the last bytes of an answer to leave */
#define LINGER_MS 2000		/* a client that was refused and sends nothing for so long has read the answer */
#define LINGER_MAX_MS 30000	/* or has not, and sends on: no longer than this */
#define FRONT_MS 5000		/* what stands in front says at once who the client is */
#define UNCONFIGURED_RETRY_SECONDS 60
#define BUSY_RETRY_SECONDS 5	/* told to those who found no place */
#define FIRST_MS 2000		/* to who has just connected, when the pool is stopping */
#define NEXT_MS 500		/* and to who has just been answered, and not been told that it was the last time */

struct connection {
	struct serve *serve;
	struct conn conn;
	struct peer peer;
	struct request request;
	bool alone;		/* a process for this connection only: requests need a place */
	bool keep, served;	/* served: a request has been answered on it */
};

int
serve_open(struct serve *s, const struct config *c, struct fail *f)
{
	*s = (struct serve){ .config = c };
	if (keyring_open(&s->keyring, c, trace_among, f) == 0 && forward_open(&s->forward, c, f) == 0 &&
	    narrow("kmi-handle", c, f) == 0)
		return 0;
	serve_close(s);
	return -1;
}

void
serve_close(struct serve *s)
{
	keyring_close(&s->keyring);
	forward_close(&s->forward);
}

/* What the keyring or the books could not do is told to the log, not to the client. */
static void
tell_troubles(struct serve *s)
{
	struct fail f;

	if (keyring_trouble(&s->keyring, &f) && event_due(s->config, f.text))
		event_log(s->config, EVENT_WARNING, f.text, f.hint[0] ? "hint" : NULL, f.hint, NULL);
}

static void
send_continue(struct connection *k)
{
	if (k->request.expect_continue && !k->conn.rx.n)
		conn_send(&k->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

enum arrival { ARRIVED, NOTHING, REFUSED };

/*
 * Reads until the request has made the given progress. Between requests a
 * client may be silent for KMI_PROXY_IDLE_SECONDS, and the pool may ask for the connection back. One who has only
 * just connected, or been answered, is heard first: his request may be on its way.
 */
static enum arrival
read_until(struct connection *k, enum request_progress wanted, struct refusal *no)
{
	struct conn *c = &k->conn;
	const struct config *cfg = k->serve->config;
	int64_t now = clock_mono_ms(), head_end = now + HEAD_MS, idle_end = now + cfg->proxy_idle_seconds * 1000;
	int64_t body_end = now + BODY_STALL_MS, heard_end = now + (k->served ? NEXT_MS : FIRST_MS), hurry_end = 0, end;

	for (;;) {
		size_t used = 0;
		bool started = k->request.started;
		enum request_progress p = request_feed(&k->request, buf_view(&c->rx), &used, no);

		buf_drop(&c->rx, used);
		if (p == REQUEST_REFUSED)
			return REFUSED;
		if (p == wanted || p == REQUEST_DONE)
			return ARRIVED;
		if (!started && k->request.started)
			head_end = clock_mono_ms() + HEAD_MS;
		if (c->eof || c->gone)
			return NOTHING;
		if (c->draining && !k->request.started) {
			if (idle_end > heard_end)
				idle_end = heard_end;
		} else if (c->draining && !hurry_end) {
			/* Others want the place: a head that comes byte by byte does not keep it. */
			hurry_end = clock_mono_ms() + FIRST_MS;
			if (head_end > hurry_end)
				head_end = hurry_end;
		}
		end = wanted == REQUEST_DONE ? body_end : k->request.started ? head_end : idle_end;
		/* Bytes that always come in time do not make the head any younger. */
		if (conn_wait(c, POLLIN, end) &&
		    (wanted == REQUEST_DONE || !k->request.started || clock_mono_ms() < end)) {
			body_end = clock_mono_ms() + BODY_STALL_MS;
			continue;
		}
		if (!k->request.started)
			return NOTHING;
		*no = (struct refusal){ .status = 408, .code = "request_timeout",
			.message = N_("the request did not arrive in time"), .hint = N_("Send the whole request without a pause") };
		return REFUSED;
	}
}

/* ---- the way of one request --------------------------------------------------------------------------------- */

static void
answer_malformed(struct connection *k, const struct refusal *no)
{
	enum locale locale = k->serve->config->locale;
	struct buf body = BUF(4096), out = BUF(8192);
	struct reply_own own = { .status = no->status, .header = no->header, .minor = 1 };

	reply_error_body(&body, no->status, no->code, text_in(locale, no->message), text_in(locale, no->hint), (struct str){ 0 });
	own.body = buf_view(&body);
	reply_own(&out, &own);
	conn_send(&k->conn, buf_view(&out));
	buf_free(&body);
	buf_free(&out);
}

/* Before a head could be read there is no request to trace; the log is told, but not more than once a minute. */
static void
refuse_malformed(struct connection *k, const struct refusal *no)
{
	if (no->status)
		answer_malformed(k, no);
	if (event_due(k->serve->config, no->code))
		event_log(k->serve->config, EVENT_WARNING, "a malformed request was refused", "code", no->code, "reason",
		    no->message, "hint", no->hint, "peer", k->peer.remote, NULL);
}

static void
write_trace(struct exchange *x, int64_t bytes_before)
{
	struct trace_record *t = &x->trace;
	struct prompt p = { 0 };
	struct prompt_usage u = { -1, -1, -1 };
	struct fail f = { 0 };

	if (x->request->body.n)
		prompt_read(&p, buf_view(&x->request->body), x->config->trace_prompts);
	if (x->tail.n)
		prompt_usage_read(&u, buf_view(&x->tail));
	t->ended = clock_wall();
	t->latency_ms = clock_mono_ms() - x->started_ms;
	t->method = x->request->method;
	t->endpoint = x->path;
	t->model = str_from(p.model);
	t->stream = p.stream;
	memcpy(t->session, p.session, sizeof(t->session));
	t->prompt_hint = str_from(p.hint);
	t->prompt_head = str_from(p.head);
	t->bytes_in = (int64_t)(x->request->head.n + x->request->body.n);
	t->bytes_out = (int64_t)x->conn->bytes_out - bytes_before;
	t->prompt_tokens = u.prompt_tokens;
	t->completion_tokens = u.completion_tokens;
	t->cached_tokens = u.cached_tokens;
	if (trace_write(t, x->config, &f) < 0 && event_due(x->config, "trace"))
		event_log(x->config, EVENT_ERROR, f.text, NULL);
}

/* A request that found health old has it refreshed, after its own answer and not waiting for that. */
static void
renew_health(struct serve *s)
{
	static const char *const health[] = { "kmi-health", "--refresh", "--quiet", NULL };
	time_t last = s->keyring.health_at;
	struct fail f = { 0 };

	if (last >= 0 && refresh_due(s->config, last, clock_wall()) && aside_run(health, &f) < 0 &&
	    event_due(s->config, "health"))
		event_log(s->config, EVENT_WARNING, f.text, NULL);
}

/* Where the request would go below the base path; else why it goes nowhere. */
static bool
find_path(const struct config *c, const struct request *r, struct str *path, struct refusal *no, char message[512])
{
	switch (request_below(r->path, c->proxy_base_path, path)) {
	case 1:
		return true;
	case 0:
		snprintf(message, 512, text_in(c->locale, "nothing is here; the proxy's base path is %s"),
		    *c->proxy_base_path ? c->proxy_base_path : "/");
		*no = (struct refusal){ .status = 404, .code = "not_found", .message = message,
			.hint = N_("Send requests below the base path, as in BASE/chat/completions") };
		return false;
	default:
		*no = (struct refusal){ .status = 400, .code = "bad_path",
			.message = N_("dot segments in the path lead out of the base path"),
			.hint = N_("Send the path without . and .. segments") };
		return false;
	}
}

static void
preflight(struct exchange *x)
{
	struct buf out = BUF(8192);
	struct reply_own own = { .status = 204, .cors = x->cors, .request_id = x->trace.request_id, .keep = x->keep,
		.minor = x->request->minor };

	reply_own(&out, &own);
	conn_send(x->conn, buf_view(&out));
	x->trace.status = 204;
	buf_free(&out);
}

static void
refuse_access(struct connection *k, struct exchange *x, const struct refusal *no)
{
	static const struct refusal crowd = { 429, "too_many_wrong_tokens",
		N_("too many wrong tokens are being answered already"),
		N_("Send the value of KMI_PROXY_TOKEN; with it no request waits"), NULL };
	const struct config *c = x->config;
	char uid[24] = "?";

	if (strcmp(no->code, ACCESS_REMOTE) == 0 && event_due(c, no->message))
		event_log(c, EVENT_WARNING, no->message, "local", k->peer.local, "peer", k->peer.remote, "hint", no->hint, NULL);
	if (k->peer.uid != (uid_t)-1)
		snprintf(uid, sizeof(uid), "%lu", (unsigned long)k->peer.uid);
	if (strcmp(no->code, ACCESS_USER) == 0 && event_due(c, ACCESS_USER))
		event_log(c, EVENT_WARNING, no->message, "uid", uid, "hint", no->hint, NULL);
	if (strcmp(no->code, ACCESS_TOKEN) == 0 && access_is_guess(&k->request) &&
	    !guess_hold(c, &k->peer, &k->conn, &x->trace.wait_ms))
		exchange_refuse(x, &crowd, PENALTY_MAX_MS / 1000, (struct str){ 0 });
	else
		exchange_refuse(x, no, 0, (struct str){ 0 });
}

static void
client_left(struct connection *k, struct exchange *x)
{
	x->trace.status = 499;
	snprintf(x->trace.error_code, sizeof(x->trace.error_code), "%s", k->conn.stopped ? "cut" : "client_gone");
}

/* Where each connection has its process. False: the request has been answered, or nobody waits for an answer. */
static bool
find_place(struct connection *k, struct exchange *x, struct place *p)
{
	static const struct refusal busy = { 503, "proxy_busy",
		N_("as many requests are served as may be at once, and none of them ended in time"),
		N_("Send the request again later, or raise KMI_PROXY_MAX_CONNECTIONS or KMI_PROXY_QUEUE_SECONDS"), NULL };
	enum place_answer answer = k->alone ? place_take(p, x->config, &k->conn) : PLACE_TAKEN;

	x->trace.wait_ms += p->waited_ms;
	switch (answer) {
	case PLACE_TAKEN:
		return true;
	case PLACE_NONE:
		exchange_refuse(x, &busy, BUSY_RETRY_SECONDS, (struct str){ 0 });
		break;
	case PLACE_LEFT:
		client_left(k, x);
		break;
	}
	return false;
}

/*
 * `OPTIONS *` goes nowhere: it is how kmi's own tools ask whether somebody is there. They bring no token; who
 * does may be trying it out.
 */
static bool
is_ping(const struct request *r)
{
	return str_is(r->method, "OPTIONS") && str_is(r->path, "*") && !access_is_guess(r);
}

/*
 * The head is there. Who may talk, where to; then the body; then a key and the
 * upstream; last the books. Whatever is refused before the body was read ends the connection.
 */
static void
serve_request(struct connection *k)
{
	struct serve *s = k->serve;
	struct buf cors = BUF(8192);
	struct refusal no = { 0 }, nowhere;
	struct place place = { 0 };
	char message[512];
	int64_t before = (int64_t)k->conn.bytes_out;
	struct exchange x = {
		.config = s->config,
		.keyring = &s->keyring,
		.forward = &s->forward,
		.conn = &k->conn,
		.request = &k->request,
		.path = k->request.path,
		.started_ms = clock_mono_ms(),
		.keep = false,
		.trace = { .connect_ms = -1, .ttfb_ms = -1, .wait_ms = 0, .rotation_index = -1, .passed = -1 },
	};
	/* The trace names the path also of who may not talk. */
	bool below = find_path(s->config, &k->request, &x.path, &nowhere, message);
	enum access_verdict access = access_judge(&k->peer, &k->request, s->config, &no);

	digest_random(x.trace.request_id);
	access_cors_headers(&k->request, access_cors_origin(&k->request, s->config), access == ACCESS_PREFLIGHT, &cors);
	x.cors = buf_view(&cors);
	if (access == ACCESS_REFUSED) {
		refuse_access(k, &x, &no);
	} else if (access == ACCESS_PREFLIGHT) {
		preflight(&x);
	} else if (!below) {
		exchange_refuse(&x, &nowhere, 0, (struct str){ 0 });
	} else if (find_place(k, &x, &place)) {
		send_continue(k);
		switch (read_until(k, REQUEST_DONE, &no)) {
		case ARRIVED:
			x.keep = k->request.keep_alive && !k->conn.draining;
			exchange_run(&x);
			break;
		case REFUSED:
			exchange_refuse(&x, &no, 0, (struct str){ 0 });
			break;
		case NOTHING:
			client_left(k, &x);
			break;
		}
	}
	if (!conn_finish(&k->conn, clock_mono_ms() + FINISH_MS))
		x.keep = false;
	place_free(&place);
	if (!is_ping(&k->request)) {
		write_trace(&x, before);
		renew_health(s);
	}
	tell_troubles(s);
	k->keep = x.keep && !k->conn.gone;
	exchange_free(&x);
	buf_free(&cors);
}

/* ---- who it is ---------------------------------------------------------------------------------------------- */

/* Nobody is answered whose front did not say who he is: such an answer could go to anybody. */
static bool
hear_front(struct connection *k)
{
	int64_t until = clock_mono_ms() + FRONT_MS;
	const char *fault = "the process in front is neither ours nor root's";
	size_t used;

	while (peer_is_trusted(k->conn.in)) {
		switch (peer_of_front(buf_view(&k->conn.rx), &used, &k->peer)) {
		case PEER_TOLD:
			buf_drop(&k->conn.rx, used);
			return true;
		case PEER_MORE:
			fault = "the header of the PROXY protocol does not come";
			if (k->conn.eof && k->conn.rx.n == 0)
				return false;	/* only asked whether somebody listens */
			if (!k->conn.eof && conn_wait(&k->conn, POLLIN, until))
				continue;
			break;
		case PEER_REFUSED:
			fault = "it does not begin with a header of the PROXY protocol, version 2";
			break;
		}
		break;
	}
	if (event_due(k->serve->config, "front"))
		event_log(k->serve->config, EVENT_WARNING, "a connection on the socket for kmi-tls was dropped", "reason", fault,
		    NULL);
	return false;
}

static bool
find_peer(struct connection *k, enum serve_facts facts)
{
	switch (facts) {
	case SERVE_SOCKET:
		peer_of_socket(k->conn.in, &k->peer);
		return true;
	case SERVE_SUPERVISED:
		peer_of_superserver(k->conn.in, &k->peer);
		return true;
	case SERVE_BEHIND_FRONT:
		break;
	}
	return hear_front(k);
}

bool
serve_connection(struct serve *s, int in, int out, int control, enum serve_facts facts)
{
	struct connection k = { .serve = s, .alone = facts == SERVE_SUPERVISED };
	size_t body_max = (size_t)s->config->proxy_max_body_mb << 20;
	bool draining;

	conn_init(&k.conn, in, out, control);
	k.keep = find_peer(&k, facts);
	while (k.keep) {
		struct refusal no = { 0 };

		k.keep = false;
		request_init(&k.request, body_max);
		switch (read_until(&k, REQUEST_HEAD, &no)) {
		case ARRIVED:
			serve_request(&k);
			k.served = true;
			break;
		case REFUSED:
			refuse_malformed(&k, &no);
			break;
		case NOTHING:
			break;
		}
		request_free(&k.request);
	}
	if (conn_finish(&k.conn, clock_mono_ms() + LINGER_MS) && !k.conn.cut)
		conn_linger(&k.conn, LINGER_MS, LINGER_MAX_MS);
	if (k.conn.cut)
		conn_settle(&k.conn, clock_mono_ms() + LINGER_MS);
	draining = k.conn.draining;
	conn_free(&k.conn);
	return draining;
}

/* What the client sends is not read but waited for: an answer that comes before it would look like one to something else. */
void
serve_unconfigured(const struct config *c, int in, int out)
{
	static const struct refusal no = { 503, "not_configured", N_("this proxy is not configured: a setting is wrong"),
		N_("The proxy's log names it; `kmi config` on its machine does, too"), NULL };
	struct buf body = BUF(4096), head = BUF(8192);
	struct reply_own own = { .status = no.status, .retry_after = UNCONFIGURED_RETRY_SECONDS, .minor = 1 };
	struct conn conn;

	conn_init(&conn, in, out, -1);
	reply_error_body(&body, no.status, no.code, text_in(c->locale, no.message), text_in(c->locale, no.hint), (struct str){ 0 });
	own.body = buf_view(&body);
	reply_own(&head, &own);
	if (conn_wait(&conn, POLLIN, clock_mono_ms() + FIRST_MS) && !conn.eof) {
		conn_send(&conn, buf_view(&head));
		if (conn_finish(&conn, clock_mono_ms() + LINGER_MS))
			conn_linger(&conn, LINGER_MS, LINGER_MAX_MS);
	}
	buf_free(&body);
	buf_free(&head);
	conn_free(&conn);
}
