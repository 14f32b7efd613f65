/*
 * window: text and the width of the terminal it is shown on.
 *
 * A terminal breaks a line that is too long in the middle of a word and begins the rest at its left edge.
 * What is written through here breaks between words, and what follows is indented. A word that is longer than
 * the window, a URL or a path, stays whole, so that it can be copied. Escape sequences as show/look makes
 * them take no room.
 */
#ifndef KMI_BASE_WINDOW_H
#define KMI_BASE_WINDOW_H

#include "base/buf.h"

/* Columns of the terminal that fd is, 0: it is none. Comes first: it lets the process measure UTF-8 text (LC_CTYPE). */
size_t window_width(int fd);
/* The bytes of the first character or escape sequence of s, and the columns it takes. */
size_t window_step(struct str s, size_t *columns);
size_t window_columns(struct str s);

/* Appends a text that begins at column `at`; lines after the first are indented. Returns the column it ends at. */
size_t window_wrap(struct buf *out, struct str text, size_t width, size_t at, size_t indent);

enum window_text {
	WINDOW_LINES,		/* each line is for itself; {} and [], for programs, are left alone */
	WINDOW_HELP,		/* lines make paragraphs and lists of options */
};

/* Appends a text of many lines, those wrapped that are too wide; width 0: as it is. */
void window_fit(struct buf *out, struct str text, size_t width, enum window_text kind);

#endif
