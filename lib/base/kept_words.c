#include "base/kept_words.h"

#include <stdio.h>
#include <string.h>

static const char *const frames[KEPT_FRAMES] = {
	[KEPT_CONNECTION] = N_("the connection failed (%s)"),
	[KEPT_TLS] = N_("no TLS connection came about (%s)"),
	[KEPT_CERTIFICATE] = N_("its certificate is not accepted (%s)"),
	[KEPT_STATUS] = N_("the upstream answered %s"),
};

void
kept_make(enum kept_frame frame, const char *filling, char *out, size_t size)
{
	const char *gap = strstr(frames[frame], "%s");

	snprintf(out, size, "%.*s%s%s", (int)(gap - frames[frame]), frames[frame], filling, gap + 2);
}

/* What stands for the %s when `kept` was made from that format, and its length; NULL: it was not. */
static const char *
filling(const char *format, const char *kept, size_t *n)
{
	size_t before = (size_t)(strstr(format, "%s") - format), after = strlen(format) - before - 2, all = strlen(kept);

	if (all < before + after || strncmp(kept, format, before) != 0 || strcmp(kept + all - after, format + before + 2) != 0)
		return NULL;
	*n = all - before - after;
	return kept + before;
}

/* NULL: the language of the process. */
static const char *
translated(const enum locale *locale, const char *english)
{
	return locale ? text_in(*locale, english) : text_say(english);
}

static const char *
say(const enum locale *locale, const char *kept, char *out, size_t size)
{
	const char *format, *part, *gap;
	size_t n;

	for (int i = 0; i < KEPT_FRAMES; i++) {
		if (!(part = filling(frames[i], kept, &n)))
			continue;
		format = translated(locale, frames[i]);
		gap = strstr(format, "%s");
		snprintf(out, size, "%.*s%.*s%s", (int)(gap - format), format, (int)n, part, gap + 2);
		return out;
	}
	snprintf(out, size, "%s", translated(locale, kept));
	return out;
}

const char *
kept_words_in(enum locale locale, const char *kept, char *out, size_t size)
{
	return say(&locale, kept, out, size);
}

const char *
kept_words(const char *kept, char *out, size_t size)
{
	return say(NULL, kept, out, size);
}
