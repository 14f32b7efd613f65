#include "base/superserver.h"

#include "base/file.h"
#include "base/pidfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLDERS_MAX 16
#define POOL_UNIT "kmi-proxy-pool"
#define EACH_UNIT "kmi-proxy"

static const char *const our_sockets[] = { EACH_UNIT ".socket", POOL_UNIT ".socket", "kmi-tls.socket" };

/* ---- deciding ----------------------------------------------------------------------------------------------- */

static bool
is_ours(const struct superserver_holder *h)
{
	return str_starts(str_from(h->command), "kmi-");
}

static bool
is_systemd(const struct superserver_holder *h)
{
	return h->pid == 1 ? strcmp(h->command, "systemd") == 0 || strcmp(h->command, "init") == 0 :
	    strcmp(h->command, "systemd") == 0;
}

/* Programs that hold a socket to start somebody else for it. */
static bool
is_inetd(const struct superserver_holder *h)
{
	static const char *const servers[] = { "s6-", "tcpserver", "xinetd", "inetd", "socat", "tcpsvd", "busybox",
		"systemd-socket-" /* -activate: the kernel keeps 15 bytes */ };

	for (size_t i = 0; i < sizeof(servers) / sizeof(*servers); i++)
		if (str_starts(str_from(h->command), servers[i]))
			return true;
	return false;
}

static void
be_systemd(struct superserver *s, bool user, const char *unit)
{
	s->kind = SUPERSERVER_SYSTEMD;
	s->user = user;
	snprintf(s->unit, sizeof(s->unit), "%s", unit);
}

/* systemd keeps the socket while the pool has it too: then the pool's unit tells which of our sockets it is. */
static void
name_unit(struct superserver *s, const struct superserver_facts *facts, bool user)
{
	const char *enabled = user ? facts->enabled_user : facts->enabled_system;

	be_systemd(s, user, enabled ? enabled : EACH_UNIT ".socket");
	for (size_t i = 0; i < facts->count; i++) {
		struct str unit = str_from(facts->holders[i].unit), stem = str_cut(&unit, '.');

		if (is_ours(&facts->holders[i]) && str_is(unit, "service") && stem.n)
			snprintf(s->unit, sizeof(s->unit), "%.*s.socket", STR_F(stem));
	}
}

static void
take_holder(struct superserver *s, const struct superserver_facts *facts, const struct superserver_holder *h)
{
	s->pid = h->pid;
	snprintf(s->command, sizeof(s->command), "%s", h->command);
	if (is_systemd(h))
		name_unit(s, facts, h->pid != 1);
	else if (strcmp(h->parent_command, "s6-supervise") == 0)
		s->kind = SUPERSERVER_S6;
	else if (is_ours(h) || is_inetd(h))
		s->kind = SUPERSERVER_OTHER;
	else
		s->kind = SUPERSERVER_STRANGER;
}

static void
decide_running(struct superserver *s, const struct superserver_facts *facts)
{
	s->running = true;
	for (size_t i = 0; i < facts->count; i++)
		if (is_systemd(&facts->holders[i])) {
			take_holder(s, facts, &facts->holders[i]);
			return;
		}
	/* One that only keeps the socket for a pool of ours is not the one to be asked. */
	for (size_t i = 0; i < facts->count; i++)
		if (is_ours(&facts->holders[i])) {
			take_holder(s, facts, &facts->holders[i]);
			return;
		}
	if (facts->count)
		take_holder(s, facts, &facts->holders[0]);
	else if (facts->enabled_system && facts->made_by_root)
		be_systemd(s, false, facts->enabled_system);
	else
		s->kind = SUPERSERVER_OTHER;	/* another user's: who it is is hidden */
}

void
superserver_decide(struct superserver *s, const struct superserver_facts *facts)
{
	*s = (struct superserver){ .kind = SUPERSERVER_NONE };
	if (facts->embedded) {
		s->kind = SUPERSERVER_EMBEDDED;
		s->running = true;
		s->pid = facts->embedded;
	} else if (facts->listening) {
		decide_running(s, facts);
	} else if (facts->enabled_user && !facts->root) {
		be_systemd(s, true, facts->enabled_user);
	} else if (facts->enabled_system) {
		be_systemd(s, false, facts->enabled_system);
	} else if (facts->enabled_user) {
		be_systemd(s, true, facts->enabled_user);
	}
}

void
superserver_address(const struct listen_address *a, char *out, size_t size)
{
	const char *host = a->host && strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;

	if (a->path)
		snprintf(out, size, "%s", a->path);
	else
		snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, a->port);
}

/* ---- finding the facts -------------------------------------------------------------------------------------- */

/* The parent of a process, and the end of its cgroup's path. */
static pid_t
parent_of(pid_t pid)
{
	char path[64];
	struct buf text = BUF(4096);
	const char *end;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if (file_read(path, 4095, &text, NULL, NULL) == 0 && (end = strrchr(text.p, ')')) &&
	    sscanf(end + 1, " %*c %d", &parent) != 1)
		parent = 0;
	buf_free(&text);
	return parent;
}

static void
unit_of(pid_t pid, char *out, size_t size)
{
	char path[64];
	struct buf text = BUF(8192);
	char *slash;

	*out = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/cgroup", (long)pid);
	if (file_read(path, 8191, &text, NULL, NULL) == 0) {
		text.p[strcspn(text.p, "\n")] = '\0';
		slash = strrchr(text.p, '/');
		snprintf(out, size, "%s", slash ? slash + 1 : "");
	}
	buf_free(&text);
}

/* The last address that a unit file or one of its drop-ins gives; `out` stays as it is when there is none. */
static void
read_address(const char *path, char *out, size_t size)
{
	struct buf text = BUF(65536);
	struct str rest;

	if (file_read(path, 65535, &text, NULL, NULL) == 0)
		for (rest = buf_view(&text); rest.n;) {
			struct str value = str_trim(str_cut(&rest, '\n')), name = str_cut(&value, '=');

			if (str_is(name, "ListenStream") && value.n)
				snprintf(out, size, "%.*s", STR_F(value));
		}
	buf_free(&text);
}

/* Whether the unit is for the address that this configuration means: somebody may run another proxy beside it. */
static bool
is_for(const char *folder, const char *link, const char *unit, const struct listen_address *a)
{
	static const char *const drop_ins[] = { "kmi-proxy-install.conf", "override.conf" };
	char path[PATH_MAX], have[300] = "", want[300];

	read_address(link, have, sizeof(have));
	for (size_t i = 0; i < sizeof(drop_ins) / sizeof(*drop_ins); i++) {
		snprintf(path, sizeof(path), "%s/%s.d/%s", folder, unit, drop_ins[i]);
		read_address(path, have, sizeof(have));
	}
	superserver_address(a, want, sizeof(want));
	return strcmp(have, want) == 0;
}

/* Our socket unit that is linked into a folder's sockets.target.wants, or NULL. */
static const char *
find_enabled(const char *folder, const struct listen_address *a)
{
	char path[PATH_MAX];

	for (size_t i = 0; folder && i < sizeof(our_sockets) / sizeof(*our_sockets); i++) {
		snprintf(path, sizeof(path), "%s/sockets.target.wants/%s", folder, our_sockets[i]);
		if (access(path, F_OK) == 0 && is_for(folder, path, our_sockets[i], a))
			return our_sockets[i];
	}
	return NULL;
}

static char *
user_folder(void)
{
	const char *config = getenv("XDG_CONFIG_HOME");

	return config && *config == '/' ? file_join(config, "systemd/user") : file_expand("~/.config/systemd/user");
}

static void
find_folder(struct superserver *s)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)parent_of(s->pid));
	n = readlink(path, s->folder, sizeof(s->folder) - 1);
	s->folder[n > 0 ? n : 0] = '\0';
}

int
superserver_find(struct superserver *s, const struct config *c, struct listeners *listeners, struct fail *f)
{
	struct superserver_holder holders[HOLDERS_MAX];
	char parents[HOLDERS_MAX][LISTENER_NAME_SIZE] = { "" }, units[HOLDERS_MAX][64];
	struct superserver_facts facts = { .holders = holders, .root = geteuid() == 0 };
	char *pid_path = file_join(c->state_dir, "proxy.pid"), *folder = user_folder();
	struct listeners l = { 0 };
	int rc = -1;

	if (!pid_path) {
		fail_memory(f);
		goto out;
	}
	facts.embedded = pidfile_read(pid_path);
	if (listener_find(&l, &c->listen, facts.embedded, f) < 0)
		goto out;
	facts.listening = l.listening;
	facts.made_by_root = l.uid == 0;
	for (; facts.count < l.count && facts.count < HOLDERS_MAX; facts.count++) {
		size_t i = facts.count;

		if (listener_command(parent_of(l.items[i].pid), parents[i]) < 0)
			parents[i][0] = '\0';
		unit_of(l.items[i].pid, units[i], sizeof(units[i]));
		holders[i] = (struct superserver_holder){ l.items[i].pid, l.items[i].command, parents[i], units[i] };
	}
	if (access("/run/systemd/system", F_OK) == 0) {
		facts.enabled_system = find_enabled("/etc/systemd/system", &c->listen);
		facts.enabled_user = find_enabled(folder, &c->listen);
	}
	superserver_decide(s, &facts);
	if (s->kind == SUPERSERVER_S6)
		find_folder(s);
	if (listeners) {
		*listeners = l;
		l = (struct listeners){ 0 };
	}
	rc = 0;
out:
	listener_free(&l);
	free(pid_path);
	free(folder);
	return rc;
}

const char *
superserver_name(enum superserver_kind kind)
{
	switch (kind) {
	case SUPERSERVER_NONE:
		break;
	case SUPERSERVER_EMBEDDED:
		return "embedded";
	case SUPERSERVER_SYSTEMD:
		return "systemd";
	case SUPERSERVER_S6:
		return "s6";
	case SUPERSERVER_OTHER:
		return "other";
	case SUPERSERVER_STRANGER:
		return "stranger";
	}
	return NULL;
}
