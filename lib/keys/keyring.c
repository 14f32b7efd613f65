#include "keys/keyring.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/limit.h"
#include "keys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_WAIT_MS 2000	/* a stopped process must not stop the others: after this, on without books */
#define STUCK_MS 10000		/* and for so long after it the others do not wait as patiently again */
#define STUCK_WAIT_MS 50
/*
 * Folders are compared at each request, and the file of a key when it is used.
 * Of the other files the first few twenty times a second (a small pool so notices a changed file at once, under any load),
 * all of them every few seconds.
 */
#define FILES_GLANCED 16
#define GLANCE_EVERY_MS 50
#define LOOK_EVERY_MS 3000
#define SLOT_WAIT_NS 50000000	/* when a request in flight will end nobody knows: looked at again after this */
#define SUCCESS_SECONDS 10	/* last_success is kept to within this */

const char *
pick_choice_name(enum pick_choice choice)
{
	switch (choice) {
	case PICK_TURN:
		return "turn";
	case PICK_OWN_TURN:
		return "own_turn";
	case PICK_SESSION:
		return "session";
	case PICK_MOST_QUOTA:
		return "most_quota";
	case PICK_ACTIVE:
		return "active";
	case PICK_OTHER_ACCOUNT:
		return "other_account";
	case PICK_OTHER_KEY:
		return "other_key";
	case PICK_AGAIN:
		return "again";
	case PICK_PROBE:
		return "probe";
	}
	return "";
}

static void
note_trouble(struct keyring *kr, const struct fail *f)
{
	if (kr->trouble.kind == FAIL_NONE)
		kr->trouble = *f;
}

bool
keyring_trouble(struct keyring *kr, struct fail *f)
{
	if (kr->trouble.kind == FAIL_NONE)
		return false;
	*f = kr->trouble;
	kr->trouble = (struct fail){ 0 };
	return true;
}

/* A state folder that others could look into: so may what lies in it. From now on nobody gets that far. */
static void
tighten_state(const struct config *c)
{
	static const char *const inside[] = { "state.json", "state.json.lock", "health.json", "pool.index", "trace",
		"trace/trace.jsonl", "logs", "logs/kmi.log", "logs/proxy.out", "limits", "slots", "proxy.pid" };

	for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
		char *path = file_join(c->state_dir, inside[i]);

		if (path)
			file_tighten(path);
		free(path);
	}
}

int
keyring_open(struct keyring *kr, const struct config *c, index_describe describe, struct fail *f)
{
	struct buf user = BUF(1 << 20);
	struct fail trouble = { 0 };
	char *path;
	int rc;

	*kr = (struct keyring){ .config = c, .describe = describe, .settings = index_settings(c), .health_at = -1 };
	kr->looked_ms = kr->glanced_ms = INT64_MIN / 2;
	kr->own_turn = digest_below(1u << 20);
	if (state_open(&kr->state, c->state_dir, &trouble) < 0)
		note_trouble(kr, &trouble);
	else if (c->enforce_file_perms && file_tighten(c->state_dir))
		tighten_state(c);
	path = file_join(c->state_dir, "verdicts.conf");
	if (!path)
		return fail_memory(f);
	if (file_read(path, (1 << 20) - 1, &user, NULL, &trouble) < 0 && errno != ENOENT)
		note_trouble(kr, &trouble);
	rc = verdict_rules_make(&kr->rules, buf_view(&user), &trouble);
	if (rc < 0 && kr->rules) {
		fail_hint(&trouble, "the other rules of %s are in force", path);
		note_trouble(kr, &trouble);
		rc = 0;
	} else if (rc < 0) {
		*f = trouble;
	}
	free(path);
	buf_free(&user);
	return rc;
}

void
keyring_close(struct keyring *kr)
{
	state_close(&kr->state);
	verdict_rules_free(kr->rules);
	index_free(&kr->index);
	*kr = (struct keyring){ 0 };
}

/* Takes the lock; without it there are no books for this time, and somebody is told why. */
static void
begin(struct keyring *kr)
{
	struct fail f = { 0 };

	kr->books = state_lock(&kr->state, clock_mono_ms() < kr->stuck_until_ms ? STUCK_WAIT_MS : LOCK_WAIT_MS, &f) == 0;
	if (!kr->books && f.kind == FAIL_BUSY)
		kr->stuck_until_ms = clock_mono_ms() + STUCK_MS;
	if (!kr->books && f.kind != FAIL_NONE)
		note_trouble(kr, &f);
}

static void
end(struct keyring *kr)
{
	if (kr->books)
		state_unlock(&kr->state);
}

static char *
index_path(const struct keyring *kr)
{
	return file_join(kr->config->state_dir, "pool.index");
}

/* The file's own mtime tells all processes when somebody last compared every key file. */
static void
looked_at_files(struct keyring *kr)
{
	char *path = index_path(kr);

	kr->looked_ms = clock_mono_ms();
	if (path)
		utimensat(AT_FDCWD, path, NULL, 0);
	free(path);
}

static void
learn_last_look(struct keyring *kr)
{
	char *path = index_path(kr);
	struct stat st;
	int64_t age;

	if (path && stat(path, &st) == 0) {
		age = clock_wall_ms() - ((int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
		if (age >= 0)
			kr->looked_ms = clock_mono_ms() - age;
	}
	free(path);
}

static bool
is_automatic(const struct keyring *kr, const struct state_head *head)
{
	return head->auto_rotate && kr->config->auto_rotate_allowed;
}

/* Costs a system call a file, so it is asked before the lock is taken where that is possible. */
static bool
files_same(struct keyring *kr)
{
	int64_t now = clock_mono_ms();
	bool all = now - kr->looked_ms >= LOOK_EVERY_MS, some = now - kr->glanced_ms >= GLANCE_EVERY_MS;

	if (!index_files_same(&kr->index, all ? SIZE_MAX : some ? FILES_GLANCED : 0))
		return false;
	if (some)
		kr->glanced_ms = now;
	if (all)
		looked_at_files(kr);
	return true;
}

/* Whether the index's decisions still hold; its files are another question. */
static bool
decisions_hold(const struct keyring *kr, const struct state_head *head, time_t now)
{
	struct index_facts x;

	index_facts(&kr->index, &x);
	return x.epoch == head->epoch && x.automatic == is_automatic(kr, head) && now < x.valid_until &&
	    now >= x.made_at - 1 && x.health == head->last_health_refresh;
}

static bool
same_settings(const struct keyring *kr)
{
	struct index_facts x;

	if (!kr->index.p)
		return false;
	index_facts(&kr->index, &x);
	return x.settings == kr->settings;
}

/* Key files and their folders are for their owner alone. True when one of them was not. */
static bool
tighten(const struct config *c, const struct auths *a)
{
	bool changed = false;

	if (!c->enforce_file_perms)
		return false;
	for (size_t i = 0; i < a->folder_count; i++)
		changed |= file_tighten(a->folders[i].path);
	for (size_t i = 0; i < a->count; i++)
		changed |= file_tighten(a->keys[i].path);
	return changed;
}

/* Reads the key files afresh. Slow, so never under the lock. */
static int
scan(struct keyring *kr, struct fail *f)
{
	struct auths a;
	int rc;

	rc = auths_scan(&a, kr->config, f);
	if (rc == 0 && tighten(kr->config, &a)) {
		auths_free(&a);		/* their versions are others now */
		rc = auths_scan(&a, kr->config, f);
	}
	if (rc < 0)
		note_trouble(kr, f);	/* no folder: an empty pool, and said so */
	rc = index_from_auths(&kr->index, &a, kr->settings, f);
	auths_free(&a);
	kr->looked_ms = clock_mono_ms();
	return rc;
}

/* Every key of the pool has its place in the books, and no block outlives the file it was set for. */
static void
complete_books(const struct keyring *kr, struct state *st, bool *changed)
{
	struct index_facts x;

	index_facts(&kr->index, &x);
	for (size_t i = 0; i < x.key_count; i++) {
		struct state_key *books;
		struct index_key k;

		if (index_key(&kr->index, i, &k) < 0)
			continue;
		books = state_find(st, k.label);
		if (!books) {
			books = state_add(st, k.label);
			*changed = true;
		}
		if (books && lock_file_changed(books, k.tag))
			*changed = true;
	}
}

/* The long way: read the books whole, decide anew, leave the result for the others. */
static int
decide(struct keyring *kr, struct state_head *head, bool laid_out, struct fail *f)
{
	struct state st = { 0 };
	struct fail trouble = { 0 };
	char *aside = NULL;
	bool changed = !laid_out;
	int rc;

	if (state_load(&kr->state, &st, &aside, &trouble) < 0) {
		note_trouble(kr, &trouble);
		end(kr);
		kr->books = false;
	}
	if (aside) {
		fail_set(&trouble, FAIL_INPUT, "state.json could not be read and was set aside as %s; a fresh one was started", aside);
		note_trouble(kr, &trouble);
		free(aside);
	}
	complete_books(kr, &st, &changed);
	if (kr->books && changed && state_save(&kr->state, &st, false, &trouble) < 0) {
		note_trouble(kr, &trouble);
		end(kr);
		kr->books = false;
	}
	rc = index_decide(&kr->index, &st, kr->config, is_automatic(kr, &st.head), clock_wall(), kr->describe, f);
	if (rc == 0 && kr->books && index_write(&kr->index, kr->config->state_dir, &trouble) < 0)
		note_trouble(kr, &trouble);
	*head = st.head;
	state_free(&st);
	return rc;
}

/*
 * Begins a transaction with an index that holds: ours, else one another
 * process has left, else a new one. On return the lock is held when kr->books is set.
 */
static int
begin_fresh(struct keyring *kr, struct state_head *head, bool rescan, struct fail *f)
{
	bool current = !rescan && same_settings(kr) && files_same(kr), laid_out;
	struct index ours;

	begin(kr);
	laid_out = kr->books && state_peek(&kr->state, head, NULL) == 0;
	if (current && laid_out && decisions_hold(kr, head, clock_wall()))
		return 0;
	/* Maybe another process has made what we need. */
	ours = kr->index;
	if (!rescan && kr->books && index_read(&kr->index, kr->config->state_dir) == 0) {
		learn_last_look(kr);
		if (same_settings(kr) && files_same(kr)) {
			index_free(&ours);
			current = true;
			if (laid_out && decisions_hold(kr, head, clock_wall()))
				return 0;
		} else {
			index_free(&kr->index);
			kr->index = ours;
		}
	} else {
		kr->index = ours;
	}
	if (!current) {
		end(kr);
		if (scan(kr, f) < 0) {
			kr->books = false;
			return -1;
		}
		begin(kr);
		laid_out = kr->books && state_peek(&kr->state, head, NULL) == 0;
	}
	return decide(kr, head, laid_out, f);
}

void
picking_init(struct picking *g)
{
	*g = (struct picking){ .turn = -1, .eligible = BUF(64u << 20) };
}

void
picking_free(struct picking *g)
{
	buf_free(&g->eligible);
	free(g->active);
	for (size_t i = 0; i < g->tried_count; i++) {
		free(g->tried[i]);
		free(g->accounts[i]);
	}
	g->tried_count = 0;
}

void
pick_free(struct pick *p)
{
	free(p->label);
	free(p->account);
	free(p->base_url);
	free(p->path);
	free(p->provider);
	buf_wipe(&p->secret);
	slot_free(&p->slot);
	*p = (struct pick){ 0 };
}

void
pick_none_free(struct pick_none *n)
{
	buf_free(&n->keys);
}

static bool
was_tried(char *const *list, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] && strcmp(list[i], what) == 0)
			return true;
	return false;
}

static void
remember(struct picking *g, const struct pick *p)
{
	if (g->tried_count < PICK_TRIED_MAX) {
		g->tried[g->tried_count] = strdup(p->label);
		g->accounts[g->tried_count++] = strdup(p->account);
	}
}

/* Copies what is needed of a key: the index may be another one soon. */
static int
hold(struct pick *p, const struct index_key *k, uint64_t epoch, struct fail *f)
{
	pick_free(p);
	p->label = strdup(k->label);
	p->account = strdup(k->account);
	p->base_url = strdup(k->base_url);
	p->path = strdup(k->path);
	p->provider = k->provider ? strdup(k->provider) : NULL;
	if (!p->label || !p->account || !p->base_url || !p->path || (k->provider && !p->provider))
		return fail_memory(f);
	memcpy(p->hash, k->hash, sizeof(p->hash));
	memcpy(p->tag, k->tag, sizeof(p->tag));
	p->format = k->format;
	p->stamp = k->stamp;
	p->state_offset = k->state_offset;
	p->max_rpm = k->max_rpm;
	p->max_concurrency = k->max_concurrency;
	p->epoch = epoch;
	p->started = clock_wall();
	return 0;
}

/* At the moment of use, and not under the lock. Fails when the file is not the one the index knows. */
static int
read_secret(struct pick *p, struct fail *f)
{
	struct file_stamp now;

	buf_wipe(&p->secret);
	p->secret = BUF(KEY_FILE_MAX);
	if (auths_secret(p->path, p->format, p->provider, &p->secret, &now, f) < 0)
		return -1;
	if (!file_stamp_same(&now, &p->stamp))	/* its label, account or address may be others now */
		return fail_set(f, FAIL_BUSY, "%s has changed", p->path);
	return 0;
}

static long long
rpm_of(const struct keyring *kr, long long own)
{
	return own > 0 ? own : kr->config->proxy_max_rpm_per_key;
}

static int64_t
key_wait_ns(struct keyring *kr, const char *label, long long own_rpm, int64_t now_ns)
{
	long long rps = kr->config->proxy_max_rps_per_key, rpm = rpm_of(kr, own_rpm);
	struct fail f = { 0 };
	int64_t wait;

	if (!kr->books || (rps <= 0 && rpm <= 0))
		return 0;
	wait = limit_wait_ns(kr->config->state_dir, label, rps, rpm, now_ns, &f);
	if (wait < 0)
		note_trouble(kr, &f);
	return wait > 0 ? wait : 0;
}

/* A slot of the account for another request in flight. Nanoseconds until it is worth asking again, 0: there is one. */
static int64_t
slot_wait_ns(struct keyring *kr, struct slot *s, const char *account, long long own)
{
	long long most = own > 0 ? own : kr->config->proxy_max_concurrency_per_key;
	struct fail f = { 0 };
	int got;

	slot_free(s);
	if (most <= 0)
		return 0;
	got = slot_take(s, kr->config->state_dir, account, most, &f);
	if (got < 0)
		note_trouble(kr, &f);
	return got == 0 ? SLOT_WAIT_NS : 0;
}

static void
take_limits(struct keyring *kr, const char *label, long long own_rpm, int64_t now_ns, bool whole)
{
	const struct config *c = kr->config;
	struct fail f = { 0 };

	if (!kr->books)
		return;
	if (whole && (c->proxy_max_rps > 0 || c->proxy_max_rpm > 0) &&
	    limit_take(c->state_dir, "*", c->proxy_max_rps, c->proxy_max_rpm, now_ns, &f) < 0)
		note_trouble(kr, &f);
	if ((c->proxy_max_rps_per_key > 0 || rpm_of(kr, own_rpm) > 0) &&
	    limit_take(c->state_dir, label, c->proxy_max_rps_per_key, rpm_of(kr, own_rpm), now_ns, &f) < 0)
		note_trouble(kr, &f);
}

/*
 * Goes round the eligible keys from `place` on: the first of an account not
 * tried yet, else the first not tried yet; keys at a limit are passed over, and counted. *slot is taken for the one
 * that is found. -1: none, and *none tells until when.
 */
static long
walk(struct keyring *kr, const struct picking *g, size_t place, size_t count, int64_t now_ns, struct slot *slot,
    struct pick_none *none, size_t *passed, enum pick_choice *choice)
{
	*passed = 0;
	for (int other_account = 1; other_account >= 0; other_account--) {
		for (size_t step = 0; step < count; step++) {
			uint32_t i = index_eligible(&kr->index, (place + step) % count);
			struct index_key k;
			bool in_flight;
			int64_t w;

			if (index_key(&kr->index, i, &k) < 0 || was_tried(g->tried, g->tried_count, k.label))
				continue;
			if (was_tried(g->accounts, g->tried_count, k.account) == (bool)other_account)
				continue;
			w = key_wait_ns(kr, k.label, k.max_rpm, now_ns);
			in_flight = w == 0;
			if (w == 0)
				w = slot_wait_ns(kr, slot, k.account, k.max_concurrency);
			if (w == 0) {
				*choice = other_account ? PICK_OTHER_ACCOUNT : PICK_OTHER_KEY;
				return (long)i;
			}
			if (!none->wait_ns || w < none->wait_ns) {
				none->wait_ns = w;
				none->in_flight = in_flight;
			}
			++*passed;
		}
	}
	return -1;
}

/* Counts a use in the books: in place where that is possible. */
static void
count_use(struct keyring *kr, struct pick *p, time_t now)
{
	struct state_counts was, counts;
	struct state st = { 0 };
	struct state_key *books;
	struct fail f = { 0 };

	if (!kr->books)
		return;
	if (state_peek_key(&kr->state, p->state_offset, p->label, &was, &f) == 0) {
		counts = was;
		counts.last_used = now;
		counts.request_count++;
		p->spotless = was.faults == 0 && now >= was.last_success && now - was.last_success < SUCCESS_SECONDS;
		if (state_poke_key(&kr->state, p->state_offset, p->label, &was, &counts, &f) == 0)
			return;
	}
	if (state_load(&kr->state, &st, NULL, &f) == 0 && (books = state_add(&st, p->label))) {
		books->counts.last_used = now;
		books->counts.request_count++;
		if (state_save(&kr->state, &st, false, &f) < 0)
			note_trouble(kr, &f);
	} else {
		note_trouble(kr, &f);
	}
	state_free(&st);
}

static void
uncount_use(struct keyring *kr, const struct pick *p)
{
	struct state_counts was, counts;

	begin(kr);
	if (kr->books && state_peek_key(&kr->state, p->state_offset, p->label, &was, NULL) == 0 && was.request_count > 0) {
		counts = was;
		counts.request_count--;
		state_poke_key(&kr->state, p->state_offset, p->label, &was, &counts, NULL);
	}
	end(kr);
}

/* The head moves on: the turn in automatic mode, the active key in manual mode. False: nobody else will know. */
static bool
move_head(struct keyring *kr, const struct state_head *was, const struct state_head *now)
{
	struct state st = { 0 };
	struct fail f = { 0 };
	bool moved = false;

	if (was->rotation_index == now->rotation_index && was->active_index == now->active_index)
		return true;
	if (!kr->books)
		return false;
	if (state_poke(&kr->state, was, now, &f) == 0)
		return true;
	if (state_load(&kr->state, &st, NULL, &f) == 0) {
		st.head.rotation_index = now->rotation_index;
		st.head.active_index = now->active_index;
		moved = state_save(&kr->state, &st, false, &f) == 0;
	}
	if (!moved)
		note_trouble(kr, &f);
	state_free(&st);
	return moved;
}

/* Nobody is eligible: whom to try in spite of that, or why nobody, key by key. */
static enum pick_answer
explain(struct keyring *kr, struct pick *p, struct pick_none *none)
{
	struct index_facts x;
	struct state st = { 0 };
	struct choose_key *keys;
	struct choose_fit *fit;
	struct json_out o = { .to = &none->keys };
	struct slot slot = { 0 };
	time_t now = clock_wall();
	enum pick_answer answer = PICK_NONE;

	index_facts(&kr->index, &x);
	keys = calloc(x.key_count + 1, sizeof(*keys));
	fit = calloc(x.key_count + 1, sizeof(*fit));
	state_load(&kr->state, &st, NULL, NULL);
	if (!keys || !fit)
		goto out;
	for (size_t i = 0; i < x.key_count; i++) {
		struct index_key k;

		if (index_key(&kr->index, i, &k) < 0)
			k = (struct index_key){ .label = "", .account = "", .disabled = true };	/* damaged */
		keys[i] = (struct choose_key){ .label = k.label, .account = k.account, .disabled = k.disabled,
			.books = state_find(&st, k.label), .usage_left = -1 };
	}
	choose_fitness(keys, x.key_count, kr->config, now, fit);
	choose_none(keys, fit, x.key_count, now, &none->why);
	json_open(&o, '[');
	for (size_t i = 0; i < x.key_count; i++) {
		char until[CLOCK_ISO_SIZE];

		json_open(&o, '{');
		json_key(&o, "label");
		json_put_cstr(&o, keys[i].label);
		json_key(&o, "status");
		json_put_cstr(&o, fitness_name(fit[i].fitness));
		json_key(&o, "reason");
		json_put_cstr(&o, fit[i].reason);
		json_key(&o, "until");
		clock_iso(fit[i].until, until);
		json_put_cstr(&o, fit[i].until && fit[i].until != TIME_NEVER ? until : NULL);
		json_close(&o, '}');
	}
	json_close(&o, ']');
	if (none->why.probe >= 0 && kr->books) {
		struct state_key *books = state_find(&st, keys[none->why.probe].label);
		struct index_key k;
		struct fail f;

		if (books && index_key(&kr->index, (size_t)none->why.probe, &k) == 0 &&
		    key_wait_ns(kr, k.label, k.max_rpm, clock_mono_ns()) == 0 &&
		    slot_wait_ns(kr, &slot, k.account, k.max_concurrency) == 0) {
			books->probed_at = now;
			books->counts.last_used = now;
			books->counts.request_count++;
			if (state_save(&kr->state, &st, false, &f) == 0 && hold(p, &k, st.head.epoch, &f) == 0) {
				p->slot = slot;
				slot = (struct slot){ 0 };
				p->probe = true;
				p->choice = PICK_PROBE;
				answer = PICK_KEY;
			}
		}
	}
out:
	slot_free(&slot);
	state_free(&st);
	free(keys);
	free(fit);
	return answer;
}

/* The limit of the whole proxy, asked once a request. */
static int64_t
proxy_wait_ns(struct keyring *kr, const struct picking *g, int64_t now_ns)
{
	const struct config *c = kr->config;
	struct fail f = { 0 };
	int64_t wait;

	if (!kr->books || g->placed || (c->proxy_max_rps <= 0 && c->proxy_max_rpm <= 0))
		return 0;
	wait = limit_wait_ns(c->state_dir, "*", c->proxy_max_rps, c->proxy_max_rpm, now_ns, &f);
	if (wait < 0)
		note_trouble(kr, &f);
	return wait > 0 ? wait : 0;
}

/* By which rule a request gets its first key. A request without a session takes its turn. */
static enum pick_choice
rule_of(const struct keyring *kr, const struct picking *g, const struct state_head *head)
{
	if (!is_automatic(kr, head))
		return PICK_ACTIVE;
	if (kr->config->rotate_strategy == ROTATE_SESSION && g->session[0])
		return PICK_SESSION;
	if (kr->config->rotate_strategy == ROTATE_MOST_QUOTA)
		return PICK_MOST_QUOTA;
	return PICK_TURN;
}

static size_t
place_of_session(const struct keyring *kr, const char *session, size_t count)
{
	struct choose_heaviest best = { 0 };
	struct index_key k;

	for (size_t i = 0; i < count; i++)
		if (index_key(&kr->index, index_eligible(&kr->index, i), &k) == 0)
			choose_weigh(&best, session, k.account, k.label, i);
	return best.at;
}

/* Where in the eligible keys the walk begins, and how the head of the books moves for it. */
static size_t
place_of(const struct keyring *kr, const struct picking *g, const struct state_head *head, struct state_head *next)
{
	struct index_facts x;
	size_t place = 0;

	index_facts(&kr->index, &x);
	*next = *head;
	switch (rule_of(kr, g, head)) {
	case PICK_SESSION:
		return place_of_session(kr, g->session, x.eligible_count);
	case PICK_MOST_QUOTA:
		return x.leading_count > 1 ? digest_below((unsigned)x.leading_count) : 0;
	case PICK_TURN:
		next->rotation_index = head->rotation_index + 1;
		return choose_turn(g->placed ? g->turn : head->rotation_index, x.eligible_count);
	case PICK_ACTIVE:
		place = choose_active(index_eligible_all(&kr->index), x.eligible_count, head->active_index);
		next->active_index = index_eligible(&kr->index, place);
		break;
	case PICK_OWN_TURN:
	case PICK_OTHER_ACCOUNT:
	case PICK_OTHER_KEY:
	case PICK_AGAIN:
	case PICK_PROBE:
		break;		/* no first choices */
	}
	return place;
}

/* A request has its place: what it was chosen among and by what, for the trace, and the turn it takes. */
static void
place(struct keyring *kr, struct picking *g, const struct state_head *head, const struct state_head *next, size_t start,
    size_t passed)
{
	struct index_facts x;
	struct index_key active;

	index_facts(&kr->index, &x);
	buf_reset(&g->eligible);	/* a choice made again, because a key file had changed, is made among others */
	buf_str(&g->eligible, x.set_text);
	g->passed = passed;
	g->rule = rule_of(kr, g, head);
	free(g->active);
	g->active = NULL;
	if (g->rule == PICK_ACTIVE) {
		g->active_place = start;
		if (head->active_index >= 0 && index_key(&kr->index, (size_t)head->active_index, &active) == 0)
			g->active = strdup(active.label);
	}
	if (g->placed)
		return;
	g->placed = true;
	g->turn = g->rule == PICK_TURN ? head->rotation_index : -1;
	g->own_turn = !move_head(kr, head, next);
	kr->own_turn++;
}

/* Under the lock: whose key, and it is counted. The secret is read by the caller, without the lock. */
static enum pick_answer
pick_locked(struct keyring *kr, struct picking *g, struct pick *p, struct pick_none *none, struct state_head *head)
{
	int64_t now_ns = clock_mono_ns(), wait;
	enum pick_choice choice;
	struct state_head next;
	struct index_facts x;
	struct index_key k;
	struct slot slot = { 0 };
	struct fail f;
	size_t start, passed;
	long chosen;

	wait = proxy_wait_ns(kr, g, now_ns);
	if (wait > 0) {
		none->wait_ns = wait;
		none->whole_proxy = true;
		return PICK_LATER;
	}
	index_facts(&kr->index, &x);
	if (x.eligible_count == 0) {
		if (g->tried_count > 0 || explain(kr, p, none) != PICK_KEY)
			return PICK_NONE;
		take_limits(kr, p->label, p->max_rpm, now_ns, !g->placed);
		g->placed = true;
		g->rule = PICK_PROBE;
		return PICK_KEY;
	}
	if (!kr->books)
		head->rotation_index = kr->own_turn;
	start = place_of(kr, g, head, &next);
	chosen = walk(kr, g, start, x.eligible_count, now_ns, &slot, none, &passed, &choice);
	if (chosen < 0)
		return none->wait_ns > 0 && g->tried_count == 0 ? PICK_LATER : PICK_NONE;
	if (index_key(&kr->index, (size_t)chosen, &k) < 0 || hold(p, &k, head->epoch, &f) < 0) {
		slot_free(&slot);
		return PICK_NONE;
	}
	p->slot = slot;
	take_limits(kr, k.label, k.max_rpm, now_ns, !g->placed);
	if (g->tried_count == 0) {
		place(kr, g, head, &next, start, passed);
		choice = g->turn >= 0 && g->own_turn ? PICK_OWN_TURN : g->rule;
	}
	p->choice = choice;
	count_use(kr, p, p->started);
	return PICK_KEY;
}

void
keyring_release(struct pick *p)
{
	slot_free(&p->slot);
}

enum pick_answer
keyring_pick(struct keyring *kr, struct picking *g, struct pick *p, struct pick_none *none)
{
	enum pick_answer answer = PICK_NONE;

	keyring_release(p);	/* of an earlier attempt: the account may be chosen again, by another key */
	*none = (struct pick_none){ .keys = BUF(64u << 20), .why = { .probe = -1, .status = 503, .code = "no_keys" } };
	/* A key file that changed under us costs another look at the folder; one that keeps changing is left. */
	for (int tries = 0; tries < 3; tries++) {
		struct state_head head = { 0 };
		struct fail f = { 0 };

		if (begin_fresh(kr, &head, tries > 0, &f) < 0) {
			note_trouble(kr, &f);
			end(kr);
			return PICK_NONE;
		}
		kr->health_at = head.last_health_refresh;
		answer = pick_locked(kr, g, p, none, &head);
		end(kr);
		if (answer != PICK_KEY)
			return answer;
		if (read_secret(p, &f) == 0) {
			remember(g, p);
			return PICK_KEY;
		}
		if (tries > 0)
			note_trouble(kr, &f);
		uncount_use(kr, p);
		keyring_release(p);
	}
	remember(g, p);
	return PICK_NONE;
}

int
keyring_again(struct keyring *kr, struct pick *p)
{
	struct fail f = { 0 };
	int64_t now_ns;

	begin(kr);
	now_ns = clock_mono_ns();
	if (key_wait_ns(kr, p->label, p->max_rpm, now_ns) > 0 ||
	    slot_wait_ns(kr, &p->slot, p->account, p->max_concurrency) > 0) {
		end(kr);
		return -1;
	}
	p->started = clock_wall();
	p->choice = PICK_AGAIN;
	take_limits(kr, p->label, p->max_rpm, now_ns, false);
	count_use(kr, p, p->started);
	end(kr);
	if (read_secret(p, &f) < 0) {
		uncount_use(kr, p);
		return -1;
	}
	return 0;
}

static bool
has_lock(const struct state_key *k)
{
	return k->exhausted.until || k->blocked.until || k->file_tag[0];
}

/*
 * In place, when only counters move: nothing but an answer of a key that has
 * no lock and gets none. False: it takes the long way.
 */
static bool
book_in_place(struct keyring *kr, const struct pick *p, const struct judgement *j, time_t now)
{
	struct state_key k = { .label = p->label };
	struct state_counts was;
	struct state_head head;

	if (p->probe || state_peek(&kr->state, &head, NULL) < 0 || head.epoch != p->epoch ||
	    state_peek_key(&kr->state, p->state_offset, p->label, &was, NULL) < 0)
		return false;
	k.counts = was;
	lock_apply(&k, j, p->started, p->tag, now);
	if (has_lock(&k))
		return false;
	return memcmp(&was, &k.counts, sizeof(was)) == 0 ||
	    state_poke_key(&kr->state, p->state_offset, p->label, &was, &k.counts, NULL) == 0;
}

/* A success of one key ends what its whole account was barred for. */
static void
tell_siblings(const struct keyring *kr, struct state *st, const struct state_key *by, time_t started)
{
	struct index_facts x;
	struct index_key k;
	const char *account = NULL;

	if (!kr->index.p)
		return;
	index_facts(&kr->index, &x);
	for (size_t i = 0; i < x.key_count && !account; i++)
		if (index_key(&kr->index, i, &k) == 0 && strcmp(k.label, by->label) == 0)
			account = k.account;
	for (size_t i = 0; account && i < x.key_count; i++) {
		struct state_key *sibling;

		if (index_key(&kr->index, i, &k) < 0 || strcmp(k.account, account) != 0)
			continue;
		sibling = state_find(st, k.label);
		if (sibling && sibling != by)
			lock_account_served(sibling, by, started);
	}
}

/* Read whole, changed by an answer or a rest, written. */
static void
book_whole(struct keyring *kr, const char *label, const struct judgement *j, time_t started, const char *tag, bool rest)
{
	struct state st = { 0 };
	struct state_key *k;
	struct fail f = { 0 };
	time_t now = clock_wall();

	if (state_load(&kr->state, &st, NULL, &f) < 0 || !(k = state_add(&st, label))) {
		note_trouble(kr, &f);
	} else {
		if (rest)
			lock_rest(k, j, started, now);
		else
			lock_apply(k, j, started, tag, now);
		if (!rest && j->verdict == VERDICT_OK)
			tell_siblings(kr, &st, k, started);
		if (state_save(&kr->state, &st, false, &f) < 0)
			note_trouble(kr, &f);
	}
	state_free(&st);
}

void
keyring_book(struct keyring *kr, const struct pick *p, const struct judgement *j)
{
	if (p->spotless && j->verdict == VERDICT_OK && !p->probe)
		return;		/* the common case: nothing to write, so nothing to lock */
	begin(kr);
	if (kr->books && !book_in_place(kr, p, j, clock_wall()))
		book_whole(kr, p->label, j, p->started, p->tag, false);
	end(kr);
}

void
keyring_rest(struct keyring *kr, const char *label, const struct judgement *j, time_t started)
{
	begin(kr);
	if (kr->books)
		book_whole(kr, label, j, started, "", true);
	end(kr);
}
