#include "base/pidfile.h"

#include "base/file.h"
#include "base/listener.h"

#include <stdint.h>

pid_t
pidfile_read(const char *path)
{
	char command[LISTENER_NAME_SIZE];
	struct buf text = BUF(64);
	long long pid = 0;

	if (file_read(path, 32, &text, NULL, NULL) < 0 ||
	    str_int(str_trim(buf_view(&text)), 1, INT32_MAX, &pid) < 0 ||
	    listener_command((pid_t)pid, command) < 0 || !str_starts(str_from(command), "kmi-"))
		pid = 0;
	buf_free(&text);
	return (pid_t)pid;
}
