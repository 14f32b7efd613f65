#include "keys/state.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/state_layout.h"

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
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
	CHECK_INT(k->counts.last_error, 1769817600);	/* the older tool does not tell: at its last use, at the latest */
	k->counts.last_error = 0;			/* unlocked */
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
	CHECK(state_find(&st, "anna")->offset > 0 && state_find(&st, "anna")->counts.last_error == 0);
	state_free(&st);
	finish(&sf);
}

static void
change(void)
{
	struct state_change ch;
	struct state_file other;

	CHECK(state_begin(&ch, dir, &f) == 0);
	ch.state.head.active_index = 5;
	CHECK(state_open(&other, dir, &f) == 0);
	CHECK(state_lock(&other, 0, &f) < 0 && f.kind == FAIL_BUSY);
	CHECK(state_commit(&ch, true, &f) == 0);
	CHECK(state_lock(&other, 0, &f) == 0);
	finish(&other);
	CHECK(state_begin(&ch, dir, &f) == 0 && ch.state.head.active_index == 5);
	ch.state.head.active_index = 6;
	state_abort(&ch);
	CHECK(state_begin(&ch, dir, &f) == 0 && ch.state.head.active_index == 5);
	state_abort(&ch);
	CHECK(state_begin(&ch, "/dev/null/none", &f) < 0);
}

int
main(void)
{
	char clear[100];

	if (!mkdtemp(dir))
		return 1;
	long_and_quick();
	older_tool();
	change();
	snprintf(clear, sizeof(clear), "rm -rf %s", dir);
	CHECK(system(clear) == 0);
	return check_done();
}
