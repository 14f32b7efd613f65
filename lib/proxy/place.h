/*
 * place: how many requests are served at once where every connection has a process of its own (systemd's
 * Accept=yes, xinetd, inetd). Nobody stands before those who could count them, so they count themselves: a
 * place is a slot (keys/slot.h), which the kernel frees with its holder.
 *
 *	struct place p = { 0 };
 *	switch (place_take(&p, c, conn)) ...
 *	place_free(&p);			when the answer is whole
 *
 * Who finds none waits, for KMI_PROXY_QUEUE_SECONDS. Who has the turn looks for a place all the time, the
 * others whether the turn is free: so a newcomer does not overtake those who wait, and a thousand of them
 * cost little.
 */
#ifndef KMI_PROXY_PLACE_H
#define KMI_PROXY_PLACE_H

#include "base/config.h"
#include "keys/slot.h"
#include "proxy/conn.h"

enum place_answer {
	PLACE_TAKEN,	/* or they cannot be counted: the books are out of order, the request is not */
	PLACE_NONE,	/* none in time, or this process is to end */
	PLACE_LEFT,	/* the client did not wait */
};

struct place {
	struct slot slot, turn;
	int64_t waited_ms;
};

enum place_answer place_take(struct place *p, const struct config *c, struct conn *conn);
void place_free(struct place *p);

#endif
