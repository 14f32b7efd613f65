#include "show/audit_text.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

/* "2 turns", or a key and when. */
static void
put_missing_text(struct buf *out, const struct audit *a)
{
	const struct proof_missing *m = &a->missing;
	char at[CLOCK_LOCAL_SIZE];

	clock_local(m->used, at);
	if (m->turns && m->late)
		buf_printf(out, text_plural((long long)m->turns,
		    "state.json counts %lld turn after the last line: its line was removed, or its request was killed or still runs\n",
		    "state.json counts %lld turns after the last line: lines were removed, or requests were killed or still run\n"),
		    (long long)m->turns);
	else if (m->turns)
		buf_printf(out, text_plural((long long)m->turns,
		    "%lld turn after the last line is not there yet: its request still runs, or was killed, or its line was removed\n",
		    "%lld turns after the last line are not there yet: their requests still run, or were killed, or lines were removed\n"),
		    (long long)m->turns);
	else if (m->key && m->late)
		buf_printf(out, _("key %s was used %s, as state.json says, but no line tells of it: it was removed, or its request "
		    "was killed or still runs\n"), m->key, at);
	else if (m->key)
		buf_printf(out, _("key %s was used %s, as state.json says, and no line tells of it yet: its request still runs, or was "
		    "killed, or its line was removed\n"), m->key, at);
	else if (m->empty)
		buf_puts(out, _("the trace has no line, though state.json knows of requests: nothing can be said of these\n"));
}

static void
put_missing_json(struct json_out *o, const struct audit *a)
{
	const struct proof_missing *m = &a->missing;

	if (!m->turns && !m->key) {
		json_put_null(o);
		return;
	}
	json_open(o, '{');
	json_key(o, "turns");
	json_put_int(o, (long long)m->turns);
	json_key(o, "key");
	json_put_cstr(o, m->key);
	json_key(o, "used_at");
	json_put_time(o, m->used);
	json_key(o, "counts_as_wrong");
	json_put_bool(o, m->late);
	json_close(o, '}');
}

void
audit_json(struct buf *out, const struct audit *a)
{
	struct json_out o = { .to = out };

	json_open(&o, '{');
	json_key(&o, "ok");
	json_put_bool(&o, audit_is_right(a));
	json_key(&o, "lines");
	json_put_int(&o, (long long)a->lines);
	json_key(&o, "proved");
	json_put_int(&o, (long long)a->right);
	json_key(&o, "unprovable");
	json_put_int(&o, (long long)a->open);
	json_key(&o, "corrupt_lines");
	json_put_int(&o, (long long)a->corrupt);
	json_key(&o, "rotation_restarts");
	json_put_int(&o, (long long)a->warnings.restarts);
	json_key(&o, "turns_not_there_yet");
	json_put_int(&o, (long long)a->warnings.running);
	json_key(&o, "missing_at_end");
	put_missing_json(&o, a);
	json_key(&o, "first_wrong");
	if (a->wrong < 0) {
		json_put_null(&o);
	} else {
		json_open(&o, '{');
		json_key(&o, "request_id");
		json_put_cstr(&o, a->id);
		json_key(&o, "ts");
		json_put_cstr(&o, a->ts);
		json_key(&o, "lines_from_end");
		json_put_int(&o, a->wrong);
		json_key(&o, "reason");
		json_put_cstr(&o, a->why.text);
		json_close(&o, '}');
	}
	json_close(&o, '}');
	buf_putc(out, '\n');
}

void
audit_text(struct buf *out, const struct look *look, const struct audit *a)
{
	if (a->wrong >= 0)
		buf_printf(out, _("%sWRONG%s: request %s, ended %s (%ld lines before the last): %s\n"),
		    look_begin(look, TONE_BAD), look_end(look, TONE_BAD), a->id, a->ts, a->wrong, a->why.text);
	else if (a->missing.late)
		buf_printf(out, _("%sINCOMPLETE%s: what there is is right (%zu of %zu requests recomputed), but lines are missing at the end\n"),
		    look_begin(look, TONE_BAD), look_end(look, TONE_BAD), a->right, a->lines);
	else if (audit_is_open(a))
		buf_printf(out, _("%sright so far%s: %zu of %zu requests recomputed, %zu of them by turns; what is not there yet counts as wrong after %d minutes\n"),
		    look_begin(look, TONE_WARN), look_end(look, TONE_WARN), a->right, a->lines, a->by_turn,
		    PROOF_RUNNING_SECONDS / 60);
	else if (!a->lines && !a->missing.empty)
		buf_puts(out, _("the trace has no line yet: there is nothing to prove\n"));
	else
		buf_printf(out, _("%sright%s: %zu of %zu requests recomputed, %zu of them by turns without gap or repeat\n"),
		    look_begin(look, TONE_GOOD), look_end(look, TONE_GOOD), a->right, a->lines, a->by_turn);
	if (a->open)
		buf_printf(out, text_plural((long long)a->open, "%lld line does not say enough to be recomputed\n",
		    "%lld lines do not say enough to be recomputed\n"), (long long)a->open);
	if (a->warnings.restarts)
		buf_printf(out, text_plural((long long)a->warnings.restarts,
		    "%lld time the rotation began anew from 0: state.json was deleted or set aside\n",
		    "%lld times the rotation began anew from 0: state.json was deleted or set aside\n"),
		    (long long)a->warnings.restarts);
	if (a->warnings.running)
		buf_printf(out, text_plural((long long)a->warnings.running,
		    "%lld turn is not there yet: its request still runs, or was killed, or its line was removed\n",
		    "%lld turns are not there yet: their requests still run, or were killed, or lines were removed\n"),
		    (long long)a->warnings.running);
	put_missing_text(out, a);
	if (a->no_books.kind != FAIL_NONE)
		buf_printf(out, _("whether lines are missing at the end is not known: %s\n"), a->no_books.text);
	if (a->warnings.unseen)
		buf_printf(out, text_plural((long long)a->warnings.unseen,
		    "%lld turn near the oldest line is not there: its line was in a file that is gone\n",
		    "%lld turns near the oldest line are not there: their lines were in files that are gone\n"),
		    (long long)a->warnings.unseen);
}
