#include "proxy/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool
find(const char *name, char path[PATH_MAX])
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	own[n < 0 ? 0 : n] = '\0';
	slash = strrchr(own, '/');
	if (slash && snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - own), own, name) < PATH_MAX && access(path, X_OK) == 0)
		return true;
	return snprintf(path, PATH_MAX, "%s/%s", KMI_LIBEXEC, name) < PATH_MAX && access(path, X_OK) == 0;
}

/* In the child of the child: from here on there is nobody to tell. */
static _Noreturn void
become(const char *path, const char *const *argv)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_range(3, ~0U, 0);
	unsetenv("KMI_PROXY_TOKEN");
	execv(path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

int
aside_run(const char *const *argv, struct fail *f)
{
	char path[PATH_MAX];
	pid_t child;

	if (!find(argv[0], path))
		return fail_set(f, FAIL_SYSTEM, "%s is not installed beside this program", argv[0]);
	child = fork();
	if (child < 0)
		return fail_sys(f, "start %s", argv[0]);
	if (child == 0) {
		pid_t grandchild;

		setsid();
		grandchild = fork();
		if (grandchild == 0)
			become(path, argv);
		_exit(grandchild < 0);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}
