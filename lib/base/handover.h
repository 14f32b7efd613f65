/*
 * handover: the listening sockets of a running pool go to its successor, so that no client is refused in between.
 *
 *	the successor:	n = handover_ask(state_dir, pid, sockets, f);	by SIGUSR2
 *	the pool:	int done = handover_give(state_dir, sockets, n);	when it gets that signal
 *			if (done >= 0) stop to accept, close(done);
 *
 * They meet at a unix socket in the state folder that is there for this moment only. Who asks knows whom it
 * asked, and who is asked gives to its own user and root alone. When handover_ask() returns, the pool accepts
 * no more: whoever connects from now on waits for the successor. Running answers end in the old pool.
 */
#ifndef KMI_BASE_HANDOVER_H
#define KMI_BASE_HANDOVER_H

#include "base/fail.h"
#include "base/passed.h"

#include <sys/types.h>

/* How many sockets there are, close-on-exec and the caller's; -1 when the process does not give any. */
int handover_ask(const char *state_dir, pid_t pid, struct passed sockets[PASSED_MAX], struct fail *f);
/* A descriptor to close when nothing is accepted any more; -1: nobody asks, and all is as it was. */
int handover_give(const char *state_dir, const struct passed *sockets, int count);

#endif
