/*
 * program: what every main starts and ends with.
 *
 * Libraries never print; this file is the one exception, and only mains call
 * it. kmi-handle must not call what prints on stdout: there fd 1 is the client.
 *
 *	int
 *	main(int argc, char **argv)
 *	{
 *		struct program_call call = { NAME, usage, ":h", options };
 *
 *		program_start();
 *		while ((opt = program_option(&call, argc, argv)) >= 0)
 *			switch (opt) {
 *			...
 *			}
 *		if (call.over)
 *			return call.code;
 *		if ((code = program_config(NAME, &c, NULL)))
 *			return code;
 *		...
 *		return program_end(NAME, 0);
 *	}
 *
 * The ':' at the front of getopt's letters keeps it from printing messages of
 * its own. NAME is the program's name as a person calls it ("kmi-config").
 * Formats and usage texts are looked up as text_say() does; callers need no _().
 */
#ifndef KMI_BASE_PROGRAM_H
#define KMI_BASE_PROGRAM_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"

#include <getopt.h>
#include <stdbool.h>

/*
 * Descriptors 0 to 2 are open (/dev/null where they were not), the umask is
 * 077, SIGPIPE is ignored, and a crash leaves no core: it would hold keys. Until
 * the configuration is read, KMI_LOCALE in the environment says which language is spoken.
 */
void program_start(void);
/* Before a program that is not ours is exec'd: SIGPIPE means what it expects, and the proxy's token is not its business. */
void program_before_stranger(void);

/* Some superservers (inetd) put the connection on 2 as well; what we have to say is not for the client. */
void program_leave_client_alone(void);

/*
 * The configured language from now on, if the configuration can be read: for what is said without it. Help and
 * errors in the command line below do so by themselves.
 */
void program_language(void);
/* A terminal that hangs up means it; a supervisor has no terminal, and SIGHUP is how it asks for new settings. */
bool program_has_terminal(void);

/* Whether that is a file that may be executed. access() alone says so of a folder, too. */
bool program_can_run(const char *path);
/* The path of a program of ours that lies in the folder of this one; -1 when it cannot be run. */
int program_beside(const char *program, char *path, size_t size, struct fail *f);

/* What a tool has to say, on stdout, without any secret; the buffer is freed. */
void program_print(struct buf *out);
/* The same for a line or two. On a terminal what is wider than its window is wrapped, here and in all that follows. */
void program_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Flushes stdout and returns `code`; 1 when the output could not be written. */
int program_end(const char *name, int code);

/* `NAME: error: text`, and `NAME: hint: ...` when there is one. Returns the exit code. */
int program_fail(const char *name, const struct fail *f);
void program_warn(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* config_load() with its warnings and errors said on stderr. 0, or the exit code. */
int program_config(const char *name, struct config *c, const char *const *args);

/* A command line. The tool gets its own options one by one; those that are the same everywhere are dealt with on the way. */
struct program_call {
	const char *name, *usage, *letters;	/* the letters are getopt's */
	const struct option *options;
	bool json, plain;		/* --json ('j', after which English is spoken), --plain and --no-color ('p') */
	bool over;			/* after the last option: all is said (--help, an error), the exit code is `code` */
	int code;
};

/* The next option, -1 after the last one. */
int program_option(struct program_call *call, int argc, char **argv);

/* The answer to --help, on stdout. Returns the exit code. */
int program_help(const char *name, const char *usage);
/* A wrong command line: the error, and where help is to be had. Returns 2. */
int program_usage(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for a word that is none of a NULL-ended list: the error ("unknown command %s"), and the nearest as a hint. */
int program_unknown(const char *name, const char *given, const char *const *known, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int program_option_unknown(const char *name, const char *given, const char *const *known);

#endif
