#include "books/trace_read.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	size_t at;
} texts[] = {
	{ "request_id", offsetof(struct trace_line, request_id) },
	{ "method", offsetof(struct trace_line, method) },
	{ "endpoint", offsetof(struct trace_line, endpoint) },
	{ "model", offsetof(struct trace_line, model) },
	{ "session", offsetof(struct trace_line, session) },
	{ "key_label", offsetof(struct trace_line, key_label) },
	{ "key_hash", offsetof(struct trace_line, key_hash) },
	{ "account", offsetof(struct trace_line, account) },
	{ "prompt_hint", offsetof(struct trace_line, prompt_hint) },
	{ "prompt_head", offsetof(struct trace_line, prompt_head) },
	{ "check", offsetof(struct trace_line, check) },
	{ "active", offsetof(struct trace_line, active) },
	{ "conversation", offsetof(struct trace_line, conversation) },
}, numbers[] = {
	{ "status", offsetof(struct trace_line, status) },
	{ "latency_ms", offsetof(struct trace_line, latency_ms) },
	{ "wait_ms", offsetof(struct trace_line, wait_ms) },
	{ "connect_ms", offsetof(struct trace_line, connect_ms) },
	{ "ttfb_ms", offsetof(struct trace_line, ttfb_ms) },
	{ "bytes_in", offsetof(struct trace_line, bytes_in) },
	{ "bytes_out", offsetof(struct trace_line, bytes_out) },
	{ "prompt_tokens", offsetof(struct trace_line, prompt_tokens) },
	{ "completion_tokens", offsetof(struct trace_line, completion_tokens) },
	{ "cached_tokens", offsetof(struct trace_line, cached_tokens) },
	{ "rotation_index", offsetof(struct trace_line, rotation_index) },
	{ "passed", offsetof(struct trace_line, passed) },
	{ "active_place", offsetof(struct trace_line, active_place) },
};

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

/* -1 when the value is no number that counts something; fractions (other tools write them) are dropped. */
static int64_t
read_number(const struct json *j, int v)
{
	double d;

	return json_double(j, v, &d) == 0 && d >= 0 && d < 9e15 ? (int64_t)d : -1;
}

static char *
read_error_code(const struct json *j, int v)
{
	return json_type(j, v) == JSON_NUMBER ? str_dup(json_raw(j, v)) : json_strdup(j, v);
}

static int
read_time(const struct json *j, int v, time_t *t)
{
	struct buf text = BUF(j->text.n + 16);
	int rc = json_str(j, v, &text) < 0 || buf_bad(&text) ? -1 : clock_parse(buf_view(&text), t);

	buf_free(&text);
	return rc;
}

void
trace_labels_free(char **labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(labels[i]);
	free(labels);
}

/* An array of strings. */
static int
read_labels(const struct json *j, int array, char ***labels, size_t *count, struct fail *f)
{
	char **list = calloc((size_t)json_size(j, array) + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return fail_memory(f);
	for (int v = json_first(j, array); v >= 0; v = json_next(j, v)) {
		list[n] = json_strdup(j, v);
		if (!list[n]) {
			trace_labels_free(list, n);
			return fail_set(f, FAIL_INPUT, "a list of labels holds something else");
		}
		n++;
	}
	*labels = list;
	*count = n;
	return 0;
}

static int
read_list(struct trace_list *l, const struct json *j, int v, struct fail *f)
{
	int64_t count;

	if (json_type(j, v) == JSON_ARRAY)
		return read_labels(j, v, &l->labels, &l->count, f);
	l->set = json_strdup(j, json_get(j, v, "set"));
	count = read_number(j, json_get(j, v, "count"));
	l->count = l->set && count > 0 ? (size_t)count : 0;
	return 0;
}

static void
free_list(struct trace_list *l)
{
	if (l->labels)
		trace_labels_free(l->labels, l->count);
	free(l->set);
}

static int
read_quota(struct trace_line *l, const struct json *j, int array, struct fail *f)
{
	if (json_type(j, array) != JSON_ARRAY)
		return 0;
	l->quota = calloc((size_t)json_size(j, array) + 1, sizeof(*l->quota));
	if (!l->quota)
		return fail_memory(f);
	for (int v = json_first(j, array); v >= 0; v = json_next(j, v)) {
		int64_t left = read_number(j, json_at(j, v, 0)), keys = read_number(j, json_at(j, v, 1));

		l->quota[l->quota_count++] = (struct trace_quota){
			.left = left <= 100 ? (int)left : -1,
			.keys = keys > 0 ? (size_t)keys : 0,
		};
	}
	return 0;
}

static int
read_attempts(struct trace_line *l, const struct json *j, int array, struct fail *f)
{
	if (json_type(j, array) != JSON_ARRAY)
		return 0;
	l->attempts = calloc((size_t)json_size(j, array) + 1, sizeof(*l->attempts));
	if (!l->attempts)
		return fail_memory(f);
	for (int v = json_first(j, array); v >= 0; v = json_next(j, v)) {
		struct trace_attempt *a = &l->attempts[l->attempt_count++];
		int64_t status = read_number(j, json_get(j, v, "status"));
		char *verdict = json_strdup(j, json_get(j, v, "verdict"));
		char *choice = json_strdup(j, json_get(j, v, "choice"));

		a->account = json_strdup(j, json_get(j, v, "account"));
		snprintf(a->choice, sizeof(a->choice), "%s", choice ? choice : "");
		a->label = json_strdup(j, json_get(j, v, "label"));
		a->status = status > 0 && status < 1000 ? (int)status : 0;
		snprintf(a->verdict, sizeof(a->verdict), "%s", verdict ? verdict : "");
		a->ms = read_number(j, json_get(j, v, "ms"));
		free(verdict);
		free(choice);
	}
	return 0;
}

int
trace_read_line(struct trace_line *l, struct str line, struct fail *f)
{
	struct json j;
	int rc = -1;

	*l = (struct trace_line){ 0 };
	if (json_parse(&j, str_trim(line), f) < 0)
		return -1;
	if (json_type(&j, 0) != JSON_OBJECT || read_time(&j, json_get(&j, 0, "ts"), &l->ended) < 0) {
		fail_set(f, FAIL_INPUT, "not a trace line");
		goto out;
	}
	for (size_t i = 0; i < LENGTH(texts); i++)
		*(char **)(void *)((char *)l + texts[i].at) = json_strdup(&j, json_get(&j, 0, texts[i].name));
	for (size_t i = 0; i < LENGTH(numbers); i++)
		*(int64_t *)(void *)((char *)l + numbers[i].at) =
		    read_number(&j, json_get(&j, 0, numbers[i].name));
	l->error_code = read_error_code(&j, json_get(&j, 0, "error_code"));
	json_bool(&j, json_get(&j, 0, "stream"), &l->stream);
	json_bool(&j, json_get(&j, 0, "dry_run"), &l->dry_run);
	if (read_list(&l->eligible, &j, json_get(&j, 0, "eligible"), f) < 0 ||
	    read_list(&l->accounts, &j, json_get(&j, 0, "accounts"), f) < 0 ||
	    read_quota(l, &j, json_get(&j, 0, "quota"), f) < 0 ||
	    read_attempts(l, &j, json_get(&j, 0, "attempts"), f) < 0)
		goto out;
	rc = 0;
out:
	if (rc < 0)
		trace_line_free(l);
	json_free(&j);
	return rc;
}

void
trace_line_free(struct trace_line *l)
{
	for (size_t i = 0; i < LENGTH(texts); i++)
		free(*(char **)(void *)((char *)l + texts[i].at));
	free(l->error_code);
	free_list(&l->eligible);
	free_list(&l->accounts);
	free(l->quota);
	for (int i = 0; i < l->attempt_count; i++) {
		free(l->attempts[i].label);
		free(l->attempts[i].account);
	}
	free(l->attempts);
	*l = (struct trace_line){ 0 };
}

static void
put_list(struct buf *text, const struct trace_list *l)
{
	if (l->labels)
		trace_labels_text((const char *const *)l->labels, l->count, text);
	else
		buf_printf(text, "{\"count\": %zu, \"set\": \"%s\"}", l->count, l->set);
}

bool
trace_line_is_ours(const struct trace_line *l)
{
	return l->attempt_count || l->check;
}

int
trace_line_intact(const struct trace_line *l)
{
	struct trace_record t = { .key_label = l->key_label, .rotation_index = l->rotation_index, .passed = l->passed,
		.manual = l->active_place >= 0, .active = l->active, .active_place = l->active_place };
	struct buf eligible = BUF(TRACE_LINE_MAX);
	char check[TRACE_HASH_SIZE];
	int intact;

	if (!l->check)
		return -1;
	if (l->attempt_count > TRACE_ATTEMPTS_MAX)
		return 0;
	for (; t.attempt_count < l->attempt_count; t.attempt_count++)
		t.attempts[t.attempt_count] = l->attempts[t.attempt_count];	/* lent: the record is not freed */
	snprintf(t.request_id, sizeof(t.request_id), "%s", l->request_id ? l->request_id : "");
	snprintf(t.conversation, sizeof(t.conversation), "%s", l->conversation ? l->conversation : "");
	if (l->eligible.labels || l->eligible.set)
		put_list(&eligible, &l->eligible);
	if (l->accounts.labels || l->accounts.set) {
		buf_puts(&eligible, ", \"accounts\": ");
		put_list(&eligible, &l->accounts);
	}
	if (l->quota)
		trace_quota_text(l->quota, l->quota_count, &eligible);
	t.eligible = buf_view(&eligible);
	trace_check(&t, check);
	intact = !buf_bad(&eligible) && strcmp(check, l->check) == 0;
	buf_free(&eligible);
	return intact;
}

/* The name comes from a file: it must not lead out of the folder. */
static bool
is_set_name(const char *set)
{
	size_t n = strspn(set, "0123456789abcdef");

	return n > 0 && n <= 64 && set[n] == '\0';
}

int
trace_read_set(const struct config *c, const char *set, char ***labels, size_t *count, struct fail *f)
{
	struct buf text = BUF(0);
	struct json j = { 0 };
	char *path = NULL;
	int rc = -1;

	if (!is_set_name(set))
		return fail_set(f, FAIL_INPUT, "the trace names a set in a way kmi does not");
	if (asprintf(&path, "%s/trace/sets/%s.json", c->state_dir, set) < 0)
		return fail_memory(f);
	if (file_read(path, 64 << 20, &text, NULL, f) < 0 || json_parse(&j, buf_view(&text), f) < 0)
		goto out;
	if (json_type(&j, 0) != JSON_ARRAY)
		fail_set(f, FAIL_INPUT, "%s is not a list of labels", path);
	else
		rc = read_labels(&j, 0, labels, count, f);
out:
	json_free(&j);
	buf_free(&text);
	free(path);
	return rc;
}
