/* A key file of any content: the first byte picks the format. */
#include "keys/auths.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "a_config.env", "b@example.com.toml", "c.json.bak" };
	struct buf out = BUF(4096);
	struct keyfile k;
	struct fail f;
	unsigned kind;

	if (size == 0)
		return 0;
	kind = data[0] % 3;
	if (keyfile_parse(&k, (enum key_format)kind, (struct str){ (const char *)data + 1, size - 1 }, NULL, &f) == 0) {
		struct str key = str_from(keyfile_key(&k));

		free(keyfile_email(&k, (struct str){ (const char *)data + 1, size - 1 }, names[kind]));
		auths_mask(key, &out);
		auths_clean_label(str_from(keyfile_setting(&k, "KMI_KEY_LABEL")), &out);
		if (auths_key_ok(key) && !keyfile_base_url(&k) && keyfile_provider(&k))
			buf_puts(&out, keyfile_provider(&k));
	}
	keyfile_free(&k);
	buf_free(&out);
	return 0;
}
