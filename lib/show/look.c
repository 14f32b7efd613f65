#include "show/look.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

static int
window_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long long n;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return str_int(str_from(columns), 1, 10000, &n) == 0 ? (int)n : 80;
}

void
look_detect(struct look *l, int fd, bool plain)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	bool dumb = !term || !*term || strcmp(term, "dumb") == 0;

	/* What we write is UTF-8, also where the environment does not say so: labels may hold any letter. */
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	*l = (struct look){ .terminal = isatty(fd) };
	if (!l->terminal)
		return;
	l->width = window_width(fd);
	l->colour = !plain && !dumb && !(no_color && *no_color);
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

/* The length of the escape sequence, as look_begin() makes them, that s begins with; 0 = none. */
static size_t
escape_length(struct str s)
{
	size_t n = 2;

	if (!str_starts(s, "\033["))
		return 0;
	while (n < s.n && s.p[n] != 'm')
		n++;
	return n < s.n ? n + 1 : n;
}

/* The columns the first character of s takes, and its bytes in *n. What is no character counts as one. */
static int
first_width(struct str s, size_t *n)
{
	mbstate_t state = { 0 };
	wchar_t c;

	*n = mbrtowc(&c, s.p, s.n, &state);
	if (*n == 0 || *n > s.n) {
		*n = 1;
		return 1;
	}
	return wcwidth(c) < 0 ? 1 : wcwidth(c);
}

void
look_clip(const struct look *l, struct str line, struct buf *out)
{
	bool full = false;
	int used = 0;

	while (line.n) {
		size_t n = escape_length(line);

		if (n == 0) {
			used += first_width(line, &n);
			full = full || (l->width && used > l->width);
			if (!full)
				buf_put(out, line.p, n);
		} else {
			buf_put(out, line.p, n);
		}
		line = str_sub(line, n, line.n);
	}
}
