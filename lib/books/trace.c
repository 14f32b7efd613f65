#include "books/trace.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "keys/index.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETS_MAX 500

/* What is kept of a path that a client made up; the rest tells nobody anything. */
#define ENDPOINT_MAX 1024

static void
drop_last_attempt(struct trace_record *t)
{
	struct trace_attempt *a = &t->attempts[--t->attempt_count];

	free(a->label);
	free(a->account);
}

void
trace_attempt_add(struct trace_record *t, const char *label, const char *account, const char *choice, int status,
    const char *verdict, int64_t ms)
{
	struct trace_attempt *a;

	if (t->attempt_count == TRACE_ATTEMPTS_MAX)
		drop_last_attempt(t);
	a = &t->attempts[t->attempt_count++];
	*a = (struct trace_attempt){ .label = label ? strdup(label) : NULL, .account = account ? strdup(account) : NULL,
		.status = status, .ms = ms };
	snprintf(a->choice, sizeof(a->choice), "%s", choice ? choice : "");
	snprintf(a->verdict, sizeof(a->verdict), "%s", verdict ? verdict : "");
}

void
trace_free(struct trace_record *t)
{
	while (t->attempt_count > 0)
		drop_last_attempt(t);
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
		put_text(line, ", \"account\": ", str_from(a->account));
		put_text(line, ", \"choice\": ", str_from(a->choice));
		put_status(line, ", \"status\": ", a->status);
		put_text(line, ", \"verdict\": ", str_from(a->verdict));
		put_count(line, ", \"ms\": ", a->ms);
		buf_putc(line, '}');
	}
	buf_putc(line, ']');
}

static void
put_choice(struct buf *line, const struct trace_record *t)
{
	put_count(line, ", \"rotation_index\": ", t->rotation_index);
	buf_puts(line, ", \"eligible\": ");
	buf_str(line, t->eligible.n ? t->eligible : STR("null"));
	if (t->manual) {
		put_text(line, ", \"active\": ", str_from(t->active));
		put_count(line, ", \"active_place\": ", t->active_place);
	}
	if (t->conversation[0])
		put_text(line, ", \"conversation\": ", str_from(t->conversation));
	put_count(line, ", \"passed\": ", t->passed);
	put_attempts(line, t);
}

#define HASH_EMPTY 14695981039346656037ULL

/* FNV-1a, of something that follows what h is the hash of. */
static uint64_t
hash_on(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211ULL;
	return (h ^ 0xff) * 1099511628211ULL;	/* an end: no byte of UTF-8 */
}

static void
hash_text(uint64_t h, char text[TRACE_HASH_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = TRACE_HASH_SIZE - 2; i >= 0; i--, h >>= 4)
		text[i] = digits[h & 15];
	text[TRACE_HASH_SIZE - 1] = '\0';
}

/* Of the label in its JSON form, and of what put_choice() has written. */
static void
check_of(const struct trace_record *t, struct str label, struct str choice, char check[TRACE_HASH_SIZE])
{
	hash_text(hash_on(hash_on(hash_on(HASH_EMPTY, str_from(t->request_id)), label), choice), check);
}

void
trace_check(const struct trace_record *t, char check[TRACE_HASH_SIZE])
{
	struct buf label = BUF(TRACE_LINE_MAX), choice = BUF(TRACE_LINE_MAX);

	put_text(&label, "", str_from(t->key_label));
	put_choice(&choice, t);
	check_of(t, buf_view(&label), buf_view(&choice), check);
	buf_free(&label);
	buf_free(&choice);
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
	char ts[CLOCK_LOCAL_SIZE], check[TRACE_HASH_SIZE];
	size_t label, label_end, choice, choice_end;

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
	buf_puts(line, ", \"key_label\": ");
	label = line->n;
	put_text(line, "", str_from(t->key_label));
	label_end = line->n;
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
	choice = line->n;
	put_choice(line, t);
	choice_end = line->n;
	if (c->trace_prompts) {
		put_text(line, ", \"prompt_hint\": ", t->prompt_hint);
		put_text(line, ", \"prompt_head\": ", t->prompt_head);
	}
	buf_puts(line, t->dry_run ? ", \"dry_run\": true" : ", \"dry_run\": false");
	check_of(t, str_sub(buf_view(line), label, label_end), str_sub(buf_view(line), choice, choice_end), check);
	put_text(line, ", \"check\": ", str_from(check));
	buf_puts(line, "}\n");
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
	secret_hide(line.p, line.n);
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

void
trace_labels_text(const char *const *labels, size_t count, struct buf *to)
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
 * A set is named whenever the pool is looked at anew, and a thousand labels through SHA-256 would cost more
 * than all the rest of a request; nobody but the owner of the keys could make two sets collide.
 */
void
trace_set_name(const char *const *labels, size_t count, char name[TRACE_HASH_SIZE])
{
	uint64_t h = HASH_EMPTY;

	for (size_t i = 0; i < count; i++)
		h = hash_on(h, str_from(labels[i]));
	hash_text(h, name);
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

	trace_labels_text(labels, count, &content);
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
	char name[TRACE_HASH_SIZE];
	int rc = 0;

	if (count <= TRACE_LIST_MAX) {
		trace_labels_text(labels, count, text);
		return 0;
	}
	trace_set_name(labels, count, name);
	buf_printf(text, "{\"count\": %zu, \"set\": \"%s\"}", count, name);
	folder = file_join(c->state_dir, "trace/sets");
	if (!folder || asprintf(&path, "%s/%s.json", folder, name) < 0) {
		path = NULL;
		rc = fail_memory(f);
	} else if (access(path, F_OK) < 0) {
		rc = write_set(folder, path, labels, count, f);
	}
	free(folder);
	free(path);
	return rc;
}

static bool
own_accounts(const struct index_among *among)
{
	for (size_t i = 0; i < among->count; i++)
		if (strcmp(among->labels[i], among->accounts[i]) != 0)
			return false;
	return true;
}

void
trace_quota_text(const struct trace_quota *runs, size_t count, struct buf *to)
{
	buf_puts(to, ", \"quota\": [");
	for (size_t i = 0; i < count; i++) {
		put_count(to, i ? ", [" : "[", runs[i].left);
		put_count(to, ", ", (int64_t)runs[i].keys);
		buf_putc(to, ']');
	}
	buf_putc(to, ']');
}

/* The keys are ordered by what is left, in whole percents: so there are not many runs. */
static void
put_quota(const struct index_among *among, struct buf *text)
{
	struct trace_quota runs[TRACE_QUOTA_MAX] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < among->count; i++) {
		if (i == 0 || (among->left[i] != runs[n - 1].left && n < TRACE_QUOTA_MAX))
			runs[n++].left = among->left[i];
		runs[n - 1].keys++;
	}
	trace_quota_text(runs, n, text);
}

int
trace_among(const struct config *c, const struct index_among *among, struct buf *text, struct fail *f)
{
	int rc = trace_set(c, among->labels, among->count, text, f);

	if (among->accounts && !own_accounts(among)) {
		buf_puts(text, ", \"accounts\": ");
		if (trace_set(c, among->accounts, among->count, text, rc < 0 ? NULL : f) < 0)
			rc = -1;
	}
	if (among->left)
		put_quota(among, text);
	return rc;
}
