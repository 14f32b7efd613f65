/*
 * screen: the live view of the trace, by ncursesw. Newest request first, the figures of the last `window` of
 * them above.
 *
 * Keys: q quit, p or space pause, / or f filter by key or status, Esc or c all again, arrows to look at older ones.
 */
#ifndef KMI_SHOW_SCREEN_H
#define KMI_SHOW_SCREEN_H

#include "base/config.h"
#include "books/trace_filter.h"

/* Until the person quits, or a signal says so: the exit code. -1 when this terminal can show no screen. */
int screen_run(const struct config *c, const struct trace_filter *filter, size_t window, bool colour);

#endif
