#include "base/program.h"

#include "base/buf.h"
#include "base/nearest.h"
#include "base/secret.h"
#include "base/stamp.h"
#include "base/text.h"
#include "base/window.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTIONS_MAX 64

/* Why stdout could not be written at first: stdio keeps no more than that it could not. */
static int output_errno;

void
program_start(void)
{
	struct rlimit core;
	int fd;

	text_locale_guess();
	/* A file that got number 2 by chance would receive our error messages. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd < 0)
		_exit(1);
	close(fd);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	/* 1, not 0: the kernel hands even a limit of 0 to a core handler it pipes to. */
	if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur > 1) {
		core.rlim_cur = 1;
		setrlimit(RLIMIT_CORE, &core);
	}
}

void
program_before_stranger(void)
{
	signal(SIGPIPE, SIG_DFL);
	unsetenv("KMI_PROXY_TOKEN");
}

void
program_leave_client_alone(void)
{
	struct stat in, err;
	int null;

	if (fstat(0, &in) < 0 || fstat(2, &err) < 0 || !S_ISSOCK(in.st_mode) || in.st_dev != err.st_dev || in.st_ino != err.st_ino)
		return;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, 2);
	close(null);
}

void
program_language(void)
{
	struct config c;

	if (config_load(&c, NULL, NULL) == 0)
		config_free(&c);
}

bool
program_has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

bool
program_can_run(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int
program_beside(const char *program, char *path, size_t size, struct fail *f)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	n = slash ? slash + 1 - path : 0;
	if ((size_t)snprintf(path + n, size - (size_t)n, "%s", program) >= size - (size_t)n)
		return fail_set(f, FAIL_SYSTEM, "the path of %s is too long", program);
	return access(path, X_OK) < 0 ? fail_sys(f, "run %s", path) : 0;
}

/* In one write, as far as the system makes it one. */
static void
put(FILE *to, struct str text, enum window_text kind)
{
	size_t width = window_width(fileno(to));
	struct buf fit = BUF(2 * text.n + (1u << 20));

	if (width)
		window_fit(&fit, text, width, kind);
	if (width && !buf_bad(&fit))
		text = buf_view(&fit);
	errno = 0;
	if ((fwrite(text.p, 1, text.n, to) < text.n || fflush(to) != 0) && to == stdout && !output_errno)
		output_errno = errno;
	buf_wipe(&fit);
}

void
program_print(struct buf *out)
{
	secret_hide(out->p, out->n);
	put(stdout, buf_view(out), WINDOW_LINES);
	buf_wipe(out);
}

void
program_say(const char *fmt, ...)
{
	struct buf out = BUF(1u << 20);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&out, text_say(fmt), ap);
	va_end(ap);
	program_print(&out);
}

/* One line, in one write. */
static void __attribute__((format(printf, 1, 2)))
say(const char *fmt, ...)
{
	char line[sizeof(((struct fail *)0)->text) + 256], stamp[STAMP_SIZE], whole[sizeof(line) + STAMP_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s%s", stamp_stderr(stamp), line);
	put(stderr, str_from(whole), WINDOW_LINES);
}

int
program_end(const char *name, int code)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (!output_errno)
		output_errno = errno ? errno : EIO;
	/* A reader that has seen enough (`| head`) is no news. */
	if (output_errno != EPIPE)
		say(_("%s: error: write output: %s\n"), name, text_say(strerror(output_errno)));
	return code ? code : 1;
}

int
program_fail(const char *name, const struct fail *f)
{
	fflush(stdout);
	say(_("%s: error: %s\n"), name, f->text);
	if (f->hint[0])
		say(_("%s: hint: %s\n"), name, f->hint);
	return fail_exit_code(f->kind);
}

void
program_warn(const char *name, const char *fmt, ...)
{
	struct fail f;
	va_list ap;
	char text[sizeof(f.text)];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), text_say(fmt), ap);
	va_end(ap);
	fail_set(&f, FAIL_NONE, "%s", text);	/* makes it one line */
	say(_("%s: warning: %s\n"), name, f.text);
}

int
program_config(const char *name, struct config *c, const char *const *args)
{
	struct fail f;

	if (config_load(c, args, &f) < 0)
		return program_fail(name, &f);
	for (char *const *w = c->warnings; *w; w++)
		program_warn(name, "%s", *w);
	return 0;
}

int
program_help(const char *name, const char *usage)
{
	program_language();
	put(stdout, str_from(text_say(usage)), WINDOW_HELP);
	return program_end(name, 0);
}

/* As it is typed: kmi is in PATH, the programs that it runs need not be. */
static void
hint_help(struct fail *f, const char *name)
{
	bool command = strncmp(name, "kmi-", 4) == 0;

	fail_hint(f, "%s%s --help tells how it is used", command ? "kmi " : "", command ? name + 4 : name);
}

int
program_usage(const char *name, const char *fmt, ...)
{
	struct fail f;
	va_list ap;
	char text[sizeof(f.text)];

	program_language();
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), text_say(fmt), ap);
	va_end(ap);
	fail_set(&f, FAIL_USAGE, "%s", text);
	hint_help(&f, name);
	return program_fail(name, &f);
}

int
program_unknown(const char *name, const char *given, const char *const *known, const char *fmt, ...)
{
	const char *near = nearest_word(given, known);
	struct fail f;
	va_list ap;
	char text[sizeof(f.text)];

	program_language();
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), text_say(fmt), ap);
	va_end(ap);
	fail_set(&f, FAIL_USAGE, "%s", text);
	if (near)
		fail_hint(&f, "did you mean %s?", near);
	else
		hint_help(&f, name);
	return program_fail(name, &f);
}

int
program_option_unknown(const char *name, const char *given, const char *const *known)
{
	struct str rest = str_from(given), head = str_cut(&rest, '=');
	char option[128];

	/* What follows '=' may be a secret, and is no part of the name. */
	snprintf(option, sizeof(option), "%.*s", STR_F(head));
	return program_unknown(name, option, known, "unknown option %s", option);
}

static const struct option *
option_by_value(const struct option *options, int value)
{
	for (; options->name; options++)
		if (options->val == value)
			return options;
	return NULL;
}

/* After getopt_long returned '?' or ':': says what was wrong with the option it stopped at. */
static int
option_error(const char *name, char *const *argv, int returned, const struct option *options)
{
	/* getopt leaves 0 for an unknown long option, else the option's letter or value. */
	const struct option *known = optopt ? option_by_value(options, optopt) : NULL;
	char names[OPTIONS_MAX][40];
	const char *list[OPTIONS_MAX + 1];
	size_t n = 0;

	if (returned == ':' && known)
		return program_usage(name, "option --%s needs a value", known->name);
	if (returned == ':')
		return program_usage(name, "option -%c needs a value", optopt);
	if (known && str_starts(str_from(argv[optind - 1]), "--"))
		return program_usage(name, "option --%s takes no value", known->name);
	if (optopt)
		return program_usage(name, "unknown option -%c", optopt);
	for (; options->name && n < OPTIONS_MAX; options++, n++) {
		snprintf(names[n], sizeof(names[n]), "--%s", options->name);
		list[n] = names[n];
	}
	list[n] = NULL;
	return program_option_unknown(name, argv[optind - 1], list);
}

int
program_option(struct program_call *call, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, call->letters, call->options, NULL)) == 'j' || opt == 'p')
		if (opt == 'j') {
			call->json = true;
			text_english_only();
		} else {
			call->plain = true;
		}
	call->over = opt == 'h' || opt == '?' || opt == ':';
	if (call->over) {
		call->code = opt == 'h' ? program_help(call->name, call->usage) :
					  option_error(call->name, argv, opt, call->options);
		opt = -1;
	}
	return opt;
}
