#include "books/trace.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "books/trace_sets.h"
#include "keys/index.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-trace-XXXXXX";

static struct config
config_in(const char *name)
{
	return (struct config){ .state_dir = file_join(dir, name), .trace_max_mb = 5, .trace_backups = 3,
		.trace_prompts = true };
}

static struct trace_record
sample(void)
{
	struct trace_record t = {
		.ended = 1770035400, .request_id = "0123456789abcdef0123456789abcdef", .method = STR("POST"),
		.endpoint = STR("/chat/completions"), .model = STR("kimi-k2"), .session = "abcdefabcdef",
		.stream = true, .key_label = "alpha", .key_hash = "0011aabbccdd", .account = "home",
		.status = 429, .error_code = "429", .latency_ms = 1234, .wait_ms = 0, .connect_ms = 12,
		.ttfb_ms = -1, .bytes_in = 85000, .bytes_out = 5, .prompt_tokens = 10, .completion_tokens = -1,
		.cached_tokens = -1, .rotation_index = 7, .eligible = STR("[\"alpha\", \"beta\"]"),
		.prompt_hint = STR("say \"hi\"\n"), .prompt_head = STR("say"),
	};

	trace_attempt_add(&t, "beta", "work", "turn", 0, "server", 3);
	trace_attempt_add(&t, "alpha", "home", "other_account", 429, "rate", 1200);
	return t;
}

static void
line_as_documented(void)
{
	struct config c = config_in("none");
	struct trace_record t = sample();
	struct buf b = BUF(TRACE_LINE_MAX);

	trace_format(&t, &c, &b);
	CHECK_STR(b.p, "{\"schema_version\": 1, \"ts\": \"2026-02-02 15:30:00 +0300\", "
	    "\"request_id\": \"0123456789abcdef0123456789abcdef\", \"method\": \"POST\", "
	    "\"endpoint\": \"/chat/completions\", \"model\": \"kimi-k2\", \"session\": \"abcdefabcdef\", "
	    "\"stream\": true, \"key_label\": \"alpha\", \"key_hash\": \"0011aabbccdd\", \"account\": \"home\", "
	    "\"status\": 429, \"error_code\": 429, \"latency_ms\": 1234, \"wait_ms\": 0, \"connect_ms\": 12, "
	    "\"ttfb_ms\": null, \"bytes_in\": 85000, \"bytes_out\": 5, \"prompt_tokens\": 10, "
	    "\"completion_tokens\": null, \"cached_tokens\": null, \"rotation_index\": 7, "
	    "\"eligible\": [\"alpha\", \"beta\"], \"passed\": 0, \"attempts\": ["
	    "{\"label\": \"beta\", \"account\": \"work\", \"choice\": \"turn\", \"status\": null, \"verdict\": \"server\", \"ms\": 3}, "
	    "{\"label\": \"alpha\", \"account\": \"home\", \"choice\": \"other_account\", \"status\": 429, \"verdict\": \"rate\", \"ms\": 1200}], "
	    "\"prompt_hint\": \"say \\\"hi\\\"\\n\", \"prompt_head\": \"say\", \"dry_run\": false, \"check\": \"ff20eb5840c919cf\"}\n");
	buf_reset(&b);
	c.trace_prompts = false;
	trace_format(&t, &c, &b);
	CHECK(!strstr(b.p, "prompt_h"));
	trace_free(&t);
	buf_reset(&b);
	c.trace_prompts = true;
	t = (struct trace_record){ .rotation_index = -1, .passed = -1, .dry_run = true, .error_code = "client_gone" };
	trace_format(&t, &c, &b);
	CHECK(strstr(b.p, "\"key_label\": null, \"key_hash\": null, \"account\": null, \"status\": null, "
	    "\"error_code\": \"client_gone\""));
	CHECK(strstr(b.p, "\"rotation_index\": null, \"eligible\": null, \"passed\": null, \"attempts\": [], \"prompt_hint\": null, "
	    "\"prompt_head\": null, \"dry_run\": true, \"check\": \""));
	buf_free(&b);
	free(c.state_dir);
}

/* Whatever bytes a client sends, the line is one line of JSON. */
static void
hostile_bytes(void)
{
	struct config c = config_in("none");
	struct buf b = BUF(TRACE_LINE_MAX), path = BUF(100000);
	struct trace_record t = sample();
	struct json j;

	for (int i = 0; i < 60000; i++)
		buf_putc(&path, (char)(i % 256));
	t.endpoint = t.method = t.model = t.prompt_hint = buf_view(&path);
	t.model.n = t.prompt_hint.n = 300;
	for (int i = 0; i < 100; i++)
		trace_attempt_add(&t, "x", "x", "a choice and more", 500 + i % 50, "server and a word too long", 1);
	trace_attempt_add(&t, "last", "last", "again", 200, "ok", 1);
	trace_format(&t, &c, &b);
	CHECK(!buf_bad(&b));
	CHECK(memchr(b.p, '\n', b.n) == b.p + b.n - 1);
	CHECK(b.n < 16384);
	CHECK(str_utf8(buf_view(&b)));
	CHECK_INT(json_parse(&j, buf_view(&b), NULL), 0);
	CHECK_INT(json_size(&j, json_get(&j, 0, "attempts")), TRACE_ATTEMPTS_MAX);
	CHECK(json_is(&j, json_get(&j, json_at(&j, json_get(&j, 0, "attempts"), TRACE_ATTEMPTS_MAX - 1), "label"),
	    "last"));
	json_free(&j);
	trace_free(&t);
	buf_free(&b);
	buf_free(&path);
	free(c.state_dir);
}

static void
read_back(void)
{
	struct config c = config_in("none");
	struct trace_record t = sample();
	struct buf b = BUF(TRACE_LINE_MAX);
	struct trace_line l;

	trace_format(&t, &c, &b);
	CHECK_INT(trace_read_line(&l, buf_view(&b), NULL), 0);
	CHECK_INT(l.ended, t.ended);
	CHECK_STR(l.request_id, t.request_id);
	CHECK_STR(l.method, "POST");
	CHECK_STR(l.endpoint, "/chat/completions");
	CHECK_STR(l.model, "kimi-k2");
	CHECK_STR(l.session, "abcdefabcdef");
	CHECK(l.stream && !l.dry_run);
	CHECK_STR(l.key_label, "alpha");
	CHECK_STR(l.key_hash, "0011aabbccdd");
	CHECK_STR(l.account, "home");
	CHECK_INT(l.status, 429);
	CHECK_STR(l.error_code, "429");
	CHECK_INT(l.latency_ms, 1234);
	CHECK_INT(l.wait_ms, 0);
	CHECK_INT(l.connect_ms, 12);
	CHECK_INT(l.ttfb_ms, -1);
	CHECK_INT(l.bytes_in, 85000);
	CHECK_INT(l.bytes_out, 5);
	CHECK_INT(l.prompt_tokens, 10);
	CHECK_INT(l.completion_tokens, -1);
	CHECK_INT(l.cached_tokens, -1);
	CHECK_INT(l.rotation_index, 7);
	CHECK_INT(l.passed, 0);
	CHECK_STR(l.attempts[1].account, "home");
	CHECK_STR(l.attempts[1].choice, "other_account");
	CHECK_INT(trace_line_intact(&l), 1);
	free(l.eligible.labels[0]);
	l.eligible.labels[0] = strdup("gamma");
	CHECK_INT(trace_line_intact(&l), 0);
	CHECK_INT(l.eligible.count, 2);
	CHECK(l.eligible.labels && strcmp(l.eligible.labels[1], "beta") == 0 && !l.eligible.labels[2] && !l.eligible.set);
	CHECK_INT(l.attempt_count, 2);
	CHECK(strcmp(l.attempts[0].label, "beta") == 0 && l.attempts[0].status == 0 && l.attempts[0].ms == 3);
	CHECK_STR(l.attempts[1].verdict, "rate");
	CHECK_STR(l.prompt_hint, "say \"hi\"\n");
	CHECK_STR(l.prompt_head, "say");
	trace_line_free(&l);

	/* Half a line, as a crash leaves it, at every length. */
	for (size_t n = 0; n < b.n - 2; n++)
		if (trace_read_line(&l, str_sub(buf_view(&b), 0, n), NULL) == 0)
			CHECK_NAMED(0, "half a line was taken for a whole one");
	trace_free(&t);
	buf_free(&b);
	free(c.state_dir);
}

/* Lines of the Python tool, of a later kmi, and of nobody. */
static void
foreign_lines(void)
{
	struct trace_line l;

	CHECK_INT(trace_read_line(&l, STR("{\"ts\": \"2026-02-02 15:30:00 +0300\", \"key_label\": \"a\", \"status\": 200, "
	    "\"latency_ms\": 12.75, \"error_code\": null, \"later\": {\"x\": [1]}}\r\n"), NULL), 0);
	CHECK_STR(l.key_label, "a");
	CHECK_INT(l.latency_ms, 12);
	CHECK_INT(l.rotation_index, -1);
	CHECK(!l.error_code && !l.eligible.labels && !l.attempts && !l.model);
	trace_line_free(&l);
	CHECK_INT(trace_read_line(&l, STR("{\"ts\": \"2026-02-02T12:30:00Z\", \"key_label\": 5, \"status\": \"200\", "
	    "\"stream\": 1, \"eligible\": 7, \"attempts\": [1, null, {\"status\": 99999}], \"model\": \"a\\u0000b\", "
	    "\"bytes_in\": -4, \"bytes_out\": 1e300}"), NULL), 0);
	CHECK_INT(l.ended, 1770035400);
	CHECK(!l.key_label && l.status == -1 && !l.stream && l.eligible.count == 0 && l.attempt_count == 3);
	CHECK(!l.model && l.bytes_in == -1 && l.bytes_out == -1);
	trace_line_free(&l);
	CHECK_INT(trace_read_line(&l, STR("{\"ts\": \"2026-02-02T12:30:00Z\", \"eligible\": {\"count\": 900, \"set\": \"ab\"}}"),
	    NULL), 0);
	CHECK_STR(l.eligible.set, "ab");
	CHECK_INT(l.eligible.count, 900);
	trace_line_free(&l);
	CHECK_INT(trace_read_line(&l, STR(""), NULL), -1);
	CHECK_INT(trace_read_line(&l, STR("\n"), NULL), -1);
	CHECK_INT(trace_read_line(&l, STR("[]"), NULL), -1);
	CHECK_INT(trace_read_line(&l, STR("{}"), NULL), -1);
	CHECK_INT(trace_read_line(&l, STR("{\"ts\": \"yesterday\"}"), NULL), -1);
	CHECK_INT(trace_read_line(&l, STR("{\"ts\": \"2026-02-02T12:30:00Z\", \"eligible\": [1]}"), NULL), -1);
}

/* Lines of a file; -1 when one of them cannot be read. */
static int
count_lines(const char *path)
{
	struct buf text = BUF(0);
	int n = 0;

	if (file_read(path, 64 << 20, &text, NULL, NULL) == 0) {
		struct str rest = buf_view(&text);

		while (rest.n) {
			struct trace_line l;

			if (trace_read_line(&l, str_cut(&rest, '\n'), NULL) < 0) {
				n = -1;
				break;
			}
			trace_line_free(&l);
			n++;
		}
	}
	buf_free(&text);
	return n;
}

static void
folder_and_modes(void)
{
	struct config c = config_in("new/state");
	struct trace_record t = sample();
	char *path = file_join(c.state_dir, "trace/trace.jsonl"), *file;
	struct fail f = { 0 };
	struct stat st;

	CHECK_INT(trace_write(&t, &c, &f), 0);
	CHECK_INT(trace_write(&t, &c, &f), 0);
	CHECK_INT(count_lines(path), 2);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	/* Something that is no folder stands in the way (permissions would not stop root). */
	file = c.state_dir;
	c.state_dir = path;
	CHECK_INT(trace_write(&t, &c, &f), -1);
	CHECK(f.kind == FAIL_SYSTEM && strstr(f.text, "trace.jsonl"));
	c.state_dir = file;
	unlink(path);
	CHECK(symlink("/dev/full", path) == 0);
	f = (struct fail){ 0 };
	CHECK_INT(trace_write(&t, &c, &f), -1);
	CHECK(strstr(f.text, strerror(ENOSPC)));
	unlink(path);
	CHECK(mkfifo(path, 0600) == 0);
	CHECK_INT(trace_write(&t, &c, &f), -1);		/* and does not hang */
	trace_free(&t);
	free(path);
	free(c.state_dir);
}

/* The file is kept open; when somebody takes it away the lines must not go with it. */
static void
taken_away(void)
{
	struct config c = config_in("moved");
	struct trace_record t = sample();
	char *folder = file_join(c.state_dir, "trace"), *path = file_join(folder, "trace.jsonl");
	char *aside = file_join(dir, "aside");

	CHECK_INT(trace_write(&t, &c, NULL), 0);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(trace_write(&t, &c, NULL), 0);
	CHECK_INT(count_lines(path), 1);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(rmdir(folder), 0);
	CHECK_INT(trace_write(&t, &c, NULL), 0);
	CHECK_INT(count_lines(path), 1);
	CHECK_INT(truncate(path, 0), 0);
	CHECK_INT(trace_write(&t, &c, NULL), 0);
	CHECK_INT(count_lines(path), 1);
	CHECK_INT(rename(path, aside), 0);
	usleep(1100000);
	CHECK_INT(trace_write(&t, &c, NULL), 0);
	CHECK_INT(count_lines(path), 1);
	CHECK_INT(count_lines(aside), 1);
	trace_free(&t);
	free(aside);
	free(path);
	free(folder);
	free(c.state_dir);
}

/* The disk fills up in the middle of a line. */
static void
full_disk(void)
{
	struct config c = config_in("full");
	struct trace_record t = sample();
	char *path = file_join(c.state_dir, "trace/trace.jsonl");
	struct rlimit old, tight;
	struct fail f = { 0 };
	struct buf text = BUF(0);
	struct trace_line l;
	struct str rest;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	CHECK_INT(trace_write(&t, &c, &f), 0);
	tight = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &tight);
	CHECK_INT(trace_write(&t, &c, &f), -1);
	CHECK_INT(trace_write(&t, &c, &f), -1);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_INT(trace_write(&t, &c, &f), 0);
	CHECK_INT(trace_write(&t, &c, &f), 0);
	CHECK_INT(file_read(path, 1 << 20, &text, NULL, &f), 0);
	rest = buf_view(&text);
	for (int i = 0; i < 4; i++) {
		int rc = trace_read_line(&l, str_cut(&rest, '\n'), NULL);

		CHECK_INT(rc, i == 1 ? -1 : 0);		/* the second is the half one */
		if (rc == 0)
			trace_line_free(&l);
	}
	CHECK_INT(rest.n, 0);
	buf_free(&text);
	trace_free(&t);
	free(path);
	free(c.state_dir);
}

/* Eight processes, a limit of some dozen lines: every line is there once, whole, somewhere. */
static void
rotation_under_load(long long limit, int backups, const char *name)
{
	enum { WRITERS = 8, LINES = 2000 };
	char *path = file_join(dir, name), backup[4096], seen[WRITERS][LINES] = { { 0 } };
	int lost = 0, doubled = 0, torn = 0, files = 0, early = 0;

	for (int w = 0; w < WRITERS; w++) {
		if (fork() == 0) {
			struct file_lines kept = { .path = NULL };
			char line[512];

			for (int i = 0; i < LINES; i++) {
				int n = snprintf(line, sizeof(line), "{\"writer\": %d, \"line\": %d, \"pad\": \"%0*d\"}\n",
				    w, i, 20 + (i * 7 + w * 13) % 300, 0);

				struct str text = { line, (size_t)n };

				/* Half of them keep the file open, half do not. */
				if ((w % 2 ? file_append_line(path, text, limit, backups, NULL) :
				    file_lines_add(&kept, path, text, limit, backups, NULL)) < 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	for (int status; wait(&status) > 0;)
		CHECK_INT(status, 0);
	for (int i = 0; i <= backups; i++) {
		struct buf text = BUF(0);
		struct str rest;

		snprintf(backup, sizeof(backup), i ? "%s.%d" : "%s", path, i);
		if (file_read(backup, 64 << 20, &text, NULL, NULL) == 0)
			files++;
		early += i > 0 && text.n > 0 && text.n < (size_t)limit;
		for (rest = buf_view(&text); rest.n;) {
			struct str line = str_cut(&rest, '\n');
			long long w = -1, n = -1;
			struct json j;

			if (json_parse(&j, line, NULL) < 0) {
				torn++;
				continue;
			}
			json_int(&j, json_get(&j, 0, "writer"), &w);
			json_int(&j, json_get(&j, 0, "line"), &n);
			if (w < 0 || w >= WRITERS || n < 0 || n >= LINES)
				torn++;
			else
				doubled += seen[w][n]++ > 0;
			json_free(&j);
		}
		buf_free(&text);
	}
	for (int w = 0; w < WRITERS; w++)
		for (int i = 0; i < LINES; i++)
			lost += !seen[w][i];
	CHECK_INT(torn, 0);
	CHECK_INT(doubled, 0);
	CHECK_INT(lost, 0);
	CHECK_INT(early, 0);	/* none was moved away before it was full */
	CHECK(files > 5);
	free(path);
}

/* Few backups: what is left is whole, and the newest line is among it. */
static void
few_backups(int backups, const char *name)
{
	char *path = file_join(dir, name), line[64], beyond[4096];
	struct buf text = BUF(0);

	for (int i = 0; i < 100; i++) {
		int n = snprintf(line, sizeof(line), "{\"line\": %d}\n", i);

		file_append_line(path, (struct str){ line, (size_t)n }, 64, backups, NULL);
	}
	snprintf(beyond, sizeof(beyond), "%s.%d", path, backups + 1);
	CHECK(access(beyond, F_OK) < 0);
	snprintf(beyond, sizeof(beyond), "%s.%d", path, backups);
	CHECK(backups == 0 || access(beyond, F_OK) == 0);
	CHECK(file_append_line(path, STR("{\"line\": 100}\n"), 64, backups, NULL) == 0);
	CHECK(file_read(path, 4096, &text, NULL, NULL) == 0 && strstr(text.p, "{\"line\": 100}\n"));
	buf_free(&text);
	free(path);
}

/* Writers that are killed in mid-line: what follows is never glued to what they left. */
static void
killed_writers(void)
{
	char *path = file_join(dir, "killed"), *big = malloc(300000);
	struct buf text = BUF(0);
	struct str rest;
	int whole = 0, marks = 0;

	memset(big, 'x', 300000);
	big[0] = '<';
	big[299998] = '>';
	big[299999] = '\n';
	for (int round = 0; round < 60; round++) {
		pid_t pid = fork();

		if (pid == 0)
			for (;;)
				file_append_line(path, (struct str){ big, 300000 }, 0, 0, NULL);
		usleep(500 + (useconds_t)round * 37);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		file_append_line(path, STR("mark\n"), 0, 0, NULL);
		if (round % 10 == 9) {
			CHECK_INT(file_read(path, 1 << 30, &text, NULL, NULL), 0);
			for (rest = buf_view(&text); rest.n;) {
				struct str line = str_cut(&rest, '\n');

				marks += str_is(line, "mark");
				whole += line.n == 299999;
				if (line.n > 299999)
					CHECK_NAMED(0, "two lines are glued together");
			}
			buf_free(&text);
			unlink(path);
		}
	}
	CHECK_INT(marks, 60);
	CHECK(whole > 0);
	free(big);
	free(path);
}

/* What the strategies go by is in the line, read back, and part of its sum. */
static void
strategies(void)
{
	static const char *const labels[] = { "a", "b", "c" }, *const accounts[] = { "x", "y", "x" };
	static const int left[] = { 80, 80, -1 };
	static const struct {
		struct index_among among;
		const char *text;
	} situations[] = {
		{ { labels, NULL, NULL, 3 }, "[\"a\", \"b\", \"c\"]" },
		{ { labels, labels, NULL, 3 }, "[\"a\", \"b\", \"c\"]" },
		{ { labels, accounts, NULL, 3 }, "[\"a\", \"b\", \"c\"], \"accounts\": [\"x\", \"y\", \"x\"]" },
		{ { labels, NULL, left, 3 }, "[\"a\", \"b\", \"c\"], \"quota\": [[80, 2], [null, 1]]" },
		{ { labels, NULL, left, 0 }, "[], \"quota\": []" },
	};
	struct config c = config_in("none");

	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		struct buf text = BUF(4096), line = BUF(TRACE_LINE_MAX);
		struct trace_record t = sample();
		struct trace_line l;

		CHECK_INT(trace_among(&c, &situations[i].among, &text, NULL), 0);
		CHECK_STR(text.p, situations[i].text);
		t.eligible = buf_view(&text);
		t.manual = i == 0;
		t.active_place = 2;
		t.active = i == 0 ? "b" : NULL;
		strcpy(t.conversation, i == 2 ? "0123456789ab" : "");
		trace_format(&t, &c, &line);
		CHECK_INT(trace_read_line(&l, buf_view(&line), NULL), 0);
		CHECK_INT(trace_line_intact(&l), 1);
		CHECK_INT(l.active_place, i == 0 ? 2 : -1);
		CHECK((i == 0) == (l.active && strcmp(l.active, "b") == 0));
		CHECK((i == 2) == (l.conversation && strcmp(l.conversation, "0123456789ab") == 0));
		CHECK((i == 2) == (l.accounts.count == 3));
		if (i == 3) {
			CHECK(l.quota_count == 2 && l.quota[0].left == 80 && l.quota[0].keys == 2 && l.quota[1].left == -1);
			l.quota[1].keys = 2;
			CHECK_INT(trace_line_intact(&l), 0);
		}
		if (i == 0) {
			l.active[0] = 'c';
			CHECK_INT(trace_line_intact(&l), 0);
		}
		trace_line_free(&l);
		trace_free(&t);
		buf_free(&text);
		buf_free(&line);
	}
	free(c.state_dir);
}

static void
large_sets(void)
{
	struct config c = config_in("sets");
	static char names[1000][16];
	const char *labels[1000];
	struct buf a = BUF(4096), b = BUF(4096), both = BUF(4096), line = BUF(TRACE_LINE_MAX);
	struct trace_record t = { .rotation_index = 3 };
	struct trace_line l;
	struct trace_sets sets = { .config = &c };
	const char *accounts[1000];
	char **back = NULL, **other = NULL;
	size_t count = 0;
	struct fail f = { 0 };
	char *path;

	for (int i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof(names[i]), "key \"%d\"", i);
		labels[i] = names[i];
	}
	CHECK_INT(trace_set(&c, labels, 2, &a, &f), 0);
	CHECK_STR(a.p, "[\"key \\\"0\\\"\", \"key \\\"1\\\"\"]");
	buf_reset(&a);
	CHECK_INT(trace_set(&c, labels, 0, &a, &f), 0);
	CHECK_STR(a.p, "[]");
	buf_reset(&a);
	CHECK_INT(trace_set(&c, labels, TRACE_LIST_MAX, &a, &f), 0);
	CHECK(a.p[0] == '[');
	path = file_join(c.state_dir, "trace");
	CHECK(access(path, F_OK) < 0);	/* small sets need no file */
	free(path);
	buf_reset(&a);
	CHECK_INT(trace_set(&c, labels, 1000, &a, &f), 0);
	CHECK_INT(trace_set(&c, labels, 999, &b, &f), 0);
	CHECK(strcmp(a.p, b.p) != 0);
	t.eligible = buf_view(&a);
	trace_format(&t, &c, &line);
	CHECK_INT(trace_read_line(&l, buf_view(&line), &f), 0);
	CHECK_INT(l.eligible.count, 1000);
	CHECK_INT(trace_read_set(&c, l.eligible.set, &back, &count, &f), 0);
	CHECK_INT(count, 1000);
	CHECK_STR(back[999], "key \"999\"");
	trace_labels_free(back, count);
	trace_line_free(&l);
	CHECK_INT(trace_read_set(&c, "../../../etc/passwd", &back, &count, &f), -1);
	CHECK_INT(trace_read_set(&c, "", &back, &count, &f), -1);
	CHECK_INT(trace_read_set(&c, "0123", &back, &count, &f), -1);
	/* A line that names two sets. */
	for (int i = 0; i < 1000; i++)
		accounts[i] = i % 2 ? "odd" : "even";
	CHECK_INT(trace_among(&c, &(struct index_among){ .labels = labels, .accounts = accounts, .count = 1000 }, &both, &f), 0);
	buf_reset(&line);
	t.eligible = buf_view(&both);
	trace_format(&t, &c, &line);
	CHECK_INT(trace_read_line(&l, buf_view(&line), &f), 0);
	CHECK_INT(trace_line_intact(&l), 1);
	CHECK(trace_sets_of(&sets, &l.eligible, &back, &count) == TRACE_SET_KNOWN && count == 1000);
	CHECK(trace_sets_of(&sets, &l.accounts, &other, &count) == TRACE_SET_KNOWN && count == 1000);
	CHECK(strcmp(back[7], "key \"7\"") == 0 && strcmp(other[7], "odd") == 0);
	trace_line_free(&l);
	trace_sets_free(&sets);
	buf_free(&both);
	/* Where nothing can be written the text is good all the same. */
	free(c.state_dir);
	c.state_dir = strdup("/dev/null/nowhere");
	buf_reset(&b);
	CHECK_INT(trace_set(&c, labels, 1000, &b, &f), -1);
	CHECK_STR(b.p, a.p);
	buf_free(&a);
	buf_free(&b);
	buf_free(&line);
	free(c.state_dir);
}

int
main(void)
{
	char *clean;

	if (!mkdtemp(dir))
		return 1;
	clock_set_zone("+03:00");
	line_as_documented();
	hostile_bytes();
	read_back();
	foreign_lines();
	folder_and_modes();
	taken_away();
	full_disk();
	rotation_under_load(32768, 400, "many");
	rotation_under_load(2000, 4000, "tiny");
	few_backups(3, "three");
	few_backups(1, "one");
	few_backups(0, "none");
	killed_writers();
	strategies();
	large_sets();
	if (asprintf(&clean, "rm -rf %s", dir) > 0 && system(clean) == 0)
		free(clean);
	return check_done();
}
