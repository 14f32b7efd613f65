#include "keys/refresh.h"

#include "base/clock.h"
#include "base/curl_words.h"
#include "base/file.h"
#include "base/kept_words.h"
#include "base/trust.h"
#include "keys/auths.h"
#include "keys/health.h"
#include "keys/index.h"
#include "keys/lock.h"
#include "keys/state.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "health.json.lock"
#define ANSWER_MS 10000L
#define AT_ONCE 100
#define TRY_AGAIN_SECONDS 60

/* One key being asked. */
struct asking {
	CURL *easy;		/* NULL: free */
	const struct auth *key;
	const char *path;
	struct curl_slist *headers;
	struct buf answer;
	char error[CURL_ERROR_SIZE];
};

/* Accounts with a quota know the first, those that pay by use only the second. */
static const char usages_path[] = "/usages", balance_path[] = "/users/me/balance";

struct round {
	struct refresh *refresh;
	struct auths auths;
	struct health health;
	struct state state;
	struct trust trust;
	CURLM *multi;
	struct asking asking[AT_ONCE];
	bool *chosen;		/* by place in auths */
	bool *passed;		/* asked, and answered well */
	size_t all, done;
	time_t began;
};

static char *
lock_path(const struct config *c)
{
	return file_join(c->state_dir, LOCK_NAME);
}

static int
take_lock(const struct config *c, int timeout_ms, struct fail *f)
{
	char *path = lock_path(c);
	int fd;

	if (!path)
		return fail_memory(f);
	if (file_mkdirs(c->state_dir, f) < 0)
		fd = -1;
	else
		fd = file_lock(path, timeout_ms, f);
	free(path);
	return fd;
}

int
refresh_await(const struct config *c, int timeout_ms, struct fail *f)
{
	int fd = take_lock(c, timeout_ms, f);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

bool
refresh_due(const struct config *c, time_t last, time_t now)
{
	char *path;
	struct stat st;
	bool due = false;

	if (c->dry_run || c->usage_cache_seconds <= 0 || (now >= last && now - last < c->usage_cache_seconds))
		return false;
	path = lock_path(c);
	if (path && (stat(path, &st) < 0 || now - st.st_mtime >= TRY_AGAIN_SECONDS || st.st_mtime > now)) {
		int fd = file_make(path, O_WRONLY);

		due = fd >= 0 && futimens(fd, NULL) == 0;
		if (fd >= 0)
			close(fd);
	}
	free(path);
	return due;
}

/* ---- one key ---- */

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct buf *answer = arg;

	buf_put(answer, p, n * one);
	return buf_bad(answer) ? 0 : n;
}

static void
wipe_headers(struct asking *a)
{
	for (struct curl_slist *h = a->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(a->headers);
	a->headers = NULL;
}

static int
set_headers(struct asking *a, struct fail *f)
{
	struct buf secret = BUF(KEY_MAX + 1), line = BUF(KEY_MAX + 64);
	struct file_stamp stamp;
	int rc;

	rc = auths_secret(a->key->path, a->key->format, a->key->provider, &secret, &stamp, f);
	if (rc == 0) {
		buf_puts(&line, "Authorization: Bearer ");
		buf_str(&line, buf_view(&secret));
		if (buf_bad(&line) || !(a->headers = curl_slist_append(NULL, line.p)))
			rc = fail_memory(f);
	}
	buf_wipe(&secret);
	buf_wipe(&line);
	return rc;
}

static int
begin(struct round *r, struct asking *a, const struct auth *key, const char *path, struct fail *f)
{
	struct buf url = BUF(8192);
	int rc = -1;

	*a = (struct asking){ .key = key, .path = path, .answer = BUF(USAGE_SIZE_MAX) };
	if (set_headers(a, f) < 0)
		return -1;
	buf_printf(&url, "%s%s", key->base_url, path);
	a->easy = curl_easy_init();
	if (!a->easy || buf_bad(&url)) {
		fail_memory(f);
		goto out;
	}
	curl_easy_setopt(a->easy, CURLOPT_URL, url.p);
	curl_easy_setopt(a->easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(a->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(a->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(a->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(a->easy, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	curl_easy_setopt(a->easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(a->easy, CURLOPT_USERAGENT, "kmi/" KMI_VERSION);
	curl_easy_setopt(a->easy, CURLOPT_HTTPHEADER, a->headers);
	curl_easy_setopt(a->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(a->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(a->easy, CURLOPT_WRITEDATA, &a->answer);
	curl_easy_setopt(a->easy, CURLOPT_ERRORBUFFER, a->error);
	curl_easy_setopt(a->easy, CURLOPT_PRIVATE, a);
	trust_set(&r->trust, a->easy);
	if (curl_multi_add_handle(r->multi, a->easy) != CURLM_OK)
		fail_set(f, FAIL_SYSTEM, "libcurl does not take the request");
	else
		rc = 0;
out:
	buf_free(&url);
	return rc;
}

static void
put_down(struct round *r, struct asking *a)
{
	if (a->easy) {
		curl_multi_remove_handle(r->multi, a->easy);
		curl_easy_cleanup(a->easy);
	}
	wipe_headers(a);
	buf_free(&a->answer);
	*a = (struct asking){ 0 };
}

static void
end(struct round *r, struct asking *a)
{
	put_down(r, a);
	r->done++;
	if (r->refresh->progress)
		r->refresh->progress(r->done, r->all, r->refresh->arg);
}

/* What the asking taught. An answer that is none leaves what was known, and says why. */
static void
learn(struct round *r, struct asking *a, CURLcode code, long status)
{
	struct health_key *k = health_put(&r->health, a->key->label, a->key->hash);
	struct usage usage;
	struct fail f = { 0 };
	char number[24];

	if (!k)
		return;
	k->checked_at = clock_wall();
	k->status = (int)status;
	k->error[0] = '\0';
	if (code != CURLE_OK) {
		k->status = 0;
		curl_words(a->easy, code, a->error, k->error, sizeof(k->error));
	} else if (status != 200) {
		snprintf(number, sizeof(number), "%ld", status);
		kept_make(KEPT_STATUS, number, k->error, sizeof(k->error));
	} else if (usage_parse(&usage, buf_view(&a->answer), k->checked_at, &f) < 0) {
		snprintf(k->error, sizeof(k->error), "%.*s", (int)sizeof(k->error) - 1, f.text);
	} else {
		k->usage = usage;
		k->seen_at = k->checked_at;
		r->passed[a->key - r->auths.keys] = true;
		r->refresh->answered++;
	}
}

static void
cannot_ask(struct round *r, const struct auth *key, const struct fail *f)
{
	struct health_key *k = health_put(&r->health, key->label, key->hash);

	if (k) {
		k->checked_at = clock_wall();
		k->status = 0;
		snprintf(k->error, sizeof(k->error), "%.*s", (int)sizeof(k->error) - 1, f->text);
	}
}

static void
ask(struct round *r, struct asking *a, const struct auth *key, const char *path)
{
	struct fail f = { 0 };

	if (begin(r, a, key, path, &f) < 0) {
		cannot_ask(r, key, &f);
		end(r, a);
	}
}

/* An answer, or none, has come: it is written down, unless the other way of asking is left. */
static void
answered(struct round *r, struct asking *a, CURLcode code)
{
	const struct auth *key = a->key;
	long status = 0;

	curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status == 404 && a->path == usages_path) {
		put_down(r, a);
		ask(r, a, key, balance_path);
		return;
	}
	learn(r, a, code, status);
	end(r, a);
}

/* ---- all of them ---- */

static bool
is_blocked(const struct round *r, const struct auth *key)
{
	const struct state_key *books = state_find(&r->state, key->label);

	return books && lock_end(&books->blocked, r->began) != 0;
}

/* Who is asked. In a sparing pass blocked keys are few, those not asked for longest first come when they come. */
static void
choose_whom(struct round *r)
{
	const struct config *c = r->refresh->config;
	long long rechecks = c->blocklist_recheck_max;

	for (size_t i = 0; i < r->auths.count; i++) {
		const struct auth *key = &r->auths.keys[i];
		const struct health_key *known = health_find(&r->health, key->label, key->hash);
		bool recently = c->blocklist_recheck_seconds == 0 ||
		    (known && r->began - known->checked_at < c->blocklist_recheck_seconds);

		if (key->disabled)
			continue;
		if (r->refresh->sparing && is_blocked(r, key) && (recently || rechecks-- <= 0))
			continue;
		r->chosen[i] = true;
		r->all++;
	}
}

static struct asking *
free_place(struct round *r)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		if (!r->asking[i].key)
			return &r->asking[i];
	return NULL;
}

/* Starts as many as there is room for. */
static void
fill(struct round *r, size_t *next)
{
	struct asking *a;

	for (; *next < r->auths.count && (a = free_place(r)); ++*next) {
		if (!r->chosen[*next])
			continue;
		r->refresh->asked++;
		ask(r, a, &r->auths.keys[*next], usages_path);
	}
}

static void
collect(struct round *r)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(r->multi, &left))) {
		struct asking *a = NULL;

		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &a) != CURLE_OK || !a)
			continue;
		answered(r, a, m->data.result);
	}
}

static int
ask_all(struct round *r, struct fail *f)
{
	size_t next = 0;
	int running;

	r->multi = curl_multi_init();
	if (!r->multi || trust_find(&r->trust, r->refresh->config, f) < 0)
		return r->multi ? -1 : fail_memory(f);
	curl_multi_setopt(r->multi, CURLMOPT_MAXCONNECTS, (long)AT_ONCE);
	for (fill(r, &next); r->done < r->all; fill(r, &next)) {
		if (curl_multi_perform(r->multi, &running) != CURLM_OK)
			return fail_set(f, FAIL_SYSTEM, "libcurl does not go on");
		collect(r);
		if (running)
			curl_multi_poll(r->multi, NULL, 0, 1000, NULL);
	}
	return 0;
}

static bool
in_pool(const char *label, void *arg)
{
	const struct auths *a = arg;

	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->keys[i].label, label) == 0)
			return true;
	return false;
}

/* The books learn when this was, and whose credentials are good after all. */
static int
tell_books(struct round *r, struct fail *f)
{
	struct state_change ch;
	time_t last;

	if (state_begin(&ch, r->refresh->config->state_dir, f) < 0)
		return -1;
	last = ch.state.head.last_health_refresh;
	/* Whoever keeps decisions knows new health by this time being another one. */
	if (r->refresh->answered)
		ch.state.head.last_health_refresh = r->health.refreshed_at == last ? last + 1 : r->health.refreshed_at;
	for (size_t i = 0; i < r->auths.count; i++) {
		struct state_key *k = r->passed[i] ? state_find(&ch.state, r->auths.keys[i].label) : NULL;

		if (k && lock_recheck_passed(k, r->began))
			r->refresh->unblocked++;
	}
	return state_commit(&ch, false, f);
}

static int
make_room(struct round *r, struct fail *f)
{
	r->chosen = calloc(r->auths.count + 1, sizeof(*r->chosen));
	r->passed = calloc(r->auths.count + 1, sizeof(*r->passed));
	return r->chosen && r->passed ? 0 : fail_memory(f);
}

static void
tidy(struct round *r)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		if (r->asking[i].key)
			put_down(r, &r->asking[i]);
	curl_multi_cleanup(r->multi);
	trust_free(&r->trust);
	state_free(&r->state);
	health_free(&r->health);
	free(r->chosen);
	free(r->passed);
}

static int
run(struct round *r, struct fail *f)
{
	const struct config *c = r->refresh->config;
	struct fail ignored = { 0 };
	struct state_file sf;
	int rc;

	if (auths_scan(&r->auths, c, f) < 0)
		return -1;
	(void)health_load(&r->health, c->state_dir, &ignored);	/* a damaged one is written anew */
	(void)state_open(&sf, c->state_dir, &ignored);
	(void)state_load(&sf, &r->state, NULL, &ignored);
	state_close(&sf);
	if (make_room(r, f) < 0)
		return -1;
	choose_whom(r);
	rc = ask_all(r, f);
	health_prune(&r->health, in_pool, &r->auths);
	if (r->refresh->answered)
		r->health.refreshed_at = clock_wall();
	if (rc == 0)
		rc = health_save(&r->health, c->state_dir, f);
	return rc == 0 ? tell_books(r, f) : rc;
}

static int
not_in_dry_run(const struct config *c, struct fail *f)
{
	if (!c->dry_run)
		return 0;
	fail_set(f, FAIL_INPUT, "this is a dry run: nothing is asked of the upstream");
	fail_hint(f, "KMI_DRY_RUN=0 goes live");
	return -1;
}

int
refresh_run(struct refresh *refresh, struct fail *f)
{
	struct round r = { .refresh = refresh, .began = clock_wall() };
	int lock, rc;

	if (not_in_dry_run(refresh->config, f) < 0)
		return -1;
	lock = take_lock(refresh->config, 0, f);
	if (lock < 0)
		return -1;
	rc = run(&r, f);
	tidy(&r);
	auths_free(&r.auths);
	close(lock);
	return rc;
}

int
refresh_one(const struct config *c, struct auth *key, struct health_key *out, struct fail *f)
{
	struct refresh refresh = { .config = c };
	struct round r = { .refresh = &refresh, .auths = { .keys = key, .count = 1 }, .began = clock_wall() };
	int rc = -1;

	*out = (struct health_key){ 0 };
	if (not_in_dry_run(c, f) < 0)
		return -1;
	if (make_room(&r, f) == 0) {
		choose_whom(&r);
		rc = ask_all(&r, f);
	}
	if (rc == 0 && r.health.count) {
		*out = r.health.keys[0];
		out->label = NULL;
	}
	tidy(&r);
	return rc;
}
