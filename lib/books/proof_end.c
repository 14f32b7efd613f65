#include "books/proof_end.h"

#include "base/file.h"
#include "books/proof.h"

#include <errno.h>
#include <stdlib.h>

int
proof_end_open(struct proof_end *e, const char *state_dir, struct fail *f)
{
	char *path = file_join(state_dir, "state.json");
	struct buf text = BUF(0);
	int rc;

	*e = (struct proof_end){ 0 };
	if (!path)
		return fail_memory(f);
	rc = file_read(path, STATE_SIZE_MAX, &text, NULL, f);
	if (rc < 0 && errno == ENOENT) {
		*f = (struct fail){ 0 };
		rc = 0;
	} else if (rc == 0) {
		rc = state_parse(&e->state, buf_view(&text), f);
	}
	if (rc == 0 && !(e->told = calloc(e->state.count + 1, sizeof(*e->told))))
		rc = fail_memory(f);
	if (rc < 0)
		proof_end_close(e);
	buf_free(&text);
	free(path);
	return rc;
}

static void
tell(struct proof_end *e, const char *label, time_t ended)
{
	const struct state_key *k = label && e->told ? state_find(&e->state, label) : NULL;
	time_t *told = k ? &e->told[k - e->state.keys] : NULL;

	if (told && *told < ended)
		*told = ended;
}

void
proof_end_add(struct proof_end *e, const struct trace_line *l)
{
	if (!trace_line_is_ours(l))
		return;
	if (e->lines++ == 0 || l->ended < e->first)
		e->first = l->ended;
	tell(e, l->key_label, l->ended);
	for (int i = 0; i < l->attempt_count; i++)
		tell(e, l->attempts[i].label, l->ended);
}

void
proof_end_look(const struct proof_end *e, int64_t last_turn, time_t now, struct proof_missing *out)
{
	int64_t next = e->state.head.rotation_index;
	time_t newest = 0;

	*out = (struct proof_missing){ 0 };
	for (size_t i = 0; i < e->state.count; i++) {
		const struct state_key *k = &e->state.keys[i];
		time_t used = k->counts.last_used;

		if (used > now)
			continue;	/* written before the clock was set back */
		if (used > newest)
			newest = used;
		if (e->lines && used > e->first && used > e->told[i] && used > out->used) {
			out->key = k->label;
			out->used = used;
		}
	}
	out->empty = e->lines == 0 && newest > 0;
	if (newest && last_turn >= 0 && next > last_turn + 1) {
		out->turns = (size_t)(next - last_turn - 1);
		out->used = newest;
	}
	out->late = (out->turns || out->key) && now - out->used >= PROOF_RUNNING_SECONDS;
}

void
proof_end_close(struct proof_end *e)
{
	state_free(&e->state);
	free(e->told);
	*e = (struct proof_end){ 0 };
}
