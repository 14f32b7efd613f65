#include "keys/keyring.h"

#include "base/clock.h"
#include "keys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOCK_WAIT_MS 2000	/* a stopped process must not stop the others: after this, on without books */
#define STUCK_MS 10000		/* and for so long after it the others do not wait as patiently again */
#define STUCK_WAIT_MS 50
/*
 * Folders are compared at each request, and the file of a key when it is used. Of the other files the first
 * few twenty times a second (a small pool so notices a changed file at once, under any load), all of them
 * every few seconds.
 */
#define FILES_GLANCED 16
#define GLANCE_EVERY_MS 50
#define LOOK_EVERY_MS 3000

void
keyring_note(struct keyring *kr, const struct fail *f)
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
		"trace/trace.jsonl", "logs", "logs/kmi.log", "logs/proxy.out", "limits", "slots", "penalty", "proxy.pid" };

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
		keyring_note(kr, &trouble);
	else if (c->enforce_file_perms && file_tighten(c->state_dir))
		tighten_state(c);
	path = file_join(c->state_dir, "verdicts.conf");
	if (!path)
		return fail_memory(f);
	if (file_read(path, (1 << 20) - 1, &user, NULL, &trouble) < 0 && errno != ENOENT)
		keyring_note(kr, &trouble);
	rc = verdict_rules_make(&kr->rules, buf_view(&user), &trouble);
	if (rc < 0 && kr->rules) {
		fail_hint(&trouble, "the other rules of %s are in force", path);
		keyring_note(kr, &trouble);
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
void
keyring_begin(struct keyring *kr)
{
	struct fail f = { 0 };

	kr->books = state_lock(&kr->state, clock_mono_ms() < kr->stuck_until_ms ? STUCK_WAIT_MS : LOCK_WAIT_MS, &f) == 0;
	if (!kr->books && f.kind == FAIL_BUSY)
		kr->stuck_until_ms = clock_mono_ms() + STUCK_MS;
	if (!kr->books && f.kind != FAIL_NONE)
		keyring_note(kr, &f);
}

void
keyring_end(struct keyring *kr)
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

bool
keyring_is_automatic(const struct keyring *kr, const struct state_head *head)
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
	return x.epoch == head->epoch && x.automatic == keyring_is_automatic(kr, head) && now < x.valid_until &&
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
		keyring_note(kr, f);	/* no folder: an empty pool, and said so */
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
		keyring_note(kr, &trouble);
		keyring_end(kr);
		kr->books = false;
	}
	if (aside) {
		fail_set(&trouble, FAIL_INPUT, "state.json could not be read and was set aside as %s; a fresh one was started", aside);
		keyring_note(kr, &trouble);
		free(aside);
	}
	complete_books(kr, &st, &changed);
	if (kr->books && changed && state_save(&kr->state, &st, false, &trouble) < 0) {
		keyring_note(kr, &trouble);
		keyring_end(kr);
		kr->books = false;
	}
	rc = index_decide(&kr->index, &st, kr->config, keyring_is_automatic(kr, &st.head), clock_wall(), kr->describe, f);
	if (rc == 0 && kr->books && index_write(&kr->index, kr->config->state_dir, &trouble) < 0)
		keyring_note(kr, &trouble);
	*head = st.head;
	state_free(&st);
	return rc;
}

/*
 * Begins a transaction with an index that holds: ours, else one another
 * process has left, else a new one. On return the lock is held when kr->books is set.
 */
int
keyring_begin_fresh(struct keyring *kr, struct state_head *head, bool rescan, struct fail *f)
{
	bool current = !rescan && same_settings(kr) && files_same(kr), laid_out;
	struct index ours;

	keyring_begin(kr);
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
		keyring_end(kr);
		if (scan(kr, f) < 0) {
			kr->books = false;
			return -1;
		}
		keyring_begin(kr);
		laid_out = kr->books && state_peek(&kr->state, head, NULL) == 0;
	}
	return decide(kr, head, laid_out, f);
}

