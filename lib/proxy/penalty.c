#include "proxy/penalty.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEPS 4			/* 1, 2, 4, 8 seconds */
#define ROWS 1024
#define LOCK_MS 200

static const char magic[8] = "kmipen1";

struct table_head {
	char magic[sizeof(magic)];
	char key[DIGEST_ID_SIZE];
	char spare[64 - sizeof(magic) - DIGEST_ID_SIZE];
};

_Static_assert(sizeof(struct table_head) == 64 && sizeof(struct penalty) == 48, "the file's layout");

#define TABLE_SIZE (sizeof(struct table_head) + ROWS * sizeof(struct penalty))

/* ---- the decision ------------------------------------------------------------------------------------------- */

int64_t
penalty_count(struct penalty *p, int64_t now_ms)
{
	unsigned at = p->oldest % PENALTY_FREE;
	int64_t oldest = p->tried_ms[at];

	/* A time of the future is one from before the last boot. */
	if (oldest <= 0 || oldest > now_ms || now_ms - oldest >= PENALTY_WINDOW_MS)
		p->step = 0;
	else if (p->step < STEPS)
		p->step++;
	else
		p->step = STEPS;
	p->tried_ms[at] = now_ms;
	p->oldest = (at + 1) % PENALTY_FREE;
	return p->step ? (int64_t)1000 << (p->step - 1) : 0;
}

void
penalty_origin(const struct peer *peer, char out[PENALTY_ORIGIN_SIZE])
{
	const union peer_address *a = &peer->remote_address;
	const unsigned char *b = a->v6.sin6_addr.s6_addr;

	if (peer->unix_socket)
		snprintf(out, PENALTY_ORIGIN_SIZE, "uid %lu", (unsigned long)peer->uid);
	else if (a->any.sa_family == AF_INET)
		snprintf(out, PENALTY_ORIGIN_SIZE, "%08x", ntohl(a->v4.sin_addr.s_addr));
	else if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		snprintf(out, PENALTY_ORIGIN_SIZE, "%02x%02x%02x%02x", b[12], b[13], b[14], b[15]);
	else if (a->any.sa_family == AF_INET6)
		snprintf(out, PENALTY_ORIGIN_SIZE, "%02x%02x%02x%02x%02x%02x%02x%02x/64", b[0], b[1], b[2], b[3], b[4], b[5],
		    b[6], b[7]);
	else
		snprintf(out, PENALTY_ORIGIN_SIZE, "?");
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static int
open_table(const char *state_dir, struct fail *f)
{
	static const int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
	char *path = file_join(state_dir, "penalty");
	struct stat st;
	int fd;

	if (!path)
		return fail_memory(f);
	fd = file_make(path, flags);
	if (fd < 0 && errno == ENOENT && file_mkdirs(state_dir, f) == 0)
		fd = file_make(path, flags);
	if (fd < 0)
		fail_sys(f, "open %s", path);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		fail_set(f, FAIL_INPUT, "%s is not a regular file", path);
	else if (file_lock_fd(fd, LOCK_MS, f) == 0) {
		free(path);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return -1;
}

/* Written whole, so that no later failure needs more room on the disk. */
static int
begin_table(int fd, struct table_head *h, struct fail *f)
{
	struct buf all = BUF(TABLE_SIZE);
	int rc = 0;

	*h = (struct table_head){ 0 };
	memcpy(h->magic, magic, sizeof(magic));
	digest_random(h->key);
	buf_put(&all, h, sizeof(*h));
	buf_fill(&all, '\0', TABLE_SIZE - sizeof(*h));
	if (buf_bad(&all))
		rc = fail_memory(f);
	else if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 || file_write_all(fd, buf_view(&all)) < 0)
		rc = fail_sys(f, "write the table of wrong tokens");
	buf_free(&all);
	return rc;
}

static int
read_head(int fd, struct table_head *h, struct fail *f)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size == (off_t)TABLE_SIZE && pread(fd, h, sizeof(*h), 0) == (ssize_t)sizeof(*h) &&
	    memcmp(h->magic, magic, sizeof(magic)) == 0)
		return 0;
	return begin_table(fd, h, f);
}

static off_t
row_of(const struct table_head *h, const char *origin)
{
	char text[sizeof(h->key) + PENALTY_ORIGIN_SIZE], hash[DIGEST_SHORT_SIZE];

	snprintf(text, sizeof(text), "%.*s%s", (int)sizeof(h->key) - 1, h->key, origin);
	digest_short(str_from(text), hash);
	return (off_t)(sizeof(*h) + strtoull(hash, NULL, 16) % ROWS * sizeof(struct penalty));
}

int
penalty_add(const char *state_dir, const char *origin, int64_t *delay_ms, struct fail *f)
{
	int fd = open_table(state_dir, f), rc = -1;
	struct table_head h;
	struct penalty p;
	int64_t delay;
	off_t at;

	*delay_ms = 0;
	if (fd < 0)
		return -1;
	if (read_head(fd, &h, f) < 0)
		goto out;
	at = row_of(&h, origin);
	if (pread(fd, &p, sizeof(p), at) != (ssize_t)sizeof(p)) {
		fail_sys(f, "read the table of wrong tokens");
		goto out;
	}
	delay = penalty_count(&p, clock_mono_ms());
	if (pwrite(fd, &p, sizeof(p), at) != (ssize_t)sizeof(p)) {
		fail_sys(f, "write the table of wrong tokens");
		goto out;
	}
	*delay_ms = delay;
	rc = 0;
out:
	close(fd);
	return rc;
}
