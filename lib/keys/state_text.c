/* state.json as a whole: its text to a struct state, and back. */
#include "keys/state.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/state_layout.h"

#include <stdlib.h>
#include <string.h>

#define LAST_YEAR (365 * 86400)		/* whoever bars a key until some day of the year 9999 means: without end */

static const char *const source_names[] = {
	[SOURCE_NONE] = "", [SOURCE_STATED] = "stated", [SOURCE_KNOWN] = "known", [SOURCE_GUESS] = "guess",
};

static uint64_t
hash_of(struct str s)
{
	uint64_t h = 1469598103934665603ULL;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211ULL;
	return h;
}

/* The slot of a label, or the empty one where it belongs. */
static size_t
slot_of(const struct state *st, struct str label)
{
	size_t at = hash_of(label) & (st->slot_count - 1);

	while (st->slots[at] && !str_is(label, st->keys[st->slots[at] - 1].label))
		at = (at + 1) & (st->slot_count - 1);
	return at;
}

/* The label as JSON can hold it; *made is what the caller frees. */
static const char *
clean(const char *label, char **made)
{
	struct str rest = str_from(label);
	struct buf b = BUF(rest.n * 3 + 1);

	*made = NULL;
	if (str_utf8(rest))
		return label;
	while (rest.n) {
		size_t n = 1;

		while (n < 4 && n < rest.n && !str_utf8(str_sub(rest, 0, n)))
			n++;
		if (str_utf8(str_sub(rest, 0, n))) {
			buf_put(&b, rest.p, n);
		} else {
			buf_puts(&b, "\xef\xbf\xbd");
			n = 1;
		}
		rest = str_sub(rest, n, rest.n);
	}
	if (buf_bad(&b))
		buf_free(&b);
	return *made = b.p;
}

static struct state_key *
find_clean(const struct state *st, const char *label)
{
	size_t slot;

	if (!st->slot_count)
		return NULL;
	slot = slot_of(st, str_from(label));
	return st->slots[slot] ? &st->keys[st->slots[slot] - 1] : NULL;
}

struct state_key *
state_find(const struct state *st, const char *label)
{
	char *made;
	const char *name = clean(label, &made);
	struct state_key *k = name ? find_clean(st, name) : NULL;

	free(made);
	return k;
}

/* Room for one more key: the array grows by doubling, and the slots stay at most half full. */
static int
grow(struct state *st)
{
	size_t cap = st->slot_count ? st->slot_count * 2 : 16;
	struct state_key *keys;
	uint32_t *slots;

	if (st->count < st->slot_count / 2)
		return 0;
	keys = realloc(st->keys, cap / 2 * sizeof(*keys));
	if (!keys)
		return -1;
	st->keys = keys;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -1;
	free(st->slots);
	st->slots = slots;
	st->slot_count = cap;
	for (size_t i = 0; i < st->count; i++)
		slots[slot_of(st, str_from(st->keys[i].label))] = (uint32_t)i + 1;
	return 0;
}

struct state_key *
state_add(struct state *st, const char *label)
{
	char *made, *copy;
	const char *name = clean(label, &made);
	struct state_key *k = name ? find_clean(st, name) : NULL;

	if (!name || k || grow(st) < 0) {
		free(made);
		return k;
	}
	copy = made ? made : strdup(name);
	if (!copy)
		return NULL;
	st->slots[slot_of(st, str_from(copy))] = (uint32_t)st->count + 1;
	k = &st->keys[st->count++];
	*k = (struct state_key){ .label = copy };
	return k;
}

void
state_free(struct state *st)
{
	for (size_t i = 0; i < st->count; i++) {
		free(st->keys[i].label);
		free(st->keys[i].extra);
	}
	free(st->keys);
	free(st->slots);
	free(st->extra);
	*st = (struct state){ 0 };
}

struct reader {
	struct json j;
	struct buf name, text;		/* used again for each member */
};

/* A time as text of ours, or 0: null, no time, or one before 1970. */
static time_t
read_time(const struct json *j, int v)
{
	struct str raw = json_raw(j, v);
	time_t t;

	if (json_type(j, v) != JSON_STRING || clock_parse(str_sub(raw, 1, raw.n - 1), &t) < 0 || t < 0)
		return 0;
	return t > TIME_NEVER ? TIME_NEVER : t;
}

static long long
read_value(const struct json *j, int v, enum layout_kind kind)
{
	long long n = 0;
	bool b = false;

	switch (kind) {
	case LAYOUT_NUMBER:
		return json_int(j, v, &n) == 0 && n > 0 ? n : 0;
	case LAYOUT_TIME:
		return read_time(j, v);
	case LAYOUT_BOOL:
		json_bool(j, v, &b);
		return b;
	}
	return 0;
}

/* Whether the member stands in the row; its value then is in values. */
static bool
read_field(const struct reader *r, int v, const struct layout *l, long long *values)
{
	for (int i = 0; i < l->count; i++) {
		if (!str_is(buf_view(&r->name), l->fields[i].name))
			continue;
		values[i] = read_value(&r->j, v, l->fields[i].kind);
		return true;
	}
	return false;
}

/* What does not fit is cut between two characters. Anything but a string leaves it empty. */
static void
read_text(struct reader *r, int v, char *out, size_t size)
{
	size_t n;

	buf_reset(&r->text);
	out[0] = '\0';
	if (json_str(&r->j, v, &r->text) < 0 || buf_bad(&r->text))
		return;
	n = r->text.n < size - 1 ? r->text.n : size - 1;
	while (n && n < r->text.n && ((unsigned char)r->text.p[n] & 0xc0) == 0x80)
		n--;
	if (n)
		memcpy(out, r->text.p, n);
	out[n] = '\0';
}

/* Whether the member is one of the lock's: `prefix` and until, reason, source, evidence or at. */
static bool
read_lock(struct reader *r, int v, const char *prefix, struct lock *l)
{
	struct str name = buf_view(&r->name);
	char word[16];

	if (!str_starts(name, prefix))
		return false;
	name = str_sub(name, strlen(prefix), name.n);
	if (str_is(name, "until")) {
		l->until = read_time(&r->j, v);
		if (l->until > TIME_NEVER - LAST_YEAR)
			l->until = TIME_NEVER;
	} else if (str_is(name, "at")) {
		l->set_at = read_time(&r->j, v);
	} else if (str_is(name, "reason")) {
		read_text(r, v, l->reason, sizeof(l->reason));
	} else if (str_is(name, "evidence")) {
		read_text(r, v, l->evidence, sizeof(l->evidence));
	} else if (str_is(name, "source")) {
		read_text(r, v, word, sizeof(word));
		for (size_t i = 0; i < sizeof(source_names) / sizeof(*source_names); i++)
			if (strcmp(word, source_names[i]) == 0)
				l->source = (enum lock_source)i;
	} else {
		return false;
	}
	return true;
}

/* An unknown member, on one line: a line end in JSON text can only stand between values. */
static void
keep(struct reader *r, int v, struct buf *extra)
{
	struct str raw = json_raw(&r->j, v);
	size_t from;

	if (extra->n)
		buf_puts(extra, ", ");
	json_quote(extra, buf_view(&r->name));
	buf_puts(extra, ": ");
	from = extra->n;
	buf_str(extra, raw);
	for (size_t i = from; i < extra->n; i++)
		if ((unsigned char)extra->p[i] < ' ')
			extra->p[i] = ' ';
}

static int
read_key(struct reader *r, int object, struct state_key *k)
{
	struct buf extra = BUF(STATE_SIZE_MAX);
	long long values[KEY_FIELDS] = { 0 };
	bool dated = json_get(&r->j, object, layout_key.fields[KEY_ERROR].name) >= 0;

	for (int v = json_first(&r->j, object); v >= 0; v = json_next(&r->j, v)) {
		buf_reset(&r->name);
		json_name(&r->j, v, &r->name);
		if (read_field(r, v, &layout_key, values) || read_lock(r, v, "exhausted_", &k->exhausted) ||
		    read_lock(r, v, "blocked_", &k->blocked))
			continue;
		if (str_is(buf_view(&r->name), "file_tag"))
			read_text(r, v, k->file_tag, sizeof(k->file_tag));
		else if (str_is(buf_view(&r->name), "probed_at"))
			k->probed_at = read_time(&r->j, v);
		else
			keep(r, v, &extra);
	}
	layout_to_counts(values, &k->counts);
	if (values[KEY_FAULTS] > 9)
		k->counts.faults = 9;
	/* The older tool counts errors without their time: none of them came after the last use. */
	if (!dated && values[KEY_401] + values[KEY_403] + values[KEY_429] + values[KEY_5XX] > 0)
		k->counts.last_error = k->counts.last_used;
	if (k->exhausted.until && k->exhausted.source == SOURCE_NONE)
		k->exhausted.source = SOURCE_STATED;
	if (k->blocked.until && k->blocked.source == SOURCE_NONE)
		k->blocked.source = SOURCE_GUESS;
	if (buf_bad(&extra)) {
		buf_free(&extra);
		return -1;
	}
	k->extra = extra.p;
	return 0;
}

static int
read_keys(struct reader *r, int keys, struct state *st)
{
	if (json_type(&r->j, keys) != JSON_OBJECT)
		return 0;
	for (int v = json_first(&r->j, keys); v >= 0; v = json_next(&r->j, v)) {
		struct state_key *k;

		buf_reset(&r->name);
		json_name(&r->j, v, &r->name);
		buf_puts(&r->name, "");
		if (buf_bad(&r->name))
			return -1;
		/* No label of ours has a NUL; and a record is an object. */
		if (memchr(r->name.p, '\0', r->name.n) || json_type(&r->j, v) != JSON_OBJECT)
			continue;
		k = state_add(st, r->name.p);
		if (!k || read_key(r, v, k) < 0)
			return -1;
	}
	return 0;
}

/* Where each key's line begins, in a text of our own layout. */
static void
find_lines(struct str text, struct state *st)
{
	struct buf start = BUF(STATE_SIZE_MAX);
	size_t at = 0;

	for (size_t i = 0; i < st->count; i++) {
		const char *end = memchr(text.p + at, '\n', text.n - at);

		buf_reset(&start);
		json_quote(&start, str_from(st->keys[i].label));
		buf_puts(&start, ": {");
		if (!end || buf_bad(&start))
			break;
		at = (size_t)(end - text.p) + 1;
		if (str_eq(str_sub(text, at, at + start.n), buf_view(&start)))
			st->keys[i].offset = at;
	}
	buf_free(&start);
}

int
state_parse(struct state *st, struct str text, struct fail *f)
{
	struct reader r = { .name = BUF(text.n * 3 + 16), .text = BUF(text.n * 3 + 16) };
	struct buf extra = BUF(STATE_SIZE_MAX);
	long long values[HEAD_FIELDS] = { 0 };
	double schema;
	int rc = -1;

	*st = (struct state){ 0 };
	if (json_parse(&r.j, text, f) < 0)
		return -1;
	if (json_type(&r.j, 0) != JSON_OBJECT) {
		fail_set(f, FAIL_INPUT, "not a JSON object");
		goto out;
	}
	if (json_double(&r.j, json_get(&r.j, 0, "schema_version"), &schema) == 0 && schema > STATE_SCHEMA) {
		fail_set(f, FAIL_NEWER, "schema_version is %g, this kmi knows %d", schema, STATE_SCHEMA);
		fail_hint(f, "use the kmi that wrote state.json, or move that file away to start afresh");
		goto out;
	}
	for (int v = json_first(&r.j, 0); v >= 0; v = json_next(&r.j, v)) {
		buf_reset(&r.name);
		json_name(&r.j, v, &r.name);
		if (str_is(buf_view(&r.name), "keys")) {
			if (read_keys(&r, v, st) < 0) {
				fail_memory(f);
				goto out;
			}
		} else if (!read_field(&r, v, &layout_head, values)) {
			keep(&r, v, &extra);
		}
	}
	layout_to_head(values, &st->head);
	if (buf_bad(&extra)) {
		fail_memory(f);
		goto out;
	}
	st->extra = extra.p;
	extra = BUF(0);
	if (layout_read(&layout_head, str_sub(text, LAYOUT_HEAD_AT, text.n), values) == 0)
		find_lines(text, st);
	rc = 0;
out:
	if (rc < 0)
		state_free(st);
	json_free(&r.j);
	buf_free(&r.name);
	buf_free(&r.text);
	buf_free(&extra);
	return rc;
}

static void
put_row(struct buf *b, const struct layout *l, const long long *values)
{
	size_t n = layout_length(l);
	char *room = buf_room(b, n);

	if (!room)
		return;
	layout_write(l, values, room);
	b->n += n;
	b->p[b->n] = '\0';
}

static void
put_time(struct buf *b, const char *prefix, const char *name, time_t t)
{
	char iso[CLOCK_ISO_SIZE];

	buf_printf(b, ", \"%s%s\": ", prefix, name);
	if (t <= 0) {
		buf_puts(b, "null");
		return;
	}
	clock_iso(t, iso);
	json_quote(b, str_from(iso));
}

static void
put_text(struct buf *b, const char *prefix, const char *name, const char *text)
{
	buf_printf(b, ", \"%s%s\": ", prefix, name);
	json_quote(b, str_from(text));
}

/* `until` is always there, `reason` where the older tool had it, the rest when it says something. */
static void
put_lock(struct buf *b, const char *prefix, const struct lock *l, bool always_reason)
{
	put_time(b, prefix, "until", l->until);
	if (l->reason[0])
		put_text(b, prefix, "reason", l->reason);
	else if (always_reason)
		buf_printf(b, ", \"%sreason\": null", prefix);
	if (l->source != SOURCE_NONE)
		put_text(b, prefix, "source", source_names[l->source]);
	if (l->evidence[0])
		put_text(b, prefix, "evidence", l->evidence);
	if (l->set_at)
		put_time(b, prefix, "at", l->set_at);
}

static void
put_extra(struct buf *b, const char *extra)
{
	if (!extra || !*extra)
		return;
	buf_puts(b, ", ");
	buf_puts(b, extra);
}

/* Spaces before the line end, so that the row, `skip` bytes into the next line, lies within one page. */
static void
begin_line(struct buf *b, size_t skip)
{
	size_t at = b->n + 1 + skip, in_page = at % LAYOUT_PAGE;

	if (in_page + layout_length(&layout_key) > LAYOUT_PAGE)
		buf_fill(b, ' ', LAYOUT_PAGE - in_page);
	buf_putc(b, '\n');
}

void
state_print(struct state *st, unsigned long long inode, struct buf *out)
{
	long long values[LAYOUT_FIELDS_MAX] = { 0 };
	struct buf label = BUF(STATE_SIZE_MAX);

	buf_reset(out);
	buf_putc(out, '{');
	layout_from_head(&st->head, values);
	put_row(out, &layout_head, values);
	put_extra(out, st->extra);
	buf_puts(out, ", \"keys\": {");
	for (size_t i = 0; i < st->count; i++) {
		struct state_key *k = &st->keys[i];

		buf_reset(&label);
		json_quote(&label, str_from(k->label));
		buf_puts(&label, ": {");
		if (i)
			buf_putc(out, ',');
		begin_line(out, label.n);
		k->offset = out->n;
		buf_str(out, buf_view(&label));
		layout_from_counts(&k->counts, values);
		put_row(out, &layout_key, values);
		put_lock(out, "exhausted_", &k->exhausted, false);
		put_lock(out, "blocked_", &k->blocked, true);
		if (k->file_tag[0])
			put_text(out, "", "file_tag", k->file_tag);
		if (k->probed_at)
			put_time(out, "", "probed_at", k->probed_at);
		put_extra(out, k->extra);
		buf_putc(out, '}');
	}
	buf_puts(out, "\n}}\n");
	if (label.bad)
		out->bad = true;
	buf_free(&label);
	if (buf_bad(out))
		return;
	/* The size is known only now. */
	layout_from_head(&st->head, values);
	values[HEAD_INODE] = LAYOUT_INODE(inode);
	values[HEAD_SIZE] = (long long)out->n;
	layout_write(&layout_head, values, out->p + LAYOUT_HEAD_AT);
}
