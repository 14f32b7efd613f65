#include "books/tally.h"

#include <stdlib.h>
#include <string.h>

const char *const tally_class_names[TALLY_CLASSES] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };

static void
settle(struct tally *t)
{
	fairness_among(&t->choices, t->labels, t->label_count, t->waiting);
	t->waiting = 0;
}

static void
forget_set(struct tally *t)
{
	trace_labels_free(t->labels, t->label_count);
	free(t->among);
	t->labels = NULL;
	t->among = NULL;
	t->label_count = 0;
}

static int
keep_set(struct tally *t, const char *name, char *const *labels, size_t count)
{
	forget_set(t);
	t->among = strdup(name);
	t->labels = calloc(count + 1, sizeof(*t->labels));
	if (!t->among || !t->labels)
		return -1;
	for (; t->label_count < count; t->label_count++)
		if (!(t->labels[t->label_count] = strdup(labels[t->label_count])))
			return -1;
	return 0;
}

/* A large set is the same from line to line, mostly: its thousand keys are not owed their share one line at a time. */
static void
add_choice(struct tally *t, const struct trace_line *l)
{
	char **labels;
	size_t count;

	if (t->partial || l->rotation_index < 0 || !l->attempt_count || !l->attempts[0].label)
		return;
	if (l->eligible.set && t->among && strcmp(t->among, l->eligible.set) == 0) {
		t->waiting++;
	} else if (trace_sets_of(t->sets, &l->eligible, &labels, &count) != TRACE_SET_KNOWN) {
		return;		/* what is not known to have been owed is not counted as given */
	} else if (!l->eligible.set) {
		fairness_among(&t->choices, labels, count, 1);
	} else {
		settle(t);
		t->bad |= keep_set(t, l->eligible.set, labels, count) < 0;
		t->waiting = 1;
	}
	fairness_chosen(&t->choices, l->attempts[0].label);
}

static void
add_latency(struct tally *t, int64_t ms)
{
	if (ms < 0)
		return;
	if (t->latency_count == t->latency_room) {
		size_t room = t->latency_room ? 2 * t->latency_room : 256;
		int64_t *latency = realloc(t->latency, room * sizeof(*latency));

		if (!latency) {
			t->bad = true;
			return;
		}
		t->latency = latency;
		t->latency_room = room;
	}
	t->latency[t->latency_count++] = ms;
}

void
tally_add(struct tally *t, const struct trace_line *l)
{
	t->total++;
	t->classes[l->status >= 100 && l->status < 600 ? l->status / 100 : TALLY_NONE]++;
	t->retried += l->attempt_count > 1;
	if (l->key_label)
		fairness_chosen(&t->answers, l->key_label);
	add_latency(t, l->latency_ms);
	add_choice(t, l);
}

int
tally_figures(struct tally *t, struct tally_figures *out)
{
	settle(t);
	out->p50 = fairness_percentile(t->latency, t->latency_count, 50);
	out->p90 = fairness_percentile(t->latency, t->latency_count, 90);
	out->p99 = fairness_percentile(t->latency, t->latency_count, 99);
	out->max = fairness_percentile(t->latency, t->latency_count, 100);
	return fairness_figures(&t->choices, &out->fair) < 0 || t->answers.bad || t->bad ? -1 : 0;
}

void
tally_free(struct tally *t)
{
	fairness_free(&t->choices);
	fairness_free(&t->answers);
	free(t->latency);
	forget_set(t);
	*t = (struct tally){ .sets = t->sets, .partial = t->partial };
}
