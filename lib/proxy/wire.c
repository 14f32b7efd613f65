#include "proxy/wire.h"

#include "base/clock.h"
#include "base/curl_words.h"
#include "base/trust.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 4
#define SOCKETS_MAX 8		/* one is in use, two while a name resolves or addresses race */
#define FDS_MAX 4
#define HOUR_MS 3600000
#define SSL_HAS_RECEIVED_SHUTDOWN 2	/* OpenSSL's SSL_RECEIVED_SHUTDOWN */

struct line {
	CURL *easy;
	char *host;		/* "https://host:port" */
	bool open;
	curl_socket_t fd;
	int64_t used_ms;
};

struct wire_lines {
	CURLM *multi;
	struct line line[LINES_MAX];
	struct line *now;	/* the one in use */
	struct trust trust;
	long connect_timeout_ms;
	bool no_proxy;
	char error[CURL_ERROR_SIZE];
	/* While one connects: what libcurl waits for. */
	struct pollfd sockets[SOCKETS_MAX];	/* fd -1 = free */
	int64_t timer_ms;	/* when it wants to be called anyway, monotonic; -1 = not at all */
};

int
wire_global(struct fail *f)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail_set(f, FAIL_SYSTEM, "libcurl does not start");
	return 0;
}

static bool
is_set(const char *name)
{
	const char *v = getenv(name);

	return v && *v;
}

/* libcurl says which sockets it waits for, so that one poll() covers them and the client. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct wire_lines *l = arg;
	struct pollfd *free_slot = NULL, *slot = NULL;

	(void)easy;
	(void)of_socket;
	for (int i = 0; i < SOCKETS_MAX; i++) {
		if (l->sockets[i].fd == fd)
			slot = &l->sockets[i];
		else if (l->sockets[i].fd < 0 && !free_slot)
			free_slot = &l->sockets[i];
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
	struct wire_lines *l = arg;

	(void)multi;
	l->timer_ms = after_ms < 0 ? -1 : clock_mono_ms() + after_ms;
	return 0;
}

int
wire_open(struct wire *w, const struct config *c, struct fail *f)
{
	struct wire_lines *l = calloc(1, sizeof(*l));

	*w = (struct wire){ .lines = l };
	if (!l)
		return fail_memory(f);
	for (int i = 0; i < SOCKETS_MAX; i++)
		l->sockets[i].fd = -1;
	l->timer_ms = -1;
	l->connect_timeout_ms = (long)c->upstream_connect_timeout_seconds * 1000;
	l->no_proxy = !is_set("https_proxy") && !is_set("HTTPS_PROXY") && !is_set("all_proxy") && !is_set("ALL_PROXY");
	if (trust_find(&l->trust, c, f) < 0)
		return -1;
	l->multi = curl_multi_init();
	if (!l->multi)
		return fail_memory(f);
	curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, 2L * LINES_MAX);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	return 0;
}

/* A handle that only connects owns its connection: taking it out of the multi closes that. */
static void
hang_up(struct wire_lines *l, struct line *line)
{
	if (line->open)
		curl_multi_remove_handle(l->multi, line->easy);
	line->open = false;
}

void
wire_close(struct wire *w)
{
	struct wire_lines *l = w->lines;

	for (int i = 0; l && i < LINES_MAX; i++) {
		hang_up(l, &l->line[i]);
		curl_easy_cleanup(l->line[i].easy);
		free(l->line[i].host);
	}
	if (l) {
		curl_multi_cleanup(l->multi);
		trust_free(&l->trust);
		free(l);
	}
	*w = (struct wire){ 0 };
}

static enum trouble
trouble_of(CURLcode code)
{
	switch ((int)code) {
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
		return TROUBLE_CONNECT;
	}
}

static void
note(struct wire *w, CURLcode code)
{
	w->trouble = trouble_of(code);
	curl_words(w->lines->now->easy, code, w->lines->error, w->error, sizeof(w->error));
}

/* How long the part of a base URL is that names the host: "https://host:port". */
static size_t
host_length(const char *base_url)
{
	const char *authority = strstr(base_url, "://");

	authority = authority ? authority + 3 : base_url;
	return (size_t)(authority - base_url) + strcspn(authority, "/");
}

/* Whether an idle connection is still one: it has nothing to say. (What TLS says for itself is taken in here.) */
static bool
is_alive(const struct line *line)
{
	char byte;
	size_t n = 0;

	return curl_easy_recv(line->easy, &byte, 1, &n) == CURLE_AGAIN;
}

/* The line for a host: its own (libcurl keeps the TLS session of the last time), else a free one, else the oldest. */
static struct line *
choose_line(struct wire_lines *l, const char *base_url)
{
	size_t n = host_length(base_url);
	struct line *best = NULL;

	for (int i = 0; i < LINES_MAX; i++) {
		struct line *line = &l->line[i];

		if (line->host && strlen(line->host) == n && strncmp(line->host, base_url, n) == 0)
			return line;
		if (!best || line->used_ms < best->used_ms)
			best = line;
	}
	hang_up(l, best);
	free(best->host);
	best->host = strndup(base_url, n);
	return best->host ? best : NULL;
}

static int
dial(struct wire_lines *l, struct line *line, struct fail *f)
{
	CURL *e = line->easy ? line->easy : (line->easy = curl_easy_init());

	if (!e)
		return fail_memory(f);
	curl_easy_setopt(e, CURLOPT_URL, line->host);
	curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, l->connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, l->error);
	if (l->no_proxy)
		curl_easy_setopt(e, CURLOPT_PROXY, "");
	trust_set(&l->trust, e);
	if (curl_multi_add_handle(l->multi, e) != CURLM_OK)
		return fail_set(f, FAIL_SYSTEM, "libcurl does not take the connection");
	line->open = true;
	return 0;
}

int
wire_take(struct wire *w, const char *base_url, bool fresh, struct fail *f)
{
	struct wire_lines *l = w->lines;
	struct line *line = choose_line(l, base_url);

	if (!line)
		return fail_memory(f);
	l->now = line;
	l->error[0] = w->error[0] = '\0';
	w->trouble = TROUBLE_NONE;
	w->was_idle = line->open && !fresh && is_alive(line);
	if (w->was_idle) {
		w->stage = WIRE_READY;
		return 0;
	}
	hang_up(l, line);
	w->stage = WIRE_CONNECTING;
	return dial(l, line, f);
}

/* Has the connection come about, or failed? */
static void
collect(struct wire *w)
{
	struct wire_lines *l = w->lines;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(l->multi, &left))) {
		if (m->msg != CURLMSG_DONE || m->easy_handle != l->now->easy)
			continue;
		w->stage = WIRE_BROKEN;
		if (m->data.result != CURLE_OK)
			note(w, m->data.result);
		else if (curl_easy_getinfo(l->now->easy, CURLINFO_ACTIVESOCKET, &l->now->fd) != CURLE_OK ||
		    l->now->fd == CURL_SOCKET_BAD)
			note(w, CURLE_COULDNT_CONNECT);
		else
			w->stage = WIRE_READY;
	}
}

/* Milliseconds for poll(), from now until a time. */
static int
span_ms(int64_t until_ms)
{
	int64_t left = until_ms - clock_mono_ms();

	return left <= 0 ? 0 : left > HOUR_MS ? HOUR_MS : (int)left;
}

static void
wait_connecting(struct wire *w, struct pollfd *fds, unsigned count, int64_t until_ms)
{
	struct wire_lines *l = w->lines;
	struct pollfd all[SOCKETS_MAX + FDS_MAX];
	int running, n = 0;

	if (l->timer_ms < 0 || l->timer_ms > clock_mono_ms()) {
		memcpy(all, l->sockets, sizeof(l->sockets));
		memcpy(all + SOCKETS_MAX, fds, count * sizeof(*fds));
		n = poll(all, SOCKETS_MAX + count, span_ms(l->timer_ms >= 0 && l->timer_ms < until_ms ? l->timer_ms : until_ms));
	}
	for (unsigned i = 0; n > 0 && i < count; i++)
		fds[i].revents = all[SOCKETS_MAX + i].revents;
	for (int i = 0; n > 0 && i < SOCKETS_MAX; i++) {
		short got = all[i].fd >= 0 ? all[i].revents : 0;
		int what = (got & POLLIN ? CURL_CSELECT_IN : 0) | (got & POLLOUT ? CURL_CSELECT_OUT : 0) |
		    (got & (POLLERR | POLLHUP | POLLNVAL) ? CURL_CSELECT_ERR | CURL_CSELECT_IN : 0);

		if (what)
			curl_multi_socket_action(l->multi, all[i].fd, what, &running);
	}
	if (l->timer_ms >= 0 && clock_mono_ms() >= l->timer_ms) {
		l->timer_ms = -1;
		curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect(w);
}

short
wire_wait(struct wire *w, short events, struct pollfd *fds, unsigned count, int64_t until_ms)
{
	struct pollfd all[1 + FDS_MAX] = { { .fd = -1 } };

	for (unsigned i = 0; i < count; i++)
		fds[i].revents = 0;
	if (w->stage == WIRE_CONNECTING) {
		wait_connecting(w, fds, count, until_ms);
		return 0;
	}
	if (w->stage == WIRE_READY && events)
		all[0] = (struct pollfd){ .fd = w->lines->now->fd, .events = events };
	memcpy(all + 1, fds, count * sizeof(*fds));
	if (poll(all, 1 + count, span_ms(until_ms)) <= 0)
		return 0;
	for (unsigned i = 0; i < count; i++)
		fds[i].revents = all[1 + i].revents;
	return all[0].revents;
}

ssize_t
wire_send(struct wire *w, const char *p, size_t n)
{
	size_t sent = 0;
	CURLcode code = curl_easy_send(w->lines->now->easy, p, n < WIRE_PIECE ? n : WIRE_PIECE, &sent);

	if (code == CURLE_OK)
		return (ssize_t)sent;
	if (code == CURLE_AGAIN)
		return 0;
	note(w, code);
	return -1;
}

ssize_t
wire_receive(struct wire *w, char *p, size_t n, bool *end)
{
	size_t got = 0;
	CURLcode code = curl_easy_recv(w->lines->now->easy, p, n, &got);

	*end = code == CURLE_OK && got == 0;
	if (code == CURLE_OK)
		return (ssize_t)got;
	if (code == CURLE_AGAIN)
		return 0;
	note(w, code);
	return -1;
}

/*
 * libcurl calls both an end. It does not hand on the difference either, so OpenSSL is asked, which libcurl
 * has loaded; where libcurl stands on another library every end counts.
 */
bool
wire_ended_in_order(const struct wire *w)
{
	int (*get_shutdown)(const void *) = NULL;
	struct curl_tlssessioninfo *tls = NULL;

	*(void **)&get_shutdown = dlsym(RTLD_DEFAULT, "SSL_get_shutdown");
	if (!get_shutdown || curl_easy_getinfo(w->lines->now->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls ||
	    tls->backend != CURLSSLBACKEND_OPENSSL || !tls->internals)
		return true;
	return get_shutdown(tls->internals) & SSL_HAS_RECEIVED_SHUTDOWN;
}

void
wire_put_back(struct wire *w, bool keep)
{
	struct wire_lines *l = w->lines;

	if (!l || !l->now)
		return;
	if (!keep || w->stage != WIRE_READY)
		hang_up(l, l->now);
	l->now->used_ms = clock_mono_ms();
	l->now = NULL;
	w->stage = WIRE_NONE;
}
