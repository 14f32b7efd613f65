/* bind: a listening socket on an address of the settings. */
#ifndef KMI_BASE_BIND_H
#define KMI_BASE_BIND_H

#include "base/config.h"
#include "base/fail.h"

/*
 * The descriptor, or -1; an address that is in use is told with the program that holds it. `text` is the
 * address as it was given, `setting` the name of where. The socket of a unix path that nobody listens on any
 * more is replaced.
 */
int bind_listen(const struct listen_address *a, const char *text, const char *setting, struct fail *f);

/* Whether a listening socket is on that address: one that was handed over. */
bool bind_is_at(int fd, const struct listen_address *a);

#endif
