/*
 * running: the settings that the proxy was started with, where they are not those of whoever asks.
 * `KMI_DRY_RUN=0 kmi proxy` holds for that proxy alone: a tool in the same shell has other settings, and must
 * not speak of its own as of the proxy's.
 *
 *	running_find(&r, c, &by);
 *	if (r.known) ... r.dry_run ... r.differs
 *
 * Told by the environment and the folder of that process, with which the settings are read once more, by a
 * child of ours. Of our own processes only, and of none that hides (kmi-tls): then nothing is known. A file
 * that was changed since the start is read as it is now.
 */
#ifndef KMI_BASE_RUNNING_H
#define KMI_BASE_RUNNING_H

#include "base/config.h"
#include "base/superserver.h"

struct running {
	bool known;
	bool dry_run, auto_rotate_allowed;
	char differs[320];		/* "KMI_DRY_RUN, KMI_AUTHS_DIR"; empty when nothing that matters does */
	char state_dir[PATH_MAX];	/* where it keeps its books, when that is elsewhere; else empty */
};

void running_find(struct running *r, const struct config *here, const struct superserver *by);
#endif
