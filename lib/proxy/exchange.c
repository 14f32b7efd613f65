#include "proxy/exchange.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/kept_words.h"
#include "base/secret.h"
#include "books/prompt.h"
#include "keys/answer.h"
#include "keys/booking.h"
#include "proxy/decode.h"
#include "proxy/dryrun.h"
#include "proxy/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_READ_MS 10000	/* an error body that takes longer is judged by what has come */
#define EVENT_HOLD 8192		/* of an event stream held back for its first event, which may be an error */
#define EVENT_HOLD_MS 2000	/* ... since its first byte */
#define STREAM_BUFFER (256u << 10)	/* queued for a slow client; after that the upstream waits */
#define DECODED_MAX (256u << 10)

static void
set_code(char to[40], const char *code)
{
	snprintf(to, 40, "%s", code);
}

void
exchange_free(struct exchange *x)
{
	picking_free(&x->picking);
	pick_free(&x->pick);
	received_free(&x->kept);
	buf_free(&x->tail);
	trace_free(&x->trace);
}

void
exchange_refuse(struct exchange *x, const struct refusal *no, long long retry_after, struct str keys)
{
	struct buf body = BUF(64u << 20), out = BUF(65u << 20);
	struct reply_own own = {
		.status = no->status,
		.retry_after = retry_after,
		.request_id = x->trace.request_id,
		.header = no->header,
		.cors = x->cors,
		.keep = x->keep,
		.head_only = str_is(x->request->method, "HEAD"),
		.minor = x->request->minor,
	};

	reply_error_body(&body, no->status, no->code, text_in(x->config->locale, no->message),
	    text_in(x->config->locale, no->hint), keys);
	secret_hide(body.p, body.n);
	own.body = buf_view(&body);
	reply_own(&out, &own);
	conn_send(x->conn, buf_view(&out));
	x->trace.status = no->status;
	set_code(x->trace.error_code, no->code);
	buf_free(&body);
	buf_free(&out);
}

static void
client_left(struct exchange *x)
{
	x->keep = false;
	x->trace.status = x->trace.status ? x->trace.status : 499;
	set_code(x->trace.error_code, x->conn->stopped ? "cut" : "client_gone");
}

/* Waits for a time, unless the client leaves before: then false. */
static bool
pause_ms(struct exchange *x, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;

	x->trace.wait_ms += ms;
	while (!x->conn->gone) {
		struct pollfd fds[2];
		int64_t left = until - clock_mono_ms();

		if (left <= 0)
			return true;
		conn_watch(x->conn, fds);
		if (poll(fds, 2, left > 60000 ? 60000 : (int)left) > 0)
			conn_noticed(x->conn, fds);
	}
	return false;
}

/* ---- a key -------------------------------------------------------------------------------------------------- */

static long long
seconds_up(int64_t ms)
{
	return ms <= 0 ? 1 : (ms + 999) / 1000;
}

/* No key is fit: what that means, and what a person can do about it. */
static struct refusal
refusal_of(const struct choose_none *why)
{
	static const struct refusal all[] = {
		{ .code = "all_keys_locked", .message = N_("every key is locked for now"),
		    .hint = N_("Wait as Retry-After says; `kmi keys` shows each lock, `kmi unlock` lifts one by hand") },
		{ .code = "payment_required", .message = N_("every key that is left is blocked for payment"),
		    .hint = N_("Top up an account, then `kmi unlock LABEL`; `kmi keys` shows what each answer said") },
		{ .code = "all_keys_blocked", .message = N_("every key is blocked until something is done about it"),
		    .hint = N_("Put a good key into a key file, that unlocks it; `kmi keys` shows what each answer said") },
		{ .code = "all_keys_disabled", .message = N_("every key is disabled by its file"),
		    .hint = N_("Take KMI_KEY_DISABLED out of a key file; `kmi keys` lists them") },
		{ .code = "usage_unknown",
		    .message = N_("the quota of no key is known, and KMI_REQUIRE_USAGE_BEFORE_REQUEST asks for that"),
		    .hint = N_("`kmi health --refresh` asks the upstream, and says what it answered") },
		{ .code = "no_keys", .message = N_("no usable key"),
		    .hint = N_("`kmi keys` shows every key file and why it is not used; "
			"add one to the folder KMI_AUTHS_DIR names") },
	};
	size_t i = 0;

	while (i + 1 < sizeof(all) / sizeof(*all) && strcmp(all[i].code, why->code) != 0)
		i++;
	return (struct refusal){ why->status, why->code, all[i].message, all[i].hint, NULL };
}

/* A limit of ours keeps the keys that are fit from being used. */
static struct refusal
refusal_at_limit(const struct pick_none *none)
{
	struct refusal no = { .status = 429, .code = "rate_limited" };

	if (none->whole_proxy) {
		no.message = N_("kmi's own limit of requests for the whole proxy is reached");
		no.hint = N_("Wait as Retry-After says, or raise KMI_PROXY_MAX_RPS / KMI_PROXY_MAX_RPM");
	} else if (none->in_flight) {
		no.message = N_("every fit key has as many requests in flight as it may");
		no.hint = N_("Send the request again later, or raise KMI_PROXY_MAX_CONCURRENCY_PER_KEY or the key's "
		    "KMI_KEY_MAX_CONCURRENCY; KMI_PROXY_WAIT_SECONDS lets requests wait");
	} else {
		no.message = N_("every fit key is at its own limit of requests");
		no.hint = N_("Wait as Retry-After says, or raise KMI_PROXY_MAX_RPS_PER_KEY / KMI_PROXY_MAX_RPM_PER_KEY");
	}
	return no;
}

/* Nobody could be picked, now or ever: says why, and truly for how long. */
static void
refuse_none(struct exchange *x, enum pick_answer answer, const struct pick_none *none)
{
	struct refusal no = refusal_of(&none->why);
	int64_t wait_ms = 0;

	if (answer == PICK_LATER) {
		no = refusal_at_limit(none);
		wait_ms = none->wait_ns / 1000000 + 1;
	} else if (no.status == 429) {
		wait_ms = (int64_t)none->why.soonest * 1000 - clock_wall_ms();
	}
	exchange_refuse(x, &no, no.status == 429 ? seconds_up(wait_ms) : 0, buf_view(&none->keys));
}

/* A turn is taken also when nothing comes of it. */
static void
note_place(struct exchange *x)
{
	x->trace.rotation_index = x->picking.turn;
	x->trace.eligible = buf_view(&x->picking.eligible);
	x->trace.passed = x->picking.eligible.n ? (int64_t)x->picking.passed : -1;
	x->trace.manual = x->picking.placed && x->picking.rule == PICK_ACTIVE;
	x->trace.active = x->picking.active;
	x->trace.active_place = (int64_t)x->picking.active_place;
	if (x->picking.placed && x->picking.rule == PICK_SESSION)
		memcpy(x->trace.conversation, x->picking.session, sizeof(x->trace.conversation));
}

static void
note_pick(struct exchange *x)
{
	x->trace.key_label = x->pick.label;
	x->trace.key_hash = x->pick.hash;
	x->trace.account = x->pick.account;
	note_place(x);
}

static void
note_attempt(struct exchange *x, int status, const char *verdict, int64_t ms)
{
	trace_attempt_add(&x->trace, x->pick.label, x->pick.account, pick_choice_name(x->pick.choice), status, verdict, ms);
}

/* The first key of a request: it may wait for one, as long as KMI_PROXY_WAIT_SECONDS allows. */
static bool
first_pick(struct exchange *x)
{
	int64_t until = clock_mono_ms() + x->config->proxy_wait_seconds * 1000;

	for (;;) {
		struct pick_none none;
		enum pick_answer answer = pick_next(x->keyring, &x->picking, &x->pick, &none);
		int64_t wait = -1, left = until - clock_mono_ms();

		if (answer == PICK_KEY) {
			pick_none_free(&none);
			note_pick(x);
			return true;
		}
		if (answer == PICK_LATER)
			wait = none.wait_ns / 1000000 + 1;
		else if (none.why.soonest)
			wait = (int64_t)none.why.soonest * 1000 - clock_wall_ms();
		if (wait >= 0 && wait <= left) {
			pick_none_free(&none);
			if (pause_ms(x, wait > 10 ? wait : 10))
				continue;
			client_left(x);
			return false;
		}
		note_place(x);
		refuse_none(x, answer, &none);
		pick_none_free(&none);
		return false;
	}
}

/* ---- an attempt --------------------------------------------------------------------------------------------- */

static enum key_form
form_of(const struct request *r)
{
	return request_header(r, "x-api-key") && !request_header(r, "Authorization") ? KEY_AS_X_API_KEY : KEY_AS_BEARER;
}

static struct str
value_of(const struct received *got, const char *name)
{
	const struct header *h = received_header(got, name);

	return h ? h->value : (struct str){ 0 };
}

/* One that can be read, that is: not encoded. */
static bool
is_event_stream(const struct received *got)
{
	return !received_header(got, "Content-Encoding") &&
	    str_casefind(value_of(got, "Content-Type"), STR("text/event-stream")) == 0;
}

/* A good answer begins with its first byte; an event stream with its first event, which may be an error. */
static bool
has_begun(const struct received *got)
{
	return got->body.n > 0 && (!is_event_stream(got) || answer_has_event(buf_view(&got->body)));
}

/* Comments keep a connection alive while there is no event; the client is to see them too, a little later. */
static bool
held_enough(struct exchange *x)
{
	const struct received *got = &x->forward->got;

	if (!got->body.n)
		return false;
	if (!x->hold_until_ms)
		x->hold_until_ms = clock_mono_ms() + EVENT_HOLD_MS;
	return got->body.n >= EVENT_HOLD || clock_mono_ms() >= x->hold_until_ms;
}

/* Enough has come to say what the answer means. */
static bool
can_judge(struct exchange *x)
{
	const struct forward *fw = x->forward;

	if (fw->done)
		return true;
	if (!fw->got.head_complete)
		return false;
	if (fw->got.status < 400)
		return has_begun(&fw->got) || held_enough(x);
	return fw->got.body.n >= FORWARD_HOLD || clock_mono_ms() - fw->started_ms - fw->first_byte_ms > ERROR_READ_MS;
}

/* Sends the request and waits for an answer to judge. False: the client left. */
static bool
attempt(struct exchange *x, struct fail *f)
{
	const struct request *r = x->request;
	struct forward *fw = x->forward;
	struct forward_ask ask = {
		.base_url = x->pick.base_url,
		.path = x->path,
		.query = r->query,
		.has_query = r->has_query,
		.method = r->method,
		.headers = r->headers,
		.header_count = r->header_count,
		.body = buf_view(&r->body),
		.has_body = r->has_body,
		.secret = buf_view(&x->pick.secret),
		.form = form_of(r),
	};

	if (forward_start(fw, &ask, f) < 0) {
		fw->done = true;
		fw->trouble = TROUBLE_CONNECT;
		snprintf(fw->error, sizeof(fw->error), "%.*s", (int)sizeof(fw->error) - 1, f->text);
	}
	buf_wipe(&x->pick.secret);
	x->hold_until_ms = 0;
	while (!can_judge(x)) {
		struct pollfd fds[2];

		conn_watch(x->conn, fds);
		forward_turn(fw, fds, 2, x->hold_until_ms ? x->hold_until_ms : clock_mono_ms() + 1000);
		conn_noticed(x->conn, fds);
		if (x->conn->gone)
			return false;
	}
	return true;
}

static void
judge(struct exchange *x, struct judgement *j)
{
	const struct forward *fw = x->forward;
	const struct received *got = &fw->got;
	struct buf text = BUF(DECODED_MAX);
	struct answer a = {
		.status = fw->got.head_complete ? got->status : 0,
		/* An error answer that broke off is still an answer; a good one that never began is none. */
		.trouble = fw->got.head_complete && (got->status >= 400 || has_begun(got)) ? TROUBLE_NONE : fw->trouble,
		.retry_after = value_of(got, "Retry-After"),
		.retry_after_ms = value_of(got, "retry-after-ms"),
		.ratelimit_reset = value_of(got, "X-RateLimit-Reset"),
	};

	if (got->status >= 400 && decode_body(value_of(got, "Content-Encoding"), buf_view(&got->body), &text))
		a.body = buf_view(&text);
	else if (got->status >= 200 && got->status < 300 && is_event_stream(got))
		a.body = buf_view(&got->body);
	else if (got->status == 101)
		a.trouble = TROUBLE_CONNECT;
	/* Locks end on whole seconds; the part of this one that has gone by must not shorten them. */
	verdict_judge(x->keyring->rules, &a, x->config, clock_wall() + 1, 0, j);
	if (a.trouble != TROUBLE_NONE && fw->error[0])
		snprintf(j->evidence, sizeof(j->evidence), "%.*s", (int)sizeof(j->evidence) - 1, fw->error);
	buf_free(&text);
}

/* ---- the answer to the client ------------------------------------------------------------------------------- */

static void
keep_tail(struct exchange *x, struct str piece)
{
	if (piece.n >= TAIL_MAX) {
		buf_reset(&x->tail);
		piece = str_sub(piece, piece.n - TAIL_MAX, piece.n);
	} else if (x->tail.n + piece.n > 2 * TAIL_MAX) {
		buf_drop(&x->tail, x->tail.n - TAIL_MAX);
	}
	buf_str(&x->tail, piece);
}

/* Keeps the last two bytes, to know whether an event stream was cut between events. */
static void
note_end(struct exchange *x, struct str piece)
{
	for (size_t i = piece.n > 2 ? piece.n - 2 : 0; i < piece.n; i++) {
		x->last[0] = x->last[1];
		x->last[1] = piece.p[i];
	}
}

static void
pass_body(struct exchange *x, struct buf *body, const struct reply_plan *plan)
{
	struct buf out = BUF(body->n + 64);
	struct str piece = buf_view(body);

	if (!piece.n)
		return;
	reply_piece(&out, plan, piece);
	conn_send(x->conn, buf_view(&out));
	keep_tail(x, piece);
	note_end(x, piece);
	buf_free(&out);
	buf_reset(body);
}

/*
 * The upstream broke off in mid-answer. The client must be able to tell: no clean end, and in an event stream
 * an error event before it. An event that was cut is closed first, so that the error is one of its own.
 */
static void
tell_cut(struct exchange *x, const struct reply_plan *plan)
{
	struct buf event = BUF(2048), out = BUF(4096);

	if (x->sse && plan->framing != REPLY_LENGTH && plan->framing != REPLY_NO_BODY) {
		if (x->last[1] && !(x->last[0] == '\n' && x->last[1] == '\n'))
			buf_puts(&event, x->last[1] == '\n' ? "\n" : "\n\n");
		buf_puts(&event, "event: error\ndata: ");
		reply_error_body(&event, 502, "upstream_cut",
		    text_in(x->config->locale, "the upstream broke off in the middle of its answer"),
		    text_in(x->config->locale, "Send the request again"), (struct str){ 0 });
		buf_puts(&event, "\n");		/* the body's own newline ended the data line */
		reply_piece(&out, plan, buf_view(&event));
		conn_send(x->conn, buf_view(&out));
	}
	set_code(x->trace.error_code, "cut");
	x->keep = false;
	/* A front that speaks TLS must not end it in order, whatever the framing: some clients ask no more. */
	if (conn_is_unix(x->conn))
		conn_set_cut(x->conn, true);
	buf_free(&event);
	buf_free(&out);
}

/* One more turn of a stream: takes what came, waits for more room or more bytes. */
static void
stream_turn(struct exchange *x, const struct reply_plan *plan)
{
	struct forward *fw = x->forward;
	struct pollfd fds[2];

	if (fw->got.body.n && conn_pending(x->conn) < STREAM_BUFFER)
		pass_body(x, &fw->got.body, plan);
	if (fw->done) {
		if (fw->got.body.n && !x->conn->gone)
			conn_wait(x->conn, POLLOUT, clock_mono_ms() + 1000);
		return;
	}
	conn_watch(x->conn, fds);
	forward_turn(fw, fds, 2, clock_mono_ms() + 1000);
	conn_noticed(x->conn, fds);
}

/* Takes and gives until the upstream has ended or the client has left. True when the answer came to its own end. */
static bool
stream(struct exchange *x, const struct reply_plan *plan)
{
	struct forward *fw = x->forward;
	int64_t stall_ms = x->config->upstream_idle_timeout_seconds * 1000, moved_ms = clock_mono_ms();
	uint64_t moved = x->conn->bytes_out;
	struct buf end = BUF(16);

	while (!(fw->done && !fw->got.body.n) && !x->conn->gone) {
		stream_turn(x, plan);
		if (moved != x->conn->bytes_out || !conn_pending(x->conn)) {
			moved = x->conn->bytes_out;
			moved_ms = clock_mono_ms();
		} else if (clock_mono_ms() - moved_ms > stall_ms) {
			x->conn->gone = true;	/* one that takes nothing for so long has left */
		}
	}
	if (x->conn->gone)
		return false;
	if (fw->trouble != TROUBLE_NONE) {
		tell_cut(x, plan);
		return false;
	}
	reply_end(&end, plan);
	conn_send(x->conn, buf_view(&end));
	buf_free(&end);
	return true;
}

/* An upstream may repeat the key that it refuses, which is not the client's. What was asked for is passed on untouched. */
static void
hide_keys(struct buf *head, struct received *got)
{
	secret_hide(head->p, head->n);
	if (got->status >= 400)
		secret_hide(got->body.p, got->body.n);
}

/* Passes an answer on: one that is whole in one piece, else while it comes. */
static void
pass_on(struct exchange *x, struct received *got, bool whole)
{
	struct buf out = BUF(got->body.n + (1u << 20));
	struct reply_plan plan;

	x->sse = is_event_stream(got);
	reply_plan(&plan, got, x->request, x->keep);
	x->keep = plan.keep;
	reply_head(&out, got, &plan, x->trace.request_id, x->cors);
	hide_keys(&out, got);
	reply_piece(&out, &plan, buf_view(&got->body));
	keep_tail(x, buf_view(&got->body));
	note_end(x, buf_view(&got->body));
	buf_reset(&got->body);
	if (whole)
		reply_end(&out, &plan);
	x->trace.status = got->status;
	x->trace.ttfb_ms = clock_mono_ms() - x->started_ms;
	/* The end of the connection will be that of the answer: until it is whole nothing may look like it. */
	if (plan.framing == REPLY_UNTIL_CLOSE)
		conn_set_cut(x->conn, true);
	conn_send(x->conn, buf_view(&out));
	if (!whole)
		whole = stream(x, &plan);
	if (x->forward->done)
		pick_release(&x->pick);	/* however long the client takes for the rest */
	if (!conn_finish(x->conn, clock_mono_ms() + x->config->upstream_idle_timeout_seconds * 1000))
		client_left(x);
	else if (whole && plan.framing == REPLY_UNTIL_CLOSE)
		conn_set_cut(x->conn, false);
	buf_free(&out);
}

/* No answer of any kind came back from anywhere. */
static void
refuse_unreachable(struct exchange *x, enum trouble trouble)
{
	char message[800], why[400];
	struct refusal no = {
		.status = trouble == TROUBLE_TIMEOUT ? 504 : 502,
		.code = trouble == TROUBLE_TIMEOUT ? "timeout" : "upstream_error",
		.message = message,
		.hint = trouble == TROUBLE_TLS ?
		    N_("Check the certificate of KMI_UPSTREAM_BASE_URL, or trust its CA with KMI_UPSTREAM_CA_FILE") :
		    N_("Check the network and KMI_UPSTREAM_BASE_URL, then send the request again"),
	};

	snprintf(message, sizeof(message), text_in(x->config->locale, "the upstream could not answer: %s"),
	    kept_words_in(x->config->locale, x->forward->error, why, sizeof(why)));
	exchange_refuse(x, &no, 0, (struct str){ 0 });
}

/* ---- the way ------------------------------------------------------------------------------------------------ */

/* A server fault on the way, to be held against its key if another does better. */
struct failed {
	char *label;
	struct judgement judgement;
	time_t started;
};

/* Keys that failed with a server fault rest, now that another did better. */
static void
rest_failed(struct exchange *x, const struct failed *failed, int count)
{
	for (int i = 0; i < count; i++)
		if (failed[i].label && strcmp(failed[i].label, x->pick.label) != 0)
			booking_rest(x->keyring, failed[i].label, &failed[i].judgement, failed[i].started);
}

/* Full jitter: anything up to the step, so that many clients do not come back at the same moment. */
static int64_t
backoff_ms(const struct config *c, int again)
{
	int64_t step = c->proxy_retry_base_ms << (again > 6 ? 6 : again);

	return step > 0 ? digest_below((unsigned)(step > 60000 ? 60000 : step)) : 0;
}

/* Another attempt: on another key, or after a pause on the same one. False: this was the last. */
static bool
another(struct exchange *x, const struct judgement *j, int made)
{
	struct pick_none none;
	enum pick_answer answer;

	if (made > x->config->proxy_retry_max || made >= PICK_TRIED_MAX || made >= TRACE_ATTEMPTS_MAX)
		return false;
	if (j->retry_other) {
		answer = pick_next(x->keyring, &x->picking, &x->pick, &none);
		pick_none_free(&none);
		note_pick(x);
		if (answer == PICK_KEY)
			return true;
	}
	return j->retry_same && pause_ms(x, backoff_ms(x->config, made - 1)) &&
	    pick_again(x->keyring, &x->pick) == 0;
}

static void
forward_request(struct exchange *x)
{
	struct forward *fw = x->forward;
	struct failed failed[TRACE_ATTEMPTS_MAX];	/* only the first failed_count are set */
	int made = 0, failed_count = 0;
	struct fail f;

	for (;;) {
		struct judgement j;
		bool stays = attempt(x, &f);
		bool good;

		made++;
		note_pick(x);
		if (made == 1)
			x->trace.connect_ms = fw->connect_ms;
		if (!stays) {
			note_attempt(x, fw->got.status, "client_gone", clock_mono_ms() - fw->started_ms);
			client_left(x);
			break;
		}
		judge(x, &j);
		note_attempt(x, fw->got.head_complete ? fw->got.status : 0, verdict_name(j.verdict),
		    clock_mono_ms() - fw->started_ms);
		good = j.verdict == VERDICT_OK || j.verdict == VERDICT_REQUEST;
		if (!good) {
			booking_add(x->keyring, &x->pick, &j);
			if (j.verdict == VERDICT_SERVER)
				failed[failed_count++] = (struct failed){ strdup(x->pick.label), j, x->pick.started };
			if (fw->got.head_complete && fw->trouble == TROUBLE_NONE && fw->done && fw->got.status != 101) {
				/* Whole, and maybe the best there will be. */
				forward_take(fw, &x->kept);
				set_code(x->kept_code, j.error_code);
			}
			if (another(x, &j, made))
				continue;
			if (x->conn->gone) {
				client_left(x);
				break;
			}
		}
		set_code(x->trace.error_code, j.verdict == VERDICT_OK ? "" : j.error_code);
		if (x->kept.status && !good) {
			set_code(x->trace.error_code, x->kept_code);
			pass_on(x, &x->kept, true);
		} else if (good || j.status >= 200) {
			pass_on(x, &fw->got, fw->done && fw->trouble == TROUBLE_NONE);
		} else {
			refuse_unreachable(x, fw->trouble);
			set_code(x->trace.error_code, j.error_code);
		}
		if (good) {
			booking_add(x->keyring, &x->pick, &j);
			rest_failed(x, failed, failed_count);
		}
		break;
	}
	forward_stop(fw);
	pick_release(&x->pick);
	for (int i = 0; i < failed_count; i++)
		free(failed[i].label);
}

static void
pretend(struct exchange *x)
{
	const struct request *r = x->request;
	struct dryrun_ask ask = {
		.method = r->method,
		.path = x->path,
		.body = buf_view(&r->body),
		.base_url = x->pick.base_url,
		.key_label = x->pick.label,
		.request_id = x->trace.request_id,
		.now = clock_wall(),
	};
	struct judgement ok = { .verdict = VERDICT_OK };
	struct dryrun_answer answer;
	struct buf out = BUF(1u << 20);
	struct reply_own own = { .request_id = x->trace.request_id, .header = "X-KMI-Dry-Run: true", .cors = x->cors,
		.keep = x->keep, .head_only = str_is(r->method, "HEAD"), .minor = r->minor };

	note_pick(x);
	dryrun_answer(&ask, &answer);
	own.status = answer.status;
	own.body = buf_view(&answer.body);
	own.chunked = answer.stream;
	own.content_type = answer.stream ? "text/event-stream" : "application/json";
	reply_own(&out, &own);
	conn_send(x->conn, buf_view(&out));
	keep_tail(x, own.body);
	x->trace.status = answer.status;
	x->trace.dry_run = true;
	x->trace.ttfb_ms = clock_mono_ms() - x->started_ms;
	note_attempt(x, answer.status, "ok", 0);
	booking_add(x->keyring, &x->pick, &ok);
	buf_free(&answer.body);
	buf_free(&out);
}

/*
 * Which conversation the request belongs to: what it calls itself, in the body or in a header, else how it
 * began, for clients send that again with every turn.
 */
static void
find_session(const struct exchange *x, char session[DIGEST_SHORT_SIZE])
{
	static const char *const headers[] = { "X-Session-Id", "Session-Id", "session_id", "X-Conversation-Id", NULL };
	struct prompt p;

	prompt_read(&p, buf_view(&x->request->body), true);
	memcpy(session, *p.session ? p.session : p.opening, DIGEST_SHORT_SIZE);
	for (const char *const *name = headers; !*p.session && *name; name++) {
		const struct header *h = request_header(x->request, *name);

		if (h && h->value.n) {
			digest_short(h->value, session);
			return;
		}
	}
}

void
exchange_run(struct exchange *x)
{
	x->tail = BUF(3 * TAIL_MAX);
	picking_init(&x->picking);
	if (x->config->rotate_strategy == ROTATE_SESSION)
		find_session(x, x->picking.session);
	if (!first_pick(x))
		return;
	if (x->config->dry_run)
		pretend(x);
	else
		forward_request(x);
}
