#include "base/file.h"

#include "base/clock.h"
#include "base/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/time.h>
#include <unistd.h>

#define TEMP_ID 8
#define LEFTOVER_SECONDS 60
#define LINKS_MAX 40	/* as many as the kernel follows */

void
file_stamp_of(struct file_stamp *s, const struct stat *st)
{
	*s = (struct file_stamp){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (unsigned long long)st->st_size,
		.mtime_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec,
	};
}

bool
file_stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	    a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static int
read_fd(int fd, const char *name, size_t max, struct buf *out, struct file_stamp *stamp, struct fail *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_sys(f, "stat %s", name);
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return fail_set(f, FAIL_INPUT, "%s is not a regular file", name);
	}
	if ((unsigned long long)st.st_size > max) {
		errno = EFBIG;
		return fail_set(f, FAIL_INPUT, "%s has %lld bytes, more than the %zu allowed", name,
		    (long long)st.st_size, max);
	}
	if (stamp)
		file_stamp_of(stamp, &st);
	for (;;) {
		size_t step = (size_t)st.st_size + 1 > out->n ? (size_t)st.st_size + 1 - out->n : 4096;
		char *room;
		ssize_t n;

		if (out->n + step > out->max)
			step = out->max - out->n;
		room = step ? buf_room(out, step) : NULL;
		if (!room) {
			errno = EFBIG;
			return fail_set(f, FAIL_INPUT, "%s is larger than the %zu bytes allowed", name, max);
		}
		n = read(fd, room, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_sys(f, "read %s", name);
		if (n == 0)
			break;
		out->n += (size_t)n;
		if (out->n > max) {
			errno = EFBIG;
			return fail_set(f, FAIL_INPUT, "%s is larger than the %zu bytes allowed", name, max);
		}
	}
	if (out->p)
		out->p[out->n] = '\0';
	return 0;
}

int
file_read_at(int dir, const char *name, size_t max, struct buf *out, struct file_stamp *stamp, struct fail *f)
{
	/* O_NONBLOCK: opening a fifo nobody writes to must not hang us. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc, saved;

	if (fd < 0)
		return fail_sys(f, "open %s", name);
	if (out->max < max + 1)
		out->max = max + 1;
	rc = read_fd(fd, name, max, out, stamp, f);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

int
file_read(const char *path, size_t max, struct buf *out, struct file_stamp *stamp, struct fail *f)
{
	return file_read_at(AT_FDCWD, path, max, out, stamp, f);
}

int
file_write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s = str_sub(s, (size_t)n, s.n);
	}
	return 0;
}

/*
 * root, by sudo, beside a proxy of another user: what it makes in that user's folder is made as he would make
 * it, so that his proxy can go on with it, and no link of his leads root astray. True when theirs() has to be
 * ended by ours().
 */
static bool
theirs(const char *path)
{
	char *copy;
	struct stat st;
	bool yes;

	if (geteuid() != 0 || !(copy = strdup(path)))
		return false;
	yes = stat(dirname(copy), &st) == 0 && st.st_uid != 0;
	free(copy);
	if (yes) {
		setfsgid(st.st_gid);
		setfsuid(st.st_uid);
	}
	return yes;
}

static void
ours(void)
{
	int saved = errno;

	setfsuid(geteuid());
	setfsgid(getegid());
	errno = saved;
}

int
file_make(const char *path, int flags)
{
	bool as_owner = theirs(path);
	int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);

	if (as_owner)
		ours();
	return fd;
}

static int
make_folder(const char *path)
{
	bool as_owner = theirs(path);
	int rc = mkdir(path, 0700);

	if (as_owner)
		ours();
	return rc;
}

/* Whose a file is, or, when it is not there, whose the folder is that it would be made in. */
static bool
is_of(const char *path, uid_t uid)
{
	char *copy;
	struct stat st;
	bool yes;

	if (lstat(path, &st) == 0)
		return st.st_uid == uid;
	if (!(copy = strdup(path)))
		return false;
	yes = stat(dirname(copy), &st) == 0 && st.st_uid == uid;
	free(copy);
	return yes;
}

/* One link on; NULL with errno: EINVAL when path is no link. */
static char *
follow(const char *path)
{
	char to[PATH_MAX], *copy = NULL, *next = NULL;
	ssize_t n = readlink(path, to, sizeof(to) - 1);
	struct stat st;

	if (n < 0)
		return NULL;
	to[n] = '\0';
	if (to[0] == '/')
		next = strdup(to);
	else if ((copy = strdup(path)))
		next = file_join(dirname(copy), to);
	free(copy);
	if (next && geteuid() == 0 && (lstat(path, &st) < 0 || (st.st_uid != 0 && !is_of(next, st.st_uid)))) {
		free(next);
		errno = EPERM;
		return NULL;
	}
	return next;
}

char *
file_target(const char *path)
{
	char *at = strdup(path), *next;

	for (int links = 0; at && links < LINKS_MAX; links++) {
		next = follow(at);
		/* No link; or what bars it will bar what is done with the file too. */
		if (!next && errno != EPERM && errno != ENOMEM)
			return at;
		free(at);
		at = next;
		if (!at)
			return NULL;
	}
	free(at);
	errno = ELOOP;
	return NULL;
}

/* Temporary files of the target that nobody has written to for a minute: who made them was killed. */
static void
remove_leftovers(const char *target)
{
	char *copy = strdup(target), *slash = copy ? strrchr(copy, '/') : NULL;
	const char *name = slash ? slash + 1 : copy;
	size_t n = name ? strlen(name) : 0;
	time_t now = clock_wall();
	struct dirent *e;
	struct stat st;
	DIR *folder;

	if (slash)
		*slash = '\0';
	folder = copy ? opendir(!slash ? "." : *copy ? copy : "/") : NULL;
	while (folder && (e = readdir(folder)))
		if (strncmp(e->d_name, name, n) == 0 && strncmp(e->d_name + n, ".tmp.", 5) == 0 &&
		    strlen(e->d_name) == n + 5 + TEMP_ID && fstatat(dirfd(folder), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && llabs((long long)now - st.st_mtime) > LEFTOVER_SECONDS)
			unlinkat(dirfd(folder), e->d_name, 0);
	if (folder)
		closedir(folder);
	free(copy);
}

int
file_replace(const char *path, struct str content, bool sync, struct fail *f)
{
	char *target = file_target(path), *temp = NULL, *folder = NULL;
	char id[DIGEST_ID_SIZE];
	int fd = -1, rc = -1;
	bool made = false;

	if (!target)
		return fail_sys(f, "follow the link %s", path);
	digest_random(id);
	id[TEMP_ID] = '\0';
	if (sync)
		remove_leftovers(target);
	if (asprintf(&temp, "%s.tmp.%s", target, id) < 0) {
		temp = NULL;
		fail_memory(f);
		goto out;
	}
	fd = file_make(temp, O_WRONLY | O_EXCL | O_NOFOLLOW);
	if (fd < 0) {
		fail_sys(f, "create %s", temp);
		goto out;
	}
	made = true;
	if (file_write_all(fd, content) < 0) {
		fail_sys(f, "write %s", temp);
		goto out;
	}
	if (sync && fsync(fd) < 0) {
		fail_sys(f, "sync %s", temp);
		goto out;
	}
	if (rename(temp, target) < 0) {
		fail_sys(f, "rename %s to %s", temp, target);
		goto out;
	}
	made = false;
	if (sync && (folder = strdup(target))) {
		/* The new name is on disk only when its folder is. */
		int dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0) {
			fsync(dir);
			close(dir);
		}
	}
	rc = 0;
out:
	if (fd >= 0)
		close(fd);
	if (made) {
		int saved = errno;

		unlink(temp);
		errno = saved;
	}
	free(folder);
	free(temp);
	free(target);
	return rc;
}

int
file_mkdirs(const char *path, struct fail *f)
{
	char *copy = strdup(path);
	int rc = 0;

	if (!copy)
		return fail_memory(f);
	for (char *p = copy + 1; rc == 0; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (make_folder(copy) < 0 && errno != EEXIST)
			rc = fail_sys(f, "create folder %s", copy);
		*p = was;
		if (was == '\0')
			break;
	}
	free(copy);
	return rc;
}

static void
on_alarm(int sig)
{
	(void)sig;	/* only there to interrupt flock */
}

/*
 * The common case is one system call. When somebody else holds the lock we
 * sleep in flock(2), which is fair and wakes at once, under a timer that goes
 * on ringing, so that a ring just before the call cannot be the last one.
 */
#define LOOK_AGAIN 3	/* a lock of ours is held for microseconds: it may be free already */

int
file_lock_fd(int fd, int timeout_ms, struct fail *f)
{
	struct itimerval tick = { { 0, 20000 }, { 0, 20000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = on_alarm }, old;
	int64_t end;
	int rc;

	for (int again = 0; (rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && again < LOOK_AGAIN; again++)
		;
	if (rc == 0)
		return 0;
	if (errno != EWOULDBLOCK && errno != EINTR)
		return fail_sys(f, "lock");
	if (timeout_ms <= 0)
		return fail_set(f, FAIL_BUSY, "another process holds the lock");
	end = clock_mono_ms() + timeout_ms;
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &tick, NULL);
	while ((rc = flock(fd, LOCK_EX)) < 0 && errno == EINTR && clock_mono_ms() < end)
		;
	if (rc < 0)
		rc = errno == EINTR ?
		    fail_set(f, FAIL_BUSY, "another process held the lock for %d ms", timeout_ms) :
		    fail_sys(f, "lock");
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	return rc;
}

void
file_unlock_fd(int fd)
{
	flock(fd, LOCK_UN);
}

int
file_lock(const char *path, int timeout_ms, struct fail *f)
{
	int fd = file_make(path, O_RDWR | O_NOCTTY);

	if (fd < 0)
		return fail_sys(f, "open %s", path);
	if (file_lock_fd(fd, timeout_ms, f) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Under a lock of its own, and only if the file at path is still the full one we wrote to. */
static void
rotate(const char *path, const struct stat *full, int backups)
{
	char *lock = NULL, *from = NULL, *to = NULL;
	struct stat now;
	int fd = -1;

	if (asprintf(&lock, "%s.lock", path) < 0) {
		lock = NULL;
		return;
	}
	fd = file_lock(lock, 0, NULL);
	if (fd < 0 || stat(path, &now) < 0 || now.st_ino != full->st_ino || now.st_dev != full->st_dev)
		goto out;
	for (int i = backups; i >= 1; i--) {
		free(from);
		free(to);
		from = to = NULL;
		if (asprintf(&to, "%s.%d", path, i) < 0) {
			to = NULL;
			goto out;
		}
		if (i == 1) {
			rename(path, to);
			goto out;
		}
		if (asprintf(&from, "%s.%d", path, i - 1) < 0) {
			from = NULL;
			goto out;
		}
		rename(from, to);
	}
	unlink(path);	/* no backups are kept at all */
out:
	if (fd >= 0)
		close(fd);
	free(lock);
	free(from);
	free(to);
}

/* Whether the last writer left half a line: it was killed between two pages, or the disk was full. */
static bool
ends_torn(int fd, const struct stat *st)
{
	char last = '\n';
	struct stat now;

	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return false;
	if (pread(fd, &last, 1, st->st_size - 1) != 1 || last == '\n')
		return false;
	/*
	 * A line that is just being written looks the same, because the size grows page by page. chmod
	 * waits for the lock that a write holds: after it that line is whole, and the file longer.
	 */
	return fchmod(fd, st->st_mode & 07777) == 0 && fstat(fd, &now) == 0 && now.st_size == st->st_size;
}

/* write() in one go; -1 with errno when not all went out. */
static int
write_once(int fd, const char *p, size_t size)
{
	ssize_t n;

	do
		n = write(fd, p, size);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && (size_t)n < size)
		errno = ENOSPC;
	return n == (ssize_t)size ? 0 : -1;
}

void
file_lines_close(struct file_lines *l)
{
	if (l->path)
		close(l->fd);
	free(l->path);
	*l = (struct file_lines){ .path = NULL };
}

static int
lines_open(struct file_lines *l, const char *path, struct fail *f)
{
	int flags = O_RDWR | O_APPEND | O_NOCTTY | O_NONBLOCK;
	int fd = file_make(path, flags | O_NOATIME);

	/* Looking at the last byte of a file just written would mark its inode dirty each time; owners can say no. */
	if (fd < 0 && errno == EPERM)
		fd = file_make(path, flags);
	if (fd < 0)
		return fail_sys(f, "open %s", path);
	*l = (struct file_lines){ .path = strdup(path), .fd = fd, .looked = clock_wall() };
	if (l->path)
		return 0;
	close(fd);
	errno = ENOMEM;
	return fail_memory(f);
}

/* Whether the path names another file by now. Looked at once a second; what we rotate ourselves is told by its size. */
static bool
lines_moved(struct file_lines *l, const struct stat *st)
{
	time_t now = clock_wall();
	struct stat named;

	if (now == l->looked)
		return false;
	l->looked = now;
	return stat(l->path, &named) < 0 || named.st_ino != st->st_ino || named.st_dev != st->st_dev;
}

int
file_lines_add(struct file_lines *l, const char *path, struct str line, long long max_bytes, int backups, struct fail *f)
{
	struct stat st;

	for (int round = 0;; round++) {
		if (l->path && strcmp(l->path, path) != 0)
			file_lines_close(l);
		if (!l->path && lines_open(l, path, f) < 0)
			return -1;
		if (fstat(l->fd, &st) < 0)
			return fail_sys(f, "stat %s", path);
		if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
			file_lines_close(l);
			errno = EINVAL;
			return fail_set(f, FAIL_SYSTEM, "%s is not a file that lines can be added to", path);
		}
		/* A file that cannot be moved away is written to all the same. */
		if (round < 3 && S_ISREG(st.st_mode)) {
			bool full = max_bytes > 0 && st.st_size >= max_bytes;

			if (full)
				rotate(path, &st, backups);
			if (full || st.st_nlink == 0 || lines_moved(l, &st)) {
				file_lines_close(l);
				continue;
			}
		}
		if ((ends_torn(l->fd, &st) && write_once(l->fd, "\n", 1) < 0) || write_once(l->fd, line.p, line.n) < 0)
			return fail_sys(f, "append to %s", path);
		/* Without backups a full file is deleted, maybe just before our line went into it. */
		if (backups > 0 || max_bytes <= 0 || round >= 3 || fstat(l->fd, &st) < 0 || st.st_nlink > 0)
			return 0;
	}
}

int
file_append_line(const char *path, struct str line, long long max_bytes, int backups, struct fail *f)
{
	struct file_lines l = { .path = NULL };
	int rc = file_lines_add(&l, path, line, max_bytes, backups, f);
	int saved = errno;

	file_lines_close(&l);
	errno = saved;
	return rc;
}

bool
file_tighten(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || st.st_uid != geteuid() || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ||
	    !(st.st_mode & 077))
		return false;
	return chmod(path, S_ISDIR(st.st_mode) ? 0700 : 0600) == 0;
}

char *
file_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);
	char *p = NULL;

	if (asprintf(&p, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name) < 0)
		return NULL;
	return p;
}

char *
file_expand(const char *path)
{
	const char *home;
	struct passwd *pw;

	if (path[0] != '~' || (path[1] != '/' && path[1] != '\0'))
		return strdup(path);
	home = getenv("HOME");
	if (!home || !*home) {
		pw = getpwuid(geteuid());
		home = pw ? pw->pw_dir : "/";
	}
	return path[1] ? file_join(home, path + 2) : strdup(home);
}
