#include "keys/client_write.h"

#include "base/toml.h"
#include "keys/client_config.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
check_toml(struct str text, struct fail *f)
{
	struct toml *root;

	if (toml_parse(&root, text, f) < 0)
		return -1;
	toml_free(root);
	return 0;
}

/* What the config is to hold from now on. */
static int
new_content(const struct auth *k, struct str old, struct buf *out, struct fail *f)
{
	struct buf secret = BUF(KEY_MAX + 1);
	struct file_stamp stamp;
	int rc;

	/* The key file is read again: it may have changed since, and may be no key file any more. */
	rc = auths_secret(k->path, k->format, k->provider, &secret, &stamp, f);
	if (rc == 0 && k->format != KEY_TOML)
		rc = client_config_set(old, buf_view(&secret), str_from(k->base_url), out, f);
	else if (rc == 0 && (rc = check_toml(old, f)) == 0)	/* else it is somebody's work in progress */
		rc = file_read(k->path, KEY_FILE_MAX, out, NULL, f);
	buf_wipe(&secret);
	return rc == 0 && buf_bad(out) ? fail_memory(f) : rc;
}

/* Somebody may have made the config a link to a key file, or the other way round: the pool would lose that key. */
static int
check_no_key_file(const struct stat *st, const struct auths *pool, struct fail *f)
{
	struct file_stamp stamp;

	file_stamp_of(&stamp, st);
	for (size_t i = 0; i < pool->count; i++) {
		const struct auth *k = &pool->keys[i];

		if (st->st_nlink > 1 || k->stamp.device != stamp.device || k->stamp.inode != stamp.inode)
			continue;
		fail_set(f, FAIL_INPUT, "it is the key file of %s too, by a link", k->label);
		return fail_hint(f, "put a copy in the place of the link: cp --remove-destination does that");
	}
	return 0;
}

static int
put_beside(const char *path, const char *suffix, bool once, struct str text, struct fail *f)
{
	char *beside = NULL;
	int rc = 0;

	if (asprintf(&beside, "%s%s", path, suffix) < 0)
		return fail_memory(f);
	if (!once || access(beside, F_OK) < 0)
		rc = file_replace(beside, text, true, f);
	free(beside);
	return rc;
}

/* The backup stands beside it, so that one rename undoes it all. What was there before we ever wrote outlasts the next ones. */
static int
back_up(const char *path, struct str old, struct fail *f)
{
	if (!old.n)
		return 0;
	if (put_beside(path, ".orig", true, old, f) < 0)
		return -1;
	return put_beside(path, ".bak", false, old, f);
}

static int
make_folder(const char *path, struct fail *f)
{
	char *folder = strdup(path);
	int rc = folder ? file_mkdirs(dirname(folder), f) : fail_memory(f);

	free(folder);
	return rc;
}

/* What is at `target`, the file that path names in the end; nothing is there when st_nlink is 0. */
static int
read_old(const char *path, const char *target, struct stat *st, struct buf *old, struct fail *f)
{
	if (stat(target, st) == 0)
		return file_read(target, CLIENT_CONFIG_MAX - 1, old, NULL, f);
	*st = (struct stat){ 0 };
	return errno == ENOENT ? make_folder(path, f) : fail_sys(f, "open %s", target);
}

int
client_write(const char *path, const struct auths *pool, size_t chosen, struct client_written *w, struct fail *f)
{
	struct buf old = BUF(CLIENT_CONFIG_MAX), text = BUF(2 * CLIENT_CONFIG_MAX);
	char *target = file_target(path);
	struct stat st;
	int rc = -1;

	*w = (struct client_written){ 0 };
	if (!target) {
		fail_sys(f, "follow the link %s", path);
		goto out;
	}
	if (read_old(path, target, &st, &old, f) < 0 || new_content(&pool->keys[chosen], buf_view(&old), &text, f) < 0)
		goto out;
	w->changed = st.st_nlink == 0 || !str_eq(buf_view(&old), buf_view(&text));
	w->closed = st.st_mode & 077;
	w->login = client_config_has_login(buf_view(&text));
	if (!w->changed)
		rc = w->closed && chmod(target, 0600) < 0 ? fail_sys(f, "chmod %s", target) : 0;
	else if (check_no_key_file(&st, pool, f) == 0 && back_up(path, buf_view(&old), f) == 0)
		rc = file_replace(target, buf_view(&text), true, f);
out:
	free(target);
	buf_wipe(&old);
	buf_wipe(&text);
	return rc;
}
