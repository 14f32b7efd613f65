#include "base/superserver.h"

#include "check.h"

struct situation {
	const char *name;
	struct superserver_facts facts;
	struct superserver_holder holders[2];
	enum superserver_kind kind;
	bool running, user;
	const char *unit;
};

#define SOCKET "kmi-proxy.socket"
#define POOL "kmi-proxy-pool.socket"

static struct situation table[] = {
	{ "nothing at all", { 0 }, { { 0 } }, SUPERSERVER_NONE, false, false, "" },
	{ "kmi proxy's own pool", { .embedded = 7, .listening = true, .count = 1, .enabled_system = SOCKET },
	    { { 7, "kmi-handle", "systemd", "session-1.scope" } }, SUPERSERVER_EMBEDDED, true, false, "" },
	{ "systemd, a process a connection", { .listening = true, .count = 1, .enabled_system = SOCKET, .root = true },
	    { { 1, "systemd", "", "init.scope" } }, SUPERSERVER_SYSTEMD, true, false, SOCKET },
	{ "the same where PID 1 calls itself init", { .listening = true, .count = 1 }, { { 1, "init", "", "" } },
	    SUPERSERVER_SYSTEMD, true, false, SOCKET },
	{ "systemd with the pool", { .listening = true, .count = 2, .enabled_system = SOCKET },
	    { { 1, "systemd", "", "init.scope" }, { 70, "kmi-handle", "systemd", "kmi-proxy-pool.service" } },
	    SUPERSERVER_SYSTEMD, true, false, POOL },
	{ "the pool not yet started", { .listening = true, .count = 1, .enabled_system = POOL },
	    { { 1, "systemd", "", "init.scope" } }, SUPERSERVER_SYSTEMD, true, false, POOL },
	{ "a user's systemd", { .listening = true, .count = 1, .enabled_user = POOL, .enabled_system = SOCKET },
	    { { 812, "systemd", "systemd", "init.scope" } }, SUPERSERVER_SYSTEMD, true, true, POOL },
	{ "PID 1 hidden from a user, but root made the socket",
	    { .listening = true, .made_by_root = true, .enabled_system = SOCKET }, { { 0 } }, SUPERSERVER_SYSTEMD, true, false,
	    SOCKET },
	{ "another user's", { .listening = true, .enabled_system = SOCKET }, { { 0 } }, SUPERSERVER_OTHER, true, false, "" },
	{ "s6 with the pool", { .listening = true, .count = 1 }, { { 9, "kmi-handle", "s6-supervise", "" } }, SUPERSERVER_S6,
	    true, false, "" },
	{ "s6 with a holder of the socket", { .listening = true, .count = 2 },
	    { { 8, "s6-fdholderd", "s6-supervise", "" }, { 9, "kmi-handle", "s6-supervise", "" } }, SUPERSERVER_S6, true, false,
	    "" },
	{ "s6-ipcserver", { .listening = true, .count = 1 }, { { 9, "s6-ipcserverd", "s6-supervise", "" } }, SUPERSERVER_S6,
	    true, false, "" },
	{ "tcpserver in a terminal", { .listening = true, .count = 1 }, { { 9, "tcpserver", "bash", "" } }, SUPERSERVER_OTHER,
	    true, false, "" },
	{ "systemd-socket-activate, as far as its name goes", { .listening = true, .count = 1 },
	    { { 9, "systemd-socket-", "bash", "" } }, SUPERSERVER_OTHER, true, false, "" },
	{ "a stranger, though our unit is enabled", { .listening = true, .count = 1, .enabled_system = SOCKET },
	    { { 9, "nginx", "systemd", "nginx.service" } }, SUPERSERVER_STRANGER, true, false, "" },
	{ "enabled and stopped: a user's own goes before the system's", { .enabled_user = SOCKET, .enabled_system = POOL },
	    { { 0 } }, SUPERSERVER_SYSTEMD, false, true, SOCKET },
	{ "for root the system's", { .enabled_user = SOCKET, .enabled_system = POOL, .root = true }, { { 0 } },
	    SUPERSERVER_SYSTEMD, false, false, POOL },
	{ "root with units of its own", { .enabled_user = SOCKET, .root = true }, { { 0 } }, SUPERSERVER_SYSTEMD, false, true,
	    SOCKET },
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct situation *t = &table[i];
		struct superserver s;

		t->facts.holders = t->holders;
		superserver_decide(&s, &t->facts);
		printf("# %s\n", t->name);
		CHECK_INT(s.kind, t->kind);
		CHECK(s.running == t->running);
		CHECK(s.user == t->user);
		CHECK_STR(s.unit, t->unit);
	}
	CHECK_STR(superserver_name(SUPERSERVER_S6), "s6");
	CHECK(superserver_name(SUPERSERVER_NONE) == NULL);
	return check_done();
}
