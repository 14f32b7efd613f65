/*
 * auths: the folder of key files, read into a pool in its fixed order.
 *
 * auths_scan() reads every file once, keeps no secret, and says of each file
 * that gives no key why. auths_secret() reads ONE key from its file at the
 * moment it is used, so that a file changed by hand counts from the next
 * request on.
 *
 * The folder is walked by name, a subfolder at the place of its name: of two files with the same key, or
 * with the same label, the first one met is taken. Order of the pool: priority high to low, then label,
 * case-folded (then label as is).
 */
#ifndef KMI_KEYS_AUTHS_H
#define KMI_KEYS_AUTHS_H

#include "base/buf.h"
#include "base/config.h"
#include "base/digest.h"
#include "base/fail.h"
#include "base/file.h"
#include "keys/keyfile.h"

#define KEY_FILE_MAX (4u << 20)	/* larger files are skipped */
#define KEY_MAX 4096		/* longest api_key taken */
#define KEY_LABEL_MAX 255	/* longest label and account name taken */

struct auth {
	char *label;
	char *account;		/* KMI_KEY_ACCOUNT, else the label */
	char *path;		/* as opened: folder and name */
	char *base_url;		/* the key's own, else the configured one; no trailing '/' */
	char *email;		/* or NULL */
	char *provider;		/* table of a .toml or .json file, else NULL */
	char *masked;		/* first 4, ***, last 4; all stars up to 8 characters */
	char hash[DIGEST_SHORT_SIZE];
	enum key_format format;
	int priority;
	bool disabled;
	long long max_concurrency, max_rpm;	/* 0 = none of its own */
	struct file_stamp stamp;
};

struct auth_skip {
	char *source;		/* path */
	char *reason;		/* one sentence, with the line where there is one */
};

struct auth_folder {
	char *path;
	struct file_stamp stamp;
};

struct auths {
	struct auth *keys;
	size_t count;
	struct auth_skip *skipped;
	size_t skipped_count;
	struct auth_folder *folders;	/* the folder and its direct subfolders */
	size_t folder_count;
};

/*
 * Fails only when the folder itself cannot be read (missing: FAIL_SYSTEM with errno ENOENT) or memory is out;
 * *a is valid (and empty) even then.
 */
int auths_scan(struct auths *a, const struct config *c, struct fail *f);
void auths_free(struct auths *a);

/*
 * Reads the secret of one key again. `provider` and `format` as auths_scan() found them. The secret goes to
 * *secret (wipe it with buf_wipe), the version read to *stamp. -1 when the file no longer gives a usable key.
 */
int auths_secret(const char *path, enum key_format format, const char *provider, struct buf *secret,
    struct file_stamp *stamp, struct fail *f);

/* Pieces that stand alone and are tested as such. */
void auths_label(const char *file_name, struct buf *out);	/* "Anna_config.toml" -> "Anna" */
void auths_clean_label(struct str name, struct buf *out);	/* " Anna-config " -> "Anna" */
void auths_mask(struct str key, struct buf *out);
bool auths_key_ok(struct str key);		/* visible ASCII, 1 to KEY_MAX bytes */
const char *auths_format_name(enum key_format f);

#endif
