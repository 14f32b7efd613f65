#include "base/handover.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/peer.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MEETING "handover.sock"
#define WAIT_MS 3000		/* a pool answers at once, unless it is stopped or no pool */

static int
meeting_place(const char *state_dir, struct sockaddr_un *at, struct fail *f)
{
	char *path = file_join(state_dir, MEETING);
	int rc = 0;

	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path)
		rc = fail_memory(f);
	else if (strlen(path) >= sizeof(at->sun_path))
		rc = fail_set(f, FAIL_SYSTEM, "the path of the state folder is too long for a unix socket in it");
	else
		strcpy(at->sun_path, path);
	free(path);
	return rc;
}

/* ---- the pool ----------------------------------------------------------------------------------------------- */

static int
send_sockets(int to, const struct passed *sockets, int count)
{
	char names[PASSED_MAX][PASSED_NAME_SIZE] = { "" }, space[CMSG_SPACE(PASSED_MAX * sizeof(int))] = { 0 };
	struct iovec iov = { names, (size_t)count * PASSED_NAME_SIZE };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
		.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	for (int i = 0; i < count; i++) {
		memcpy(names[i], sockets[i].name, PASSED_NAME_SIZE);
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &sockets[i].fd, sizeof(int));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ? 0 : -1;
}

int
handover_give(const char *state_dir, const struct passed *sockets, int count)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at;

	if (fd < 0)
		return -1;
	if (count > 0 && count <= PASSED_MAX && meeting_place(state_dir, &at, NULL) == 0 &&
	    connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && peer_is_trusted(fd) && send_sockets(fd, sockets, count) == 0)
		return fd;
	close(fd);
	return -1;
}

/* ---- the successor ------------------------------------------------------------------------------------------ */

static bool
comes_in_time(int fd, int64_t until)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left = until - clock_mono_ms();

	return left > 0 && poll(&p, 1, (int)left) > 0;
}

static bool
is_from(int fd, pid_t pid)
{
	struct ucred other;
	socklen_t n = sizeof(other);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &n) == 0 && other.pid == pid;
}

static int
receive_sockets(int from, struct passed sockets[PASSED_MAX])
{
	char names[PASSED_MAX][PASSED_NAME_SIZE] = { "" }, space[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	struct iovec iov = { names, sizeof(names) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c = recvmsg(from, &m, MSG_CMSG_CLOEXEC) > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int n;

	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	for (int i = 0; i < n; i++) {
		memcpy(&sockets[i].fd, CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(int));
		snprintf(sockets[i].name, PASSED_NAME_SIZE, "%.*s", PASSED_NAME_SIZE - 1, names[i]);
	}
	return n;
}

/* Takes what it gives, and waits until it accepts no more itself: then it closes. */
static int
take(int meeting, pid_t pid, struct passed sockets[PASSED_MAX], int64_t until)
{
	int n = -1, fd = comes_in_time(meeting, until) ? accept4(meeting, NULL, NULL, SOCK_CLOEXEC) : -1;
	char end;

	if (fd < 0)
		return -1;
	if (is_from(fd, pid) && comes_in_time(fd, until))
		n = receive_sockets(fd, sockets);
	if (n > 0 && comes_in_time(fd, until))
		recv(fd, &end, 1, MSG_DONTWAIT);
	close(fd);
	return n;
}

int
handover_ask(const char *state_dir, pid_t pid, struct passed sockets[PASSED_MAX], struct fail *f)
{
	int meeting = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), n = -1;
	struct sockaddr_un at;

	if (meeting < 0)
		return fail_sys(f, "socket");
	if (meeting_place(state_dir, &at, f) < 0) {
		close(meeting);
		return -1;
	}
	unlink(at.sun_path);	/* of one who was killed while it asked */
	if (bind(meeting, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(meeting, 1) < 0)
		fail_sys(f, "bind %s", at.sun_path);
	else if (kill(pid, SIGUSR2) < 0)
		fail_sys(f, "signal process %ld", (long)pid);
	else if ((n = take(meeting, pid, sockets, clock_mono_ms() + WAIT_MS)) < 0)
		fail_set(f, FAIL_SYSTEM, "process %ld does not give its listening sockets", (long)pid);
	unlink(at.sun_path);
	close(meeting);
	return n;
}
