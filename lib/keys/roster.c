#include "keys/roster.h"

#include "keys/index.h"
#include "keys/lock.h"

#include <stdlib.h>

static void
load_books(struct roster *r, const struct config *c)
{
	struct state_file sf;
	char *aside = NULL;
	struct fail f = { 0 };

	/* A folder that cannot be written may still be read. */
	if (state_open(&sf, c->state_dir, &f) < 0)
		r->no_books = f;
	if (state_load(&sf, &r->state, &aside, &f) < 0)
		r->no_books = f;
	else if (aside)
		fail_set(&r->no_books, FAIL_INPUT, "it could not be read and was set aside as %s", aside);
	free(aside);
	state_close(&sf);
}

/* As the next request will find them: a file that changed since has ended its locks. */
static const struct state_key *
books_of(const struct state *st, const struct auth *k)
{
	struct state_key *books = state_find(st, k->label);
	char tag[DIGEST_SHORT_SIZE];

	index_tag(&k->stamp, tag);
	if (books)
		(void)lock_file_changed(books, tag);
	return books;
}

/* A file that was skipped may give a key by now without having been touched otherwise: then only a reading tells. */
static bool
take_index(struct auths *a, const struct config *c)
{
	struct index ix;
	struct index_facts x;
	bool taken;

	if (index_read(&ix, c->state_dir) < 0)
		return false;
	index_facts(&ix, &x);
	taken = x.settings == index_settings(c) && x.skipped_count == 0 && index_files_same(&ix, x.key_count) &&
	    index_auths(&ix, a, NULL) == 0;
	index_free(&ix);
	return taken;
}

void
roster_again(struct roster *r, const struct config *c, time_t now)
{
	state_free(&r->state);
	r->no_books = (struct fail){ 0 };
	load_books(r, c);
	for (size_t i = 0; i < r->auths.count; i++) {
		const struct auth *k = &r->auths.keys[i];

		r->keys[i] = (struct choose_key){
			.label = k->label,
			.account = k->account,
			.disabled = k->disabled,
			.books = books_of(&r->state, k),
		};
		health_tell(&r->health, k->hash, now, &r->keys[i]);
	}
	choose_fitness(r->keys, r->auths.count, c, now, r->fit);
}

/* With the keys in its hands. */
static int
load_rest(struct roster *r, const struct config *c, time_t now, struct fail *f)
{
	(void)health_load(&r->health, c->state_dir, &r->no_health);
	r->keys = calloc(r->auths.count + 1, sizeof(*r->keys));
	r->fit = calloc(r->auths.count + 1, sizeof(*r->fit));
	if (!r->keys || !r->fit) {
		roster_free(r);
		return fail_memory(f);
	}
	roster_again(r, c, now);
	return 0;
}

int
roster_load(struct roster *r, const struct config *c, time_t now, struct fail *f)
{
	*r = (struct roster){ 0 };
	if (auths_scan(&r->auths, c, &r->no_keys) == 0 && r->auths.count == 0) {
		fail_set(&r->no_keys, FAIL_INPUT, "no usable key file in %s", c->auths_dir);
		if (r->auths.skipped_count)
			fail_hint(&r->no_keys, "mend one of those that `kmi keys` lists as skipped");
		else
			fail_hint(&r->no_keys, "put a key file there, such as main.env with KMI_API_KEY=...");
	}
	return load_rest(r, c, now, f);
}

int
roster_load_standing(struct roster *r, const struct config *c, time_t now, struct fail *f)
{
	*r = (struct roster){ 0 };
	return take_index(&r->auths, c) ? load_rest(r, c, now, f) : roster_load(r, c, now, f);
}

void
roster_free(struct roster *r)
{
	free(r->keys);
	free(r->fit);
	health_free(&r->health);
	state_free(&r->state);
	auths_free(&r->auths);
	*r = (struct roster){ 0 };
}

size_t
roster_count(const struct roster *r, enum fitness fitness)
{
	size_t n = 0;

	for (size_t i = 0; i < r->auths.count; i++)
		n += r->fit[i].fitness == fitness;
	return n;
}

size_t
roster_usable(const struct roster *r)
{
	return roster_count(r, FIT_HEALTHY) + roster_count(r, FIT_WARN);
}

const struct auth *
roster_active(const struct roster *r)
{
	long long i = r->state.head.active_index;

	if (r->auths.count == 0)
		return NULL;
	return &r->auths.keys[i >= 0 && (size_t)i < r->auths.count ? i : 0];
}
