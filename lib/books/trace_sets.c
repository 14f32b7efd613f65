#include "books/trace_sets.h"

#include <stdlib.h>
#include <string.h>

static void
forget(struct trace_set_kept *k)
{
	free(k->name);
	trace_labels_free(k->labels, k->count);
	*k = (struct trace_set_kept){ 0 };
}

void
trace_sets_free(struct trace_sets *s)
{
	for (size_t i = 0; i < TRACE_SETS_KEPT; i++)
		forget(&s->kept[i]);
}

/* Reads a set, in the place of the oldest one that is kept; a file that is missing is kept as an empty one. */
static unsigned
fetch(struct trace_sets *s, const char *set)
{
	unsigned at = (s->next == s->last ? s->next + 1 : s->next) % TRACE_SETS_KEPT;
	struct trace_set_kept *k = &s->kept[at];
	char name[TRACE_HASH_SIZE];

	s->next = (at + 1) % TRACE_SETS_KEPT;
	forget(k);
	k->name = strdup(set);
	if (!k->name || trace_read_set(s->config, set, &k->labels, &k->count, NULL) < 0)
		return at;
	trace_set_name((const char *const *)k->labels, k->count, name);
	k->changed = strcmp(name, set) != 0;
	return at;
}

enum trace_set_answer
trace_sets_of(struct trace_sets *s, const struct trace_list *l, char ***labels, size_t *count)
{
	const struct trace_set_kept *k;
	unsigned at = 0;

	*labels = l->labels;
	*count = l->labels ? l->count : 0;
	if (!l->set)
		return *count ? TRACE_SET_KNOWN : TRACE_SET_NONE;
	while (at < TRACE_SETS_KEPT && !(s->kept[at].name && strcmp(s->kept[at].name, l->set) == 0))
		at++;
	if (at == TRACE_SETS_KEPT)
		at = fetch(s, l->set);
	s->last = at;
	k = &s->kept[at];
	*labels = k->labels;
	*count = k->count;
	if (!k->labels)
		return TRACE_SET_NONE;
	return k->changed || k->count != l->count ? TRACE_SET_CHANGED : TRACE_SET_KNOWN;
}
