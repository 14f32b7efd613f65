#include "proxy/narrow.h"

#include "base/endpoint.h"
#include "base/sandbox.h"
#include "keys/index.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HTTPS_PORT 443
#define DNS_PORT 53

/* What programs and libraries read: no secret of a user lies there. */
static const char *const system_folders[] = { "/usr", "/lib", "/lib32", "/lib64", "/bin", "/opt" };
static const char *const system_texts[] = { "/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	"/run/nscd", "/var/run/nscd", "/proc", "/sys/devices/system/cpu" };
static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom" };

static void
allow_named(struct sandbox *s, const char *variable)
{
	const char *path = getenv(variable);

	if (path && *path)
		sandbox_allow(s, path, SANDBOX_READ);
}

/* The folder something lies in: what takes its place by a rename may be reached too. */
static void
allow_around(struct sandbox *s, const char *path)
{
	char *around = strdup(path), *slash = around ? strrchr(around, '/') : NULL;

	if (slash) {
		slash[slash == around] = '\0';
		sandbox_allow(s, around, SANDBOX_READ);
	} else {
		sandbox_allow(s, ".", SANDBOX_READ);
	}
	free(around);
}

/* Key files may be links to another place. */
static void
allow_links(struct sandbox *s, const char *folder, int depth)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[PATH_MAX], target[PATH_MAX];

		if (e->d_name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path))
			continue;
		if (e->d_type == DT_LNK && realpath(path, target))
			allow_around(s, target);
		else if (e->d_type == DT_DIR && depth == 0)
			allow_links(s, path, 1);
	}
	if (dir)
		closedir(dir);
}

/* The port of a URL, else that of https. */
static void
allow_port(struct sandbox *s, const char *url)
{
	const char *authority = strstr(url, "://");
	struct str host;
	int port = 0;

	authority = authority ? authority + 3 : url;
	if (strchr(authority, '@') && strchr(authority, '@') < authority + strcspn(authority, "/"))
		authority = strchr(authority, '@') + 1;
	if (endpoint_split((struct str){ authority, strcspn(authority, "/") }, &host, &port) == 0 && port > 0)
		sandbox_port(s, port);
}

static void
allow_ports(struct sandbox *s, const struct config *c)
{
	static const char *const proxies[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	struct index_facts x;
	struct index ix;

	sandbox_port(s, HTTPS_PORT);
	sandbox_port(s, DNS_PORT);	/* long answers come by TCP */
	sandbox_port(s, 80);
	sandbox_port(s, 1080);		/* where proxies are when they do not say */
	allow_port(s, c->upstream_base_url);
	for (size_t i = 0; i < sizeof(proxies) / sizeof(*proxies); i++)
		if (getenv(proxies[i]))
			allow_port(s, getenv(proxies[i]));
	if (index_read(&ix, c->state_dir) < 0)
		return;
	index_facts(&ix, &x);
	for (size_t i = 0; i < x.key_count; i++) {
		struct index_key k;

		if (index_key(&ix, i, &k) == 0 && strcmp(k.base_url, c->upstream_base_url) != 0)
			allow_port(s, k.base_url);
	}
	index_free(&ix);
}

int
narrow_handler(const struct config *c, struct fail *f)
{
	static const char *const trust[] = { "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE" };
	struct sandbox s;
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (!c->sandbox)
		return 0;
	sandbox_begin(&s);
	for (size_t i = 0; i < sizeof(system_folders) / sizeof(*system_folders); i++)
		sandbox_allow(&s, system_folders[i], SANDBOX_RUN);
	for (size_t i = 0; i < sizeof(system_texts) / sizeof(*system_texts); i++)
		sandbox_allow(&s, system_texts[i], SANDBOX_READ);
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		sandbox_allow(&s, devices[i], SANDBOX_DEVICE);
	for (size_t i = 0; i < sizeof(trust) / sizeof(*trust); i++)
		allow_named(&s, trust[i]);
	allow_named(&s, "KMI_ENV_PATH");
	if (c->upstream_ca_file && *c->upstream_ca_file)
		sandbox_allow(&s, c->upstream_ca_file, SANDBOX_READ);
	if (c->proxy_token_file && *c->proxy_token_file)
		sandbox_allow(&s, c->proxy_token_file, SANDBOX_READ);
	sandbox_allow(&s, ".env", SANDBOX_READ);
	sandbox_allow(&s, "kmi.config.toml", SANDBOX_READ);
	if (n > 0) {	/* kmi-health lies beside it */
		own[n] = '\0';
		*strrchr(own, '/') = '\0';
		sandbox_allow(&s, own, SANDBOX_RUN);
	}
	allow_around(&s, c->auths_dir);
	sandbox_allow(&s, c->auths_dir, SANDBOX_READ);
	allow_links(&s, c->auths_dir, 0);
	sandbox_allow(&s, c->state_dir, SANDBOX_WRITE);
	allow_ports(&s, c);
	return sandbox_enter(&s, f);
}
