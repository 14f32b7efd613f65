/*
 * front: many connections, one process each, and the pool behind them.
 *
 * The parent holds certificate and key, and reads them again when their files change; it accepts, forks, and does
 * nothing else with a connection. Where KMI_PROXY_TLS_POOL names nobody, it starts a pool, and starts it again when
 * that dies.
 *
 * Ends on SIGTERM or SIGINT, when running answers have ended or had KMI_PROXY_DRAIN_SECONDS; on SIGUSR2
 * likewise, when a successor has taken its sockets (base/handover.h). On SIGHUP the same program begins anew
 * in this process, on the same sockets, and the pool does so, too; running answers go on. Not with settings
 * that it would refuse: then the old ones stay.
 */
#ifndef KMI_TLS_FRONT_H
#define KMI_TLS_FRONT_H

#include "base/config.h"
#include "base/fail.h"
#include "base/passed.h"
#include "tls/credential.h"

/* The pair that the settings name; one that ends soon or has ended is warned of on stderr. */
struct credential *front_credential(const struct config *c, struct fail *f);

/* A socket that is named "http" is for the pool, to serve without TLS. Takes the credential. */
int front_run(const struct config *c, struct credential *credential, const struct passed *sockets, int count, char **argv,
    struct fail *f);

#endif
