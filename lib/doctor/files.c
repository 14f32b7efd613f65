#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "books/trace_read.h"
#include "doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_WAIT_MS 1000
#define TAIL_BYTES (256u << 10)
#define LOW_BYTES (16u << 20)
#define RECENT_SECONDS 86400
#define FILES_MAX 2000

/* What kmi does at each request, tried once: a file made and removed. */
static void
check_writable(struct doctor *d)
{
	const char *dir = d->config->state_dir;
	struct statvfs space;
	char *path = NULL;
	int fd;

	if (access(dir, F_OK) < 0) {
		doctor_found(d, FINDING_NOTE, "the state folder %s is not there yet; the first request makes it", dir);
		return;
	}
	if (asprintf(&path, "%s/.doctor.XXXXXX", dir) < 0)
		return;
	fd = mkstemp(path);
	if (fd < 0) {
		doctor_found(d, FINDING_FAIL, "nothing can be written to the state folder %s: %s", dir, text_say(strerror(errno)));
		doctor_remedy(d, errno == ENOSPC || errno == EDQUOT ? "make room on that disk" :
								     "give the folder to the user who runs the proxy (now %s): chown, or KMI_STATE_DIR",
		    getenv("USER") ? getenv("USER") : "?");
	} else {
		bool full = write(fd, "kmi\n", 4) != 4;

		close(fd);
		unlink(path);
		if (full) {
			doctor_found(d, FINDING_FAIL, "the disk of the state folder %s is full: requests are served without books", dir);
			doctor_remedy(d, "make room on that disk");
		} else {
			doctor_found(d, FINDING_OK, "the state folder %s can be written", dir);
		}
		if (!full && statvfs(dir, &space) == 0 && (unsigned long long)space.f_bavail * space.f_frsize < LOW_BYTES) {
			doctor_found(d, FINDING_WARN, "the disk of the state folder is nearly full");
			doctor_remedy(d, "make room on that disk");
		}
	}
	free(path);
}

static void
check_owner(struct doctor *d)
{
	struct stat st;

	if (stat(d->config->state_dir, &st) < 0)
		return;
	if (st.st_mode & 077) {
		doctor_found(d, FINDING_WARN, "others may look into the state folder %s", d->config->state_dir);
		doctor_remedy(d, "chmod 700 %s", d->config->state_dir);
	}
	if (st.st_uid != geteuid() && geteuid() != 0) {
		doctor_found(d, FINDING_WARN, "the state folder %s belongs to another user", d->config->state_dir);
		doctor_remedy(d, "run kmi as that user, or set KMI_STATE_DIR");
	}
}

/* What is wrong with the files in the state folder, one of a kind by name. */
struct strays {
	uid_t owner;		/* of the folder: who runs the proxy */
	bool closed;		/* the folder: then nothing in it is open */
	size_t seen, open, foreign, barred;
	char *first_open, *first_foreign, *first_barred;
};

static void
note_stray(size_t *count, char **first, const char *path)
{
	if (++*count == 1)
		*first = strdup(path);
}

static void
look_at_file(struct strays *s, const char *path, const struct stat *st)
{
	int wanted = S_ISDIR(st->st_mode) ? R_OK | W_OK | X_OK : R_OK | W_OK;

	if (!s->closed && st->st_mode & 077)
		note_stray(&s->open, &s->first_open, path);
	if (st->st_uid != s->owner)
		note_stray(&s->foreign, &s->first_foreign, path);
	else if (st->st_uid == geteuid() && access(path, wanted) < 0)
		note_stray(&s->barred, &s->first_barred, path);
}

/* The folder and those in it, but no deeper; an enormous one not to its end. */
static void
look_through(struct strays *s, const char *folder, bool deeper)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	struct stat st;

	while (dir && s->seen < FILES_MAX && (e = readdir(dir))) {
		char *path = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ? NULL : file_join(folder, e->d_name);

		s->seen++;
		if (path && lstat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
			look_at_file(s, path, &st);
			if (deeper && S_ISDIR(st.st_mode))
				look_through(s, path, false);
		}
		free(path);
	}
	if (dir)
		closedir(dir);
}

static void
check_modes(struct doctor *d)
{
	const char *folder = d->config->state_dir;
	struct strays s = { 0 };
	struct stat st;

	if (stat(folder, &st) < 0)
		return;
	s.owner = st.st_uid;
	s.closed = !(st.st_mode & 077);
	look_through(&s, folder, true);
	if (!s.seen)
		return;		/* not ours to look into: told elsewhere */
	if (s.open) {
		doctor_found(d, FINDING_WARN, text_plural((long long)s.open, "%lld file of the state folder may be read or written by others: %s",
		    "%lld files of the state folder may be read or written by others, such as %s"), (long long)s.open,
		    s.first_open ? s.first_open : "?");
		doctor_remedy(d, "chmod -R go= %s", folder);
	}
	if (s.foreign) {
		struct passwd *pw = getpwuid(s.owner);

		doctor_found(d, FINDING_FAIL, text_plural((long long)s.foreign, "%lld file of the state folder belongs to another user than "
		    "the folder: %s", "%lld files of the state folder belong to another user than the folder, such as %s"),
		    (long long)s.foreign, s.first_foreign ? s.first_foreign : "?");
		doctor_remedy(d, "was kmi run by sudo? sudo chown -R %s %s", pw ? pw->pw_name : "?", folder);
	}
	if (s.barred) {
		doctor_found(d, FINDING_FAIL, text_plural((long long)s.barred, "%lld file of the state folder cannot be read and written: %s",
		    "%lld files of the state folder cannot be read and written, such as %s"), (long long)s.barred,
		    s.first_barred ? s.first_barred : "?");
		doctor_remedy(d, "chmod -R u+rwX %s", folder);
	}
	if (!s.open && !s.foreign && !s.barred)
		doctor_found(d, FINDING_OK, "the files in the state folder are for their owner alone");
	free(s.first_open);
	free(s.first_foreign);
	free(s.first_barred);
}

static void
check_set_aside(struct doctor *d)
{
	DIR *dir = opendir(d->config->state_dir);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, "state.json.corrupt.", 19) == 0) {
			doctor_found(d, FINDING_WARN, "an unreadable state.json was set aside as %s", e->d_name);
			doctor_remedy(d, "look what happened to it (an editor? a full disk?), then delete it");
		}
	if (dir)
		closedir(dir);
}

/* Who holds the lock, as the kernel lists it: "1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF". */
static long
lock_holder(ino_t inode)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	long found = 0;

	while (locks && !found && fgets(line, sizeof(line), locks)) {
		unsigned long long number;
		long pid;

		if (sscanf(line, "%*s FLOCK %*s %*s %ld %*x:%*x:%llu", &pid, &number) == 2 && number == inode)
			found = pid;
	}
	if (locks)
		fclose(locks);
	return found;
}

static void
check_lock(struct doctor *d)
{
	char *path = file_join(d->config->state_dir, "state.json.lock");
	struct stat st;
	struct fail f = { 0 };
	int fd = path && stat(path, &st) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && file_lock_fd(fd, LOCK_WAIT_MS, &f) < 0 && f.kind == FAIL_BUSY) {
		long pid = lock_holder(st.st_ino);

		doctor_found(d, FINDING_FAIL, "process %ld holds the lock of state.json and does not go on", pid);
		doctor_remedy(d, "requests are served without books meanwhile; is it stopped? kill -CONT %ld, or end it", pid);
	}
	if (fd >= 0)
		close(fd);
	free(path);
}

static void
check_state(struct doctor *d)
{
	if (d->roster.no_books.kind != FAIL_NONE) {
		doctor_found(d, FINDING_FAIL, "state.json: %s", d->roster.no_books.text);
		if (d->roster.no_books.kind == FAIL_NEWER)
			doctor_remedy(d, "a newer kmi wrote it: install that one, or move the file away");
		else if (d->roster.no_books.hint[0])
			doctor_remedy(d, "%s", d->roster.no_books.hint);
		else if (d->roster.no_books.kind == FAIL_SYSTEM)
			doctor_remedy(d, "make it yours to read and write, or name another folder in KMI_STATE_DIR");
		else
			doctor_remedy(d, "a fresh one is started by itself; what was in the old one stays beside it");
	} else {
		doctor_found(d, FINDING_OK, "state.json can be read");
	}
	check_set_aside(d);
	check_lock(d);
}

/* The end of a file, from the beginning of a line on. */
static int
read_tail(const char *state_dir, const char *name, struct buf *out)
{
	char *path = file_join(state_dir, name);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct stat st;
	ssize_t n = -1;
	char *room;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (room = buf_room(out, TAIL_BYTES))) {
		off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;

		n = pread(fd, room, TAIL_BYTES, from);
		out->n = n > 0 ? (size_t)n : 0;
		if (from > 0 && out->n && memchr(out->p, '\n', out->n))
			buf_drop(out, (size_t)((char *)memchr(out->p, '\n', out->n) - out->p) + 1);
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return n < 0 ? -1 : 0;
}

static void
check_trace(struct doctor *d)
{
	struct buf tail = BUF(TAIL_BYTES + 1);
	struct str rest;
	size_t lines = 0, bad = 0;
	time_t last = 0;

	if (read_tail(d->config->state_dir, "trace/trace.jsonl", &tail) < 0) {
		doctor_found(d, FINDING_NOTE, "there is no trace yet: no request has come");
		doctor_remedy(d, "curl %s://%s%s/models sends one", config_scheme(d->config), d->config->proxy_listen,
		    d->config->proxy_base_path);
		buf_free(&tail);
		return;
	}
	for (rest = buf_view(&tail); rest.n; lines++) {
		struct trace_line l;
		struct fail f = { 0 };

		if (trace_read_line(&l, str_cut(&rest, '\n'), &f) < 0) {
			bad++;
			continue;
		}
		last = l.ended;
		trace_line_free(&l);
	}
	if (bad) {
		doctor_found(d, FINDING_WARN, "%zu of the last %zu trace lines cannot be read", bad, lines);
		doctor_remedy(d, "a crash or a full disk may tear a line; the others count");
	} else {
		doctor_found(d, FINDING_OK, "the trace can be read");
	}
	if (last > d->now + 60) {
		doctor_found(d, FINDING_WARN, "the last trace line is from the future: a clock was wrong, then or now");
		doctor_remedy(d, "timedatectl tells whether the clock is kept right");
	}
	buf_free(&tail);
}

/* What the proxy complained of within a day: how often, and the last of it. */
static void
check_log(struct doctor *d)
{
	struct buf tail = BUF(TAIL_BYTES + 1), message = BUF(1024);
	struct str rest;
	size_t complaints = 0;

	if (read_tail(d->config->state_dir, "logs/kmi.log", &tail) == 0)
		for (rest = buf_view(&tail); rest.n;) {
			struct json j;
			struct fail f = { 0 };
			struct buf ts = BUF(64);
			time_t when;

			if (json_parse(&j, str_cut(&rest, '\n'), &f) < 0)
				continue;
			if ((json_is(&j, json_get(&j, 0, "level"), "error") || json_is(&j, json_get(&j, 0, "level"), "warning")) &&
			    json_str(&j, json_get(&j, 0, "ts"), &ts) == 0 && clock_parse(buf_view(&ts), &when) == 0 &&
			    d->now - when < RECENT_SECONDS) {
				buf_reset(&message);
				complaints++;
				(void)json_str(&j, json_get(&j, 0, "message"), &message);
			}
			buf_free(&ts);
			json_free(&j);
		}
	if (complaints) {
		doctor_found(d, FINDING_WARN, text_plural((long long)complaints, "%lld warning in the log within a day, the last one: %s",
		    "%lld warnings in the log within a day, the last one: %s"), (long long)complaints,
		    buf_bad(&message) || !message.n ? "?" : message.p);
		doctor_remedy(d, "kmi proxy-logs --app --since 1d shows them");
	} else {
		doctor_found(d, FINDING_OK, "no warnings in the log within a day");
	}
	buf_free(&tail);
	buf_free(&message);
}

void
doctor_files(struct doctor *d)
{
	check_writable(d);
	check_owner(d);
	check_modes(d);
	check_state(d);
	check_trace(d);
	check_log(d);
}
