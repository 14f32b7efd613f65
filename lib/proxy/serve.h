/*
 * serve: one client connection from its first byte to its last. The way of a request, told once.
 *
 *	serve_open(&s, config, f);		once a process
 *	serve_connection(&s, in, out, control, facts);	for each connection, one after the other
 *	serve_close(&s);
 *
 * With SERVE_SUPERVISED no more than KMI_PROXY_MAX_CONNECTIONS requests are served at once on this machine;
 * the others wait (proxy/place.h). A pool has its own way.
 */
#ifndef KMI_PROXY_SERVE_H
#define KMI_PROXY_SERVE_H

#include "base/config.h"
#include "base/fail.h"
#include "keys/keyring.h"
#include "proxy/forward.h"

struct serve {
	const struct config *config;
	struct keyring keyring;
	struct forward forward;
};

/* -1: nothing is left to close. */
int serve_open(struct serve *s, const struct config *c, struct fail *f);
void serve_close(struct serve *s);

/* Who tells where a connection comes from; base/peer.h has the three. */
enum serve_facts {
	SERVE_SOCKET,		/* its socket */
	SERVE_SUPERVISED,	/* its socket, else the environment of this process */
	SERVE_BEHIND_FRONT,	/* a header before the first byte, from a process of ours or root's; else it is not served */
};

/*
 * Serves requests until the client is done, an answer ends the connection, or
 * `control` (-1: none) says to finish up. Closes nothing. True when it was told to finish up.
 */
bool serve_connection(struct serve *s, int in, int out, int control, enum serve_facts facts);

/* Where the settings are wrong: the client is told no more than that, and the connection ends. */
void serve_unconfigured(const struct config *c, int in, int out);

#endif
