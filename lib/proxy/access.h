/*
 * access: who may talk to the proxy.
 *
 * A pure judge over facts: where the connection came in (access_peer_of asks the kernel once a connection),
 * what the request's head says, and the settings.
 *
 *	struct access_peer peer;
 *	access_peer_of(fd, &peer);		once; then peer.tls = true where TLS was terminated by us
 *	switch (access_judge(&peer, &request, config, &refusal)) {
 *	case ACCESS_GRANTED:	go on
 *	case ACCESS_PREFLIGHT:	answer 204 with access_cors_headers(), nothing else
 *	case ACCESS_REFUSED:	answer with *refusal; ACCESS_REMOTE in refusal.code wants a warning in the log
 *	}
 *
 * Three questions, in this order. Does the connection come from this machine, or else is the proxy set up for
 * others (403)? Could a web page be behind it, in the browser of somebody who may talk (403)? Is the token
 * there, when one is set (401)? A browser sends no credential with a preflight: that ends before the third.
 */
#ifndef KMI_PROXY_ACCESS_H
#define KMI_PROXY_ACCESS_H

#include "base/buf.h"
#include "base/config.h"
#include "proxy/request.h"

#include <sys/types.h>

#define ACCESS_REMOTE "remote_not_allowed"

struct access_peer {
	bool unix_socket;	/* a unix socket or a pipe: the network does not reach it */
	bool local_loopback;	/* our end is a loopback address */
	bool tls;		/* encrypted up to us; the caller says so */
	char local[80];		/* our end and theirs for the log: "127.0.0.1:54123", "[::1]:1", "unix" */
	char peer[80];
	uid_t uid;		/* who is at the other end of a unix socket, else (uid_t)-1 */
};

/*
 * Never fails: what cannot be found out counts as remote. A descriptor that kmi-tls hands over may be a unix
 * socket, whatever the client's was: there the caller passes on what kmi-tls saw instead.
 */
void access_peer_of(int fd, struct access_peer *peer);

enum access_verdict { ACCESS_GRANTED, ACCESS_PREFLIGHT, ACCESS_REFUSED };

enum access_verdict access_judge(const struct access_peer *peer, const struct request *r,
    const struct config *c, struct refusal *no);

/* The request's Origin when KMI_PROXY_ALLOW_ORIGINS names it, else the empty slice. */
struct str access_cors_origin(const struct request *r, const struct config *c);
/*
 * The header lines, each with its CRLF, that let a page of that origin read the answer; none for the empty
 * slice. They take the place of any Access-Control-* and join any Vary of the upstream's answer. To a preflight
 * they also grant the method and headers it asks for.
 */
void access_cors_headers(const struct request *r, struct str origin, bool preflight, struct buf *out);
/* Whether a header is the client's credential, or for the proxy alone: such never travel on. */
bool access_is_credential(struct str name);

#endif
