/*
 * kmi-proxy: the embedded pool, started, stopped and looked at by hand.
 *
 *	kmi-proxy [--foreground]	starts kmi-handle on the address of KMI_PROXY_LISTEN
 *	kmi-proxy-stop [-y] [-f]	lets running answers finish, then ends it
 *	kmi-proxy-restart
 *	kmi-proxy-logs [--no-follow] [--lines N] [--app] [--since TIME]
 *
 * One program under four names. Where a supervisor runs the proxy it leaves all that to kmi-proxy-units;
 * install and uninstall are kmi-proxy-install. It binds the address itself, gives the listening socket to
 * kmi-handle (where a certificate is set, to kmi-tls, which starts a pool behind itself), and waits until
 * that answers. Only a process that proxy.pid names and that is ours is ever stopped.
 */
#include "base/bind.h"
#include "base/clock.h"
#include "base/handover.h"
#include "base/listener.h"
#include "base/passed.h"
#include "base/pidfile.h"
#include "base/probe.h"
#include "base/program.h"
#include "base/running.h"
#include "base/stamp.h"
#include "base/superserver.h"
#include "base/text.h"
#include "books/events.h"
#include "books/trace_filter.h"
#include "keys/auths.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 10000		/* a started pool answers by then */
#define LOG_MAX (64u << 20)	/* of a log, for --since */
#define ARGUMENTS_MAX 16
#define KILL_MS 5000		/* after a stop with -f */

static const char *name;

static const char usage[] =
    "usage: kmi proxy [--foreground]\n"
    "       kmi proxy-stop [-y] [-f]\n"
    "       kmi proxy-restart\n"
    "       kmi proxy-logs [--no-follow] [--lines N] [--app] [--since 10m]\n"
    "       kmi proxy install | uninstall [--user | --system] [--pool] [--tls]\n"
    "\n"
    "Starts the proxy on the address of KMI_PROXY_LISTEN, in the background unless\n"
    "told otherwise; stops it, letting running answers finish; shows what it said.\n"
    "Where systemd or s6 runs it, they are asked to do that. `install` leaves it to\n"
    "systemd: kmi proxy install --help tells more.\n"
    "\n"
    "      --foreground  stay, with messages on stderr\n"
    "  -y, --yes         do not ask\n"
    "  -f, --force       end it at once when it does not end by itself\n"
    "      --no-follow   show the last lines and end\n"
    "      --lines N     how many (20)\n"
    "      --app         the log of events, kmi.log\n"
    "      --since TIME  what is younger than that: 90s, 10m, 2h, 3d, 1w, or a time\n"
    "  -h, --help        this text\n";

struct choices {
	bool foreground, force, no_follow, app;
	long lines;
	time_t since;		/* 0 = not given */
};

/* Found once, freed once. */
static struct {
	char *pid, *lock, *logs, *out, *app;
} paths;

static bool
find_paths(const struct config *c)
{
	paths.pid = file_join(c->state_dir, "proxy.pid");
	paths.lock = file_join(c->state_dir, "proxy.lock");
	paths.logs = file_join(c->state_dir, "logs");
	paths.out = file_join(c->state_dir, "logs/proxy.out");
	paths.app = file_join(c->state_dir, "logs/kmi.log");
	return paths.pid && paths.lock && paths.logs && paths.out && paths.app;
}

static void
free_paths(void)
{
	free(paths.pid);
	free(paths.lock);
	free(paths.logs);
	free(paths.out);
	free(paths.app);
}

static void
say_address(const struct config *c, const struct listen_address *a, bool tls)
{
	if (a->path)
		program_say("  address   unix:%s, base path %s\n", a->path, c->proxy_base_path);
	else
		program_say("  address   %s://%s%s%s:%d%s\n", tls ? "https" : "http", strchr(a->host, ':') ? "[" : "", a->host,
		    strchr(a->host, ':') ? "]" : "", a->port, c->proxy_base_path);
}

static void
say_url(const struct config *c)
{
	say_address(c, &c->listen, config_listen_is_tls(c));
	if (config_has_tls(c) && !config_listen_is_tls(c))
		say_address(c, &c->tls_listen, true);
}

/* ---- starting ----------------------------------------------------------------------------------------------- */

/* What is listened on: plain HTTP, TLS, or both; kmi-tls starts a pool behind itself, on a socket that it may have already. */
struct sockets {
	struct passed items[3];
	int count;
	const char *program;
};

static int
add_socket(struct sockets *s, const char *kind, int fd)
{
	struct passed *p = &s->items[s->count];

	if (fd < 0)
		return -1;
	p->fd = fd;
	snprintf(p->name, sizeof(p->name), "%s", kind);
	s->count++;
	return 0;
}

/* What the pool before us has given, if there was one. */
struct given {
	struct passed items[PASSED_MAX];
	int count;
};

/* One that was given is taken out of what is left of them. */
static int
listen_on(struct given *given, const struct listen_address *a, const char *text, const char *setting, struct fail *f)
{
	for (int i = 0; i < given->count; i++)
		if (bind_is_at(given->items[i].fd, a)) {
			int fd = given->items[i].fd;

			given->items[i] = given->items[--given->count];
			return fd;
		}
	return bind_listen(a, text, setting, f);
}

static void
close_given(struct given *given)
{
	for (int i = 0; i < given->count; i++)
		close(given->items[i].fd);
	given->count = 0;
}

static int
bind_sockets(const struct config *c, struct sockets *s, struct given *given, struct fail *f)
{
	bool tls = config_has_tls(c), too = tls && !config_listen_is_tls(c);

	*s = (struct sockets){ .program = tls ? "kmi-tls" : "kmi-handle" };
	if (add_socket(s, config_listen_is_tls(c) ? "tls" : "http",
		listen_on(given, &c->listen, c->proxy_listen, "KMI_PROXY_LISTEN", f)) < 0)
		return -1;
	if (too && add_socket(s, "tls",
		listen_on(given, &c->tls_listen, c->proxy_tls_listen, "KMI_PROXY_TLS_LISTEN", f)) < 0) {
		close(s->items[0].fd);
		return -1;
	}
	for (int i = 0; tls && i < given->count; i++)
		if (strcmp(given->items[i].name, "kmi-tls") == 0) {
			add_socket(s, "kmi-tls", given->items[i].fd);
			given->items[i] = given->items[--given->count];
			break;
		}
	return 0;
}

/* Becomes the program that serves, which lies beside us. */
static int
become_server(const struct sockets *s, struct fail *f)
{
	char path[PATH_MAX];

	if (program_beside(s->program, path, sizeof(path), f) < 0 || passed_give(s->items, s->count, f) < 0)
		return -1;
	execl(path, s->program, (char *)NULL);
	return fail_sys(f, "run %s", path);
}

/*
 * A certificate that cannot be used is told here and now, not in a log. kmi-tls looks at it itself: nobody
 * else reads the key. 0, or the exit code; one that has ended is only warned of.
 */
static int
check_certificate(const struct config *c)
{
	char path[PATH_MAX];
	struct fail f;
	int status;
	pid_t pid;

	if (!config_has_tls(c))
		return 0;
	if (program_beside("kmi-tls", path, sizeof(path), &f) < 0)
		return program_fail(name, &f);
	pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execl(path, "kmi-tls", "--check", (char *)NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		fail_sys(&f, "run %s", path);
		return program_fail(name, &f);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 0;
}

/* Detached from the terminal, its messages in logs/proxy.out. */
static void
be_daemon(const struct sockets *s)
{
	struct fail f;
	int fd = open(paths.out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	dup2(null, 0);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
	}
	become_server(s, &f);
	_exit(program_fail(name, &f));
}

static void
say_mode(bool dry_run)
{
	program_say("  mode      %s\n", dry_run ? _("dry run: nothing is sent upstream; KMI_DRY_RUN=0 goes live") : _("live"));
}

static void
say_started(const struct config *c, pid_t pid)
{
	struct auths a;
	struct fail f;

	program_say("The proxy runs (process %ld).\n", (long)pid);
	say_url(c);
	say_mode(c->dry_run);
	if (auths_scan(&a, c, &f) < 0)
		program_say("  keys      none: %s\n", f.text);
	else
		program_say("  keys      %zu usable in %s, skipped files: %zu\n", a.count, c->auths_dir, a.skipped_count);
	auths_free(&a);
	program_say("  stop it   kmi proxy-stop\n");
}

/* Nothing can be written to the state folder. */
static int
fail_folder(struct fail *f)
{
	if (f->kind == FAIL_SYSTEM && !f->hint[0])
		fail_hint(f, "make room or give leave there, or name another folder in KMI_STATE_DIR");
	return program_fail(name, f);
}

static int
keep_pid(pid_t pid, struct fail *f)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld\n", (long)pid);
	return file_replace(paths.pid, str_from(text), false, f);
}

/* Stays the process that was started, until it is that program. */
static int
start_in_foreground(const struct config *c, const struct sockets *s)
{
	struct fail f;

	if (keep_pid(getpid(), &f) < 0)
		program_warn(name, "%s", f.text);
	event_audit(c, "proxy_start", "listen", c->proxy_listen, "mode", "foreground", NULL);
	become_server(s, &f);
	return program_fail(name, &f);
}

static int
start_in_background(const struct config *c, const struct sockets *s)
{
	struct fail f;
	pid_t pid = fork();

	if (pid < 0) {
		fail_sys(&f, "fork");
		return program_fail(name, &f);
	}
	if (pid == 0)
		be_daemon(s);
	for (int i = 0; i < s->count; i++)
		close(s->items[i].fd);
	/* The socket listens already, so the question waits for the pool. */
	if (!probe_answers(&c->listen, ANSWER_MS, pid)) {
		kill(pid, SIGTERM);
		fail_set(&f, FAIL_SYSTEM, "the proxy does not answer on %s", c->proxy_listen);
		fail_hint(&f, "its last words are in %s", paths.out);
		return program_fail(name, &f);
	}
	if (keep_pid(pid, &f) < 0) {
		kill(pid, SIGTERM);
		return fail_folder(&f);
	}
	event_audit(c, "proxy_start", "listen", c->proxy_listen, "mode", c->dry_run ? "dry_run" : "live", NULL);
	say_started(c, pid);
	return 0;
}

/*
 * Who starts or restarts it does so alone; the lock ends with this process, or when it becomes the server.
 * Who stays in front can be stopped without a pid file, so a folder that cannot be written is no reason not
 * to serve.
 */
static int
be_alone(bool foreground)
{
	struct fail f;

	if (file_mkdirs(paths.logs, &f) >= 0 && file_lock(paths.lock, ANSWER_MS, &f) >= 0)
		return 0;
	if (!foreground || f.kind != FAIL_SYSTEM)
		return fail_folder(&f);
	program_warn(name, "%s", f.text);
	return 0;
}

/* Whoever starts it with other settings than it has does not get what he asks for, and should know. */
static void
say_running(const struct config *c, pid_t pid)
{
	struct superserver by = { .kind = SUPERSERVER_EMBEDDED, .pid = pid };
	struct running r;

	program_say("The proxy runs already (process %ld).\n", (long)pid);
	say_url(c);
	running_find(&r, c, &by);
	if (r.known)
		say_mode(r.dry_run);
	if (*r.differs) {
		program_warn(name, "the proxy was started with other settings than those of here: %s", r.differs);
		program_say("  change it kmi proxy-restart\n");
	}
}

static int
start(const struct config *c, bool foreground, struct given *given)
{
	struct fail f = { 0 };
	pid_t pid = pidfile_read(paths.pid);
	struct sockets sockets;
	int code;

	if (pid > 0 && !given->count) {
		say_running(c, pid);
		return 0;
	}
	if ((code = check_certificate(c)))
		return code;
	if (bind_sockets(c, &sockets, given, &f) < 0)
		return program_fail(name, &f);
	close_given(given);
	return foreground ? start_in_foreground(c, &sockets) : start_in_background(c, &sockets);
}

/* ---- stopping ----------------------------------------------------------------------------------------------- */

static bool
is_gone(pid_t pid, int64_t until)
{
	while (pidfile_read(paths.pid) == pid) {
		if (clock_mono_ms() >= until)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

static int
stop(const struct config *c, bool force)
{
	pid_t pid = pidfile_read(paths.pid);
	struct listeners l;
	struct fail f;

	if (pid <= 0) {
		if (listener_find(&l, &c->listen, 0, NULL) == 0 && l.listening) {
			fail_set(&f, FAIL_SYSTEM, "%s is held by %s %ld, which kmi proxy did not start", c->proxy_listen,
			    l.count ? l.items[0].command : _("a process"), l.count ? (long)l.items[0].pid : 0L);
			fail_hint(&f, "stop it by the means that started it");
			listener_free(&l);
			return program_fail(name, &f);
		}
		unlink(paths.pid);
		program_say("The proxy does not run.\n");
		return 0;
	}
	if (kill(pid, SIGTERM) < 0) {
		fail_sys(&f, "end process %ld", (long)pid);
		return program_fail(name, &f);
	}
	if (!is_gone(pid, clock_mono_ms() + (force ? KILL_MS : (c->proxy_drain_seconds + 5) * 1000))) {
		if (!force) {
			fail_set(&f, FAIL_SYSTEM, "process %ld still finishes its answers", (long)pid);
			fail_hint(&f, "wait, or end it at once with kmi proxy-stop -f");
			return program_fail(name, &f);
		}
		kill(pid, SIGKILL);
		is_gone(pid, clock_mono_ms() + KILL_MS);
	}
	unlink(paths.pid);
	if (c->listen.path)
		unlink(c->listen.path);
	if (c->tls_listen.path && config_has_tls(c))
		unlink(c->tls_listen.path);
	event_audit(c, "proxy_stop", NULL);
	program_say("The proxy has stopped.\n");
	return 0;
}

/* ---- restarting --------------------------------------------------------------------------------------------- */

static void
end_process(pid_t pid)
{
	int64_t until = clock_mono_ms() + KILL_MS;

	while (kill(pid, 0) == 0) {
		if (clock_mono_ms() >= until) {
			kill(pid, SIGKILL);
			return;
		}
		poll(NULL, 0, 20);
	}
}

/*
 * The old pool gives its listening sockets and finishes its answers beside the new one. One that does not is
 * stopped first; then clients are refused for a moment.
 */
static int
restart(const struct config *c, const struct choices *o)
{
	struct given given = { .count = 0 };
	pid_t pid = pidfile_read(paths.pid);
	struct fail f;
	bool handed;
	int code;

	if ((code = check_certificate(c)))
		return code;
	if (pid > 0)
		given.count = handover_ask(c->state_dir, pid, given.items, &f);
	handed = given.count > 0;
	if (handed) {
		event_audit(c, "proxy_stop", NULL);
	} else {
		given.count = 0;
		if (stop(c, o->force))
			return 1;
	}
	code = start(c, o->foreground, &given);
	close_given(&given);
	if (handed && code == 0)
		program_say("The proxy has begun anew. Running answers end beside it, nobody was refused.\n");
	if (handed && o->force)
		end_process(pid);
	return code;
}

/* ---- what it said ------------------------------------------------------------------------------------------- */

/* The time of a line: of an event in JSON, or before what a program said; a line without one belongs to that before it. */
static struct str
time_of(struct str line)
{
	size_t from = str_starts(line, "{") ? sizeof("{\"ts\": \"") - 1 : 0;

	return str_sub(line, from, from + STAMP_LENGTH);
}

/* Where in a log the lines begin that are no older than that. The file may be written to meanwhile. */
static long long
offset_since(const char *path, time_t since)
{
	struct buf text = BUF(LOG_MAX);
	time_t ts;
	struct str rest, line;
	long long at = 0;

	if (file_read(path, LOG_MAX, &text, NULL, NULL) == 0)
		for (rest = buf_view(&text); rest.n; at += (long long)line.n + 1) {
			line = str_cut(&rest, '\n');
			if (clock_parse(time_of(line), &ts) == 0 && ts >= since)
				break;
		}
	buf_free(&text);
	return at;
}

/* tail does this well; why write it again. */
static int
logs(const struct choices *o)
{
	const char *path = o->app ? paths.app : paths.out;
	char from[32];
	struct fail f;

	if (access(path, R_OK) < 0) {
		fail_sys(&f, "read %s", path);
		fail_hint(&f, "it is written when `kmi proxy` starts the proxy");
		return program_fail(name, &f);
	}
	if (o->since)
		snprintf(from, sizeof(from), "-c+%lld", offset_since(path, o->since) + 1);
	else
		snprintf(from, sizeof(from), "-n%ld", o->lines);
	program_before_stranger();
	execlp("tail", "tail", from, o->no_follow ? "--" : "-F", path, (char *)NULL);
	fail_sys(&f, "run tail");
	return program_fail(name, &f);
}

/* ---- who is to do it ---------------------------------------------------------------------------------------- */

/* Leaves it to another program, under our name. */
static int
hand_over(const char *program, const char *verb, char **rest, const struct choices *o)
{
	char path[PATH_MAX], lines[24], since[32], *argv[ARGUMENTS_MAX];
	long long ago = o && o->since ? (long long)(clock_wall() - o->since) : 0;
	struct fail f;
	int n = 0;

	argv[n++] = (char *)(uintptr_t)name;
	argv[n++] = (char *)(uintptr_t)verb;
	if (o) {
		snprintf(lines, sizeof(lines), "--lines=%ld", o->lines);
		snprintf(since, sizeof(since), "--since=%lld", o->since && ago < 1 ? 1 : ago);
		argv[n++] = lines;
		argv[n++] = since;
		if (o->no_follow)
			argv[n++] = (char *)(uintptr_t)"--no-follow";
	}
	while (rest && *rest && n < ARGUMENTS_MAX - 1)
		argv[n++] = *rest++;
	argv[n] = NULL;
	if (program_beside(program, path, sizeof(path), &f) == 0) {
		execv(path, argv);
		fail_sys(&f, "run %s", path);
	}
	return program_fail(name, &f);
}

static int
act(const struct config *c, const struct choices *o)
{
	const char *verb = strncmp(name, "kmi-proxy-", 10) == 0 ? name + 10 : "start";
	struct superserver by;
	struct fail f;
	int code;

	if (superserver_find(&by, c, NULL, &f) < 0)
		return program_fail(name, &f);
	if ((by.kind == SUPERSERVER_SYSTEMD || by.kind == SUPERSERVER_S6) && !o->foreground && !o->app)
		return hand_over("kmi-proxy-units", verb, NULL, o);
	if (strcmp(verb, "stop") == 0)
		return stop(c, o->force);
	if (strcmp(verb, "logs") == 0)
		return logs(o);
	if ((code = be_alone(o->foreground)))
		return code;
	if (strcmp(verb, "restart") == 0)
		return restart(c, o);
	return start(c, o->foreground, &(struct given){ .count = 0 });
}

/* ---- */

static const struct option options[] = {
	{ "foreground", no_argument, NULL, 'F' },
	{ "force", no_argument, NULL, 'f' },
	{ "yes", no_argument, NULL, 'y' },
	{ "no-follow", no_argument, NULL, 'n' },
	{ "lines", required_argument, NULL, 'l' },
	{ "app", no_argument, NULL, 'a' },
	{ "since", required_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

int
main(int argc, char **argv)
{
	struct program_call call = { .usage = usage, .letters = ":hyf", .options = options };
	const char *slash = strrchr(argv[0], '/');
	struct choices o = { .lines = 20 };
	const char *since = NULL;
	struct config c;
	struct fail f = { 0 };
	int opt, code;

	name = slash ? slash + 1 : argv[0];
	call.name = name;
	program_start();
	if (argc > 1 && strcmp(name, "kmi-proxy") == 0 && (strcmp(argv[1], "install") == 0 || strcmp(argv[1], "uninstall") == 0))
		return hand_over("kmi-proxy-install", argv[1], argv + 2, NULL);
	while ((opt = program_option(&call, argc, argv)) >= 0) {
		long long n;

		switch (opt) {
		case 'F':
			o.foreground = true;
			break;
		case 'f':
			o.force = true;
			break;
		case 'y':	/* nothing is asked; kept because scripts give it */
			break;
		case 'n':
			o.no_follow = true;
			break;
		case 'l':
			if (str_int(str_from(optarg), 0, 1000000, &n) < 0)
				return program_usage(name, "--lines takes a number, but was given '%s'", optarg);
			o.lines = (long)n;
			break;
		case 'a':
			o.app = true;
			break;
		case 's':
			since = optarg;
			break;
		}
	}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(name, "it takes no arguments, but was given '%s'", argv[optind]);
	if ((code = program_config(name, &c, NULL)))
		return code;
	if (!find_paths(&c))
		return 1;
	/* In the configured zone, so not before. */
	if (since && trace_filter_since(since, clock_wall(), &o.since, &f) < 0)
		code = program_fail(name, &f);
	else
		code = act(&c, &o);
	free_paths();
	config_free(&c);
	return program_end(name, code);
}
