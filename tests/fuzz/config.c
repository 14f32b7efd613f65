/* Hostile values: the first byte picks a setting, the rest is its value on the command line. */
#include "base/config.h"
#include "base/endpoint.h"
#include "base/nearest.h"
#include "base/setting.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
load(size_t i, const char *text)
{
	const char *args[2] = { NULL, NULL };
	struct buf pair = BUF(1 << 20), value = BUF(1 << 20), again = BUF(1 << 20);
	struct config c;
	struct fail f;

	buf_printf(&pair, "%s=%s", settings[i].name + strlen("KMI_"), text);
	args[0] = pair.p;
	if (config_load(&c, args, &f) == 0) {
		config_value(&c, i, &value);
		config_free(&c);
		/* What is shown can be set again, and stays the same (a secret's stars are a token, too). */
		buf_reset(&pair);
		buf_printf(&pair, "%s=%.*s", settings[i].name + strlen("KMI_"), STR_F(buf_view(&value)));
		args[0] = pair.p;
		assert(config_load(&c, args, &f) == 0);
		config_value(&c, i, &again);
		assert(str_eq(buf_view(&value), buf_view(&again)));
		config_free(&c);
	} else {
		assert(f.kind == FAIL_USAGE && strstr(f.text, settings[i].name) && strstr(f.text, "allowed: "));
	}
	buf_free(&pair);
	buf_free(&value);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	unsetenv("KMI_ENV_PATH");
	text = str_dup((struct str){ (const char *)data + 1, size - 1 });
	load(data[0] % settings_count, text);
	endpoint_url_fault((struct str){ (const char *)data, size }, NULL);
	config_nearest(text);
	free(text);
	return 0;
}
