/*
 * table: rows and columns, aligned, not wider than the window. A thin coat over libsmartcols.
 *
 *	struct table *t = table_new(&look);
 *	table_column(t, _("LABEL"), 0);
 *	table_column(t, _("SOURCE"), TABLE_SHRINK);
 *	for (...) {
 *		table_row(t);
 *		table_add(t, key->label, TONE_NONE);
 *		table_add(t, key->path, TONE_DIM);
 *	}
 *	if (table_text(t, &out) < 0) ... no memory
 *	table_free(t);
 *
 * Failures are sticky and told by table_text(), so the calls between need no checks.
 */
#ifndef KMI_SHOW_TABLE_H
#define KMI_SHOW_TABLE_H

#include "base/buf.h"
#include "show/look.h"

enum table_flags {
	TABLE_RIGHT = 1,	/* numbers */
	TABLE_SHRINK = 2,	/* gives way first when the window is narrow */
	TABLE_WRAP = 4,		/* goes on in further lines instead of being cut */
};

struct table;

/* NULL: no memory; the other calls take that too, and table_text() tells. */
struct table *table_new(const struct look *l);
void table_free(struct table *t);
void table_column(struct table *t, const char *heading, int flags);
void table_row(struct table *t);
/* The next cell of the row; NULL and "" leave it empty. */
void table_add(struct table *t, const char *text, enum tone tone);
void table_printf(struct table *t, enum tone tone, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends the table to out; a table without rows is nothing, not even a heading. */
int table_text(struct table *t, struct buf *out);

#endif
