#include "keys/rank.h"

#include "check.h"

#define KEYS_MAX 4

/* A key in a word: H healthy, W warn, E exhausted, D disabled; percent left; errors in a hundred. */
struct given {
	char standing;
	int left, errors;
};

struct situation {
	const char *what;
	struct given keys[KEYS_MAX];
	size_t count, current;
	bool on_tie;
	size_t chosen;
	enum rank_why why;
};

static const struct situation situations[] = {
	{ "nobody there", { { 0 } }, 0, 0, true, 0, RANK_NOBODY },
	{ "nobody fit", { { 'E', 50, 0 }, { 'D', 50, 0 } }, 2, 0, true, 0, RANK_NOBODY },
	{ "one alone", { { 'H', 50, 0 } }, 1, 0, true, 0, RANK_ONLY },
	{ "one left", { { 'H', 50, 0 }, { 'E', 90, 0 } }, 2, 0, true, 0, RANK_ONLY },
	{ "the current one is locked", { { 'E', 90, 0 }, { 'W', 5, 9 } }, 2, 0, true, 1, RANK_CURRENT_UNFIT },
	{ "status before quota", { { 'W', 90, 0 }, { 'H', 50, 0 } }, 2, 0, true, 1, RANK_STATUS },
	{ "status keeps it", { { 'H', 50, 0 }, { 'W', 90, 0 } }, 2, 0, true, 0, RANK_STATUS },
	{ "quota before errors", { { 'H', 50, 0 }, { 'H', 51, 9 } }, 2, 0, true, 1, RANK_QUOTA },
	{ "quota keeps it", { { 'H', 50, 9 }, { 'H', 49, 0 } }, 2, 0, true, 0, RANK_QUOTA },
	{ "known is better than unknown", { { 'W', -1, 0 }, { 'W', 3, 0 } }, 2, 0, true, 1, RANK_QUOTA },
	{ "errors at last", { { 'H', 50, 2 }, { 'H', 50, 1 } }, 2, 0, true, 1, RANK_ERRORS },
	{ "a tie stays", { { 'H', 50, 0 }, { 'H', 50, 0 } }, 2, 0, false, 0, RANK_TIE },
	{ "a tie moves on", { { 'H', 50, 0 }, { 'H', 50, 0 }, { 'H', 50, 0 } }, 3, 1, true, 2, RANK_TURN },
	{ "and round", { { 'H', 50, 0 }, { 'H', 50, 0 }, { 'H', 50, 0 } }, 3, 2, true, 0, RANK_TURN },
	{ "only to one that ties", { { 'H', 50, 0 }, { 'H', 50, 0 }, { 'W', 50, 0 } }, 3, 1, true, 0, RANK_TURN },
	{ "the best of many", { { 'H', 50, 0 }, { 'H', 80, 0 }, { 'H', 70, 0 }, { 'W', 99, 0 } }, 4, 2, true, 1, RANK_QUOTA },
	{ "a current place beyond the pool", { { 'W', 50, 0 }, { 'H', 50, 0 } }, 2, 9, true, 1, RANK_CURRENT_GONE },
	{ "and nobody fit", { { 'E', 50, 0 } }, 1, 9, true, 9, RANK_NOBODY },
	{ "and one alone", { { 'H', 50, 0 } }, 1, 1, true, 0, RANK_CURRENT_GONE },
};

static void
ask(const struct situation *s)
{
	struct choose_key keys[KEYS_MAX] = { { 0 } };
	struct choose_fit fit[KEYS_MAX] = { { 0 } };
	struct state_key books[KEYS_MAX] = { { 0 } };
	struct lock lock = { .until = 1 };
	struct rank got;

	for (size_t i = 0; i < s->count; i++) {
		char c = s->keys[i].standing;

		books[i].counts = (struct state_counts){ .request_count = 100, .error_429 = s->keys[i].errors };
		keys[i] = (struct choose_key){ .label = "k", .account = "k", .books = &books[i], .disabled = c == 'D',
			.usage_seen = s->keys[i].left >= 0, .usage_left = s->keys[i].left };
		fit[i].fitness = c == 'H' ? FIT_HEALTHY : c == 'W' ? FIT_WARN : c == 'E' ? FIT_EXHAUSTED : FIT_DISABLED;
		fit[i].lock = c == 'E' ? &lock : NULL;
	}
	rank_choose(keys, fit, s->count, s->current, s->on_tie, &got);
	CHECK_NAMED(got.chosen == s->chosen && got.why == s->why, s->what);
	if (got.chosen != s->chosen || got.why != s->why)
		printf("# chose %zu because of %d\n", got.chosen, (int)got.why);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++)
		ask(&situations[i]);
	return check_done();
}
