/*
 * step-out: enters the sandbox of one of our programs, then does what it is told, one thing an argument, and says how each went.
 *
 *	step-out PROGRAM read:PATH write:PATH make:PATH remove:PATH run:PATH connect:PORT bind:PORT ...
 *
 * A line each, "ok" or the error. The first line is the version of Landlock, 0 = none.
 */
#include "base/clock.h"
#include "base/config.h"
#include "keys/narrow.h"
#include "tls/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int
open_as(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int
run(const char *path)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		execl(path, path, (char *)NULL);
		_exit(errno);
	}
	if (child < 0)
		return -1;
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static int
use_port(int port, int (*use)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), rc = use(fd, (struct sockaddr *)&sin, sizeof(sin)), saved = errno;

	close(fd);
	errno = saved;
	return rc;
}

static int
attempt(const char *what)
{
	const char *object = strchr(what, ':') + 1;

	if (strncmp(what, "read:", 5) == 0)
		return open_as(object, O_RDONLY);
	if (strncmp(what, "write:", 6) == 0)
		return open_as(object, O_WRONLY);
	if (strncmp(what, "make:", 5) == 0)
		return open_as(object, O_WRONLY | O_CREAT | O_EXCL);
	if (strncmp(what, "remove:", 7) == 0)
		return unlink(object);
	if (strncmp(what, "run:", 4) == 0)
		return run(object);
	if (strncmp(what, "bind:", 5) == 0)
		return use_port(atoi(object), bind);
	return use_port(atoi(object), connect);
}

/* kmi-tls has no line in the table: its own room narrows it. */
static int
enter(const char *program, const struct config *c, struct fail *f)
{
	return strcmp(program, CLIENT_PROGRAM) == 0 ? client_narrow(c, f) : narrow(program, c, f);
}

int
main(int argc, char **argv)
{
	struct config c;
	struct fail f = { 0 };

	if (argc < 2 || config_load(&c, NULL, &f) < 0 || enter(argv[1], &c, &f) < 0) {
		fprintf(stderr, "step-out: %s\n", f.text);
		return 1;
	}
	printf("%d\n", sandbox_version());
	for (int i = 2; i < argc; i++)
		printf("%s %s\n", argv[i], attempt(argv[i]) < 0 ? strerror(errno) : "ok");
	config_free(&c);
	return 0;
}
