#include "base/probe.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int
connect_to(int family, const struct sockaddr *to, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), why;

	if (fd >= 0 && connect(fd, to, size) < 0) {
		why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

int
probe_connect(const struct listen_address *a)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *got = NULL;
	char port[16];
	int fd;

	if (a->path) {
		strncpy(un.sun_path, a->path, sizeof(un.sun_path) - 1);
		return connect_to(AF_UNIX, (struct sockaddr *)&un, sizeof(un));
	}
	snprintf(port, sizeof(port), "%d", a->port);
	if (getaddrinfo(a->host, port, &want, &got) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	fd = connect_to(got->ai_family, got->ai_addr, got->ai_addrlen);
	freeaddrinfo(got);
	return fd;
}

bool
probe_answers(const struct listen_address *a, int timeout_ms, pid_t pid)
{
	static const char ask[] = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	int64_t until = clock_mono_ms() + timeout_ms;
	int fd = probe_connect(a);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[5];
	bool yes = false;

	if (fd < 0)
		return false;
	if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0)
		while (clock_mono_ms() < until && (pid == 0 || waitpid(pid, NULL, WNOHANG) == 0))
			if (poll(&p, 1, 50) > 0) {
				yes = recv(fd, got, sizeof(got), MSG_WAITALL) == sizeof(got) && memcmp(got, "HTTP/", 5) == 0;
				break;
			}
	close(fd);
	return yes;
}
