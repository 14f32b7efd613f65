#include "books/trace_files.h"

#include "base/clock.h"
#include "base/file.h"
#include "books/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536
#define ROOM (TRACE_LINE_MAX + BLOCK)
#define LATE_MS 2000		/* writers notice within a second that their file was moved */
#define BLIND_MS 200		/* without inotify: looks this often */

/* trace.jsonl, trace.jsonl.1, ... NULL: no memory. */
static char *
path_of(const struct config *c, int number)
{
	char *path = NULL;
	int n = number ? asprintf(&path, "%s/trace/trace.jsonl.%d", c->state_dir, number) :
			 asprintf(&path, "%s/trace/trace.jsonl", c->state_dir);

	return n < 0 ? NULL : path;
}

/* A regular file, opened without waiting for anything; -1 with errno. */
static int
open_number(const struct config *c, int number, struct stat *st)
{
	char *path = path_of(c, number);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1, saved = errno;

	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		close(fd);
		fd = -1;
		saved = EINVAL;
	}
	free(path);
	errno = saved;
	return fd;
}

/* ---- backwards */

void
trace_back_open(struct trace_back *b, const struct config *c)
{
	*b = (struct trace_back){ .config = c, .number = -1, .fd = -1 };
	b->room = malloc(ROOM);
	if (!b->room)
		fail_memory(&b->trouble);
}

void
trace_back_close(struct trace_back *b)
{
	if (b->fd >= 0)
		close(b->fd);
	free(b->room);
	b->fd = -1;
	b->room = NULL;
}

static bool
was_seen(const struct trace_back *b, ino_t inode)
{
	for (int i = 0; i < b->seen_count; i++)
		if (b->seen[i] == inode)
			return true;
	return false;
}

/* The next older file. False: there is none. */
static bool
next_file(struct trace_back *b)
{
	struct stat st;

	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	b->begin = b->end = ROOM;
	b->overlong = false;
	while (b->number < TRACE_FILES_MAX - 1) {
		b->fd = open_number(b->config, ++b->number, &st);
		if (b->fd < 0 && errno != ENOENT)
			fail_sys(&b->trouble, "read the trace in %s/trace", b->config->state_dir);
		if (b->fd < 0 && b->number > 0)
			return false;
		if (b->fd < 0)
			continue;
		if (!was_seen(b, st.st_ino))
			break;
		close(b->fd);
		b->fd = -1;
	}
	if (b->fd < 0)
		return false;
	if (b->number == 0) {
		b->first = st.st_ino;
		b->first_size = st.st_size;
	}
	b->seen[b->seen_count++] = st.st_ino;
	b->at = st.st_size;
	return true;
}

/* Reads the block before. False: the file's beginning is reached, or it cannot be read. */
static bool
read_before(struct trace_back *b)
{
	size_t n = b->at < BLOCK ? (size_t)b->at : BLOCK, held = b->end - b->begin;
	ssize_t got;

	if (n == 0)
		return false;
	if (held > TRACE_LINE_MAX) {
		b->overlong = true;
		b->begin = b->end = ROOM;
		held = 0;
	}
	if (b->begin < n || b->end == b->begin) {
		memmove(b->room + ROOM - held, b->room + b->begin, held);
		b->begin = ROOM - held;
		b->end = ROOM;
	}
	got = pread(b->fd, b->room + b->begin - n, n, b->at - (off_t)n);
	if (got != (ssize_t)n) {	/* emptied under us, or a bad disk */
		b->at = 0;
		return false;
	}
	b->begin -= n;
	b->at -= (off_t)n;
	return true;
}

/* Gives out what is held from `from` on, as a line. */
static struct str
give(struct trace_back *b, size_t from)
{
	struct str line = { b->room + from, b->end - from };

	if (b->overlong || line.n > TRACE_LINE_MAX)
		line = STR("");
	b->overlong = false;
	return line;
}

bool
trace_back_next(struct trace_back *b, struct str *line)
{
	if (!b->room)
		return false;
	for (;;) {
		size_t looked;

		if (b->fd < 0 && !next_file(b))
			return false;
		/* A newline ends a line; what has none after it was torn, or is just being written. */
		if (b->end == b->begin && !read_before(b)) {
			if (!next_file(b))
				return false;
			continue;
		}
		if (!b->overlong && b->room[b->end - 1] == '\n')
			b->end--;
		looked = b->end;
		for (;;) {
			char *newline = memrchr(b->room + b->begin, '\n', looked - b->begin);
			size_t tail;

			if (newline) {
				size_t from = (size_t)(newline - b->room) + 1;

				*line = give(b, from);
				b->end = from;
				return true;
			}
			tail = b->end - b->begin;
			if (!read_before(b)) {
				*line = give(b, b->begin);
				b->begin = b->end;
				return true;
			}
			looked = b->end - (b->overlong ? 0 : tail);
		}
	}
}

/* ---- forwards */

static void
growing_close(struct trace_growing *g)
{
	if (g->fd >= 0)
		close(g->fd);
	buf_free(&g->rest);
	*g = (struct trace_growing){ .fd = -1, .rest = BUF(ROOM) };
}

static void
growing_open(struct trace_growing *g, const struct config *c, int number)
{
	struct stat st;
	int fd = open_number(c, number, &st);

	growing_close(g);
	if (fd < 0)
		return;
	g->fd = fd;
	g->inode = st.st_ino;
}

/* A whole line of what has been read. */
static bool
take_line(struct trace_growing *g, struct str *line)
{
	for (;;) {
		struct str rest = str_sub(buf_view(&g->rest), g->given, g->rest.n);
		const char *newline = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;

		if (!newline) {
			buf_drop(&g->rest, g->given);
			g->given = 0;
			if (g->rest.n > TRACE_LINE_MAX) {
				g->overlong = true;
				buf_reset(&g->rest);
			}
			return false;
		}
		g->given += (size_t)(newline - rest.p) + 1;
		*line = (struct str){ rest.p, (size_t)(newline - rest.p) };
		if (g->overlong || line->n > TRACE_LINE_MAX)
			*line = STR("");
		g->overlong = false;
		return true;
	}
}

/* A file that is shorter than what was read of it was emptied: it begins anew. */
static bool
read_on(struct trace_growing *g)
{
	struct stat st;
	char *room;
	ssize_t got;

	if (g->fd < 0)
		return false;
	if (fstat(g->fd, &st) == 0 && st.st_size < g->at) {
		g->at = 0;
		g->given = 0;
		g->overlong = false;
		buf_reset(&g->rest);
	}
	if (!(room = buf_room(&g->rest, BLOCK)))
		return false;
	got = pread(g->fd, room, BLOCK, g->at);
	if (got <= 0)
		return false;
	g->rest.n += (size_t)got;
	g->at += got;
	return true;
}

static bool
growing_next(struct trace_growing *g, struct str *line)
{
	for (;;) {
		if (take_line(g, line))
			return true;
		if (!read_on(g))
			return false;
	}
}

/* Takes the last part off a path. */
static void
go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		strcpy(path, ".");
	else if (slash == path)
		path[1] = '\0';
	else
		*slash = '\0';
}

static void
replace_watch(int notify, int *old, int now)
{
	if (*old >= 0 && *old != now)
		inotify_rm_watch(notify, *old);
	*old = now;
}

/*
 * The folder above is watched first, so that a folder made meanwhile is not missed; and always, because
 * the kernel tells of a folder that was deleted only when nobody has a file open that was in it: we have.
 */
static void
watch(struct trace_follow *w)
{
	char *folder = file_join(w->config->state_dir, "trace");
	char *above = folder ? strdup(folder) : NULL;
	uint32_t moves = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;
	int wd = -1;

	if (above && w->notify >= 0) {
		do
			go_up(above);
		while ((wd = inotify_add_watch(w->notify, above, moves)) < 0 && errno == ENOENT && above[1]);
		replace_watch(w->notify, &w->above, wd);
		replace_watch(w->notify, &w->watch, inotify_add_watch(w->notify, folder, moves | IN_MODIFY));
	}
	free(above);
	free(folder);
}

void
trace_follow_open(struct trace_follow *w, const struct config *c, const struct trace_back *from)
{
	struct stat st;

	*w = (struct trace_follow){ .config = c, .notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .watch = -1, .above = -1,
		.now = { .fd = -1, .rest = BUF(ROOM) }, .late = { .fd = -1, .rest = BUF(ROOM) } };
	watch(w);
	for (int number = 0; from && from->first && number < TRACE_FILES_MAX; number++) {
		growing_open(&w->now, c, number);
		if (w->now.fd < 0 || w->now.inode == from->first)
			break;
	}
	if (!from)
		growing_open(&w->now, c, 0);
	if (w->now.fd >= 0 && fstat(w->now.fd, &st) == 0)
		w->now.at = from ? from->first_size : st.st_size;
}

/* The file that came after the one at hand: several may have been rotated since we looked. */
static int
newer_number(const struct trace_follow *w)
{
	for (int number = 1; number < TRACE_FILES_MAX; number++) {
		char *path = path_of(w->config, number);
		struct stat st;
		int rc = path ? stat(path, &st) : -1;

		free(path);
		if (rc < 0)
			break;
		if (st.st_ino == w->now.inode)
			return number - 1;
	}
	return 0;
}

/* Goes over to the next file when the one at hand is trace.jsonl no more. False: it still is, or there is no other. */
static bool
go_on(struct trace_follow *w)
{
	char *path = path_of(w->config, 0);
	struct trace_growing next = { .fd = -1, .rest = BUF(ROOM) };
	struct stat st;
	bool there = path && stat(path, &st) == 0;

	free(path);
	w->gone = !there;
	if (!there || (w->now.fd >= 0 && st.st_ino == w->now.inode))
		return false;
	growing_open(&next, w->config, w->now.fd >= 0 ? newer_number(w) : 0);
	if (next.fd < 0)
		return false;
	growing_close(&w->late);
	w->late = w->now;
	w->late_until_ms = clock_mono_ms() + LATE_MS;
	w->now = next;
	return true;
}

bool
trace_follow_next(struct trace_follow *w, struct str *line)
{
	do {
		if (growing_next(&w->late, line) || growing_next(&w->now, line))
			return true;
	} while (go_on(w));
	if (w->late.fd >= 0 && clock_mono_ms() > w->late_until_ms)
		growing_close(&w->late);
	return false;
}

void
trace_follow_notice(struct trace_follow *w)
{
	_Alignas(struct inotify_event) char events[8192];
	bool moved = w->gone;
	ssize_t n;

	while (w->notify >= 0 && (n = read(w->notify, events, sizeof(events))) > 0)
		for (const char *p = events; p < events + n;) {
			struct inotify_event e;

			memcpy(&e, p, sizeof(e));
			p += sizeof(e) + e.len;
			moved |= e.wd == w->above || (e.wd == w->watch && e.mask & IN_IGNORED);
		}
	if (moved)
		watch(w);
}

int
trace_follow_timeout_ms(const struct trace_follow *w)
{
	if (w->watch < 0 && w->above < 0)
		return BLIND_MS;
	return w->late.fd >= 0 || w->gone ? LATE_MS : -1;
}

void
trace_follow_close(struct trace_follow *w)
{
	growing_close(&w->now);
	growing_close(&w->late);
	if (w->notify >= 0)
		close(w->notify);
}
