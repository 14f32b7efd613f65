#include "keys/lock.h"

#include <stdio.h>
#include <string.h>

#define FAULTS_MAX 9
#define REST_FIRST_SECONDS 5
#define REST_MAX_SECONDS 60

time_t
lock_end(const struct lock *l, time_t now)
{
	if (l->until <= now)
		return 0;
	if (l->until == TIME_NEVER || l->set_at == 0 || now >= l->set_at)
		return l->until;
	/*
	 * The clock was set back since. By less than the lock's length: it starts again, no longer than it was.
	 * By more: nobody knows how much of it is left, and a lock too long costs more than one more refusal.
	 */
	if (l->set_at - now > l->until - l->set_at)
		return 0;
	return now + (l->until - l->set_at);
}

static bool
reason_starts(const struct lock *l, const char *word)
{
	return str_starts(str_from(l->reason), word);
}

bool
lock_whole_account(const struct lock *l)
{
	return !reason_starts(l, "auth") && !reason_starts(l, "server");
}

bool
lock_may_probe(const struct lock *l)
{
	/* The older tool did not write where the end came from; of these reasons it is always a guess. */
	if (l->source != SOURCE_GUESS && l->source != SOURCE_NONE)
		return false;
	return reason_starts(l, "auth") || reason_starts(l, "payment") || reason_starts(l, "forbidden") ||
	    reason_starts(l, "server");
}

/*
 * Whether an attempt was made in spite of a lock, and so proves something about it. Times are whole seconds:
 * in the second in which the lock was set, only a probe can have begun after it.
 */
static bool
began_after(const struct lock *l, const struct state_key *k, time_t started)
{
	return started > l->set_at || (started == l->set_at && k->probed_at >= l->set_at && lock_may_probe(l));
}

static void
lock_drop(struct lock *l)
{
	memset(l, 0, sizeof(*l));
}

static void
lock_set(struct lock *l, time_t until, enum lock_source source, const char *reason, const char *evidence, time_t now)
{
	time_t end = lock_end(l, now);

	if (end >= until)
		return;
	if (end && source == SOURCE_GUESS && l->source != SOURCE_GUESS && strcmp(l->reason, reason) == 0)
		return;
	*l = (struct lock){ .until = until, .set_at = now, .source = source };
	snprintf(l->reason, sizeof(l->reason), "%s", reason);
	snprintf(l->evidence, sizeof(l->evidence), "%s", evidence);
}

static void
remember_tag(struct state_key *k, const char *tag)
{
	snprintf(k->file_tag, sizeof(k->file_tag), "%s", tag ? tag : "");
}

static void
count_error(struct state_counts *c, const struct judgement *j, time_t now)
{
	/* An error event inside a 200 stream has no status of its own: the verdict says where it belongs. */
	bool inside = j->status >= 200 && j->status < 300;

	c->last_error = now;
	if (j->status == 401 || (inside && j->verdict == VERDICT_AUTH))
		c->error_401++;
	else if (j->status == 429 || (inside && (j->verdict == VERDICT_RATE || j->verdict == VERDICT_CONCURRENCY)))
		c->error_429++;
	else if (j->verdict == VERDICT_SERVER)
		c->error_5xx++;
	else if (j->status == 403 || inside)
		c->error_403++;
}

static bool
drop_if_served(struct lock *l, const struct state_key *by, time_t started)
{
	if (l->until == 0 || !began_after(l, by, started))
		return false;
	lock_drop(l);
	return true;
}

static void
served(struct state_key *k, time_t started, time_t now)
{
	bool resting = reason_starts(&k->exhausted, "server");

	k->counts.last_success = now;
	/* A slow success that began before the fault says nothing about what came after. */
	if (!resting || began_after(&k->exhausted, k, started))
		k->counts.faults = 0;
	drop_if_served(&k->exhausted, k, started);
	drop_if_served(&k->blocked, k, started);
}

/* Whoever is told to pay or to slow down was let in first: the key itself is accepted again. */
static bool
shows_key_accepted(enum verdict v)
{
	return v == VERDICT_PAYMENT || v == VERDICT_QUOTA || v == VERDICT_CONCURRENCY || v == VERDICT_RATE;
}

void
lock_apply(struct state_key *k, const struct judgement *j, time_t started, const char *tag, time_t now)
{
	bool blocks = j->verdict == VERDICT_AUTH || j->verdict == VERDICT_PAYMENT;

	/* An attempt that began later used the newer file; one that was on its way may have used the older. */
	if (started >= k->exhausted.set_at && started >= k->blocked.set_at)
		(void)lock_file_changed(k, tag);
	switch (j->verdict) {
	case VERDICT_OK:
		served(k, started, now);
		return;
	case VERDICT_REQUEST:
	case VERDICT_OVERLOAD:
		return;		/* not this key's doing */
	case VERDICT_AUTH:
	case VERDICT_PAYMENT:
	case VERDICT_QUOTA:
	case VERDICT_CONCURRENCY:
	case VERDICT_RATE:
	case VERDICT_FORBIDDEN:
	case VERDICT_SERVER:
		break;
	}
	count_error(&k->counts, j, now);
	if (shows_key_accepted(j->verdict) && reason_starts(&k->blocked, "auth"))
		drop_if_served(&k->blocked, k, started);
	if (j->until <= now)
		return;
	lock_set(blocks ? &k->blocked : &k->exhausted, j->until, j->source, j->reason, j->evidence, now);
	remember_tag(k, tag);
}

void
lock_rest(struct state_key *k, const struct judgement *j, time_t started, time_t now)
{
	int seconds = REST_FIRST_SECONDS;

	if (reason_starts(&k->exhausted, "server") && !began_after(&k->exhausted, k, started))
		return;
	if (k->counts.faults < FAULTS_MAX)
		k->counts.faults++;
	for (int i = 1; i < k->counts.faults && seconds < REST_MAX_SECONDS; i++)
		seconds *= 2;
	if (seconds > REST_MAX_SECONDS)
		seconds = REST_MAX_SECONDS;
	lock_set(&k->exhausted, now + seconds, SOURCE_GUESS, "server", j->evidence, now);
}

bool
lock_account_served(struct state_key *k, const struct state_key *by, time_t started)
{
	bool changed = false;

	if (lock_whole_account(&k->exhausted))
		changed |= drop_if_served(&k->exhausted, by, started);
	if (lock_whole_account(&k->blocked))
		changed |= drop_if_served(&k->blocked, by, started);
	return changed;
}

bool
lock_file_changed(struct state_key *k, const char *tag)
{
	if (!k->file_tag[0] || !tag || !tag[0] || strcmp(k->file_tag, tag) == 0)
		return false;
	lock_clear(k);
	return true;
}

bool
lock_recheck_passed(struct state_key *k, time_t asked)
{
	if (k->blocked.until == 0 || !reason_starts(&k->blocked, "auth") || k->blocked.set_at > asked)
		return false;
	lock_drop(&k->blocked);
	return true;
}

void
lock_clear(struct state_key *k)
{
	lock_drop(&k->exhausted);
	lock_drop(&k->blocked);
	k->counts.last_error = 0;	/* what was is counted, but weighs no more */
	k->counts.faults = 0;
	k->probed_at = 0;
	k->file_tag[0] = '\0';
}
