/*
 * toml: TOML 1.0 as a tree, each node with the place it was written at.
 *
 *	struct toml *root;
 *	if (toml_parse(&root, text, f) < 0) return -1;	// "line N: ..."
 *	const struct toml *p = toml_get(toml_get(root, STR("providers")), STR("main"));
 *	const char *key = toml_string(toml_get(p, STR("api_key")), NULL);
 *	toml_free(root);
 *
 * Getters take NULL and give "not there", so chains need no checks between.
 * The tree owns its strings; the text is not needed afterwards. Memory and
 * time grow with the text's length and no faster, but a byte of text can cost
 * fifty of memory, so the caller caps what it reads; what is nested deeper
 * than TOML_DEPTH_MAX is refused. CRLF inside a string reads as LF. Messages hold
 * neither keys nor values: either may be a secret in a wrong place.
 */
#ifndef KMI_BASE_TOML_H
#define KMI_BASE_TOML_H

#include "base/buf.h"
#include "base/fail.h"

#define TOML_DEPTH_MAX 64

enum toml_type {
	TOML_NONE,
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_OFFSET_DATETIME,
	TOML_LOCAL_DATETIME,
	TOML_LOCAL_DATE,
	TOML_LOCAL_TIME,
};

struct toml;

/* On failure *root is NULL. */
int toml_parse(struct toml **root, struct str text, struct fail *f);
void toml_free(struct toml *root);	/* overwrites strings first: they may be secrets */

enum toml_type toml_type(const struct toml *t);		/* TOML_NONE for NULL */
/* Looks at one member after the other: to go through a big table, use toml_first() and toml_next(). */
const struct toml *toml_get(const struct toml *table, struct str key);
size_t toml_size(const struct toml *t);
/* Members of a table or array, in the order they were written. */
const struct toml *toml_first(const struct toml *t);
const struct toml *toml_next(const struct toml *member);
struct str toml_key(const struct toml *member);

/* The text of a string (may hold NUL; *n, when not NULL, is its length), else NULL. */
const char *toml_string(const struct toml *t, size_t *n);
int toml_integer(const struct toml *t, long long *out);
int toml_float(const struct toml *t, double *out);	/* a float or an integer */
int toml_bool(const struct toml *t, bool *out);
/* A date or time, in the normal form of RFC 3339; NULL for other types. */
const char *toml_datetime(const struct toml *t);

/*
 * Where the value stands in the text: first byte and one past the last, so
 * that it can be changed and all other bytes kept. A table with a header, and
 * an element of an array of tables, has the header from `[` to `]`; what only a
 * longer header or a dotted key implies, that part of the key; the root all.
 */
void toml_span(const struct toml *t, size_t *from, size_t *to);
int toml_line(const struct toml *t);

#endif
