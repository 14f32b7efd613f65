#include "keys/narrow.h"

#include "base/endpoint.h"
#include "base/file.h"
#include "keys/auths.h"
#include "keys/client_config.h"
#include "keys/index.h"

#include <dirent.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HTTPS_PORT 443
#define DNS_PORT 53
#define PROXY_PORT 1080		/* where libcurl looks for a proxy that does not say */
#define LOOK_AT 16		/* of the key files, whether the index is right */

/* What a program may need of the world around it. */
enum {
	KEYS = 1 << 0,		/* the key files, to read */
	BOOKS = 1 << 1,		/* the state folder, to read */
	BOOKKEEPING = 1 << 2,	/* and to write: who locks the books, or sets damaged ones aside, writes */
	CLIENTS_READ = 1 << 3,	/* the configs of the Kimi CLIs */
	CLIENTS_WRITE = 1 << 4,
	UPSTREAM = 1 << 5,	/* names, trust, and the TCP ports that the keys and the settings name */
	TERMINAL = 1 << 6,	/* how terminals are spoken to */
	HELPER = 1 << 7,	/* to start a program of ours that lies beside it, and what that reads its settings from */
	KERNEL = 1 << 8,	/* what the kernel tells of this boot and of users; not what it tells of other processes' insides */
	ALONE = 1 << 9,		/* it starts no process and no thread */
};

static const struct {
	const char *program;
	unsigned needs;
} programs[] = {
	{ "kmi-config", ALONE },
	{ "kmi-handle", KEYS | BOOKKEEPING | UPSTREAM | HELPER | KERNEL },
	{ "kmi-health", KEYS | BOOKKEEPING | UPSTREAM | CLIENTS_READ },
	{ "kmi-keys", KEYS | BOOKKEEPING | ALONE },
	{ "kmi-metrics", KEYS | BOOKKEEPING | ALONE },
	{ "kmi-rotate", KEYS | BOOKKEEPING | CLIENTS_WRITE | ALONE },
	{ "kmi-status", KEYS | BOOKKEEPING | ALONE },
	{ "kmi-trace", BOOKS | TERMINAL | ALONE },
	{ "kmi-unlock", KEYS | BOOKKEEPING | ALONE },
};

/* Of the C library, beside the folders of the libraries themselves. */
static const char *const library_places[] = { "/usr/lib/locale", "/usr/share/locale", "/usr/share/zoneinfo", "/etc/localtime",
	"/etc/locale.alias", "/etc/ld.so.cache" };
/* How names are found. systemd-resolved, avahi and nscd are spoken to by sockets, which need no right. */
static const char *const name_places[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
	"/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/networks", "/etc/mdns.allow", "/run/systemd/resolve",
	"/run/resolvconf" };
/* Where distributions keep whom they trust. No private keys lie there, as they do beside. */
static const char *const trust_places[] = { "/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/etc/pki/tls/certs",
	"/etc/pki/ca-trust/extracted", "/etc/ca-certificates", "/etc/crypto-policies", "/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates", "/usr/share/pki" };
static const char *const trust_variables[] = { "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE" };
static const char *const terminal_places[] = { "/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo",
	"~/.terminfo" };
static const char *const setting_places[] = { ".env", "kmi.config.toml", "~/.kmi/kmi.config.toml", KMI_ETC "/kmi.env",
	"/etc/passwd" };
static const char *const devices[] = { "/dev/null", "/dev/random", "/dev/urandom" };

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* What is being put together: the rules of a sandbox, or only the number that tells whether they would be others. */
struct reach {
	struct sandbox *sandbox;	/* NULL: the number */
	uint64_t ground;
	char libraries[PATH_MAX];	/* the folder that was allowed last */
};

static void
fold(struct reach *r, uint64_t x)
{
	r->ground = (r->ground ^ x) * 0x100000001b3;	/* as FNV does it */
}

static void
allow(struct reach *r, const char *path, enum sandbox_access access)
{
	struct stat st = { 0 };

	if (r->sandbox) {
		sandbox_allow(r->sandbox, path, access);
		return;
	}
	(void)stat(path, &st);
	fold(r, (uint64_t)st.st_dev);
	fold(r, (uint64_t)st.st_ino);
}

static void
allow_all(struct reach *r, const char *const *paths, size_t count, enum sandbox_access access)
{
	for (size_t i = 0; i < count; i++) {
		char *path = file_expand(paths[i]);

		if (path)
			allow(r, path, access);
		free(path);
	}
}

static void
allow_port(struct reach *r, int port)
{
	if (r->sandbox)
		sandbox_port(r->sandbox, port);
	else
		fold(r, (uint64_t)port);
}

/* ---- places that may be replaced ---------------------------------------------------------------------------- */

/* The folder of a path in `out`, "." when it has none; false when it is too long. */
static bool
folder_of(const char *path, char out[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return snprintf(out, PATH_MAX, ".") > 0;
	return snprintf(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path) < PATH_MAX;
}

static bool
lies_in(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* A folder for things of all kinds: the root and what lies in it, a home, or where the certificate's key is kept. */
static bool
is_general(const char *folder, const struct config *c)
{
	char *home = file_expand("~"), *real_home = home ? realpath(home, NULL) : NULL;
	bool general = strrchr(folder, '/') == folder || (real_home && strcmp(folder, real_home) == 0) ||
	    lies_in(folder, c->proxy_tls_key);

	free(home);
	free(real_home);
	return general;
}

/* What takes its place by a rename may be reached too, unless too much else lies beside it. */
static void
allow_replaceable(struct reach *r, const char *path, const struct config *c)
{
	char folder[PATH_MAX], real[PATH_MAX];

	allow(r, path, SANDBOX_READ);
	if (folder_of(path, folder) && realpath(folder, real) && !is_general(real, c))
		allow(r, real, SANDBOX_READ);
}

/* Key files may be links to another place. */
static void
allow_links(struct reach *r, const char *folder, const struct config *c, int depth)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[PATH_MAX], target[PATH_MAX];

		if (e->d_name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path))
			continue;
		if (e->d_type == DT_LNK && realpath(path, target))
			allow_replaceable(r, target, c);
		else if (e->d_type == DT_DIR && depth == 0)
			allow_links(r, path, c, 1);
	}
	if (dir)
		closedir(dir);
}

void
narrow_folder_of(struct sandbox *s, const char *path, enum sandbox_access access)
{
	char folder[PATH_MAX], *target = file_target(path);

	if (folder_of(path, folder))
		sandbox_allow(s, folder, access);
	if (target && folder_of(target, folder))
		sandbox_allow(s, folder, access);
	free(target);
}

/* ---- the upstream ------------------------------------------------------------------------------------------- */

static void
allow_port_of(struct reach *r, const char *url, int otherwise)
{
	const char *authority = strstr(url, "://"), *at;
	struct str host;
	int port = 0;

	authority = authority ? authority + 3 : url;
	at = memchr(authority, '@', strcspn(authority, "/"));
	authority = at ? at + 1 : authority;
	if (endpoint_split((struct str){ authority, strcspn(authority, "/") }, &host, &port) == 0)
		allow_port(r, port > 0 ? port : otherwise);
}

/* Keys have upstreams of their own. The index tells them while it is right; else the files. */
static void
allow_ports_of_keys(struct reach *r, const struct config *c)
{
	struct index_facts x = { 0 };
	struct auths a = { 0 };
	struct index ix = { 0 };

	if (index_read(&ix, c->state_dir) == 0 && (!r->sandbox || index_files_same(&ix, LOOK_AT)))
		index_facts(&ix, &x);
	else if (r->sandbox)
		(void)auths_scan(&a, c, NULL);
	for (size_t i = 0; i < x.key_count; i++) {
		struct index_key k;

		if (index_key(&ix, i, &k) == 0 && strcmp(k.base_url, c->upstream_base_url) != 0)
			allow_port_of(r, k.base_url, HTTPS_PORT);
	}
	for (size_t i = 0; i < a.count; i++)
		allow_port_of(r, a.keys[i].base_url, HTTPS_PORT);
	auths_free(&a);
	index_free(&ix);
}

static void
allow_upstream(struct reach *r, const struct config *c)
{
	static const char *const proxies[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };

	allow_all(r, name_places, LENGTH(name_places), SANDBOX_READ);
	allow_all(r, trust_places, LENGTH(trust_places), SANDBOX_READ);
	for (size_t i = 0; i < LENGTH(trust_variables); i++)
		if (getenv(trust_variables[i]))
			allow_replaceable(r, getenv(trust_variables[i]), c);
	if (*c->upstream_ca_file)
		allow_replaceable(r, c->upstream_ca_file, c);
	allow_port(r, HTTPS_PORT);
	allow_port(r, DNS_PORT);	/* long answers come by TCP */
	allow_port_of(r, c->upstream_base_url, HTTPS_PORT);
	allow_ports_of_keys(r, c);
	for (size_t i = 0; i < LENGTH(proxies); i++)
		if (getenv(proxies[i]))
			allow_port_of(r, getenv(proxies[i]), PROXY_PORT);
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

/* The folders of our libraries: what else is loaded later, for names and alphabets, lies there too. */
static int
allow_library(struct dl_phdr_info *object, size_t size, void *arg)
{
	struct reach *r = arg;
	char folder[PATH_MAX];

	(void)size;
	if (strchr(object->dlpi_name, '/') && folder_of(object->dlpi_name, folder) && strcmp(folder, r->libraries) != 0) {
		strcpy(r->libraries, folder);
		allow(r, folder, SANDBOX_READ);
	}
	return 0;
}

/* What the kernel starts a program with. */
static int
allow_loader(struct dl_phdr_info *object, size_t size, void *arg)
{
	struct reach *r = arg;

	(void)size;
	for (int i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_INTERP)
			allow(r, (const char *)(uintptr_t)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr), SANDBOX_RUN);
	return 1;	/* the first object is the program itself */
}

static void
allow_helper(struct reach *r, const struct config *c)
{
	char own[PATH_MAX], folder[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	own[n > 0 ? n : 0] = '\0';
	if (n > 0 && folder_of(own, folder))
		allow(r, folder, SANDBOX_RUN);
	dl_iterate_phdr(allow_loader, r);
	allow_all(r, setting_places, LENGTH(setting_places), SANDBOX_READ);
	if (getenv("KMI_ENV_PATH"))
		allow(r, getenv("KMI_ENV_PATH"), SANDBOX_READ);
	if (*c->proxy_token_file)
		allow(r, c->proxy_token_file, SANDBOX_READ);
}

static void
allow_clients(struct reach *r, enum sandbox_access access)
{
	for (enum client i = 0; i < CLIENTS; i++) {
		char *path = client_config_path(i), folder[PATH_MAX];

		if (path && folder_of(path, folder) && access == SANDBOX_WRITE && i == CLIENT_KIMI_CLI)
			(void)file_mkdirs(folder, NULL);	/* its config is made where there is none */
		if (path && r->sandbox)
			narrow_folder_of(r->sandbox, path, access);
		free(path);
	}
}

static void
allow_needs(struct reach *r, unsigned needs, const struct config *c)
{
	dl_iterate_phdr(allow_library, r);
	allow_all(r, library_places, LENGTH(library_places), SANDBOX_READ);
	allow_all(r, devices, LENGTH(devices), SANDBOX_DEVICE);
	if (needs & KEYS) {
		allow_replaceable(r, c->auths_dir, c);
		allow_links(r, c->auths_dir, c, 0);
	}
	if (needs & (BOOKS | BOOKKEEPING))
		allow(r, c->state_dir, needs & BOOKKEEPING ? SANDBOX_WRITE : SANDBOX_READ);
	if (needs & (CLIENTS_READ | CLIENTS_WRITE))
		allow_clients(r, needs & CLIENTS_WRITE && c->write_config && !c->dry_run ? SANDBOX_WRITE : SANDBOX_READ);
	if (needs & UPSTREAM)
		allow_upstream(r, c);
	if (needs & TERMINAL) {
		allow_all(r, terminal_places, LENGTH(terminal_places), SANDBOX_READ);
		if (getenv("TERMINFO"))
			allow(r, getenv("TERMINFO"), SANDBOX_READ);
	}
	if (needs & KERNEL)
		allow(r, "/proc", SANDBOX_READ);	/* below it rules get lost with the cache of names */
	if (needs & HELPER)
		allow_helper(r, c);
}

/* ---- */

static bool
find_needs(const char *program, unsigned *needs)
{
	for (size_t i = 0; i < LENGTH(programs); i++)
		if (strcmp(programs[i].program, program) == 0) {
			*needs = programs[i].needs;
			return true;
		}
	return false;
}

void
narrow_begin(struct sandbox *s, const char *program, const struct config *c)
{
	struct reach r = { .sandbox = s };
	unsigned needs;

	*s = (struct sandbox){ .fd = -1, .off = true };
	if (!c->sandbox || !find_needs(program, &needs))
		return;
	if (needs & BOOKKEEPING)
		(void)file_mkdirs(c->state_dir, NULL);	/* afterwards it could not be made */
	sandbox_begin(s);
	s->alone = needs & ALONE;
	allow_needs(&r, needs, c);
}

int
narrow(const char *program, const struct config *c, struct fail *f)
{
	struct sandbox s;

	narrow_begin(&s, program, c);
	return sandbox_enter(&s, f);
}

uint64_t
narrow_ground(const char *program, const struct config *c)
{
	struct reach r = { .sandbox = NULL };
	unsigned needs;

	if (c->sandbox && find_needs(program, &needs))
		allow_needs(&r, needs, c);
	return r.ground;
}
