#include "proxy/guess.h"

#include "base/clock.h"
#include "books/events.h"
#include "keys/slot.h"
#include "proxy/penalty.h"

#define WAITING_MAX 64		/* answers held back at once, however many handlers there may be */
#define WAITING_SLOTS "\nwrong tokens"	/* no account is called so */

static long long
waiting_max(const struct config *c)
{
	long long most = c->proxy_max_connections / 8;

	return most < 1 ? 1 : most > WAITING_MAX ? WAITING_MAX : most;
}

static void
tell_uncounted(const struct config *c, const struct fail *f)
{
	if (event_due(c, "wrong_tokens_count"))
		event_log(c, EVENT_WARNING, "wrong tokens cannot be counted, so nobody who tries them out is slowed down",
		    "reason", f->text, NULL);
}

bool
guess_hold(const struct config *c, const struct peer *p, struct conn *conn, int64_t *waited_ms)
{
	char origin[PENALTY_ORIGIN_SIZE];
	int64_t started = clock_mono_ms(), delay_ms;
	struct slot waiting = { 0 };
	struct fail f;
	int taken;

	*waited_ms = 0;
	penalty_origin(p, origin);
	if (penalty_add(c->state_dir, origin, &delay_ms, &f) < 0) {
		tell_uncounted(c, &f);
		return true;
	}
	if (delay_ms == 0)
		return true;
	if (event_due(c, "wrong_tokens"))
		event_log(c, EVENT_WARNING, "one wrong token after the other: they are answered ever more slowly",
		    "peer", p->remote, "hint", "kmi trace --status 401 shows how many; a right token is served at once", NULL);
	taken = slot_take(&waiting, c->state_dir, WAITING_SLOTS, waiting_max(c), &f);
	if (taken < 0)
		tell_uncounted(c, &f);
	else if (taken > 0)
		conn_pause(conn, started + delay_ms);
	slot_free(&waiting);
	*waited_ms = clock_mono_ms() - started;
	return taken != 0;
}
