#include "tls/tunnel.h"

#include "base/clock.h"

#include <bearssl/bearssl.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALL_MS 30000		/* a client that takes nothing of what is left for it */
#define LINGER_MS 2000
#define TICK_MS 10

struct tunnel {
	br_ssl_server_context server;
	unsigned char buffer[BR_SSL_BUFSIZE_BIDI];
	int fd;
	bool started;		/* a byte of the client's was seen */
	bool plain;		/* and it was the beginning of HTTP */
	bool gone;		/* the client has closed, or cannot be reached */
};

/* ---- what is offered ---------------------------------------------------------------------------------------- */

static const struct suite {
	uint16_t number;
	const char *name;
} suites[] = {
	{ BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256" },
	{ BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256" },
	{ BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384" },
	{ BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384" },
	{ BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305" },
	{ BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305" },
};

#define SUITES (sizeof(suites) / sizeof(*suites))

/* In the order of preference; without AES in the processor, the two that do without it come first. */
static void
offer_suites(br_ssl_engine_context *e)
{
	size_t first = br_aes_x86ni_ctr_get_vtable() || br_aes_pwr8_ctr_get_vtable() ? 0 : 4;
	uint16_t numbers[SUITES];

	for (size_t i = 0; i < SUITES; i++)
		numbers[i] = suites[(first + i) % SUITES].number;
	br_ssl_engine_set_suites(e, numbers, SUITES);
}

static void
offer(br_ssl_server_context *s)
{
	static const char *protocols[] = { "http/1.1" };
	br_ssl_engine_context *e = &s->eng;

	br_ssl_server_zero(s);
	br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
	offer_suites(e);
	/* No SHA-1: nobody who speaks TLS 1.2 needs it. */
	br_ssl_engine_set_hash(e, br_sha256_ID, &br_sha256_vtable);
	br_ssl_engine_set_hash(e, br_sha384_ID, &br_sha384_vtable);
	br_ssl_engine_set_hash(e, br_sha512_ID, &br_sha512_vtable);
	br_ssl_engine_set_prf_sha256(e, br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(e, br_tls12_sha384_prf);
	br_ssl_engine_set_default_ec(e);
	br_ssl_engine_set_default_aes_gcm(e);
	br_ssl_engine_set_default_chapol(e);
	br_ssl_engine_set_protocol_names(e, protocols, 1);
	br_ssl_engine_add_flags(e, BR_OPT_ENFORCE_SERVER_PREFERENCES | BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
}

struct tunnel *
tunnel_open(int fd, const struct credential *c, struct sessions *s, struct fail *f)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	unsigned char seed[32];
	int yes = 1;

	if (!t) {
		fail_memory(f);
		return NULL;
	}
	t->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));	/* pieces do not wait for each other */
	offer(&t->server);
	credential_use(c, &t->server);
	if (s)
		sessions_use(s, &t->server);
	br_ssl_engine_set_buffer(&t->server.eng, t->buffer, sizeof(t->buffer), 1);
	/* Up to 256 bytes never fail nor come short once the system is up. */
	while (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		;
	br_ssl_engine_inject_entropy(&t->server.eng, seed, sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
	if (!br_ssl_server_reset(&t->server)) {
		fail_set(f, FAIL_SYSTEM, "TLS cannot be prepared (code %d)", br_ssl_engine_last_error(&t->server.eng));
		tunnel_close(t);
		return NULL;
	}
	return t;
}

void
tunnel_close(struct tunnel *t)
{
	if (!t)
		return;
	explicit_bzero(t, sizeof(*t));
	free(t);
}

const char *
tunnel_cipher(const struct tunnel *t)
{
	br_ssl_session_parameters p;
	const char *name = "?";

	br_ssl_engine_get_session_parameters(&t->server.eng, &p);
	for (size_t i = 0; i < SUITES; i++)
		if (suites[i].number == p.cipher_suite)
			name = suites[i].name;
	explicit_bzero(&p, sizeof(p));
	return name;
}

/* ---- records, to and from the client ------------------------------------------------------------------------ */

static unsigned
state(const struct tunnel *t)
{
	return br_ssl_engine_current_state(&t->server.eng);
}

static bool
would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* Returns how many bytes went out. */
static size_t
send_records(struct tunnel *t)
{
	size_t all = 0;

	while (!t->gone && (state(t) & BR_SSL_SENDREC)) {
		size_t n;
		const unsigned char *p = br_ssl_engine_sendrec_buf(&t->server.eng, &n);
		ssize_t out = send(t->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (would_block(out))
			break;
		if (out <= 0) {
			t->gone = true;
			break;
		}
		br_ssl_engine_sendrec_ack(&t->server.eng, (size_t)out);
		all += (size_t)out;
	}
	return all;
}

static void
receive_records(struct tunnel *t)
{
	size_t n;
	unsigned char *p = br_ssl_engine_recvrec_buf(&t->server.eng, &n);
	ssize_t in = p ? recv(t->fd, p, n, MSG_DONTWAIT) : 0;

	if (!p || would_block(in))
		return;
	if (in <= 0) {
		t->gone = true;
		return;
	}
	/* A handshake begins with 0x16. A letter is the beginning of GET, POST, ... */
	t->plain = !t->started && ((p[0] >= 'A' && p[0] <= 'Z') || (p[0] >= 'a' && p[0] <= 'z'));
	t->started = true;
	if (!t->plain)
		br_ssl_engine_recvrec_ack(&t->server.eng, (size_t)in);
}

/* Waits for what the engine wants of the client; false when the time is over. */
static bool
wait_for_client(const struct tunnel *t, int64_t until_ms)
{
	unsigned s = state(t);
	int64_t left = until_ms - clock_mono_ms();
	struct pollfd p = { .fd = t->fd };

	if (s & BR_SSL_RECVREC)
		p.events |= POLLIN;
	if (s & BR_SSL_SENDREC)
		p.events |= POLLOUT;
	if (left <= 0)
		return false;
	left = poll(&p, 1, (int)left);
	return left > 0 || (left < 0 && errno == EINTR);
}

/* ---- the ends ----------------------------------------------------------------------------------------------- */

/* Closing while bytes of the client's are unread would make the kernel destroy what is on its way to him. */
static void
linger(int fd)
{
	int64_t until = clock_mono_ms() + LINGER_MS, left;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char scrap[4096];

	shutdown(fd, SHUT_WR);
	while ((left = until - clock_mono_ms()) > 0 && poll(&p, 1, (int)left) > 0)
		if (recv(fd, scrap, sizeof(scrap), MSG_DONTWAIT) <= 0)
			return;
}

/* Everything that is queued goes out while the client takes some of it at all. */
static bool
flush_records(struct tunnel *t)
{
	int64_t until = clock_mono_ms() + STALL_MS;

	while (!t->gone && (state(t) & BR_SSL_SENDREC)) {
		struct pollfd p = { .fd = t->fd, .events = POLLOUT };

		if (send_records(t) > 0) {
			until = clock_mono_ms() + STALL_MS;
			continue;
		}
		if (clock_mono_ms() >= until)
			return false;
		poll(&p, 1, 1000);
	}
	return !t->gone;
}

/* "That was all", as TLS says it. */
static void
end_in_order(struct tunnel *t)
{
	br_ssl_engine_close(&t->server.eng);
	if (flush_records(t))
		linger(t->fd);
}

/* What was cut must not look complete: no close_notify, and a reset, which comes after the last byte has arrived. */
static void
end_cut(struct tunnel *t)
{
	int64_t until = clock_mono_ms() + LINGER_MS;
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	int left = 0;

	while (!t->gone && clock_mono_ms() < until && ioctl(t->fd, SIOCOUTQ, &left) == 0 && left > 0)
		poll(NULL, 0, TICK_MS);
	setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/* ---- the handshake ------------------------------------------------------------------------------------------ */

static void
explain_alert(int alert, struct fail *f)
{
	switch (alert) {
	case 42:
	case 43:
	case 46:
	case 48:
		fail_set(f, FAIL_INPUT, "the client does not trust the certificate (alert %d)", alert);
		return;
	case 45:
		fail_set(f, FAIL_INPUT, "for the client the certificate has ended (alert %d)", alert);
		return;
	}
	fail_set(f, FAIL_INPUT, "the client gave up (alert %d)", alert);
}

static void
explain(int code, struct fail *f)
{
	switch (code) {
	case BR_ERR_SEND_FATAL_ALERT + 40:
		fail_set(f, FAIL_INPUT, "the client offers no cipher suite or curve that is served");
		return;
	case BR_ERR_SEND_FATAL_ALERT + 70:
	case BR_ERR_UNSUPPORTED_VERSION:
	case BR_ERR_BAD_VERSION:
		fail_set(f, FAIL_INPUT, "the client does not speak TLS 1.2");
		return;
	case BR_ERR_SEND_FATAL_ALERT + 120:
		fail_set(f, FAIL_INPUT, "the client does not speak HTTP/1.1 (ALPN)");
		return;
	}
	if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT)
		explain_alert(code - BR_ERR_RECV_FATAL_ALERT, f);
	else
		fail_set(f, FAIL_INPUT, "what the client sends is not TLS, or damaged (code %d)", code);
}

/* One turn: true when there is an outcome. */
static bool
shake(struct tunnel *t, int64_t until_ms, enum tunnel_start *outcome, struct fail *f)
{
	*outcome = TUNNEL_FAILED;
	send_records(t);
	if (state(t) & BR_SSL_CLOSED) {
		explain(br_ssl_engine_last_error(&t->server.eng), f);
	} else if (t->gone) {
		fail_set(f, FAIL_INPUT, "the client left in the middle");
	} else if (state(t) & BR_SSL_SENDAPP) {
		*outcome = TUNNEL_SECURE;
	} else if (!wait_for_client(t, until_ms)) {
		fail_set(f, FAIL_INPUT, "the client did not finish in time");
	} else {
		if (state(t) & BR_SSL_RECVREC)
			receive_records(t);
		*outcome = TUNNEL_PLAIN;
		return t->plain;
	}
	return true;
}

enum tunnel_start
tunnel_handshake(struct tunnel *t, int64_t until_ms, struct fail *f)
{
	enum tunnel_start outcome;

	while (!shake(t, until_ms, &outcome, f))
		;
	if (outcome != TUNNEL_FAILED)
		return outcome;
	/* An alert may be on its way; one who is only slow gets none. */
	if (!t->gone && (state(t) & BR_SSL_CLOSED))
		linger(t->fd);
	return t->started ? TUNNEL_FAILED : TUNNEL_NOTHING;
}

/* ---- plaintext ---------------------------------------------------------------------------------------------- */

enum link_end { LINK_OPEN, LINK_DONE, LINK_CUT };

struct link {
	int fd;
	bool noticed;		/* that it ends was seen, before its last bytes are read */
	enum link_end will;	/* and how */
	enum link_end end;	/* all of it is read */
	bool deaf;		/* nobody reads there any more */
	int64_t until_ms;	/* when noticed: the client has to take something by then */
};

/* Shut down for writing, its program waits for us; closed, the program is gone and cannot have meant it so. */
static void
notice_end(struct link *l, short events)
{
	if (l->noticed || !(events & (POLLRDHUP | POLLHUP | POLLERR)))
		return;
	l->noticed = true;
	l->until_ms = clock_mono_ms() + STALL_MS;
	l->will = events & (POLLHUP | POLLERR) ? LINK_CUT : LINK_DONE;
}

static void
from_link(struct tunnel *t, struct link *l)
{
	size_t n;
	unsigned char *p = br_ssl_engine_sendapp_buf(&t->server.eng, &n);
	ssize_t in = p ? recv(l->fd, p, n, MSG_DONTWAIT) : -1;

	if (!p || would_block(in))
		return;
	if (in <= 0) {
		l->end = in == 0 && l->will == LINK_DONE ? LINK_DONE : LINK_CUT;
		return;
	}
	br_ssl_engine_sendapp_ack(&t->server.eng, (size_t)in);
	br_ssl_engine_flush(&t->server.eng, 0);
}

static void
to_link(struct tunnel *t, struct link *l)
{
	size_t n;
	const unsigned char *p = br_ssl_engine_recvapp_buf(&t->server.eng, &n);
	ssize_t out = p && !l->deaf ? send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : (ssize_t)n;

	if (!p || would_block(out))
		return;
	if (out <= 0) {
		l->deaf = true;
		out = (ssize_t)n;
	}
	br_ssl_engine_recvapp_ack(&t->server.eng, (size_t)out);
}

/* Asks only for what can be dealt with, so that either end holds the other back and nothing spins. */
static void
watch(const struct tunnel *t, const struct link *l, struct pollfd fds[2])
{
	unsigned s = state(t);

	fds[0] = (struct pollfd){ .fd = t->fd, .events = s & BR_SSL_RECVREC ? POLLIN : POLLRDHUP };
	if (s & BR_SSL_SENDREC)
		fds[0].events |= POLLOUT;
	fds[1] = (struct pollfd){ .fd = l->fd, .events = l->noticed ? 0 : POLLRDHUP };
	if ((s & BR_SSL_SENDAPP) && l->end == LINK_OPEN)
		fds[1].events |= POLLIN;
	if (s & BR_SSL_RECVAPP)
		fds[1].events |= POLLOUT;
	if (fds[1].events == 0)
		fds[1].fd = -1;
}

/* How long there may still be a turn; -1: as long as the handler likes. */
static int
time_left(const struct link *l)
{
	int64_t left = l->until_ms - clock_mono_ms();

	return !l->noticed ? -1 : left > 0 ? (int)left : 0;
}

static void
turn(struct tunnel *t, struct link *l)
{
	struct pollfd fds[2];
	int n;

	watch(t, l, fds);
	n = time_left(l) == 0 ? 0 : poll(fds, 2, time_left(l));
	/* Nobody is left at the one end, and at the other nobody who takes what he said, whatever that one sends. */
	if (n == 0)
		t->gone = true;
	if (n <= 0)
		return;
	notice_end(l, fds[1].revents);
	if (fds[0].revents && (state(t) & BR_SSL_RECVREC))
		receive_records(t);
	else if (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR))
		t->gone = true;
	if (state(t) & BR_SSL_RECVAPP)
		to_link(t, l);
	if ((state(t) & BR_SSL_SENDAPP) && l->end == LINK_OPEN && (fds[1].revents & ~POLLOUT))
		from_link(t, l);
	if (send_records(t) > 0)
		l->until_ms = clock_mono_ms() + STALL_MS;
}

void
tunnel_relay(struct tunnel *t, int fd)
{
	struct link l = { .fd = fd };

	while (!t->gone && !(state(t) & BR_SSL_CLOSED) && l.end == LINK_OPEN)
		turn(t, &l);
	if (l.end == LINK_DONE) {
		end_in_order(t);
	} else if (t->gone || l.end == LINK_CUT) {
		flush_records(t);
		end_cut(t);
	}
}

/* ---- an answer of our own ----------------------------------------------------------------------------------- */

void
tunnel_answer(struct tunnel *t, struct str answer)
{
	while (answer.n && (state(t) & BR_SSL_SENDAPP)) {
		size_t n;
		unsigned char *p = br_ssl_engine_sendapp_buf(&t->server.eng, &n);

		n = n < answer.n ? n : answer.n;
		memcpy(p, answer.p, n);
		br_ssl_engine_sendapp_ack(&t->server.eng, n);
		br_ssl_engine_flush(&t->server.eng, 0);
		answer = str_sub(answer, n, answer.n);
		flush_records(t);
	}
	end_in_order(t);
}

void
tunnel_answer_plain(int fd, struct str answer)
{
	if (send(fd, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)answer.n)
		linger(fd);
}
