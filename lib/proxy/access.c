#include "proxy/access.h"

#include "base/digest.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

/* First question: where from? */

enum { LACKS_REMOTE = 1, LACKS_TOKEN = 2, LACKS_TLS = 4 };

#define FROM_AFAR "this connection does not come in on loopback, and the proxy is not set up for that: "
#define REMOTE "KMI_PROXY_ALLOW_REMOTE is off"
#define TOKEN "KMI_PROXY_TOKEN is empty"
#define TLS "the connection is not encrypted"
#define DO_REMOTE "Set KMI_PROXY_ALLOW_REMOTE=1"
#define DO_TOKEN "set KMI_PROXY_TOKEN to a long random word"
#define DO_TLS "serve TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (or KMI_PROXY_TLS_TERMINATED=1 " \
	       "behind a TLS front, or KMI_PROXY_REQUIRE_TLS=0 on a network you trust)"
#define OR_LOOPBACK ". Or listen on 127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123."

static const struct {
	const char *message, *hint;
} from_afar[8] = {
	[1] = { N_(FROM_AFAR REMOTE), N_(DO_REMOTE OR_LOOPBACK) },
	[2] = { N_(FROM_AFAR TOKEN), N_("Please " DO_TOKEN OR_LOOPBACK) },
	[3] = { N_(FROM_AFAR REMOTE ", " TOKEN), N_(DO_REMOTE ", " DO_TOKEN OR_LOOPBACK) },
	[4] = { N_(FROM_AFAR TLS), N_("Please " DO_TLS OR_LOOPBACK) },
	[5] = { N_(FROM_AFAR REMOTE ", " TLS), N_(DO_REMOTE ", " DO_TLS OR_LOOPBACK) },
	[6] = { N_(FROM_AFAR TOKEN ", " TLS), N_("Please " DO_TOKEN ", " DO_TLS OR_LOOPBACK) },
	[7] = { N_(FROM_AFAR REMOTE ", " TOKEN ", " TLS), N_(DO_REMOTE ", " DO_TOKEN ", " DO_TLS OR_LOOPBACK) },
};

static bool
has_token(const struct config *c)
{
	return c->proxy_token && *c->proxy_token;
}

static bool
is_served_user(uid_t uid, const struct config *c)
{
	for (size_t i = 0; uid != (uid_t)-1 && c->proxy_unix_users[i]; i++)
		if (c->proxy_unix_uids[i] == uid)
			return true;
	return false;
}

/* At a unix socket the kernel tells who it is. */
static bool
may_be_that_user(const struct peer *peer, const struct config *c, struct refusal *no)
{
	if (!c->proxy_unix_users || !c->proxy_unix_users[0] || is_served_user(peer->uid, c))
		return true;
	*no = (struct refusal){ 403, ACCESS_USER,
		N_("the user at the other end of this unix socket is not one of those who are served"),
		N_("Name the user in KMI_PROXY_UNIX_USERS, or leave that empty to serve whoever may open the socket."), NULL };
	return false;
}

static bool
may_come_from_there(const struct peer *peer, const struct config *c, struct refusal *no)
{
	int lacks = 0;

	if (peer->unix_socket)
		return may_be_that_user(peer, c, no);
	if (peer->local_loopback)
		return true;
	if (!c->proxy_allow_remote)
		lacks |= LACKS_REMOTE;
	if (!has_token(c))
		lacks |= LACKS_TOKEN;
	if (!peer->tls && !c->proxy_tls_terminated && c->proxy_require_tls)
		lacks |= LACKS_TLS;
	if (lacks)
		*no = (struct refusal){ .status = 403, .code = ACCESS_REMOTE,
			.message = from_afar[lacks].message, .hint = from_afar[lacks].hint };
	return !lacks;
}

/* Second question: is a web page behind it? */

static bool
is_loopback_name(struct str name)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (str_caseis(name, "localhost"))
		return true;
	if (name.n > 10 && str_caseis(str_sub(name, name.n - 10, name.n), ".localhost"))
		return true;
	if (name.n >= sizeof(text))
		return false;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return peer_is_loopback4(v4.s_addr);
	return inet_pton(AF_INET6, text, &v6) == 1 && peer_is_loopback6(&v6);
}

/* A page may have its own name point at 127.0.0.1; the Host header then still tells the page's name. */
static bool
host_is_ours(struct str host, const struct config *c)
{
	struct str name, known;

	if (request_split_host(host, &name, NULL) < 0)
		return false;
	if (str_ends(name, "."))
		name.n--;
	if (is_loopback_name(name) || (c->listen.host && str_caseis(name, c->listen.host)))
		return true;
	for (char **entry = c->proxy_hosts; entry && *entry; entry++) {
		if (request_split_host(str_from(*entry), &known, NULL) < 0)
			known = str_from(*entry);	/* an IPv6 address without brackets */
		if (str_caseeq(name, known))
			return true;
	}
	return false;
}

/* In HTTP/1.0 there may be none: no browser. The target may name another: then both count. */
static bool
hosts_are_ours(const struct request *r, const struct config *c)
{
	const struct header *host = request_header(r, "Host");

	return (!host || host_is_ours(host->value, c)) && (r->host.n == 0 || host_is_ours(r->host, c));
}

static bool
origin_is_allowed(struct str origin, const struct config *c)
{
	for (char **entry = c->proxy_allow_origins; entry && *entry; entry++) {
		struct str allowed = str_from(*entry);

		if (str_ends(allowed, "/"))	/* people copy it from the address bar */
			allowed.n--;
		if (origin.n && str_caseeq(origin, allowed))
			return true;
	}
	return false;
}

struct str
access_cors_origin(const struct request *r, const struct config *c)
{
	const struct header *origin = request_header(r, "Origin");

	if (origin && request_header_times(r, "Origin") == 1 && origin_is_allowed(origin->value, c))
		return origin->value;
	return (struct str){ "", 0 };
}

static bool
is_from_a_page(const struct request *r)
{
	const struct header *site = request_header(r, "Sec-Fetch-Site");

	return request_header(r, "Origin") ||
	    (site && !str_caseis(site->value, "none") && !str_caseis(site->value, "same-origin"));
}

static bool
is_no_strange_page(const struct peer *peer, const struct request *r, const struct config *c,
    struct refusal *no)
{
	if (peer->local_loopback && !hosts_are_ours(r, c)) {
		*no = (struct refusal){ 403, "host_not_allowed",
			N_("the Host of this request is not a name of this proxy"),
			N_("Use 127.0.0.1 or localhost in the client's base URL, or name it in KMI_PROXY_HOSTS."), NULL };
		return false;
	}
	if (is_from_a_page(r) && !access_cors_origin(r, c).n) {
		*no = (struct refusal){ 403, "origin_not_allowed",
			N_("a browser marked this request as that of another site's web page"),
			N_("If that page may use your keys, name its origin in KMI_PROXY_ALLOW_ORIGINS."), NULL };
		return false;
	}
	return true;
}

static bool
is_preflight(const struct request *r, const struct config *c)
{
	return str_is(r->method, "OPTIONS") && request_header(r, "Access-Control-Request-Method") &&
	    access_cors_origin(r, c).n > 0;
}

/* Third question: is the token there? A client sends it where its protocol has the key. */

static const char *const credentials[] = { "Authorization", "X-KMI-Proxy-Token", "x-api-key" };

#define CREDENTIALS (sizeof(credentials) / sizeof(*credentials))

static bool
is_our_token(const struct header *h, struct str token)
{
	struct str value = h->value;

	if (str_caseis(h->name, "Authorization")) {
		if (!str_caseis(str_cut(&value, ' '), "Bearer"))
			return false;
		value = str_trim(value);
	}
	return digest_same(value, token);
}

static bool
has_our_token(const struct request *r, const struct config *c, struct refusal *no)
{
	struct str token = str_from(c->proxy_token);

	if (!has_token(c))
		return true;
	/* One that is given twice is none: a request must not be hundreds of guesses. */
	for (size_t i = 0; i < CREDENTIALS; i++) {
		const struct header *h = request_header(r, credentials[i]);

		if (h && request_header_times(r, credentials[i]) == 1 && is_our_token(h, token))
			return true;
	}
	*no = (struct refusal){ 401, ACCESS_TOKEN,
		N_("this proxy wants its token: the request has none, or another"),
		N_("Send the value of KMI_PROXY_TOKEN as `Authorization: Bearer ...`, or as X-KMI-Proxy-Token."),
		"WWW-Authenticate: Bearer realm=\"kmi\"" };
	return false;
}

enum access_verdict
access_judge(const struct peer *peer, const struct request *r, const struct config *c,
    struct refusal *no)
{
	if (!may_come_from_there(peer, c, no) || !is_no_strange_page(peer, r, c, no))
		return ACCESS_REFUSED;
	if (is_preflight(r, c))
		return ACCESS_PREFLIGHT;
	return has_our_token(r, c, no) ? ACCESS_GRANTED : ACCESS_REFUSED;
}

/* What a page may be told. */

static void
grant_asked(const struct request *r, const char *asked, const char *granted, struct buf *out)
{
	const struct header *h = request_header(r, asked);

	if (h && h->value.n)
		buf_printf(out, "%s: %.*s\r\n", granted, STR_F(h->value));
}

void
access_cors_headers(const struct request *r, struct str origin, bool preflight, struct buf *out)
{
	if (!origin.n)
		return;
	buf_printf(out, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n", STR_F(origin));
	if (!preflight) {
		buf_puts(out, "Access-Control-Expose-Headers: *\r\n");
		return;
	}
	grant_asked(r, "Access-Control-Request-Method", "Access-Control-Allow-Methods", out);
	grant_asked(r, "Access-Control-Request-Headers", "Access-Control-Allow-Headers", out);
	grant_asked(r, "Access-Control-Request-Private-Network", "Access-Control-Allow-Private-Network", out);
	buf_puts(out, "Access-Control-Max-Age: 600\r\n");
}

bool
access_is_credential(struct str name)
{
	for (size_t i = 0; i < CREDENTIALS; i++)
		if (str_caseis(name, credentials[i]))
			return true;
	return false;
}

bool
access_is_guess(const struct request *r)
{
	for (size_t i = 0; i < CREDENTIALS; i++)
		if (request_header(r, credentials[i]))
			return true;
	return false;
}
