#include "base/stamp.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *
stamp_stderr(char out[STAMP_SIZE])
{
	int flags = fcntl(STDERR_FILENO, F_GETFL);
	struct stat st;

	*out = '\0';
	if (flags < 0 || !(flags & O_APPEND) || fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
		return out;
	clock_local(clock_wall(), out);
	return strcat(out, " ");
}
