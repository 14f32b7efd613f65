#include "keys/rank.h"

bool
rank_is_fit(const struct choose_key *key, const struct choose_fit *fit)
{
	return !key->disabled && !fit->lock && fit->fitness <= FIT_WARN;
}

int
rank_error_rate(const struct choose_key *key)
{
	const struct state_counts *c = key->books ? &key->books->counts : NULL;
	double errors;

	if (!c || c->request_count <= 0)
		return 0;
	errors = (double)c->error_401 + (double)c->error_403 + (double)c->error_429 + (double)c->error_5xx;
	errors = 100 * errors / (double)c->request_count;
	return errors > 100 ? 100 : (int)(errors + 0.5);
}

struct pool {
	const struct choose_key *keys;
	const struct choose_fit *fit;
};

/* Below 0: a is better. What decided goes to *why. */
static int
compare(const struct pool *p, size_t a, size_t b, enum rank_why *why)
{
	*why = RANK_STATUS;
	if (p->fit[a].fitness != p->fit[b].fitness)
		return p->fit[a].fitness < p->fit[b].fitness ? -1 : 1;
	*why = RANK_QUOTA;
	if (p->keys[a].usage_left != p->keys[b].usage_left)
		return p->keys[a].usage_left > p->keys[b].usage_left ? -1 : 1;
	*why = RANK_ERRORS;
	if (rank_error_rate(&p->keys[a]) != rank_error_rate(&p->keys[b]))
		return rank_error_rate(&p->keys[a]) < rank_error_rate(&p->keys[b]) ? -1 : 1;
	*why = RANK_TIE;
	return 0;
}

/* The best of those fit, going round the pool from `first`; `but` is passed over. `count` when there is none. */
static size_t
best_from(const struct pool *p, size_t count, size_t first, size_t but)
{
	size_t best = count;
	enum rank_why why;

	for (size_t step = 0; step < count; step++) {
		size_t i = (first + step) % count;

		if (i != but && rank_is_fit(&p->keys[i], &p->fit[i]) && (best == count || compare(p, i, best, &why) < 0))
			best = i;
	}
	return best;
}

void
rank_choose(const struct choose_key *keys, const struct choose_fit *fit, size_t count, size_t current, bool on_tie,
    struct rank *out)
{
	struct pool p = { keys, fit };
	bool current_fit = current < count && rank_is_fit(&keys[current], &fit[current]);
	size_t other = count ? best_from(&p, count, current < count ? current + 1 : 0, current) : 0;
	int order;

	*out = (struct rank){ .chosen = current, .against = current, .why = RANK_NOBODY };
	if (other == count) {
		out->why = current_fit ? RANK_ONLY : RANK_NOBODY;
		return;
	}
	out->against = other;
	if (!current_fit) {
		*out = (struct rank){ .chosen = other, .against = current };
		out->why = current < count ? RANK_CURRENT_UNFIT : RANK_CURRENT_GONE;
		return;
	}
	order = compare(&p, other, current, &out->why);
	if (order < 0 || (order == 0 && on_tie)) {
		out->chosen = other;
		out->against = current;
	}
	if (order == 0 && on_tie)
		out->why = RANK_TURN;
}
