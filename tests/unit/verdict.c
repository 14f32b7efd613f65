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

int
main(void)
{
	verdicts();
	return check_done();
}
