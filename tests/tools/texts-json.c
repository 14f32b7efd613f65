/* texts-json: the Russian catalogue as JSON, for tests/texts/catalogue.py. */
#include "base/json.h"
#include "base/text_ru.h"

#include <stdio.h>

int
main(void)
{
	struct buf b = BUF(4u << 20);
	struct json_out o = { .to = &b };

	json_open(&o, '[');
	for (size_t i = 0; i < text_ru_count; i++) {
		json_open(&o, '{');
		json_key(&o, "english");
		json_put_cstr(&o, text_ru[i].english);
		json_key(&o, "russian");
		json_open(&o, '[');
		for (size_t form = 0; form < 3 && text_ru[i].russian[form]; form++)
			json_put_cstr(&o, text_ru[i].russian[form]);
		json_close(&o, ']');
		json_close(&o, '}');
	}
	json_close(&o, ']');
	if (buf_bad(&b) || fwrite(b.p, 1, b.n, stdout) != b.n)
		return 1;
	buf_free(&b);
	return fflush(stdout) == 0 ? 0 : 1;
}
