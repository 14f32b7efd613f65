#include "base/pidfile.h"

#include "base/file.h"
#include "base/listener.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A process that has ended, but whose parent has not asked yet how: its name is all that is left. */
static bool
is_zombie(pid_t pid)
{
	char path[64];
	struct buf text = BUF(4096);
	bool zombie = false;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if (file_read(path, 4095, &text, NULL, NULL) == 0) {
		const char *after = strrchr(text.p, ')');

		zombie = after && (after[1] == ' ' && (after[2] == 'Z' || after[2] == 'X'));
	}
	buf_free(&text);
	return zombie;
}

pid_t
pidfile_read(const char *path)
{
	char command[LISTENER_NAME_SIZE];
	struct buf text = BUF(64);
	long long pid = 0;

	if (file_read(path, 32, &text, NULL, NULL) < 0 ||
	    str_int(str_trim(buf_view(&text)), 1, INT32_MAX, &pid) < 0 ||
	    listener_command((pid_t)pid, command) < 0 || !str_starts(str_from(command), "kmi-") ||
	    is_zombie((pid_t)pid))
		pid = 0;
	buf_free(&text);
	return (pid_t)pid;
}
