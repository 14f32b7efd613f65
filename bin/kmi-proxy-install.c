/*
 * kmi-proxy-install: lets systemd run the proxy. kmi-proxy runs it, under its own name.
 *
 *	kmi-proxy-install install|uninstall [--user|--system] [--pool] [--tls]
 *
 * install puts the units where the manager finds them (when `make install` has not done so), gives the socket
 * the address of KMI_PROXY_LISTEN, enables and starts it, and looks whether it answers. It says what it
 * changed, and changes nothing when all is as wanted. uninstall takes away what install has put, and leaves
 * keys, settings and state.
 */
#include "base/file.h"
#include "base/probe.h"
#include "base/program.h"
#include "base/superserver.h"
#include "base/systemctl.h"
#include "base/text.h"
#include "books/events.h"

#include <dirent.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MS 15000
#define UNIT_MAX 65536
#define SERVICE_USER "kmi"
#define DROP_IN "kmi-proxy-install.conf"
#define MARK "# Put here by kmi proxy install.\n"	/* what bears it is ours to change and to remove */
#define BUILT_FOR "/usr/local/libexec/kmi"		/* in the units of the source tree */

static const char *name;

static const char usage[] =
    "usage: kmi proxy install | uninstall [--user | --system] [--pool] [--tls]\n"
    "\n"
    "Lets systemd run the proxy: puts the units in place, enables and starts them.\n"
    "The socket gets the address of KMI_PROXY_LISTEN. Safe to repeat.\n"
    "\n"
    "      --user    in your own systemd; the default for everybody but root\n"
    "      --system  in the machine's, as user kmi, with /etc/kmi/kmi.env; needs root\n"
    "      --pool    warm handlers instead of one process a connection: faster\n"
    "      --tls     kmi-tls as well, with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY; with\n"
    "                --system a first pair is made where none is set\n"
    "  -h, --help    this text\n";

/* Everything of ours that a manager may run; stopped, sockets before what they start. */
static const char *const startable[] = { "kmi-proxy.socket", "kmi-proxy-pool.socket", "kmi-proxy-tls.socket", "kmi-tls.socket",
	"kmi-health.timer", "kmi-proxy-pool.service", "kmi-tls.service", NULL };

struct manager {
	const struct config *c;
	bool user, pool, tls;
	char source[PATH_MAX];	/* where our units lie */
	char programs[PATH_MAX];	/* and the programs that they start */
	char target[PATH_MAX];	/* where units and drop-ins of an administrator go */
	char besides[PATH_MAX + 20];	/* what the drop-ins of the services say that is not in the units */
	bool found_there;	/* the manager reads `source` itself */
	bool changed;		/* the manager has to read units again */
	bool moved;		/* a socket that listens has another address now */
	bool tls_changed;	/* what kmi-tls is started with */
};

/* ---- where things are --------------------------------------------------------------------------------------- */

/* The units of an installation, or of the tree that a program was built in. */
static int
find_source(struct manager *m, struct fail *f)
{
	const char *kind = m->user ? "user" : "system";
	char *slash;

	if (program_beside("kmi-handle", m->programs, sizeof(m->programs), f) < 0)
		return -1;
	slash = strrchr(m->programs, '/');
	*slash = '\0';
	if (strcmp(m->programs, KMI_LIBEXEC) == 0) {
		snprintf(m->source, sizeof(m->source), "%s/lib/systemd/%s", KMI_PREFIX, kind);
		m->found_there = strcmp(KMI_PREFIX, "/usr") == 0 || strcmp(KMI_PREFIX, "/usr/local") == 0;
		if (access(m->source, F_OK) < 0)	/* Debian puts the system's there */
			snprintf(m->source, sizeof(m->source), "/lib/systemd/%s", kind);
		return 0;
	}
	if (!m->user) {
		fail_set(f, FAIL_SYSTEM, "the machine's systemd cannot start programs from %s", m->programs);
		return fail_hint(f, "sudo make install first, or give --user");
	}
	snprintf(m->source, sizeof(m->source), "%.4000s/../../units/user", m->programs);
	return 0;
}

static int
find_target(struct manager *m, struct fail *f)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	char *folder;

	if (!m->user) {
		strcpy(m->target, "/etc/systemd/system");
		return 0;
	}
	folder = config && *config == '/' ? file_join(config, "systemd/user") : file_expand("~/.config/systemd/user");
	if (!folder)
		return fail_memory(f);
	snprintf(m->target, sizeof(m->target), "%s", folder);
	free(folder);
	return 0;
}

/* Whether there is a manager to talk to at all. */
static int
find_manager(const struct manager *m, struct fail *f)
{
	if (access("/run/systemd/system", F_OK) < 0) {
		fail_set(f, FAIL_SYSTEM, "systemd does not run this machine");
		return fail_hint(f, "kmi proxy starts a pool of its own; for s6, tcpserver and others see docs/superservers.md");
	}
	if (!m->user && geteuid() != 0) {
		fail_set(f, FAIL_SYSTEM, "only root may change the machine's units");
		return fail_hint(f, "sudo kmi proxy install --system, or --user for a proxy of your own");
	}
	if (m->user && systemctl(m->user, SYSTEMCTL_QUIET, "show-environment", NULL) < 0) {
		fail_set(f, FAIL_SYSTEM, "there is no systemd of this user to talk to");
		return fail_hint(f, "log in properly (XDG_RUNTIME_DIR must be set), or loginctl enable-linger");
	}
	return 0;
}

static int
find_places(struct manager *m, struct fail *f)
{
	return find_manager(m, f) < 0 || find_target(m, f) < 0 ? -1 : find_source(m, f);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* Whether a file is there and bears our mark. */
static bool
is_marked(const char *path)
{
	struct buf text = BUF(UNIT_MAX);
	bool yes = file_read(path, UNIT_MAX, &text, NULL, NULL) == 0 && str_starts(buf_view(&text), MARK);

	buf_free(&text);
	return yes;
}

/* A file of ours, when it is not so already. One that somebody else has put there stays. */
static int
put_file(struct manager *m, const char *path, struct str content, struct fail *f)
{
	struct buf old = BUF(UNIT_MAX);
	bool there = file_read(path, UNIT_MAX, &old, NULL, NULL) == 0, same = there && str_eq(buf_view(&old), content);
	bool strange = there && !str_starts(buf_view(&old), MARK);

	buf_free(&old);
	if (same)
		return 0;
	if (strange) {
		program_say("  kept      %s, which somebody else wrote\n", path);
		return 0;
	}
	if (file_replace(path, content, true, f) < 0)
		return -1;
	chmod(path, 0644);	/* no secret, and the manager is not the only one who reads units */
	m->changed = true;
	program_say("  wrote     %s\n", path);
	return 0;
}

static int
remove_file(struct manager *m, const char *path, struct fail *f)
{
	if (!is_marked(path))
		return 0;
	if (unlink(path) < 0)
		return fail_sys(f, "remove %s", path);
	m->changed = true;
	program_say("  removed   %s\n", path);
	return 0;
}

/* A unit as it lies in the source, for the programs that lie beside us. */
static int
copy_unit(struct manager *m, const char *unit, struct fail *f)
{
	struct buf text = BUF(UNIT_MAX), out = BUF(2 * UNIT_MAX);
	char from[PATH_MAX], to[PATH_MAX];
	struct str rest;
	long at;
	int rc = -1;

	snprintf(from, sizeof(from), "%.3000s/%.255s", m->source, unit);
	snprintf(to, sizeof(to), "%.3000s/%.255s", m->target, unit);
	if (file_read(from, UNIT_MAX, &text, NULL, f) < 0)
		goto out;
	buf_puts(&out, MARK);
	for (rest = buf_view(&text); (at = str_find(rest, STR(BUILT_FOR))) >= 0;
	    rest = str_sub(rest, (size_t)at + sizeof(BUILT_FOR) - 1, rest.n)) {
		buf_str(&out, str_sub(rest, 0, (size_t)at));
		buf_puts(&out, m->programs);
	}
	buf_str(&out, rest);
	rc = buf_bad(&out) ? fail_memory(f) : put_file(m, to, buf_view(&out), f);
out:
	buf_free(&text);
	buf_free(&out);
	return rc;
}

/* All our units, where the manager does not find them by itself. */
static int
put_units(struct manager *m, struct fail *f)
{
	struct dirent *e;
	int rc = 0;
	DIR *d;

	if (m->found_there)
		return 0;
	d = opendir(m->source);
	if (!d)
		return fail_sys(f, "read %s", m->source);
	if (file_mkdirs(m->target, f) < 0)
		rc = -1;
	while (rc == 0 && (e = readdir(d)))
		if (str_starts(str_from(e->d_name), "kmi-"))
			rc = copy_unit(m, e->d_name, f);
	closedir(d);
	return rc;
}

/* What an administrator would write with `systemctl edit`. An empty text takes it away. */
static int
put_drop_in(struct manager *m, const char *unit, const char *text, struct fail *f)
{
	struct buf out = BUF(UNIT_MAX);
	char folder[PATH_MAX], path[PATH_MAX];
	int rc;

	snprintf(folder, sizeof(folder), "%.3000s/%.255s.d", m->target, unit);
	snprintf(path, sizeof(path), "%.4000s/%s", folder, DROP_IN);
	if (!*text) {
		rc = remove_file(m, path, f);
		rmdir(folder);
		return rc;
	}
	buf_printf(&out, "%s%s", MARK, text);
	rc = file_mkdirs(folder, f);
	if (rc == 0) {
		chmod(folder, 0755);
		rc = buf_bad(&out) ? fail_memory(f) : put_file(m, path, buf_view(&out), f);
	}
	buf_free(&out);
	return rc;
}

/* The address of a socket, where it is not the one that stands in the unit. */
static int
put_address(struct manager *m, const char *unit, const struct listen_address *a, const char *usual, struct fail *f)
{
	char address[300], text[400];
	bool before = m->changed;
	int rc;

	superserver_address(a, address, sizeof(address));
	snprintf(text, sizeof(text), "[Socket]\nListenStream=\nListenStream=%s\n", address);
	m->changed = false;
	rc = put_drop_in(m, unit, strcmp(address, usual) == 0 ? "" : text, f);
	if (m->changed && systemctl_is(m->user, "active", unit))
		m->moved = true;
	m->changed = m->changed || before;
	return rc;
}

/* A user's service may write only what it is told: another state folder has to be named. Empty: it is the usual one. */
static int
find_state_folder(struct manager *m, struct fail *f)
{
	char *usual = file_expand("~/.kmi");
	int rc = usual ? file_mkdirs(m->c->state_dir, f) : fail_memory(f);

	if (rc == 0 && strcmp(usual, m->c->state_dir) != 0)
		snprintf(m->besides, sizeof(m->besides), "ReadWritePaths=%s\n", m->c->state_dir);
	/* It is named in the units, and must be there. */
	if (rc == 0)
		rc = file_mkdirs(usual, f);
	free(usual);
	return rc;
}

/*
 * The sandbox of a machine's service knows no users but its own and root. Where the user at a unix socket
 * counts, it has to know all.
 */
static void
find_users(struct manager *m)
{
	if (m->c->proxy_unix_users[0])
		snprintf(m->besides, sizeof(m->besides), "PrivateUsers=no\n");
}

/* kmi-health is asked by nobody, so it is only the folder that it has to know. */
static int
put_besides(struct manager *m, struct fail *f)
{
	static const char *const services[] = { "kmi-proxy@.service", "kmi-proxy-pool.service", "kmi-health.service" };
	size_t count = m->user ? 3 : 2;
	char text[sizeof(m->besides) + 16] = "";
	int rc = 0;

	if (*m->besides)
		snprintf(text, sizeof(text), "[Service]\n%s", m->besides);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = put_drop_in(m, services[i], text, f);
	return rc;
}

/* Whether kmi-tls is to use the pool that there is, instead of one of its own. Who has named another one knows better. */
static bool
shares_pool(const struct manager *m)
{
	return m->tls && m->pool && !config_listen_is_tls(m->c) && !*m->c->proxy_tls_pool;
}

/* With a pool behind it that is another service, kmi-tls need not even see a key. */
static int
put_tls(struct manager *m, struct fail *f)
{
	char text[sizeof(m->besides) + 400] = "", pool[300] = "";
	bool before = m->changed;
	int rc;

	if (shares_pool(m))
		snprintf(pool, sizeof(pool), "Environment=KMI_PROXY_TLS_POOL=%s/kmi-proxy-tls.sock\nInaccessiblePaths=%s\n",
		    m->user ? "%t" : "/run", m->user ? "-%h/.kimi/_auths" : "-" KMI_ETC "/auths -/var/lib/kmi");
	if (*pool || *m->besides)
		snprintf(text, sizeof(text), "%s[Service]\n%s%s",
		    *pool ? "[Unit]\nWants=kmi-proxy-pool.socket\nAfter=kmi-proxy-tls.socket\n\n" : "", m->besides, pool);
	m->changed = false;
	rc = put_drop_in(m, "kmi-tls.service", text, f);
	m->tls_changed = m->changed;
	m->changed = m->changed || before;
	return rc;
}

/* ---- the machine: user, folders, settings ------------------------------------------------------------------- */

static int
put_once(const char *from, const char *to, struct fail *f)
{
	struct buf text = BUF(UNIT_MAX);
	int rc = -1;

	if (access(to, F_OK) == 0)
		return 0;
	if (file_read(from, UNIT_MAX, &text, NULL, f) == 0 && (rc = file_replace(to, buf_view(&text), true, f)) == 0)
		program_say("  wrote     %s\n", to);
	buf_free(&text);
	return rc;
}

/* Members of the group may read what root has put there. */
static int
give_to_group(const char *path, mode_t mode, struct fail *f)
{
	const struct passwd *pw = getpwnam(SERVICE_USER);

	if (!pw)
		return fail_set(f, FAIL_SYSTEM, "there is no user %s", SERVICE_USER);
	return chown(path, 0, pw->pw_gid) < 0 || chmod(path, mode) < 0 ? fail_sys(f, "give %s to the group", path) : 0;
}

static bool
is_empty_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = d != NULL;

	while (empty && (e = readdir(d)))
		empty = *e->d_name == '.';
	if (d)
		closedir(d);
	return empty;
}

static int
prepare_machine(struct fail *f)
{
	static const char settings[] = KMI_ETC "/kmi.env", keys[] = KMI_ETC "/auths", example[] = KMI_ETC "/auths/example.env";
	const char *const users[] = { "systemd-sysusers", KMI_PREFIX "/lib/sysusers.d/kmi.conf", NULL };
	const char *const folders[] = { "systemd-tmpfiles", "--create", KMI_PREFIX "/lib/tmpfiles.d/kmi.conf", NULL };
	bool had_user = getpwnam(SERVICE_USER) != NULL, had_keys = access(keys, F_OK) == 0;

	if (!had_user && systemctl_run(SYSTEMCTL_LOUD, users) < 0)
		return fail_set(f, FAIL_SYSTEM, "the user %s could not be made", SERVICE_USER);
	if (!had_user)
		program_say("  made      the user %s\n", SERVICE_USER);
	if (file_mkdirs(KMI_ETC, f) < 0 || put_once(KMI_PREFIX "/share/kmi/kmi.env", settings, f) < 0)
		return -1;
	if (systemctl_run(SYSTEMCTL_LOUD, folders) < 0)
		return fail_set(f, FAIL_SYSTEM, "the folders could not be made");
	chmod(KMI_ETC, 0755);
	if (!had_keys && is_empty_folder(keys) && (put_once(KMI_PREFIX "/share/kmi/example.env", example, f) < 0 ||
	    give_to_group(example, 0640, f) < 0))
		return -1;
	return 0;
}

/* ---- a first certificate ------------------------------------------------------------------------------------ */

#define TLS_FOLDER KMI_ETC "/tls"
#define TLS_CERT TLS_FOLDER "/cert.pem"
#define TLS_KEY TLS_FOLDER "/key.pem"
#define TLS_LISTEN "127.0.0.1:54443"

/* What the settings do not say yet, at their end: the last of two lines of one name counts. */
static int
add_tls_settings(const struct config *c, struct fail *f)
{
	static const char path[] = KMI_ETC "/kmi.env";
	struct buf text = BUF(UNIT_MAX);
	int rc = -1;

	if (file_read(path, UNIT_MAX, &text, NULL, f) < 0)
		goto out;
	buf_puts(&text, "\n# Put here by kmi proxy install --tls. To serve other machines: KMI_PROXY_TLS_LISTEN=0.0.0.0:54443,\n"
	    "# KMI_PROXY_ALLOW_REMOTE=1 and a KMI_PROXY_TOKEN; then kmi proxy install --system --tls again.\n");
	if (!*c->proxy_tls_listen)
		buf_puts(&text, "KMI_PROXY_TLS_LISTEN=" TLS_LISTEN "\n");
	buf_puts(&text, "KMI_PROXY_TLS_CERT=" TLS_CERT "\nKMI_PROXY_TLS_KEY=" TLS_KEY "\n");
	if (buf_bad(&text))
		fail_memory(f);
	else if (file_replace(path, buf_view(&text), true, f) == 0 && give_to_group(path, 0640, f) == 0)
		rc = 0;
	if (rc == 0)
		program_say("  set       KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY in %s\n", path);
out:
	buf_free(&text);
	return rc;
}

/* For a machine that has none: made by us, so it is trusted by nobody before he is told to. */
static int
first_certificate(const struct manager *m, struct fail *f)
{
	char program[PATH_MAX];
	const char *const make[] = { program, TLS_CERT, TLS_KEY, NULL };

	if (prepare_machine(f) < 0 || program_beside("kmi-tls-selfsigned", program, sizeof(program), f) < 0)
		return -1;
	if (access(TLS_CERT, F_OK) < 0 || access(TLS_KEY, F_OK) < 0) {
		if (systemctl_run(SYSTEMCTL_QUIET, make) < 0) {
			fail_set(f, FAIL_SYSTEM, "a first certificate could not be made");
			return fail_hint(f, "kmi tls selfsigned %s %s tells why", TLS_CERT, TLS_KEY);
		}
		program_say("  made      %s, which clients are to trust, and its key\n", TLS_CERT);
	}
	if (give_to_group(TLS_FOLDER, 0750, f) < 0 || give_to_group(TLS_KEY, 0640, f) < 0)
		return -1;
	return add_tls_settings(m->c, f);
}

/* ---- install ------------------------------------------------------------------------------------------------ */

/* Settings that only this shell has: the service will not see them. */
static void
warn_of_environment(const struct manager *m)
{
	for (size_t i = 0; i < config_count(); i++)
		switch (m->c->origins[i].source) {
		case CONFIG_ENVIRONMENT:
		case CONFIG_DOTENV:
		case CONFIG_ENV_PATH:
			program_warn(name, "the service will not see %s of this shell; put it into %s", config_name(i),
			    m->user ? "~/.kmi/kmi.config.toml" : KMI_ETC "/kmi.env");
			break;
		case CONFIG_DEFAULT:
		case CONFIG_MACHINE:
		case CONFIG_TOML:
		case CONFIG_ARGUMENT:
			break;
		}
}

/* The address must be free, or ours: said before anything is changed. */
static int
check_address(const struct manager *m, struct fail *f)
{
	struct superserver by;

	if (superserver_find(&by, m->c, NULL, f) < 0)
		return -1;
	switch (by.kind) {
	case SUPERSERVER_NONE:
	case SUPERSERVER_SYSTEMD:
		if (by.kind == SUPERSERVER_NONE || !by.running || by.user == m->user)
			return 0;
		if (by.user)
			fail_set(f, FAIL_SYSTEM, "%s is held by the systemd of this user", m->c->proxy_listen);
		else
			fail_set(f, FAIL_SYSTEM, "%s is held by the machine's systemd", m->c->proxy_listen);
		return fail_hint(f, "kmi proxy uninstall --%s, or another KMI_PROXY_LISTEN", by.user ? "user" : "system");
	case SUPERSERVER_EMBEDDED:
		fail_set(f, FAIL_SYSTEM, "%s is held by the pool that kmi proxy started (process %ld)", m->c->proxy_listen,
		    (long)by.pid);
		return fail_hint(f, "kmi proxy-stop, then again");
	case SUPERSERVER_S6:
	case SUPERSERVER_OTHER:
	case SUPERSERVER_STRANGER:
		break;
	}
	if (by.pid)
		fail_set(f, FAIL_SYSTEM, "%s is held by process %ld (%s)", m->c->proxy_listen, (long)by.pid, by.command);
	else
		fail_set(f, FAIL_SYSTEM, "%s is held by a process of another user", m->c->proxy_listen);
	return fail_hint(f, "stop that program, or give another address with KMI_PROXY_LISTEN");
}

static int
put_in_place(struct manager *m, struct fail *f)
{
	const char *socket = m->pool ? "kmi-proxy-pool.socket" : "kmi-proxy.socket";

	if (!m->user && prepare_machine(f) < 0)
		return -1;
	if (m->user && find_state_folder(m, f) < 0)
		return -1;
	if (!m->user)
		find_users(m);
	if (put_units(m, f) < 0 || put_besides(m, f) < 0 || put_tls(m, f) < 0)
		return -1;
	if (!config_listen_is_tls(m->c) && put_address(m, socket, &m->c->listen, "127.0.0.1:54123", f) < 0)
		return -1;
	if (m->tls && put_address(m, "kmi-tls.socket", config_listen_is_tls(m->c) ? &m->c->listen : &m->c->tls_listen,
	    TLS_LISTEN, f) < 0)
		return -1;
	if (m->changed && systemctl(m->user, SYSTEMCTL_LOUD, "daemon-reload", NULL) < 0)
		return fail_set(f, FAIL_SYSTEM, "systemd did not read the units again");
	return 0;
}

static int
switch_on(struct manager *m, const char *unit, struct fail *f)
{
	bool was = systemctl_is(m->user, "active", unit) && systemctl_is(m->user, "enabled", unit);

	if (was && m->moved && systemctl(m->user, SYSTEMCTL_LOUD, "stop", unit, NULL) < 0)
		return fail_set(f, FAIL_SYSTEM, "%s could not be stopped", unit);
	/* What failed once may be tried again by who asks for it. */
	systemctl(m->user, SYSTEMCTL_QUIET, "reset-failed", unit, NULL);
	if (systemctl(m->user, SYSTEMCTL_LOUD, "enable", "--now", unit, NULL) < 0) {
		fail_set(f, FAIL_SYSTEM, "%s could not be started", unit);
		return fail_hint(f, "systemctl %sstatus %s tells why", m->user ? "--user " : "", unit);
	}
	printf(was && !m->moved ? _("  running   %s, as before\n") : _("  started   %s; it will be at every boot\n"), unit);
	return 0;
}

static int
switch_off(struct manager *m, const char *unit, struct fail *f)
{
	bool was = systemctl_is(m->user, "active", unit), service = str_ends(str_from(unit), ".service");

	/* A service of ours is started by its socket: there is nothing to disable. */
	if (!was && (service || !systemctl_is(m->user, "enabled", unit)))
		return 0;
	if (!service)
		systemctl(m->user, SYSTEMCTL_QUIET, "disable", unit, NULL);
	if (was && systemctl(m->user, SYSTEMCTL_LOUD, "stop", unit, NULL) < 0)
		return fail_set(f, FAIL_SYSTEM, "%s could not be stopped", unit);
	program_say("  stopped   %s\n", unit);
	return 0;
}

/* One flavour holds the address: the other goes first, its running answers finished. */
static int
switch_over(struct manager *m, struct fail *f)
{
	/* A further socket is taken up when the service starts; meanwhile clients wait in the one that they know. */
	const char *verb = shares_pool(m) && !systemctl_is(m->user, "active", "kmi-proxy-tls.socket") ? "restart" : "start";
	char health[PATH_MAX];

	if (m->pool ? switch_off(m, "kmi-proxy.socket", f) < 0 :
	    switch_off(m, "kmi-proxy-pool.socket", f) < 0 || switch_off(m, "kmi-proxy-pool.service", f) < 0)
		return -1;
	if (!config_listen_is_tls(m->c) && switch_on(m, m->pool ? "kmi-proxy-pool.socket" : "kmi-proxy.socket", f) < 0)
		return -1;
	/* Warm from the start, and a wrong setting shows now. */
	if (m->pool && !config_listen_is_tls(m->c) && systemctl(m->user, SYSTEMCTL_LOUD, verb, "kmi-proxy-pool.service", NULL) < 0) {
		fail_set(f, FAIL_SYSTEM, "the pool does not start");
		return fail_hint(f, "kmi proxy-logs tells why");
	}
	if (m->tls && switch_on(m, "kmi-tls.socket", f) < 0)
		return -1;
	if (m->tls_changed && systemctl(m->user, SYSTEMCTL_LOUD, "try-restart", "kmi-tls.service", NULL) < 0)
		return fail_set(f, FAIL_SYSTEM, "%s could not be started", "kmi-tls.service");
	if (program_beside("kmi-health", health, sizeof(health), NULL) == 0)
		return switch_on(m, "kmi-health.timer", f);
	return 0;
}

static int
install(struct manager *m)
{
	struct fail f = { 0 };
	char linger[300];
	const struct passwd *pw = getpwuid(geteuid());

	if (m->tls && !config_has_tls(m->c)) {
		fail_set(&f, FAIL_USAGE, "--tls needs KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY");
		fail_hint(&f, "kmi tls selfsigned makes a first certificate; install --system --tls does so by itself");
		return program_fail(name, &f);
	}
	if (!m->tls && config_listen_is_tls(m->c)) {
		fail_set(&f, FAIL_USAGE, "with a certificate and no KMI_PROXY_TLS_LISTEN, %s is to speak TLS", m->c->proxy_listen);
		fail_hint(&f, "give --tls, or an address of its own for TLS with KMI_PROXY_TLS_LISTEN");
		return program_fail(name, &f);
	}
	if (find_places(m, &f) < 0 || check_address(m, &f) < 0)
		return program_fail(name, &f);
	warn_of_environment(m);
	if (put_in_place(m, &f) < 0 || switch_over(m, &f) < 0)
		return program_fail(name, &f);
	if (!config_listen_is_tls(m->c) && !probe_answers(&m->c->listen, ANSWER_MS, 0)) {
		fail_set(&f, FAIL_SYSTEM, "the proxy does not answer on %s", m->c->proxy_listen);
		fail_hint(&f, "kmi proxy-logs tells why");
		return program_fail(name, &f);
	}
	event_audit(m->c, "proxy_install", "listen", m->c->proxy_listen, "manager", m->user ? "user" : "system", NULL);
	program_say("The proxy answers on %s, started by systemd.\n", m->c->proxy_listen);
	snprintf(linger, sizeof(linger), "/var/lib/systemd/linger/%s", pw ? pw->pw_name : "");
	if (m->user && access(linger, F_OK) < 0)
		program_say("It ends when you log out. To keep it: loginctl enable-linger\n");
	return 0;
}

static int
uninstall(struct manager *m)
{
	struct fail f = { 0 };
	struct dirent *e;
	char path[PATH_MAX];
	int rc = 0;
	DIR *d;

	if (find_manager(m, &f) < 0 || find_target(m, &f) < 0)
		return program_fail(name, &f);
	for (const char *const *u = startable; *u; u++)
		if (switch_off(m, *u, &f) < 0)
			return program_fail(name, &f);
	systemctl(m->user, SYSTEMCTL_QUIET, "stop", "kmi-proxy@*.service", NULL);
	d = opendir(m->target);
	while (rc == 0 && d && (e = readdir(d))) {
		struct str unit = str_from(e->d_name);

		if (!str_starts(unit, "kmi-"))
			continue;
		if (str_ends(unit, ".d")) {
			char *bare = str_dup(str_sub(unit, 0, unit.n - 2));

			rc = bare ? put_drop_in(m, bare, "", &f) : fail_memory(&f);
			free(bare);
			continue;
		}
		snprintf(path, sizeof(path), "%.3000s/%.255s", m->target, e->d_name);
		rc = remove_file(m, path, &f);
	}
	if (d)
		closedir(d);
	if (rc < 0)
		return program_fail(name, &f);
	if (m->changed)
		systemctl(m->user, SYSTEMCTL_QUIET, "daemon-reload", NULL);
	event_audit(m->c, "proxy_uninstall", "manager", m->user ? "user" : "system", NULL);
	program_say("systemd does not run the proxy any more. Keys, settings and state are where they were.\n");
	return 0;
}

/* ---- */

static const struct option options[] = {
	{ "user", no_argument, NULL, 'u' },
	{ "system", no_argument, NULL, 'S' },
	{ "pool", no_argument, NULL, 'P' },
	{ "tls", no_argument, NULL, 't' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

int
main(int argc, char **argv)
{
	struct program_call call = { .usage = usage, .letters = ":h", .options = options };
	const char *slash = strrchr(argv[0], '/'), *verb = argc > 1 ? argv[1] : "";
	struct manager m = { .user = geteuid() != 0 };
	bool user = false, system = false;
	struct fail f = { 0 };
	struct config c;
	int opt, code;

	name = slash ? slash + 1 : argv[0];
	call.name = name;
	program_start();
	optind = 2;
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'u':
			user = m.user = true;
			break;
		case 'S':
			system = true;
			m.user = false;
			break;
		case 'P':
			m.pool = true;
			break;
		case 't':
			m.tls = true;
			break;
		}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(name, "unexpected argument: %s", argv[optind]);
	if (user && system)
		return program_usage(name, "--user and --system are two places; give one");
	if ((code = program_config(name, &c, NULL)))
		return code;
	m.c = &c;
	if (strcmp(verb, "install") == 0 && m.tls && !m.user && !*c.proxy_tls_cert && !*c.proxy_tls_key) {
		if (find_places(&m, &f) < 0 || first_certificate(&m, &f) < 0)
			return program_fail(name, &f);
		config_free(&c);
		if ((code = program_config(name, &c, NULL)))
			return code;
	}
	code = strcmp(verb, "uninstall") == 0 ? uninstall(&m) : install(&m);
	config_free(&c);
	return program_end(name, code);
}
