/*
 * standing: how a key stands, as a person reads it: a colour, the reason in words, what is left as a bar.
 */
#ifndef KMI_SHOW_STANDING_H
#define KMI_SHOW_STANDING_H

#include "base/buf.h"
#include "keys/choose.h"
#include "show/look.h"

enum tone standing_tone(enum fitness fitness);
/* "rate limit, free in 4 min"; nothing when it is healthy or disabled. */
void standing_reason(struct buf *out, const struct choose_fit *fit, time_t now);
/* "########..  85 %"; percent < 0 is "unknown". */
void standing_bar(struct buf *out, const struct look *look, double percent);
enum tone standing_bar_tone(double percent);

#endif
