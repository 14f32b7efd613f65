#include "show/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>

struct table {
	struct libscols_table *scols;
	struct libscols_line *row;
	struct look look;
	size_t next;		/* the column whose cell comes next */
	bool bad;
};

struct table *
table_new(const struct look *l)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || !(t->scols = scols_new_table())) {
		free(t);
		return NULL;
	}
	t->look = *l;
	scols_table_enable_colors(t->scols, l->colour);
	if (l->width) {
		scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_ALWAYS);
		scols_table_set_termwidth(t->scols, (size_t)l->width);
	} else {
		scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);
	}
	scols_table_set_column_separator(t->scols, "  ");
	return t;
}

void
table_free(struct table *t)
{
	if (!t)
		return;
	scols_unref_table(t->scols);
	free(t);
}

void
table_column(struct table *t, const char *heading, int flags)
{
	struct libscols_column *column;
	int scols = flags & TABLE_WRAP ? SCOLS_FL_WRAP : SCOLS_FL_TRUNC;

	if (!t)
		return;
	if (flags & TABLE_RIGHT)
		scols |= SCOLS_FL_RIGHT;
	/* A hint below 1 is a share of the window: what is wider than that is cut before the others are. */
	column = scols_table_new_column(t->scols, heading, flags & TABLE_SHRINK ? 0.1 : 1, scols);
	if (!column)
		t->bad = true;
	else
		scols_cell_set_color(scols_column_get_header(column), look_begin(&t->look, TONE_BOLD));
}

void
table_row(struct table *t)
{
	if (!t)
		return;
	t->next = 0;
	t->row = scols_table_new_line(t->scols, NULL);
	if (!t->row)
		t->bad = true;
}

void
table_add(struct table *t, const char *text, enum tone tone)
{
	struct libscols_cell *cell;

	if (!t || !t->row)
		return;
	cell = scols_line_get_cell(t->row, t->next++);
	if (!cell || (text && *text && scols_cell_set_data(cell, text) < 0))
		t->bad = true;
	else if (*look_begin(&t->look, tone))
		scols_cell_set_color(cell, look_begin(&t->look, tone));
}

void
table_printf(struct table *t, enum tone tone, const char *fmt, ...)
{
	struct buf b = BUF(4096);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (!buf_bad(&b))
		table_add(t, b.p, tone);
	else if (t)
		t->bad = true;
	buf_free(&b);
}

int
table_text(struct table *t, struct buf *out)
{
	char *text = NULL;
	struct str rest;

	if (!t || t->bad)
		return -1;
	if (scols_table_get_nlines(t->scols) == 0)
		return 0;
	if (scols_print_table_to_string(t->scols, &text) != 0)
		return -1;
	rest = str_from(text);
	while (rest.n) {
		struct str line = str_cut(&rest, '\n');

		/* The last column is padded for nothing. */
		while (line.n && line.p[line.n - 1] == ' ')
			line.n--;
		/* libsmartcols makes no column narrower than its heading. */
		look_clip(&t->look, line, out);
		buf_putc(out, '\n');
	}
	free(text);
	return buf_bad(out) ? -1 : 0;
}
