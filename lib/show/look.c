#include "show/look.h"

#include "base/window.h"

#include <stdlib.h>
#include <string.h>

void
look_detect(struct look *l, int fd, bool plain)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	bool dumb = !term || !*term || strcmp(term, "dumb") == 0;

	*l = (struct look){ .width = (int)window_width(fd) };
	l->terminal = l->width > 0;
	l->colour = l->terminal && !plain && !dumb && !(no_color && *no_color);
}

const char *
look_begin(const struct look *l, enum tone t)
{
	if (!l->colour)
		return "";
	switch (t) {
	case TONE_NONE:
		return "";
	case TONE_GOOD:
		return "\033[32m";
	case TONE_WARN:
		return "\033[33m";
	case TONE_BAD:
		return "\033[31m";
	case TONE_DIM:
		return "\033[2m";
	case TONE_BOLD:
		return "\033[1m";
	}
	return "";
}

const char *
look_end(const struct look *l, enum tone t)
{
	return l->colour && t != TONE_NONE ? "\033[0m" : "";
}

void
look_clip(const struct look *l, struct str line, struct buf *out)
{
	size_t used = 0, columns;

	while (line.n) {
		size_t n = window_step(line, &columns);

		used += columns;
		if (!l->width || used <= (size_t)l->width || line.p[0] == '\033')
			buf_put(out, line.p, n);
		line = str_sub(line, n, line.n);
	}
}
