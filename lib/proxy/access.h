/*
 * access: who may talk to the proxy.
 *
 * A pure judge over facts: where the connection came in (base/peer.h finds it out, once a connection),
 * what the request's head says, and the settings.
 *
 *	struct peer peer;
 *	peer_of_socket(fd, &peer);		once; or what a front told (base/peer.h)
 *	switch (access_judge(&peer, &request, config, &refusal)) {
 *	case ACCESS_GRANTED:	go on
 *	case ACCESS_PREFLIGHT:	answer 204 with access_cors_headers(), nothing else
 *	case ACCESS_REFUSED:	answer with *refusal; ACCESS_REMOTE and ACCESS_USER in refusal.code want a
 *				warning in the log, ACCESS_TOKEN is counted when access_is_guess() (proxy/guess.h)
 *	}
 *
 * Three questions, in this order. Does the connection come from this machine, from a user who is served, or
 * else is the proxy set up for others (403)? Could a web page be behind it, in the browser of somebody who
 * may talk (403)? Is the token there, when one is set (401)? A browser sends no credential with a preflight:
 * that ends before the third.
 */
#ifndef KMI_PROXY_ACCESS_H
#define KMI_PROXY_ACCESS_H

#include "base/buf.h"
#include "base/config.h"
#include "base/peer.h"
#include "proxy/request.h"

#define ACCESS_REMOTE "remote_not_allowed"
#define ACCESS_USER "user_not_allowed"
#define ACCESS_TOKEN "invalid_proxy_token"

enum access_verdict { ACCESS_GRANTED, ACCESS_PREFLIGHT, ACCESS_REFUSED };

enum access_verdict access_judge(const struct peer *peer, const struct request *r,
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
/* Whether a request without the token has another in its place: who sends none at all is not trying any out. */
bool access_is_guess(const struct request *r);

#endif
