#include "proxy/place.h"

#include "base/clock.h"
#include "base/digest.h"

#include <stdio.h>

/* As slots are named; no account is called so. */
#define PLACES "\nplaces %lld"
#define TURN "\nturn"

#define GROUP 64		/* places that share a file: the kernel goes through all locks of one */
#define TURN_MS 10		/* who has the turn looks so often */
#define QUEUE_MS 200		/* the others look for the turn less and less often, down to this */
#define STUCK_MS 2000		/* who has the turn may be a stopped process: then it is looked for a place without it */

static bool
look_in(struct place *p, const struct config *c, long long group)
{
	long long most = c->proxy_max_connections - group * GROUP;
	char name[32];

	snprintf(name, sizeof(name), PLACES, group);
	return slot_take(&p->slot, c->state_dir, name, most < GROUP ? most : GROUP, NULL) != 0;
}

/* True: one is taken, or that cannot be told. Who has just come looks everywhere, who waits at one group a time. */
static bool
look_for_place(struct place *p, const struct config *c)
{
	unsigned groups = (unsigned)((c->proxy_max_connections + GROUP - 1) / GROUP), from = digest_below(groups);

	for (unsigned i = 0; i < (p->waited_ms ? 1 : groups); i++)
		if (look_in(p, c, (from + i) % groups))
			return true;
	return false;
}

static bool
has_turn(struct place *p, const struct config *c)
{
	return p->turn.taken || slot_take(&p->turn, c->state_dir, TURN, 1, NULL) != 0;
}

/* The time differs a little from one process to the other: they began at the same moment. */
static int
pause_ms(const struct place *p)
{
	int64_t most = TURN_MS + p->waited_ms / 8;

	if (p->turn.taken)
		return TURN_MS;
	most = most < QUEUE_MS ? most : QUEUE_MS;
	return (int)(most / 2 + digest_below((unsigned)most / 2));
}

static void
rest(struct conn *conn, int ms)
{
	struct pollfd fds[3];

	conn_watch(conn, fds);
	fds[2] = (struct pollfd){ .fd = conn->control, .events = POLLIN };
	if (poll(fds, 3, ms) <= 0)
		return;
	conn_noticed(conn, fds);
	if (fds[2].revents)
		conn->draining = true;
}

enum place_answer
place_take(struct place *p, const struct config *c, struct conn *conn)
{
	int64_t began = clock_mono_ms(), out_of_turn = STUCK_MS;
	enum place_answer answer = PLACE_TAKEN;

	for (;;) {
		bool look = has_turn(p, c) || p->waited_ms >= out_of_turn;

		if (look && look_for_place(p, c))
			break;
		if (look && !p->turn.taken)
			out_of_turn = p->waited_ms + STUCK_MS / 4;
		if (conn->gone)
			answer = PLACE_LEFT;
		else if (conn->draining || p->waited_ms >= c->proxy_queue_seconds * 1000)
			answer = PLACE_NONE;
		if (answer != PLACE_TAKEN)
			break;
		rest(conn, pause_ms(p));
		p->waited_ms = clock_mono_ms() - began;
	}
	slot_free(&p->turn);
	return answer;
}

void
place_free(struct place *p)
{
	slot_free(&p->slot);
}
