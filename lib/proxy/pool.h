/*
 * pool: many connections, one short-lived handler process each.
 *
 * The parent only says who is next: it parses nothing, never reads a key, and holds no connection. The handler
 * that went idle LAST, whose upstream connection is the hottest, is given the listening socket and accepts; when
 * none is idle a new one is forked from the parent's warmed image. A handler serves one connection at a time, and
 * the parent lets it go after a few idle seconds or a few hundred connections. One that cannot begin tells its
 * client that the proxy is not configured, and the log why. At the cap, further clients wait in the listening
 * sockets' backlogs, and idle keep-alive connections are asked to make room.
 *
 *	if (pool_run(listeners, count, ready_fd, config, &end, f) < 0) ...
 *
 * When it accepts, it tells systemd, and a supervisor that waits on ready_fd (-1: none). Returns in the parent,
 * never in a handler:
 * - POOL_STOPPED after SIGTERM or SIGINT: it stopped accepting and let running answers finish for
 *   KMI_PROXY_DRAIN_SECONDS; or after SIGUSR2, when a successor has taken the listening sockets (base/handover.h);
 * - POOL_RENEWED after SIGHUP (where no terminal sends it): the caller becomes a fresh image of itself on the same
 *   socket, with settings read anew. Handlers that are busy end their answers beside it, however long those take,
 *   and nobody waits.
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

enum pool_end { POOL_STOPPED, POOL_RENEWED };

int pool_run(const struct pool_listener *listeners, int count, int ready_fd, const struct config *c, enum pool_end *end,
    struct fail *f);

#endif
