/*
 * kmi-text: a text in the configured language, for those of our commands that are shell scripts.
 *
 *	kmi-text FORMAT [ARGUMENT...]
 *
 * FORMAT is the English text, with a %s for each argument in turn and %% for a percent sign; it is looked up as the
 * texts of the programs are. No newline is added. Not a command for people.
 */
#include "base/buf.h"
#include "base/program.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define NAME "kmi-text"
#define TEXT_MAX (1u << 20)

/* The argument that a conversion names, "%s" or "%2$s"; *n is its length, 0 when it is none. */
static const char *
conversion(const char *p, char **args, int count, int *next, size_t *n)
{
	int which = 0, length = 0;

	*n = 0;
	if (strncmp(p, "%s", 2) == 0) {
		which = ++*next;
		*n = 2;
	} else if (*p == '%' && sscanf(p, "%%%3d$s%n", &which, &length) == 1 && length) {
		*n = (size_t)length;
	}
	return which >= 1 && which <= count ? args[which - 1] : "";
}

static void
fill_in(struct buf *out, const char *format, char **args, int count)
{
	int next = 0;

	while (*format) {
		size_t n;
		const char *value = conversion(format, args, count, &next, &n);

		if (n) {
			buf_puts(out, value);
			format += n;
		} else {
			format += strncmp(format, "%%", 2) == 0;
			buf_putc(out, *format++);
		}
	}
}

int
main(int argc, char **argv)
{
	struct buf out = BUF(TEXT_MAX);
	struct fail f;

	program_start();
	if (argc < 2) {
		fail_set(&f, FAIL_USAGE, "it needs a text");
		return program_fail(NAME, &f);
	}
	program_language();
	fill_in(&out, text_say(argv[1]), argv + 2, argc - 2);
	if (buf_bad(&out)) {
		fail_memory(&f);
		return program_fail(NAME, &f);
	}
	if (str_starts(str_from(argv[1]), "usage:")) {
		program_help(NAME, out.p);
		buf_free(&out);
	} else {
		program_print(&out);
	}
	return program_end(NAME, 0);
}
