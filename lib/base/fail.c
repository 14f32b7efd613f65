#include "base/fail.h"

#include "base/secret.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No secret; no control characters, for a message is one line; no half letter where it was cut. */
static void
tidy(char *s, size_t size)
{
	size_t n = strlen(s), last = n;

	secret_hide(s, n);
	if (n + 1 == size) {
		while (last && ((unsigned char)s[last - 1] & 0xc0) == 0x80)
			last--;
		if (last && (unsigned char)s[last - 1] >= 0xc0)
			s[last - 1] = '\0';
	}
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

int
fail_set(struct fail *f, enum fail_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -1;
	f->kind = kind;
	f->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), text_say(fmt), ap);
	va_end(ap);
	tidy(f->text, sizeof(f->text));
	return -1;
}

int
fail_sys(struct fail *f, const char *fmt, ...)
{
	int saved = errno;
	size_t used;
	va_list ap;

	if (!f)
		return -1;
	f->kind = FAIL_SYSTEM;
	f->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), text_say(fmt), ap);
	va_end(ap);
	used = strlen(f->text);
	snprintf(f->text + used, sizeof(f->text) - used, ": %s", text_say(strerror(saved)));
	tidy(f->text, sizeof(f->text));
	errno = saved;
	return -1;
}

int
fail_memory(struct fail *f)
{
	return fail_set(f, FAIL_SYSTEM, "out of memory");
}

int
fail_hint(struct fail *f, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -1;
	va_start(ap, fmt);
	vsnprintf(f->hint, sizeof(f->hint), text_say(fmt), ap);
	va_end(ap);
	tidy(f->hint, sizeof(f->hint));
	return -1;
}

int
fail_exit_code(enum fail_kind kind)
{
	switch (kind) {
	case FAIL_NONE:
		return 0;
	case FAIL_USAGE:
		return 2;
	case FAIL_INPUT:
	case FAIL_SYSTEM:
	case FAIL_BUSY:
	case FAIL_NEWER:
		break;
	}
	return 1;
}
