/*
 * listener: who listens on an address, as the kernel tells it in /proc.
 *
 *	struct listeners l;
 *	if (listener_find(&l, &c.listen, 0, f) < 0) return -1;
 *	if (l.listening) ... l.items[0].pid, l.items[0].command ...
 *	listener_free(&l);
 *
 * Sees its own network namespace. Processes of other users hide what they hold open, so
 * `listening` may be true while no item tells who it is; `uid` is known even then.
 */
#ifndef KMI_BASE_LISTENER_H
#define KMI_BASE_LISTENER_H

#include "base/config.h"
#include "base/fail.h"

#include <sys/types.h>

#define LISTENER_NAME_SIZE 32

struct listener {
	pid_t pid;
	char command[LISTENER_NAME_SIZE];	/* as /proc/PID/comm has it */
};

struct listeners {
	bool listening;
	uid_t uid;			/* who made the socket (TCP only, else -1) */
	struct listener *items;		/* the processes that hold it, by pid */
	size_t count;
};

/*
 * Looks for sockets that would take a connection to the address, or stand in the way of binding it (a
 * wildcard address counts both ways). `guess`: a process to ask first (0 = none); when it holds the socket
 * the others are not asked, which is what costs time. Fails only on a name that cannot be resolved and
 * when memory is out.
 */
int listener_find(struct listeners *l, const struct listen_address *a, pid_t guess, struct fail *f);
void listener_free(struct listeners *l);

/* The name of a living process; -1 when there is none with that number. */
int listener_command(pid_t pid, char out[LISTENER_NAME_SIZE]);

#endif
