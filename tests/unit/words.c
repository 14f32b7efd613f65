#include "show/words.h"

#include "check.h"
#include "keys/verdict.h"

static struct buf b = { .max = 256 };

static const char *
span(long long seconds)
{
	buf_reset(&b);
	words_span(&b, seconds);
	buf_puts(&b, "");
	return b.p;
}

static const char *
when(time_t t, time_t now)
{
	buf_reset(&b);
	words_when(&b, t, now);
	buf_puts(&b, "");
	return b.p;
}

int
main(void)
{
	CHECK_STR(span(0), "0 s");
	CHECK_STR(span(-5), "0 s");
	CHECK_STR(span(59), "59 s");
	CHECK_STR(span(60), "1 min");
	CHECK_STR(span(119), "1 min");
	CHECK_STR(span(3599), "59 min");
	CHECK_STR(span(3600), "1 h");
	CHECK_STR(span(7500), "2 h 5 min");
	CHECK_STR(span(36000 + 1800), "10 h");
	CHECK_STR(span(86399), "23 h");
	CHECK_STR(span(86400 * 3 + 3600 * 4), "3 d 4 h");
	CHECK_STR(span(86400 * 30 + 3600 * 4), "30 d");
	CHECK_STR(span(86400LL * 365 * 3 - 1), "1094 d");
	CHECK_STR(span(86400LL * 365 * 12), "12 y");
	CHECK_STR(when(0, 1000), "never");
	CHECK_STR(when(1000, 1000), "now");
	CHECK_STR(when(1240, 1000), "in 4 min");
	CHECK_STR(when(1000, 1000 + 7200), "2 h ago");
	CHECK_STR(when(TIME_NEVER, 1000), "until unlocked");
	CHECK_STR(words_plural(1, "%lld key", "%lld keys"), "%lld key");
	CHECK_STR(words_plural(0, "%lld key", "%lld keys"), "%lld keys");
	buf_reset(&b);
	words_reason(&b, "payment_required");
	buf_puts(&b, "");
	CHECK_STR(b.p, "payment required");
	buf_reset(&b);
	words_reason(&b, "x\033[31m\xc2\x9b_y");
	buf_puts(&b, "");
	CHECK_STR(b.p, "x?[31m? y");
	buf_free(&b);
	return check_done();
}
