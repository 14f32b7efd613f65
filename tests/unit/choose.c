/* choose: tables of pools, and who is chosen, or what is answered. */
#include "keys/choose.h"

#include "check.h"
#include "keys/lock.h"

#include <stdlib.h>

#define T 1790000000
#define KEYS 8

static struct config settings = { .rotation_cooldown_seconds = 300 };

/* ---- pools written as words: "label[/account] what what ..." */

struct pool {
	struct choose_key keys[KEYS];
	struct state_key books[KEYS];
	char labels[KEYS][16], accounts[KEYS][16];
	struct choose_fit fit[KEYS];
	size_t count;
};

static void
lock_of(struct lock *l, const char *reason, long seconds, enum lock_source source)
{
	*l = (struct lock){ .until = seconds < 0 ? TIME_NEVER : T + seconds, .set_at = T - 1, .source = source };
	snprintf(l->reason, sizeof(l->reason), "%s", reason);
}

static void
say(struct choose_key *key, struct state_key *k, struct str word)
{
	struct str name = str_cut(&word, '=');
	long long n = -1;

	if (word.n && str_int(word, -1000000, 1000000, &n) < 0)
		CHECK_NAMED(false, "a number in the table");
	if (str_is(name, "left")) {
		key->usage_seen = true;
		key->usage_left = (int)n;
	} else if (str_is(name, "unread")) {		/* health has an answer, but no figure in it */
		key->usage_seen = true;
		key->usage_left = -1;
	} else if (str_is(name, "reset")) {
		key->usage_reset = T + n;
	} else if (str_is(name, "disabled")) {
		key->disabled = true;
	} else if (str_is(name, "rate")) {
		lock_of(&k->exhausted, "rate_limit", n, SOURCE_STATED);
	} else if (str_is(name, "rateguess")) {
		lock_of(&k->exhausted, "rate_limit", n, SOURCE_GUESS);
	} else if (str_is(name, "quota")) {
		lock_of(&k->exhausted, "quota", n, SOURCE_KNOWN);
	} else if (str_is(name, "forbidden")) {
		lock_of(&k->exhausted, "forbidden", n, SOURCE_GUESS);
	} else if (str_is(name, "server")) {
		lock_of(&k->exhausted, "server", n, SOURCE_GUESS);
	} else if (str_is(name, "auth")) {
		lock_of(&k->blocked, "auth", -1, SOURCE_GUESS);
	} else if (str_is(name, "pay")) {
		lock_of(&k->blocked, "payment_required", n, SOURCE_GUESS);
	} else if (str_is(name, "probed")) {
		k->probed_at = T - n;
	} else if (str_is(name, "requests")) {
		k->counts.request_count = n;
	} else if (str_is(name, "e401")) {
		k->counts.error_401 = n;
	} else if (str_is(name, "e429")) {
		k->counts.error_429 = n;
	} else if (str_is(name, "ago")) {
		k->counts.last_error = T - n;
	} else if (str_is(name, "used")) {
		k->counts.last_used = T - n;
	} else {
		CHECK_NAMED(false, "a word in the table");
	}
}

static void
pool_of(struct pool *p, const char *text)
{
	struct str rest = str_from(text);

	memset(p, 0, sizeof(*p));
	for (; rest.n; p->count++) {
		struct str line = str_trim(str_cut(&rest, ';')), label, account;
		size_t i = p->count;

		account = str_cut(&line, ' ');
		label = str_cut(&account, '/');
		snprintf(p->labels[i], sizeof(p->labels[i]), "%.*s", STR_F(label));
		snprintf(p->accounts[i], sizeof(p->accounts[i]), "%.*s", STR_F(account.n ? account : label));
		p->keys[i] = (struct choose_key){ .label = p->labels[i], .account = p->accounts[i], .usage_left = -1 };
		if (!str_is(line, "new"))
			p->keys[i].books = &p->books[i];
		while (line.n && p->keys[i].books)
			say(&p->keys[i], &p->books[i], str_cut(&line, ' '));
	}
	choose_fitness(p->keys, p->count, &settings, T, p->fit);
}

/* ---- fitness */

static const struct {
	const char *pool;
	const char *want;	/* of each key: fitness, reason, end from now */
} fitness[] = {
	{ "a left=50", "healthy  0" },
	{ "a left=20", "healthy  0" },
	{ "a left=19", "warn 19 % left 0" },
	{ "a left=0", "blocked quota used up 0" },
	{ "a left=0 reset=60", "blocked quota used up 60" },
	{ "a left=0 reset=-1", "warn usage unknown 0" },	/* that window is over */
	{ "a unread", "warn usage unknown 0" },
	{ "a new", "warn usage unknown 0" },
	{ "a left=50 disabled", "disabled disabled 0" },
	{ "a left=50 disabled rate=9", "disabled disabled 9" },
	{ "a left=50 rate=9", "exhausted rate_limit 9" },
	{ "a left=50 rate=0", "healthy  0" },
	{ "a left=0 rate=9", "exhausted rate_limit 9" },	/* what an answer taught outranks a poll */
	{ "a left=50 auth", "blocked auth -1" },
	{ "a left=50 pay=9", "blocked payment_required 9" },
	{ "a left=50 pay=9 rate=60", "blocked payment_required 60" },
	{ "a left=50 auth rate=60", "blocked auth -1" },

	/* errors fade */
	{ "a left=50 requests=1000 e429=1 ago=0", "warn recent errors 0" },
	{ "a left=50 requests=1000 e429=1 ago=599", "warn recent errors 0" },
	{ "a left=50 requests=1000 e429=1 ago=600", "healthy  0" },
	{ "a left=50 requests=1000 e429=1 ago=-5", "warn recent errors 0" },
	{ "a left=50 requests=1000 e429=1 ago=-9000", "healthy  0" },
	{ "a left=50 requests=1000 e429=1 used=10", "healthy  0" },	/* unlocked since */
	{ "a left=50 requests=1000 e429=1", "healthy  0" },
	{ "a left=50 requests=10 e429=10 ago=1290", "warn many errors 0" },
	{ "a left=50 requests=10 e429=10 ago=1300", "healthy  0" },
	{ "a left=50 requests=100 e401=4 ago=1", "healthy  0" },
	{ "a left=50 requests=100 e401=6 ago=1", "warn many errors 0" },
	{ "a left=50 requests=100 e401=6 ago=300", "healthy  0" },
	{ "a left=50 requests=0 e401=1 ago=1", "warn many errors 0" },

	/* an account's keys share its locks, but for a refused key and a resting server */
	{ "a/x left=50 rate=9; b/x left=50; c left=50", "exhausted rate_limit 9; exhausted rate_limit 9; healthy  0" },
	{ "b/x left=50; a/x left=50 pay=9", "blocked payment_required 9; blocked payment_required 9" },
	{ "a/x left=50 auth; b/x left=50", "blocked auth -1; healthy  0" },
	{ "a/x left=50 server=9; b/x left=50", "exhausted server 9; healthy  0" },
	{ "a/x left=50 rate=9; b/x left=50 rate=30; c/x left=50", "exhausted rate_limit 30; exhausted rate_limit 30; exhausted rate_limit 30" },
	{ "a/x left=50 rate=90; b/x left=50 pay=30; c/x left=50 auth",
	    "blocked payment_required 90; blocked payment_required 90; blocked auth -1" },
	{ "a/x left=50 rate=9 disabled; b/x left=50", "disabled disabled 9; exhausted rate_limit 9" },
};

static void
fitness_table(void)
{
	for (size_t i = 0; i < sizeof(fitness) / sizeof(fitness[0]); i++) {
		struct pool p;
		char got[400];
		size_t n = 0;

		pool_of(&p, fitness[i].pool);
		for (size_t k = 0; k < p.count; k++)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s %s %lld", k ? "; " : "", fitness_name(p.fit[k].fitness),
			    p.fit[k].reason, p.fit[k].until == TIME_NEVER ? -1LL : p.fit[k].until ? (long long)p.fit[k].until - T : 0);
		if (!CHECK_NAMED(strcmp(got, fitness[i].want) == 0, fitness[i].pool))
			printf("# got:  %s\n# want: %s\n", got, fitness[i].want);
	}
}

/* ---- who can be chosen */

enum { MANUAL = 0, AUTO = 1, WARN = 2, STRICT = 4, OPEN = 8 };

static const struct {
	const char *pool;
	int how;
	const char *want;
	long valid;		/* seconds, -1 = no end in sight */
} eligible[] = {
	{ "", AUTO, "", -1 },
	{ "a new;b new", MANUAL, "a b", -1 },
	{ "a new;b new", AUTO, "a b", -1 },
	{ "a new;b disabled;c rate=9;d auth;e pay=5;f server=7;g", AUTO, "a g", 5 },
	{ "a new;b disabled;c rate=9;d auth;e pay=5;f server=7;g", MANUAL, "a g", 5 },
	{ "a disabled rate=9;b", MANUAL, "b", -1 },
	{ "a/x;b/x rate=9;c", AUTO, "c", 9 },

	/* health narrows, for auto alone, and only when there is any */
	{ "a left=50;b left=10;c left=0;d", AUTO, "a", -1 },
	{ "a left=50;b left=10;c left=0;d", AUTO | WARN, "a b d", -1 },
	{ "a left=50;b left=10;c left=0 reset=40;d", MANUAL, "a b c d", 40 },
	{ "a left=10;b left=0;c", AUTO, "a c", -1 },
	{ "a left=0;b left=0;c left=0 disabled", AUTO, "a b", -1 },
	{ "a left=50 rate=9;b left=0", AUTO, "b", 9 },
	{ "a left=50 requests=9 e429=1 ago=9;b left=50", AUTO, "b", -1 },
	{ "a left=50 requests=9 e429=1 ago=9;b left=50 requests=9 e429=1 ago=9", AUTO, "a b", -1 },
	{ "a requests=9 e429=1 ago=9;b", AUTO, "a b", -1 },

	/* strict */
	{ "a left=50;b", MANUAL | STRICT, "a", -1 },
	{ "a left=50 rate=3;b", MANUAL | STRICT, "", 3 },
	{ "a;b", MANUAL | STRICT, "", -1 },
	{ "a;b", AUTO | STRICT | OPEN, "a b", -1 },
	{ "a left=50;b", AUTO | STRICT | OPEN, "a", -1 },
};

static void
eligible_table(void)
{
	for (size_t i = 0; i < sizeof(eligible) / sizeof(eligible[0]); i++) {
		struct pool p;
		uint32_t index[KEYS];
		struct choose_set set = { .index = index };
		char got[100] = "";
		size_t n = 0;
		long valid;

		settings.rotate_include_warn = eligible[i].how & WARN;
		settings.require_usage_before_request = eligible[i].how & STRICT;
		settings.fail_open_on_empty_cache = eligible[i].how & OPEN;
		pool_of(&p, eligible[i].pool);
		choose_eligible(p.keys, p.fit, p.count, eligible[i].how & AUTO, &settings, T, &set);
		for (size_t k = 0; k < set.count; k++)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s", k ? " " : "", p.labels[set.index[k]]);
		valid = set.valid_until == TIME_NEVER ? -1 : (long)(set.valid_until - T);
		if (!CHECK_NAMED(strcmp(got, eligible[i].want) == 0 && valid == eligible[i].valid, eligible[i].pool))
			printf("# got:  %s, %ld\n# want: %s, %ld\n", got, valid, eligible[i].want, eligible[i].valid);
	}
}

static void
turns(void)
{
	static const uint32_t set[] = { 1, 4, 6 };

	CHECK_INT(choose_turn(0, 3), 0);
	CHECK_INT(choose_turn(5, 3), 2);
	CHECK_INT(choose_turn(7, 1), 0);
	CHECK_INT(choose_turn(7, 0), 0);
	CHECK(choose_turn(-1, 3) < 3 && choose_turn(INT64_MIN, 3) < 3);

	CHECK_INT(choose_active(set, 3, 0), 0);
	CHECK_INT(choose_active(set, 3, 1), 0);
	CHECK_INT(choose_active(set, 3, 2), 1);
	CHECK_INT(choose_active(set, 3, 4), 1);
	CHECK_INT(choose_active(set, 3, 6), 2);
	CHECK_INT(choose_active(set, 3, 7), 0);
	CHECK_INT(choose_active(set, 3, -5), 0);
	CHECK_INT(choose_active(set, 3, INT64_MAX), 0);
	CHECK_INT(choose_active(set, 0, 2), 0);
}

/* ---- when nobody can */

static const struct {
	const char *pool, *probe;
	int status;
	long soonest;		/* seconds, 0 = none */
	const char *code;
} none[] = {
	{ "", "", 503, 0, "no_keys" },
	{ "a disabled;b disabled rate=9", "", 503, 0, "all_keys_disabled" },
	{ "a;b", "", 503, 0, "usage_unknown" },			/* strict mode left them out */

	/* stated: never touched before the time */
	{ "a rate=9;b rate=5;c quota=99", "", 429, 5, "all_keys_locked" },
	{ "a rateguess=9", "", 429, 9, "all_keys_locked" },
	{ "a disabled rate=1;b rate=5", "", 429, 5, "all_keys_locked" },

	/* guesses: the soonest first, and not the same account again for five seconds */
	{ "a forbidden=90;b forbidden=50", "b", 429, 50, "all_keys_locked" },
	{ "a forbidden=90;b forbidden=50 probed=0", "a", 429, 50, "all_keys_locked" },
	{ "a forbidden=90 probed=4;b forbidden=50 probed=1", "", 429, 50, "all_keys_locked" },
	{ "a forbidden=90 probed=5;b forbidden=50 probed=1", "a", 429, 50, "all_keys_locked" },
	{ "a forbidden=90 probed=-3", "a", 429, 90, "all_keys_locked" },		/* the clock was set back */
	{ "a/x forbidden=90;b/x probed=2", "", 429, 90, "all_keys_locked" },		/* of the account, not the key */
	{ "a/x forbidden=90;b/x", "a", 429, 90, "all_keys_locked" },
	{ "a/x forbidden=90 disabled;b/x", "b", 429, 90, "all_keys_locked" },
	{ "a server=9;b rate=5", "a", 429, 5, "all_keys_locked" },
	{ "a/x server=9;b/x rate=5", "", 429, 5, "all_keys_locked" },		/* stated for its account too */
	{ "a pay=9 rate=5", "", 402, 9, "payment_required" },
	{ "a forbidden=9 disabled;b rate=5", "", 429, 5, "all_keys_locked" },

	/* payment, auth, and mixtures */
	{ "a pay=3600", "a", 402, 3600, "payment_required" },
	{ "a pay=3600 probed=1;b pay=7200 probed=1", "", 402, 3600, "payment_required" },
	{ "a pay=-1 probed=1", "", 402, 0, "payment_required" },
	{ "a auth", "a", 503, 0, "all_keys_blocked" },
	{ "a auth probed=9;b auth probed=8", "a", 503, 0, "all_keys_blocked" },
	{ "a auth probed=8;b auth probed=9", "b", 503, 0, "all_keys_blocked" },
	{ "a auth probed=1;b pay=60 probed=1", "", 402, 60, "payment_required" },
	{ "a auth;b pay=60", "b", 402, 60, "payment_required" },
	{ "a auth probed=1;b rate=60", "", 429, 60, "all_keys_locked" },
	{ "a pay=60 probed=1;b rate=90", "", 429, 60, "all_keys_locked" },
	{ "a pay=-1 probed=1;b rate=90", "", 429, 90, "all_keys_locked" },
	{ "a auth probed=1;b pay=-1 probed=1;c rate=90", "", 429, 90, "all_keys_locked" },
	{ "a auth probed=1;b", "", 503, 0, "all_keys_blocked" },
};

static void
none_table(void)
{
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct choose_none got;
		struct pool p;
		const char *probe;
		long soonest;

		pool_of(&p, none[i].pool);
		choose_none(p.keys, p.fit, p.count, T, &got);
		probe = got.probe < 0 ? "" : p.labels[got.probe];
		soonest = got.soonest ? (long)(got.soonest - T) : 0;
		if (!CHECK_NAMED(strcmp(probe, none[i].probe) == 0 && got.status == none[i].status &&
		    soonest == none[i].soonest && strcmp(got.code, none[i].code) == 0, none[i].pool))
			printf("# got:  probe \"%s\" %d %ld %s\n# want: probe \"%s\" %d %ld %s\n", probe, got.status, soonest, got.code,
			    none[i].probe, none[i].status, none[i].soonest, none[i].code);
	}
}

/* ---- ten thousand keys, however they share accounts, take no time */

static void
many(unsigned accounts)
{
	enum { N = 10000 };
	struct choose_key *keys = calloc(N, sizeof(*keys));
	struct state_key *books = calloc(N, sizeof(*books));
	struct choose_fit *fit = calloc(N, sizeof(*fit));
	char (*names)[12] = calloc(N, sizeof(*names));
	uint32_t *index = calloc(N, sizeof(*index));
	struct choose_set set = { .index = index };
	struct choose_none got;
	clock_t start;

	if (!keys || !books || !fit || !names || !index)
		exit(1);
	for (unsigned i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "a%u", i * 7919u % accounts);
		keys[i] = (struct choose_key){ .label = names[i], .account = names[i], .books = &books[i] };
		lock_of(&books[i].exhausted, "forbidden", 10 + (long)i, SOURCE_GUESS);
		books[i].probed_at = T - i % 9;
	}
	start = clock();
	choose_fitness(keys, N, &settings, T, fit);
	choose_eligible(keys, fit, N, true, &settings, T, &set);
	choose_none(keys, fit, N, T, &got);
	CHECK_NAMED(clock() - start < CLOCKS_PER_SEC / 2, "10,000 locked keys");
	CHECK_INT(set.count, 0);
	CHECK_INT(got.status, 429);
	free(keys);
	free(books);
	free(fit);
	free(names);
	free(index);
}

static void
by_quota(const char *pool, const char *order, size_t leading)
{
	uint32_t index[KEYS];
	struct choose_set set = { .index = index };
	char got[KEYS * 8] = "";
	struct pool p;

	pool_of(&p, pool);
	for (; set.count < p.count; set.count++)
		index[set.count] = (uint32_t)set.count;
	CHECK_INT(choose_by_quota(p.keys, T, &set), leading);
	for (size_t i = 0; i < set.count; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "", p.keys[index[i]].label);
	CHECK_STR(got, order);
}

static void
quotas(void)
{
	by_quota("a left=10; b left=90; c left=50", "b c a", 1);
	by_quota("a left=50; b left=90; c left=90", "b c a", 2);
	by_quota("a; b left=1; c", "b a c", 1);
	by_quota("a; b; c", "a b c", 3);
	by_quota("a left=90 reset=-5; b left=80", "b a", 1);	/* that window has ended: nobody knows */
	by_quota("", "", 0);
}

/* Sessions spread over the names, and one that goes takes only its own along. */
static void
weights(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "key1", "key2", "key3", "key4" };
	int held[8] = { 0 }, moved = 0, fewest = 10000, most = 0;

	for (int s = 0; s < 8000; s++) {
		char session[16];
		int best = 0, without = 7;

		snprintf(session, sizeof(session), "%012x", s);
		for (int i = 1; i < 8; i++)
			if (choose_weight(session, names[i]) > choose_weight(session, names[best]))
				best = i;
		for (int i = 0; i < 8; i++)
			if (i != 2 && choose_weight(session, names[i]) > choose_weight(session, names[without]))
				without = i;
		held[best]++;
		moved += best != 2 && without != best;
	}
	for (int i = 0; i < 8; i++) {
		fewest = held[i] < fewest ? held[i] : fewest;
		most = held[i] > most ? held[i] : most;
	}
	CHECK_NAMED(fewest > 850 && most < 1150, "8,000 sessions over eight names: about 1,000 each");
	CHECK_NAMED(moved == 0, "a name that goes moves nobody else's session");
}

int
main(void)
{
	quotas();
	weights();
	fitness_table();
	eligible_table();
	turns();
	none_table();
	many(1);
	many(100);
	many(10000);
	return check_done();
}
