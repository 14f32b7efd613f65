/*
 * systemctl: asks a systemd to do something, by its own program.
 *
 *	if (systemctl(user, SYSTEMCTL_LOUD, "enable", "--now", unit, NULL) < 0) ...
 *	if (systemctl_is(user, "active", unit)) ...
 */
#ifndef KMI_BASE_SYSTEMCTL_H
#define KMI_BASE_SYSTEMCTL_H

#include <stdbool.h>

enum systemctl_voice { SYSTEMCTL_LOUD, SYSTEMCTL_QUIET };	/* quiet: what it says is dropped */

/* 0, or -1 when it could not be run or did not end well. `user`: the user's own manager. The list ends with NULL. */
int systemctl(bool user, enum systemctl_voice voice, const char *first, ...) __attribute__((sentinel));
bool systemctl_is(bool user, const char *state, const char *unit);
/* The same for another program: argv ends with NULL. */
int systemctl_run(enum systemctl_voice voice, const char *const *argv);

#endif
