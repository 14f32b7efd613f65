/* Any TOML, with a key set in it: reads back as meant, and setting it again changes nothing. */
#include "keys/client_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf once = BUF(1 << 20), twice = BUF(1 << 20);
	struct fail f = { 0 };

	if (client_config_set((struct str){ (const char *)data, n }, STR("sk-fake-\"\\new"), STR("https://u/v1"), &once, &f) == 0) {
		if (client_config_set(buf_view(&once), STR("sk-fake-\"\\new"), STR("https://u/v1"), &twice, &f) < 0 ||
		    once.n != twice.n || memcmp(once.p, twice.p, once.n) != 0)
			abort();
	}
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
