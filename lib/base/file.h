/*
 * file: whole-file reads, atomic replacement, locks and appended lines.
 *
 * Everything opened here is close-on-exec. Files are made 0600, folders
 * 0700, whatever the umask: what kmi writes is its owner's alone.
 */
#ifndef KMI_BASE_FILE_H
#define KMI_BASE_FILE_H

#include "base/buf.h"
#include "base/fail.h"

#include <sys/stat.h>
#include <time.h>

/* What tells one version of a file from the next, without reading it. */
struct file_stamp {
	unsigned long long device, inode, size;
	long long mtime_ns, ctime_ns;
};

void file_stamp_of(struct file_stamp *s, const struct stat *st);
bool file_stamp_same(const struct file_stamp *a, const struct file_stamp *b);

/*
 * Reads a regular file whole; over max bytes is a failure. Never blocks on a
 * fifo or device: such a thing is refused unread. *stamp (may be NULL) tells
 * the version read. -1 with errno kept, so ENOENT can be told apart.
 */
int file_read(const char *path, size_t max, struct buf *out, struct file_stamp *stamp, struct fail *f);
/* The same below an open folder. */
int file_read_at(int dir, const char *name, size_t max, struct buf *out, struct file_stamp *stamp, struct fail *f);

/*
 * The file that path names in the end: symbolic links at its last part are followed, also to what is not
 * there yet. Root follows no link of another user to what is not that user's (EPERM). Caller frees; NULL with
 * errno.
 */
char *file_target(const char *path);

/*
 * Puts new content in the place of path, all or nothing: a temporary file in
 * the same folder, written, synced to disk when `sync` is set, renamed. With
 * `sync`, what writers of it left there who were killed is removed. A
 * symbolic link at path is followed first (file_target), so that it stays one.
 */
int file_replace(const char *path, struct str content, bool sync, struct fail *f);

/*
 * Takes group and others off a folder (0700) or a regular file (0600) that is
 * ours; what belongs to somebody else, and what a link points to, is left. True when something changed.
 */
bool file_tighten(const char *path);

/*
 * open() with O_CREAT and O_CLOEXEC, 0600. What root makes in the folder of another user (sudo, beside a
 * proxy that runs as that user) belongs to him; file_replace(), file_mkdirs(), file_lock() and
 * file_append_line() make theirs so, too.
 */
int file_make(const char *path, int flags);

/* Makes a folder and its parents; existing ones are left as they are. */
int file_mkdirs(const char *path, struct fail *f);

/*
 * An exclusive flock on a file that is made when missing and never removed.
 * Waits up to timeout_ms (0: tries once), then fails with FAIL_BUSY. Returns
 * a descriptor; closing it lets go.
 */
int file_lock(const char *path, int timeout_ms, struct fail *f);
/* The lock alone, on a descriptor the caller keeps open: a process that asks often opens once. */
int file_lock_fd(int fd, int timeout_ms, struct fail *f);
void file_unlock_fd(int fd);

/*
 * Adds one line (it must end in a newline) to a file with a single write. A file
 * that has reached max_bytes (0: never) is moved to path.1 before, path.1 to
 * path.2 and so on up to `backups`. Safe from many processes at once: no line is
 * torn, and none is lost but with the oldest backup. A full disk may leave half a
 * line; the next one starts on a line of its own. -1 keeps errno.
 */
int file_append_line(const char *path, struct str line, long long max_bytes, int backups, struct fail *f);

/*
 * The same for a process that does it again and again: the file stays open from line to line,
 * which halves the cost. Start with { .path = NULL }; a file that was moved or removed by
 * somebody else is noticed within a second.
 */
struct file_lines {
	char *path;	/* NULL: nothing is open */
	int fd;
	time_t looked;
};

int file_lines_add(struct file_lines *l, const char *path, struct str line, long long max_bytes, int backups,
    struct fail *f);
void file_lines_close(struct file_lines *l);

/* write() until all is out; -1 with errno. For files and blocking descriptors. */
int file_write_all(int fd, struct str s);

/* dir + "/" + name; caller frees; NULL when out of memory. */
char *file_join(const char *dir, const char *name);
/* A leading "~" or "~/" becomes the home folder. Caller frees. */
char *file_expand(const char *path);

#endif
