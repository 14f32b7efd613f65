#include "books/trace.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETS_MAX 500


/* What is kept of a path that a client made up; the rest tells nobody anything. */
#define ENDPOINT_MAX 1024

void
trace_attempt_add(struct trace_record *t, const char *label, int status, const char *verdict, int64_t ms)
{
	struct trace_attempt *a;

	if (t->attempt_count == TRACE_ATTEMPTS_MAX)
		free(t->attempts[--t->attempt_count].label);
	a = &t->attempts[t->attempt_count++];
	*a = (struct trace_attempt){ .label = label ? strdup(label) : NULL, .status = status, .ms = ms };
	snprintf(a->verdict, sizeof(a->verdict), "%s", verdict ? verdict : "");
}

void
trace_free(struct trace_record *t)
{
	for (int i = 0; i < t->attempt_count; i++)
		free(t->attempts[i].label);
	t->attempt_count = 0;
}

/*
 * A line is made for every request, so it is put together from ready pieces: `before` is
 * the comma, the key and the colon, as they stand in the line.
 */
static void
put_text(struct buf *line, const char *before, struct str s)
{
	buf_puts(line, before);
	if (s.n)
		json_quote(line, s);
	else
		buf_puts(line, "null");
}

static void
put_number(struct buf *line, const char *before, int64_t v, bool known)
{
	char digits[24];
	char *p = digits + sizeof(digits);

	buf_puts(line, before);
	if (!known || v < 0) {
		buf_puts(line, "null");
		return;
	}
	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	buf_put(line, p, (size_t)(digits + sizeof(digits) - p));
}

static void
put_count(struct buf *line, const char *before, int64_t v)
{
	put_number(line, before, v, true);
}

static void
put_status(struct buf *line, const char *before, int status)
{
	put_number(line, before, status, status > 0);
}

static void
put_error_code(struct buf *line, const char *before, const char *code)
{
	long long number;

	if (str_int(str_from(code), 0, 999, &number) == 0)
		put_count(line, before, number);
	else
		put_text(line, before, str_from(code));
}

static void
put_attempts(struct buf *line, const struct trace_record *t)
{
	buf_puts(line, ", \"attempts\": [");
	for (int i = 0; i < t->attempt_count; i++) {
		const struct trace_attempt *a = &t->attempts[i];

		put_text(line, i ? ", {\"label\": " : "{\"label\": ", str_from(a->label));
		put_status(line, ", \"status\": ", a->status);
		put_text(line, ", \"verdict\": ", str_from(a->verdict));
		put_count(line, ", \"ms\": ", a->ms);
		buf_putc(line, '}');
	}
	buf_putc(line, ']');
}

/* As much of s as fits into max bytes, without a character cut in two. */
static struct str
shorten(struct str s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return str_sub(s, 0, max);
}

void
trace_format(const struct trace_record *t, const struct config *c, struct buf *line)
{
	char ts[CLOCK_LOCAL_SIZE];

	clock_local(t->ended, ts);
	buf_room(line, 1024);
	put_count(line, "{\"schema_version\": ", TRACE_SCHEMA_VERSION);
	put_text(line, ", \"ts\": ", str_from(ts));
	put_text(line, ", \"request_id\": ", str_from(t->request_id));
	put_text(line, ", \"method\": ", shorten(t->method, 64));
	put_text(line, ", \"endpoint\": ", shorten(t->endpoint, ENDPOINT_MAX));
	put_text(line, ", \"model\": ", t->model);
	put_text(line, ", \"session\": ", str_from(t->session));
	buf_puts(line, t->stream ? ", \"stream\": true" : ", \"stream\": false");
	put_text(line, ", \"key_label\": ", str_from(t->key_label));
	put_text(line, ", \"key_hash\": ", str_from(t->key_hash));
	put_text(line, ", \"account\": ", str_from(t->account));
	put_status(line, ", \"status\": ", t->status);
	put_error_code(line, ", \"error_code\": ", t->error_code);
	put_count(line, ", \"latency_ms\": ", t->latency_ms);
	put_count(line, ", \"wait_ms\": ", t->wait_ms);
	put_count(line, ", \"connect_ms\": ", t->connect_ms);
	put_count(line, ", \"ttfb_ms\": ", t->ttfb_ms);
	put_count(line, ", \"bytes_in\": ", t->bytes_in);
	put_count(line, ", \"bytes_out\": ", t->bytes_out);
	put_count(line, ", \"prompt_tokens\": ", t->prompt_tokens);
	put_count(line, ", \"completion_tokens\": ", t->completion_tokens);
	put_count(line, ", \"cached_tokens\": ", t->cached_tokens);
	put_count(line, ", \"rotation_index\": ", t->rotation_index);
	buf_puts(line, ", \"eligible\": ");
	buf_str(line, t->eligible.n ? t->eligible : STR("null"));
	put_attempts(line, t);
	if (c->trace_prompts) {
		put_text(line, ", \"prompt_hint\": ", t->prompt_hint);
		put_text(line, ", \"prompt_head\": ", t->prompt_head);
	}
	buf_puts(line, t->dry_run ? ", \"dry_run\": true}\n" : ", \"dry_run\": false}\n");
}

/* Kept open from request to request: opening it anew would cost as much as all the rest of a line. */
static struct file_lines trace_lines;

int
trace_write(const struct trace_record *t, const struct config *c, struct fail *f)
{
	struct buf line = BUF(TRACE_LINE_MAX);
	char *folder = file_join(c->state_dir, "trace");
	char *path = folder ? file_join(folder, "trace.jsonl") : NULL;
	long long max_bytes = c->trace_max_mb << 20;
	int backups = (int)c->trace_backups, rc;

	trace_format(t, c, &line);
	if (!path)
		rc = fail_memory(f);
	else if (buf_bad(&line))
		rc = fail_set(f, FAIL_SYSTEM, "a trace line is too long to be written");
	else if ((rc = file_lines_add(&trace_lines, path, buf_view(&line), max_bytes, backups, f)) < 0 &&
	    errno == ENOENT && (rc = file_mkdirs(folder, f)) == 0)
		rc = file_lines_add(&trace_lines, path, buf_view(&line), max_bytes, backups, f);
	free(path);
	free(folder);
	buf_free(&line);
	return rc;
}

static void
put_labels(struct buf *to, const char *const *labels, size_t count)
{
	buf_putc(to, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_puts(to, ", ");
		json_quote(to, str_from(labels[i]));
	}
	buf_putc(to, ']');
}

/*
 * FNV-1a of the labels and their ends. A set is looked at with every request, and a thousand
 * labels through SHA-256 would cost more than all the rest of the request; nobody but the
 * owner of the keys could make two sets collide.
 */
static uint64_t
set_hash(const char *const *labels, size_t count)
{
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < count; i++) {
		for (const unsigned char *p = (const unsigned char *)labels[i]; *p; p++)
			h = (h ^ *p) * 1099511628211ULL;
		h = (h ^ 0xff) * 1099511628211ULL;	/* no byte of a UTF-8 label */
	}
	return h;
}

/*
 * Every lock that comes or goes makes another set. The folder keeps the newest SETS_MAX: a line that names
 * an older one still tells how many keys it was made of.
 */
static void
prune_sets(const char *folder)
{
	DIR *dir = opendir(folder);
	char oldest[NAME_MAX + 1] = "";
	time_t oldest_time = 0;
	size_t count = 0;
	struct dirent *e;
	struct stat st;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!count++ || st.st_mtime < oldest_time) {
			oldest_time = st.st_mtime;
			snprintf(oldest, sizeof(oldest), "%s", e->d_name);
		}
	}
	if (count > SETS_MAX)
		unlinkat(dirfd(dir), oldest, 0);
	closedir(dir);
}

static int
write_set(const char *folder, const char *path, const char *const *labels, size_t count, struct fail *f)
{
	struct buf content = BUF(64 << 20);
	int rc = -1;

	put_labels(&content, labels, count);
	buf_putc(&content, '\n');
	if (buf_bad(&content))
		fail_set(f, FAIL_SYSTEM, "a set of %zu keys is too large to be written", count);
	else if (file_mkdirs(folder, f) == 0)
		rc = file_replace(path, buf_view(&content), false, f);
	if (rc == 0)
		prune_sets(folder);
	buf_free(&content);
	return rc;
}

int
trace_set(const struct config *c, const char *const *labels, size_t count, struct buf *text, struct fail *f)
{
	char *folder = NULL, *path = NULL;
	uint64_t hash;
	int rc = 0;

	if (count <= TRACE_LIST_MAX) {
		put_labels(text, labels, count);
		return 0;
	}
	hash = set_hash(labels, count);
	buf_printf(text, "{\"count\": %zu, \"set\": \"%016" PRIx64 "\"}", count, hash);
	folder = file_join(c->state_dir, "trace/sets");
	if (!folder || asprintf(&path, "%s/%016" PRIx64 ".json", folder, hash) < 0) {
		path = NULL;
		rc = fail_memory(f);
	} else if (access(path, F_OK) < 0) {
		rc = write_set(folder, path, labels, count, f);
	}
	free(folder);
	free(path);
	return rc;
}
