/*
 * toml_scalar: what a bare word of TOML means: a number, a truth value, a date or a time.
 *
 * Pure: a word in, a value out. toml.c cuts the words out of the text; nobody else needs this.
 */
#ifndef KMI_BASE_TOML_SCALAR_H
#define KMI_BASE_TOML_SCALAR_H

#include "base/buf.h"
#include "base/toml.h"

struct toml_scalar {
	enum toml_type type;	/* for dates and times all that is to know: the word itself is the value */
	long long integer;
	double number;
	bool truth;
};

/* NULL, or what is wrong with the word. `scratch` needs room for the word and one byte more. */
const char *toml_scalar_read(struct str word, struct buf *scratch, struct toml_scalar *out);
/* Whether the word is shaped like a date, so that a time may follow after a space. */
bool toml_scalar_is_date(struct str word);

#endif
