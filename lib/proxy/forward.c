#include "proxy/forward.h"

#include "base/clock.h"
#include "base/trust.h"
#include "proxy/access.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_HEAD_MAX (256u << 10)
#define ANSWER_HEADERS_MAX 512

#define SOCKETS_MAX 8		/* one is in use, two while a name resolves or addresses race */

struct forward_wire {
	CURLM *multi;
	struct pollfd sockets[SOCKETS_MAX];	/* what libcurl waits for; fd -1 = free */
	int64_t timer_ms;	/* when libcurl wants to be called anyway, monotonic; -1 = not at all */
	CURL *easy;
	struct curl_slist *headers;
	struct buf target;
	bool added, paused;
	int64_t idle_ms;
	char error[CURL_ERROR_SIZE];
	struct trust trust;
	long connect_timeout_ms;
};

int
forward_global(struct fail *f)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail_set(f, FAIL_SYSTEM, "libcurl does not start");
	return 0;
}

static void
received_init(struct received *r)
{
	*r = (struct received){ .head = BUF(ANSWER_HEAD_MAX), .body = BUF(FORWARD_HOLD + 2 * CURL_MAX_WRITE_SIZE) };
}

/* libcurl says which sockets it waits for, so that one poll() covers them and the client. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct forward_wire *w = arg;
	struct pollfd *free_slot = NULL, *slot = NULL;

	(void)easy;
	(void)of_socket;
	for (int i = 0; i < SOCKETS_MAX; i++) {
		if (w->sockets[i].fd == fd)
			slot = &w->sockets[i];
		else if (w->sockets[i].fd < 0 && !free_slot)
			free_slot = &w->sockets[i];
	}
	if (what == CURL_POLL_REMOVE) {
		if (slot)
			slot->fd = -1;
		return 0;
	}
	if (!slot)
		slot = free_slot;
	if (!slot)
		return -1;
	slot->fd = fd;
	slot->events = (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
	return 0;
}

static int
on_timer(CURLM *multi, long after_ms, void *arg)
{
	struct forward_wire *w = arg;

	(void)multi;
	w->timer_ms = after_ms < 0 ? -1 : clock_mono_ms() + after_ms;
	return 0;
}

int
forward_open(struct forward *fw, const struct config *c, struct fail *f)
{
	struct forward_wire *w = calloc(1, sizeof(*w));

	*fw = (struct forward){
		.wire = w,
	};
	received_init(&fw->got);
	if (!w)
		return fail_memory(f);
	for (int i = 0; i < SOCKETS_MAX; i++)
		w->sockets[i].fd = -1;
	w->timer_ms = -1;
	w->target = BUF(REQUEST_HEAD_MAX + 8192);
	w->idle_ms = c->upstream_idle_timeout_seconds * 1000;
	w->connect_timeout_ms = (long)c->upstream_connect_timeout_seconds * 1000;
	if (trust_find(&w->trust, c, f) < 0)
		return -1;
	w->multi = curl_multi_init();
	w->easy = curl_easy_init();
	if (!w->multi || !w->easy)
		return fail_memory(f);
	curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, 4L);
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
	return 0;
}

static void
wipe_headers(struct forward_wire *w)
{
	for (struct curl_slist *h = w->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(w->headers);
	w->headers = NULL;
}

void
forward_close(struct forward *fw)
{
	if (fw->wire) {
		forward_stop(fw);
		curl_easy_cleanup(fw->wire->easy);
		curl_multi_cleanup(fw->wire->multi);
		buf_free(&fw->wire->target);
		trust_free(&fw->wire->trust);
		free(fw->wire);
	}
	received_free(&fw->got);
	*fw = (struct forward){ 0 };
}

static void
fault(struct forward *fw, enum trouble trouble, const char *words)
{
	fw->done = true;
	fw->trouble = trouble;
	snprintf(fw->error, sizeof(fw->error), "%s", words);
}

/* The head is whole: take the lines apart. They stay where libcurl's lines were collected. */
static int
take_head(struct forward *fw)
{
	struct received *got = &fw->got;
	struct str rest = buf_view(&got->head), line = str_trim(str_cut(&rest, '\n'));

	if (!got->headers && !(got->headers = calloc(ANSWER_HEADERS_MAX, sizeof(*got->headers))))
		return -1;
	got->header_count = 0;
	str_cut(&line, ' ');		/* HTTP/1.1 */
	str_cut(&line, ' ');		/* 200 */
	got->reason = line;
	while (rest.n) {
		struct header h;

		line = str_cut(&rest, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!line.n || !memchr(line.p, ':', line.n))
			continue;
		if (got->header_count == ANSWER_HEADERS_MAX)
			return -1;
		h.name = str_cut(&line, ':');
		h.value = str_trim(line);
		got->headers[got->header_count++] = h;
	}
	return 0;
}

static size_t
on_header(char *p, size_t one, size_t n, void *arg)
{
	struct forward *fw = arg;
	struct str line = { p, n * one };

	if (fw->head_complete)
		return n;	/* trailers: they end at this hop */
	if (str_starts(line, "HTTP/"))
		buf_reset(&fw->got.head);
	if (!str_trim(line).n) {
		long status = 0;

		curl_easy_getinfo(fw->wire->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 100 && status < 200 && status != 101)
			return n;	/* interim: the real one follows */
		fw->got.status = (int)status;
		if (take_head(fw) < 0)
			return 0;
		fw->head_complete = true;
		fw->last_byte_ms = clock_mono_ms();
		if (fw->first_byte_ms < 0)
			fw->first_byte_ms = fw->last_byte_ms - fw->started_ms;
		return status == 101 ? 0 : n;	/* nobody asked to switch protocols */
	}
	buf_str(&fw->got.head, line);
	return buf_bad(&fw->got.head) ? 0 : n;
}

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct forward *fw = arg;

	if (fw->got.body.n > FORWARD_HOLD) {
		fw->wire->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	fw->last_byte_ms = clock_mono_ms();
	buf_put(&fw->got.body, p, n * one);
	return buf_bad(&fw->got.body) ? 0 : n;
}

static int
add_header(struct forward_wire *w, struct str name, struct str value)
{
	struct buf line = BUF(REQUEST_HEAD_MAX + 16);
	struct curl_slist *more = NULL;

	buf_str(&line, name);
	/* libcurl reads "Name:" as "do not send it" and "Name;" as "send it empty". */
	if (value.n) {
		buf_puts(&line, ": ");
		buf_str(&line, value);
	} else {
		buf_putc(&line, ';');
	}
	if (!buf_bad(&line))
		more = curl_slist_append(w->headers, line.p);
	buf_wipe(&line);
	if (!more)
		return -1;
	w->headers = more;
	return 0;
}

static bool
stays_here(const struct forward_ask *ask, struct str name)
{
	return str_caseis(name, "Host") || str_caseis(name, "Content-Length") || str_caseis(name, "Expect") ||
	    access_is_credential(name) || request_hop_by_hop(ask->headers, ask->header_count, name);
}

static bool
client_sent(const struct forward_ask *ask, const char *name)
{
	for (size_t i = 0; i < ask->header_count; i++)
		if (str_caseis(ask->headers[i].name, name))
			return true;
	return false;
}

static int
make_headers(struct forward_wire *w, const struct forward_ask *ask)
{
	/* What libcurl would add by itself; "Name:" takes it out. */
	static const char *const uninvited[] = { "Accept", "User-Agent", "Content-Type", "Expect", NULL };
	struct buf bearer = BUF(ask->secret.n + 16);
	int rc = 0;

	for (size_t i = 0; i < ask->header_count && rc == 0; i++)
		if (!stays_here(ask, ask->headers[i].name))
			rc = add_header(w, ask->headers[i].name, ask->headers[i].value);
	for (const char *const *u = uninvited; *u && rc == 0; u++) {
		struct buf off = BUF(64);
		struct curl_slist *more;

		if (client_sent(ask, *u) && strcmp(*u, "Expect") != 0)
			continue;
		buf_printf(&off, "%s:", *u);
		more = curl_slist_append(w->headers, off.p);
		buf_free(&off);
		if (more)
			w->headers = more;
		else
			rc = -1;
	}
	if (rc == 0 && ask->form == KEY_AS_X_API_KEY) {
		rc = add_header(w, STR("x-api-key"), ask->secret);
	} else if (rc == 0) {
		buf_puts(&bearer, "Bearer ");
		buf_str(&bearer, ask->secret);
		rc = buf_bad(&bearer) ? -1 : add_header(w, STR("Authorization"), buf_view(&bearer));
	}
	buf_wipe(&bearer);
	return rc;
}

/* The request target: the path of the key's base URL, then what the client asked for, byte for byte. */
static void
make_target(struct buf *target, const struct forward_ask *ask)
{
	const char *host = strstr(ask->base_url, "://"), *path = host ? strchr(host + 3, '/') : NULL;

	buf_reset(target);
	if (path)
		buf_puts(target, path);
	buf_str(target, ask->path);
	if (!target->n)
		buf_putc(target, '/');
	if (ask->has_query) {
		buf_putc(target, '?');
		buf_str(target, ask->query);
	}
}

static void
set_method(struct forward *fw, const struct forward_ask *ask)
{
	CURL *e = fw->wire->easy;
	char method[64];

	snprintf(method, sizeof(method), "%.*s", STR_F(ask->method));
	if (ask->has_body || str_is(ask->method, "POST") || str_is(ask->method, "PUT") ||
	    str_is(ask->method, "PATCH")) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, ask->body.n ? ask->body.p : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body.n);
	} else if (str_is(ask->method, "HEAD")) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);	/* libcurl keeps a copy */
}

int
forward_start(struct forward *fw, const struct forward_ask *ask, struct fail *f)
{
	struct forward_wire *w = fw->wire;
	CURL *e = w->easy;

	forward_stop(fw);
	buf_reset(&fw->got.head);
	buf_reset(&fw->got.body);
	fw->head_complete = fw->done = false;
	fw->got.status = 0;
	fw->got.reason = (struct str){ 0 };
	fw->got.header_count = 0;
	fw->trouble = TROUBLE_NONE;
	fw->error[0] = w->error[0] = '\0';
	fw->connect_ms = fw->first_byte_ms = -1;
	fw->started_ms = fw->last_byte_ms = clock_mono_ms();
	w->paused = false;
	make_target(&w->target, ask);
	if (buf_bad(&w->target) || make_headers(w, ask) < 0)
		return fail_memory(f);

	curl_easy_reset(e);
	curl_easy_setopt(e, CURLOPT_URL, ask->base_url);
	curl_easy_setopt(e, CURLOPT_REQUEST_TARGET, w->target.p);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, w->connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, w->headers);
	curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, fw);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, fw);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, w->error);
	trust_set(&w->trust, e);
	set_method(fw, ask);
	if (curl_multi_add_handle(w->multi, e) != CURLM_OK)
		return fail_set(f, FAIL_SYSTEM, "libcurl does not take the request");
	w->added = true;
	return 0;
}

static enum trouble
trouble_of(CURLcode code, const struct forward *fw)
{
	switch ((int)code) {
	case CURLE_OK:
		return TROUBLE_NONE;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return TROUBLE_TLS;
	case CURLE_OPERATION_TIMEDOUT:
		return TROUBLE_TIMEOUT;
	default:
		return fw->head_complete ? TROUBLE_CUT : TROUBLE_CONNECT;
	}
}

static void
collect(struct forward *fw)
{
	struct forward_wire *w = fw->wire;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(w->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		fw->trouble = trouble_of(m->data.result, fw);
		if (fw->got.status == 101)
			fw->trouble = TROUBLE_CONNECT;
		if (fw->trouble != TROUBLE_NONE)
			snprintf(fw->error, sizeof(fw->error), "%s",
			    fw->got.status == 101 ? "upstream switched protocols unasked" :
			    w->error[0]       ? w->error :
						curl_easy_strerror(m->data.result));
		else if (!fw->head_complete)
			fault(fw, TROUBLE_CONNECT, "upstream closed without an answer");
		fw->done = true;
	}
	if (fw->connect_ms < 0 && (fw->head_complete || fw->done)) {
		curl_off_t us = 0;

		curl_easy_getinfo(w->easy, CURLINFO_APPCONNECT_TIME_T, &us);
		fw->connect_ms = us / 1000;
	}
}

/* One poll() over libcurl's sockets and the caller's; then libcurl is told what came. */
static void
wait_and_act(struct forward *fw, struct pollfd *fds, unsigned count, int64_t until_ms)
{
	struct forward_wire *w = fw->wire;
	struct pollfd all[SOCKETS_MAX + 4];
	int64_t now = clock_mono_ms();
	int running, n;

	if (w->timer_ms >= 0 && w->timer_ms < until_ms)
		until_ms = w->timer_ms;
	if (w->timer_ms >= 0 && w->timer_ms <= now) {
		/* libcurl has something to do at once: the common case at the start. Nobody needs to be asked first. */
		w->timer_ms = -1;
		curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		return;
	}
	memcpy(all, w->sockets, sizeof(w->sockets));
	memcpy(all + SOCKETS_MAX, fds, count * sizeof(*fds));
	n = poll(all, SOCKETS_MAX + count, until_ms <= now ? 0 : until_ms - now > 3600000 ? 3600000 : (int)(until_ms - now));
	for (unsigned i = 0; i < count; i++)
		fds[i].revents = n > 0 ? all[SOCKETS_MAX + i].revents : 0;
	for (int i = 0; n > 0 && i < SOCKETS_MAX; i++) {
		short got = all[i].fd >= 0 ? all[i].revents : 0;
		int what = (got & POLLIN ? CURL_CSELECT_IN : 0) | (got & POLLOUT ? CURL_CSELECT_OUT : 0) |
		    (got & (POLLERR | POLLHUP | POLLNVAL) ? CURL_CSELECT_ERR | CURL_CSELECT_IN : 0);

		if (what)
			curl_multi_socket_action(w->multi, all[i].fd, what, &running);
	}
	if (w->timer_ms >= 0 && clock_mono_ms() >= w->timer_ms) {
		w->timer_ms = -1;
		curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

void
forward_turn(struct forward *fw, struct pollfd *fds, unsigned count, int64_t until_ms)
{
	struct forward_wire *w = fw->wire;
	int64_t idle_at;
	int running;

	for (unsigned i = 0; i < count; i++)
		fds[i].revents = 0;
	if (w->paused && fw->got.body.n <= FORWARD_HOLD / 2) {
		w->paused = false;
		fw->last_byte_ms = clock_mono_ms();	/* it was we who were slow */
		curl_easy_pause(w->easy, CURLPAUSE_CONT);
		curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	} else if (!fw->done) {
		idle_at = fw->last_byte_ms + w->idle_ms;
		if (!w->paused && idle_at < until_ms)
			until_ms = idle_at;
		wait_and_act(fw, fds, count, until_ms);
	}
	collect(fw);
	if (!fw->done && !w->paused && clock_mono_ms() >= fw->last_byte_ms + w->idle_ms)
		fault(fw, TROUBLE_TIMEOUT, "upstream said nothing for too long");
}

void
forward_stop(struct forward *fw)
{
	struct forward_wire *w = fw->wire;

	if (w->added) {
		/* Taking out a request in mid-answer closes its connection, which ends it upstream. */
		curl_multi_remove_handle(w->multi, w->easy);
		w->added = false;
	}
	wipe_headers(w);
}

void
forward_take(struct forward *fw, struct received *to)
{
	received_free(to);
	*to = fw->got;
	received_init(&fw->got);
}

void
received_free(struct received *r)
{
	buf_free(&r->head);
	buf_free(&r->body);
	free(r->headers);
	*r = (struct received){ 0 };
}

const struct header *
received_header(const struct received *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (str_caseis(r->headers[i].name, name))
			return &r->headers[i];
	return NULL;
}
