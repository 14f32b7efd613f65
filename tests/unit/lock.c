/* lock: what attempts do to the books, told as little stories with the time as a parameter. */
#include "keys/lock.h"

#include "check.h"

#include <stdlib.h>

#define T 1790000000

static struct judgement
told(enum verdict v, int status, time_t until, enum lock_source source, const char *reason)
{
	struct judgement j = { .verdict = v, .status = status, .until = until, .source = source };

	snprintf(j.reason, sizeof(j.reason), "%s", reason);
	snprintf(j.evidence, sizeof(j.evidence), "%d %s", status, reason);
	return j;
}

static struct judgement
ok(void)
{
	return told(VERDICT_OK, 200, 0, SOURCE_NONE, "");
}

static struct judgement
rate(time_t until, enum lock_source source)
{
	return told(VERDICT_RATE, 429, until, source, "rate_limit");
}

static struct judgement
auth(void)
{
	return told(VERDICT_AUTH, 401, TIME_NEVER, SOURCE_GUESS, "auth");
}

static struct judgement
payment(time_t until)
{
	return told(VERDICT_PAYMENT, 402, until, SOURCE_GUESS, "payment_required");
}

static struct judgement
server(void)
{
	return told(VERDICT_SERVER, 502, 0, SOURCE_NONE, "server");
}

static void
apply(struct state_key *k, struct judgement j, time_t started, time_t now)
{
	lock_apply(k, &j, started, "tag1", now);
}

static void
rest(struct state_key *k, time_t started, time_t now)
{
	struct judgement j = server();

	lock_apply(k, &j, started, "tag1", now);
	lock_rest(k, &j, started, now);
}

/* ---- when a lock ends */

static const struct {
	time_t until, set_at, now, want;
} ends[] = {
	{ 0, 0, T, 0 },
	{ T + 10, T, T, T + 10 },
	{ T + 10, T, T + 9, T + 10 },
	{ T + 10, T, T + 10, 0 },
	{ T + 10, T, T + 11, 0 },
	{ T + 10, T, T - 4, T + 6 },		/* set back by 4 s: not 14 s more, but 10 */
	{ T + 10, T, T - 10, T },
	{ T + 10, T, T - 11, 0 },		/* by more than its length: who knows */
	{ T + 10, T, 5, 0 },
	{ TIME_NEVER, T, T + 99, TIME_NEVER },
	{ TIME_NEVER, T, 5, TIME_NEVER },
	{ T + 10, 0, T - 1000, T + 10 },	/* the older tool's: its length is not known */
};

static void
lock_ends(void)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct lock l = { .until = ends[i].until, .set_at = ends[i].set_at };

		CHECK_INT(lock_end(&l, ends[i].now), ends[i].want);
	}
}

static const struct {
	const char *reason;
	enum lock_source source;
	bool account, probe;
} kinds[] = {
	{ "auth", SOURCE_GUESS, false, true },
	{ "payment_required", SOURCE_GUESS, true, true },
	{ "payment_required", SOURCE_NONE, true, true },	/* from the older tool */
	{ "forbidden", SOURCE_GUESS, true, true },
	{ "forbidden", SOURCE_STATED, true, false },
	{ "server", SOURCE_GUESS, false, true },
	{ "rate_limit", SOURCE_GUESS, true, false },
	{ "rate_limit", SOURCE_STATED, true, false },
	{ "quota", SOURCE_KNOWN, true, false },
	{ "quota", SOURCE_GUESS, true, false },
	{ "concurrency", SOURCE_GUESS, true, false },
	{ "", SOURCE_NONE, true, false },
};

static void
lock_kinds(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct lock l = { .until = T + 1, .set_at = T, .source = kinds[i].source };

		snprintf(l.reason, sizeof(l.reason), "%s", kinds[i].reason);
		CHECK_NAMED(lock_whole_account(&l) == kinds[i].account && lock_may_probe(&l) == kinds[i].probe, kinds[i].reason);
	}
}

/* ---- how a lock is set */

static void
never_shorter(void)
{
	struct state_key k = { 0 };

	apply(&k, rate(T + 60, SOURCE_STATED), T, T);
	CHECK_INT(k.exhausted.until, T + 60);
	CHECK_INT(k.exhausted.set_at, T);
	CHECK_STR(k.exhausted.reason, "rate_limit");
	CHECK_STR(k.exhausted.evidence, "429 rate_limit");
	CHECK_INT(k.exhausted.source, SOURCE_STATED);
	CHECK_STR(k.file_tag, "tag1");

	apply(&k, rate(T + 12, SOURCE_STATED), T, T + 2);	/* shorter: stays */
	CHECK_INT(k.exhausted.until, T + 60);
	CHECK_INT(k.exhausted.set_at, T);
	apply(&k, rate(T + 302, SOURCE_GUESS), T, T + 2);	/* our guess does not outlast what was stated */
	CHECK_INT(k.exhausted.until, T + 60);
	apply(&k, told(VERDICT_QUOTA, 403, T + 900, SOURCE_GUESS, "quota"), T, T + 3);	/* of something else it does */
	CHECK_INT(k.exhausted.until, T + 900);
	CHECK_INT(k.exhausted.set_at, T + 3);
	CHECK_STR(k.exhausted.reason, "quota");
	apply(&k, rate(T + 62, SOURCE_STATED), T + 2, T + 3);	/* the reason follows the lock that lasts */
	CHECK_STR(k.exhausted.reason, "quota");
	apply(&k, rate(T + 2000, SOURCE_STATED), T + 2, T + 4);	/* longer: extends */
	CHECK_INT(k.exhausted.until, T + 2000);
	CHECK_STR(k.exhausted.reason, "rate_limit");
	CHECK_INT(k.blocked.until, 0);
	CHECK_INT(k.counts.error_429, 5);
	CHECK_INT(k.counts.error_403, 1);
	CHECK_INT(k.counts.last_error, T + 4);

	apply(&k, rate(T + 2005, SOURCE_GUESS), T + 2001, T + 2001);	/* over: a new one */
	CHECK_INT(k.exhausted.until, T + 2005);
	CHECK_INT(k.exhausted.set_at, T + 2001);

	/* The clock goes back by an hour: a new lock is set by the new clock, however far off the old one seems. */
	apply(&k, rate(T - 1590, SOURCE_STATED), T - 1600, T - 1600);
	CHECK_INT(lock_end(&k.exhausted, T - 1600), T - 1590);
}

static void
two_locks(void)
{
	struct state_key k = { 0 };

	apply(&k, payment(T + 3600), T, T);
	apply(&k, rate(T + 30, SOURCE_STATED), T, T);
	CHECK_INT(k.blocked.until, T + 3600);
	CHECK_INT(k.exhausted.until, T + 30);
	apply(&k, auth(), T, T + 1);
	CHECK(k.blocked.until == TIME_NEVER);
	CHECK_STR(k.blocked.reason, "auth");
	CHECK_INT(k.counts.error_401, 1);

	/* A probe that is told to pay was let in: the key is accepted again, and it is payment that is missing. */
	k.probed_at = T + 10;
	apply(&k, payment(T + 3611), T + 10, T + 11);
	CHECK_INT(k.blocked.until, T + 3611);
	CHECK_STR(k.blocked.reason, "payment_required");
	/* One that is refused without a reason proves nothing. */
	apply(&k, auth(), T + 12, T + 12);
	apply(&k, told(VERDICT_FORBIDDEN, 403, T + 300, SOURCE_GUESS, "forbidden"), T + 20, T + 21);
	CHECK_STR(k.blocked.reason, "auth");
}

static void
not_its_fault(void)
{
	struct state_key k = { 0 };

	apply(&k, told(VERDICT_REQUEST, 403, 0, SOURCE_NONE, "request"), T, T);
	apply(&k, told(VERDICT_REQUEST, 400, 0, SOURCE_NONE, "request"), T, T);
	apply(&k, told(VERDICT_OVERLOAD, 429, 0, SOURCE_NONE, "overload"), T, T);
	apply(&k, told(VERDICT_OVERLOAD, 529, 0, SOURCE_NONE, "overload"), T, T);
	CHECK_INT(k.exhausted.until + k.blocked.until + k.counts.last_error, 0);
	CHECK_INT(k.counts.error_403 + k.counts.error_429 + k.counts.error_5xx, 0);
	CHECK_STR(k.file_tag, "");
}

static void
counts(void)
{
	static const struct {
		enum verdict verdict;
		int status;
		long long e401, e403, e429, e5xx;
	} want[] = {
		{ VERDICT_AUTH, 401, 1, 0, 0, 0 },
		{ VERDICT_PAYMENT, 402, 0, 0, 0, 0 },
		{ VERDICT_PAYMENT, 400, 0, 0, 0, 0 },
		{ VERDICT_PAYMENT, 403, 0, 1, 0, 0 },
		{ VERDICT_QUOTA, 403, 0, 1, 0, 0 },
		{ VERDICT_QUOTA, 429, 0, 0, 1, 0 },
		{ VERDICT_CONCURRENCY, 403, 0, 1, 0, 0 },
		{ VERDICT_CONCURRENCY, 429, 0, 0, 1, 0 },
		{ VERDICT_RATE, 429, 0, 0, 1, 0 },
		{ VERDICT_FORBIDDEN, 403, 0, 1, 0, 0 },
		{ VERDICT_SERVER, 500, 0, 0, 0, 1 },
		{ VERDICT_SERVER, 0, 0, 0, 0, 1 },
		{ VERDICT_SERVER, 408, 0, 0, 0, 1 },
		{ VERDICT_SERVER, 200, 0, 0, 0, 1 },	/* an error inside a stream */
		{ VERDICT_RATE, 200, 0, 0, 1, 0 },
		{ VERDICT_AUTH, 200, 1, 0, 0, 0 },
		{ VERDICT_QUOTA, 200, 0, 1, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct state_key k = { 0 };

		apply(&k, told(want[i].verdict, want[i].status, 0, SOURCE_NONE, "x"), T, T + 1);
		CHECK(k.counts.error_401 == want[i].e401 && k.counts.error_403 == want[i].e403 &&
		    k.counts.error_429 == want[i].e429 && k.counts.error_5xx == want[i].e5xx);
		CHECK_INT(k.counts.last_error, T + 1);
		CHECK_INT(k.counts.request_count + k.counts.last_used, 0);
	}
}

/* ---- how it ends */

static void
success(void)
{
	struct state_key k = { 0 };

	apply(&k, rate(T + 60, SOURCE_STATED), T, T);
	apply(&k, ok(), T - 5, T + 1);		/* began before: says nothing */
	CHECK_INT(k.exhausted.until, T + 60);
	CHECK_INT(k.counts.last_success, T + 1);
	apply(&k, ok(), T, T + 1);		/* in the same second: neither */
	CHECK_INT(k.exhausted.until, T + 60);
	apply(&k, ok(), T + 1, T + 3);
	CHECK_INT(k.exhausted.until, 0);
	CHECK_STR(k.exhausted.reason, "");
	CHECK_STR(k.exhausted.evidence, "");
	CHECK_INT(k.exhausted.set_at, 0);
	CHECK_INT(k.counts.error_429, 1);	/* what happened stays on record */

	/* A probe begins after the lock by its nature, in whatever second. */
	apply(&k, payment(T + 3600), T, T);
	k.probed_at = T;
	apply(&k, ok(), T, T + 1);
	CHECK_INT(k.blocked.until, 0);
	apply(&k, auth(), T, T);
	apply(&k, ok(), T + 9, T + 9);
	CHECK_INT(k.blocked.until, 0);
}

static void
rests(void)
{
	static const int want[] = { 5, 10, 20, 40, 60, 60, 60, 60, 60, 60, 60 };
	struct state_key k = { 0 };
	struct judgement j = server();
	time_t now = T;

	lock_apply(&k, &j, now, "tag1", now);
	CHECK_INT(k.exhausted.until, 0);	/* by itself a fault locks nothing */
	CHECK_INT(k.counts.faults, 0);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		rest(&k, now, now);
		CHECK_INT(k.exhausted.until - now, want[i]);
		CHECK_STR(k.exhausted.reason, "server");
		CHECK_INT(k.exhausted.source, SOURCE_GUESS);
		CHECK(k.counts.faults <= 9);
		now = k.exhausted.until;
	}
	apply(&k, ok(), now - 1000, now);	/* began before the faults */
	CHECK_INT(k.counts.faults, 9);
	apply(&k, ok(), now, now);
	CHECK_INT(k.counts.faults, 0);
	CHECK_INT(k.exhausted.until, 0);
	rest(&k, now, now);
	CHECK_INT(k.exhausted.until - now, 5);

	/* Fifty requests that were on their way when it broke are one fault. */
	memset(&k, 0, sizeof(k));
	for (int i = 0; i < 50; i++)
		rest(&k, T - 10, T + i / 10);
	CHECK_INT(k.counts.faults, 1);
	CHECK_INT(k.exhausted.until, T + 5);
	CHECK_INT(k.counts.error_5xx, 50);

	/* A rest does not cut a longer lock short. */
	memset(&k, 0, sizeof(k));
	apply(&k, rate(T + 60, SOURCE_STATED), T, T);
	rest(&k, T, T);
	CHECK_INT(k.exhausted.until, T + 60);
	CHECK_STR(k.exhausted.reason, "rate_limit");
}

static void
siblings(void)
{
	struct state_key a = { 0 }, b = { 0 };

	apply(&a, rate(T + 60, SOURCE_STATED), T, T);
	CHECK(!lock_account_served(&a, &b, T - 1));
	CHECK(!lock_account_served(&a, &b, T));
	CHECK(lock_account_served(&a, &b, T + 1));
	CHECK_INT(a.exhausted.until, 0);
	apply(&a, payment(T + 3600), T, T);
	b.probed_at = T;
	CHECK(lock_account_served(&a, &b, T));		/* b was the probe */
	CHECK_INT(a.blocked.until, 0);
	apply(&a, auth(), T, T);
	rest(&a, T, T);
	CHECK(!lock_account_served(&a, &b, T + 9));	/* these are a's own */
	CHECK(a.blocked.until && a.exhausted.until);
}

static void
file_and_hand(void)
{
	struct state_key k = { 0 };

	CHECK(!lock_file_changed(&k, "tag2"));
	apply(&k, auth(), T, T);
	apply(&k, rate(T + 60, SOURCE_STATED), T, T);
	k.counts.faults = 3;
	CHECK(!lock_file_changed(&k, "tag1"));
	CHECK(!lock_file_changed(&k, ""));
	CHECK(!lock_file_changed(&k, NULL));
	CHECK(k.blocked.until == TIME_NEVER);
	CHECK(lock_file_changed(&k, "tag2"));
	CHECK_INT(k.blocked.until + k.exhausted.until + k.counts.faults + k.counts.last_error, 0);
	CHECK_INT(k.counts.error_401, 1);
	CHECK(!lock_file_changed(&k, "tag3"));

	/* A lock of the new file does not keep the old file's block alive; an attempt on its way with the old file lifts nothing. */
	apply(&k, auth(), T, T);
	struct judgement j = rate(T + 60, SOURCE_STATED);
	lock_apply(&k, &j, T - 1, "tag2", T + 1);
	CHECK(k.blocked.until == TIME_NEVER);
	memset(&k, 0, sizeof(k));
	apply(&k, auth(), T, T);
	lock_apply(&k, &j, T + 1, "tag2", T + 1);
	CHECK_INT(k.blocked.until, 0);
	CHECK_INT(k.exhausted.until, T + 60);
	CHECK_STR(k.file_tag, "tag2");
	lock_clear(&k);

	apply(&k, payment(TIME_NEVER), T, T);
	rest(&k, T, T);
	lock_clear(&k);
	CHECK_INT(k.blocked.until + k.exhausted.until + k.counts.faults, 0);
	CHECK_INT(k.counts.error_5xx, 1);
	CHECK_STR(k.file_tag, "");
}

int
main(void)
{
	lock_ends();
	lock_kinds();
	never_shorter();
	two_locks();
	not_its_fault();
	counts();
	success();
	rests();
	siblings();
	file_and_hand();
	return check_done();
}
