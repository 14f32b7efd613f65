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
static struct trace_set_kept *
fetch(struct trace_sets *s, const char *set)
{
	struct trace_set_kept *k = &s->kept[s->next++ % TRACE_SETS_KEPT];
	char name[TRACE_HASH_SIZE];

	forget(k);
	k->name = strdup(set);
	if (!k->name || trace_read_set(s->config, set, &k->labels, &k->count, NULL) < 0)
		return k;
	trace_set_name((const char *const *)k->labels, k->count, name);
	k->changed = strcmp(name, set) != 0;
	return k;
}

enum trace_set_answer
trace_sets_of(struct trace_sets *s, const struct trace_line *l, char ***labels, size_t *count)
{
	struct trace_set_kept *k = NULL;

	*labels = l->eligible;
	*count = l->eligible ? l->eligible_count : 0;
	if (!l->eligible_set)
		return *count ? TRACE_SET_KNOWN : TRACE_SET_NONE;
	for (size_t i = 0; i < TRACE_SETS_KEPT && !k; i++)
		if (s->kept[i].name && strcmp(s->kept[i].name, l->eligible_set) == 0)
			k = &s->kept[i];
	if (!k)
		k = fetch(s, l->eligible_set);
	*labels = k->labels;
	*count = k->count;
	if (!k->labels)
		return TRACE_SET_NONE;
	return k->changed || k->count != l->eligible_count ? TRACE_SET_CHANGED : TRACE_SET_KNOWN;
}
