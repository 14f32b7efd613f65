/*
 * sandbox: what this process and its children may reach from now on, by Landlock, and what they may use up.
 * Where the kernel has no Landlock the first is nothing, silently: units of systemd do the same from outside.
 *
 *	struct sandbox s;
 *	sandbox_begin(&s);
 *	sandbox_allow(&s, c->auths_dir, SANDBOX_READ);
 *	sandbox_port(&s, 443);		then TCP goes to these ports alone (a kernel from 6.7 on)
 *	if (sandbox_enter(&s, f) < 0) ...
 *
 * A path that is not there is passed over. What is open stays open. There is no way back, and no new
 * privileges; no core is dumped, and no port bound.
 */
#ifndef KMI_BASE_SANDBOX_H
#define KMI_BASE_SANDBOX_H

#include "base/fail.h"

#include <stdbool.h>

#define SANDBOX_VERSION_PORTS 4	/* of Landlock: it knows of TCP ports */

enum sandbox_access {
	SANDBOX_READ,		/* files and folders below it */
	SANDBOX_RUN,		/* and programs */
	SANDBOX_WRITE,		/* files and folders are made, changed, removed */
	SANDBOX_DEVICE,		/* read and written, nothing made */
};

struct sandbox {
	int fd;			/* -1: none; with a kernel that knows of them, entering it fails */
	int version;		/* of the kernel's Landlock */
	bool alone;		/* set it: no further process or thread (root may all the same) */
	bool off;		/* entering it does nothing */
};

/* The version of Landlock that the kernel speaks; 0 = none. */
int sandbox_version(void);

void sandbox_begin(struct sandbox *s);
void sandbox_allow(struct sandbox *s, const char *path, enum sandbox_access access);
void sandbox_port(struct sandbox *s, int port);
int sandbox_enter(struct sandbox *s, struct fail *f);

#endif
