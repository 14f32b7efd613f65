#include "base/running.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENVIRONMENT_MAX (2u << 20)
#define VARIABLES_MAX 4096

/* What the tools speak of. */
static const char *const told[] = { "DRY_RUN", "AUTO_ROTATE_ALLOWED", "AUTHS_DIR", "STATE_DIR", "UPSTREAM_BASE_URL",
	"PROXY_BASE_PATH", "ROTATE_STRATEGY", "ROTATE_INCLUDE_WARN", "REQUIRE_USAGE_BEFORE_REQUEST",
	"PROXY_LISTEN" };
#define WHERE 1		/* of them the last: where a superserver listens is its own affair */

static bool
is_ours(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
	return stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* From here on this process stands where that one does. `text` is what the environment lies in. */
static int
stand_there(pid_t pid, struct buf *text)
{
	static char *variables[VARIABLES_MAX + 1];
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
	if (file_read(path, ENVIRONMENT_MAX - 1, text, NULL, NULL) < 0)
		return -1;
	for (char *p = text->p; p < text->p + text->n && n < VARIABLES_MAX; p += strlen(p) + 1)
		variables[n++] = p;
	snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)pid);
	if (chdir(path) < 0)
		return -1;
	environ = variables;
	return 0;
}

static bool
is_same(const struct config *a, const struct config *b, size_t i)
{
	struct buf one = BUF(65536), other = BUF(65536);
	bool same;

	config_value(a, i, &one);
	config_value(b, i, &other);
	same = !buf_bad(&one) && !buf_bad(&other) && str_eq(buf_view(&one), buf_view(&other));
	buf_free(&one);
	buf_free(&other);
	return same;
}

static void
compare(struct running *r, const struct config *here, const struct config *there, bool embedded)
{
	size_t count = sizeof(told) / sizeof(*told) - (embedded ? 0 : WHERE);

	r->known = true;
	r->dry_run = there->dry_run;
	r->auto_rotate_allowed = there->auto_rotate_allowed;
	for (size_t i = 0, n = 0; i < count; i++) {
		int at = config_find(told[i]);

		if (at >= 0 && !is_same(here, there, (size_t)at) && n < sizeof(r->differs))
			n += (size_t)snprintf(r->differs + n, sizeof(r->differs) - n, "%s%s", n ? ", " : "",
			    config_name((size_t)at));
	}
	if (strcmp(here->state_dir, there->state_dir) != 0)
		snprintf(r->state_dir, sizeof(r->state_dir), "%s", there->state_dir);
}

/* In the child, which is in nobody's way. */
static void
look_from_there(struct running *r, const struct config *here, const struct superserver *by)
{
	struct buf text = BUF(ENVIRONMENT_MAX);
	struct config there;

	if (stand_there(by->pid, &text) == 0 && config_load(&there, NULL, NULL) == 0) {
		compare(r, here, &there, by->kind == SUPERSERVER_EMBEDDED);
		config_free(&there);
	}
	buf_wipe(&text);
}

void
running_find(struct running *r, const struct config *here, const struct superserver *by)
{
	struct running found = { 0 };
	int fds[2];
	pid_t child;

	*r = found;
	if ((by->kind != SUPERSERVER_EMBEDDED && by->kind != SUPERSERVER_OTHER && by->kind != SUPERSERVER_S6) || by->pid <= 0 ||
	    !is_ours(by->pid) || pipe(fds) < 0)
		return;
	child = fork();
	if (child == 0) {
		look_from_there(&found, here, by);
		_exit(write(fds[1], &found, sizeof(found)) == sizeof(found) ? 0 : 1);
	}
	close(fds[1]);
	if (child > 0 && read(fds[0], &found, sizeof(found)) == sizeof(found))
		*r = found;
	close(fds[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
}
