/*
 * state_layout: the parts of state.json that are rewritten in place, byte for byte. For state.c and
 * state_text.c alone.
 *
 * Such a part is a fixed row of members, each value padded with spaces to a
 * constant width:
 *
 *	"last_used": "2026-01-31T00:00:00Z", "request_count": 12          , "error_401": 0        , ...
 *
 * The file begins with '{' and the row of the header; a key's line with its quoted label, ": {" and the row
 * of its counts.
 */
#ifndef KMI_KEYS_STATE_LAYOUT_H
#define KMI_KEYS_STATE_LAYOUT_H

#include "keys/state.h"

#define LAYOUT_ROW_MAX STATE_ROW_MAX	/* no row is as long */
#define LAYOUT_FIELDS_MAX 16	/* no row has as many values */
#define LAYOUT_PAGE 4096	/* no row of counts straddles a multiple of it */
#define LAYOUT_HEAD_AT 1	/* where the header's row begins */
#define LAYOUT_INODE(n) ((long long)((n) % 1000000000000000000ULL))	/* as much of it as its field holds */

enum layout_kind { LAYOUT_NUMBER, LAYOUT_TIME, LAYOUT_BOOL };

struct layout_field {
	const char *name;
	enum layout_kind kind;
	int width;
};

enum { HEAD_SCHEMA, HEAD_EPOCH, HEAD_INODE, HEAD_SIZE, HEAD_ACTIVE, HEAD_ROTATION, HEAD_AUTO, HEAD_REFRESH, HEAD_FIELDS };
enum {
	KEY_USED, KEY_REQUESTS, KEY_401, KEY_403, KEY_429, KEY_5XX, KEY_SUCCESS, KEY_ERROR, KEY_FAULTS, KEY_FIELDS
};

struct layout {
	const struct layout_field *fields;
	int count;
};

extern const struct layout layout_head, layout_key;

size_t layout_length(const struct layout *l);
/* Writes the whole row; a value that its field cannot hold becomes the nearest one it can. */
void layout_write(const struct layout *l, const long long *values, char *row);
/* -1 unless the bytes are such a row to the letter. */
int layout_read(const struct layout *l, struct str row, long long *values);
/* Writes only the values that differ; whether every mixture of the old and the new bytes is valid JSON. */
bool layout_change(const struct layout *l, const long long *was, const long long *now, char *row);

void layout_from_head(const struct state_head *h, long long values[HEAD_FIELDS]);	/* inode and size are left alone */
void layout_to_head(const long long values[HEAD_FIELDS], struct state_head *h);
void layout_from_counts(const struct state_counts *c, long long values[KEY_FIELDS]);
void layout_to_counts(const long long values[KEY_FIELDS], struct state_counts *c);

#endif
