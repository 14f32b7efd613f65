/*
 * setting: the table of settings, and how the text of one becomes its value.
 *
 * One row a setting: name, kind, place in struct config, default, range, help.
 * To add a setting is to add a member to struct config, a row here and a row
 * in docs/configuration.md. config.c finds out which text counts; programs use
 * config.h alone.
 */
#ifndef KMI_BASE_SETTING_H
#define KMI_BASE_SETTING_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"
#include "base/toml.h"

#define SETTINGS_MAX 80
#define SETTING_VALUE_MAX (64u << 10)

enum setting_kind {
	SETTING_BOOL,
	SETTING_NUMBER,
	SETTING_CHOICE,		/* one of words[]; stored as its index */
	SETTING_NAME,		/* a short text, not empty */
	SETTING_TOKEN,		/* goes into a header: visible ASCII */
	SETTING_FOLDER,		/* a path, not empty */
	SETTING_FILE,		/* a path, or empty */
	SETTING_LISTEN,
	SETTING_TLS_LISTEN,	/* the same, or empty */
	SETTING_BASE_PATH,
	SETTING_URL,
	SETTING_HOSTS,		/* list of host or host:port */
	SETTING_PATTERNS,	/* list of host or *.domain */
	SETTING_ORIGINS,	/* list of scheme://host[:port] */
	SETTING_USERS,		/* list of names or numbers of users that this system knows */
	SETTING_ZONE,
};

struct setting {
	const char *name;		/* KMI_... */
	enum setting_kind kind;
	size_t offset;			/* in struct config */
	const char *fallback;		/* the default, as it would be written */
	long long min, max;
	bool secret;
	const char *const *words;
	const char *help;
};

extern const struct setting settings[];
extern const size_t settings_count;

/* Fails with FAIL_USAGE when the text is not allowed; what it says then is only a detail, or empty. */
int setting_set(struct config *c, const struct setting *s, const char *text, struct fail *f);
void setting_free(struct config *c, const struct setting *s);
/* The value as it could be written, "***" when secret and not empty. */
void setting_value(const struct config *c, const struct setting *s, struct buf *out);
void setting_default(const struct setting *s, struct buf *out);
/* What is allowed, as a phrase. */
void setting_allowed(const struct setting *s, struct buf *out);

/* The text a TOML value would have elsewhere; -1 when it has the wrong type, and setting_toml_type() says the right one. */
int setting_toml(const struct setting *s, const struct toml *node, struct buf *out);
const char *setting_toml_type(const struct setting *s);

#endif
