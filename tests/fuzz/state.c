/* state.json of any content: what is read must come out as JSON of our layout, and be the same when it is read again. */
#include "base/json.h"
#include "keys/state_layout.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool true_always)
{
	if (!true_always)
		abort();
}

static void
read_rows(struct str text)
{
	char row[LAYOUT_ROW_MAX];
	long long values[LAYOUT_FIELDS_MAX], again[LAYOUT_FIELDS_MAX];

	if (layout_read(&layout_key, text, values) < 0)
		return;
	layout_write(&layout_key, values, row);
	must(layout_read(&layout_key, (struct str){ row, sizeof(row) }, again) == 0);
	must(memcmp(values, again, KEY_FIELDS * sizeof(*values)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct buf first = BUF(STATE_SIZE_MAX), second = BUF(STATE_SIZE_MAX);
	struct state st, again;
	struct fail f;
	struct json j;

	read_rows(text);
	if (state_parse(&st, text, &f) < 0)
		return 0;
	state_print(&st, size, &first);
	must(!buf_bad(&first));
	must(json_parse(&j, buf_view(&first), &f) == 0);
	json_free(&j);
	must(state_parse(&again, buf_view(&first), &f) == 0);
	must(again.count == st.count);
	for (size_t i = 0; i < st.count; i++) {
		must(again.keys[i].offset == st.keys[i].offset);
		must(state_find(&again, st.keys[i].label) == &again.keys[i]);
	}
	state_print(&again, size, &second);
	must(str_eq(buf_view(&first), buf_view(&second)));
	state_free(&st);
	state_free(&again);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
