#include "base/window.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define SYNOPSIS_AT 24	/* "usage: " in any language is no longer */

size_t
window_width(int fd)
{
	struct winsize size;
	long long n;

	/* What we write is UTF-8, also where the environment does not say so: labels may hold any letter. */
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return str_int(str_from(getenv("COLUMNS")), 1, 10000, &n) == 0 ? (size_t)n : 80;
}

/* The length of the escape sequence that s begins with; 0 = none. */
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

size_t
window_step(struct str s, size_t *columns)
{
	size_t n = escape_length(s);
	mbstate_t state = { 0 };
	wchar_t c;

	*columns = 0;
	if (n)
		return n;
	n = mbrtowc(&c, s.p, s.n, &state);
	*columns = 1;		/* also what is no character */
	if (n == 0 || n > s.n)
		return 1;
	if (wcwidth(c) >= 0)
		*columns = (size_t)wcwidth(c);
	return n;
}

size_t
window_columns(struct str s)
{
	size_t all = 0, columns;

	while (s.n) {
		s = str_sub(s, window_step(s, &columns), s.n);
		all += columns;
	}
	return all;
}

static size_t
leading(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] == ' ')
		n++;
	return n;
}

size_t
window_wrap(struct buf *out, struct str text, size_t width, size_t at, size_t indent)
{
	bool fresh = true;	/* nothing but blanks on this line yet */

	while (text.n) {
		size_t blanks = leading(text), end = blanks, columns;
		struct str word;

		while (end < text.n && text.p[end] != ' ')
			end++;
		word = str_sub(text, blanks, end);
		columns = window_columns(word);
		if (!fresh && width && at + blanks + columns > width) {
			buf_putc(out, '\n');
			buf_fill(out, ' ', indent);
			at = indent;
			blanks = 0;
		}
		buf_fill(out, ' ', blanks);
		buf_str(out, word);
		at += blanks + columns;
		fresh = fresh && columns == 0;
		text = str_sub(text, end, text.n);
	}
	return at;
}

/* The column at which the text begins that stands apart from what is left of it; 0: there is none. */
static size_t
apart(struct str line)
{
	size_t first = leading(line), at = first, columns;

	for (line = str_sub(line, first, line.n); line.n; at += columns) {
		size_t blanks = leading(line);

		if (blanks > 1)
			return blanks < line.n ? at + blanks : 0;
		line = str_sub(line, window_step(line, &columns), line.n);
	}
	return 0;
}

/* Where in a line of help a command begins that can be typed; 0: nowhere. */
static size_t
synopsis(struct str line)
{
	size_t first = leading(line), columns;
	struct str rest = str_sub(line, first, line.n);

	if (first && str_starts(rest, "kmi"))
		return first;
	for (size_t at = first; rest.n && at < SYNOPSIS_AT; at += columns) {
		if (str_starts(rest, ": kmi"))
			return at + 2;
		rest = str_sub(rest, window_step(rest, &columns), rest.n);
	}
	return 0;
}

static struct str
first_line(struct str text)
{
	return str_cut(&text, '\n');
}

/* How far what does not fit of a line is indented. `list`: the column of what is said of the options before it. */
static size_t
indent_of(struct str line, struct str next, size_t list, size_t width, enum window_text kind)
{
	size_t own = leading(line), of_next = leading(next), column = apart(line);

	if (column && column <= width / 2)
		return column;
	if (kind == WINDOW_LINES)
		return own + 2 <= width / 2 ? own + 2 : 0;
	if (of_next > own && of_next < next.n && of_next <= width / 2 && !synopsis(next))
		return of_next;
	if (own && own < line.n && line.p[own] == '-' && list)
		return list;
	column = synopsis(line);
	return column ? column + 4 : own;
}

static bool
goes_on(struct str next, size_t indent)
{
	return leading(next) == indent && indent < next.n && !apart(next) && !synopsis(next);
}

/* A line that is too wide, in help together with those that go on with it. */
static void
put_wide(struct buf *out, struct str line, struct str *rest, size_t list, size_t width, enum window_text kind)
{
	size_t indent = indent_of(line, first_line(*rest), list, width, kind);
	struct buf whole = BUF(16u << 20);

	buf_str(&whole, line);
	while (kind == WINDOW_HELP && goes_on(first_line(*rest), indent)) {
		buf_putc(&whole, ' ');
		buf_str(&whole, str_trim(str_cut(rest, '\n')));
	}
	window_wrap(out, buf_view(&whole), width, 0, indent);
	out->bad |= whole.bad;
	buf_free(&whole);
}

void
window_fit(struct buf *out, struct str text, size_t width, enum window_text kind)
{
	size_t list = 0;

	while (text.n) {
		struct str line = str_cut(&text, '\n');
		bool data = kind == WINDOW_LINES && (str_starts(line, "{") || str_starts(line, "["));

		if (!width || data || window_columns(line) <= width)
			buf_str(out, line);
		else
			put_wide(out, line, &text, list, width, kind);
		if (apart(line) && apart(line) <= width / 2)
			list = apart(line);
		if (text.p > line.p + line.n)
			buf_putc(out, '\n');	/* the last line may have none */
	}
}
