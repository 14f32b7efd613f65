/*
 * fail: what went wrong, in one sentence, and what kind of thing it was.
 *
 * A call that can fail returns 0 or -1 and fills the struct fail it was
 * given. Libraries never print and never exit; main does both:
 *
 *	if (config_load(&c, &f) < 0)
 *		return fail_report("kmi-keys", &f);
 *
 * Inside a library: return fail_sys(f, "open %s", path);
 * Any struct fail pointer may be NULL when the caller does not care. Formats
 * are looked up as text_say() does: callers write plain English, whole sentences.
 */
#ifndef KMI_BASE_FAIL_H
#define KMI_BASE_FAIL_H

enum fail_kind {
	FAIL_NONE,
	FAIL_USAGE,	/* a wrong command line, setting or value */
	FAIL_INPUT,	/* a file or message that does not say what it should */
	FAIL_SYSTEM,	/* the system refused: no such file, disk full, no memory */
	FAIL_BUSY,	/* somebody else holds it just now */
	FAIL_NEWER,	/* written by a newer kmi: not ours to change */
};

struct fail {
	enum fail_kind kind;
	char text[960];		/* what happened: one sentence, no newline, no secret */
	char hint[480];		/* what to do about it, or empty */
};

/* Both return -1, so that a caller can `return fail_set(...)`. */
int fail_set(struct fail *f, enum fail_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with errno's text at the end; the kind is FAIL_SYSTEM. */
int fail_sys(struct fail *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fail_memory(struct fail *f);
/* Adds the remedy to a failure already filled in; returns -1. */
int fail_hint(struct fail *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* 0 for FAIL_NONE, 2 for FAIL_USAGE, else 1. */
int fail_exit_code(enum fail_kind kind);

#endif
