/*
 * pool: many connections, one short-lived handler process each.
 *
 * The parent only accepts and passes on: it parses nothing and never reads a
 * key. Each connection goes to the handler that went idle LAST, whose
 * upstream connection is the hottest; when none is idle a new one is forked
 * from the parent's warmed image. A handler serves one connection at a time,
 * and the parent lets it go after a few idle seconds or a few hundred connections. At the cap, further
 * clients wait in the listening sockets' backlogs, and idle keep-alive connections are asked to make room.
 *
 *	exit = pool_run(listeners, count, config, f);
 *
 * Returns in the parent on SIGTERM or SIGINT: it stops accepting, lets running
 * answers finish for KMI_PROXY_DRAIN_SECONDS, then goes. In a handler it does
 * not return.
 */
#ifndef KMI_PROXY_POOL_H
#define KMI_PROXY_POOL_H

#include "base/config.h"
#include "base/fail.h"
#include "proxy/serve.h"

/* A listening socket, and who is to be believed about the clients that come in on it. */
struct pool_listener {
	int fd;
	enum serve_facts facts;
};

#define POOL_LISTENERS_MAX 8

int pool_run(const struct pool_listener *listeners, int count, const struct config *c, struct fail *f);

#endif
