#include "base/digest.h"
#include "base/endpoint.h"
#include "base/file.h"
#include "doctor/doctor.h"
#include "keys/client_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum way { WAY_HERE, WAY_NOWHERE, WAY_PAST };

static bool
is_this_machine(const struct config *c, struct str host)
{
	const char *listen = c->listen.host ? c->listen.host : "";

	host = endpoint_bare(host);
	for (char *const *name = c->proxy_hosts; name && *name; name++)
		if (str_caseis(host, *name))
			return true;
	return str_caseis(host, "localhost") || str_starts(host, "127.") || str_is(host, "::1") || str_caseis(host, listen);
}

/* Where a URL leads: to the proxy, to a place of this machine where it is not, or past it. */
static enum way
way_of(const struct config *c, const char *url)
{
	struct str rest = str_from(url), host, path;
	bool tls = str_starts(rest, "https://");
	long slash;
	int port;

	rest = str_sub(rest, tls ? 8 : str_starts(rest, "http://") ? 7 : 0, rest.n);
	slash = str_find(rest, STR("/"));
	path = endpoint_trim(str_sub(rest, slash < 0 ? rest.n : (size_t)slash, rest.n));
	if (endpoint_split(str_sub(rest, 0, slash < 0 ? rest.n : (size_t)slash), &host, &port) < 0)
		return WAY_NOWHERE;
	if (port == 0)
		port = tls ? 443 : 80;
	if (!is_this_machine(c, host))
		return WAY_PAST;
	if (port != c->listen.port && port != c->tls_listen.port)
		return WAY_NOWHERE;
	rest = str_sub(path, strlen(c->proxy_base_path), path.n);
	return str_starts(path, c->proxy_base_path) && (!rest.n || *rest.p == '/') ? WAY_HERE : WAY_NOWHERE;
}

static bool
leads_here(const struct config *c, const char *url)
{
	return url && *url && way_of(c, url) == WAY_HERE;
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

/* The variable of this shell that outranks what the client's config says, if it leads to the proxy. */
static const char *
outranks(const struct config *c, enum client client)
{
	if (client == CLIENT_KIMI_CLI)
		return leads_here(c, getenv("KIMI_BASE_URL")) ? "KIMI_BASE_URL" : NULL;
	return getenv("KIMI_MODEL_NAME") && leads_here(c, getenv("KIMI_MODEL_BASE_URL")) ? "KIMI_MODEL_BASE_URL" : NULL;
}

static const char *
label_of(const struct doctor *d, const char *api_key)
{
	char hash[DIGEST_SHORT_SIZE];

	digest_short(str_from(api_key), hash);
	for (size_t i = 0; i < d->roster.auths.count; i++)
		if (strcmp(d->roster.auths.keys[i].hash, hash) == 0)
			return d->roster.auths.keys[i].label;
	return NULL;
}

/* It is no fault: `kmi rotate` sets it up so. But who means to use the proxy should know. */
static void
tell_straight(struct doctor *d, const char *path, const struct client_route *r)
{
	const char *label = r->api_key ? label_of(d, r->api_key) : NULL;
	const char *url = r->base_url ? r->base_url : "Kimi";

	if (label)
		doctor_found(d, FINDING_NOTE, "the Kimi CLI, run by itself, goes straight to %s with the key %s, past the proxy (%s)", url,
		    label, path);
	else
		doctor_found(d, FINDING_NOTE, "the Kimi CLI, run by itself, goes straight to %s with a key or a login of its own, past "
		    "the proxy (%s)", url, path);
	doctor_remedy(d, "if that is meant, all is well: `kmi rotate` changes the key there; through the proxy: `kmi kimi`, or base_url = "
	    "\"%s://%s%s\" in that file", config_scheme(d->config), d->config->proxy_listen, d->config->proxy_base_path);
}

static void
check_route(struct doctor *d, enum client client, const char *path, const struct client_route *r)
{
	const struct config *c = d->config;
	const char *variable = outranks(c, client);

	if (variable) {
		doctor_found(d, FINDING_OK, "%s can be read; in this shell %s outranks it", path, variable);
	} else if (!r->provider) {
		doctor_found(d, FINDING_OK, "%s can be read; it names no provider of Kimi", path);
	} else if (!r->base_url || way_of(c, r->base_url) == WAY_PAST) {
		tell_straight(d, path, r);
	} else if (way_of(c, r->base_url) == WAY_NOWHERE) {
		doctor_found(d, FINDING_WARN, "the provider %s in %s leads to %s, and the proxy is not there", r->provider, path,
		    r->base_url);
		doctor_remedy(d, "base_url = \"%s://%s%s\" in that file, or run the Kimi CLI by `kmi kimi`", config_scheme(c),
		    c->proxy_listen, c->proxy_base_path);
	} else if (c->proxy_token && *c->proxy_token && (!r->api_key || strcmp(r->api_key, c->proxy_token) != 0)) {
		doctor_found(d, FINDING_WARN, "%s leads to the proxy, but its api_key is not the token that the proxy asks for", path);
		doctor_remedy(d, "put the value of KMI_PROXY_TOKEN there, or run the Kimi CLI by `kmi kimi`");
	} else {
		doctor_found(d, FINDING_OK, "%s leads to the proxy", path);
	}
}

static void
check_config(struct doctor *d, enum client client)
{
	char *path = client_config_path(client);
	struct buf text = BUF(CLIENT_CONFIG_MAX);
	struct client_route route = { 0 };
	struct fail f = { 0 };

	if (path && file_read(path, CLIENT_CONFIG_MAX - 1, &text, NULL, &f) == 0) {
		if (client_config_route(buf_view(&text), &route, &f) < 0) {
			doctor_found(d, FINDING_WARN, "%s is no valid TOML: %s", path, f.text);
			doctor_remedy(d, "mend that line; `kmi rotate` leaves such a file alone");
		} else {
			check_route(d, client, path, &route);
		}
	} else if (path && errno != ENOENT) {
		doctor_failed(d, FINDING_WARN, &f);
	}
	client_route_free(&route);
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
