#include "base/file.h"
#include "base/toml.h"
#include "doctor/doctor.h"
#include "keys/client_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether a URL leads to the proxy: its port and base path tell. */
static bool
leads_here(const struct config *c, const char *url)
{
	char place[32];

	snprintf(place, sizeof(place), ":%d", c->listen.port);
	return strstr(url, place) != NULL && strstr(url, c->proxy_base_path) != NULL;
}

static void
check_variables(struct doctor *d)
{
	static const char *const names[] = { "KIMI_BASE_URL", "KIMI_CODE_BASE_URL", "KIMI_MODEL_BASE_URL", "OPENAI_BASE_URL",
		"OPENAI_API_BASE" };
	bool any = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *url = getenv(names[i]);

		if (!url || !*url)
			continue;
		any = true;
		if (leads_here(d->config, url)) {
			doctor_found(d, FINDING_OK, "%s leads to the proxy", names[i]);
		} else {
			doctor_found(d, FINDING_WARN, "%s does not lead to the proxy: %s", names[i], url);
			doctor_remedy(d, "export %s=%s://%s%s, or run the Kimi CLI by `kmi kimi`", names[i],
			    config_scheme(d->config), d->config->proxy_listen, d->config->proxy_base_path);
		}
	}
	if (!any) {
		doctor_found(d, FINDING_NOTE, "no variable sends clients of this shell to the proxy");
		doctor_remedy(d, "`kmi kimi` runs the Kimi CLI through it; for others: export OPENAI_BASE_URL=%s://%s%s",
		    config_scheme(d->config), d->config->proxy_listen, d->config->proxy_base_path);
	}
}

/* Clients that honour an HTTP proxy would ask it for 127.0.0.1. */
static void
check_http_proxy(struct doctor *d)
{
	const char *proxy = getenv("http_proxy"), *spared = getenv("NO_PROXY");

	if (!proxy)
		proxy = getenv("HTTP_PROXY");
	if (!proxy)
		proxy = getenv("ALL_PROXY");
	if (!spared)
		spared = getenv("no_proxy");
	if (!proxy || !*proxy || (spared && (strstr(spared, "127.0.0.1") || strstr(spared, "*"))))
		return;
	doctor_found(d, FINDING_WARN, "clients of this shell look for 127.0.0.1 through another HTTP proxy");
	doctor_remedy(d, "export NO_PROXY=127.0.0.1,localhost");
}

static void
check_config(struct doctor *d, enum client client)
{
	char *path = client_config_path(client);
	struct buf text = BUF(CLIENT_CONFIG_MAX);
	struct toml *root;
	struct fail f = { 0 };

	if (path && file_read(path, CLIENT_CONFIG_MAX - 1, &text, NULL, &f) == 0) {
		if (toml_parse(&root, buf_view(&text), &f) < 0) {
			doctor_found(d, FINDING_WARN, "%s is no valid TOML: %s", path, f.text);
			doctor_remedy(d, "mend that line; `kmi rotate` leaves such a file alone");
		} else {
			doctor_found(d, FINDING_OK, "%s can be read", path);
			toml_free(root);
		}
	} else if (path && errno != ENOENT) {
		doctor_failed(d, FINDING_WARN, &f);
	}
	buf_wipe(&text);
	free(path);
}

void
doctor_client(struct doctor *d)
{
	check_variables(d);
	check_http_proxy(d);
	for (int i = 0; i < CLIENTS; i++)
		check_config(d, i);
}
