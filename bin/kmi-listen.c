/*
 * kmi-listen: binds the address of KMI_PROXY_LISTEN, and becomes another program that has it as descriptor 0.
 *
 *	kmi-listen PROGRAM [ARGUMENT...]
 *
 * For supervisors that do not bind themselves:
 *
 *	kmi-listen kmi-handle --ready-fd 3			a pool
 *	kmi-listen s6-fdholder-store /run/hold kmi		the socket, to be kept while pools come and go
 */
#include "base/bind.h"
#include "base/program.h"

#include <signal.h>
#include <unistd.h>

#define NAME "kmi-listen"

static const char usage[] =
    "usage: kmi-listen PROGRAM [ARGUMENT...]\n"
    "\n"
    "Listens on the address of KMI_PROXY_LISTEN and runs PROGRAM with that socket as\n"
    "descriptor 0: kmi-handle, which is a pool then, or one that keeps the socket.\n";

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	struct program_call call = { .name = NAME, .usage = usage, .letters = "+:h", .options = options };
	struct fail f = { 0 };
	struct config c;
	int code, fd;

	program_start();
	while (program_option(&call, argc, argv) >= 0)
		continue;	/* it has no options of its own */
	if (call.over)
		return call.code;
	if (optind == argc)
		return program_usage(NAME, "it needs a program to run");
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	fd = bind_listen(&c.listen, c.proxy_listen, "KMI_PROXY_LISTEN", &f);
	if (fd < 0)
		return program_fail(NAME, &f);
	if (dup2(fd, 0) < 0) {
		fail_sys(&f, "pass on the socket");
		return program_fail(NAME, &f);
	}
	close(fd);
	config_free(&c);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[optind], argv + optind);
	fail_sys(&f, "run %s", argv[optind]);
	return program_fail(NAME, &f);
}
