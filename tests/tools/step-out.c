/*
 * step-out: enters the sandbox of a handler, then does what it is told, one thing an argument, and says how each went.
 *
 *	step-out read:PATH write:PATH make:PATH remove:PATH run:PATH connect:PORT ...
 *
 * A line each, "ok" or the error. The first line is the version of Landlock, 0 = none.
 */
#include "base/clock.h"
#include "base/config.h"
#include "base/sandbox.h"
#include "proxy/narrow.h"

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
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static int
connect_to(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), rc = connect(fd, (struct sockaddr *)&sin, sizeof(sin)), saved = errno;

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
	return connect_to(atoi(object));
}

int
main(int argc, char **argv)
{
	struct config c;
	struct fail f = { 0 };

	if (config_load(&c, NULL, &f) < 0 || narrow_handler(&c, &f) < 0) {
		fprintf(stderr, "step-out: %s\n", f.text);
		return 1;
	}
	printf("%d\n", sandbox_version());
	for (int i = 1; i < argc; i++)
		printf("%s %s\n", argv[i], attempt(argv[i]) < 0 ? strerror(errno) : "ok");
	config_free(&c);
	return 0;
}
