#include "keys/slot.h"

#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int
open_slots(const char *state_dir, const char *account, struct fail *f)
{
	char hash[DIGEST_SHORT_SIZE], *folder = file_join(state_dir, "slots"), *path = NULL;
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, fd = -1;

	digest_short(str_from(account), hash);
	path = folder ? file_join(folder, hash) : NULL;
	if (!path) {
		fail_memory(f);
		goto out;
	}
	fd = open(path, flags, 0600);
	if (fd < 0 && errno == ENOENT && file_mkdirs(folder, f) == 0)
		fd = open(path, flags, 0600);
	if (fd < 0)
		fail_sys(f, "open %s", path);
out:
	free(folder);
	free(path);
	return fd;
}

int
slot_take(struct slot *s, const char *state_dir, const char *account, long long most, struct fail *f)
{
	int rc = 0;

	slot_free(s);
	s->fd = open_slots(state_dir, account, f);
	if (s->fd < 0)
		return -1;
	for (long long i = 0; i < most && rc == 0; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)i, .l_len = 1 };

		if (fcntl(s->fd, F_OFD_SETLK, &lock) == 0)
			rc = 1;
		else if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			rc = fail_sys(f, "lock a slot of %s", account);
	}
	s->taken = rc == 1;
	if (!s->taken)
		close(s->fd);
	return rc;
}

void
slot_free(struct slot *s)
{
	if (s->taken)
		close(s->fd);
	s->taken = false;
}
