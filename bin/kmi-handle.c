/*
 * kmi-handle: serves ONE client connection on stdin and stdout, and exits.
 *
 *	systemd Accept=yes, s6-tcpserver, tcpserver, xinetd, systemd-socket-activate --accept --inetd
 *
 * Given a LISTENING socket instead (fd 0, or the one that systemd passes as
 * fd 3), it is a pool: one short-lived handler process per connection, forked from this warmed image.
 *
 * The way of a request: conn (bytes) -> request (strictly read) -> access (who may talk) -> keyring (a key)
 * -> forward (libcurl) -> verdict (what the answer means) -> reply -> the books (state, trace).
 * serve.c tells it in order.
 */
#include "base/config.h"
#include "base/passed.h"
#include "base/peer.h"
#include "base/program.h"
#include "books/events.h"
#include "proxy/pool.h"
#include "proxy/serve.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME "kmi-handle"

static const char usage[] =
    "usage: kmi-handle [--ready-fd N] [--help] [--version]\n"
    "\n"
    "Serves one HTTP connection on stdin and stdout, or, given a listening socket as\n"
    "fd 0 or 3, a pool of them. Settings come from KMI_* variables and files;\n"
    "`kmi config` shows them. See kmi-handle(1).\n"
    "\n"
    "      --ready-fd N  the pool writes a newline there when it accepts (s6's\n"
    "                    readiness protocol)\n"
    "  -h, --help        this text\n";

static int finish_fd = -1;

/* Asked to stop in the middle: the answer in hand is finished, no further request is read. */
static void
on_term(int sig)
{
	uint64_t one = 1;
	int saved = errno;

	(void)sig;
	if (write(finish_fd, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

/*
 * The socket that kmi-tls connects to is known by its name (FileDescriptorName=kmi-tls). It must be one that the
 * network does not reach: who connects there says himself where the client is.
 */
static int
listen_on(const struct passed *passed, struct pool_listener *l, struct fail *f)
{
	struct peer p;

	*l = (struct pool_listener){ .fd = passed->fd, .facts = SERVE_SOCKET };
	if (strcmp(passed->name, "kmi-tls") != 0)
		return 0;
	peer_of_socket(passed->fd, &p);
	if (!p.unix_socket) {
		fail_set(f, FAIL_USAGE, "the listening socket named kmi-tls is no unix socket but %s", p.local);
		return fail_hint(f, "give it a path (ListenStream=/run/...), or clients a socket of another name");
	}
	l->facts = SERVE_BEHIND_FRONT;
	return 0;
}

/*
 * The same program anew, on the same sockets: the file that was started, which an upgrade may have replaced.
 * The pool's signals stay blocked meanwhile, so that none is lost.
 */
static int
begin_anew(const char *self, const struct passed *passed, int count, char **argv, struct fail *f)
{
	if (passed_give(passed, count, f) < 0)
		return -1;
	execv(self, argv);
	return fail_sys(f, "start %s anew", self);
}

static int
be_pool(const struct passed *passed, int count, int ready_fd, const struct config *c, char **argv, struct fail *f)
{
	struct pool_listener listeners[PASSED_MAX];
	char *again[] = { argv[0], NULL };	/* who waited for us to be ready has been told */
	enum pool_end end;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	for (int i = 0; i < count; i++)
		if (listen_on(&passed[i], &listeners[i], f) < 0)
			return -1;
	if (pool_run(listeners, count, ready_fd, c, &end, f) < 0)
		return -1;
	return end == POOL_RENEWED ? begin_anew(self, passed, count, again, f) : 0;
}

/* A process a connection: every client is told that it does not work, and the log what is wrong, once a minute. */
static int
refuse_one(const struct config *c, const struct fail *why)
{
	if (event_due(c, why->text)) {
		program_fail(NAME, why);
		event_log(c, EVENT_ERROR, why->text, NULL);
	}
	serve_unconfigured(c, 0, 1);
	return fail_exit_code(why->kind);
}

static int
serve_one(const struct config *c)
{
	struct sigaction term = { .sa_handler = on_term };
	struct fail f = { 0 };
	struct serve s;

	finish_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (finish_fd >= 0)
		sigaction(SIGTERM, &term, NULL);
	if (wire_global(&f) < 0 || serve_open(&s, c, &f) < 0)
		return refuse_one(c, &f);
	serve_connection(&s, 0, 1, finish_fd, SERVE_SUPERVISED);
	serve_close(&s);
	return 0;
}

static void
pass_over(const struct fail *why, void *arg)
{
	(void)why;
	(void)arg;
}

static int
serve_misconfigured(const struct fail *why)
{
	struct config c;
	int code;

	if (config_load_around(&c, NULL, pass_over, NULL, NULL) < 0)
		return program_fail(NAME, why);
	code = refuse_one(&c, why);
	config_free(&c);
	return code;
}

/* ---- */

static bool
is_connection(int fd)
{
	struct sockaddr_storage other;
	socklen_t n = sizeof(other);

	return getpeername(fd, (struct sockaddr *)&other, &n) == 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { "ready-fd", required_argument, NULL, 'r' },
		{ "version", no_argument, NULL, 'V' }, { 0 }
	};
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct fail f = { 0 };
	struct passed passed[PASSED_MAX];
	struct config c;
	long long ready_fd = -1;
	int opt, count, code = 0;

	program_start();
	program_leave_client_alone();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'r':
			if (str_int(str_from(optarg), 3, INT32_MAX, &ready_fd) < 0)
				return program_usage(NAME, "--ready-fd takes a descriptor from 3 on, but was given '%s'", optarg);
			break;
		case 'V':
			return program_help(NAME, "kmi " KMI_VERSION "\n");
		}
	if (call.over)
		return call.code;
	if (optind < argc)
		return program_usage(NAME, "it takes no arguments, but was given '%s'", argv[optind]);
	text_english_only();	/* for the log; answers to clients are in the configured language */
	if (config_load(&c, NULL, &f) < 0)
		return is_connection(0) ? serve_misconfigured(&f) : program_fail(NAME, &f);
	count = passed_find(passed);
	if (!count && isatty(0))
		return program_usage(NAME, "stdin is a terminal, not a connection; to start the proxy: kmi proxy");
	if (!count)
		code = serve_one(&c);
	else if (be_pool(passed, count, (int)ready_fd, &c, argv, &f) < 0)
		code = program_fail(NAME, &f);
	config_free(&c);
	return code;
}
