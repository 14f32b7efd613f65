#include "keys/pick.h"

#include "base/clock.h"
#include "base/json.h"
#include "keys/limit.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- limits ------------------------------------------------------------------------------------------------------ */

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
		keyring_note(kr, &f);
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
		keyring_note(kr, &f);
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
		keyring_note(kr, &f);
	if ((c->proxy_max_rps_per_key > 0 || rpm_of(kr, own_rpm) > 0) &&
	    limit_take(c->state_dir, label, c->proxy_max_rps_per_key, rpm_of(kr, own_rpm), now_ns, &f) < 0)
		keyring_note(kr, &f);
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

/* ---- the books --------------------------------------------------------------------------------------------------- */

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
		p->used_before = was.last_used;
		counts.last_used = now;
		counts.request_count++;
		p->spotless = was.faults == 0 && now >= was.last_success && now - was.last_success < SUCCESS_SECONDS;
		if (state_poke_key(&kr->state, p->state_offset, p->label, &was, &counts, &f) == 0)
			return;
	}
	if (state_load(&kr->state, &st, NULL, &f) == 0 && (books = state_add(&st, p->label))) {
		p->used_before = books->counts.last_used;
		books->counts.last_used = now;
		books->counts.request_count++;
		if (state_save(&kr->state, &st, false, &f) < 0)
			keyring_note(kr, &f);
	} else {
		keyring_note(kr, &f);
	}
	state_free(&st);
}

/* It came to nothing: the books must not tell of a use that the trace knows nothing of. */
static void
uncount_use(struct keyring *kr, const struct pick *p)
{
	struct state_counts was, counts;

	keyring_begin(kr);
	if (kr->books && state_peek_key(&kr->state, p->state_offset, p->label, &was, NULL) == 0 && was.request_count > 0) {
		counts = was;
		counts.request_count--;
		if (counts.last_used == p->started)
			counts.last_used = p->used_before;
		state_poke_key(&kr->state, p->state_offset, p->label, &was, &counts, NULL);
	}
	keyring_end(kr);
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
		keyring_note(kr, &f);
	state_free(&st);
	return moved;
}

/* ---- nobody is fit ----------------------------------------------------------------------------------------------- */

/* Why each of them is not chosen, for whoever is refused. */
static void
put_reasons(struct buf *to, const struct choose_key *keys, const struct choose_fit *fit, size_t count)
{
	struct json_out o = { .to = to };

	json_open(&o, '[');
	for (size_t i = 0; i < count; i++) {
		json_open(&o, '{');
		json_key(&o, "label");
		json_put_cstr(&o, keys[i].label);
		json_key(&o, "status");
		json_put_cstr(&o, fitness_name(fit[i].fitness));
		json_key(&o, "reason");
		json_put_cstr(&o, *fit[i].reason ? fit[i].reason : NULL);
		json_key(&o, "until");
		json_put_time(&o, fit[i].until == TIME_NEVER ? 0 : fit[i].until);
		json_close(&o, '}');
	}
	json_close(&o, ']');
}

/* One whose lock is only a guess is tried, within its limits as ever, and that is written down. */
static bool
take_probe(struct keyring *kr, struct pick *p, struct state *st, size_t which, time_t now)
{
	struct state_key *books;
	struct slot slot = { 0 };
	struct index_key k;
	struct fail f;

	if (!kr->books || index_key(&kr->index, which, &k) < 0 || !(books = state_find(st, k.label)) ||
	    key_wait_ns(kr, k.label, k.max_rpm, clock_mono_ns()) > 0 ||
	    slot_wait_ns(kr, &slot, k.account, k.max_concurrency) > 0)
		return false;
	books->probed_at = now;
	books->counts.last_used = now;
	books->counts.request_count++;
	if (state_save(&kr->state, st, false, &f) < 0 || hold(p, &k, st->head.epoch, &f) < 0) {
		slot_free(&slot);
		return false;
	}
	p->slot = slot;
	p->probe = true;
	p->choice = PICK_PROBE;
	return true;
}

/* Nobody is eligible: whom to try in spite of that, or why nobody, key by key. */
static enum pick_answer
explain(struct keyring *kr, struct pick *p, struct pick_none *none)
{
	struct index_facts x;
	struct state st = { 0 };
	struct choose_key *keys;
	struct choose_fit *fit;
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
	put_reasons(&none->keys, keys, fit, x.key_count);
	if (none->why.probe >= 0 && take_probe(kr, p, &st, (size_t)none->why.probe, now))
		answer = PICK_KEY;
out:
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
		keyring_note(kr, &f);
	return wait > 0 ? wait : 0;
}

/* ---- whose turn -------------------------------------------------------------------------------------------------- */

/* By which rule a request gets its first key. A request without a session takes its turn. */
static enum pick_choice
rule_of(const struct keyring *kr, const struct picking *g, const struct state_head *head)
{
	if (!keyring_is_automatic(kr, head))
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

/* ---- picking ----------------------------------------------------------------------------------------------------- */

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
pick_release(struct pick *p)
{
	slot_free(&p->slot);
}

enum pick_answer
pick_next(struct keyring *kr, struct picking *g, struct pick *p, struct pick_none *none)
{
	enum pick_answer answer = PICK_NONE;

	pick_release(p);	/* of an earlier attempt: the account may be chosen again, by another key */
	*none = (struct pick_none){ .keys = BUF(64u << 20), .why = { .probe = -1, .status = 503, .code = "no_keys" } };
	/* A key file that changed under us costs another look at the folder; one that keeps changing is left. */
	for (int tries = 0; tries < 3; tries++) {
		struct state_head head = { 0 };
		struct fail f = { 0 };

		if (keyring_begin_fresh(kr, &head, tries > 0, &f) < 0) {
			keyring_note(kr, &f);
			keyring_end(kr);
			return PICK_NONE;
		}
		kr->health_at = head.last_health_refresh;
		answer = pick_locked(kr, g, p, none, &head);
		keyring_end(kr);
		if (answer != PICK_KEY)
			return answer;
		if (read_secret(p, &f) == 0) {
			remember(g, p);
			return PICK_KEY;
		}
		if (tries > 0)
			keyring_note(kr, &f);
		uncount_use(kr, p);
		pick_release(p);
	}
	remember(g, p);
	return PICK_NONE;
}

int
pick_again(struct keyring *kr, struct pick *p)
{
	struct fail f = { 0 };
	int64_t now_ns;

	keyring_begin(kr);
	now_ns = clock_mono_ns();
	if (key_wait_ns(kr, p->label, p->max_rpm, now_ns) > 0 ||
	    slot_wait_ns(kr, &p->slot, p->account, p->max_concurrency) > 0) {
		keyring_end(kr);
		return -1;
	}
	p->started = clock_wall();
	p->choice = PICK_AGAIN;
	take_limits(kr, p->label, p->max_rpm, now_ns, false);
	count_use(kr, p, p->started);
	keyring_end(kr);
	if (read_secret(p, &f) < 0) {
		uncount_use(kr, p);
		return -1;
	}
	return 0;
}
