/*
 * wire: encrypted connections to upstreams. Names, addresses, proxies and TLS are libcurl's work; what is
 * said over a connection is the caller's. The only user of libcurl on a request's way.
 *
 * One struct wire a process. It has one connection in use at a time and keeps a few more that are idle, one a host.
 *
 *	wire_take(w, base_url, fresh, f)	an idle connection is WIRE_READY at once; else one is begun
 *	while (w->stage == WIRE_CONNECTING)
 *		wire_wait(w, 0, fds, count, until)
 *	wire_send(), wire_receive(), wire_wait() for more
 *	wire_put_back(w, keep)		keep: all that was asked has been answered
 */
#ifndef KMI_PROXY_WIRE_H
#define KMI_PROXY_WIRE_H

#include "base/config.h"
#include "base/fail.h"
#include "keys/verdict.h"

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_PIECE 16384	/* a TLS record: wire_receive() wants room for one, or poll() may not tell of the rest */

enum wire_stage { WIRE_NONE, WIRE_CONNECTING, WIRE_READY, WIRE_BROKEN };

struct wire_lines;

struct wire {
	enum wire_stage stage;
	bool was_idle;			/* it has served before, and the upstream may have closed it meanwhile */
	enum trouble trouble;		/* what went wrong with it last */
	char error[256];		/* English; see base/kept_words */
	struct wire_lines *lines;
};

/* Once a process, before any fork: loads and prepares what all handlers share. */
int wire_global(struct fail *f);
int wire_open(struct wire *w, const struct config *c, struct fail *f);
void wire_close(struct wire *w);

/* `fresh`: not an idle one. */
int wire_take(struct wire *w, const char *base_url, bool fresh, struct fail *f);
/* Waits for what was begun, or for `events` of a ready one (0: none), or for fds (at most 4), whose revents it sets. */
short wire_wait(struct wire *w, short events, struct pollfd *fds, unsigned count, int64_t until_ms);
/* How many bytes went or came; 0 when it has to wait first; -1 when that cannot be, and w tells why. What could not be
   sent may have an answer all the same. */
ssize_t wire_send(struct wire *w, const char *p, size_t n);	/* after 0: again with the same bytes */
ssize_t wire_receive(struct wire *w, char *p, size_t n, bool *end);	/* *end: the upstream has closed */
/* After that: whether it said so, as TLS wants it. Else anybody on the way may have cut it, or the upstream has died. */
bool wire_ended_in_order(const struct wire *w);
void wire_put_back(struct wire *w, bool keep);

#endif
