/*
 * dotenv: NAME=value files, read as python-dotenv reads them.
 *
 * Comments, `export NAME=`, single quotes (only \' and \\ are escapes),
 * double quotes (\n \t \" \\ and the like), values over several lines inside
 * quotes, inline comments after unquoted values, `${NAME}` and
 * `${NAME:-default}` expanded everywhere but in single quotes: from names
 * set earlier in the file, else from the environment. A byte-order mark and CRLF are
 * allowed. The last of several equal names wins.
 *
 * Two differences, both on purpose: python-dotenv skips a line it cannot
 * read, here the whole file is refused; and it expands inside single quotes
 * too, which would damage a secret that happens to hold a `${`.
 */
#ifndef KMI_BASE_DOTENV_H
#define KMI_BASE_DOTENV_H

#include "base/buf.h"
#include "base/fail.h"

struct dotenv_entry {
	char *name;
	char *value;	/* never NULL: `NAME` alone has no entry */
	int line;	/* where the name stands */
};

/* In the order the names first appear, each name once. */
struct dotenv {
	struct dotenv_entry *entries;
	size_t count;
};

/*
 * Fails with FAIL_INPUT and "line N: ..." on the first line that cannot be
 * read; on failure *d is empty. Values that would expand to much more than
 * the text itself are such a line.
 */
int dotenv_parse(struct dotenv *d, struct str text, struct fail *f);
const char *dotenv_get(const struct dotenv *d, const char *name);	/* NULL when absent */
void dotenv_free(struct dotenv *d);	/* overwrites the values first: they may be secrets */

#endif
