/*
 * guess: a request with a wrong token: counted (proxy/penalty.h), told to the log, its answer held back.
 *
 * Waiting occupies a handler. So no more than an eighth of them wait at once, and those end their wait when
 * the pool wants the place for somebody else, or when their client leaves. Where nothing can be counted
 * nobody waits.
 */
#ifndef KMI_PROXY_GUESS_H
#define KMI_PROXY_GUESS_H

#include "base/config.h"
#include "base/peer.h"
#include "proxy/conn.h"

/* Returns when the answer may go out; false at once when too many wait already. */
bool guess_hold(const struct config *c, const struct peer *p, struct conn *conn, int64_t *waited_ms);

#endif
