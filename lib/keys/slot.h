/*
 * slot: how many requests may be in flight at once on an account, across all processes.
 *
 * STATE_DIR/slots/ has an empty file for each limited account, named by a hash. Slot i is a lock on the
 * file's byte i that belongs to one open description (an OFD lock), so the kernel frees it with its holder,
 * however that ends; nobody has to clean up. No other lock is needed.
 *
 *	struct slot s = { 0 };
 *	switch (slot_take(&s, dir, account, 3, f)) ...
 *	   1: taken; slot_free(&s) when the request has ended
 *	   0: all are in use
 *	  -1: cannot be told, *f says why: the books are out of order, the request is not
 *
 * A limit that is lowered counts for what starts after: requests in the higher slots run on.
 */
#ifndef KMI_KEYS_SLOT_H
#define KMI_KEYS_SLOT_H

#include "base/fail.h"

#include <stdbool.h>

struct slot {
	bool taken;
	int fd;
};

int slot_take(struct slot *s, const char *state_dir, const char *account, long long most, struct fail *f);
void slot_free(struct slot *s);		/* one that is not taken is fine */

#endif
