#include "keys/choose.h"

#include "base/text.h"
#include "keys/lock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HALF_LIFE_SECONDS 300
#define RECENT_SECONDS (2 * HALF_LIFE_SECONDS)
#define ERROR_RATE_WARN 0.05
#define LEFT_WARN_PERCENT 20
#define PROBE_SECONDS 5

/* What bars a key or an account: one lock stands for all, but the last of them ends it. */
struct bar {
	const char *account;
	const struct lock *lock;
	time_t lock_until, until;
	bool blocked, may_probe;
};

struct bars {
	struct bar *list;
	size_t count, room;
};

const char *
fitness_name(enum fitness f)
{
	switch (f) {
	case FIT_HEALTHY:
		return N_("healthy");
	case FIT_WARN:
		return N_("warn");
	case FIT_EXHAUSTED:
		return N_("exhausted");
	case FIT_BLOCKED:
		return N_("blocked");
	case FIT_DISABLED:
		return N_("disabled");
	}
	return N_("unknown");
}

/* ---- locks */

static struct bar
bar_of(const char *account, const struct lock *l, bool blocked, time_t now)
{
	time_t end = lock_end(l, now);

	return (struct bar){
		.account = account,
		.lock = l,
		.lock_until = end,
		.until = end,
		.blocked = blocked,
		.may_probe = lock_may_probe(l),
	};
}

static void
bar_merge(struct bar *into, const struct bar *b)
{
	if (b->until == 0)
		return;
	if (into->until == 0) {
		*into = *b;
		return;
	}
	if (b->blocked > into->blocked || (b->blocked == into->blocked && b->lock_until > into->lock_until)) {
		into->lock = b->lock;
		into->lock_until = b->lock_until;
		into->blocked = b->blocked;
	}
	if (b->until > into->until)
		into->until = b->until;
	into->may_probe &= b->may_probe;
}

static int
by_account(const void *a, const void *b)
{
	const struct bar *x = a, *y = b;

	return strcmp(x->account, y->account);
}

static int
bars_add(struct bars *b, struct bar bar)
{
	if (b->count == b->room) {
		size_t room = b->room ? 2 * b->room : 16;
		struct bar *list = realloc(b->list, room * sizeof(*list));

		if (!list)
			return -1;
		b->list = list;
		b->room = room;
	}
	b->list[b->count++] = bar;
	return 0;
}

/* One bar an account, in order, so that a key finds its own by halving. Most of the time there is none at all. */
static void
bars_join(struct bars *b)
{
	size_t last = 0;

	if (b->count == 0)
		return;
	qsort(b->list, b->count, sizeof(*b->list), by_account);
	for (size_t i = 1; i < b->count; i++) {
		if (strcmp(b->list[i].account, b->list[last].account) == 0)
			bar_merge(&b->list[last], &b->list[i]);
		else
			b->list[++last] = b->list[i];
	}
	b->count = last + 1;
}

static const struct bar *
bars_find(const struct bars *b, const char *account)
{
	struct bar wanted = { .account = account };

	return b->count ? bsearch(&wanted, b->list, b->count, sizeof(*b->list), by_account) : NULL;
}

/* The locks that each account shares. Out of memory a lock bars its own key alone: better than no answer. */
static void
bars_collect(struct bars *b, const struct choose_key *keys, size_t count, time_t now)
{
	for (size_t i = 0; i < count; i++) {
		const struct state_key *k = keys[i].books;

		if (!k)
			continue;
		if (k->exhausted.until && lock_whole_account(&k->exhausted) && lock_end(&k->exhausted, now))
			(void)bars_add(b, bar_of(keys[i].account, &k->exhausted, false, now));
		if (k->blocked.until && lock_whole_account(&k->blocked) && lock_end(&k->blocked, now))
			(void)bars_add(b, bar_of(keys[i].account, &k->blocked, true, now));
	}
	bars_join(b);
}

static struct bar
key_bar(const struct choose_key *key, const struct bars *accounts, time_t now)
{
	const struct bar *shared = bars_find(accounts, key->account);
	struct bar bar = { 0 }, own;

	if (key->books) {
		own = bar_of(key->account, &key->books->exhausted, false, now);
		bar_merge(&bar, &own);
		own = bar_of(key->account, &key->books->blocked, true, now);
		bar_merge(&bar, &own);
	}
	if (shared)
		bar_merge(&bar, shared);
	return bar;
}

/* ---- what is no lock but still a warning */

static time_t
error_age(const struct state_counts *c, time_t now)
{
	time_t last = c->last_error;

	/* A time to come was written before the clock was set back: as far off as it is, either way. */
	return last > now ? last - now : now - last;
}

static const char *
errors_warn(const struct state_counts *c, time_t now)
{
	long long recent = c->error_403 + c->error_429 + c->error_5xx, all = recent + c->error_401;
	time_t age = error_age(c, now);
	double weighted;

	if (all <= 0 || c->last_error == 0)
		return NULL;
	if (recent > 0 && age < RECENT_SECONDS)
		return N_("recent errors");
	weighted = (double)all * exp2(-(double)age / HALF_LIFE_SECONDS);
	if (weighted >= ERROR_RATE_WARN * (double)(c->request_count > all ? c->request_count : all))
		return N_("many errors");
	return NULL;
}

int
choose_left(const struct choose_key *key, time_t now)
{
	if (!key->usage_seen || (key->usage_reset && key->usage_reset <= now))
		return -1;
	return key->usage_left;
}

static void
fit_by_figures(const struct choose_key *key, time_t now, struct choose_fit *out)
{
	const char *warning = key->books ? errors_warn(&key->books->counts, now) : NULL;
	int left = choose_left(key, now);

	out->fitness = FIT_WARN;
	if (left == 0) {
		out->fitness = FIT_BLOCKED;
		out->until = key->usage_reset;
		snprintf(out->reason, sizeof(out->reason), N_("quota used up"));
	} else if (warning) {
		snprintf(out->reason, sizeof(out->reason), "%s", warning);
	} else if (left < 0) {
		snprintf(out->reason, sizeof(out->reason), N_("usage unknown"));
	} else if (left < LEFT_WARN_PERCENT) {
		snprintf(out->reason, sizeof(out->reason), "%d %% left", left);
	} else {
		out->fitness = FIT_HEALTHY;
	}
}

void
choose_fitness(const struct choose_key *keys, size_t count, const struct config *c, time_t now, struct choose_fit *out)
{
	struct bars accounts = { 0 };

	(void)c;
	bars_collect(&accounts, keys, count, now);
	for (size_t i = 0; i < count; i++) {
		struct bar bar = key_bar(&keys[i], &accounts, now);

		out[i] = (struct choose_fit){ 0 };
		if (bar.until) {
			out[i].fitness = bar.blocked ? FIT_BLOCKED : FIT_EXHAUSTED;
			out[i].until = bar.until;
			out[i].lock = bar.lock;
			out[i].may_probe = bar.may_probe && !keys[i].disabled;
			snprintf(out[i].reason, sizeof(out[i].reason), "%s", bar.lock->reason);
		} else {
			fit_by_figures(&keys[i], now, &out[i]);
		}
		if (keys[i].disabled) {
			out[i].fitness = FIT_DISABLED;
			snprintf(out[i].reason, sizeof(out[i].reason), N_("disabled"));
		}
	}
	free(accounts.list);
}

/* ---- who can be chosen */

static bool
any_usage_seen(const struct choose_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (keys[i].usage_seen)
			return true;
	return false;
}

static bool
is_usable(const struct choose_key *key, const struct choose_fit *fit, bool strict)
{
	return !key->disabled && !fit->lock && (key->usage_seen || !strict);
}

/* The worst status that is still let in: what the configuration allows, or what there is. */
static enum fitness
worst_allowed(const struct choose_key *keys, const struct choose_fit *fit, size_t count, bool strict,
    const struct config *c)
{
	enum fitness best = FIT_DISABLED;

	for (size_t i = 0; i < count; i++)
		if (is_usable(&keys[i], &fit[i], strict) && fit[i].fitness < best)
			best = fit[i].fitness;
	if (best == FIT_HEALTHY && !c->rotate_include_warn)
		return FIT_HEALTHY;
	return best <= FIT_WARN ? FIT_WARN : FIT_DISABLED;
}

void
choose_eligible(const struct choose_key *keys, const struct choose_fit *fit, size_t count, bool automatic,
    const struct config *c, time_t now, struct choose_set *out)
{
	bool seen = any_usage_seen(keys, count);
	bool strict = c->require_usage_before_request && (seen || !c->fail_open_on_empty_cache);
	enum fitness worst = automatic && seen ? worst_allowed(keys, fit, count, strict, c) : FIT_DISABLED;

	out->count = 0;
	out->valid_until = TIME_NEVER;
	for (size_t i = 0; i < count; i++) {
		if (fit[i].until > now && fit[i].until < out->valid_until && !keys[i].disabled)
			out->valid_until = fit[i].until;
		if (is_usable(&keys[i], &fit[i], strict) && fit[i].fitness <= worst)
			out->index[out->count++] = (uint32_t)i;
	}
}

size_t
choose_turn(long long turn, size_t eligible_count)
{
	if (eligible_count == 0)
		return 0;
	/* A hand-edited file may hold any number. */
	return (size_t)((unsigned long long)turn % eligible_count);
}

size_t
choose_active(const uint32_t *eligible, size_t count, long long active_index)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if ((long long)eligible[middle] < active_index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count ? low : 0;
}

/* Stable: among equals the order of the pool stays. */
size_t
choose_by_quota(const struct choose_key *keys, time_t now, struct choose_set *set)
{
	size_t best = 1;

	for (size_t i = 1; i < set->count; i++) {
		uint32_t key = set->index[i];
		size_t at = i;

		for (; at > 0 && choose_left(&keys[set->index[at - 1]], now) < choose_left(&keys[key], now); at--)
			set->index[at] = set->index[at - 1];
		set->index[at] = key;
	}
	while (best < set->count && choose_left(&keys[set->index[best]], now) == choose_left(&keys[set->index[0]], now))
		best++;
	return set->count ? best : 0;
}

/* FNV-1a, and a mixing at its end: names that differ in their last letter alone must not weigh alike. */
uint64_t
choose_weight(const char *session, const char *name)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *session; session++)
		h = (h ^ (unsigned char)*session) * 1099511628211ULL;
	h = (h ^ 0xff) * 1099511628211ULL;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211ULL;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

void
choose_weigh(struct choose_heaviest *best, const char *session, const char *account, const char *label, size_t at)
{
	uint64_t of_account = choose_weight(session, account), of_key;

	if (of_account < best->account)
		return;
	of_key = choose_weight(session, label);
	if (of_account > best->account || of_key >= best->key)
		*best = (struct choose_heaviest){ of_account, of_key, at };
}

/* ---- when nobody can */

/* Accounts of which some key was tried in spite of its lock within the last seconds. */
static int
recently_probed(const struct choose_key *keys, size_t count, time_t now, struct bars *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct state_key *k = keys[i].books;

		/* A probe yet to come was written before the clock was set back. */
		if (!k || k->probed_at == 0 || k->probed_at > now || now - k->probed_at >= PROBE_SECONDS)
			continue;
		if (bars_add(out, (struct bar){ .account = keys[i].account }) < 0)
			return -1;
	}
	bars_join(out);
	return 0;
}

static time_t
probed_at(const struct choose_key *key)
{
	return key->books ? key->books->probed_at : 0;
}

static long
whom_to_probe(const struct choose_key *keys, const struct choose_fit *fit, size_t count, time_t now)
{
	struct bars recent = { 0 };
	long best = -1;

	if (recently_probed(keys, count, now, &recent) < 0)
		goto out;
	for (size_t i = 0; i < count; i++) {
		if (!fit[i].may_probe || keys[i].disabled || bars_find(&recent, keys[i].account))
			continue;
		if (best < 0 || fit[i].until < fit[best].until ||
		    (fit[i].until == fit[best].until && probed_at(&keys[i]) < probed_at(&keys[best])))
			best = (long)i;
	}
out:
	free(recent.list);
	return best;
}

void
choose_none(const struct choose_key *keys, const struct choose_fit *fit, size_t count, time_t now,
    struct choose_none *out)
{
	size_t enabled = 0, barred = 0;
	bool payment = false, will_end = false;

	*out = (struct choose_none){ .probe = whom_to_probe(keys, fit, count, now) };
	for (size_t i = 0; i < count; i++) {
		bool pays;

		if (keys[i].disabled)
			continue;
		enabled++;
		if (!fit[i].lock)
			continue;
		barred++;
		pays = str_starts(str_from(fit[i].lock->reason), "payment");
		payment |= pays;
		if (fit[i].until == TIME_NEVER)
			continue;
		will_end |= !pays;
		if (out->soonest == 0 || fit[i].until < out->soonest)
			out->soonest = fit[i].until;
	}
	out->status = will_end ? 429 : payment ? 402 : 503;
	if (will_end)
		out->code = "all_keys_locked";
	else if (payment)
		out->code = "payment_required";
	else if (count == 0)
		out->code = "no_keys";
	else if (enabled == 0)
		out->code = "all_keys_disabled";
	else if (barred == 0)
		out->code = "usage_unknown";
	else
		out->code = "all_keys_blocked";
}
