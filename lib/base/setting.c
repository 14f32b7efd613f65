#include "base/setting.h"

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/file.h"
#include "base/text.h"

#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define TOKEN_MAX 4096
#define ACTOR_MAX 200
#define USER_MAX 255
#define MONTH (31 * 24 * 3600)
#define YEAR (366 * 24 * 3600)

static const char *const strategies[] = { "round-robin", "session", "most-quota", NULL };
static const char *const locales[] = { "en", "ru", NULL };

#define AT(member) offsetof(struct config, member)
#define BOOL(name, member, fallback, help) { "KMI_" name, SETTING_BOOL, AT(member), fallback, 0, 1, false, NULL, N_(help) }
#define NUMBER(name, member, fallback, min, max, help) \
	{ "KMI_" name, SETTING_NUMBER, AT(member), fallback, min, max, false, NULL, N_(help) }
#define CHOICE(name, member, fallback, words, help) { "KMI_" name, SETTING_CHOICE, AT(member), fallback, 0, 0, false, words, N_(help) }
#define OTHER(name, kind, member, fallback, help) { "KMI_" name, kind, AT(member), fallback, 0, 0, false, NULL, N_(help) }
#define SECRET(name, kind, member, help) { "KMI_" name, kind, AT(member), "", 0, 0, true, NULL, N_(help) }

const struct setting settings[] = {
	OTHER("AUTHS_DIR", SETTING_FOLDER, auths_dir, "_auths", "folder of key files"),
	OTHER("STATE_DIR", SETTING_FOLDER, state_dir, "~/.kmi", "folder of state, trace and logs"),

	OTHER("PROXY_LISTEN", SETTING_LISTEN, proxy_listen, "127.0.0.1:54123", "address the proxy serves"),
	OTHER("PROXY_BASE_PATH", SETTING_BASE_PATH, proxy_base_path, "/kmi-rotor/v1", "path the proxy serves below"),

	/* In this order: the URL must pass the list. */
	OTHER("UPSTREAM_ALLOWLIST", SETTING_PATTERNS, upstream_allowlist, "", "upstream hosts that are allowed; empty: any"),
	OTHER("UPSTREAM_BASE_URL", SETTING_URL, upstream_base_url, "https://api.kimi.com/coding/v1",
	    "where requests go whose key file names no base URL"),
	OTHER("UPSTREAM_CA_FILE", SETTING_FILE, upstream_ca_file, "", "PEM file of extra trust; empty: the system's alone"),
	NUMBER("UPSTREAM_CONNECT_TIMEOUT_SECONDS", upstream_connect_timeout_seconds, "10", 1, 3600,
	    "longest wait for a connection upstream"),
	NUMBER("UPSTREAM_IDLE_TIMEOUT_SECONDS", upstream_idle_timeout_seconds, "600", 1, 86400,
	    "longest silence of the upstream"),

	BOOL("DRY_RUN", dry_run, "1", "answer without going upstream"),
	BOOL("WRITE_CONFIG", write_config, "1", "rotate writes the chosen key into the Kimi CLI's config"),

	BOOL("ROTATE_ON_TIE", rotate_on_tie, "1", "manual rotate moves on when the current key only ties for best"),
	BOOL("AUTO_ROTATE_ALLOWED", auto_rotate_allowed, "0", "auto-rotation may be switched on"),
	BOOL("AUTO_ROTATE_E2E", auto_rotate_e2e, "1", "rotate auto ends with an end-to-end check"),
	CHOICE("ROTATE_STRATEGY", rotate_strategy, "round-robin", strategies, "how auto-rotation chooses"),
	BOOL("ROTATE_INCLUDE_WARN", rotate_include_warn, "0", "auto-rotation also uses keys in warn"),

	NUMBER("ROTATION_COOLDOWN_SECONDS", rotation_cooldown_seconds, "300", 0, MONTH,
	    "lock when the answer gives no better hint"),
	NUMBER("COOLDOWN_MAX_SECONDS", cooldown_max_seconds, "21600", 1, MONTH,
	    "a longer hint of the upstream is probed again at this age"),
	NUMBER("PAYMENT_BLOCK_SECONDS", payment_block_seconds, "3600", 0, YEAR,
	    "block after a payment error; 0: until unlocked by hand"),

	BOOL("REQUIRE_USAGE_BEFORE_REQUEST", require_usage_before_request, "0",
	    "strict: only keys whose cached /usages succeeded"),
	BOOL("FAIL_OPEN_ON_EMPTY_CACHE", fail_open_on_empty_cache, "1", "strict mode lets requests through while nothing is cached"),
	NUMBER("USAGE_CACHE_SECONDS", usage_cache_seconds, "600", 0, MONTH, "age at which health.json is refreshed; 0: never by itself"),
	NUMBER("BLOCKLIST_RECHECK_SECONDS", blocklist_recheck_seconds, "3600", 0, MONTH,
	    "how often blocked keys are probed; 0: never by itself"),
	NUMBER("BLOCKLIST_RECHECK_MAX", blocklist_recheck_max, "3", 0, 1000, "blocked keys probed per pass; 0: none"),

	SECRET("PROXY_TOKEN", SETTING_TOKEN, proxy_token, "token required from clients; empty: none"),
	OTHER("PROXY_TOKEN_FILE", SETTING_FILE, proxy_token_file, "", "file that holds that token, such as a credential of systemd"),
	BOOL("PROXY_ALLOW_REMOTE", proxy_allow_remote, "0", "serve clients that are not on loopback"),
	BOOL("PROXY_REQUIRE_TLS", proxy_require_tls, "1", "remote clients need TLS"),
	BOOL("PROXY_TLS_TERMINATED", proxy_tls_terminated, "0", "something in front of the proxy speaks TLS"),
	OTHER("PROXY_UNIX_USERS", SETTING_USERS, proxy_unix_users, "",
	    "users who are served over a unix socket; empty: whoever may open it"),
	OTHER("PROXY_HOSTS", SETTING_HOSTS, proxy_hosts, "", "further names the proxy is reached by"),
	OTHER("PROXY_ALLOW_ORIGINS", SETTING_ORIGINS, proxy_allow_origins, "", "web origins whose pages may call"),
	OTHER("PROXY_TLS_CERT", SETTING_FILE, proxy_tls_cert, "", "PEM certificate chain of kmi-tls"),
	OTHER("PROXY_TLS_KEY", SETTING_FILE, proxy_tls_key, "", "PEM private key of kmi-tls"),
	OTHER("PROXY_TLS_LISTEN", SETTING_TLS_LISTEN, proxy_tls_listen, "",
	    "address that speaks TLS; empty: that of KMI_PROXY_LISTEN, instead of plain HTTP"),
	OTHER("PROXY_TLS_POOL", SETTING_FILE, proxy_tls_pool, "",
	    "unix socket of the pool that serves the clients of kmi-tls; empty: it starts its own"),

	NUMBER("PROXY_MAX_RPS", proxy_max_rps, "0", 0, 1000000, "requests in any second, whole proxy; 0: off"),
	NUMBER("PROXY_MAX_RPM", proxy_max_rpm, "0", 0, 1000000, "requests in any minute, whole proxy; 0: off"),
	NUMBER("PROXY_MAX_RPS_PER_KEY", proxy_max_rps_per_key, "0", 0, 1000000, "requests in any second, each key; 0: off"),
	NUMBER("PROXY_MAX_RPM_PER_KEY", proxy_max_rpm_per_key, "0", 0, 1000000, "requests in any minute, each key; 0: off"),
	NUMBER("PROXY_MAX_CONCURRENCY_PER_KEY", proxy_max_concurrency_per_key, "0", 0, 10000,
	    "requests in flight on one account; 0: off"),
	NUMBER("PROXY_WAIT_SECONDS", proxy_wait_seconds, "0", 0, 3600, "how long a request may wait for a key to be free"),
	NUMBER("PROXY_RETRY_MAX", proxy_retry_max, "2", 0, 100, "further attempts, each on another account"),
	NUMBER("PROXY_RETRY_BASE_MS", proxy_retry_base_ms, "250", 0, 60000, "backoff base when the same key must be used again"),
	NUMBER("PROXY_MAX_BODY_MB", proxy_max_body_mb, "64", 1, 4096, "largest request body"),
	NUMBER("PROXY_MAX_CONNECTIONS", proxy_max_connections, "1024", 1, 65536, "connections served at once"),
	NUMBER("PROXY_QUEUE_SECONDS", proxy_queue_seconds, "60", 0, 3600,
	    "how long a request waits while that many are served"),
	NUMBER("PROXY_IDLE_SECONDS", proxy_idle_seconds, "75", 1, 86400, "how long a kept-alive connection may be idle"),
	NUMBER("PROXY_DRAIN_SECONDS", proxy_drain_seconds, "30", 0, 3600, "how long a stopping proxy lets answers finish"),

	NUMBER("TRACE_MAX_MB", trace_max_mb, "5", 0, 1 << 20, "size at which the trace is rotated; 0: never"),
	NUMBER("TRACE_BACKUPS", trace_backups, "3", 0, 1000, "rotated traces that are kept"),
	NUMBER("LOG_MAX_MB", log_max_mb, "5", 0, 1 << 20, "size at which the log is rotated; 0: never"),
	NUMBER("LOG_BACKUPS", log_backups, "3", 0, 1000, "rotated logs that are kept"),
	BOOL("TRACE_PROMPTS", trace_prompts, "1", "the trace holds the first words of prompts"),

	OTHER("TIMEZONE", SETTING_ZONE, timezone, "local", "zone of the times that people read"),
	CHOICE("LOCALE", locale, "en", locales, "language"),
	BOOL("PLAIN", plain, "0", "no bars, boxes or colours"),
	BOOL("NO_COLOR", no_color, "0", "no colours"),
	OTHER("AUDIT_ACTOR", SETTING_NAME, audit_actor, NULL, "who is named in audit events"),
	BOOL("SANDBOX", sandbox, "1", "programs reach only what they need, where the kernel has Landlock"),
	BOOL("ENFORCE_FILE_PERMS", enforce_file_perms, "1", "tighten folders to 0700 and files to 0600"),
};

const size_t settings_count = sizeof(settings) / sizeof(*settings);
_Static_assert(sizeof(settings) / sizeof(*settings) <= SETTINGS_MAX, "SETTINGS_MAX is too small");

static void *
member(const struct config *c, const struct setting *s)
{
	return (char *)(uintptr_t)c + s->offset;
}

static int
refused(struct fail *f)
{
	return fail_set(f, FAIL_USAGE, "%s", "");	/* the caller says the rest */
}

static int
set_string(char **at, char *copy, struct fail *f)
{
	if (!copy)
		return fail_memory(f);
	*at = copy;
	return 0;
}

static int
set_bool(bool *at, struct str text, struct fail *f)
{
	static const char *const words[][2] = { { "0", "1" }, { "false", "true" }, { "no", "yes" }, { "off", "on" } };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (int on = 0; on <= 1; on++)
			if (str_caseis(text, words[i][on])) {
				*at = on;
				return 0;
			}
	return refused(f);
}

static int
set_choice(unsigned *at, const char *const *words, struct str text, struct fail *f)
{
	for (unsigned i = 0; words[i]; i++)
		if (str_caseis(text, words[i])) {
			*at = i;
			return 0;
		}
	return refused(f);
}

static int
set_listen(char **at, struct listen_address *a, struct str text, struct fail *f)
{
	struct str path = str_sub(text, strlen("unix:"), text.n), host;

	if (set_string(at, str_dup(text), f) < 0)
		return -1;
	if (str_starts(text, "unix:")) {
		if (path.n < 2 || path.p[0] != '/' || path.n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return refused(f);
		return set_string(&a->path, str_dup(path), f);
	}
	if (endpoint_split(text, &host, &a->port) < 0 || a->port == 0)
		return refused(f);
	return set_string(&a->host, str_dup(host), f);
}

static int
set_base_path(char **at, struct str text, struct fail *f)
{
	struct str path = endpoint_trim(text);

	if (text.n == 0 || (path.n && !endpoint_path_ok(path)))
		return refused(f);
	return set_string(at, str_dup(path), f);
}

static int
user_number(struct str user, uid_t *uid)
{
	char name[USER_MAX + 1], room[4096];
	struct passwd entry, *found = NULL;
	long long number;

	if (user.n && user.p[0] >= '0' && user.p[0] <= '9') {
		/* The last number is no user's: it stands for nobody known. */
		if (str_int(user, 0, UINT32_MAX - 1, &number) < 0)
			return -1;
		*uid = (uid_t)number;
		return 0;
	}
	if (user.n == 0 || user.n > USER_MAX)
		return -1;
	memcpy(name, user.p, user.n);
	name[user.n] = '\0';
	if (getpwnam_r(name, &entry, room, sizeof(room), &found) != 0 || !found)
		return -1;
	*uid = entry.pw_uid;
	return 0;
}

static bool
item_ok(enum setting_kind kind, struct str item)
{
	struct str host;
	uid_t uid;
	int port;

	switch (kind) {
	case SETTING_HOSTS:
		return endpoint_host_ok(item) || endpoint_split(item, &host, &port) == 0;
	case SETTING_PATTERNS:
		if (str_starts(item, "*."))
			item = str_sub(item, 2, item.n);
		return endpoint_host_ok(endpoint_bare(item));
	case SETTING_ORIGINS:
		return endpoint_origin_ok(item);
	case SETTING_USERS:
		return user_number(item, &uid) == 0;
	case SETTING_BOOL:
	case SETTING_NUMBER:
	case SETTING_CHOICE:
	case SETTING_NAME:
	case SETTING_TOKEN:
	case SETTING_FOLDER:
	case SETTING_FILE:
	case SETTING_LISTEN:
	case SETTING_TLS_LISTEN:
	case SETTING_BASE_PATH:
	case SETTING_URL:
	case SETTING_ZONE:
		break;
	}
	return false;
}

static int
set_list(char ***at, enum setting_kind kind, struct str text, struct fail *f)
{
	size_t n = 0, room = 2;

	for (size_t i = 0; i < text.n; i++)
		room += text.p[i] == ',';
	*at = calloc(room, sizeof(**at));
	if (!*at)
		return fail_memory(f);
	while (text.n) {
		struct str item = str_trim(str_cut(&text, ','));

		if (kind == SETTING_ORIGINS)
			item = endpoint_trim(item);
		if (item.n == 0)
			continue;
		if (!item_ok(kind, item))
			return refused(f);
		if (set_string(&(*at)[n++], str_dup(item), f) < 0)
			return -1;
	}
	return 0;
}

/* Asked for once: a user who is renamed later is known by his number until the next start. */
static int
set_users(char ***at, struct config *c, struct str text, struct fail *f)
{
	size_t n = 0;

	if (set_list(at, SETTING_USERS, text, f) < 0)
		return -1;
	while ((*at)[n])
		n++;
	c->listen.shared = c->tls_listen.shared = n > 0;
	c->proxy_unix_uids = calloc(n + 1, sizeof(*c->proxy_unix_uids));
	if (!c->proxy_unix_uids)
		return fail_memory(f);
	for (size_t i = 0; i < n; i++)
		if (user_number(str_from((*at)[i]), &c->proxy_unix_uids[i]) < 0)
			return refused(f);
	return 0;
}

static bool
token_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n <= TOKEN_MAX;
}

static int
set_zone(char **at, struct str text, struct fail *f)
{
	if (set_string(at, str_dup(text), f) < 0)
		return -1;
	return text.n == 0 || clock_set_zone(*at) < 0 ? refused(f) : 0;
}

int
setting_set(struct config *c, const struct setting *s, const char *value, struct fail *f)
{
	struct str raw = str_from(value), text = str_trim(raw);
	void *at = member(c, s);

	if (raw.n > SETTING_VALUE_MAX)
		return refused(f);
	switch (s->kind) {
	case SETTING_BOOL:
		return set_bool(at, text, f);
	case SETTING_NUMBER:
		return str_int(text, s->min, s->max, at) < 0 ? refused(f) : 0;
	case SETTING_CHOICE:
		return set_choice(at, s->words, text, f);
	case SETTING_NAME:
		return text.n == 0 || text.n > ACTOR_MAX ? refused(f) : set_string(at, str_dup(text), f);
	case SETTING_TOKEN:
		return !token_ok(raw) ? refused(f) : set_string(at, str_dup(raw), f);
	case SETTING_FOLDER:
		return text.n == 0 ? refused(f) : set_string(at, file_expand(value), f);
	case SETTING_FILE:
		return set_string(at, file_expand(value), f);
	case SETTING_LISTEN:
		return set_listen(at, &c->listen, text, f);
	case SETTING_TLS_LISTEN:
		return text.n ? set_listen(at, &c->tls_listen, text, f) : set_string(at, str_dup(text), f);
	case SETTING_BASE_PATH:
		return set_base_path(at, text, f);
	case SETTING_URL:
		return set_string(at, str_dup(endpoint_trim(text)), f);	/* and config_check_url() */
	case SETTING_HOSTS:
	case SETTING_PATTERNS:
	case SETTING_ORIGINS:
		return set_list(at, s->kind, text, f);
	case SETTING_USERS:
		return set_users(at, c, text, f);
	case SETTING_ZONE:
		return set_zone(at, text, f);
	}
	return refused(f);
}

void
setting_free(struct config *c, const struct setting *s)
{
	void *at = member(c, s);
	char **string = at, ***list = at;

	switch (s->kind) {
	case SETTING_BOOL:
	case SETTING_NUMBER:
	case SETTING_CHOICE:
		break;
	case SETTING_TOKEN:
		if (*string)
			explicit_bzero(*string, strlen(*string));
		free(*string);
		*string = NULL;
		break;
	case SETTING_NAME:
	case SETTING_FOLDER:
	case SETTING_FILE:
	case SETTING_LISTEN:
	case SETTING_TLS_LISTEN:
	case SETTING_BASE_PATH:
	case SETTING_URL:
	case SETTING_ZONE:
		free(*string);
		*string = NULL;
		break;
	case SETTING_USERS:
		free(c->proxy_unix_uids);
		c->proxy_unix_uids = NULL;
		/* fall through */
	case SETTING_HOSTS:
	case SETTING_PATTERNS:
	case SETTING_ORIGINS:
		for (char **item = *list; item && *item; item++)
			free(*item);
		free(*list);
		*list = NULL;
		break;
	}
}

void
setting_value(const struct config *c, const struct setting *s, struct buf *out)
{
	const void *at = member(c, s);
	char *const *string = at, *const *const *list = at;

	switch (s->kind) {
	case SETTING_BOOL:
		buf_putc(out, *(const bool *)at ? '1' : '0');
		break;
	case SETTING_NUMBER:
		buf_printf(out, "%lld", *(const long long *)at);
		break;
	case SETTING_CHOICE:
		buf_puts(out, s->words[*(const unsigned *)at]);
		break;
	case SETTING_TOKEN:
		buf_puts(out, **string ? "***" : "");
		break;
	case SETTING_BASE_PATH:
		buf_puts(out, **string ? *string : "/");
		break;
	case SETTING_NAME:
	case SETTING_FOLDER:
	case SETTING_FILE:
	case SETTING_LISTEN:
	case SETTING_TLS_LISTEN:
	case SETTING_URL:
	case SETTING_ZONE:
		buf_puts(out, *string);
		break;
	case SETTING_HOSTS:
	case SETTING_PATTERNS:
	case SETTING_ORIGINS:
	case SETTING_USERS:
		for (char *const *item = *list; *item; item++)
			buf_printf(out, "%s%s", item == *list ? "" : ",", *item);
		break;
	}
}

void
setting_allowed(const struct setting *s, struct buf *out)
{
	switch (s->kind) {
	case SETTING_BOOL:
		buf_puts(out, _("1/true/yes/on or 0/false/no/off"));
		break;
	case SETTING_NUMBER:
		buf_printf(out, _("a whole number from %lld to %lld"), s->min, s->max);
		break;
	case SETTING_CHOICE:
		for (const char *const *w = s->words; *w; w++)
			buf_printf(out, "%s%s", w == s->words ? "" : w[1] ? ", " : _(" or "), *w);
		break;
	case SETTING_NAME:
		buf_printf(out, _("a text of 1 to %d bytes"), ACTOR_MAX);
		break;
	case SETTING_TOKEN:
		buf_printf(out, _("up to %d visible ASCII characters, no spaces"), TOKEN_MAX);
		break;
	case SETTING_FOLDER:
		buf_puts(out, _("the path of a folder"));
		break;
	case SETTING_FILE:
		buf_puts(out, _("the path of a file, or empty"));
		break;
	case SETTING_LISTEN:
		buf_puts(out, _("host:port, [::1]:port (port 1 to 65535) or unix:/path"));
		break;
	case SETTING_TLS_LISTEN:
		buf_puts(out, "host:port, [::1]:port (port 1 to 65535) or unix:/path, or empty");
		break;
	case SETTING_BASE_PATH:
		buf_puts(out, _("a path that starts with / and has no query, %, empty, . or .. segment"));
		break;
	case SETTING_URL:
		buf_puts(out, _("https://host[:port][/path] without user, query or fragment, "
		    "its host in KMI_UPSTREAM_ALLOWLIST unless that is empty"));
		break;
	case SETTING_HOSTS:
		buf_puts(out, _("a comma list of host or host:port"));
		break;
	case SETTING_PATTERNS:
		buf_puts(out, _("a comma list of host or *.domain"));
		break;
	case SETTING_ORIGINS:
		buf_puts(out, _("a comma list of scheme://host[:port]"));
		break;
	case SETTING_USERS:
		buf_puts(out, _("a comma list of users of this system, by name or number"));
		break;
	case SETTING_ZONE:
		buf_puts(out, _("local, UTC, an offset such as +03:00, or the IANA name of a zone this system knows"));
		break;
	}
}

void
setting_default(const struct setting *s, struct buf *out)
{
	struct stat st;
	const char *user;

	if (s->offset == AT(auths_dir)) {
		buf_puts(out, stat(s->fallback, &st) == 0 && S_ISDIR(st.st_mode) ? s->fallback : "~/.kimi/_auths");
	} else if (s->offset == AT(audit_actor)) {
		user = getenv("USER");
		if (!user || !*user)
			user = getenv("LOGNAME");
		if (user && *user)
			buf_printf(out, "%.*s", ACTOR_MAX, user);
		else
			buf_printf(out, "uid:%ld", (long)geteuid());
	} else {
		buf_puts(out, s->fallback);
	}
}

static int
add_string(const struct toml *node, struct buf *out)
{
	size_t n;
	const char *s = toml_string(node, &n);

	if (!s || memchr(s, '\0', n))
		return -1;
	buf_put(out, s, n);
	return 0;
}

static int
add_integer(const struct toml *node, struct buf *out)
{
	long long number;

	if (toml_integer(node, &number) < 0)
		return -1;
	buf_printf(out, "%lld", number);
	return 0;
}

static int
add_items(const struct toml *array, struct buf *out)
{
	for (const struct toml *item = toml_first(array); item; item = toml_next(item)) {
		const char *text = toml_string(item, NULL);

		if (!text || strchr(text, ',') || add_string(item, out) < 0)
			return -1;
		buf_putc(out, ',');
	}
	return 0;
}

/* A TOML value as the text the same setting has elsewhere; -1 when it has the wrong type. */
int
setting_toml(const struct setting *s, const struct toml *node, struct buf *out)
{
	bool on;

	switch (s->kind) {
	case SETTING_BOOL:
		if (toml_bool(node, &on) == 0) {
			buf_putc(out, on ? '1' : '0');
			return 0;
		}
		return add_integer(node, out);	/* 0 and 1 are how the defaults are written */
	case SETTING_NUMBER:
		return add_integer(node, out);
	case SETTING_HOSTS:
	case SETTING_PATTERNS:
	case SETTING_ORIGINS:
	case SETTING_USERS:
		if (toml_type(node) == TOML_ARRAY)
			return add_items(node, out);
		return add_string(node, out);
	case SETTING_CHOICE:
	case SETTING_NAME:
	case SETTING_TOKEN:
	case SETTING_FOLDER:
	case SETTING_FILE:
	case SETTING_LISTEN:
	case SETTING_TLS_LISTEN:
	case SETTING_BASE_PATH:
	case SETTING_URL:
	case SETTING_ZONE:
		break;
	}
	return add_string(node, out);
}

const char *
setting_toml_type(const struct setting *s)
{
	switch (s->kind) {
	case SETTING_BOOL:
		return N_("true or false");
	case SETTING_NUMBER:
		return N_("an integer");
	case SETTING_HOSTS:
	case SETTING_PATTERNS:
	case SETTING_ORIGINS:
	case SETTING_USERS:
		return N_("a string or an array of strings");
	case SETTING_CHOICE:
	case SETTING_NAME:
	case SETTING_TOKEN:
	case SETTING_FOLDER:
	case SETTING_FILE:
	case SETTING_LISTEN:
	case SETTING_TLS_LISTEN:
	case SETTING_BASE_PATH:
	case SETTING_URL:
	case SETTING_ZONE:
		break;
	}
	return N_("a string");
}
