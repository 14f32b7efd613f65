/* state.json as a file: its lock, the quick ways in place, the long ways whole. */
#include "keys/state.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/state_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINE_START_MAX 1600	/* what the quick ways read to find a label: 255 bytes, all escaped, are 1,535 */
#define EDITOR_LOOKS 20		/* an editor empties the file before it fills it: half a text may soon be a whole one */
#define EDITOR_LOOK_MS 10
#define CHANGE_WAIT_MS 5000
#define EPOCH_MAX 999999999999999	/* what its field holds */

/* A read-only folder or file is good enough to lock, and to read. */
static int
open_best(const char *path, bool make)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd = make ? file_make(path, flags) : open(path, flags);

	if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd;
}

static int
open_lock(struct state_file *sf, struct fail *f)
{
	if (sf->lock_fd >= 0)
		close(sf->lock_fd);
	sf->pid = getpid();
	sf->lock_fd = open_best(sf->lock_path, true);
	if (sf->lock_fd < 0)
		return fail_sys(f, "open %s", sf->lock_path);
	return 0;
}

int
state_open(struct state_file *sf, const char *dir, struct fail *f)
{
	*sf = (struct state_file){ .lock_fd = -1, .fd = -1 };
	sf->path = file_join(dir, "state.json");
	sf->lock_path = file_join(dir, "state.json.lock");
	if (!sf->path || !sf->lock_path)
		return fail_memory(f);
	/* Most of the time the folder is there. */
	if (open_lock(sf, f) == 0)
		return 0;
	if (file_mkdirs(dir, f) < 0)
		return -1;
	return open_lock(sf, f);
}

void
state_close(struct state_file *sf)
{
	if (sf->fd >= 0)
		close(sf->fd);
	if (sf->lock_fd >= 0)
		close(sf->lock_fd);
	free(sf->path);
	free(sf->lock_path);
	*sf = (struct state_file){ .lock_fd = -1, .fd = -1 };
}

int
state_lock(struct state_file *sf, int timeout_ms, struct fail *f)
{
	struct stat st;

	if (!sf->lock_path)
		return fail_set(f, FAIL_SYSTEM, "state.json is not open");
	/* A descriptor shared with our parent would share its lock as well. */
	if ((sf->lock_fd < 0 || sf->pid != getpid()) && open_lock(sf, f) < 0)
		return -1;
	for (;;) {
		if (file_lock_fd(sf->lock_fd, timeout_ms, f) < 0)
			return -1;
		/* Somebody emptied the folder: others lock a new file by now. */
		if (fstat(sf->lock_fd, &st) < 0 || st.st_nlink > 0)
			break;
		if (open_lock(sf, f) < 0)
			return -1;
	}
	sf->locked = true;
	return 0;
}

static void
forget_rows(struct state_file *sf)
{
	sf->head.n = sf->key.n = 0;
}

static void
remember_row(const struct state_file *sf, struct state_row *seen, size_t at, const char *row, size_t n)
{
	seen->n = sf->locked ? n : 0;
	seen->at = at;
	memcpy(seen->bytes, row, n);
}

void
state_unlock(struct state_file *sf)
{
	forget_rows(sf);
	sf->locked = false;
	if (sf->lock_fd >= 0)
		file_unlock_fd(sf->lock_fd);
}

static int
foreign(struct state_file *sf, struct fail *f)
{
	return fail_set(f, FAIL_INPUT, "%s is not laid out as kmi writes it", sf->path);
}

/* Takes down which file sf->fd is. */
static int
look(struct state_file *sf, struct fail *f)
{
	struct stat st;

	if (fstat(sf->fd, &st) < 0)
		return fail_sys(f, "stat %s", sf->path);
	sf->device = st.st_dev;
	sf->inode = st.st_ino;
	sf->size = (unsigned long long)st.st_size;
	return S_ISREG(st.st_mode) ? 0 : foreign(sf, f);
}

/*
 * Makes sf->fd the file that path names now. Not stat(): asking for the times of a file makes the kernel give its
 * next write a time of its own, and write the inode for it, at twice the price of the write.
 */
static int
follow(struct state_file *sf, struct fail *f)
{
	struct statx sx;

	if (!sf->path)
		return fail_set(f, FAIL_SYSTEM, "state.json is not open");
	if (statx(AT_FDCWD, sf->path, 0, STATX_INO | STATX_SIZE | STATX_TYPE, &sx) < 0)
		return fail_sys(f, "open %s", sf->path);
	if (!S_ISREG(sx.stx_mode))
		return foreign(sf, f);
	if (sf->fd >= 0 && sx.stx_ino == sf->inode && makedev(sx.stx_dev_major, sx.stx_dev_minor) == sf->device) {
		sf->size = sx.stx_size;
		return 0;
	}
	if (sf->fd >= 0)
		close(sf->fd);
	sf->fd = open_best(sf->path, false);
	if (sf->fd < 0)
		return fail_sys(f, "open %s", sf->path);
	return look(sf, f);
}

/* The folder of a renamed file, so that the new name is on the disk too. */
static void
sync_folder(char *path)
{
	int dir = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0) {
		fsync(dir);
		close(dir);
	}
}

/*
 * Puts a text that begins with our header in the place of the file. The temporary name is always the same: only
 * who holds the lock writes, and what a killed writer left is gone with the next one.
 */
static int
replace(struct state_file *sf, struct buf *text, bool sync, struct fail *f)
{
	char *target = file_target(sf->path), *temp = NULL;
	long long values[HEAD_FIELDS];
	struct stat st;
	int fd = -1, rc = -1;

	if (!target)
		return fail_sys(f, "follow the link %s", sf->path);
	if (asprintf(&temp, "%s.tmp", target) < 0) {
		temp = NULL;
		fail_memory(f);
		goto out;
	}
	unlink(temp);
	fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail_sys(f, "create %s", temp);
		goto out;
	}
	if (layout_read(&layout_head, str_sub(buf_view(text), LAYOUT_HEAD_AT, text->n), values) < 0) {
		foreign(sf, f);
		goto out;
	}
	values[HEAD_INODE] = LAYOUT_INODE(st.st_ino);
	layout_write(&layout_head, values, text->p + LAYOUT_HEAD_AT);
	if (file_write_all(fd, buf_view(text)) < 0) {
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
	if (sync)
		sync_folder(temp);
	if (sf->fd >= 0)
		close(sf->fd);
	sf->fd = fd;
	fd = -1;
	forget_rows(sf);
	rc = look(sf, f);
out:
	if (fd >= 0) {
		unlink(temp);
		close(fd);
	}
	free(temp);
	free(target);
	return rc;
}

static bool
read_at(const struct state_file *sf, size_t at, char *p, size_t n)
{
	return sf->fd >= 0 && pread(sf->fd, p, n, (off_t)at) == (ssize_t)n;
}

/* A row that may not be written over in place goes into a copy of the file. */
static int
patch_copy(struct state_file *sf, size_t at, struct str row, struct fail *f)
{
	struct buf text = BUF(STATE_SIZE_MAX + 1);
	int rc = -1;

	if (file_read(sf->path, STATE_SIZE_MAX, &text, NULL, f) < 0)
		goto out;
	if (text.n != sf->size || at + row.n > text.n) {
		foreign(sf, f);
		goto out;
	}
	memcpy(text.p + at, row.p, row.n);
	rc = replace(sf, &text, false, f);
out:
	buf_free(&text);
	return rc;
}

/* `row` is what stands there now. */
static int
poke(struct state_file *sf, const struct layout *l, char *row, size_t at, const long long *was, const long long *now,
    struct fail *f)
{
	size_t n = layout_length(l);
	long long held[LAYOUT_FIELDS_MAX];

	if (!sf->locked)
		return fail_set(f, FAIL_SYSTEM, "%s is not locked", sf->path);
	if (layout_read(l, (struct str){ row, n }, held) < 0)
		return foreign(sf, f);
	if (memcmp(held, was, (size_t)l->count * sizeof(*held)) != 0)
		return fail_set(f, FAIL_INPUT, "%s was changed meanwhile", sf->path);
	if (memcmp(was, now, (size_t)l->count * sizeof(*held)) == 0)
		return 0;
	if (!layout_change(l, was, now, row))
		return patch_copy(sf, at, (struct str){ row, n }, f);
	/* Within one page a write is never left half done. */
	if (pwrite(sf->fd, row, n, (off_t)at) != (ssize_t)n) {
		forget_rows(sf);
		return fail_sys(f, "write %s", sf->path);
	}
	remember_row(sf, l == &layout_head ? &sf->head : &sf->key, at, row, n);
	return 0;
}

/* The header of a file that is ours to the letter, and that nobody else put there. */
static int
read_head(struct state_file *sf, long long values[HEAD_FIELDS], struct fail *f)
{
	char text[LAYOUT_HEAD_AT + LAYOUT_ROW_MAX];
	size_t n = LAYOUT_HEAD_AT + layout_length(&layout_head);

	if (follow(sf, f) < 0)
		return -1;
	if (!read_at(sf, 0, text, n) || text[0] != '{' ||
	    layout_read(&layout_head, (struct str){ text + LAYOUT_HEAD_AT, n - LAYOUT_HEAD_AT }, values) < 0 ||
	    values[HEAD_SCHEMA] != STATE_SCHEMA || values[HEAD_INODE] != LAYOUT_INODE(sf->inode) ||
	    values[HEAD_SIZE] != (long long)sf->size)
		return foreign(sf, f);
	remember_row(sf, &sf->head, LAYOUT_HEAD_AT, text + LAYOUT_HEAD_AT, n - LAYOUT_HEAD_AT);
	return 0;
}

int
state_peek(struct state_file *sf, struct state_head *head, struct fail *f)
{
	long long values[HEAD_FIELDS];

	if (read_head(sf, values, f) < 0)
		return -1;
	layout_to_head(values, head);
	return 0;
}

int
state_poke(struct state_file *sf, const struct state_head *was, const struct state_head *now, struct fail *f)
{
	long long old[HEAD_FIELDS], new[HEAD_FIELDS];
	char row[LAYOUT_ROW_MAX];

	if (sf->head.n)
		memcpy(row, sf->head.bytes, sf->head.n);
	else if (!read_at(sf, LAYOUT_HEAD_AT, row, layout_length(&layout_head)))
		return foreign(sf, f);
	layout_from_head(was, old);
	layout_from_head(now, new);
	old[HEAD_INODE] = new[HEAD_INODE] = LAYOUT_INODE(sf->inode);
	old[HEAD_SIZE] = new[HEAD_SIZE] = (long long)sf->size;
	return poke(sf, &layout_head, row, LAYOUT_HEAD_AT, old, new, f);
}

/* What a key's line begins with. */
static void
line_start(const char *label, struct buf *out)
{
	json_quote(out, str_from(label));
	buf_puts(out, ": {");
}

/* Reads the row of counts from the line at `offset`, if that is this label's. Returns where it begins, else 0. */
static size_t
read_row(struct state_file *sf, size_t offset, const char *label, char row[LAYOUT_ROW_MAX], struct fail *f)
{
	struct buf start = BUF(LINE_START_MAX);
	char line[1 + LINE_START_MAX + LAYOUT_ROW_MAX];
	size_t n = layout_length(&layout_key), at = 0;

	line_start(label, &start);
	if (sf->key.n && sf->key.at == offset + start.n) {
		memcpy(row, sf->key.bytes, sf->key.n);
		buf_free(&start);
		return sf->key.at;
	}
	/* No line end stands anywhere but before a line. */
	if (!buf_bad(&start) && offset && read_at(sf, offset - 1, line, 1 + start.n + n) && line[0] == '\n' &&
	    memcmp(line + 1, start.p, start.n) == 0) {
		memcpy(row, line + 1 + start.n, n);
		at = offset + start.n;
		remember_row(sf, &sf->key, at, row, n);
	} else {
		foreign(sf, f);
	}
	buf_free(&start);
	return at;
}

int
state_peek_key(struct state_file *sf, size_t offset, const char *label, struct state_counts *counts, struct fail *f)
{
	long long values[KEY_FIELDS];
	char row[LAYOUT_ROW_MAX];

	if (!read_row(sf, offset, label, row, f))
		return -1;
	if (layout_read(&layout_key, (struct str){ row, sizeof(row) }, values) < 0)
		return foreign(sf, f);
	layout_to_counts(values, counts);
	return 0;
}

int
state_poke_key(struct state_file *sf, size_t offset, const char *label, const struct state_counts *was,
    const struct state_counts *now, struct fail *f)
{
	long long old[KEY_FIELDS], new[KEY_FIELDS];
	char row[LAYOUT_ROW_MAX];
	size_t at = read_row(sf, offset, label, row, f);

	if (!at)
		return -1;
	layout_from_counts(was, old);
	layout_from_counts(now, new);
	return poke(sf, &layout_key, row, at, old, new, f);
}

static int
read_state(struct state_file *sf, struct state *st, struct fail *f)
{
	struct buf text = BUF(STATE_SIZE_MAX + 1);
	int rc;

	*st = (struct state){ 0 };
	if (!sf->path)
		return fail_set(f, FAIL_SYSTEM, "state.json is not open");
	rc = file_read(sf->path, STATE_SIZE_MAX, &text, NULL, f);
	if (rc < 0 && errno == ENOENT)
		rc = 0;
	else if (rc == 0)
		rc = state_parse(st, buf_view(&text), f);
	buf_free(&text);
	return rc;
}

/* Under a name that is free: two bad files of one second must both be kept. */
static int
set_aside(struct state_file *sf, char **aside, struct fail *f)
{
	char *name = NULL, iso[CLOCK_ISO_SIZE];
	time_t t = clock_wall();
	int rc;

	do {
		free(name);
		clock_iso(t++, iso);
		if (asprintf(&name, "%s.corrupt.%.4s%.2s%.2s%.2s%.2s%.2s", sf->path, iso, iso + 5, iso + 8, iso + 11,
			iso + 14, iso + 17) < 0)
			return fail_memory(f);
		rc = renameat2(AT_FDCWD, sf->path, AT_FDCWD, name, RENAME_NOREPLACE);
		if (rc < 0 && errno == EINVAL && access(name, F_OK) < 0)	/* not every file system knows the flag */
			rc = rename(sf->path, name);
	} while (rc < 0 && (errno == EEXIST || errno == EINVAL));
	if (rc < 0)
		fail_sys(f, "set aside %s", sf->path);
	else if (aside)
		*aside = name;
	if (rc < 0 || !aside)
		free(name);
	return rc;
}

int
state_load(struct state_file *sf, struct state *st, char **aside, struct fail *f)
{
	bool locked = sf->locked;
	struct fail why = { 0 };
	int rc;

	if (aside)
		*aside = NULL;
	rc = read_state(sf, st, &why);
	if (rc < 0 && why.kind == FAIL_INPUT && !locked) {
		/* A writer may have replaced it by now; only under the lock is what we see what we move. */
		if (state_lock(sf, 2000, f) < 0)
			return -1;
		rc = read_state(sf, st, &why);
	}
	for (int i = 0; rc < 0 && why.kind == FAIL_INPUT && i < EDITOR_LOOKS; i++) {
		poll(NULL, 0, EDITOR_LOOK_MS);
		rc = read_state(sf, st, &why);
	}
	if (rc < 0 && f)
		*f = why;
	if (rc < 0 && why.kind == FAIL_INPUT) {
		*st = (struct state){ 0 };
		rc = set_aside(sf, aside, f);
	}
	if (sf->locked && !locked)
		state_unlock(sf);
	return rc;
}

static bool
may_become(const struct layout *l, const char *held, const char *wanted)
{
	long long was[LAYOUT_FIELDS_MAX];
	long long now[LAYOUT_FIELDS_MAX];
	size_t n = layout_length(l);
	char row[LAYOUT_ROW_MAX];

	memcpy(row, held, n);
	return memcmp(held, wanted, n) == 0 ||
	    (layout_read(l, (struct str){ held, n }, was) == 0 &&
		layout_read(l, (struct str){ wanted, n }, now) == 0 && layout_change(l, was, now, row));
}

/* Where row i of a printed state begins: the header's is 0, key k's is k + 1. */
static size_t
row_at(const struct state *st, size_t i, const struct layout **l)
{
	struct buf start = BUF(STATE_SIZE_MAX);
	size_t at;

	*l = i ? &layout_key : &layout_head;
	if (!i)
		return LAYOUT_HEAD_AT;
	line_start(st->keys[i - 1].label, &start);
	at = st->keys[i - 1].offset + start.n;
	buf_free(&start);
	return at;
}

/* Whether one text of the file becomes the other by writing rows over in place. */
static bool
rows_suffice(const struct state *st, struct str held, struct str wanted)
{
	size_t done = 0;

	if (held.n != wanted.n)
		return false;
	for (size_t i = 0; i <= st->count; i++) {
		const struct layout *l;
		size_t at = row_at(st, i, &l);

		if (memcmp(held.p + done, wanted.p + done, at - done) != 0 ||
		    !may_become(l, held.p + at, wanted.p + at))
			return false;
		done = at + layout_length(l);
	}
	return memcmp(held.p + done, wanted.p + done, held.n - done) == 0;
}

static int
write_rows(struct state_file *sf, const struct state *st, struct str held, struct str wanted, bool sync, struct fail *f)
{
	for (size_t i = 0; i <= st->count; i++) {
		const struct layout *l;
		size_t at = row_at(st, i, &l), n = layout_length(l);

		if (memcmp(held.p + at, wanted.p + at, n) != 0 &&
		    pwrite(sf->fd, wanted.p + at, n, (off_t)at) != (ssize_t)n)
			return fail_sys(f, "write %s", sf->path);
	}
	if (sync && fdatasync(sf->fd) < 0)
		return fail_sys(f, "sync %s", sf->path);
	return 0;
}

/* A file that starts afresh takes the time, so that no epoch of a lost one comes again. */
static uint64_t
next_epoch(uint64_t epoch)
{
	return epoch && epoch < EPOCH_MAX ? epoch + 1 : (uint64_t)clock_wall_ms();
}

int
state_save(struct state_file *sf, struct state *st, bool sync, struct fail *f)
{
	struct buf held = BUF(STATE_SIZE_MAX + 1), wanted = BUF(STATE_SIZE_MAX);
	uint64_t epoch = st->head.epoch;
	struct state_head head;
	int rc = -1;

	if (!sf->locked)
		return fail_set(f, FAIL_SYSTEM, "%s is not locked", sf->path ? sf->path : "state.json");
	if (state_peek(sf, &head, NULL) == 0 && head.epoch == epoch) {
		state_print(st, sf->inode, &wanted);
		if (!buf_bad(&wanted) && file_read(sf->path, STATE_SIZE_MAX, &held, NULL, NULL) == 0 &&
		    rows_suffice(st, buf_view(&held), buf_view(&wanted))) {
			rc = write_rows(sf, st, buf_view(&held), buf_view(&wanted), sync, f);
			goto out;
		}
	}
	st->head.epoch = next_epoch(epoch);
	state_print(st, 0, &wanted);
	if (buf_bad(&wanted))
		fail_set(f, FAIL_SYSTEM, "%s would be larger than %u bytes", sf->path, STATE_SIZE_MAX);
	else
		rc = replace(sf, &wanted, sync, f);
	if (rc < 0)
		st->head.epoch = epoch;
out:
	buf_free(&held);
	buf_free(&wanted);
	return rc;
}

int
state_begin(struct state_change *ch, const char *dir, struct fail *f)
{
	*ch = (struct state_change){ 0 };
	if (state_open(&ch->file, dir, f) == 0 && state_lock(&ch->file, CHANGE_WAIT_MS, f) == 0 &&
	    state_load(&ch->file, &ch->state, NULL, f) == 0)
		return 0;
	if (f && f->kind == FAIL_BUSY)
		fail_hint(f, "fuser %s names the process", ch->file.lock_path);
	else if (f && !f->hint[0])
		fail_hint(f, "kmi doctor looks for the cause");
	state_abort(ch);
	return -1;
}

int
state_commit(struct state_change *ch, bool sync, struct fail *f)
{
	int rc = state_save(&ch->file, &ch->state, sync, f);

	state_abort(ch);
	return rc;
}

void
state_abort(struct state_change *ch)
{
	state_unlock(&ch->file);
	state_close(&ch->file);
	state_free(&ch->state);
}
