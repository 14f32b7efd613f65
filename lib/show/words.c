#include "show/words.h"

#include "keys/verdict.h"

#include <stdio.h>

#define MINUTE 60
#define HOUR 3600
#define DAY 86400
#define YEAR (365 * DAY)

void
words_clean(struct buf *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; p && *p; p++) {
		/* U+0080 to U+009F are control characters as well: some terminals obey them. */
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
			buf_putc(out, '?');
			p++;
		} else {
			buf_putc(out, *p < 0x20 || *p == 0x7f ? '?' : (char)*p);
		}
	}
}

void
words_span(struct buf *out, long long seconds)
{
	if (seconds < MINUTE) {
		buf_printf(out, _("%lld s"), seconds > 0 ? seconds : 0);
	} else if (seconds < HOUR) {
		buf_printf(out, _("%lld min"), seconds / MINUTE);
	} else if (seconds < DAY) {
		buf_printf(out, _("%lld h"), seconds / HOUR);
		if (seconds < 10 * HOUR && seconds % HOUR >= MINUTE) {
			buf_putc(out, ' ');
			buf_printf(out, _("%lld min"), seconds % HOUR / MINUTE);
		}
	} else if (seconds < 3LL * YEAR) {
		buf_printf(out, _("%lld d"), seconds / DAY);
		if (seconds < 10 * DAY && seconds % DAY >= HOUR) {
			buf_putc(out, ' ');
			buf_printf(out, _("%lld h"), seconds % DAY / HOUR);
		}
	} else {
		buf_printf(out, text_plural(seconds / YEAR, "%lld y", "%lld y"), seconds / YEAR);
	}
}

void
words_when(struct buf *out, time_t when, time_t now)
{
	struct buf span = BUF(64);

	words_span(&span, when > now ? when - now : now - when);
	if (when == 0)
		buf_puts(out, _("never"));
	else if (when >= TIME_NEVER)
		buf_puts(out, _("until unlocked"));
	else if (when == now)
		buf_puts(out, _("now"));
	else
		buf_printf(out, when > now ? _("in %s") : _("%s ago"), buf_bad(&span) ? "?" : span.p);
	buf_free(&span);
}

void
words_fitness(struct buf *out, enum fitness fitness, size_t n)
{
	long long count = (long long)n;

	switch (fitness) {
	case FIT_HEALTHY:
		buf_printf(out, text_plural(count, "%lld healthy", "%lld healthy"), count);
		break;
	case FIT_WARN:
		buf_printf(out, text_plural(count, "%lld in warn", "%lld in warn"), count);
		break;
	case FIT_EXHAUSTED:
		buf_printf(out, text_plural(count, "%lld exhausted", "%lld exhausted"), count);
		break;
	case FIT_BLOCKED:
		buf_printf(out, text_plural(count, "%lld blocked", "%lld blocked"), count);
		break;
	case FIT_DISABLED:
		buf_printf(out, text_plural(count, "%lld disabled", "%lld disabled"), count);
		break;
	}
}

void
words_reason(struct buf *out, const char *reason)
{
	int left, end = 0;
	size_t from;

	if (sscanf(reason, "%d %% left%n", &left, &end) == 1 && end && !reason[end]) {
		buf_printf(out, _("%d %% left"), left);
		return;
	}
	from = out->n;
	words_clean(out, text_say(reason));
	for (size_t i = from; i < out->n; i++)
		if (out->p[i] == '_')
			out->p[i] = ' ';
}
