/*
 * kmi-kimi: the Kimi CLI, sent through the proxy. Also installed as kimi_robin.
 *
 *	kmi-kimi [--] [ARGUMENT ...]
 *
 * Sets every variable by which kimi-cli and kimi-code let themselves be told
 * where to go, and becomes that program. No key of the pool is given to it.
 */
#include "base/file.h"
#include "base/listener.h"
#include "base/program.h"
#include "keys/client_config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi-kimi"

static const char usage[] =
    "usage: kmi kimi [--] [ARGUMENT ...]\n"
    "\n"
    "Runs the Kimi CLI (kimi, kimi-cli or kimi-code) through the proxy, with these\n"
    "arguments. Its own help: kmi kimi -- --help\n"
    "\n"
    "Exit status: that of the Kimi CLI; 1 when there is none, or the proxy does not\n"
    "answer; 2 for a wrong setting.\n";

/* The address to call where the proxy listens: an address that means all of them is called on loopback. */
static int
find_base(const struct config *c, struct buf *base, struct fail *f)
{
	const char *host = c->listen.host;

	if (!host) {
		fail_set(f, FAIL_INPUT, "the proxy listens on a unix socket, which the Kimi CLI cannot call");
		fail_hint(f, "give it an address: KMI_PROXY_LISTEN=127.0.0.1:54123");
		return -1;
	}
	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	buf_printf(base, strchr(host, ':') ? "%s://[%s]:%d%s" : "%s://%s:%d%s", config_scheme(c), host, c->listen.port,
	    c->proxy_base_path);
	return buf_bad(base) ? fail_memory(f) : 0;
}

/* Somebody listens there; the Kimi CLI itself would try for minutes before it said that nobody does. */
static int
find_proxy(const struct config *c, struct fail *f)
{
	struct listeners l;
	bool listening;

	if (listener_find(&l, &c->listen, 0, f) < 0)
		return -1;
	listening = l.listening;
	listener_free(&l);
	if (listening)
		return 0;
	fail_set(f, FAIL_SYSTEM, "the proxy is not running: nobody listens on %s", c->proxy_listen);
	fail_hint(f, "kmi proxy starts it");
	return -1;
}

/* A name the user has set stays when `keep`. */
static void
tell(const char *name, const char *base, const char *more, bool keep)
{
	char *value = NULL;

	if (asprintf(&value, "%s%s", base, more) >= 0)
		setenv(name, value, !keep);
	free(value);
}

/* An HTTP proxy in the environment is not asked for what is on this machine. */
static void
spare_loopback(const char *name)
{
	const char *now = getenv(name);

	tell(name, now && *now ? now : "127.0.0.1", now && *now ? ",127.0.0.1,localhost,::1" : ",localhost,::1", false);
}

static void
redirect(const struct config *c, const char *base)
{
	const char *token = c->proxy_token && *c->proxy_token ? c->proxy_token : "kmi";
	static const char *const urls[] = { "KIMI_BASE_URL", "KIMI_CODE_BASE_URL", "KIMI_MODEL_BASE_URL" };
	static const char *const keys[] = { "KIMI_API_KEY", "KIMI_MODEL_API_KEY", "KIMI_WEB_SEARCH_API_KEY",
		"KIMI_WEB_FETCH_API_KEY" };

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		tell(urls[i], base, "", false);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		tell(keys[i], token, "", false);
	tell("KIMI_WEB_SEARCH_BASE_URL", base, "/search", false);
	tell("KIMI_WEB_FETCH_BASE_URL", base, "/fetch", false);
	/* kimi-code takes the address of a model only together with its name; kimi-cli takes any to be small. */
	if (!getenv("KIMI_MODEL_NAME"))
		tell("KIMI_MODEL_MAX_CONTEXT_SIZE", CLIENT_MODEL_CONTEXT, "", true);
	tell("KIMI_MODEL_NAME", CLIENT_MODEL, "", true);
	tell("KIMI_MODEL_PROVIDER_TYPE", "kimi", "", true);
	spare_loopback("NO_PROXY");
	spare_loopback("no_proxy");
}

/* A client that is logged in sends its login, whatever the variables say; the proxy does not mind unless it wants its token. */
static void
warn_of_login(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct buf text = BUF(CLIENT_CONFIG_MAX);
		char *path = client_config_path(i);

		if (path && file_read(path, CLIENT_CONFIG_MAX - 1, &text, NULL, NULL) == 0 &&
		    client_config_has_login(buf_view(&text)))
			program_warn(NAME, "%s: a Kimi CLI that is logged in sends its login instead of KMI_PROXY_TOKEN, and "
			    "is refused; `kimi logout` ends that", path);
		buf_wipe(&text);
		free(path);
	}
}

/* kimi_robin may be linked as `kimi` too: it must not find itself. */
static bool
is_this_program(const char *path)
{
	char own[PATH_MAX], other[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (n < 0 || !realpath(path, other))
		return false;
	own[n] = '\0';
	return strcmp(own, other) == 0;
}

static bool
find_program(const char *name, char path[PATH_MAX])
{
	const char *list = getenv("PATH");

	while (list && *list) {
		size_t n = strcspn(list, ":");

		if (n && snprintf(path, PATH_MAX, "%.*s/%s", (int)n, list, name) < PATH_MAX && program_can_run(path) &&
		    !is_this_program(path))
			return true;
		list += n;
		list += *list == ':';
	}
	return false;
}

static int
run(char **argv)
{
	static const char *const names[] = { "kimi", "kimi-cli", "kimi-code" };
	char path[PATH_MAX];
	struct fail f;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (find_program(names[i], path)) {
			program_before_stranger();	/* it has the token as its key */
			argv[0] = path;
			execv(path, argv);
			fail_sys(&f, "run %s", path);
			return program_fail(NAME, &f);
		}
	fail_set(&f, FAIL_SYSTEM, "there is no Kimi CLI in PATH: neither kimi nor kimi-cli nor kimi-code");
	fail_hint(&f, "kimi-cli comes with Python's tools (uv tool install kimi-cli), kimi-code with npm (@moonshot-ai/kimi-code)");
	return program_fail(NAME, &f);
}

int
main(int argc, char **argv)
{
	struct buf base = BUF(4096);
	struct fail f = { 0 };
	struct config c;
	int code;

	program_start();
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return program_help(NAME, usage);
	if (argc > 1 && strcmp(argv[1], "--") == 0)
		argv++;
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	if (find_base(&c, &base, &f) < 0 || find_proxy(&c, &f) < 0)
		code = program_fail(NAME, &f);
	else
		redirect(&c, base.p);
	if (code == 0 && c.proxy_token && *c.proxy_token)
		warn_of_login();
	buf_free(&base);
	config_free(&c);
	return code ? code : run(argv);
}
