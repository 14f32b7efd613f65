#include "keys/health.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "health.json"
#define FILE_MAX (32u << 20)
#define SCHEMA 1

/* ---- reading ---- */

static time_t
read_time(const struct json *j, int v)
{
	struct buf text = BUF(64);
	time_t t = 0;

	if (json_str(j, v, &text) == 0 && !buf_bad(&text) && clock_parse(buf_view(&text), &t) < 0)
		t = 0;
	buf_free(&text);
	return t;
}

static void
read_text(const struct json *j, int v, char *out, size_t size)
{
	struct buf text = BUF(4096);

	if (json_str(j, v, &text) == 0 && !buf_bad(&text))
		snprintf(out, size, "%.*s", (int)(text.n < size ? text.n : size - 1), text.n ? text.p : "");
	buf_free(&text);
}

static double
read_number(const struct json *j, int object, const char *name)
{
	double d;

	return json_double(j, json_get(j, object, name), &d) == 0 ? d : -1;
}

static struct usage_figures
read_figures(const struct json *j, int object)
{
	return (struct usage_figures){
		.left = read_number(j, object, "left_percent"),
		.limit = read_number(j, object, "limit"),
		.used = read_number(j, object, "used"),
		.remaining = read_number(j, object, "remaining"),
		.reset = read_time(j, json_get(j, object, "reset_at")),
	};
}

static void
read_usage(const struct json *j, int entry, struct usage *u)
{
	int windows = json_get(j, entry, "windows");

	*u = (struct usage){ .total = read_figures(j, entry) };
	u->has_balance = json_double(j, json_get(j, entry, "balance"), &u->balance) == 0;
	u->has_booster = json_double(j, json_get(j, entry, "booster"), &u->booster) == 0;
	read_text(j, json_get(j, entry, "email"), u->email, sizeof(u->email));
	for (int v = json_first(j, windows); v >= 0 && u->window_count < USAGE_WINDOWS_MAX; v = json_next(j, v)) {
		struct usage_window *w = &u->windows[u->window_count++];

		w->figures = read_figures(j, v);
		w->minutes = (long long)read_number(j, v, "minutes");
		read_text(j, json_get(j, v, "name"), w->name, sizeof(w->name));
	}
}

static int
read_key(struct health *h, const struct json *j, int v)
{
	struct buf label = BUF(4096);
	struct health_key *k = NULL;
	char hash[DIGEST_SHORT_SIZE] = "";
	long long status = 0;

	read_text(j, json_get(j, v, "key_hash"), hash, sizeof(hash));
	if (json_name(j, v, &label) == 0 && !buf_bad(&label) && label.n)
		k = health_put(h, label.p, hash);
	buf_free(&label);
	if (!k)
		return -1;
	k->checked_at = read_time(j, json_get(j, v, "checked_at"));
	k->seen_at = read_time(j, json_get(j, v, "seen_at"));
	if (json_int(j, json_get(j, v, "status"), &status) == 0 && status > 0 && status < 1000)
		k->status = (int)status;
	read_text(j, json_get(j, v, "error"), k->error, sizeof(k->error));
	read_usage(j, v, &k->usage);
	return 0;
}

int
health_load(struct health *h, const char *state_dir, struct fail *f)
{
	struct buf text = BUF(FILE_MAX);
	char *path = file_join(state_dir, FILE_NAME);
	struct json j = { 0 };
	int rc = -1, keys;

	*h = (struct health){ 0 };
	if (!path) {
		fail_memory(f);
		goto out;
	}
	if (file_read(path, FILE_MAX - 1, &text, NULL, f) < 0) {
		rc = errno == ENOENT ? 0 : -1;
		if (rc == 0)
			*f = (struct fail){ 0 };
		goto out;
	}
	if (json_parse(&j, buf_view(&text), f) < 0)
		goto out;
	h->refreshed_at = read_time(&j, json_get(&j, 0, "refreshed_at"));
	keys = json_get(&j, 0, "keys");
	for (int v = json_type(&j, keys) == JSON_OBJECT ? json_first(&j, keys) : -1; v >= 0; v = json_next(&j, v))
		if (json_type(&j, v) == JSON_OBJECT)
			(void)read_key(h, &j, v);
	rc = 0;
out:
	json_free(&j);
	buf_free(&text);
	free(path);
	return rc;
}

/* ---- writing ---- */

static void
put_number(struct json_out *o, const char *name, double d, bool told)
{
	json_key(o, name);
	if (told)
		json_put_double(o, d, d == (double)(long long)d ? 0 : 2);
	else
		json_put_null(o);
}

static void
put_figures(struct json_out *o, const struct usage_figures *g)
{
	put_number(o, "left_percent", g->left, g->left >= 0);
	put_number(o, "limit", g->limit, g->limit >= 0);
	put_number(o, "used", g->used, g->used >= 0);
	put_number(o, "remaining", g->remaining, g->remaining >= 0);
	json_key(o, "reset_at");
	json_put_time(o, g->reset);
}

void
health_put_json(struct json_out *o, const struct health_key *k)
{
	static const struct health_key nothing = { .usage.total = { -1, -1, -1, -1, 0 } };
	const struct usage *u = k && k->seen_at ? &k->usage : &nothing.usage;

	k = k ? k : &nothing;
	json_key(o, "checked_at");
	json_put_time(o, k->checked_at);
	json_key(o, "seen_at");
	json_put_time(o, k->seen_at);
	json_key(o, "error");
	json_put_cstr(o, k->error[0] ? k->error : NULL);
	put_figures(o, &u->total);
	put_number(o, "balance", u->balance, u->has_balance);
	put_number(o, "booster", u->booster, u->has_booster);
	json_key(o, "email");
	json_put_cstr(o, u->email[0] ? u->email : NULL);
	json_key(o, "windows");
	json_open(o, '[');
	for (size_t i = 0; i < u->window_count; i++) {
		json_open(o, '{');
		json_key(o, "name");
		json_put_cstr(o, u->windows[i].name);
		json_key(o, "minutes");
		json_put_int(o, u->windows[i].minutes);
		put_figures(o, &u->windows[i].figures);
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void
put_key(struct json_out *o, const struct health_key *k)
{
	json_key(o, k->label);
	json_open(o, '{');
	json_key(o, "key_hash");
	json_put_cstr(o, k->hash);
	put_number(o, "status", k->status, k->status > 0);
	health_put_json(o, k);
	json_close(o, '}');
}

int
health_save(const struct health *h, const char *state_dir, struct fail *f)
{
	struct buf text = BUF(FILE_MAX);
	struct json_out o = { .to = &text };
	char *path = file_join(state_dir, FILE_NAME);
	int rc;

	json_open(&o, '{');
	json_key(&o, "schema_version");
	json_put_int(&o, SCHEMA);
	json_key(&o, "refreshed_at");
	json_put_time(&o, h->refreshed_at);
	json_key(&o, "keys");
	json_open(&o, '{');
	for (size_t i = 0; i < h->count; i++)
		put_key(&o, &h->keys[i]);
	json_close(&o, '}');
	json_close(&o, '}');
	buf_putc(&text, '\n');
	rc = buf_bad(&text) || !path ? fail_memory(f) : file_replace(path, buf_view(&text), false, f);
	free(path);
	buf_free(&text);
	return rc;
}

void
health_free(struct health *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->keys[i].label);
	free(h->keys);
	*h = (struct health){ 0 };
}

/* ---- asking ---- */

/* The place of a label, or where it would go. */
static size_t
place(const struct health *h, const char *label, bool *there)
{
	size_t low = 0, high = h->count;

	*there = false;
	while (low < high && !*there) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(label, h->keys[middle].label);

		if (order == 0) {
			*there = true;
			low = middle;
		} else if (order < 0) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
}

const struct health_key *
health_find(const struct health *h, const char *label, const char *hash)
{
	bool there;
	size_t i = place(h, label, &there);

	return there && strcmp(h->keys[i].hash, hash) == 0 ? &h->keys[i] : NULL;
}

struct health_key *
health_put(struct health *h, const char *label, const char *hash)
{
	bool there;
	size_t i = place(h, label, &there);
	char *name = there ? h->keys[i].label : strdup(label);

	if (!name)
		return NULL;
	if (!there && h->count == h->room) {
		size_t room = h->room ? 2 * h->room : 64;
		struct health_key *more = reallocarray(h->keys, room, sizeof(*more));

		if (!more) {
			free(name);
			return NULL;
		}
		h->keys = more;
		h->room = room;
	}
	if (!there) {
		memmove(&h->keys[i + 1], &h->keys[i], (h->count - i) * sizeof(*h->keys));
		h->count++;
	}
	if (!there || strcmp(h->keys[i].hash, hash) != 0) {	/* what was known of another key is nothing */
		h->keys[i] = (struct health_key){ .label = name };
		snprintf(h->keys[i].hash, sizeof(h->keys[i].hash), "%s", hash);
	}
	return &h->keys[i];
}

void
health_prune(struct health *h, bool (*keep)(const char *label, void *arg), void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < h->count; i++)
		if (keep(h->keys[i].label, arg))
			h->keys[n++] = h->keys[i];
		else
			free(h->keys[i].label);
	h->count = n;
}

void
health_tell(const struct health *h, const char *hash, time_t now, struct choose_key *k)
{
	const struct health_key *known = health_find(h, k->label, hash);

	k->usage_seen = known && known->seen_at;
	k->usage_reset = 0;
	k->usage_left = k->usage_seen ? usage_left(&known->usage, now, &k->usage_reset) : -1;
}
