/* Any bytes: either refused with a line, or entries with names and values. */
#include "base/dotenv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct dotenv d;
	struct fail f = { 0 };

	if (dotenv_parse(&d, text, &f) < 0) {
		if (strncmp(f.text, "line ", 5) != 0 || d.count)
			abort();
		return 0;
	}
	for (size_t i = 0; i < d.count; i++)
		if (!d.entries[i].name[0] || !d.entries[i].value || d.entries[i].line < 1)
			abort();
	dotenv_free(&d);
	return 0;
}
