/*
 * superserver: who runs the proxy. The one place that decides it, for kmi proxy, status and doctor.
 *
 *	struct superserver s;
 *	if (superserver_find(&s, c, NULL, &f) < 0) ...
 *	switch (s.kind) ...
 *
 * It is told by facts that cost no program to be run: proxy.pid, who holds the address, what supervises that
 * process, and (when nobody listens) which of our units are enabled.
 */
#ifndef KMI_BASE_SUPERSERVER_H
#define KMI_BASE_SUPERSERVER_H

#include "base/config.h"
#include "base/fail.h"
#include "base/listener.h"

#include <limits.h>

enum superserver_kind {
	SUPERSERVER_NONE,	/* nobody listens, and nobody is meant to */
	SUPERSERVER_EMBEDDED,	/* the pool that `kmi proxy` started */
	SUPERSERVER_SYSTEMD,
	SUPERSERVER_S6,
	SUPERSERVER_OTHER,	/* tcpserver, xinetd, inetd, socat ...; or a kmi-handle that somebody started by hand */
	SUPERSERVER_STRANGER,	/* the address is held by a program that is none of ours */
};

struct superserver {
	enum superserver_kind kind;
	bool running;
	bool user;		/* systemd: the user's own manager */
	char unit[64];		/* systemd: the socket unit */
	char folder[PATH_MAX];	/* s6: the service directory, when we may know it */
	pid_t pid;		/* embedded: the pool; else who holds the address, 0 when that is hidden */
	char command[LISTENER_NAME_SIZE];
};

/* What is known of one process that holds the address. */
struct superserver_holder {
	pid_t pid;
	const char *command, *parent_command;
	const char *unit;	/* the last part of its cgroup: "kmi-proxy-pool.service"; empty when there is none */
};

struct superserver_facts {
	pid_t embedded;		/* proxy.pid names a process of ours */
	bool listening;
	const struct superserver_holder *holders;
	size_t count;
	bool made_by_root;	/* the socket; holders that are hidden may be systemd */
	const char *enabled_system, *enabled_user;	/* our socket unit that is enabled for the address, or NULL */
	bool root;		/* we are */
};

/* The decision alone, without folder. */
void superserver_decide(struct superserver *s, const struct superserver_facts *facts);

/* *listeners, when not NULL, is who holds the address, the caller's to free. */
int superserver_find(struct superserver *s, const struct config *c, struct listeners *listeners, struct fail *f);

/* An address as ListenStream= takes it. */
void superserver_address(const struct listen_address *a, char *out, size_t size);

/* "systemd", "s6" ...; NULL for SUPERSERVER_NONE. For --json. */
const char *superserver_name(enum superserver_kind kind);

#endif
