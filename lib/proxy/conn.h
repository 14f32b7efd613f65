/*
 * conn: the client's end of a connection: bytes in, bytes out, never blocking but in conn_wait().
 *
 * Works on the socket a superserver put on fds 0 and 1, on a socket handed
 * over by the pool, and on plain pipes (for trying things by hand). What was
 * read but not yet taken stands in rx; what could not be written yet in tx.
 *
 * `control` is the line to the pool's parent (-1: none). A byte on it, or its
 * end, means "finish up": conn->draining.
 */
#ifndef KMI_PROXY_CONN_H
#define KMI_PROXY_CONN_H

#include "base/buf.h"

#include <poll.h>
#include <stdint.h>

#define CONN_RX_MAX (256u << 10)
#define CONN_TX_MAX (4u << 20)

struct conn {
	int in, out, control;
	bool in_socket, out_socket;
	struct buf rx, tx;
	size_t tx_sent;		/* bytes at the front of tx that are already out */
	bool eof;		/* no more bytes will come */
	bool gone;		/* nobody is there to read an answer */
	bool draining;
	bool stopped;		/* gone because we were told to stop at once, not because the client left */
	bool cut;		/* should it end now, the client is to see that something is missing */
	uint64_t bytes_out;
};

/* From a signal handler: every connection of this process ends now, in the middle of whatever it is doing. */
void conn_stop_all(void);

void conn_init(struct conn *c, int in, int out, int control);
/* Closes nothing: the descriptors are the caller's. */
void conn_free(struct conn *c);

/* Reads what is there, once. False when there was nothing (or the end). */
bool conn_read(struct conn *c);
/* Queues bytes and writes what goes out at once. */
void conn_send(struct conn *c, struct str s);
void conn_flush(struct conn *c);
size_t conn_pending(const struct conn *c);	/* bytes queued, not out yet */

/*
 * Waits until one of `events` (POLLIN, POLLOUT) is due on the client, or the
 * control line speaks, or the monotonic time `until_ms` is there. Takes in what it
 * noticed: reads, writes, sets eof, gone, draining. False on time-out.
 */
bool conn_wait(struct conn *c, short events, int64_t until_ms);
/*
 * Waits and reads nothing. False when it is over before `until_ms`: the client has left, or the control line
 * speaks.
 */
bool conn_pause(struct conn *c, int64_t until_ms);
/* For a caller with a poll of its own: fills two entries, and takes in what came of them. */
void conn_watch(const struct conn *c, struct pollfd fds[2]);
void conn_noticed(struct conn *c, const struct pollfd fds[2]);
/* Writes all that is queued, until `until_ms`; false when it could not. */
bool conn_finish(struct conn *c, int64_t until_ms);
/*
 * The orderly end of a connection whose client may still be sending: says "no more from us", then reads and throws
 * away until the client ends too, is silent for `silence_ms`, or has had `most_ms`, because closing with
 * unread bytes would make the kernel destroy the answer on its way.
 */
void conn_linger(struct conn *c, int silence_ms, int most_ms);
/*
 * While `yes`, every end of the connection is one that the client can tell from a clean one, even if this
 * process is killed: a reset on the network, and at a unix socket an end without "no more from us", which
 * kmi-tls makes a reset of.
 */
void conn_set_cut(struct conn *c, bool yes);
/* Whether it is a unix socket, as one to a front is. */
bool conn_is_unix(const struct conn *c);
/* Before the end of one that is cut: a reset destroys what is still on its way, so that is waited for, until `until_ms`. */
void conn_settle(struct conn *c, int64_t until_ms);

#endif
