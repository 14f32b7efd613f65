/* Whatever an upstream answers to /usages, what is read from it stays within its bounds. */
#include "keys/usage.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct usage u;
	struct fail f = { 0 };
	time_t until;
	int left;

	if (usage_parse(&u, (struct str){ (const char *)data, n }, 1767700000, &f) < 0)
		return 0;
	left = usage_left(&u, 1767700000, &until);
	if (left < -1 || left > 100 || u.window_count > USAGE_WINDOWS_MAX || u.total.left > 100)
		abort();
	for (size_t i = 0; i < u.window_count; i++)
		if (!(u.windows[i].figures.left >= 0 && u.windows[i].figures.left <= 100))
			abort();
	return 0;
}
