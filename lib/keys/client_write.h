/*
 * client_write: a key of the pool, put into the config of a Kimi CLI.
 *
 * A .toml key file is copied; the key of another one is set in place (keys/client_config). What was there
 * stands beside it in config.toml.bak, what was there before the first time in config.toml.orig. The change
 * is all or nothing, the file its owner's alone; a symbolic link stays one. On failure it is as it was.
 */
#ifndef KMI_KEYS_CLIENT_WRITE_H
#define KMI_KEYS_CLIENT_WRITE_H

#include "base/fail.h"
#include "keys/auths.h"

struct client_written {
	bool changed;		/* else the key stood there already */
	bool closed;		/* others could read it before */
	bool login;		/* its client is logged in, and prefers that to the key */
};

/* Makes the file and its folder when they are not there. Never writes into a key file of the pool, wherever a link leads. */
int client_write(const char *path, const struct auths *pool, size_t chosen, struct client_written *w, struct fail *f);

#endif
