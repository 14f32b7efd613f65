/*
 * kmi-proxy-units: what kmi proxy, proxy-stop, proxy-restart and proxy-logs do where systemd or s6 runs the
 * proxy. kmi-proxy runs it, under its own name.
 *
 *	kmi-proxy-units start|stop|restart|logs [--lines=N] [--since=SECONDS] [--no-follow]
 *
 * A restart is one that nobody notices: the pool begins anew on its socket, and a process a connection needs none.
 */
#include "base/program.h"
#include "base/superserver.h"
#include "base/systemctl.h"
#include "base/text.h"
#include "books/events.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

static const char *name;

/* ---- systemd ------------------------------------------------------------------------------------------------ */

/* The service that a socket starts, where it is one for all connections. */
static const char *
service_of(const struct superserver *by)
{
	return strcmp(by->unit, "kmi-tls.socket") == 0 ? "kmi-tls.service" :
	    strcmp(by->unit, "kmi-proxy-pool.socket") == 0 ? "kmi-proxy-pool.service" : NULL;
}

/* kmi-tls beside it, which is started, stopped and renewed with it. */
static bool
has_tls(const struct superserver *by, const char *state)
{
	return strcmp(by->unit, "kmi-tls.socket") != 0 && systemctl_is(by->user, state, "kmi-tls.socket");
}

static int
refused(const struct superserver *by)
{
	struct fail f;

	fail_set(&f, FAIL_SYSTEM, "systemd did not do that with %s", by->unit);
	fail_hint(&f, "systemctl %sstatus %s tells why; the machine's units need root", by->user ? "--user " : "", by->unit);
	return program_fail(name, &f);
}

static int
start_systemd(const struct config *c, const struct superserver *by)
{
	const char *service = service_of(by);

	if (by->running) {
		program_say("The proxy runs already: systemd holds %s (%s).\n", c->proxy_listen, by->unit);
		return 0;
	}
	if (systemctl(by->user, SYSTEMCTL_LOUD, "start", by->unit, service, NULL) < 0)
		return refused(by);
	if (has_tls(by, "enabled"))
		systemctl(by->user, SYSTEMCTL_LOUD, "start", "kmi-tls.socket", NULL);
	event_audit(c, "proxy_start", "listen", c->proxy_listen, "unit", by->unit, NULL);
	program_say("The proxy runs: systemd holds %s (%s).\n", c->proxy_listen, by->unit);
	return 0;
}

static int
stop_systemd(const struct config *c, const struct superserver *by)
{
	const char *service = service_of(by);

	if (!by->running) {
		program_say("The proxy does not run.\n");
		return 0;
	}
	if (has_tls(by, "active"))
		systemctl(by->user, SYSTEMCTL_LOUD, "stop", "kmi-tls.socket", "kmi-tls.service", NULL);
	if (systemctl(by->user, SYSTEMCTL_LOUD, "stop", by->unit, service, NULL) < 0)
		return refused(by);
	/* Answers in hand are finished; connections at rest are closed. */
	if (!service)
		systemctl(by->user, SYSTEMCTL_QUIET, "stop", "kmi-proxy@*.service", NULL);
	event_audit(c, "proxy_stop", "unit", by->unit, NULL);
	program_say("The proxy has stopped. At the next boot it starts again; kmi proxy uninstall ends that.\n");
	return 0;
}

static int
restart_systemd(const struct config *c, const struct superserver *by)
{
	const char *service = service_of(by);

	if (!by->running)
		return start_systemd(c, by);
	if (has_tls(by, "active"))
		systemctl(by->user, SYSTEMCTL_LOUD, "reload-or-restart", "kmi-tls.service", NULL);
	if (!service) {
		program_say("Nothing to restart: every connection starts a new process, with the settings as they are then.\n");
		return 0;
	}
	systemctl(by->user, SYSTEMCTL_QUIET, "reset-failed", service, NULL);
	if (systemctl(by->user, SYSTEMCTL_LOUD, "reload-or-restart", service, NULL) < 0)
		return refused(by);
	event_audit(c, "proxy_restart", "unit", service, NULL);
	program_say("The proxy has begun anew. Running answers end beside it, nobody was refused.\n");
	return 0;
}

static int
logs_systemd(const struct superserver *by, const char *lines, const char *since, bool follow)
{
	const char *field = by->user ? "USER_UNIT" : "UNIT", *argv[ARGUMENTS_MAX] = { "journalctl" };
	char units[5][64], span[40];
	struct fail f;
	int n = 1;

	argv[n++] = by->user ? "--user" : "--system";
	argv[n++] = "--no-hostname";
	if (since) {
		snprintf(span, sizeof(span), "--since=-%ss", since);
		argv[n++] = span;
	} else {
		argv[n++] = "-n";
		argv[n++] = lines;
	}
	argv[n++] = follow ? "--follow" : "--no-pager";
	argv[n++] = "SYSLOG_IDENTIFIER=kmi";
	/* And what the manager says of the units themselves. */
	for (size_t i = 0; i < 5; i++) {
		static const char *const told[] = { "kmi-proxy.socket", "kmi-proxy-pool.socket", "kmi-proxy-pool.service",
			"kmi-tls.socket", "kmi-tls.service" };

		snprintf(units[i], sizeof(units[i]), "%s=%s", field, told[i]);
		argv[n++] = "+";
		argv[n++] = units[i];
	}
	fflush(stdout);
	program_before_stranger();
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fail_sys(&f, "run %s", argv[0]);
	return program_fail(name, &f);
}

/* ---- s6 ----------------------------------------------------------------------------------------------------- */

/* s6-supervise is asked in the service's own folder: "d"own, "h"angup ... */
static int
ask_s6(const struct superserver *by, const char *command, const char *done)
{
	const char *const argv[] = { "s6-svc", command, by->folder, NULL };
	struct fail f;

	if (*by->folder && systemctl_run(SYSTEMCTL_LOUD, argv) == 0) {
		printf("%s\n", done);
		return 0;
	}
	fail_set(&f, FAIL_SYSTEM, "s6 runs the proxy, and could not be asked");
	fail_hint(&f, "as the user of its s6-svscan: s6-svc %s SERVICE", command);
	return program_fail(name, &f);
}

static int
act_s6(const struct superserver *by, const char *verb)
{
	struct fail f;

	if (strcmp(verb, "start") == 0) {
		program_say("The proxy runs already: s6 supervises %s (process %ld).\n", by->command, (long)by->pid);
		return 0;
	}
	if (strcmp(verb, "stop") == 0)
		return ask_s6(by, "-wDd", _("The proxy has stopped. s6-svc -u starts it again."));
	if (strcmp(verb, "logs") == 0) {
		fail_set(&f, FAIL_SYSTEM, "s6 keeps the log where its service says (log/run)");
		fail_hint(&f, "kmi proxy-logs --app shows the log of events");
		return program_fail(name, &f);
	}
	if (str_starts(str_from(by->command), "kmi-"))
		return ask_s6(by, "-h", _("The proxy has begun anew. Running answers end beside it, nobody was refused."));
	program_say("Nothing to restart: every connection starts a new process, with the settings as they are then.\n");
	return 0;
}

/* ---- */

static const struct option options[] = {
	{ "lines", required_argument, NULL, 'l' },
	{ "since", required_argument, NULL, 's' },
	{ "no-follow", no_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};

struct asked {
	const char *verb, *lines, *since;
	bool follow;
};

static int
act_systemd(const struct config *c, const struct superserver *by, const struct asked *o)
{
	if (strcmp(o->verb, "stop") == 0)
		return stop_systemd(c, by);
	if (strcmp(o->verb, "restart") == 0)
		return restart_systemd(c, by);
	if (strcmp(o->verb, "logs") == 0)
		return logs_systemd(by, o->lines, o->since, o->follow);
	return start_systemd(c, by);
}

int
main(int argc, char **argv)
{
	struct program_call call = { .letters = ":", .options = options };
	const char *slash = strrchr(argv[0], '/');
	struct asked o = { .verb = argc > 1 ? argv[1] : "", .lines = "20", .follow = true };
	struct superserver by;
	struct fail f = { 0 };
	struct config c;
	int opt, code;

	name = slash ? slash + 1 : argv[0];
	call.name = name;
	program_start();
	optind = 2;
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'l':
			o.lines = optarg;
			break;
		case 's':
			o.since = strcmp(optarg, "0") == 0 ? NULL : optarg;
			break;
		case 'n':
			o.follow = false;
			break;
		}
	if (call.over)
		return call.code;
	if ((code = program_config(name, &c, NULL)))
		return code;
	if (superserver_find(&by, &c, NULL, &f) < 0)
		code = program_fail(name, &f);
	else
		code = by.kind == SUPERSERVER_S6 ? act_s6(&by, o.verb) : act_systemd(&c, &by, &o);
	config_free(&c);
	return program_end(name, code);
}
