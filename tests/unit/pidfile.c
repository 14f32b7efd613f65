#include "base/pidfile.h"

#include "base/file.h"
#include "check.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static char path[] = "/tmp/kmi-pidfile.XXXXXX";

static pid_t
with(const char *text)
{
	return file_replace(path, str_from(text), false, NULL) < 0 ? -1 : pidfile_read(path);
}

int
main(void)
{
	char own[32];

	close(mkstemp(path));
	snprintf(own, sizeof(own), " %ld\n", (long)getpid());
	prctl(PR_SET_NAME, "kmi-test");
	CHECK_INT(with(own), getpid());
	prctl(PR_SET_NAME, "another");
	CHECK_NAMED(with(own) == 0, "a stranger that was given the number");
	prctl(PR_SET_NAME, "kmi-test");
	CHECK_INT(with("999999999"), 0);
	CHECK_INT(with(""), 0);
	CHECK_INT(with("0"), 0);
	CHECK_INT(with("-1"), 0);
	CHECK_INT(with("12x"), 0);
	CHECK_INT(with("99999999999999999999999999"), 0);
	CHECK_INT(with("1                                                     "), 0);
	unlink(path);
	CHECK_INT(pidfile_read(path), 0);
	return check_done();
}
