/*
 * backend: who gets the plaintext of a connection, and how he learns where it came from.
 *
 *	backend_handler(&b, &peer, &f)		a kmi-handle for this connection, its facts in the environment
 *	backend_pool(&b, path, &f)		a pool that somebody runs, by its unix socket
 *	backend_own_pool(&b, sockets, n, &f)	a pool that is our child, on a socket without a path
 *
 *	link = backend_link(&b, &peer, cipher, &child, &f);
 *
 * A process that is narrowed starts no program. So what becomes the handler is there before, knows nothing
 * but where the client is, and waits for the word that there is something to serve.
 *
 * To a pool each connection begins with a PROXY header (base/peer.h). It goes only to a process that is ours
 * or root's, as the pool takes it only from such. The programs that are started get no descriptor of ours,
 * and nothing of our memory.
 */
#ifndef KMI_TLS_BACKEND_H
#define KMI_TLS_BACKEND_H

#include "base/fail.h"
#include "base/passed.h"
#include "base/peer.h"

#include <limits.h>
#include <sys/un.h>

#define BACKEND_SOCKET_NAME "kmi-tls"	/* by which a pool knows the socket that is for us */

struct backend {
	char handler[PATH_MAX];
	struct sockaddr_un address;	/* of a pool */
	socklen_t address_size;		/* 0: none, a handler for this connection */
	int link, word;			/* to that handler: the plaintext, and what it waits for */
	pid_t waiting;			/* it */
	struct passed sockets[PASSED_MAX];	/* what our own pool listens on; the one of that name is for us */
	int count;			/* 0: it is not our own */
	pid_t pool;
};

/* For the one connection of this process; what waits ends with it. */
int backend_handler(struct backend *b, const struct peer *p, struct fail *f);
int backend_pool(struct backend *b, const char *path, struct fail *f);
/*
 * `sockets`: on which it serves clients besides, without TLS; and the one for us, when there is one already. Starts
 * nothing yet.
 */
int backend_own_pool(struct backend *b, const struct passed *sockets, int count, struct fail *f);
/* Starts our own pool, or starts it again; it ends when this process does. */
int backend_start(struct backend *b, struct fail *f);

/* A connected socket for plaintext, the caller's to close. *child: a process to wait for afterwards, or 0. */
int backend_link(const struct backend *b, const struct peer *p, const char *cipher, pid_t *child, struct fail *f);

#endif
