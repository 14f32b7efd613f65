#include "books/proof.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any line is read or refused, and proved or not; and what was a client's bytes comes back from a line that we wrote. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str any = { (const char *)data, size };
	struct config c = { .trace_prompts = true };
	struct trace_record t = { .method = STR("GET"), .endpoint = any, .model = str_sub(any, 0, 100),
		.prompt_hint = str_sub(any, 0, 200), .status = 200, .rotation_index = -1 };
	struct buf line = BUF(TRACE_LINE_MAX);
	struct trace_line l;

	if (trace_read_line(&l, any, NULL) == 0) {
		struct proof_among among = { .labels = l.eligible.labels, .count = l.eligible.labels ? l.eligible.count : 0 };
		struct fail why;

		trace_line_intact(&l);
		if (l.accounts.labels && l.accounts.count == among.count)
			among.accounts = l.accounts.labels;
		proof_line(&l, &among, &why);
		trace_line_free(&l);
	}
	trace_format(&t, &c, &line);
	if (buf_bad(&line) || trace_read_line(&l, buf_view(&line), NULL) < 0 || trace_line_intact(&l) != 1)
		abort();
	trace_line_free(&l);
	buf_free(&line);
	return 0;
}
