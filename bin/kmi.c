/*
 * kmi: the front door. `kmi CMD ...` runs kmi-CMD, which is a small program of its own.
 *
 * Looked for in the folder kmi lies in, then in its libexec folder, then in
 * PATH, so that anyone can add one. The flags of the older tool are kept as other names of commands.
 */
#include "base/program.h"
#include "base/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "kmi"

static const char usage_head[] =
    "usage: kmi [--plain | --no-color] COMMAND [ARGUMENT...]\n"
    "       kmi --rotate | --auto-rotate | --trace | --all | --health | --current |\n"
    "           --status\n"
    "       kmi --help | --version\n"
    "\n"
    "Pools several Kimi API keys behind one local address.\n"
    "\n";

static const char usage_tail[] =
    "\n"
    "  --plain, --no-color  plain text from any command, or only no colours\n"
    "  --rotate and others  what the older tool called its commands; one at a time\n"
    "\n"
    "`kmi COMMAND --help` and kmi-COMMAND(1) tell more. First steps: kmi(1).\n";

/* What the known commands are for, in the order a newcomer meets them. Listed when they are installed. */
static const struct {
	const char *name, *purpose;
} known[] = {
	{ "proxy", N_("start the proxy in the background") },
	{ "proxy-stop", N_("stop it; running answers are finished") },
	{ "proxy-restart", N_("start it anew; no client is refused") },
	{ "proxy-logs", N_("what it said") },
	{ "proxy install", N_("let systemd start it; proxy uninstall takes that back") },
	{ "status", N_("how things stand, on one page") },
	{ "keys", N_("every key, and the files that give none") },
	{ "config", N_("every setting, its value and where it came from") },
	{ "rotate", N_("choose another key by hand, or let every request choose") },
	{ "health", N_("what is left of each account's quota") },
	{ "trace", N_("who was used when, and why") },
	{ "unlock", N_("lift a lock by hand") },
	{ "doctor", N_("what is wrong, and what to do") },
	{ "e2e", N_("try the whole way with real requests") },
	{ "kimi", N_("run the Kimi CLI through the proxy") },
	{ "metrics", N_("figures for a monitoring system") },
	{ "tls", N_("speak TLS in front of the proxy") },
};

/* The older tool's flags, and the commands they stand for. */
static const struct {
	const char *flag, *command, *argument;
} old_flags[] = {
	{ "--rotate", "rotate", NULL },
	{ "--auto_rotate", "rotate", "auto" },
	{ "--auto-rotate", "rotate", "auto" },
	{ "--trace", "trace", NULL },
	{ "--all", "keys", NULL },
	{ "--health", "health", NULL },
	{ "--current", "health", "--current" },
	{ "--status", "status", NULL },
};

/* What people mean by two of them, where it is neither the one nor the other. */
static const struct {
	const char *one, *other, *meant;
} pairs[] = {
	{ "--trace", "--all", "kmi trace --all" },
	{ "--health", "--all", "kmi health" },
	{ "--health", "--current", "kmi health --current" },
	{ "--rotate", "--auto_rotate", "kmi rotate auto" },
	{ "--rotate", "--auto-rotate", "kmi rotate auto" },
	{ "--rotate", "--all", "kmi rotate, then kmi keys" },
	{ "--rotate", "--status", "kmi rotate, then kmi status" },
};

struct places {
	char own[PATH_MAX];	/* the folder kmi lies in */
	const char *libexec;
};

static void
find_places(struct places *p)
{
	ssize_t n = readlink("/proc/self/exe", p->own, sizeof(p->own) - 1);
	char *slash;

	p->own[n > 0 ? n : 0] = '\0';
	slash = strrchr(p->own, '/');
	if (slash)
		*slash = '\0';
	p->libexec = KMI_LIBEXEC;
}

static bool
in_folder(const char *folder, const char *command, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/kmi-%s", folder, command);

	return n < PATH_MAX && program_can_run(path);
}

/* The program for a command, or false. */
static bool
find_command(const struct places *p, const char *command, char path[PATH_MAX])
{
	const char *env = getenv("PATH");
	char *copy, *rest, *folder;
	bool found = false;

	if (!*command || strchr(command, '/'))
		return false;
	if (in_folder(p->own, command, path) || in_folder(p->libexec, command, path))
		return true;
	copy = rest = env ? strdup(env) : NULL;
	while (!found && (folder = strsep(&rest, ":")))
		found = *folder && in_folder(folder, command, path);
	free(copy);
	return found;
}

static int
help(const struct places *p)
{
	struct buf text = BUF(1u << 20);
	char path[PATH_MAX], command[32];
	int code;

	program_language();
	buf_puts(&text, _(usage_head));
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		snprintf(command, sizeof(command), "%.*s", (int)strcspn(known[i].name, " "), known[i].name);
		if (find_command(p, command, path))
			buf_printf(&text, "  %-14s %s\n", known[i].name, _(known[i].purpose));
	}
	buf_puts(&text, _(usage_tail));
	code = program_help(NAME, text.p ? text.p : usage_head);
	buf_free(&text);
	return code;
}

/* No such command, or flag: what there is that is spelt alike. `kmi --keys` means a command, too. */
static int
unknown(const struct places *p, const char *given)
{
	static const char *const flags[] = { "--help", "--version", "--plain", "--no-color", "--rotate", "--auto-rotate",
		"--auto_rotate", "--trace", "--all", "--health", "--current", "--status" };
	const char *there[sizeof(known) / sizeof(*known) + sizeof(flags) / sizeof(*flags) + 1];
	char path[PATH_MAX];
	size_t n = 0;

	for (size_t i = 0; *given == '-' && i < sizeof(flags) / sizeof(*flags); i++)
		there[n++] = flags[i];
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (find_command(p, known[i].name, path))
			there[n++] = known[i].name;
	there[n] = NULL;
	return *given == '-' ? program_option_unknown(NAME, given, there) :
			       program_unknown(NAME, given, there, "unknown command %s", given);
}

static int
run(const struct places *p, const char *command, char **argv)
{
	char path[PATH_MAX];
	struct fail f;

	if (!find_command(p, command, path))
		return unknown(p, command);
	argv[0] = path;
	execv(path, argv);
	fail_sys(&f, "run %s", path);
	return program_fail(NAME, &f);
}

/* --plain and --no-color are handed on to the command as settings. */
static bool
is_look(const char *flag)
{
	if (strcmp(flag, "--plain") == 0)
		setenv("KMI_PLAIN", "1", 1);
	else if (strcmp(flag, "--no-color") == 0)
		setenv("KMI_NO_COLOR", "1", 1);
	else
		return false;
	return true;
}

static void
put_command(struct buf *out, size_t flag)
{
	buf_printf(out, "kmi %s", old_flags[flag].command);
	if (old_flags[flag].argument)
		buf_printf(out, " %s", old_flags[flag].argument);
}

static int
two_modes(size_t one, size_t other)
{
	const char *a = old_flags[one].flag, *b = old_flags[other].flag;
	struct buf first = BUF(256), second = BUF(256);
	struct fail f;
	size_t i = 0;

	while (i < sizeof(pairs) / sizeof(*pairs) && !(strcmp(a, pairs[i].one) == 0 && strcmp(b, pairs[i].other) == 0) &&
	    !(strcmp(b, pairs[i].one) == 0 && strcmp(a, pairs[i].other) == 0))
		i++;
	put_command(&first, one);
	put_command(&second, other);
	program_language();
	fail_set(&f, FAIL_USAGE, "%s and %s are two modes; give one", a, b);
	if (i < sizeof(pairs) / sizeof(*pairs))
		fail_hint(&f, "type %s", pairs[i].meant);
	else if (strcmp(first.p, second.p) == 0)
		fail_hint(&f, "type %s", first.p);
	else
		fail_hint(&f, "type %s or %s", first.p, second.p);
	buf_free(&first);
	buf_free(&second);
	return program_fail(NAME, &f);
}

/* The commands take arguments, the flags do not. */
static int
with_arguments(size_t which, char **rest)
{
	struct buf command = BUF(4096);
	struct fail f;

	put_command(&command, which);
	for (char **a = rest; *a; a++)
		buf_printf(&command, " %s", *a);
	program_language();
	fail_set(&f, FAIL_USAGE, "%s takes no arguments, but was given '%s'", old_flags[which].flag, *rest);
	fail_hint(&f, "type %s", buf_bad(&command) ? "kmi COMMAND --help" : command.p);
	buf_free(&command);
	return program_fail(NAME, &f);
}

/* One of the older tool's flags, which must be the only one. */
static int
run_old(const struct places *p, size_t which, char **rest)
{
	const char *command = old_flags[which].command;
	char *argv[] = { NULL, NULL, NULL };
	char path[PATH_MAX];

	for (char **a = rest; *a; a++)
		for (size_t i = 0; i < sizeof(old_flags) / sizeof(*old_flags); i++)
			if (strcmp(*a, old_flags[i].flag) == 0)
				return two_modes(which, i);
	while (*rest && is_look(*rest))
		rest++;
	if (*rest)
		return with_arguments(which, rest);
	if (!find_command(p, command, path))
		return program_usage(NAME, "%s needs the command %s, which is not installed", old_flags[which].flag, command);
	if (old_flags[which].argument)
		argv[1] = strdup(old_flags[which].argument);
	return run(p, command, argv);
}

int
main(int argc, char **argv)
{
	struct places p;
	int i = 1;

	program_start();
	find_places(&p);
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (is_look(argv[i]))
			continue;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help(&p);
		if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
			return program_help(NAME, "kmi " KMI_VERSION "\n");
		for (size_t k = 0; k < sizeof(old_flags) / sizeof(*old_flags); k++)
			if (strcmp(argv[i], old_flags[k].flag) == 0)
				return run_old(&p, k, argv + i + 1);
		return unknown(&p, argv[i]);
	}
	if (i == argc)
		return help(&p);
	if (strcmp(argv[i], "help") == 0) {
		if (i + 1 == argc)
			return help(&p);
		argv[i] = argv[i + 1];
		argv[i + 1] = strdup("--help");
	}
	return run(&p, argv[i], argv + i);
}
