#include "base/bind.h"

#include "base/listener.h"
#include "base/text.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

static int
held(const struct listen_address *a, const char *text, const char *setting, struct fail *f)
{
	struct listeners l;

	if (listener_find(&l, a, 0, NULL) < 0 || !l.listening)
		return fail_set(f, FAIL_SYSTEM, "%s is in use", text);
	if (l.count)
		fail_set(f, FAIL_SYSTEM, "%s is held by process %ld (%s)", text, (long)l.items[0].pid, l.items[0].command);
	else if (l.uid == geteuid())
		fail_set(f, FAIL_SYSTEM, "%s is held by a process of yours that hides what it has open, as kmi-tls does", text);
	else
		fail_set(f, FAIL_SYSTEM, "%s is held by a process of another user", text);
	listener_free(&l);
	return fail_hint(f, "stop that program, or give another address with %s", setting);
}

/* Left over by a program that was killed: a socket nobody listens on. */
static bool
is_left_over(const struct listen_address *a)
{
	struct listeners l;
	struct stat st;
	bool alive;

	if (listener_find(&l, a, 0, NULL) < 0)
		return false;
	alive = l.listening;
	listener_free(&l);
	return !alive && lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int
bind_unix(const struct listen_address *a, const char *text, const char *setting, struct fail *f)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(a->path) >= sizeof(un.sun_path))
		return fail_set(f, FAIL_USAGE, "%s: the path of a unix socket has at most %zu bytes", setting,
		    sizeof(un.sun_path) - 1);
	strcpy(un.sun_path, a->path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return fail_sys(f, "socket");
	rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
	if (rc < 0 && errno == EADDRINUSE) {
		if (is_left_over(a) && unlink(a->path) == 0)
			rc = bind(fd, (struct sockaddr *)&un, sizeof(un));
		else
			errno = EADDRINUSE;
	}
	if (rc == 0 && a->shared)
		rc = chmod(a->path, 0666);
	if (rc == 0)
		return fd;
	if (errno == EADDRINUSE)
		held(a, text, setting, f);
	else
		fail_sys(f, "bind %s", text);
	close(fd);
	return -1;
}

static int
bind_tcp(const struct listen_address *a, const char *text, const char *setting, struct fail *f)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *got;
	char port[16];
	int fd, yes = 1, rc;

	snprintf(port, sizeof(port), "%d", a->port);
	rc = getaddrinfo(a->host, port, &want, &got);
	if (rc != 0)
		return fail_set(f, FAIL_USAGE, "%s: %s: %s", setting, a->host, text_say(gai_strerror(rc)));
	fd = socket(got->ai_family, SOCK_STREAM, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (fd < 0 || bind(fd, got->ai_addr, got->ai_addrlen) < 0) {
		rc = errno;
		if (fd >= 0)
			close(fd);
		freeaddrinfo(got);
		errno = rc;
		return rc == EADDRINUSE ? held(a, text, setting, f) : fail_sys(f, "bind %s", text);
	}
	freeaddrinfo(got);
	return fd;
}

int
bind_listen(const struct listen_address *a, const char *text, const char *setting, struct fail *f)
{
	int fd = a->path ? bind_unix(a, text, setting, f) : bind_tcp(a, text, setting, f), rc;

	if (fd < 0 || listen(fd, BACKLOG) == 0)
		return fd;
	/* Two sockets may be bound to one port; only one may listen. */
	rc = errno;
	close(fd);
	errno = rc;
	return rc == EADDRINUSE ? held(a, text, setting, f) : fail_sys(f, "listen on %s", text);
}

static bool
is_at_path(int fd, const char *path)
{
	struct sockaddr_un un = { 0 };
	socklen_t n = sizeof(un) - 1;

	return getsockname(fd, (struct sockaddr *)&un, &n) == 0 && un.sun_family == AF_UNIX && strcmp(un.sun_path, path) == 0;
}

bool
bind_is_at(int fd, const struct listen_address *a)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *got;
	struct sockaddr_storage have;
	socklen_t n = sizeof(have);
	char port[16];
	bool same;

	if (a->path)
		return is_at_path(fd, a->path);
	snprintf(port, sizeof(port), "%d", a->port);
	if (getsockname(fd, (struct sockaddr *)&have, &n) < 0 || getaddrinfo(a->host, port, &want, &got) != 0)
		return false;
	same = n == got->ai_addrlen && memcmp(&have, got->ai_addr, n) == 0;
	freeaddrinfo(got);
	return same;
}
