#include "base/listener.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A listening TCP socket on a port the kernel picks; -1 when the family is not there. */
static int
listen_tcp(const char *host, int *port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	bool v6 = inet_pton(AF_INET6, host, &six.sin6_addr) == 1;
	struct sockaddr *sa = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	socklen_t n = v6 ? sizeof(six) : sizeof(four);
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!v6)
		inet_pton(AF_INET, host, &four.sin_addr);
	if (fd < 0 || bind(fd, sa, n) < 0 || listen(fd, 5) < 0 || getsockname(fd, sa, &n) < 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(v6 ? six.sin6_port : four.sin_port);
	return fd;
}

static bool
found(const char *host, int port, pid_t guess, pid_t *pid)
{
	char copy[64];
	struct listen_address a = { .host = copy, .port = port };
	struct listeners l;
	struct fail f;
	bool listening;

	snprintf(copy, sizeof(copy), "%s", host);
	if (listener_find(&l, &a, guess, &f) < 0)
		return false;
	listening = l.listening;
	*pid = l.count ? l.items[0].pid : 0;
	listener_free(&l);
	return listening;
}

static void
test_tcp(void)
{
	int port = 0, fd = listen_tcp("127.0.0.1", &port);
	pid_t pid;

	CHECK(fd >= 0);
	CHECK(found("127.0.0.1", port, 0, &pid));
	CHECK_INT(pid, getpid());
	CHECK(found("127.0.0.1", port, getpid(), &pid));
	CHECK_INT(pid, getpid());
	CHECK_NAMED(found("127.0.0.1", port, 1, &pid) && pid == getpid(), "a wrong guess costs only time");
	CHECK(found("localhost", port, 0, &pid));
	CHECK_NAMED(found("0.0.0.0", port, 0, &pid), "the wildcard could not be bound");
	CHECK(!found("127.0.0.2", port, 0, &pid));
	CHECK(!found("::1", port, 0, &pid));
	close(fd);
	CHECK(!found("127.0.0.1", port, 0, &pid));
}

static void
test_wildcards(void)
{
	int port = 0, fd = listen_tcp("0.0.0.0", &port);
	pid_t pid;

	CHECK(found("127.0.0.1", port, 0, &pid) && pid == getpid());
	CHECK(!found("::1", port, 0, &pid));
	close(fd);
	fd = listen_tcp("::", &port);
	if (fd < 0)
		return;
	CHECK_NAMED(found("127.0.0.1", port, 0, &pid) && pid == getpid(), ":: takes IPv4 too");
	CHECK(found("::1", port, 0, &pid) && pid == getpid());
	close(fd);
	fd = listen_tcp("::1", &port);
	if (fd < 0)
		return;
	CHECK(found("::1", port, 0, &pid) && pid == getpid());
	CHECK(!found("127.0.0.1", port, 0, &pid));
	close(fd);
}

static void
test_unix(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct listen_address a = { .path = un.sun_path };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listeners l;

	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/kmi listener.%ld", (long)getpid());
	CHECK(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	CHECK(listener_find(&l, &a, 0, NULL) == 0 && !l.listening);
	listener_free(&l);
	CHECK(listen(fd, 1) == 0);
	CHECK(
	    listener_find(&l, &a, 0, NULL) == 0 && l.listening && l.count == 1 && l.items[0].pid == getpid());
	CHECK_STR(l.items[0].command, "listener");
	listener_free(&l);
	close(fd);
	CHECK_NAMED(listener_find(&l, &a, 0, NULL) == 0 && !l.listening, "a socket file nobody listens on");
	unlink(un.sun_path);
}

/* A socket that was inherited is held by both, and stays when the first one goes. */
static void
test_inherited(void)
{
	char host[] = "127.0.0.1", name[LISTENER_NAME_SIZE];
	struct listen_address a = { .host = host };
	int fd = listen_tcp(host, &a.port);
	struct listeners l;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(listener_find(&l, &a, 0, NULL) == 0 && l.count == 2);
	CHECK(l.items[0].pid == getpid() || l.items[1].pid == getpid());
	listener_free(&l);
	close(fd);
	CHECK(listener_find(&l, &a, 0, NULL) == 0 && l.count == 1 && l.items[0].pid == child);
	listener_free(&l);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK(listener_command(child, name) < 0);
	CHECK(listener_command(getpid(), name) == 0);
}

int
main(void)
{
	struct listen_address nowhere = { .host = (char[]){ "no such host" }, .port = 1 };
	struct listeners l;
	struct fail f = { 0 };

	test_tcp();
	test_wildcards();
	test_unix();
	test_inherited();
	CHECK(listener_find(&l, &nowhere, 0, &f) < 0 && f.kind == FAIL_SYSTEM);
	return check_done();
}
