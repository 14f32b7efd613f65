/*
 * keyfile: what one key file says, whichever of the three formats it has. Pure: text in, fields out.
 *
 *	struct keyfile k;
 *	if (keyfile_parse(&k, KEY_TOML, text, NULL, f) < 0) ...	"line 3: ...", "no provider with an api_key"
 *	keyfile_key(&k), keyfile_base_url(&k), keyfile_provider(&k) ...
 *	keyfile_free(&k);
 *
 * What the getters return lives as long as the struct. keyfile_free() may be called after a failure too.
 */
#ifndef KMI_KEYS_KEYFILE_H
#define KMI_KEYS_KEYFILE_H

#include "base/buf.h"
#include "base/fail.h"

enum key_format { KEY_ENV, KEY_TOML, KEY_JSON };

struct keyfile_field {
	char *name;
	char *value;	/* NULL when it is not a string, or holds a NUL */
};

struct keyfile_table {
	char *name;	/* the provider; NULL for the top of the file */
	struct keyfile_field *fields;
	size_t count;
};

struct keyfile {
	enum key_format format;
	struct keyfile_table *tables;	/* the first is the top of the file */
	size_t count;
	const struct keyfile_table *own;	/* the one the key stands in */
};

/*
 * Whether a file of that name is a key file, and of which format. Editors' and tools' backups count:
 * `x.json.bak` and `x.bak` are JSON, `x.toml.bak` and `x.env.bak` what they were.
 */
bool keyfile_format(const char *file_name, enum key_format *out);
/* The length of the name without what keyfile_format() knows it by: "x.json.bak" -> 1. */
size_t keyfile_stem(const char *file_name);

/*
 * `provider`: take the key of this provider and no other; NULL lets the usual order decide:
 * managed:kimi-code, kimi-for-coding, moonshot-ai, else the first that has one.
 * The bytes may be anything; what is not UTF-8 is refused.
 */
int keyfile_parse(struct keyfile *k, enum key_format format, struct str text, const char *provider,
    struct fail *f);
void keyfile_free(struct keyfile *k);	/* overwrites the values first */

const char *keyfile_key(const struct keyfile *k);	/* never NULL after keyfile_parse() */
const char *keyfile_base_url(const struct keyfile *k);	/* NULL: none of its own */
const char *keyfile_provider(const struct keyfile *k);	/* NULL for .env */
const char *keyfile_setting(const struct keyfile *k, const char *name);	/* of a .env file; NULL when empty */

/*
 * The e-mail of the account: the usual fields of the provider, any of its values, the same at the top of
 * the file, the file's name, else (not for .env) anything in the text that looks like one. Caller frees.
 */
char *keyfile_email(const struct keyfile *k, struct str text, const char *file_name);

#endif
