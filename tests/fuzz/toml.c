/* Any bytes: either refused with a line, or a tree whose spans lie inside the text. */
#include "base/toml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct toml *t, size_t size)
{
	size_t from, to;

	toml_span(t, &from, &to);
	if (toml_type(t) == TOML_NONE || from > to || to > size || toml_line(t) < 1)
		abort();
	for (const struct toml *m = toml_first(t); m; m = toml_next(m)) {
		if (toml_type(t) == TOML_TABLE && toml_get(t, toml_key(m)) != m)
			abort();
		check(m, size);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct fail f = { 0 };
	struct toml *root;

	if (toml_parse(&root, text, &f) < 0) {
		if (strncmp(f.text, "line ", 5) != 0 || root)
			abort();
		return 0;
	}
	check(root, size);
	toml_free(root);
	return 0;
}
