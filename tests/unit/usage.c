#include "keys/usage.h"

#include "base/clock.h"
#include "check.h"
#include "keys/health.h"

#include <stdlib.h>
#include <unistd.h>

#define NOW 1767700000	/* 2026-01-06T11:46:40Z */

struct situation {
	const char *what;
	const char *json;
	double left;		/* of the total; -1 = not told */
	int counts;		/* usage_left() */
	const char *until;	/* ... and its end, NULL = none */
	size_t windows;
};

#define SPENT "{\"limit\": \"100\", \"remaining\": \"0\", \"resetTime\": \"2026-01-09T15:23:13.716839300Z\"}"

static const struct situation situations[] = {
	{ "figures at the top", "{\"remaining\": 30, \"total\": 120, \"reset_in\": 5400}", 25, 25, "2026-01-06T13:16:40Z", 0 },
	{ "below data", "{\"data\": {\"remain\": 15, \"total\": 300}}", 5, 5, NULL, 0 },
	{ "numbers as texts", "{\"usage\": {\"limit\": \"2048\", \"used\": \"512\", \"remaining\": \"1536\"}}", 75, 75, NULL, 0 },
	{ "used is absent", "{\"usage\": {\"limit\": \"100\", \"remaining\": \"26\"}}", 26, 26, NULL, 0 },
	{ "remaining is absent", "{\"usage\": {\"limit\": 100, \"used\": 74}}", 26, 26, NULL, 0 },
	{ "a stated percent", "{\"remaining_percent\": 42}", 42, 42, NULL, 0 },
	{ "a stated percent, rounded", "{\"remaining_percent\": 33, \"limit\": 3, \"used\": 2}", 33, 33, NULL, 0 },
	{ "a stated percent that the use contradicts", "{\"remaining_percent\": 90, \"limit\": 100, \"used\": 80}", 20, 20, NULL, 0 },
	{ "the longest window stands for all",
	    "{\"usages\": {\"limit_5h\": {\"used_ratio\": 0.05}, \"limit_7d\": {\"used_ratio\": \"0.1\"}, \"limit_month_total\": "
	    "{\"used_ratio\": 0.4}, \"limit_month_code\": {}}}", 60, 60, NULL, 3 },
	{ "a window by its length",
	    "{\"usage\": {\"limit\": 100, \"remaining\": 50}, \"limits\": [{\"window\": {\"duration\": 300, \"timeUnit\": "
	    "\"TIME_UNIT_MINUTE\"}, \"detail\": {\"limit\": 200, \"used\": 50}}]}", 50, 50, NULL, 1 },
	{ "nothing left", "{\"usage\": " SPENT "}", 0, 0, "2026-01-09T15:23:13Z", 0 },
	{ "a spent short window counts, whatever the long one says",
	    "{\"usage\": {\"limit\": 100, \"remaining\": 50, \"resetTime\": \"2026-01-20T00:00:00Z\"}, \"limits\": [{\"window\": "
	    "{\"duration\": 5, \"timeUnit\": \"TIME_UNIT_HOUR\"}, \"detail\": {\"limit\": 9, \"remaining\": 0, \"resetTime\": "
	    "\"2026-01-06T13:00:00Z\"}}]}", 50, 0, "2026-01-06T13:00:00Z", 1 },
	{ "a spent window whose time has come is spent no more",
	    "{\"usage\": {\"limit\": 100, \"remaining\": 50}, \"limits\": [{\"detail\": {\"limit\": 9, \"remaining\": 0, "
	    "\"resetTime\": \"2026-01-06T11:00:00Z\"}}]}", 50, 50, NULL, 1 },
	{ "a booster pays on", "{\"usage\": " SPENT ", \"boosterWallet\": {\"balance\": {\"amountLeft\": \"250\"}}}", 0, 1,
	    "2026-01-09T15:23:13Z", 0 },
	{ "an empty booster does not", "{\"usage\": " SPENT ", \"boosterWallet\": {\"balance\": {\"amountLeft\": \"0\"}}}", 0, 0,
	    "2026-01-09T15:23:13Z", 0 },
	{ "nor one at its ceiling",
	    "{\"usage\": " SPENT ", \"boosterWallet\": {\"balance\": {\"amountLeft\": 9}, \"monthlyChargeLimitEnabled\": true, "
	    "\"monthlyChargeLimit\": {\"priceInCents\": \"100\"}, \"monthlyUsed\": {\"priceInCents\": \"100\"}}}", 0, 0,
	    "2026-01-09T15:23:13Z", 0 },
	{ "pay by use", "{\"code\": 0, \"data\": {\"available_balance\": 49.58}}", -1, 100, NULL, 0 },
	{ "pay by use, in debt", "{\"data\": {\"available_balance\": -1}}", -1, 0, NULL, 0 },
	{ "a reset in milliseconds", "{\"remaining\": 1, \"limit\": 2, \"resetAt\": 1767800000000}", 50, 50, "2026-01-07T15:33:20Z", 0 },
	{ "a trace of quota is not none", "{\"limit\": 1000, \"remaining\": 1}", 0.1, 1, NULL, 0 },
	{ "more used than there is", "{\"limit\": 10, \"used\": 15}", 0, 0, NULL, 0 },
};

static void
read_all(void)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		const struct situation *s = &situations[i];
		struct usage u;
		struct fail f = { 0 };
		char iso[CLOCK_ISO_SIZE];
		time_t until;

		CHECK_NAMED(usage_parse(&u, str_from(s->json), NOW, &f) == 0, s->what);
		CHECK_NAMED(u.total.left > s->left - 0.001 && u.total.left < s->left + 0.001, s->what);
		CHECK_INT(usage_left(&u, NOW, &until), s->counts);
		clock_iso(until, iso);
		CHECK_STR(until ? iso : "none", s->until ? s->until : "none");
		CHECK_INT(u.window_count, s->windows);
	}
}

static void
refuse(void)
{
	static const char *const bad[] = { "", "[]", "{}", "null", "{\"usage\": \"x\"}", "{\"limit\": \"many\"}", "<html>",
		"{\"data\": []}", "{\"error\": {\"message\": \"no\"}}", "{\"available_balance\": \"rich\"}" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct usage u;
		struct fail f = { 0 };

		CHECK_NAMED(usage_parse(&u, str_from(bad[i]), NOW, &f) < 0 && f.text[0], bad[i]);
	}
}

static void
details(void)
{
	struct usage u;
	struct fail f = { 0 };

	usage_parse(&u, STR("{\"user\": {\"Email\": \"someone@example.com\"}, \"limits\": ["
	    "{\"window\": {\"duration\": 7, \"timeUnit\": \"TIME_UNIT_DAY\"}, \"detail\": {\"limit\": 1, \"used\": 0}},"
	    "{\"window\": {\"duration\": 90, \"timeUnit\": \"MINUTE\"}, \"detail\": {\"limit\": 1, \"used\": 0}},"
	    "{\"detail\": {\"limit\": 1, \"used\": 0}}]}"), NOW, &f);
	CHECK_STR(u.email, "someone@example.com");
	CHECK_STR(u.windows[0].name, "7d");
	CHECK_STR(u.windows[1].name, "90min");
	CHECK_STR(u.windows[2].name, "window");
	usage_parse(&u, STR("{\"usages\": {\"limit_month_total\": {\"used_ratio\": 0.5}, \"limit_\\u001b[31m\": {\"used_ratio\": 0.5}}}"),
	    NOW, &f);
	CHECK_STR(u.windows[0].name, "month total");
	CHECK_STR(u.windows[1].name, "?[31m");
}

/* ---- health.json ---- */

static bool
not_b(const char *label, void *arg)
{
	(void)arg;
	return strcmp(label, "b") != 0;
}

static void
round_trip(void)
{
	char dir[] = "/tmp/kmi-unit.XXXXXX", path[64];
	struct health h = { 0 }, back;
	struct choose_key chosen = { .label = "a" };
	const struct health_key *k;
	struct fail f = { 0 };

	CHECK(mkdtemp(dir) != NULL);
	CHECK(health_load(&h, dir, &f) == 0 && h.count == 0);
	for (const char *const *label = (const char *const[]){ "c", "a", "b", "a", NULL }; *label; label++)
		CHECK(health_put(&h, *label, "0123456789ab") != NULL);
	CHECK_INT(h.count, 3);
	h.refreshed_at = NOW;
	h.keys[0].seen_at = h.keys[0].checked_at = NOW;
	h.keys[0].status = 200;
	usage_parse(&h.keys[0].usage, str_from(situations[11].json), NOW, &f);
	snprintf(h.keys[1].error, sizeof(h.keys[1].error), "the upstream \"answered\" 401");
	CHECK(health_save(&h, dir, &f) == 0);
	CHECK(health_load(&back, dir, &f) == 0);
	CHECK(back.count == 3 && back.refreshed_at == NOW);
	k = health_find(&back, "a", "0123456789ab");
	CHECK(k && k->seen_at == NOW && k->status == 200);
	CHECK(k && memcmp(&k->usage.windows[0], &h.keys[0].usage.windows[0], sizeof(k->usage.windows[0])) == 0);
	CHECK(k && memcmp(&k->usage.total, &h.keys[0].usage.total, sizeof(k->usage.total)) == 0);
	CHECK_STR(back.keys[1].error, h.keys[1].error);
	CHECK(health_find(&back, "a", "another_hash") == NULL);
	CHECK(health_find(&back, "z", "0123456789ab") == NULL);
	health_tell(&back, "0123456789ab", NOW, &chosen);
	CHECK(chosen.usage_seen && chosen.usage_left == 0 && chosen.usage_reset > NOW);
	/* A key that was changed begins anew. */
	CHECK(health_put(&back, "a", "another_hash")->seen_at == 0);
	health_prune(&back, not_b, NULL);
	CHECK(back.count == 2 && strcmp(back.keys[1].label, "c") == 0);
	health_free(&back);
	health_free(&h);
	snprintf(path, sizeof(path), "%s/health.json", dir);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	read_all();
	refuse();
	details();
	round_trip();
	return check_done();
}
