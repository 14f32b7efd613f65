#include "keys/verdict.h"

#include "base/text.h"
#include "keys/answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONCURRENCY_SECONDS 3	/* a slot frees when a request ends: soon */

struct rule {
	struct str status, type, message;
	enum verdict verdict;
};

struct verdict_rules {
	char *user;
	struct rule *rules;
	size_t count;
};

static const char *const verdict_names[] = {
	[VERDICT_OK] = "ok",
	[VERDICT_REQUEST] = "request",
	[VERDICT_AUTH] = "auth",
	[VERDICT_PAYMENT] = "payment",
	[VERDICT_QUOTA] = "quota",
	[VERDICT_CONCURRENCY] = "concurrency",
	[VERDICT_RATE] = "rate",
	[VERDICT_OVERLOAD] = "overload",
	[VERDICT_FORBIDDEN] = "forbidden",
	[VERDICT_SERVER] = "server",
};

static const char *const source_names[] = {
	[SOURCE_NONE] = "none",
	[SOURCE_STATED] = "stated",
	[SOURCE_KNOWN] = "known",
	[SOURCE_GUESS] = "guess",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * The order matters: what names one thing exactly comes before what merely mentions a word. A usage limit is
 * told of "this billing cycle", too many concurrent requests "for your plan": neither is about money.
 */
#define MONEY                                                                                               \
	"\"<balance>|<payment|<pay for|<unpaid>|<billing>|<credit>|<credits>|<subscription|<subscribe|<plan>|"  \
	"<plans>|<top-up|<top up>|<topup|<recharge|<arrears>|余额不足|余额|充值|欠费|未付费|未支付|付费|订阅|套餐\""

static const char builtin[] =
    "2xx engine_overloaded_error|overloaded_error * overload\n"
    "2xx rate_limit_reached_error|rate_limit_error|rate_limit_exceeded * rate\n"
    "2xx exceeded_current_quota_error|insufficient_quota * quota\n"
    "2xx invalid_authentication_error|authentication_error|incorrect_api_key_error * auth\n"
    "2xx billing_error|payment_required * payment\n"
    "2xx access_terminated_error \"usage limit|billing cycle\" quota\n"
    "2xx invalid_request_error|content_filter|resource_not_found_error|not_found_error * request\n"
    "2xx * \"overload\" overload\n"
    "2xx * * server\n"
    "3xx * * ok\n"
    "401 * * auth\n"
    "402 * * payment\n"
    "400 content_filter * request\n"
    "403 * \"only available for coding agents|user-agent|user agent\" request\n"
    "403 access_terminated_error \"usage limit|billing cycle|用量|额度|使用上限\" quota\n"
    "403|429 * \"concurren|并发\" concurrency\n"
    "400|403 payment_required|insufficient_balance|billing_error * payment\n"
    "403 * \"usage limit\" quota\n"
    "400|403 * " MONEY " payment\n"
    "403 * \"<membership>\" payment\n"
    "403 * * forbidden\n"
    "429|5xx engine_overloaded_error|overloaded_error * overload\n"
    "429 exceeded_current_quota_error|insufficient_quota * quota\n"
    "429 rate_limit_reached_error|rate_limit_error * rate\n"
    "429|500|503 * \"overload\" overload\n"
    "429 * * rate\n"
    "529 * * overload\n"
    /* The server's own doings, told with a 4xx: too slow a reading, the wrong connection, too early. */
    "408|421|425 * * server\n"
    "4xx * * request\n"
    "5xx * * server\n";

const char *
verdict_name(enum verdict v)
{
	return (size_t)v < COUNT(verdict_names) ? verdict_names[v] : "unknown";
}

int
verdict_from_name(struct str name, enum verdict *out)
{
	for (size_t i = 0; i < COUNT(verdict_names); i++)
		if (str_caseis(name, verdict_names[i])) {
			*out = (enum verdict)i;
			return 0;
		}
	return -1;
}

const char *
lock_source_name(enum lock_source s)
{
	return (size_t)s < COUNT(source_names) ? source_names[s] : "none";
}

int
lock_source_from_name(struct str name, enum lock_source *out)
{
	for (size_t i = 0; i < COUNT(source_names); i++)
		if (str_caseis(name, source_names[i])) {
			*out = (enum lock_source)i;
			return 0;
		}
	return -1;
}

/* ---- reading rules */

/* The next field of a line: a word, or text in double quotes. 1 when there was one, 0 at the end, -1 when it is unfinished. */
static int
take_field(struct str *line, struct str *field)
{
	size_t n = 0;

	*line = str_trim(*line);
	if (line->n == 0 || line->p[0] == '#')
		return 0;
	if (line->p[0] == '"') {
		*line = str_sub(*line, 1, line->n);
		while (n < line->n && line->p[n] != '"')
			n++;
		if (n == line->n || (n + 1 < line->n && line->p[n + 1] != ' ' && line->p[n + 1] != '\t'))
			return -1;
		*field = str_sub(*line, 0, n);
		*line = str_sub(*line, n + 1, line->n);
		return 1;
	}
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	*field = str_sub(*line, 0, n);
	*line = str_sub(*line, n, line->n);
	return 1;
}

/* An empty alternative would be in every message. */
static bool
alternatives_ok(struct str list)
{
	if (list.n == 0 || str_ends(list, "|"))
		return false;
	while (list.n) {
		struct str one = str_cut(&list, '|');

		if (str_trim(one).n == 0 || str_is(one, "<") || str_is(one, ">") || str_is(one, "<>"))
			return false;
	}
	return true;
}

static bool
status_word_ok(struct str word)
{
	long long n;

	if (word.n == 3 && str_caseis(str_sub(word, 1, 3), "xx"))
		return word.p[0] >= '1' && word.p[0] <= '5';
	return str_is(word, "*") || (word.n == 3 && str_int(word, 100, 999, &n) == 0);
}

static bool
status_ok(struct str list)
{
	while (list.n)
		if (!status_word_ok(str_cut(&list, '|')))
			return false;
	return true;
}

/* 1: a rule; 0: a blank line or comment; -1: neither, and *f says why. */
static int
read_rule(struct str line, int number, struct rule *r, struct fail *f)
{
	struct str fields[5];
	int n = 0, got = 0;

	while (n < 5 && (got = take_field(&line, &fields[n])) > 0)
		n++;
	if (got < 0)
		return fail_set(f, FAIL_INPUT, "line %d: a quoted text does not end", number);
	if (n == 0)
		return 0;
	if (n != 4)
		return fail_set(f, FAIL_INPUT, "line %d: a rule has four fields: status, type, message, verdict", number);
	if (!alternatives_ok(fields[0]) || !status_ok(fields[0]))
		return fail_set(f, FAIL_INPUT, "line %d: \"%.*s\" is no status: a number, a class such as 4xx, or *",
		    number, (int)(fields[0].n < 40 ? fields[0].n : 40), fields[0].p);
	if (!alternatives_ok(fields[1]) || !alternatives_ok(fields[2]))
		return fail_set(f, FAIL_INPUT, "line %d: an empty text would be in every answer; write * for any", number);
	*r = (struct rule){ .status = fields[0], .type = fields[1], .message = fields[2] };
	if (verdict_from_name(fields[3], &r->verdict) < 0)
		return fail_set(f, FAIL_INPUT, "line %d: \"%.*s\" is no verdict", number,
		    (int)(fields[3].n < 40 ? fields[3].n : 40), fields[3].p);
	return 1;
}

static int
add_rules(struct verdict_rules *r, struct str text, size_t max, struct fail *f)
{
	int result = 0;

	for (int number = 1; text.n; number++) {
		struct str line = str_cut(&text, '\n');
		struct fail bad;
		struct rule rule;
		struct rule *more;
		int got = read_rule(line, number, &rule, &bad);

		if (got > 0 && r->count >= max)
			got = fail_set(&bad, FAIL_INPUT, "line %d: more than %zu rules", number, max);
		if (got < 0 && result == 0) {
			result = -1;
			if (f)
				*f = bad;
		}
		if (got <= 0)
			continue;
		if (r->count % 32 == 0) {
			more = realloc(r->rules, (r->count + 32) * sizeof(*more));
			if (!more)
				return fail_memory(f);
			r->rules = more;
		}
		r->rules[r->count++] = rule;
	}
	return result;
}

int
verdict_rules_make(struct verdict_rules **out, struct str user, struct fail *f)
{
	struct verdict_rules *r = calloc(1, sizeof(*r));
	int result;

	*out = r;
	if (!r)
		return fail_memory(f);
	r->user = str_dup(user);
	if (!r->user) {
		verdict_rules_free(r);
		*out = NULL;
		return fail_memory(f);
	}
	result = add_rules(r, (struct str){ r->user, user.n }, VERDICT_RULES_MAX, f);
	if (add_rules(r, str_from(builtin), SIZE_MAX, result < 0 ? NULL : f) < 0)
		result = -1;
	return result;
}

void
verdict_rules_free(struct verdict_rules *r)
{
	if (!r)
		return;
	free(r->user);
	free(r->rules);
	free(r);
}

/* ---- matching them */

static bool
status_matches(struct str list, int status)
{
	char digits[12], class[4] = { (char)('0' + status / 100 % 10), 'x', 'x' };

	snprintf(digits, sizeof(digits), "%d", status);
	while (list.n) {
		struct str one = str_cut(&list, '|');

		if (str_is(one, "*") || str_is(one, digits) || str_caseis(one, class))
			return true;
	}
	return false;
}

static bool
type_matches(struct str list, const struct answer_error *e)
{
	while (list.n) {
		struct str one = str_cut(&list, '|');

		if (str_is(one, "*") || str_caseeq(one, buf_view(&e->type)) || str_caseeq(one, buf_view(&e->code)))
			return true;
	}
	return false;
}

static bool
is_word_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Whether the word at i goes on to the left (step -1) or right (step 1): "create_plan", "steps.plan" are other words. */
static bool
word_goes_on(struct str s, size_t i, int step)
{
	size_t next = i + (size_t)step;		/* below 0 it wraps, and is beyond the end like any other */

	if (next >= s.n)
		return false;
	if (s.p[next] == '.' && next + (size_t)step < s.n)
		next += (size_t)step;
	return is_word_byte(s.p[next]);
}

static bool
message_has(struct str message, struct str wanted)
{
	bool head = wanted.n > 1 && wanted.p[0] == '<', tail = wanted.n > 1 && wanted.p[wanted.n - 1] == '>';
	size_t from = 0;
	long at;

	wanted = str_sub(wanted, head, wanted.n - tail);
	while ((at = str_casefind(str_sub(message, from, message.n), wanted)) >= 0) {
		size_t start = from + (size_t)at, last = start + wanted.n - 1;

		if (!(head && word_goes_on(message, start, -1)) && !(tail && word_goes_on(message, last, 1)))
			return true;
		from = start + 1;
	}
	return false;
}

static bool
message_matches(struct str list, struct str message)
{
	if (str_is(list, "*"))
		return true;
	while (list.n)
		if (message_has(message, str_cut(&list, '|')))
			return true;
	return false;
}

/*
 * What a rule must not see is blanked: web addresses ("see .../docs/billing"), and in a 400 what stands in quotes,
 * because there the provider repeats what the client wrote. A quote that does not end was cut: it goes to the end.
 */
static void
blank_foreign(struct buf *message, bool quotes)
{
	char *p = message->p, open = '\0';

	for (size_t i = 0; i < message->n; i++) {
		struct str rest = { p + i, message->n - i };

		if (open) {
			if (p[i] == open && !(open == '\'' && i + 1 < message->n && is_word_byte(p[i + 1])))
				open = '\0';
			p[i] = ' ';
		} else if (quotes && (p[i] == '"' || p[i] == '`' || (p[i] == '\'' && !(i && is_word_byte(p[i - 1]))))) {
			open = p[i];
			p[i] = ' ';
		} else if (str_starts(rest, "http://") || str_starts(rest, "https://")) {
			while (i < message->n && p[i] != ' ' && p[i] != '\n')
				p[i++] = ' ';
		}
	}
}

static enum verdict
class_verdict(int status)
{
	switch (status / 100) {
	case 3:
		return VERDICT_OK;
	case 4:
		return VERDICT_REQUEST;
	default:
		return VERDICT_SERVER;
	}
}

static enum verdict
decide(const struct verdict_rules *r, int status, const struct answer_error *e)
{
	struct buf seen = BUF(ANSWER_MESSAGE_MAX);
	enum verdict v = class_verdict(status);

	/* An answer that is none: nothing, a 1xx nobody asked for, a number beyond all classes. */
	if (status < 200 || status > 599)
		return VERDICT_SERVER;
	if (status < 300 && !e->found)
		return VERDICT_OK;
	buf_str(&seen, buf_view(&e->message));
	blank_foreign(&seen, status == 400);
	for (size_t i = 0; r && i < r->count; i++) {
		const struct rule *rule = &r->rules[i];

		if (status_matches(rule->status, status) && type_matches(rule->type, e) &&
		    message_matches(rule->message, buf_view(&seen))) {
			v = rule->verdict;
			break;
		}
	}
	buf_free(&seen);
	return v;
}

/* ---- what follows from a verdict */

/* When the upstream says that trying again makes sense; 0 when it does not say, or nonsense. */
static time_t
stated_end(const struct answer *a, const struct answer_error *e, time_t now)
{
	time_t end;

	if (answer_hint(a->retry_after, now, &end) == 0 || answer_hint_ms(a->retry_after_ms, now, &end) == 0 ||
	    answer_hint(a->ratelimit_reset, now, &end) == 0)
		return end;
	return e->reset;
}

static void
lock_until(struct judgement *out, time_t end, enum lock_source source, const struct config *c, time_t now)
{
	if (c->cooldown_max_seconds > 0 && end > now + c->cooldown_max_seconds)
		end = now + c->cooldown_max_seconds;
	if (end <= now)
		return;
	out->until = end;
	out->source = source;
}

static void
lock_stated(struct judgement *out, time_t stated, time_t known, long long guess, const struct config *c, time_t now)
{
	if (stated)
		lock_until(out, stated, SOURCE_STATED, c, now);
	else if (known > now)
		lock_until(out, known, SOURCE_KNOWN, c, now);
	else
		lock_until(out, now + guess, SOURCE_GUESS, c, now);
}

static void
set_end(struct judgement *out, time_t stated, time_t known_reset, const struct config *c, time_t now)
{
	switch (out->verdict) {
	case VERDICT_OK:
	case VERDICT_REQUEST:
	case VERDICT_OVERLOAD:
	case VERDICT_SERVER:
		break;
	case VERDICT_AUTH:
		out->until = TIME_NEVER;
		out->source = SOURCE_GUESS;
		break;
	case VERDICT_PAYMENT:
		out->until = c->payment_block_seconds > 0 ? now + c->payment_block_seconds : TIME_NEVER;
		out->source = SOURCE_GUESS;
		break;
	case VERDICT_QUOTA:
		lock_stated(out, stated, known_reset, c->rotation_cooldown_seconds, c, now);
		break;
	case VERDICT_CONCURRENCY:
		lock_stated(out, stated, 0, CONCURRENCY_SECONDS, c, now);
		break;
	case VERDICT_RATE:
	case VERDICT_FORBIDDEN:
		lock_stated(out, stated, 0, c->rotation_cooldown_seconds, c, now);
		break;
	}
}

static const char *
trouble_text(enum trouble t)
{
	switch (t) {
	case TROUBLE_NONE:
		return "no answer";
	case TROUBLE_CONNECT:
		return "no connection to the upstream";
	case TROUBLE_TLS:
		return "TLS with the upstream failed";
	case TROUBLE_TIMEOUT:
		return "the upstream did not answer in time";
	case TROUBLE_CUT:
		return "the upstream cut the connection";
	}
	return "no answer";
}

static void
set_evidence(struct judgement *out, const struct answer *a, const struct answer_error *e)
{
	struct buf text = BUF(ANSWER_MESSAGE_MAX + 512);
	struct str type = buf_view(e->type.n ? &e->type : &e->code);

	if (out->status == 0)
		buf_puts(&text, trouble_text(a->trouble));
	else
		buf_printf(&text, "%d", out->status);
	if (out->status && type.n) {
		buf_putc(&text, ' ');
		buf_str(&text, type);
	}
	if (out->status && e->message.n) {
		buf_puts(&text, type.n ? ": " : " ");
		buf_str(&text, buf_view(&e->message));
	}
	answer_clean(buf_view(&text), out->evidence, sizeof(out->evidence));
	buf_free(&text);
}

static const char *
reason_of(enum verdict v)
{
	switch (v) {
	case VERDICT_OK:
		return "";
	case VERDICT_REQUEST:
		return N_("request");
	case VERDICT_AUTH:
		return N_("auth");
	case VERDICT_PAYMENT:
		return N_("payment_required");
	case VERDICT_QUOTA:
		return N_("quota");
	case VERDICT_CONCURRENCY:
		return N_("concurrency");
	case VERDICT_RATE:
		return N_("rate_limit");
	case VERDICT_OVERLOAD:
		return N_("overload");
	case VERDICT_FORBIDDEN:
		return N_("forbidden");
	case VERDICT_SERVER:
		return N_("server");
	}
	return "";
}

/* For the trace: the status says most, so a word stands only where it says nothing or misleads. */
static void
set_error_code(struct judgement *out, const struct answer *a)
{
	if (out->verdict == VERDICT_OK)
		out->error_code[0] = '\0';
	else if (out->verdict == VERDICT_PAYMENT)
		snprintf(out->error_code, sizeof(out->error_code), "payment_required");
	else if (a->trouble == TROUBLE_TIMEOUT)
		snprintf(out->error_code, sizeof(out->error_code), "timeout");
	else if (out->status < 200)
		snprintf(out->error_code, sizeof(out->error_code), "upstream_error");
	else if (out->status < 300)
		snprintf(out->error_code, sizeof(out->error_code), "%s",
		    out->verdict == VERDICT_SERVER ? N_("upstream_error") : out->reason);
	else
		snprintf(out->error_code, sizeof(out->error_code), "%d", out->status);
}

void
verdict_judge(const struct verdict_rules *r, const struct answer *a, const struct config *c, time_t now,
    time_t known_reset, struct judgement *out)
{
	struct answer_error e;

	memset(out, 0, sizeof(*out));
	out->status = a->trouble == TROUBLE_NONE ? a->status : 0;
	if (out->status >= 200 && out->status < 300)
		answer_read_stream(&e, a->body, now);
	else
		answer_read(&e, out->status ? a->body : (struct str){ 0 }, now);
	out->verdict = decide(r, out->status, &e);
	out->retry_other = out->verdict != VERDICT_OK && out->verdict != VERDICT_REQUEST;
	out->retry_same = out->verdict == VERDICT_OVERLOAD || out->verdict == VERDICT_SERVER;
	set_end(out, stated_end(a, &e, now), known_reset, c, now);
	out->whole_account = out->until && out->verdict != VERDICT_AUTH;
	snprintf(out->reason, sizeof(out->reason), "%s", reason_of(out->verdict));
	if (out->verdict != VERDICT_OK)
		set_evidence(out, a, &e);
	set_error_code(out, a);
	answer_free(&e);
}
