#include "keys/state.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/state_layout.h"

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-state.XXXXXX";
static struct fail f;

static char *
in_dir(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void
put_file(const char *text)
{
	CHECK(file_replace(in_dir("state.json"), str_from(text), false, &f) == 0);
}

static struct buf
get_file(void)
{
	struct buf b = BUF(STATE_SIZE_MAX);

	CHECK(file_read(in_dir("state.json"), STATE_SIZE_MAX, &b, NULL, &f) == 0);
	return b;
}

static bool
valid(const char *want)
{
	struct buf b = get_file();
	struct json j;
	bool good = json_parse(&j, buf_view(&b), &f) == 0;

	if (good)
		json_free(&j);
	good = good && (!want || str_find(buf_view(&b), str_from(want)) >= 0);
	if (!good)
		printf("# wanted %s in: %s# %s\n", want ? want : "", b.p ? b.p : "", f.text);
	buf_free(&b);
	return good;
}

static void
start(struct state_file *sf)
{
	unlink(in_dir("state.json"));
	CHECK(state_open(sf, dir, &f) == 0);
	CHECK(state_lock(sf, 1000, &f) == 0);
}

static void
finish(struct state_file *sf)
{
	state_unlock(sf);
	state_close(sf);
}

static void
long_and_quick(void)
{
	struct state_file sf;
	struct state_head head, next;
	struct state_counts counts, more;
	struct state st, again;
	struct state_key *k;
	char *aside;
	uint64_t epoch;

	start(&sf);
	CHECK(state_peek(&sf, &head, &f) < 0);
	CHECK(state_load(&sf, &st, &aside, &f) == 0);
	CHECK(aside == NULL && st.count == 0 && st.head.epoch == 0);
	CHECK(state_find(&st, "a") == NULL);
	CHECK(state_add(&st, "a") != NULL && state_add(&st, "b\"\\\n\xd1\x8f") != NULL);
	CHECK(state_add(&st, "a") == &st.keys[0] && st.count == 2);
	k = state_find(&st, "a");
	k->exhausted = (struct lock){ 1900000000, 1800000000, "rate_limit", SOURCE_KNOWN, "429 \"x\"" };
	k->probed_at = 1800000001;
	strcpy(k->file_tag, "abcdef012345");
	CHECK(state_save(&sf, &st, true, &f) == 0);
	epoch = st.head.epoch;
	CHECK(epoch > 1000000000000);
	CHECK(valid("\"blocked_until\": null, \"blocked_reason\": null"));

	CHECK(state_peek(&sf, &head, &f) == 0);
	CHECK(head.epoch == epoch && head.rotation_index == 0 && !head.auto_rotate);
	next = head;
	next.rotation_index = 1;
	CHECK(state_poke(&sf, &head, &next, &f) == 0);
	CHECK(state_poke(&sf, &head, &next, &f) < 0);	/* no longer what it was */
	head = next;
	next.auto_rotate = true;
	next.last_health_refresh = 1800000000;
	next.active_index = 1000;
	CHECK(state_poke(&sf, &head, &next, &f) == 0);
	CHECK(state_peek(&sf, &head, &f) == 0);
	CHECK(head.auto_rotate && head.last_health_refresh == 1800000000 && head.active_index == 1000);
	CHECK(head.epoch == epoch);

	k = state_find(&st, "b\"\\\n\xd1\x8f");
	CHECK(state_peek_key(&sf, k->offset, k->label, &counts, &f) == 0);
	CHECK(counts.last_used == 0 && counts.request_count == 0);
	more = counts;
	more.last_used = 1800000000;
	more.request_count = 1;
	CHECK(state_poke_key(&sf, k->offset, k->label, &counts, &more, &f) == 0);
	CHECK(valid("\"last_used\": \"2027-01-15T08:00:00Z\", \"request_count\": 1 "));
	CHECK(state_poke_key(&sf, k->offset, "a", &counts, &more, &f) < 0);
	CHECK(state_poke_key(&sf, k->offset + 1, k->label, &counts, &more, &f) < 0);
	CHECK(state_peek_key(&sf, 0, k->label, &counts, &f) < 0);
	CHECK(state_peek_key(&sf, 1 << 30, k->label, &counts, &f) < 0);

	CHECK(state_load(&sf, &again, &aside, &f) == 0);
	CHECK(again.count == 2 && again.keys[0].offset == st.keys[0].offset && again.keys[1].offset == st.keys[1].offset);
	CHECK(again.keys[1].counts.request_count == 1);
	CHECK_STR(again.keys[1].label, "b\"\\\n\xd1\x8f");
	k = &again.keys[0];
	CHECK(k->exhausted.until == 1900000000 && k->exhausted.set_at == 1800000000);
	CHECK(k->exhausted.source == SOURCE_KNOWN && k->probed_at == 1800000001);
	CHECK_STR(k->exhausted.reason, "rate_limit");
	CHECK_STR(k->exhausted.evidence, "429 \"x\"");
	CHECK_STR(k->file_tag, "abcdef012345");

	/* Only counts: in place. Anything else: whole. */
	again.keys[1].counts.request_count = 2;
	CHECK(state_save(&sf, &again, false, &f) == 0);
	CHECK(again.head.epoch == epoch && valid("\"request_count\": 2 "));
	again.keys[1].blocked.until = TIME_NEVER;
	CHECK(state_save(&sf, &again, false, &f) == 0);
	CHECK(again.head.epoch == epoch + 1 && valid("\"blocked_until\": \"9999-12-31T23:59:59Z\""));
	CHECK(state_peek(&sf, &head, &f) == 0 && head.epoch == epoch + 1 && head.active_index == 1000);
	state_free(&again);
	state_free(&st);
	finish(&sf);
}

/* What the older tool leaves: json.dump with indent=2, offsets, fractions, nulls, members missing. */
static void
older_tool(void)
{
	struct state_file sf;
	struct state_head head;
	struct state st;
	struct state_key *k;
	char *aside;

	start(&sf);
	put_file("{\n  \"schema_version\": 1,\n  \"active_index\": 2,\n  \"rotation_index\": null,\n"
	    "  \"auto_rotate\": true,\n  \"last_health_refresh\": \"2026-01-31T03:00:00.123456+03:00\",\n"
	    "  \"future\": {\n    \"a\": [\n      1,\n      \"x\\ny\"\n    ]\n  },\n  \"keys\": {\n"
	    "    \"anna\": {\n      \"last_used\": \"2026-01-31T00:00:00+00:00\",\n      \"request_count\": 17,\n"
	    "      \"error_401\": null,\n      \"error_403\": \"3\",\n      \"error_429\": 4,\n      \"error_5xx\": -5,\n"
	    "      \"exhausted_until\": \"2030-01-01T00:00:00Z\",\n      \"note\": \"mine\"\n    },\n"
	    "    \"boris\": {\n      \"blocked_until\": \"2030-01-01T00:00:00Z\",\n"
	    "      \"blocked_reason\": \"payment_required\"\n    },\n    \"none\": null,\n    \"empty\": {}\n  }\n}");
	CHECK(state_peek(&sf, &head, &f) < 0);
	CHECK(state_load(&sf, &st, &aside, &f) == 0);
	CHECK(!aside && st.count == 3);
	CHECK(st.head.active_index == 2 && st.head.rotation_index == 0 && st.head.auto_rotate);
	CHECK_INT(st.head.last_health_refresh, 1769817600);
	k = state_find(&st, "anna");
	CHECK(k && k->counts.last_used == 1769817600 && k->counts.request_count == 17);
	CHECK(k->counts.error_401 == 0 && k->counts.error_403 == 0 && k->counts.error_429 == 4 && k->counts.error_5xx == 0);
	CHECK(k->exhausted.until == 1893456000 && k->exhausted.source == SOURCE_STATED);
	CHECK(k->offset == 0);
	k = state_find(&st, "boris");
	CHECK(k && k->blocked.until == 1893456000 && k->blocked.source == SOURCE_GUESS);
	CHECK_STR(k->blocked.reason, "payment_required");
	CHECK(state_save(&sf, &st, false, &f) == 0);
	CHECK(valid("\"future\": {     \"a\": [       1,       \"x\\ny\"     ]   }, \"keys\""));
	CHECK(valid("\"blocked_reason\": null, \"note\": \"mine\"}"));
	CHECK(state_peek(&sf, &head, &f) == 0 && head.active_index == 2 && head.epoch == st.head.epoch);
	state_free(&st);
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && st.count == 3);
	CHECK(state_find(&st, "anna")->offset > 0);
	state_free(&st);
	finish(&sf);
}

/* The promise behind every write in place: whatever mixture a reader meets is JSON. */
static void
mixtures(void)
{
	static const long long numbers[] = { 0, 1, 5, 9, 10, 99, 100, 1000, 999999999, 1000000000 };
	static const long long times[] = { 0, 1, 1769817600, 1800000000, TIME_NEVER };
	size_t n = layout_length(&layout_key), safe = 0, bad = 0, unsafe = 0;
	struct buf b = BUF(1000);

	srandom(3);
	for (int i = 0; i < 20000; i++) {
		long long was[KEY_FIELDS], now[KEY_FIELDS], held[KEY_FIELDS];
		char old[LAYOUT_ROW_MAX], new[LAYOUT_ROW_MAX], again[LAYOUT_ROW_MAX];
		struct json j;

		for (int k = 0; k < KEY_FIELDS; k++) {
			bool time = layout_key.fields[k].kind == LAYOUT_TIME;

			was[k] = time ? times[random() % 5] : numbers[random() % 10] + random() % 3;
			now[k] = was[k];
			if (random() % 5 == 0)
				now[k] = time ? times[random() % 5] : random() % 2 ? was[k] + 1 : numbers[random() % 10];
		}
		layout_write(&layout_key, was, old);
		layout_read(&layout_key, (struct str){ old, n }, was);	/* as the fields hold them */
		memcpy(new, old, n);
		if (!layout_change(&layout_key, was, now, new)) {
			unsafe++;
			continue;
		}
		safe++;
		layout_write(&layout_key, now, again);
		bad += memcmp(new, again, n) != 0 || layout_read(&layout_key, (struct str){ new, n }, held) < 0;
		for (int m = 0; m < 5; m++) {
			buf_reset(&b);
			buf_putc(&b, '{');
			for (size_t at = 0; at < n; at++)
				buf_putc(&b, random() % 2 ? old[at] : new[at]);
			buf_putc(&b, '}');
			if (json_parse(&j, buf_view(&b), &f) < 0) {
				if (!bad++)
					printf("# %s\n", b.p);
			} else {
				json_free(&j);
			}
		}
	}
	CHECK_INT(bad, 0);
	CHECK(safe > 2000 && unsafe > 2000);
	buf_free(&b);
}

static bool
count_one(struct state_file *sf, size_t offset, const char *label)
{
	struct state_head head;
	struct state_counts was = { 0 }, now;
	bool good;

	if (state_lock(sf, 5000, &f) < 0)
		return false;
	good = state_peek(sf, &head, &f) == 0 && state_peek_key(sf, offset, label, &was, &f) == 0;
	now = was;
	now.request_count++;
	good = good && state_poke_key(sf, offset, label, &was, &now, &f) == 0;
	state_unlock(sf);
	return good;
}

/* What fork() shares, the lock must not. */
static void
forked(void)
{
	struct state_file sf;
	struct state_counts counts;
	struct state_head head;
	struct state st = { 0 };
	int status = 0, busy;
	size_t offset;
	pid_t child;

	start(&sf);
	CHECK(state_add(&st, "a") && state_save(&sf, &st, false, &f) == 0);
	offset = st.keys[0].offset;
	child = fork();
	if (child == 0) {
		/* The parent is inside: its lock is not ours. */
		busy = state_lock(&sf, 0, &f);
		_exit(busy < 0 && f.kind == FAIL_BUSY ? 0 : 1);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	child = fork();
	if (child == 0) {
		state_close(&sf);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	child = fork();
	if (child == 0)		/* nor did a child that closed its copy let go of it */
		_exit(state_lock(&sf, 0, &f) < 0 ? 0 : 1);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	state_unlock(&sf);

	for (int p = 0; p < 3; p++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < 1500; i++)
			if (!count_one(&sf, offset, "a"))
				_exit(1);
		_exit(0);
	}
	while (wait(&status) > 0)
		CHECK(status == 0);
	CHECK(state_lock(&sf, 1000, &f) == 0 && state_peek(&sf, &head, &f) == 0);
	CHECK(state_peek_key(&sf, offset, "a", &counts, &f) == 0);
	CHECK_INT(counts.request_count, 4500);
	state_free(&st);
	finish(&sf);
}

static void
stopped_holder(void)
{
	struct state_file sf;
	pid_t child;
	int ready[2], status;
	int64_t begun;
	char c;

	start(&sf);
	state_unlock(&sf);
	CHECK(pipe(ready) == 0);
	child = fork();
	if (child == 0) {
		if (state_lock(&sf, 1000, &f) == 0 && write(ready[1], "x", 1) == 1)
			raise(SIGSTOP);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	waitpid(child, &status, WUNTRACED);
	begun = clock_mono_ms();
	CHECK(state_lock(&sf, 200, &f) < 0 && f.kind == FAIL_BUSY);
	CHECK(clock_mono_ms() - begun >= 200 && clock_mono_ms() - begun < 2000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK(state_lock(&sf, 1000, &f) == 0);
	close(ready[0]);
	close(ready[1]);
	finish(&sf);
}

static void
lock_file_removed(void)
{
	struct state_file a, b;

	start(&a);
	state_unlock(&a);
	CHECK(state_open(&b, dir, &f) == 0);
	unlink(in_dir("state.json.lock"));
	CHECK(state_lock(&a, 0, &f) == 0);	/* makes a new one, and b must notice */
	CHECK(state_lock(&b, 0, &f) < 0 && f.kind == FAIL_BUSY);
	state_unlock(&a);
	CHECK(state_lock(&b, 0, &f) == 0);
	unlink(in_dir("state.json.lock"));
	state_close(&a);
	CHECK(state_open(&a, dir, &f) == 0 && state_lock(&a, 0, &f) == 0);
	state_unlock(&b);
	CHECK(state_lock(&b, 0, &f) < 0 && f.kind == FAIL_BUSY);
	state_close(&b);
	finish(&a);
}

/* As somebody who may read, and nothing else. Root may do anything, so the test steps down first. */
static int
read_only_child(const char *folder)
{
	struct state_file sf;
	struct state_head head, next;
	struct state st;
	int bad = 0;

	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 100;
	bad |= state_open(&sf, folder, &f) == 0 ? 1 : 0;
	bad |= state_lock(&sf, 1000, &f) == 0 ? 2 : 0;
	bad |= state_load(&sf, &st, NULL, &f) < 0 || st.count != 1 ? 4 : 0;
	bad |= state_peek(&sf, &head, &f) < 0 ? 8 : 0;
	next = head;
	next.rotation_index++;
	bad |= state_poke(&sf, &head, &next, &f) == 0 ? 16 : 0;
	bad |= state_save(&sf, &st, false, &f) == 0 ? 32 : 0;
	state_free(&st);
	state_unlock(&sf);
	state_close(&sf);
	return bad;
}

static void
without_a_folder(void)
{
	char folder[200], path[300];
	struct state_file sf;
	struct state_head head;
	struct state st = { 0 };
	int status;
	pid_t child;

	CHECK(state_open(&sf, "/proc/no/such", &f) < 0 && f.kind == FAIL_SYSTEM);
	CHECK(state_lock(&sf, 1000, &f) < 0 && f.kind == FAIL_SYSTEM);
	CHECK(state_peek(&sf, &head, &f) < 0);
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && st.count == 0);
	CHECK(state_save(&sf, &st, false, &f) < 0);
	state_unlock(&sf);
	state_close(&sf);

	snprintf(folder, sizeof(folder), "%s/deep/er", dir);
	CHECK(state_open(&sf, folder, &f) == 0 && state_lock(&sf, 0, &f) == 0);
	CHECK(state_add(&st, "a") && state_save(&sf, &st, false, &f) == 0);
	state_free(&st);
	snprintf(path, sizeof(path), "%s/state.json.lock", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/state.json", folder);
	CHECK(chmod(path, 0444) == 0 && chmod(folder, 0555) == 0);
	snprintf(path, sizeof(path), "%s/deep", dir);
	CHECK(chmod(path, 0755) == 0 && chmod(dir, 0755) == 0);
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(read_only_child(folder));
	waitpid(child, &status, 0);
	CHECK_INT(WEXITSTATUS(status), 0);
	chmod(folder, 0755);
	finish(&sf);
}

static bool
there(const char *name)
{
	return access(in_dir(name), F_OK) == 0;
}

/* A disk that is full after so many bytes. */
static void
disk_full(void)
{
	struct state_file sf;
	struct state st = { 0 };
	struct buf before, after;
	char label[40];
	int status;
	pid_t child;

	start(&sf);
	CHECK(state_add(&st, "a") && state_save(&sf, &st, false, &f) == 0);
	before = get_file();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		struct rlimit small = { 2000, 2000 };
		struct state_counts was = { 0 }, now = { .last_used = 1800000000 };
		struct state_head head;
		int bad;

		state_lock(&sf, 1000, &f);
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &small);
		for (int i = 0; i < 20; i++) {
			snprintf(label, sizeof(label), "key %d", i);
			state_add(&st, label);
		}
		bad = state_save(&sf, &st, true, &f) < 0 ? 0 : 1;
		small.rlim_cur = 100;
		setrlimit(RLIMIT_FSIZE, &small);
		bad |= state_peek(&sf, &head, &f) < 0 ? 2 : 0;
		bad |= state_poke_key(&sf, st.keys[0].offset, "a", &was, &now, &f) < 0 ? 0 : 4;
		_exit(bad);
	}
	state_unlock(&sf);
	waitpid(child, &status, 0);
	CHECK_INT(WEXITSTATUS(status), 0);
	after = get_file();
	CHECK(str_eq(buf_view(&before), buf_view(&after)));
	CHECK(!there("state.json.tmp"));
	buf_free(&before);
	buf_free(&after);
	state_free(&st);
	finish(&sf);
}

static void
unreadable(void)
{
	static const char *bad[] = { "", "{", "[]", "\"x\"", "null", "{\"keys\": {\"a\": {}, \"a\": {}}}", "\xff", "{} x" };
	struct state_file sf;
	struct state st;
	char *aside, *first = NULL;

	start(&sf);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put_file(bad[i]);
		CHECK(state_load(&sf, &st, &aside, &f) == 0);
		CHECK(aside && access(aside, F_OK) == 0 && !there("state.json"));
		CHECK(aside && str_find(str_from(aside), STR("state.json.corrupt.20")) > 0 && strlen(aside) == strlen(dir) + 34);
		CHECK(!first || (aside && strcmp(first, aside) != 0));
		CHECK(st.count == 0);
		if (!first)
			first = aside;
		else
			free(aside);
	}
	CHECK(first && access(first, F_OK) == 0);	/* not overwritten by those of the same second */
	free(first);
	/* A reader without the lock takes it for that; not while somebody else is inside. */
	state_unlock(&sf);
	put_file("{");
	CHECK(state_load(&sf, &st, &aside, &f) == 0 && aside && !sf.locked);
	free(aside);
	CHECK(mkdir(in_dir("state.json"), 0700) == 0);
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && !there("state.json"));
	CHECK(state_lock(&sf, 0, &f) == 0);

	put_file("{\"schema_version\": 2, \"keys\": 5}");
	CHECK(state_load(&sf, &st, &aside, &f) < 0 && f.kind == FAIL_NEWER && !aside);
	CHECK(valid("{\"schema_version\": 2, \"keys\": 5}"));
	put_file("{\"schema_version\": 1.5}");
	CHECK(state_load(&sf, &st, &aside, &f) < 0 && f.kind == FAIL_NEWER);
	put_file("{\"schema_version\": \"2\", \"keys\": [1]}");
	CHECK(state_load(&sf, &st, &aside, &f) == 0 && !aside && st.count == 0);
	state_free(&st);
	finish(&sf);
}

/* What others do to our file, and what must not escape us. */
static void
edited(void)
{
	static const char *edits[] = {
		"sed -i 's/2030-01-01/2031-01-01/' state.json",		/* same size, other inode */
		"printf ' ' >>state.json",				/* same inode, other size */
		"cp state.json x && cat x | sed 's/2030/20301/' >state.json",
		"cp state.json x && mv x state.json",
		"sed -i 's/\"epoch\"/\"epocH\"/' state.json",
		"python3 -c 'import json; d = json.load(open(\"state.json\")); json.dump(d, open(\"state.json\", \"w\"), indent=2)'",
		"truncate -s 10 state.json",
		"rm state.json",
	};

	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
		struct state_file sf;
		struct state_head head;
		struct state st = { 0 };
		char command[400];
		uint64_t epoch;

		start(&sf);
		CHECK(state_add(&st, "a") != NULL);
		st.keys[0].exhausted.until = 1893456000;
		CHECK(state_save(&sf, &st, false, &f) == 0);
		CHECK(state_peek(&sf, &head, &f) == 0);
		epoch = head.epoch;
		state_free(&st);
		snprintf(command, sizeof(command), "cd %s && %s", dir, edits[i]);
		CHECK(system(command) == 0);
		CHECK_NAMED(state_peek(&sf, &head, &f) < 0, edits[i]);
		CHECK(state_load(&sf, &st, NULL, &f) == 0 && state_save(&sf, &st, false, &f) == 0);
		CHECK(state_peek(&sf, &head, &f) == 0 && head.epoch > epoch);
		state_free(&st);
		finish(&sf);
	}
}

static void
damaged_record(void)
{
	static const char *patches[] = { "\"last_usec\": null  ", "\"last_used\": nulll ", "\"last_used\": \"2026-",
		"\"last_used\": 1     ", "\"last_used\":null   " };

	for (size_t i = 0; i < sizeof(patches) / sizeof(*patches); i++) {
		struct state_file sf;
		struct state_counts counts;
		struct state st = { 0 };
		int fd;

		start(&sf);
		CHECK(state_add(&st, "a") && state_save(&sf, &st, false, &f) == 0);
		CHECK(state_peek_key(&sf, st.keys[0].offset, "a", &counts, &f) == 0);
		fd = open(sf.path, O_WRONLY);
		CHECK(pwrite(fd, patches[i], strlen(patches[i]), (off_t)st.keys[0].offset + 6) > 0);
		close(fd);
		CHECK(state_peek_key(&sf, st.keys[0].offset, "a", &counts, &f) < 0);
		CHECK(state_poke_key(&sf, st.keys[0].offset, "a", &counts, &counts, &f) < 0);
		state_free(&st);
		finish(&sf);
	}
}

static void
odd_labels(void)
{
	char control[256], longest[2001];
	const char *labels[] = { "", "\"", "\\", "\n\r\t\b\f\x7f\x01", "\xd0\xb0\xd0\xbd\xd0\xbd\xd0\xb0", "\xf0\x9f\x94\x91", "a\": {\"last_used",
		"keys", "{", control, longest };
	struct state_file sf;
	struct state_counts counts, more;
	struct state_head head;
	struct state st = { 0 };

	memset(control, 1, 255);
	control[255] = '\0';
	memset(longest, 'x', 2000);
	longest[2000] = '\0';
	start(&sf);
	for (size_t i = 0; i < 11; i++)
		CHECK(state_add(&st, labels[i]) == &st.keys[i]);
	/* What is no UTF-8 shares one label, in the file and in memory. */
	CHECK(state_add(&st, "a\xff") == state_add(&st, "a\xfe") && st.count == 12);
	CHECK(state_find(&st, "a\xff") == state_find(&st, "a\xef\xbf\xbd"));
	CHECK(state_add(&st, "\xff\xf0\x9f\x94\x91\xe2\x82") && state_find(&st, "\xef\xbf\xbd\xf0\x9f\x94\x91\xef\xbf\xbd\xef\xbf\xbd"));
	CHECK(state_save(&sf, &st, false, &f) == 0);
	for (size_t i = 0; i < st.count; i++) {
		bool quick = st.keys[i].label[0] != 'x';

		CHECK(state_peek_key(&sf, st.keys[i].offset, st.keys[i].label, &counts, &f) == (quick ? 0 : -1));
		more = counts;
		more.request_count = 7;
		if (quick)
			CHECK(state_poke_key(&sf, st.keys[i].offset, st.keys[i].label, &counts, &more, &f) == 0);
	}
	CHECK(state_peek_key(&sf, st.keys[11].offset, "a\xff", &counts, &f) == 0);
	state_free(&st);
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && st.count == 13);
	for (size_t i = 0; i < 11; i++)
		CHECK_STR(st.keys[i].label, labels[i]);
	CHECK(st.keys[9].offset && st.keys[12].offset && st.keys[9].counts.request_count == 7);
	CHECK(state_peek(&sf, &head, &f) == 0);
	state_free(&st);
	/* A label with a NUL is nobody's. */
	put_file("{\"keys\": {\"a\\u0000b\": {}, \"c\": {\"\\u0000\": 1, \"q\\\"\": [\"\\ud800\"]}}, \"\\\"\\n\": {\"x\" : null}}");
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && st.count == 1);
	CHECK(state_save(&sf, &st, false, &f) == 0 && valid("\"\\u0000\": 1, \"q\\\"\": [\"\\ud800\"]}"));
	CHECK(valid(", \"\\\"\\n\": {\"x\" : null}, \"keys\""));
	state_free(&st);
	finish(&sf);
}

static void
odd_values(void)
{
	struct state_file sf;
	struct state_head head;
	struct state st;
	struct state_key *k;

	start(&sf);
	put_file("{\"epoch\": 999999999999999, \"rotation_index\": 9223372036854775807, \"active_index\": -1, \"auto_rotate\": \"yes\","
	    " \"last_health_refresh\": 5, \"keys\": {\"a\": {\"request_count\": 9000000000000000000, \"error_401\": 99999999999999999999999,"
	    " \"error_403\": 1e3, \"error_429\": true, \"error_5xx\": {}, \"last_used\": \"1969-01-01T00:00:00Z\", \"last_error\": \"soon\","
	    " \"faults\": 12, \"exhausted_until\": \"9999-12-31T23:59:59-05:00\", \"exhausted_source\": \"magic\", \"exhausted_at\": 7,"
	    " \"blocked_until\": false, \"blocked_reason\": \"\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1"
	    "\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\xd0\xb1\", \"file_tag\": [], \"blocked_by\": \"me\"}}}");
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && st.count == 1);
	k = &st.keys[0];
	CHECK(!st.head.auto_rotate && st.head.last_health_refresh == 0 && st.head.active_index == 0);
	CHECK(k->counts.error_401 == 0 && k->counts.error_403 == 0 && k->counts.error_429 == 0 && k->counts.last_used == 0);
	CHECK(k->counts.faults == 9 && k->counts.last_error == 0 && k->exhausted.until == TIME_NEVER);
	CHECK(k->exhausted.source == SOURCE_STATED && k->blocked.until == 0 && k->blocked.source == SOURCE_NONE);
	CHECK_INT(strlen(k->blocked.reason), 30);
	CHECK(state_save(&sf, &st, false, &f) == 0 && valid("\"request_count\": 999999999999, \"error_401\": 0 "));
	CHECK(valid("\"blocked_by\": \"me\"}"));
	CHECK(state_peek(&sf, &head, &f) == 0);
	CHECK_INT(head.rotation_index, 999999999999999);
	CHECK(head.epoch > 1000000000000 && head.epoch < 999999999999999);
	state_free(&st);
	finish(&sf);
}

static void
many_keys(size_t n)
{
	struct state_file sf;
	struct state_head head;
	struct state_counts was, now;
	struct state st = { 0 }, again;
	size_t row = layout_length(&layout_key), straddle = 0, bad = 0;
	int64_t begun = clock_mono_ms();
	char label[300];

	start(&sf);
	for (size_t i = 0; i < n; i++) {
		snprintf(label, sizeof(label), "key %zu %.*s", i, (int)(i * 31 % 100), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		bad += !state_add(&st, label);
	}
	CHECK(bad == 0 && st.count == n);
	CHECK(state_save(&sf, &st, false, &f) == 0);
	CHECK(state_load(&sf, &again, NULL, &f) == 0 && again.count == n);
	CHECK(state_peek(&sf, &head, &f) == 0);
	for (size_t i = 0; i < n; i++) {
		struct state_key *k = &again.keys[i];
		size_t at = k->offset + strlen(k->label) + 5;

		straddle += at / LAYOUT_PAGE != (at + row - 1) / LAYOUT_PAGE;
		bad += k->offset != st.keys[i].offset || state_find(&again, st.keys[i].label) != k;
		bad += state_peek_key(&sf, k->offset, k->label, &was, &f) < 0;
		now = was;
		now.request_count++;
		bad += state_poke_key(&sf, k->offset, k->label, &was, &now, &f) < 0;
		k->counts.request_count++;
	}
	CHECK_INT(straddle, 0);
	CHECK_INT(bad, 0);
	/* Nothing but what the pokes wrote already: in place, and not even that. */
	CHECK(state_save(&sf, &again, false, &f) == 0 && again.head.epoch == head.epoch);
	state_free(&again);
	CHECK(state_load(&sf, &again, NULL, &f) == 0 && again.count == n && again.keys[n - 1].counts.request_count == 1);
	state_free(&again);
	state_free(&st);
	finish(&sf);
	printf("# %zu keys: %lld ms\n", n, (long long)(clock_mono_ms() - begun));
	CHECK(clock_mono_ms() - begun < 10000);
}

/* A symbolic link stays one, and what a killed writer left is no obstacle. */
static void
link_and_leftover(void)
{
	struct state_file sf;
	struct state st = { 0 };
	struct stat sb;
	char target[300];

	start(&sf);
	snprintf(target, sizeof(target), "%s/elsewhere.json", dir);
	CHECK(symlink(target, in_dir("state.json")) == 0);
	CHECK(file_replace(target, STR("{}"), false, &f) == 0);
	CHECK(symlink("/etc/passwd", in_dir("elsewhere.json.tmp")) == 0);
	CHECK(state_load(&sf, &st, NULL, &f) == 0 && state_add(&st, "a") && state_save(&sf, &st, false, &f) == 0);
	CHECK(lstat(in_dir("state.json"), &sb) == 0 && S_ISLNK(sb.st_mode));
	CHECK(stat(target, &sb) == 0 && sb.st_size > 100 && (sb.st_mode & 0777) == 0600);
	CHECK(!there("elsewhere.json.tmp") && access("/etc/passwd", F_OK) == 0);
	state_free(&st);
	finish(&sf);
}

int
main(void)
{
	char clear[100];

	if (!mkdtemp(dir))
		return 1;
	long_and_quick();
	older_tool();
	mixtures();
	forked();
	stopped_holder();
	lock_file_removed();
	without_a_folder();
	disk_full();
	unreadable();
	edited();
	damaged_record();
	odd_labels();
	odd_values();
	many_keys(1000);
	many_keys(10000);
	link_and_leftover();
	snprintf(clear, sizeof(clear), "rm -rf %s", dir);
	CHECK(system(clear) == 0);
	return check_done();
}
