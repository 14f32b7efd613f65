#include "books/proof_end.h"

#include "base/file.h"
#include "books/proof.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW 100000

struct told {
	const char *label, *retried;
	time_t ended;
};

/* The books: turns, when a and b were used last (0: never). The lines, and the highest of their turns. */
static const struct situation {
	const char *name;
	int64_t next;
	time_t a, b;
	struct told lines[4];
	int64_t last_turn;
	size_t turns;
	const char *key;
	bool late, empty;
} situations[] = {
	{ "nothing at all", 0, 0, 0, { { 0 } }, -1, 0, NULL, false, false },
	{ "all told", 2, 5000, 5001, { { "a", NULL, 5001 }, { "b", NULL, 5001 } }, 1, 0, NULL, false, false },
	{ "two turns are missing", 4, 5100, 5101, { { "a", NULL, 5001 }, { "b", NULL, 5001 } }, 1, 2, "b", true, false },
	{ "two turns may still run", 4, NOW - 5, NOW - 3, { { "a", NULL, 5001 }, { "b", NULL, 5001 } }, 1, 2, "b", false, false },
	{ "no turns: b is missing", 0, 5000, 5010, { { "a", NULL, 4990 }, { "a", NULL, 5000 } }, -1, 0, "b", true, false },
	{ "no turns: b's last line is missing", 0, 5000, 5010, { { "a", NULL, 5000 }, { "b", NULL, 5001 } }, -1, 0, "b", true, false },
	{ "no turns: b may still run", 0, 5000, NOW - 1, { { "a", NULL, 5000 } }, -1, 0, "b", false, false },
	{ "b was tried for a request of a", 0, 5000, 5010, { { "a", "b", 5012 } }, -1, 0, NULL, false, false },
	{ "used before the oldest line", 0, 5000, 100, { { "a", NULL, 5000 } }, -1, 0, NULL, false, false },
	{ "the trace was emptied", 50, 5000, 5010, { { 0 } }, -1, 0, NULL, false, true },
	{ "the rotation began anew", 3, 5000, 5000, { { "a", NULL, 5000 }, { "b", NULL, 5000 } }, 40, 0, NULL, false, false },
	{ "a clock that was set back", 0, 5000, NOW + 9999, { { "a", NULL, 5000 } }, -1, 0, NULL, false, false },
	{ "turns that nobody took", 400, 0, 0, { { "a", NULL, 5000 } }, 7, 0, NULL, false, false },
	{ "a key that the books do not know", 0, 5000, 0, { { "z", NULL, 5000 }, { "a", NULL, 5001 } }, -1, 0, NULL, false, false },
};

static char dir[] = "/tmp/kmi-proof-end.XXXXXX";

static void
put_state(const struct situation *s)
{
	struct state st = { .head.rotation_index = s->next };
	struct buf text = BUF(1 << 20);
	char *path = file_join(dir, "state.json");

	state_add(&st, "a")->counts.last_used = s->a;
	state_add(&st, "b")->counts.last_used = s->b;
	state_print(&st, 0, &text);
	CHECK_INT(file_replace(path, buf_view(&text), false, NULL), 0);
	state_free(&st);
	buf_free(&text);
	free(path);
}

static void
all(void)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		const struct situation *s = &situations[i];
		struct proof_missing m;
		struct proof_end e;
		struct fail f = { 0 };

		put_state(s);
		CHECK_INT(proof_end_open(&e, dir, &f), 0);
		for (size_t n = 0; n < 4 && s->lines[n].label; n++) {
			struct trace_attempt attempt = { .label = (char *)(uintptr_t)s->lines[n].retried };
			struct trace_line l = { .key_label = (char *)(uintptr_t)s->lines[n].label, .ended = s->lines[n].ended,
				.attempts = &attempt, .attempt_count = 1 };

			proof_end_add(&e, &l);
		}
		/* Of the older tool's time nothing is asked. */
		proof_end_add(&e, &(struct trace_line){ .key_label = (char[]){ "a" }, .ended = 10 });
		proof_end_look(&e, s->last_turn, NOW, &m);
		CHECK_NAMED(m.turns == s->turns, s->name);
		CHECK_NAMED(m.late == s->late && m.empty == s->empty, s->name);
		CHECK_NAMED(s->key ? m.key && strcmp(m.key, s->key) == 0 : !m.key, s->name);
		proof_end_close(&e);
	}
}

/* Books that cannot be read miss nothing, and one is told why. */
static void
no_books(void)
{
	struct trace_line l = { .key_label = (char[]){ "a" }, .ended = 5000 };
	char *path = file_join(dir, "state.json");
	struct proof_missing m;
	struct proof_end e;
	struct fail f = { 0 };

	CHECK_INT(file_replace(path, STR("{\"keys\""), false, NULL), 0);
	CHECK_INT(proof_end_open(&e, dir, &f), -1);
	CHECK(f.text[0]);
	proof_end_add(&e, &l);
	proof_end_look(&e, 7, NOW, &m);
	CHECK(!m.turns && !m.key && !m.empty);
	proof_end_close(&e);
	unlink(path);
	CHECK_INT(proof_end_open(&e, dir, &f), 0);
	proof_end_look(&e, -1, NOW, &m);
	CHECK(!m.turns && !m.key && !m.empty);
	proof_end_close(&e);
	free(path);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	all();
	no_books();
	rmdir(dir);
	return check_done();
}
