/*
 * trace_text: trace lines as a person reads them: one in a row, one told at length, many summed up.
 *
 * What comes from clients and upstreams (paths, prompts, models) is shown without its control characters.
 */
#ifndef KMI_SHOW_TRACE_TEXT_H
#define KMI_SHOW_TRACE_TEXT_H

#include "books/proof.h"
#include "books/tally.h"
#include "show/look.h"

struct trace_row {
	int label_width;	/* columns of the label; a longer one is cut where there is a window */
	time_t today;		/* 0: date and time in full; else the time of what ended on that day, and the date of what did not */
};

/* "2026-02-02 15:30:00  200  alpha  1234 ms  POST /chat/completions ..."; no newline, not cut to any width. */
void trace_text_row(struct buf *out, const struct look *look, const struct trace_line *l, const struct trace_row *row);
/* A label in so many columns; cut where there is a window. NULL: "-". */
void trace_text_label(struct buf *out, const struct look *look, const char *label, int width);
/* Green, yellow or red for how the request ended. */
enum tone trace_text_tone(const struct trace_line *l);
/* What happened to one request, in sentences. labels: whom it was chosen among, as far as is known. */
void trace_text_why(struct buf *out, const struct look *look, const struct trace_line *l, char *const *labels,
    size_t count, enum proof proof, const struct fail *why);
/* Totals, figures and a table of the keys. window: how many lines were asked for, 0 = all. */
int trace_text_summary(struct buf *out, const struct look *look, const struct tally *t, const struct tally_figures *f,
    size_t window);
/* "2xx 48, 4xx 2" */
void trace_text_classes(struct buf *out, const struct tally *t);
void trace_text_latency(struct buf *out, const struct tally_figures *f);
/* "confidence 98.5 % (chi-square p 0.97)", or why there is none. */
void trace_text_confidence(struct buf *out, const struct tally *t, const struct tally_figures *f);

#endif
