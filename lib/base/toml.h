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
 * The tree owns its strings; the text is not needed afterwards. Depth and
 * memory are bounded by the text's length and TOML_DEPTH_MAX.
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

int toml_parse(struct toml **root, struct str text, struct fail *f);
void toml_free(struct toml *root);	/* overwrites strings first: they may be secrets */

enum toml_type toml_type(const struct toml *t);		/* TOML_NONE for NULL */
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

/* Where the value stands in the text: first byte and one past the last. For a [table] header: the header line. */
void toml_span(const struct toml *t, size_t *from, size_t *to);
int toml_line(const struct toml *t);

#endif
