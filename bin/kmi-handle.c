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
#include "base/program.h"
#include "proxy/pool.h"
#include "proxy/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME "kmi-handle"
#define LISTEN_FDS_START 3

static const char usage[] =
    "usage: kmi-handle [--help] [--version]\n"
    "Serves one HTTP connection on stdin and stdout, or, given a listening socket as fd 0 or 3, a pool of them.\n"
    "Settings come from KMI_* variables and files; `kmi config` shows them. See kmi-handle(1).\n";

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

static bool
is_listening(int fd)
{
	int yes = 0;
	socklen_t n = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes;
}

/* The socket to listen on, or -1 when fds 0 and 1 are a connection. */
static int
find_listener(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int fd, null;

	if (pid && fds && atol(pid) == (long)getpid() && atoi(fds) >= 1 && is_listening(LISTEN_FDS_START)) {
		fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC);
		return LISTEN_FDS_START;
	}
	if (!is_listening(0))
		return -1;
	/* Handlers close the listening socket; descriptor 0 stays taken, lest a file of theirs gets it. */
	fd = fcntl(0, F_DUPFD_CLOEXEC, LISTEN_FDS_START);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 0);
	close(null);
	return fd;
}

static int
serve_one(const struct config *c, struct fail *f)
{
	struct sigaction term = { .sa_handler = on_term };
	struct serve s;

	finish_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (finish_fd >= 0)
		sigaction(SIGTERM, &term, NULL);
	if (forward_global(f) < 0 || serve_open(&s, c, f) < 0)
		return -1;
	serve_connection(&s, 0, 1, finish_fd);
	serve_close(&s);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 }
	};
	struct fail f = { 0 };
	struct config c;
	int opt, listener, rc;

	program_start();
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0)
		switch (opt) {
		case 'h':
			return program_help(NAME, usage);
		case 'V':
			return program_help(NAME, "kmi " KMI_VERSION "\n");
		default:
			return program_option_error(NAME, argv, opt, options);
		}
	if (optind < argc)
		return program_usage(NAME, "it takes no arguments, but was given '%s'", argv[optind]);
	if (config_load(&c, NULL, &f) < 0)
		return program_fail(NAME, &f);
	listener = find_listener();
	if (listener < 0 && isatty(0))
		return program_usage(NAME, "stdin is a terminal, not a connection; to start the proxy: kmi proxy");
	rc = listener >= 0 ? pool_run(listener, &c, &f) : serve_one(&c, &f);
	config_free(&c);
	return rc < 0 ? program_fail(NAME, &f) : 0;
}
