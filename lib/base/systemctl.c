#include "base/systemctl.h"

#include "base/buf.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

/* Ours, but the proxy's token. NULL: no memory. */
static char **
their_environment(void)
{
	size_t n = 0, kept = 0;
	char **out;

	while (environ[n])
		n++;
	out = calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		if (!str_starts(str_from(environ[i]), "KMI_PROXY_TOKEN="))
			out[kept++] = environ[i];
	return out;
}

int
systemctl_run(enum systemctl_voice voice, const char *const *argv)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	char **environment = their_environment();
	sigset_t pipe;
	int status, rc;
	pid_t pid;

	if (!environment)
		return -1;
	posix_spawn_file_actions_init(&files);
	if (voice == SYSTEMCTL_QUIET) {
		posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
		posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	}
	posix_spawnattr_init(&attr);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &pipe);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(&pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, environment);
	free(environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	if (rc != 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int
systemctl(bool user, enum systemctl_voice voice, const char *first, ...)
{
	const char *argv[ARGUMENTS_MAX] = { "systemctl", user ? "--user" : "--system", "--quiet", first };
	va_list more;
	int n = 4;

	va_start(more, first);
	while (n < ARGUMENTS_MAX - 1 && (argv[n] = va_arg(more, const char *)))
		n++;
	va_end(more);
	return systemctl_run(voice, argv);
}

bool
systemctl_is(bool user, const char *state, const char *unit)
{
	char question[32];

	snprintf(question, sizeof(question), "is-%s", state);
	return systemctl(user, SYSTEMCTL_QUIET, question, unit, NULL) == 0;
}
