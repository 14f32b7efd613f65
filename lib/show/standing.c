#include "show/standing.h"

#include "show/words.h"

#include <langinfo.h>
#include <string.h>

#define BAR_CELLS 10
#define LOW_PERCENT 20

enum tone
standing_tone(enum fitness fitness)
{
	switch (fitness) {
	case FIT_HEALTHY:
		return TONE_GOOD;
	case FIT_WARN:
	case FIT_EXHAUSTED:
		return TONE_WARN;
	case FIT_BLOCKED:
		return TONE_BAD;
	case FIT_DISABLED:
		return TONE_DIM;
	}
	return TONE_NONE;
}

void
standing_reason(struct buf *out, const struct choose_fit *fit, time_t now)
{
	struct buf when = BUF(128);

	if (fit->fitness == FIT_DISABLED)
		return;
	words_reason(out, fit->reason);
	if (fit->until) {
		words_when(&when, fit->until, now);
		buf_puts(out, *fit->reason ? ", " : "");
		buf_printf(out, fit->until < TIME_NEVER ? _("free %s") : "%s", buf_bad(&when) ? "?" : when.p);
	}
	buf_free(&when);
}

void
standing_bar(struct buf *out, const struct look *look, double percent)
{
	bool blocks = look->terminal && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	int full = (int)(percent / 100 * BAR_CELLS + 0.5);

	if (percent < 0) {
		buf_puts(out, _("unknown"));
		return;
	}
	if (full == 0 && percent > 0)
		full = 1;	/* something is left, and is seen */
	for (int i = 0; i < BAR_CELLS; i++)
		buf_puts(out, i < full ? (blocks ? "█" : "#") : (blocks ? "░" : "."));
	buf_printf(out, " %3.0f %%", percent > 0 && percent < 1 ? 1 : percent);
}

enum tone
standing_bar_tone(double percent)
{
	return percent < 0 ? TONE_DIM : percent == 0 ? TONE_BAD : percent < LOW_PERCENT ? TONE_WARN : TONE_GOOD;
}
