#include "base/program.h"

#include "check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `what` in a process of its own with stderr in a file; its exit code, and the text in said[]. */
static char said[4096];

static int
apart(int (*what)(void))
{
	char path[] = "/tmp/kmi-program-XXXXXX";
	int fd = mkstemp(path), status = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(fd, STDERR_FILENO);
		_exit(what());
	}
	waitpid(pid, &status, 0);
	n = pread(fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
fails(void)
{
	struct fail f;

	fail_set(&f, FAIL_USAGE, "a\nb");
	fail_hint(&f, "c");
	return program_fail("kmi-x", &f);
}

static int
warns(void)
{
	program_warn("kmi-x", "%s", "a\nb");
	return 0;
}

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "lines", required_argument, NULL, 'n' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int
parse(const char *a, const char *b)
{
	struct program_call call = { .name = "kmi-x", .usage = "usage: kmi-x\n", .letters = ":hn:", .options = options };
	char *argv[] = { strdup("kmi-x"), strdup(a), b ? strdup(b) : NULL, NULL };

	while (program_option(&call, b ? 3 : 2, argv) >= 0)
		continue;
	return call.over ? call.code : 0;
}

static int
unknown_long(void)
{
	return parse("--jsn=secret", NULL);
}

static int
unknown_short(void)
{
	return parse("-xj", NULL);
}

static int
unwanted(void)
{
	return parse("--json=secret", NULL);
}

static int
missing(void)
{
	return parse("--json", "--lines");
}

static int
missing_short(void)
{
	return parse("-n", NULL);
}

static int
starts_without_descriptors(void)
{
	close(0);
	close(1);
	program_start();
	if (fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0)
		return 1;
	return umask(0) == 077 ? 0 : 2;
}

static int
full_disk(void)
{
	int fd = open("/dev/full", O_WRONLY);

	dup2(fd, STDOUT_FILENO);
	printf("x\n");
	return program_end("kmi-x", 0);
}

static int
reader_gone(void)
{
	int p[2];

	program_start();
	if (pipe(p) < 0)
		return 100;
	close(p[0]);
	dup2(p[1], STDOUT_FILENO);
	printf("x\n");
	return program_end("kmi-x", 0);
}

int
main(void)
{
	CHECK_INT(apart(fails), 2);
	CHECK_STR(said, "kmi-x: error: a b\nkmi-x: hint: c\n");
	CHECK_INT(apart(warns), 0);
	CHECK_STR(said, "kmi-x: warning: a b\n");
	CHECK_INT(apart(unknown_long), 2);
	CHECK_STR(said, "kmi-x: error: unknown option --jsn\nkmi-x: hint: did you mean --json?\n");
	CHECK_INT(apart(unknown_short), 2);
	CHECK_STR(said, "kmi-x: error: unknown option -x\nkmi-x: hint: kmi x --help tells how it is used\n");
	CHECK_INT(apart(unwanted), 2);
	CHECK_STR(said, "kmi-x: error: option --json takes no value\nkmi-x: hint: kmi x --help tells how it is used\n");
	CHECK_INT(apart(missing), 2);
	CHECK(strstr(said, "option --lines needs a value") != NULL);
	CHECK_INT(apart(missing_short), 2);
	CHECK(strstr(said, "needs a value") != NULL);
	CHECK_INT(apart(starts_without_descriptors), 0);
	CHECK_INT(apart(full_disk), 1);
	CHECK(strstr(said, "No space left") != NULL);
	CHECK_INT(apart(reader_gone), 1);
	CHECK_STR(said, "");
	return check_done();
}
