#include "books/events.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_MAX 4096		/* more of a message or a value is cut off: an event is a sentence */
#define LINE_MAX_BYTES (256 * 1024)
#define DUE_SECONDS 60

static const char *
level_name(enum event_level level)
{
	switch (level) {
	case EVENT_DEBUG:
		return "debug";
	case EVENT_INFO:
		return "info";
	case EVENT_WARNING:
		return "warning";
	case EVENT_ERROR:
		return "error";
	}
	return "error";
}

/* STATE_DIR/logs/kmi.log; the folder is made when it is missing. */
static int
append(const struct config *c, struct str line, struct fail *f)
{
	char *folder = file_join(c->state_dir, "logs");
	char *path = folder ? file_join(folder, "kmi.log") : NULL;
	int rc;

	if (!path)
		rc = fail_memory(f);
	else if ((rc = file_append_line(path, line, c->log_max_mb << 20, (int)c->log_backups, f)) < 0 &&
	    errno == ENOENT && (rc = file_mkdirs(folder, f)) == 0)
		rc = file_append_line(path, line, c->log_max_mb << 20, (int)c->log_backups, f);
	free(path);
	free(folder);
	return rc;
}

static void
tell_stderr(struct buf *line)
{
	for (size_t i = 0; i < line->n; i++)
		if ((unsigned char)line->p[i] < 0x20 || line->p[i] == 0x7f)
			line->p[i] = ' ';
	buf_putc(line, '\n');
	file_write_all(STDERR_FILENO, buf_view(line));
}

/* The event in both its forms: the log's line, and what stderr gets if that cannot be written. */
struct event {
	struct buf line, plain;
	struct json_out out;
	bool some;	/* a field stands in the plain form */
};

static void
add_field(struct event *e, const char *name, const char *value)
{
	struct str v = str_sub(str_from(value), 0, VALUE_MAX);

	json_key(&e->out, name);
	json_put(&e->out, v);
	buf_printf(&e->plain, "%s%s=%.*s", e->some ? ", " : " (", name, STR_F(v));
	e->some = true;
}

static void
begin(struct event *e, enum event_level level, const char *message)
{
	struct str text = str_sub(str_from(message), 0, VALUE_MAX);
	char ts[CLOCK_LOCAL_SIZE];

	*e = (struct event){ .line = BUF(LINE_MAX_BYTES), .plain = BUF(LINE_MAX_BYTES) };
	e->out.to = &e->line;
	clock_local(clock_wall(), ts);
	json_open(&e->out, '{');
	json_key(&e->out, "ts");
	json_put_cstr(&e->out, ts);
	json_key(&e->out, "level");
	json_put_cstr(&e->out, level_name(level));
	json_key(&e->out, "message");
	json_put(&e->out, text);
	buf_printf(&e->plain, "%s: %s: %.*s", program_invocation_short_name, level_name(level), STR_F(text));
}

static void
finish(struct event *e, const struct config *c, va_list fields)
{
	const char *name, *value;
	char stamp[STAMP_SIZE];
	struct fail f = { 0 };

	while ((name = va_arg(fields, const char *)) && (value = va_arg(fields, const char *)))
		add_field(e, name, value);
	json_close(&e->out, '}');
	buf_putc(&e->line, '\n');
	if (e->some)
		buf_putc(&e->plain, ')');
	secret_hide(e->line.p, e->line.n);
	secret_hide(e->plain.p, e->plain.n);
	if (buf_bad(&e->line))
		fail_set(&f, FAIL_SYSTEM, "the event is too long for the log");
	if (buf_bad(&e->line) || append(c, buf_view(&e->line), &f) < 0) {
		buf_reset(&e->line);
		buf_printf(&e->line, "%s%s [%s]", stamp_stderr(stamp), buf_view(&e->plain).p, f.text);
		tell_stderr(&e->line);
	}
	buf_free(&e->line);
	buf_free(&e->plain);
}

void
event_log(const struct config *c, enum event_level level, const char *message, ...)
{
	struct event e;
	va_list fields;

	begin(&e, level, message);
	va_start(fields, message);
	finish(&e, c, fields);
	va_end(fields);
}

void
event_audit(const struct config *c, const char *action, ...)
{
	struct event e;
	va_list fields;

	begin(&e, EVENT_INFO, "audit_event");
	add_field(&e, "actor", c->audit_actor && *c->audit_actor ? c->audit_actor : "unknown");
	add_field(&e, "action", action);
	va_start(fields, action);
	finish(&e, c, fields);
	va_end(fields);
}

/* A stamp of the future is one from before the clock was set back: it must not silence us until then. */
static bool
is_old(const struct stat *st)
{
	time_t now = clock_wall();

	return st->st_mtim.tv_sec > now + 1 || now - st->st_mtim.tv_sec >= DUE_SECONDS;
}

/* The file whose mtime says when the cause was last told. NULL when out of memory. */
static char *
stamp_path(const char *folder, const char *cause)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t n = strspn(cause, safe);
	char hash[DIGEST_SHORT_SIZE];

	if (n > 0 && n <= 64 && cause[n] == '\0')
		return file_join(folder, cause);
	digest_short(str_from(cause), hash);
	return file_join(folder, hash);
}

/* 1 due, 0 not yet, -1 stamps cannot be kept. Of many who ask at once, one is told 1. */
static int
stamp_due(const char *path)
{
	struct stat st;
	int fd, due = -1;

	if (stat(path, &st) == 0 && !is_old(&st))
		return 0;
	fd = file_make(path, O_WRONLY | O_EXCL);
	if (fd >= 0) {
		close(fd);
		return 1;
	}
	if (errno != EEXIST)
		return -1;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		due = errno == EWOULDBLOCK ? 0 : -1;
	else if (fstat(fd, &st) == 0 && !is_old(&st))
		due = 0;
	else if (futimens(fd, NULL) == 0)
		due = 1;
	close(fd);
	return due;
}

/* Where no stamp can be kept: the causes told lately by this process. */
static bool
memory_due(const char *cause)
{
	static struct {
		char cause[DIGEST_SHORT_SIZE];
		int64_t told_ms;
	} told[16];
	int64_t now = clock_mono_ms();
	char hash[DIGEST_SHORT_SIZE];
	size_t oldest = 0;

	digest_short(str_from(cause), hash);
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++) {
		if (strcmp(told[i].cause, hash) == 0) {
			oldest = i;
			if (now - told[i].told_ms < DUE_SECONDS * 1000)
				return false;
			break;
		}
		if (told[i].told_ms < told[oldest].told_ms)
			oldest = i;
	}
	memcpy(told[oldest].cause, hash, sizeof(hash));
	told[oldest].told_ms = now;
	return true;
}

bool
event_due(const struct config *c, const char *cause)
{
	char *folder = file_join(c->state_dir, "logs/due");
	char *path = folder ? stamp_path(folder, cause) : NULL;
	int due = path ? stamp_due(path) : -1;

	if (due < 0 && path && errno == ENOENT && file_mkdirs(folder, NULL) == 0)
		due = stamp_due(path);
	free(path);
	free(folder);
	return due < 0 ? memory_due(cause) : due;
}
