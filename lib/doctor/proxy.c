#include "base/clock.h"
#include "base/listener.h"
#include "base/peer.h"
#include "base/probe.h"
#include "base/running.h"
#include "base/superserver.h"
#include "doctor/doctor.h"
#include "tls/credential.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ANSWER_MS 5000
#define TOKEN_LENGTH 16
#define SPARE_FILES 64		/* beside one for each connection */

static void
say_running(struct doctor *d, const struct superserver *s)
{
	switch (s->kind) {
	case SUPERSERVER_SYSTEMD:
		doctor_found(d, FINDING_OK, "systemd runs the proxy (%s)", s->unit);
		return;
	case SUPERSERVER_S6:
		doctor_found(d, FINDING_OK, "s6 runs the proxy");
		return;
	case SUPERSERVER_OTHER:
		doctor_found(d, FINDING_OK, "%s (process %ld) runs the proxy", s->command, (long)s->pid);
		return;
	case SUPERSERVER_EMBEDDED:
	case SUPERSERVER_NONE:
	case SUPERSERVER_STRANGER:
		doctor_found(d, FINDING_OK, "the proxy runs (process %ld)", (long)s->pid);
		return;
	}
}

static void
check_settings(struct doctor *d, const struct superserver *s)
{
	struct running r;

	running_find(&r, d->config, s);
	if (d->refused || !*r.differs)
		return;		/* refused: the settings of here are not the whole truth */
	doctor_found(d, FINDING_WARN, "the proxy was started with other settings than those of here: %s", r.differs);
	if (*r.state_dir)
		doctor_remedy(d, "KMI_STATE_DIR=%s kmi proxy-stop stops it", r.state_dir);
	else
		doctor_remedy(d, "kmi proxy-restart takes those of here; ~/.kmi/kmi.config.toml keeps them");
}

static void
check_running(struct doctor *d)
{
	const struct config *c = d->config;
	struct superserver s;
	struct fail f = { 0 };

	if (superserver_find(&s, c, NULL, &f) < 0) {
		doctor_failed(d, FINDING_FAIL, &f);
		return;
	}
	if (s.kind == SUPERSERVER_SYSTEMD && !s.user)
		doctor_service(d);
	if (s.kind == SUPERSERVER_STRANGER) {
		doctor_found(d, FINDING_FAIL, "%s is held by another program: %s (process %ld)", c->proxy_listen,
		    s.command[0] ? s.command : "?", (long)s.pid);
		doctor_remedy(d, "stop that program, or give the proxy another address: KMI_PROXY_LISTEN=127.0.0.1:54124");
	} else if (!s.running && s.kind == SUPERSERVER_SYSTEMD) {
		doctor_found(d, FINDING_FAIL, "systemd should run the proxy (%s), but nobody listens on %s", s.unit, c->proxy_listen);
		doctor_remedy(d, s.user ? "systemctl --user start %s; `systemctl --user status %s` says why it ended" :
					  "systemctl start %s; `systemctl status %s` says why it ended", s.unit, s.unit);
	} else if (!s.running) {
		doctor_found(d, FINDING_WARN, "the proxy is not running: nobody listens on %s", c->proxy_listen);
		doctor_remedy(d, "kmi proxy starts it");
	} else if (config_listen_is_tls(c)) {
		say_running(d, &s);
	} else if (!probe_answers(&c->listen, ANSWER_MS, 0)) {
		doctor_found(d, FINDING_FAIL, "somebody listens on %s but does not answer", c->proxy_listen);
		doctor_remedy(d, "kmi proxy-logs shows what it said; kmi proxy-restart starts it anew");
	} else {
		say_running(d, &s);
	}
	check_settings(d, &s);
}

static bool
is_loopback(const struct listen_address *a)
{
	return a->path || strncmp(a->host, "127.", 4) == 0 || strcmp(a->host, "::1") == 0 || strcmp(a->host, "localhost") == 0;
}

/* Only some users may come in: then the one who asks here should be among them, or his own clients are refused. */
static void
check_users(struct doctor *d, const char *text)
{
	const struct config *c = d->config;
	uid_t self = geteuid();

	for (size_t i = 0; c->proxy_unix_users[i]; i++)
		if (c->proxy_unix_uids[i] == self) {
			doctor_found(d, FINDING_OK, "%s serves only the users that KMI_PROXY_UNIX_USERS names", text);
			return;
		}
	doctor_found(d, FINDING_WARN, "%s refuses your own clients: KMI_PROXY_UNIX_USERS does not name you", text);
	doctor_remedy(d, "add your user there (number %ld), if you want to use the proxy yourself", (long)self);
}

/* Beyond loopback three things are asked for; each that is missing is told. */
static void
check_remote(struct doctor *d, const struct listen_address *a, const char *text)
{
	const struct config *c = d->config;
	bool tls = config_has_tls(c) || c->proxy_tls_terminated || !c->proxy_require_tls;

	if (a->path && c->proxy_unix_users[0]) {
		check_users(d, text);
		return;
	}
	if (is_loopback(a)) {
		doctor_found(d, FINDING_OK, "%s is on this machine only", text);
		return;
	}
	if (!c->proxy_allow_remote) {
		doctor_found(d, FINDING_FAIL, "%s is open to other machines, which are all refused", text);
		doctor_remedy(d, "KMI_PROXY_ALLOW_REMOTE=1 serves them; 127.0.0.1 keeps them out");
	}
	if (!c->proxy_token || !*c->proxy_token) {
		doctor_found(d, FINDING_FAIL, "other machines are refused, because there is no token");
		doctor_remedy(d, "set KMI_PROXY_TOKEN to a long random text, which clients then send as their key");
	}
	if (!tls) {
		doctor_found(d, FINDING_FAIL, "other machines are refused, because their connections are not encrypted");
		doctor_remedy(d, "set KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (`kmi tls selfsigned` makes a first pair), or "
				 "KMI_PROXY_TLS_TERMINATED=1 when something in front does TLS");
	} else if (!c->proxy_require_tls && !config_has_tls(c) && !c->proxy_tls_terminated) {
		doctor_found(d, FINDING_WARN, "other machines are served without encryption: token and prompts can be read on the way");
		doctor_remedy(d, "KMI_PROXY_REQUIRE_TLS=1, with a certificate");
	}
	if (c->proxy_token && *c->proxy_token && strlen(c->proxy_token) < TOKEN_LENGTH) {
		doctor_found(d, FINDING_WARN, "the token is so short that others may find it by trying");
		doctor_remedy(d, "make a long random one: openssl rand -hex 24");
	}
	if (c->proxy_allow_remote && c->proxy_token && *c->proxy_token && tls)
		doctor_found(d, FINDING_OK, "%s serves other machines that send the token", text);
}

static bool
is_everywhere(const struct listen_address *a)
{
	return a->host && (strcmp(a->host, "0.0.0.0") == 0 || strcmp(a->host, "::") == 0);
}

/* Asked on an address that others know us by: a socket may still be on loopback alone, from before the setting. */
static bool
is_reached_from_outside(int port)
{
	struct listen_address outside = { .port = port };
	char host[INET_ADDRSTRLEN];
	struct ifaddrs *all, *i;
	int fd;

	if (getifaddrs(&all) < 0)
		return true;
	for (i = all; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
		    !peer_is_loopback4(((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr))
			break;
	if (i)
		outside.host = (char *)(uintptr_t)inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, host,
		    sizeof(host));
	freeifaddrs(all);
	if (!outside.host)
		return true;	/* nobody knows us */
	fd = probe_connect(&outside);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
is_listened_on(const struct listen_address *a)
{
	struct listeners l;
	bool yes = listener_find(&l, a, 0, NULL) == 0 && l.listening;

	listener_free(&l);
	return yes && (!is_everywhere(a) || is_reached_from_outside(a->port));
}

/* The address of TLS: whether it is served, and to whom. */
static void
check_tls(struct doctor *d)
{
	const struct config *c = d->config;
	const struct listen_address *a = &c->tls_listen;

	if (config_has_tls(c) && !is_listened_on(a)) {
		doctor_found(d, FINDING_WARN, "nobody speaks TLS on %s", c->proxy_tls_listen);
		doctor_remedy(d, "kmi proxy install --system --tls where systemd runs the proxy, else kmi proxy-restart");
	}
	if (!a->path && is_loopback(a)) {
		doctor_found(d, FINDING_NOTE, "%s is on this machine only", c->proxy_tls_listen);
		doctor_remedy(d, "KMI_PROXY_TLS_LISTEN=0.0.0.0:%d is for other machines, too; then start the proxy anew", a->port);
	} else {
		check_remote(d, a, c->proxy_tls_listen);
	}
}

static void
check_certificate(struct doctor *d)
{
	const struct config *c = d->config;
	bool cert = c->proxy_tls_cert && *c->proxy_tls_cert, key = c->proxy_tls_key && *c->proxy_tls_key;
	struct credential_facts facts;
	struct fail f = { 0 };
	char until[CLOCK_LOCAL_SIZE];

	if (!cert && !key)
		return;
	if (!cert || !key) {
		doctor_found(d, FINDING_FAIL, "TLS needs both KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, and one is not set");
		doctor_remedy(d, "`kmi tls selfsigned` makes a first pair");
	} else if (credential_check(c->proxy_tls_cert, c->proxy_tls_key, &facts, &f) < 0) {
		doctor_failed(d, FINDING_FAIL, &f);
	} else if (credential_doubt(&facts, c->proxy_tls_cert, d->now, &f)) {
		doctor_failed(d, credential_validity(&facts, d->now) == CREDENTIAL_ENDS_SOON ? FINDING_WARN : FINDING_FAIL, &f);
	} else {
		clock_local(facts.until, until);
		doctor_found(d, FINDING_OK, "the certificate %s (%s) is good until %s", c->proxy_tls_cert, facts.kind, until);
	}
}

static void
check_open_files(struct doctor *d)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
		return;
	if (limit.rlim_max < (rlim_t)d->config->proxy_max_connections + SPARE_FILES) {
		doctor_found(d, FINDING_WARN, "a process may open %llu files, fewer than %lld connections need",
		    (unsigned long long)limit.rlim_max, d->config->proxy_max_connections);
		doctor_remedy(d, "ulimit -n 4096, LimitNOFILE= in a unit, or a lower KMI_PROXY_MAX_CONNECTIONS");
	}
}

void
doctor_proxy(struct doctor *d)
{
	const struct config *c = d->config;

	check_running(d);
	check_remote(d, &c->listen, c->proxy_listen);
	if (c->proxy_tls_listen && *c->proxy_tls_listen)
		check_tls(d);
	check_certificate(d);
	check_open_files(d);
}
