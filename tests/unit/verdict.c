/* verdict: tables of answers, and what they mean for the key. */
#include "keys/verdict.h"

#include "check.h"
#include "keys/answer.h"

#include <stdlib.h>

#define NOW 1790000000	/* 2026-09-21T14:13:20Z */

static const struct config settings = {
	.rotation_cooldown_seconds = 300,
	.cooldown_max_seconds = 21600,
	.payment_block_seconds = 3600,
};

static struct judgement
judge(const char *rules, int status, const char *body)
{
	struct verdict_rules *r;
	struct judgement j;
	struct answer a = { .status = status, .body = str_from(body) };

	verdict_rules_make(&r, str_from(rules), NULL);
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	verdict_rules_free(r);
	return j;
}

#define ERROR(type, message) "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"code\":\"" type "\"}}"

static const struct {
	int status;
	const char *body;
	enum verdict want;
} answers[] = {
	{ 200, "", VERDICT_OK },
	{ 204, "", VERDICT_OK },
	{ 302, "", VERDICT_OK },
	{ 304, "", VERDICT_OK },
	{ 200, ERROR("server_error", "a file with such a content, not an error event"), VERDICT_OK },
	{ 101, "", VERDICT_SERVER },
	{ 100, "", VERDICT_SERVER },
	{ 0, "", VERDICT_SERVER },
	{ 600, "", VERDICT_SERVER },
	{ 999, "", VERDICT_SERVER },
	{ -7, "", VERDICT_SERVER },

	/* the request's own fault */
	{ 400, "", VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "Invalid request: message content must not be empty"), VERDICT_REQUEST },
	{ 404, ERROR("resource_not_found_error", "Not found the model kimi-nope or Permission denied"), VERDICT_REQUEST },
	{ 404, ERROR("resource_not_found_error", "no such plan"), VERDICT_REQUEST },
	{ 405, "", VERDICT_REQUEST },
	{ 407, "", VERDICT_REQUEST },
	{ 409, "", VERDICT_REQUEST },
	{ 413, ERROR("invalid_request_error", "Request Entity Too Large"), VERDICT_REQUEST },
	{ 415, "", VERDICT_REQUEST },
	{ 422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\",\"input\":\"my billing plan\"}]}", VERDICT_REQUEST },
	{ 431, "", VERDICT_REQUEST },
	{ 451, "", VERDICT_REQUEST },
	{ 499, "", VERDICT_REQUEST },
	{ 408, "", VERDICT_SERVER },
	{ 421, "", VERDICT_SERVER },
	{ 425, "", VERDICT_SERVER },

	/* a 400 that is not about money, though the words are in it */
	{ 400, ERROR("invalid_request_error", "Invalid explanation: planned, unplanned, planet"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "unbalanced bracket; the load balancer has no credentials"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "tools[3].function.name create_plan is taken"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "messages.plan.steps: too long"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "bad content 'my credit card, don\\u0027t bill my plan' at 3"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "bad role: \\\"subscription\\\" is none of user, system"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "bad value: `recharge"), VERDICT_REQUEST },
	{ 400, ERROR("invalid_request_error", "bad json, see https://platform.example/docs/billing for help"), VERDICT_REQUEST },
	{ 400, ERROR("content_filter", "high risk: instructions on credit card fraud"), VERDICT_REQUEST },
	{ 400, "{\"error\":{\"message\":\"bad\",\"param\":\"insufficient balance\"}}", VERDICT_REQUEST },
	{ 400, "{\"messages\":[{\"content\":\"insufficient balance\"}]}", VERDICT_REQUEST },

	/* money */
	{ 402, "", VERDICT_PAYMENT },
	{ 402, ERROR("payment_required", "unable to verify your membership benefits"), VERDICT_PAYMENT },
	{ 400, ERROR("invalid_request_error", "Your subscription has expired, check your plan and billing details"), VERDICT_PAYMENT },
	{ 400, ERROR("invalid_request_error", "Insufficient BALANCE."), VERDICT_PAYMENT },
	{ 400, "{\"error\":\"please recharge\"}", VERDICT_PAYMENT },
	{ 400, "{\"message\":\"no credits left\"}", VERDICT_PAYMENT },
	{ 400, "{\"code\":1113,\"msg\":\"\\u8d26\\u6237\\u5df2\\u6b20\\u8d39\"}", VERDICT_PAYMENT },
	{ 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance is too low\"}}", VERDICT_PAYMENT },
	{ 400, "insufficient balance, top up your account", VERDICT_PAYMENT },
	{ 400, "<html><body><h1>Payment needed</h1></body></html>", VERDICT_PAYMENT },
	{ 400, "{\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"}}", VERDICT_PAYMENT },
	{ 400, "{\"errors\":[{\"message\":\"account in arrears\"}]}", VERDICT_PAYMENT },
	{ 400, ERROR("insufficient_balance", "no"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "Your account has insufficient balance, please recharge your account"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "账户余额不足,请充值后重试"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "账户已欠费"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "订单未付费"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "订单未支付"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "订阅已过期"), VERDICT_PAYMENT },
	{ 403, ERROR("permission_error", "当前套餐不支持"), VERDICT_PAYMENT },
	{ 403, ERROR("x", "top-up needed"), VERDICT_PAYMENT },
	{ 403, ERROR("x", "payments are overdue"), VERDICT_PAYMENT },
	{ 403, "{\"error\":{\"message\":\"insufficient balance, and then the body was cu", VERDICT_PAYMENT },

	/* the other meanings of 403 */
	{ 403, ERROR("access_terminated_error", "You've reached your weekly (7-day) usage limit. Your quota will be refreshed"), VERDICT_QUOTA },
	{ 403, ERROR("access_terminated_error", "You've reached your usage limit for this billing cycle."), VERDICT_QUOTA },
	{ 403, ERROR("access_terminated_error", "本周期用量已达上限"), VERDICT_QUOTA },
	{ 403, "{\"error\":{\"message\":\"usage limit reached\",\"type\":\"x\",\"code\":\"access_terminated_error\"}}", VERDICT_QUOTA },
	{ 403, ERROR("access_terminated_error", "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI"), VERDICT_REQUEST },
	{ 403, ERROR("access_terminated_error", "Your account was suspended"), VERDICT_FORBIDDEN },
	{ 403, ERROR("permission_error", "Too many concurrent requests for this account"), VERDICT_CONCURRENCY },
	{ 403, ERROR("permission_error", "concurrency limit of your plan reached"), VERDICT_CONCURRENCY },
	{ 403, ERROR("permission_error", "并发请求过多"), VERDICT_CONCURRENCY },
	{ 403, ERROR("permission_denied_error", "The API you are accessing is not open"), VERDICT_FORBIDDEN },
	{ 403, "", VERDICT_FORBIDDEN },
	{ 403, "<html><head><title>403 Forbidden</title></head><body>cloudflare</body></html>", VERDICT_FORBIDDEN },
	{ 401, ERROR("invalid_authentication_error", "Invalid Authentication"), VERDICT_AUTH },
	{ 401, "", VERDICT_AUTH },

	/* the meanings of 429 */
	{ 429, ERROR("rate_limit_reached_error", "Your account reached organization max RPM: 20"), VERDICT_RATE },
	{ 429, ERROR("rate_limit_reached_error", "max RPM: 20 (the service is overloaded)"), VERDICT_RATE },
	{ 429, ERROR("rate_limit_reached_error", "reached organization max concurrency: 3 concurrent requests"), VERDICT_CONCURRENCY },
	{ 429, ERROR("engine_overloaded_error", "The engine is currently overloaded"), VERDICT_OVERLOAD },
	{ 429, "{\"error\":{\"message\":\"overloaded\"}}", VERDICT_OVERLOAD },
	{ 429, ERROR("exceeded_current_quota_error", "You exceeded your current token quota: 0, please check your account balance"), VERDICT_QUOTA },
	{ 429, ERROR("insufficient_quota", "quota"), VERDICT_QUOTA },
	{ 429, "", VERDICT_RATE },
	{ 429, "slow down", VERDICT_RATE },

	/* the service */
	{ 503, ERROR("engine_overloaded_error", "overloaded"), VERDICT_OVERLOAD },
	{ 529, ERROR("overloaded_error", "Overloaded"), VERDICT_OVERLOAD },
	{ 529, "", VERDICT_OVERLOAD },
	{ 503, ERROR("server_error", "Service temporarily unavailable"), VERDICT_SERVER },
	{ 500, ERROR("server_error", "Internal server error"), VERDICT_SERVER },
	{ 502, "<html>Bad Gateway</html>", VERDICT_SERVER },
	{ 504, "", VERDICT_SERVER },
	{ 520, "", VERDICT_SERVER },

	/* an error that a 200 stream begins with */
	{ 200, "data: {\"choices\":[{\"delta\":{\"content\":\"error: overloaded\"}}]}\n\n", VERDICT_OK },
	{ 200, "data: {\"choices\":[],\"error\":null}\n\n", VERDICT_OK },
	{ 200, "data: [DONE]\n\n", VERDICT_OK },
	{ 200, ": keep-alive\n\n", VERDICT_OK },
	{ 200, "data: " ERROR("engine_overloaded_error", "overloaded") "\n\n", VERDICT_OVERLOAD },
	{ 200, ": ping\r\n\r\ndata: " ERROR("rate_limit_reached_error", "max RPM") "\r\n\r\n", VERDICT_RATE },
	{ 200, "data:" ERROR("invalid_authentication_error", "no") "\n\n", VERDICT_AUTH },
	{ 200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", VERDICT_OVERLOAD },
	{ 200, "event: error\ndata: all is lost\n\n", VERDICT_SERVER },
	{ 200, "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: error\ndata: {}\n\n", VERDICT_OK },
	{ 200, "data: {\"error\":{\"message\":\"something\"}}\n\n", VERDICT_SERVER },
	{ 200, "event: error\n\ndata: {}\n\n", VERDICT_OK },
	{ 200, "event: error\n:\ndata: {}\n\n", VERDICT_SERVER },
	{ 200, "id: 7\nretry: 9\ndata: {\"error\":\ndata: \"overloaded\"}\n\n", VERDICT_OVERLOAD },
	{ 200, "data: {\"error\":{\"message\":\"cut", VERDICT_OK },
	{ 200, "Note\ndata: " ERROR("rate_limit_error", "") "\n\n", VERDICT_OK },
	{ 200, "data: " ERROR("invalid_request_error", "too long") "\n\n", VERDICT_REQUEST },
};

static void
verdicts(void)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct judgement j = judge("", answers[i].status, answers[i].body);
		char name[120];

		snprintf(name, sizeof(name), "%d %.60s: %s", answers[i].status, answers[i].body, verdict_name(j.verdict));
		for (char *p = name; *p; p++)
			if (*p == '\n' || *p == '\r' || *p == '#')
				*p = ' ';
		if (!CHECK_NAMED(j.verdict == answers[i].want, name))
			printf("# want: %s\n", verdict_name(answers[i].want));
	}
}

/* ---- when the lock ends */

static const struct {
	int status;
	const char *body, *retry_after, *retry_after_ms, *reset;
	time_t known;
	long long want;		/* seconds from now; -1 = never, 0 = no lock */
	enum lock_source source;
} ends[] = {
	{ 200, "", "9", "", "", 0, 0, SOURCE_NONE },
	{ 400, "", "9", "", "", 0, 0, SOURCE_NONE },
	{ 500, "", "9", "", "", 0, 0, SOURCE_NONE },
	{ 529, "", "9", "", "", 0, 0, SOURCE_NONE },
	{ 401, "", "9", "", "", 0, -1, SOURCE_GUESS },
	{ 402, "", "9", "", "", 0, 3600, SOURCE_GUESS },
	{ 403, "", "", "", "", 0, 300, SOURCE_GUESS },
	{ 403, "", "7", "", "", 0, 7, SOURCE_STATED },

	{ 429, "", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "", "", "", 50, 300, SOURCE_GUESS },		/* a quota's reset is not a rate's */
	{ 429, "", "7", "", "", 0, 7, SOURCE_STATED },
	{ 429, "", " 7 ", "", "", 0, 7, SOURCE_STATED },
	{ 429, "", "1.2", "", "", 0, 2, SOURCE_STATED },
	{ 429, "", "0", "", "", 0, 1, SOURCE_STATED },
	{ 429, "", "0.0", "", "", 0, 1, SOURCE_STATED },
	{ 429, "", "-5", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "soon", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "7s", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "7 8", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "1e3", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", ".", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "99999999999999999999999999999", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "999999999999999", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "86400", "", "", 0, 21600, SOURCE_STATED },		/* capped */
	{ 429, "", "100000000", "", "", 0, 300, SOURCE_GUESS },		/* three years: nonsense */
	{ 429, "", "Mon, 21 Sep 2026 14:13:50 GMT", "", "", 0, 30, SOURCE_STATED },
	{ 429, "", "Mon, 21 Sep 2026 14:13:00 GMT", "", "", 0, 1, SOURCE_STATED },	/* clocks differ */
	{ 429, "", "Sun, 06 Nov 1994 08:49:37 GMT", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "Mon, 21 Sep 2099 14:13:50 GMT", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "", "2026-09-21T14:14:20Z", "", "", 0, 60, SOURCE_STATED },
	{ 429, "", "1790000042", "", "", 0, 42, SOURCE_STATED },
	{ 429, "", "junk", "1500", "", 0, 2, SOURCE_STATED },
	{ 429, "", "", "1", "", 0, 1, SOURCE_STATED },
	{ 429, "", "7", "99000", "30", 0, 7, SOURCE_STATED },
	{ 429, "", "", "", "30", 0, 30, SOURCE_STATED },
	{ 429, "", "", "", "1790000030", 0, 30, SOURCE_STATED },
	{ 429, "", "", "", "1790000030.25", 0, 30, SOURCE_STATED },
	{ 429, "", "", "", "1790000030500", 0, 30, SOURCE_STATED },
	{ 429, "", "", "", "2026-09-21T22:13:50+08:00", 0, 30, SOURCE_STATED },
	{ 429, "", "", "", "1690000000", 0, 300, SOURCE_GUESS },
	{ 429, "", "", "", "999999999999999", 0, 300, SOURCE_GUESS },
	{ 429, ERROR("rate_limit_reached_error", "max RPM: 3, please try again after 11 seconds"), "", "", "", 0, 11, SOURCE_STATED },
	{ 429, ERROR("rate_limit_reached_error", "max RPM: 3, please try again after 11 seconds"), "5", "", "", 0, 5, SOURCE_STATED },
	{ 429, "Please try again in 1.5s.", "", "", "", 0, 2, SOURCE_STATED },
	{ 429, "Please try again in 20ms", "", "", "", 0, 1, SOURCE_STATED },
	{ 429, "try again in 2 minutes", "", "", "", 0, 120, SOURCE_STATED },
	{ 429, "try again in 1 month", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "try again in 5 fortnights", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "try again in 999999999999 days", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "try again in ", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "请求过快,请在 8 秒后重试", "", "", "", 0, 8, SOURCE_STATED },
	{ 429, "{\"error\":{\"message\":\"x\",\"retry_after\":12}}", "", "", "", 0, 12, SOURCE_STATED },
	{ 429, "{\"retry_after\":\"12\",\"error\":\"x\"}", "", "", "", 0, 12, SOURCE_STATED },
	{ 429, "{\"error\":{\"message\":\"x\",\"retry_after\":-12}}", "", "", "", 0, 300, SOURCE_GUESS },
	{ 429, "{\"error\":{\"message\":\"x\",\"details\":{\"resetTime\":\"2026-09-21T14:13:40.123456789Z\"}}}", "", "", "", 0, 20, SOURCE_STATED },

	{ 403, ERROR("permission_error", "Too many concurrent requests"), "", "", "", 0, 3, SOURCE_GUESS },
	{ 403, ERROR("permission_error", "Too many concurrent requests"), "6", "", "", 0, 6, SOURCE_STATED },
	{ 403, ERROR("access_terminated_error", "usage limit"), "", "", "", 0, 300, SOURCE_GUESS },
	{ 403, ERROR("access_terminated_error", "usage limit"), "", "", "", 900, 900, SOURCE_KNOWN },
	{ 403, ERROR("access_terminated_error", "usage limit"), "", "", "", -900, 300, SOURCE_GUESS },
	{ 403, ERROR("access_terminated_error", "usage limit"), "", "", "", 90000, 21600, SOURCE_KNOWN },
	{ 403, ERROR("access_terminated_error", "usage limit"), "60", "", "", 900, 60, SOURCE_STATED },
	{ 403, ERROR("access_terminated_error", "usage limit, resets at 2026-09-21T14:23:20Z."), "", "", "", 0, 600, SOURCE_STATED },
	{ 403, ERROR("access_terminated_error", "usage limit, resets at 2026-09-21 14:23:20"), "", "", "", 0, 600, SOURCE_STATED },
	{ 403, ERROR("access_terminated_error", "usage limit, resets at 2026-10-21 14:23:20"), "", "", "", 0, 21600, SOURCE_STATED },
	{ 200, "data: " ERROR("rate_limit_reached_error", "try again after 4 seconds") "\n\n", "", "", "", 0, 4, SOURCE_STATED },
};

static void
lock_ends(void)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct verdict_rules *r;
		struct judgement j;
		struct answer a = {
			.status = ends[i].status,
			.body = str_from(ends[i].body),
			.retry_after = str_from(ends[i].retry_after),
			.retry_after_ms = str_from(ends[i].retry_after_ms),
			.ratelimit_reset = str_from(ends[i].reset),
		};
		char name[160];
		long long got;

		verdict_rules_make(&r, STR(""), NULL);
		verdict_judge(r, &a, &settings, NOW, ends[i].known ? NOW + ends[i].known : 0, &j);
		verdict_rules_free(r);
		got = j.until == 0 ? 0 : j.until == TIME_NEVER ? -1 : (long long)j.until - NOW;
		snprintf(name, sizeof(name), "end %zu: %d [%s] [%s] [%s]: %lld s, %s", i, ends[i].status, ends[i].retry_after,
		    ends[i].retry_after_ms, ends[i].reset, got, lock_source_name(j.source));
		if (!CHECK_NAMED(got == ends[i].want && j.source == ends[i].source, name))
			printf("# want: %lld %s\n", ends[i].want, lock_source_name(ends[i].source));
	}
}

static void
settings_count(void)
{
	struct config c = { .rotation_cooldown_seconds = 300, .cooldown_max_seconds = 120, .payment_block_seconds = 0 };
	struct answer rate = { .status = 429 }, payment = { .status = 402 };
	struct judgement j;

	verdict_judge(NULL, &payment, &c, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_REQUEST);	/* no rules at all: by the class */
	struct verdict_rules *r;
	CHECK_INT(verdict_rules_make(&r, STR(""), NULL), 0);
	verdict_judge(r, &payment, &c, NOW, 0, &j);
	CHECK(j.until == TIME_NEVER);
	verdict_judge(r, &rate, &c, NOW, 0, &j);
	CHECK_INT(j.until - NOW, 120);
	c.rotation_cooldown_seconds = 0;
	verdict_judge(r, &rate, &c, NOW, 0, &j);
	CHECK_INT(j.until, 0);
	CHECK_INT(j.source, SOURCE_NONE);
	CHECK(!j.whole_account && j.retry_other);
	verdict_rules_free(r);
}

/* ---- what else a judgement says */

static void
flags(void)
{
	static const struct {
		int status;
		const char *body;
		bool other, same, account;
		const char *reason, *code;
	} want[] = {
		{ 200, "", false, false, false, "", "" },
		{ 404, "", false, false, false, "request", "404" },
		{ 401, "", true, false, false, "auth", "401" },
		{ 402, "", true, false, true, "payment_required", "payment_required" },
		{ 403, ERROR("x", "billing"), true, false, true, "payment_required", "payment_required" },
		{ 403, ERROR("access_terminated_error", "usage limit"), true, false, true, "quota", "403" },
		{ 403, ERROR("x", "concurrent"), true, false, true, "concurrency", "403" },
		{ 429, "", true, false, true, "rate_limit", "429" },
		{ 429, ERROR("engine_overloaded_error", ""), true, true, false, "overload", "429" },
		{ 403, "", true, false, true, "forbidden", "403" },
		{ 502, "", true, true, false, "server", "502" },
		{ 101, "", true, true, false, "server", "upstream_error" },
		{ 200, "data: " ERROR("rate_limit_error", "") "\n\n", true, false, true, "rate_limit", "rate_limit" },
		{ 200, "event: error\ndata: x\n\n", true, true, false, "server", "upstream_error" },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct judgement j = judge("", want[i].status, want[i].body);

		CHECK_NAMED(j.retry_other == want[i].other && j.retry_same == want[i].same &&
		    j.whole_account == want[i].account && j.status == want[i].status, want[i].reason);
		CHECK_STR(j.reason, want[i].reason);
		CHECK_STR(j.error_code, want[i].code);
	}
}

static void
troubles(void)
{
	static const struct {
		enum trouble trouble;
		const char *code, *evidence;
	} want[] = {
		{ TROUBLE_CONNECT, "upstream_error", "no connection to the upstream" },
		{ TROUBLE_TLS, "upstream_error", "TLS with the upstream failed" },
		{ TROUBLE_TIMEOUT, "timeout", "the upstream did not answer in time" },
		{ TROUBLE_CUT, "upstream_error", "the upstream cut the connection" },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct answer a = { .status = 200, .trouble = want[i].trouble, .body = STR("half an answer") };
		struct judgement j;

		verdict_judge(NULL, &a, &settings, NOW, 0, &j);
		CHECK_INT(j.verdict, VERDICT_SERVER);
		CHECK_INT(j.status, 0);
		CHECK_INT(j.until, 0);
		CHECK_STR(j.error_code, want[i].code);
		CHECK_STR(j.evidence, want[i].evidence);
	}
}

static void
evidence(void)
{
	char wanted[ANSWER_EVIDENCE_SIZE], body[400];
	struct judgement j;

	CHECK_STR(judge("", 429, ERROR("rate_limit_reached_error", "max RPM: 20")).evidence,
	    "429 rate_limit_reached_error: max RPM: 20");
	CHECK_STR(judge("", 429, "{\"code\":7,\"msg\":\"no\"}").evidence, "429 7: no");
	CHECK_STR(judge("", 429, "").evidence, "429");
	CHECK_STR(judge("", 502, "<html><head><title>502 Bad Gateway</title></head>\r\n<body><h1>nginx</h1></body></html>").evidence,
	    "502 502 Bad Gateway nginx");
	CHECK_STR(judge("", 403, "a\r\n\tb\x1b[31mc\x7f \xc2\x9b" "d \xe2\x80\xae" "e\xff\xfe!").evidence, "403 a b [31mc d e !");
	CHECK_STR(judge("", 403, "余额…’ok").evidence, "403 余额…’ok");

	/* what a provider repeats of a key */
	CHECK_STR(judge("", 401, "Incorrect API key provided: sk-fake-1. Bye").evidence,
	    "401 Incorrect API key provided: ***. Bye");
	CHECK_STR(judge("", 401, "got 'Bearer fakefake' (Authorization: bearer\t a.b-c.d, more)").evidence,
	    "401 got 'Bearer ***' (Authorization: bearer ***.***.***, more)");
	CHECK_STR(judge("", 401, "token abcdefghij0123456789x end").evidence, "401 token *** end");
	CHECK_STR(judge("", 401, "id 12345678901234567890 exceeded_current_quota_error").evidence,
	    "401 id 12345678901234567890 exceeded_current_quota_error");
	CHECK_STR(judge("", 401, "a task-force, risk-free").evidence, "401 a task-force, risk-free");
	CHECK(!strstr(judge("", 401, "{\"error\":{\"message\":\"no\",\"type\":\"sk-fake-type\"}}").evidence, "fake"));
	CHECK(!strstr(judge("", 401, "{\"error\":{\"message\":\"key \\u0073k-fake-2\"}}").evidence, "fake"));

	/* a key that the cut would halve, at every place */
	for (int pad = 150; pad < 210; pad++) {
		snprintf(body, sizeof(body), "%.*s fakekey7fakekey7fakekey7fakekey7", pad,
		    "..............................................................................................................."
		    "...............................................................................................................");
		j = judge("", 401, body);
		if (strstr(j.evidence, "fake"))
			CHECK_STR(j.evidence, "no key");
	}
	/* and a character */
	for (int pad = 180; pad < 200; pad++) {
		snprintf(body, sizeof(body), "%.*s余额余额余额", pad,
		    "..............................................................................................................."
		    "...............................................................................................................");
		j = judge("", 401, body);
		if (!str_utf8(str_from(j.evidence)))
			CHECK_NAMED(false, "evidence is UTF-8");
	}
	memset(wanted, 'a', sizeof(wanted));
	answer_clean((struct str){ wanted, sizeof(wanted) }, body, 10);
	CHECK_STR(body, "aaaaaaaaa");
	answer_clean(STR("ab"), body, 1);
	CHECK_STR(body, "");
}

/* ---- the user's rules */

static void
user_rules(void)
{
	static const char conf[] =
	    "# ours first\n"
	    "\n"
	    "\t404 * \"no such region\" server   # a comment\r\n"
	    "429 exceeded_current_quota_error \"<balance>\" payment\n"
	    "4XX my_type|1113 * auth\n"
	    "200 * \"slow down\" rate\n"
	    "403|502 * \"天朝\" overload\n";

	CHECK_INT(judge(conf, 404, "No Such REGION here").verdict, VERDICT_SERVER);
	CHECK_INT(judge(conf, 404, "no region").verdict, VERDICT_REQUEST);
	CHECK_INT(judge(conf, 429, ERROR("exceeded_current_quota_error", "check your account balance")).verdict, VERDICT_PAYMENT);
	CHECK_INT(judge(conf, 418, ERROR("MY_TYPE", "x")).verdict, VERDICT_AUTH);
	CHECK_INT(judge(conf, 418, "{\"code\":1113,\"msg\":\"x\"}").verdict, VERDICT_AUTH);
	CHECK_INT(judge(conf, 418, ERROR("my_type2", "x")).verdict, VERDICT_REQUEST);
	CHECK_INT(judge(conf, 200, "data: {\"error\":\"slow down\"}\n\n").verdict, VERDICT_RATE);
	CHECK_INT(judge(conf, 200, "slow down").verdict, VERDICT_OK);
	CHECK_INT(judge(conf, 502, "天朝").verdict, VERDICT_OVERLOAD);
	CHECK_INT(judge("* * * request", 500, "").verdict, VERDICT_REQUEST);
	CHECK_INT(judge("* * * request", 0, "").verdict, VERDICT_SERVER);	/* no answer is no matter of rules */
	CHECK_INT(judge("400 * \"<pay>\" payment", 400, "pay").verdict, VERDICT_PAYMENT);
	CHECK_INT(judge("400 * \"<pay>\" payment", 400, "payee repay pay_1 pay.x").verdict, VERDICT_REQUEST);
	CHECK_INT(judge("400 * \"<pay>\" payment", 400, "payee (pay).").verdict, VERDICT_PAYMENT);
	CHECK_INT(judge("400 * \"<pay\" payment", 400, "payee").verdict, VERDICT_PAYMENT);
	CHECK_INT(judge("400 * \"pay>\" payment", 400, "repay").verdict, VERDICT_PAYMENT);
}

static void
bad_rules(void)
{
	static const struct {
		const char *line, *said;
	} bad[] = {
		{ "403 * *", "line 1: a rule has four fields: status, type, message, verdict" },
		{ "403", "line 1: a rule has four fields: status, type, message, verdict" },
		{ "403 * * rate more", "line 1: a rule has four fields: status, type, message, verdict" },
		{ "\n\n403 * * ratte", "line 3: \"ratte\" is no verdict" },
		{ "40 * * rate", "line 1: \"40\" is no status: a number, a class such as 4xx, or *" },
		{ "6xx * * rate", "line 1: \"6xx\" is no status: a number, a class such as 4xx, or *" },
		{ "403|4x * * rate", "line 1: \"403|4x\" is no status: a number, a class such as 4xx, or *" },
		{ "403| * * rate", "line 1: \"403|\" is no status: a number, a class such as 4xx, or *" },
		{ "403 * \"no end rate", "line 1: a quoted text does not end" },
		{ "403 * \"x\"y rate", "line 1: a quoted text does not end" },
		{ "403 * \"\" rate", "line 1: an empty text would be in every answer; write * for any" },
		{ "403 * \"a||b\" rate", "line 1: an empty text would be in every answer; write * for any" },
		{ "403 * a| rate", "line 1: an empty text would be in every answer; write * for any" },
		{ "403 * <> rate", "line 1: an empty text would be in every answer; write * for any" },
		{ "403 \"\" x rate", "line 1: an empty text would be in every answer; write * for any" },
	};
	struct verdict_rules *r;
	struct judgement j;
	struct fail f = { 0 };
	struct answer a = { .status = 418, .body = STR("x") };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&f, 0, sizeof(f));
		CHECK_INT(verdict_rules_make(&r, str_from(bad[i].line), &f), -1);
		CHECK_STR(f.text, bad[i].said);
		CHECK_INT(f.kind, FAIL_INPUT);
		verdict_rules_free(r);
	}

	/* the first bad line is the one named; the good ones around it count */
	CHECK_INT(verdict_rules_make(&r, STR("418 * * auth\nnonsense\n419 * x\n"), &f), -1);
	CHECK(strncmp(f.text, "line 2:", 7) == 0);
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_AUTH);
	verdict_rules_free(r);

	struct buf many = BUF(1 << 20);
	for (int i = 0; i < VERDICT_RULES_MAX + 1; i++)
		buf_puts(&many, "417 * y rate\n");
	CHECK_INT(verdict_rules_make(&r, buf_view(&many), &f), -1);
	CHECK_STR(f.text, "line 1001: more than 1000 rules");
	a = (struct answer){ .status = 402 };
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_PAYMENT);	/* the built-in ones are there all the same */
	verdict_rules_free(r);
	buf_free(&many);
}

static void
names(void)
{
	for (int v = VERDICT_OK; v <= VERDICT_SERVER; v++) {
		enum verdict back;

		CHECK(verdict_from_name(str_from(verdict_name((enum verdict)v)), &back) == 0 && (int)back == v);
	}
	for (int s = SOURCE_NONE; s <= SOURCE_GUESS; s++) {
		enum lock_source back;

		CHECK(lock_source_from_name(str_from(lock_source_name((enum lock_source)s)), &back) == 0 && (int)back == s);
	}
	enum verdict v;
	CHECK(verdict_from_name(STR("rat"), &v) < 0);
}

/* A body of any size and depth is judged at once, by its beginning. */
static void
huge(void)
{
	struct buf b = BUF(16 << 20);
	struct verdict_rules *r;
	struct judgement j;
	struct answer a = { .status = 403 };

	verdict_rules_make(&r, STR(""), NULL);
	buf_fill(&b, '[', 8 << 20);
	a.body = buf_view(&b);
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_FORBIDDEN);
	buf_reset(&b);
	buf_puts(&b, "data: ");
	buf_fill(&b, '{', 8 << 20);
	a = (struct answer){ .status = 200, .body = buf_view(&b) };
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_OK);
	buf_reset(&b);
	buf_puts(&b, "{\"error\":{\"message\":\"insufficient balance ");
	buf_fill(&b, 'x', 60000);
	buf_puts(&b, "\"}}");
	a = (struct answer){ .status = 403, .body = buf_view(&b) };
	verdict_judge(r, &a, &settings, NOW, 0, &j);
	CHECK_INT(j.verdict, VERDICT_PAYMENT);
	verdict_rules_free(r);
	buf_free(&b);
}

int
main(void)
{
	verdicts();
	lock_ends();
	settings_count();
	flags();
	troubles();
	evidence();
	user_rules();
	bad_rules();
	names();
	huge();
	return check_done();
}
