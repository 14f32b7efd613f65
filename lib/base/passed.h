/*
 * passed: the listening sockets that whoever started this process gave to it.
 *
 *	struct passed sockets[PASSED_MAX];
 *	int n = passed_find(sockets);		0: none; descriptors 0 and 1 may be a connection
 *
 * Either one as descriptor 0 (inetd's "wait"), or as systemd does: from descriptor 3 on, LISTEN_FDS many, named in
 * LISTEN_FDNAMES, for the process LISTEN_PID.
 *
 * The other way round: passed_give() makes the environment for a program that is to be exec'd by this very process.
 */
#ifndef KMI_BASE_PASSED_H
#define KMI_BASE_PASSED_H

#include "base/fail.h"

#include <stdbool.h>

#define PASSED_MAX 8
#define PASSED_NAME_SIZE 32

struct passed {
	int fd;
	char name[PASSED_NAME_SIZE];	/* as LISTEN_FDNAMES has it; empty when it has none */
};

/* They become close-on-exec. Descriptor 0 stays taken, lest a file gets it. What does not listen is passed over. */
int passed_find(struct passed out[PASSED_MAX]);
/* Puts them on descriptors 3 and so on; all others above are closed. Call it between fork and exec, or before exec. */
int passed_give(const struct passed *sockets, int count, struct fail *f);

#endif
