#include "books/prompt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(int ok)
{
	if (!ok)
		abort();
}

/* What comes out is UTF-8 on one line, whatever went in. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = { (const char *)data, size };
	struct prompt_usage u;
	struct prompt p;

	prompt_read(&p, body, true);
	insist(str_utf8(str_from(p.model)) && str_utf8(str_from(p.hint)) && str_utf8(str_from(p.head)));
	for (const char *c = p.hint; *c; c++)
		insist((unsigned char)*c >= 0x20 && *c != 0x7f);
	insist(!strstr(p.hint, "  "));
	prompt_usage_read(&u, body);
	insist(u.prompt_tokens >= -1 && u.completion_tokens >= -1 && u.cached_tokens >= -1);
	return 0;
}
