#include "base/children.h"

#include "base/file.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define LIST_MAX (1u << 20)

void
children_signal(int sig)
{
	struct buf text = BUF(LIST_MAX + 1);
	char path[64];
	struct str rest;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
	if (file_read(path, LIST_MAX, &text, NULL, NULL) == 0)
		for (rest = str_trim(buf_view(&text)); rest.n;) {
			long long pid;

			if (str_int(str_cut(&rest, ' '), 1, INT32_MAX, &pid) == 0)
				kill((pid_t)pid, sig);
		}
	buf_free(&text);
}
