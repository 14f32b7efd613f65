/*
 * look: what the place where the output goes can show.
 *
 * A terminal has a width and shows colours (unless NO_COLOR, TERM=dumb or the user say otherwise); a
 * pipe or a file gets plain text of any width.
 */
#ifndef KMI_SHOW_LOOK_H
#define KMI_SHOW_LOOK_H

#include "base/config.h"

struct look {
	bool terminal;
	bool colour;
	int width;	/* columns; 0 = as wide as need be */
};

/* What colour says must stand in words too. */
enum tone { TONE_NONE, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_DIM, TONE_BOLD };

/* `plain`: no colours, whatever the terminal can. Also lets this process measure UTF-8 text (LC_CTYPE). */
void look_detect(struct look *l, int fd, bool plain);
/* What begins and ends a tone; "" where there are no colours. */
const char *look_begin(const struct look *l, enum tone t);
const char *look_end(const struct look *l, enum tone t);
/* Appends one line, cut to the width there is; the tones in it take no room and all go through. */
void look_clip(const struct look *l, struct str line, struct buf *out);

#endif
