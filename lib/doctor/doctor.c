#include "doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
doctor_found(struct doctor *d, enum finding_level level, const char *fmt, ...)
{
	struct finding *more = reallocarray(d->findings, d->count + 1, sizeof(*more));
	char *what = NULL;
	va_list ap;

	if (!more)
		return;
	d->findings = more;
	va_start(ap, fmt);
	if (vasprintf(&what, text_say(fmt), ap) < 0)
		what = NULL;
	va_end(ap);
	more[d->count++] = (struct finding){ .level = level, .group = d->group, .what = what };
}

void
doctor_remedy(struct doctor *d, const char *fmt, ...)
{
	struct finding *last = d->count ? &d->findings[d->count - 1] : NULL;
	va_list ap;

	if (!last)
		return;
	free(last->remedy);
	va_start(ap, fmt);
	if (vasprintf(&last->remedy, text_say(fmt), ap) < 0)
		last->remedy = NULL;
	va_end(ap);
}

void
doctor_failed(struct doctor *d, enum finding_level level, const struct fail *f)
{
	doctor_found(d, level, "%s", f->text);
	if (f->hint[0])
		doctor_remedy(d, "%s", f->hint);
}

size_t
doctor_count(const struct doctor *d, enum finding_level level)
{
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++)
		n += d->findings[i].level == level;
	return n;
}

void
doctor_free(struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->findings[i].what);
		free(d->findings[i].remedy);
	}
	free(d->findings);
	roster_free(&d->roster);
}
