/* probe: whether somebody answers HTTP on an address. */
#ifndef KMI_BASE_PROBE_H
#define KMI_BASE_PROBE_H

#include "base/config.h"

#include <sys/types.h>

/* A connection, or -1 with errno. */
int probe_connect(const struct listen_address *a);
/*
 * Sends `OPTIONS *`, which goes no further than the proxy and is not traced, and waits up to timeout_ms; any answer
 * will do, even one that TLS is wanted. Gives up at once when the child `pid` ends (0: none).
 */
bool probe_answers(const struct listen_address *a, int timeout_ms, pid_t pid);

#endif
