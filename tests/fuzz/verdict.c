/*
 * Any rules, any answer: a judgement that holds together. The bytes are taken apart at NULs: rules, body, three headers;
 * the first two bytes are the status and whether there was an answer at all.
 */
#include "keys/verdict.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1790000000

static void
hold(int truth)
{
	if (!truth)
		abort();
}

static void
check(const struct judgement *j, const struct config *c)
{
	bool locks = j->until != 0;

	hold(memchr(j->evidence, '\0', sizeof(j->evidence)) && memchr(j->error_code, '\0', sizeof(j->error_code)));
	hold(str_utf8(str_from(j->evidence)));
	for (const char *p = j->evidence; *p; p++)
		hold((unsigned char)*p >= 0x20 && *p != 0x7f);
	hold(locks == (j->source != SOURCE_NONE));
	if (locks && j->until != TIME_NEVER)
		hold(j->until > NOW && j->until <= NOW + c->cooldown_max_seconds);
	hold(!j->whole_account || locks);
	if (j->verdict == VERDICT_OK || j->verdict == VERDICT_REQUEST)
		hold(!locks && !j->retry_other && !j->retry_same);
	hold((j->verdict == VERDICT_OK) == (j->error_code[0] == '\0'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = { .rotation_cooldown_seconds = 300, .cooldown_max_seconds = 21600, .payment_block_seconds = 3600 };
	struct verdict_rules *r;
	struct judgement j;
	struct answer a;
	struct str rest, rules;

	if (size < 2)
		return 0;
	rest = (struct str){ (const char *)data + 2, size - 2 };
	rules = str_cut(&rest, '\0');
	a = (struct answer){
		.status = data[0] * 4 + (data[1] & 3),
		.trouble = data[1] > 250 ? TROUBLE_TIMEOUT : TROUBLE_NONE,
		.retry_after = str_cut(&rest, '\0'),
		.retry_after_ms = str_cut(&rest, '\0'),
		.ratelimit_reset = str_cut(&rest, '\0'),
	};
	a.body = rest;
	verdict_rules_make(&r, rules, NULL);
	verdict_judge(r, &a, &c, NOW, 0, &j);
	verdict_rules_free(r);
	check(&j, &c);
	return 0;
}
