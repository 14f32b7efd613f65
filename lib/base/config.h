/*
 * config: every setting, its value, and where it came from.
 *
 * Order, highest first: command line, the file named by KMI_ENV_PATH, the
 * environment, `.env` in the working directory, `kmi.config.toml` in the
 * working directory or else in ~/.kmi, the machine's /etc/kmi/kmi.env where
 * we may read it, defaults. A program loads it once:
 *
 *	struct config c;
 *	if (config_load(&c, args, &f) < 0) -> message, exit 2
 *	... c.state_dir, c.cooldown_seconds ...
 *	config_free(&c);
 *
 * `args` are NAME=VALUE pairs without KMI_ ("PROXY_LISTEN=127.0.0.1:1"), NULL at the
 * end, or NULL for none. The settings are one table in config.c: name, type,
 * default, range, help; the struct, `kmi config` and the docs follow it.
 *
 * Only the value that counts is looked at: a bad one that a higher source
 * overrides does no harm. config_load() also sets the zone of clock_local()
 * and the language of text_say(), which its own errors and warnings are told in.
 * Zero means "off" or "no limit" where a range begins with it, unless said otherwise.
 */
#ifndef KMI_BASE_CONFIG_H
#define KMI_BASE_CONFIG_H

#include "base/buf.h"
#include "base/fail.h"
#include "base/text.h"

#include <sys/types.h>

enum rotate_strategy { ROTATE_ROUND_ROBIN, ROTATE_SESSION, ROTATE_MOST_QUOTA };

struct listen_address {
	char *host;	/* NULL for a unix socket; without brackets */
	int port;
	char *path;	/* unix socket, else NULL */
	bool shared;	/* other users may open that: it is looked at who they are */
};

struct config {
	/* paths, "~" expanded */
	char *auths_dir;
	char *state_dir;

	/* proxy */
	char *proxy_listen;		/* as given */
	struct listen_address listen;	/* the same, taken apart */
	char *proxy_base_path;		/* no trailing '/'; empty for "/" */
	char *proxy_token;		/* secret, given or read from its file; empty = none */
	char *proxy_token_file;
	bool proxy_allow_remote, proxy_require_tls, proxy_tls_terminated;
	char **proxy_unix_users;	/* lists end with NULL */
	uid_t *proxy_unix_uids;		/* the same, one for each */
	char **proxy_hosts;
	char **proxy_allow_origins;
	char *proxy_tls_cert, *proxy_tls_key;
	char *proxy_tls_listen;		/* as given; empty: TLS takes the place of plain HTTP on `listen` */
	struct listen_address tls_listen;	/* the same, taken apart */
	char *proxy_tls_pool;
	long long proxy_max_rps, proxy_max_rpm, proxy_max_rps_per_key, proxy_max_rpm_per_key;
	long long proxy_max_concurrency_per_key;
	long long proxy_wait_seconds, proxy_retry_max, proxy_retry_base_ms;
	long long proxy_max_body_mb, proxy_max_connections, proxy_idle_seconds;
	long long proxy_queue_seconds;	/* ours: how long a request waits for one of so many places (60) */
	long long proxy_drain_seconds;	/* ours: how long a stopping pool lets answers finish (30) */

	/* upstream */
	char *upstream_base_url;	/* https, no trailing '/' */
	char **upstream_allowlist;
	char *upstream_ca_file;		/* empty = none */
	long long upstream_connect_timeout_seconds, upstream_idle_timeout_seconds;
	bool dry_run;

	/* choice and locks */
	bool write_config, rotate_on_tie, auto_rotate_allowed, auto_rotate_e2e, rotate_include_warn;
	enum rotate_strategy rotate_strategy;
	long long rotation_cooldown_seconds, cooldown_max_seconds, payment_block_seconds;
	bool require_usage_before_request, fail_open_on_empty_cache;
	long long usage_cache_seconds, blocklist_recheck_seconds, blocklist_recheck_max;

	/* books and people */
	long long trace_max_mb, trace_backups, log_max_mb, log_backups;
	bool trace_prompts;
	char *timezone;
	enum locale locale;
	bool plain, no_color;
	char *audit_actor;
	bool enforce_file_perms, sandbox;

	/* How it was found: one entry a setting, in table order; and what was odd. */
	struct config_origin *origins;
	char **warnings;		/* ends with NULL: unknown names and the nearest known one */
};

enum config_source {
	CONFIG_DEFAULT,
	CONFIG_MACHINE,		/* /etc/kmi/kmi.env: what the system's units and root's tools share */
	CONFIG_TOML,
	CONFIG_DOTENV,		/* .env in the working directory */
	CONFIG_ENVIRONMENT,
	CONFIG_ENV_PATH,	/* the file named by KMI_ENV_PATH */
	CONFIG_ARGUMENT,
};

struct config_origin {
	enum config_source source;
	char *file;		/* for the three kinds of file, else NULL */
	int line;		/* 0 when it has none */
};

int config_load(struct config *c, const char *const *args, struct fail *f);
/*
 * The same for who is to tell all that is wrong: a source that cannot be read, or a value that cannot be
 * used, is told to `refused` and then counts as not given. Fails only when memory is out.
 */
int config_load_around(struct config *c, const char *const *args, void (*refused)(const struct fail *why, void *arg),
    void *arg, struct fail *f);
void config_free(struct config *c);	/* wipes the secrets */

/* For listing: setting i of config_count(), its KMI_ name, value as text (masked when secret) and help. */
size_t config_count(void);
const char *config_name(size_t i);
const char *config_help(size_t i);
bool config_is_secret(size_t i);
void config_value(const struct config *c, size_t i, struct buf *out);
void config_default(size_t i, struct buf *out);		/* as it is here and now, "~" not expanded */
void config_allowed(size_t i, struct buf *out);		/* "a whole number from 1 to 20" */
const char *config_source_name(enum config_source s);
/* Where setting i came from, in words: "default", "environment", ".env, line 3". */
void config_origin(const struct config *c, size_t i, struct buf *out);
/* The setting of that name, with or without KMI_, in any case; -1 when there is none. */
int config_find(const char *name);
/* The KMI_ name nearest to a misspelt one, or NULL. */
const char *config_nearest(const char *name);

/* Whether TLS is spoken at all, and whether it is on the address of KMI_PROXY_LISTEN, instead of plain HTTP. */
bool config_has_tls(const struct config *c);
bool config_listen_is_tls(const struct config *c);
/* "http" or "https": how a URL of that address begins. */
const char *config_scheme(const struct config *c);

/* Whether `host` passes the allowlist (empty list = any; `*.domain` matches below domain). */
bool config_host_allowed(const struct config *c, struct str host);
/*
 * Checks an upstream base URL: https, a host that is allowed, no user, query or fragment. Fails with
 * FAIL_INPUT and a sentence without the URL ("the URL must start with https://"): there may be a password in
 * it.
 */
int config_check_url(const struct config *c, const char *url, struct fail *f);
#endif
