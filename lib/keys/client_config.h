/*
 * client_config: the configs of the Kimi CLIs: where they are, and a key and its upstream set in one with
 * every other byte of it kept.
 *
 * Setting is pure: text in, text out. The provider that is set is managed:kimi-code, kimi-for-coding or
 * moonshot-ai, else the first of type kimi. A config that has none of these gets one, with a model of its
 * own, and that is the default model where no other is. Another vendor's provider is never touched.
 */
#ifndef KMI_KEYS_CLIENT_CONFIG_H
#define KMI_KEYS_CLIENT_CONFIG_H

#include "base/buf.h"
#include "base/fail.h"

#define CLIENT_CONFIG_MAX (4u << 20)

/* The model that a client gets where nobody chose one, and the tokens it has room for. */
#define CLIENT_MODEL "kimi-for-coding"
#define CLIENT_MODEL_CONTEXT "262144"

enum client { CLIENT_KIMI_CLI, CLIENT_KIMI_CODE, CLIENTS };

/*
 * Where that client keeps its config: in ~/.kimi or KIMI_SHARE_DIR, in ~/.kimi-code or KIMI_CODE_HOME. It
 * need not be there. Caller frees; NULL: no memory.
 */
char *client_config_path(enum client client);

/* Where the client goes by itself: by the provider of its default model, else by the one that client_config_set() sets. */
struct client_route {
	char *provider;		/* NULL: none is named */
	char *base_url;		/* NULL: the client's own idea */
	char *api_key;		/* NULL: none; a login has none */
};

int client_config_route(struct str text, struct client_route *out, struct fail *f);
void client_route_free(struct client_route *r);

/*
 * Appends to out. -1: the text is no TOML ("line 3: ..."), or what is to be set stands in it in a form that a
 * value cannot take the place of: an api_key that is a table with a header, providers that are no tables.
 */
int client_config_set(struct str text, struct str api_key, struct str base_url, struct buf *out, struct fail *f);

/* Whether the provider that would be set has a login, which its client prefers to a key. False for what is no TOML. */
bool client_config_has_login(struct str text);

#endif
