#include "base/passed.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 3

static bool
is_listening(int fd)
{
	int yes = 0;
	socklen_t n = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes;
}

static int
find_systemd(struct passed out[PASSED_MAX])
{
	struct str names = str_from(getenv("LISTEN_FDNAMES"));
	long long pid, count;
	int n = 0;

	if (str_int(str_from(getenv("LISTEN_PID")), 1, 1LL << 40, &pid) < 0 || pid != (long long)getpid() ||
	    str_int(str_from(getenv("LISTEN_FDS")), 1, PASSED_MAX, &count) < 0)
		return 0;
	for (int fd = FIRST; fd < FIRST + (int)count; fd++) {
		struct str name = str_cut(&names, ':');

		if (!is_listening(fd))
			continue;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		out[n].fd = fd;
		snprintf(out[n].name, sizeof(out[n].name), "%.*s", STR_F(name));
		n++;
	}
	return n;
}

static int
find_inetd(struct passed out[PASSED_MAX])
{
	int null;

	if (!is_listening(0))
		return 0;
	out[0] = (struct passed){ .fd = fcntl(0, F_DUPFD_CLOEXEC, FIRST) };
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 0);
	close(null);
	return out[0].fd >= 0;
}

int
passed_find(struct passed out[PASSED_MAX])
{
	int n = find_systemd(out);

	return n ? n : find_inetd(out);
}

int
passed_give(const struct passed *sockets, int count, struct fail *f)
{
	char names[PASSED_MAX * (PASSED_NAME_SIZE + 1)] = "", pid[24], fds[8];
	int high[PASSED_MAX];
	size_t n = 0;

	/* Out of the way first: one may lie where another belongs. */
	for (int i = 0; i < count; i++)
		if ((high[i] = fcntl(sockets[i].fd, F_DUPFD_CLOEXEC, FIRST + PASSED_MAX)) < 0)
			return fail_sys(f, "pass on a listening socket");
	for (int i = 0; i < count; i++) {
		if (dup2(high[i], FIRST + i) < 0)
			return fail_sys(f, "pass on a listening socket");
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ":" : "", sockets[i].name);
	}
	if (close_range((unsigned)(FIRST + count), ~0U, 0) < 0)
		return fail_sys(f, "close what is not passed on");
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	snprintf(fds, sizeof(fds), "%d", count);
	if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", fds, 1) < 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
		return fail_memory(f);
	return 0;
}
