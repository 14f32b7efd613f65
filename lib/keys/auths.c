#include "keys/auths.h"

#include "base/secret.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#define PRIORITY_MAX 1000000
#define LIMIT_MAX 1000000

/* A name met before, and the key that has it: a node of a tree of names. */
struct seen {
	size_t index;
	char name[];
};

/* A scan under way. */
struct scan {
	struct auths *a;
	const struct config *c;
	void *hashes, *labels;	/* trees of struct seen */
};

const char *
auths_format_name(enum key_format f)
{
	switch (f) {
	case KEY_ENV:
		return "env";
	case KEY_TOML:
		return "toml";
	case KEY_JSON:
		return "json";
	}
	return "";
}

bool
auths_key_ok(struct str key)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= 0x20 || key.p[i] >= 0x7f)
			return false;
	return key.n > 0 && key.n <= KEY_MAX;
}

void
auths_mask(struct str key, struct buf *out)
{
	if (key.n <= 8) {
		buf_fill(out, '*', key.n);
		return;
	}
	buf_put(out, key.p, 4);
	buf_puts(out, "***");
	buf_put(out, key.p + key.n - 4, 4);
}

void
auths_clean_label(struct str name, struct buf *out)
{
	struct str all = str_trim(name), s = all;

	if (s.n >= 6 && str_caseis(str_sub(s, s.n - 6, s.n), "config"))
		s.n -= 6;
	while (s.n && (s.p[s.n - 1] == '_' || s.p[s.n - 1] == '-'))
		s.n--;
	s = str_trim(s);
	buf_str(out, s.n ? s : all);	/* "config.toml" has no other name */
}

void
auths_label(const char *file_name, struct buf *out)
{
	auths_clean_label((struct str){ file_name, keyfile_stem(file_name) }, out);
}

/* Room for one more element in an array that doubles whenever it is full; NULL when memory is out. */
static void *
grow(void *array, size_t count, size_t size)
{
	bool full = (count & (count - 1)) == 0;

	return full ? reallocarray(array, count ? count * 2 : 1, size) : array;
}

static int
by_name(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct seen *
seen_new(const char *name, size_t index)
{
	struct seen *s = malloc(sizeof(*s) + strlen(name) + 1);

	if (s) {
		s->index = index;
		strcpy(s->name, name);
	}
	return s;
}

/* The key that had this name first, or NULL; a failure looks like "not seen". */
static const struct auth *
seen_find(const struct scan *s, void *const *tree, const char *name)
{
	struct seen *wanted = seen_new(name, 0), **found = wanted ? tfind(wanted, tree, by_name) : NULL;
	const struct auth *k = found ? &s->a->keys[(*found)->index] : NULL;

	free(wanted);
	return k;
}

static int
seen_add(void **tree, const char *name, size_t index)
{
	struct seen *s = seen_new(name, index);

	if (s && tsearch(s, tree, by_name))
		return 0;
	free(s);
	return -1;
}

/* Opens nothing that is not a regular file: a fifo or a device may do anything when it is opened. */
static int
read_text(const char *path, struct buf *text, struct file_stamp *stamp, struct fail *f)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail_sys(f, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return fail_set(f, FAIL_INPUT, "not a regular file");
	if (st.st_size > KEY_FILE_MAX)
		return fail_set(f, FAIL_INPUT, "%lld bytes are more than a key file may have (%u)",
		    (long long)st.st_size, KEY_FILE_MAX);
	return file_read(path, KEY_FILE_MAX, text, stamp, f);
}

/* What auths_scan() and auths_secret() share: one file, read, taken apart, its key found fit to be sent. */
static int
read_key(const char *path, enum key_format format, const char *provider, struct keyfile *k, struct buf *text,
    struct file_stamp *stamp, struct fail *f)
{
	if (read_text(path, text, stamp, f) < 0 || keyfile_parse(k, format, buf_view(text), provider, f) < 0)
		return -1;
	secret_know(str_from(keyfile_key(k)));
	if (strlen(keyfile_key(k)) > KEY_MAX)
		return fail_set(f, FAIL_INPUT, "the key is longer than %d characters", KEY_MAX);
	if (!auths_key_ok(str_from(keyfile_key(k))))
		return fail_set(f, FAIL_INPUT, "the key is not made of visible ASCII characters alone");
	return 0;
}

int
auths_secret(const char *path, enum key_format format, const char *provider, struct buf *secret,
    struct file_stamp *stamp, struct fail *f)
{
	struct buf text = BUF(KEY_FILE_MAX + 1);
	struct keyfile k = { 0 };
	int rc;

	rc = read_key(path, format, provider, &k, &text, stamp, f);
	if (rc == 0) {
		buf_puts(secret, keyfile_key(&k));
		if (buf_bad(secret))
			rc = fail_memory(f);
	}
	keyfile_free(&k);
	buf_wipe(&text);
	return rc;
}

static int
number_setting(const struct keyfile *k, const char *name, long long min, long long max, long long *out,
    struct fail *f)
{
	const char *text = keyfile_setting(k, name);

	*out = 0;
	if (text && str_int(str_trim(str_from(text)), min, max, out) < 0)
		return fail_set(f, FAIL_INPUT, "%s is not a whole number from %lld to %lld", name, min, max);
	return 0;
}

static int
bool_setting(const struct keyfile *k, const char *name, bool *out, struct fail *f)
{
	static const char *const words[] = { "0", "1", "false", "true", "no", "yes", "off", "on" };
	const char *text = keyfile_setting(k, name);

	*out = false;
	if (!text)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_caseis(str_trim(str_from(text)), words[i])) {
			*out = i % 2;
			return 0;
		}
	return fail_set(f, FAIL_INPUT, "%s is none of 1/true/yes/on, 0/false/no/off", name);
}

/* A label goes into tables, logs and headers. */
static int
check_name(const char *what, struct str name, struct fail *f)
{
	if (name.n > KEY_LABEL_MAX)
		return fail_set(f, FAIL_INPUT, "the %s is longer than %d bytes", text_say(what), KEY_LABEL_MAX);
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			return fail_set(f, FAIL_INPUT, "the %s has a control character in it", text_say(what));
	return str_utf8(name) ? 0 : fail_set(f, FAIL_INPUT, "the %s is not UTF-8", text_say(what));
}

/* A file that somebody named by its key. */
static bool
names_secret(struct str name, struct str secret)
{
	return secret.n >= SECRET_SHORTEST && str_find(name, secret) >= 0;
}

static int
set_names(struct auth *k, const struct keyfile *file, const char *file_name, struct fail *f)
{
	struct str given = str_trim(str_from(keyfile_setting(file, "KMI_KEY_LABEL")));
	struct str account = str_trim(str_from(keyfile_setting(file, "KMI_KEY_ACCOUNT")));
	struct str secret = str_from(keyfile_key(file));
	struct buf label = BUF(KEY_FILE_MAX);
	int rc = -1;

	if (given.n)
		auths_clean_label(given, &label);
	else
		auths_label(file_name, &label);
	if (names_secret(buf_view(&label), secret)) {	/* a label is shown everywhere */
		buf_reset(&label);
		auths_mask(secret, &label);
	}
	if (!account.n || names_secret(account, secret))
		account = buf_view(&label);
	if (buf_bad(&label)) {
		fail_memory(f);
		goto out;
	}
	if (check_name(N_("label"), buf_view(&label), f) < 0 || check_name(N_("account"), account, f) < 0)
		goto out;
	k->label = str_dup(buf_view(&label));
	k->account = str_dup(account);
	rc = k->label && k->account ? 0 : fail_memory(f);
out:
	buf_free(&label);
	return rc;
}

static int
set_base_url(struct auth *k, const struct keyfile *file, const struct config *c, struct fail *f)
{
	const char *own = keyfile_base_url(file);
	struct str url = str_from(own ? own : c->upstream_base_url);

	if (own && config_check_url(c, own, f) < 0)
		return -1;
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	k->base_url = str_dup(url);
	return k->base_url ? 0 : fail_memory(f);
}

static int
set_settings(struct auth *k, const struct keyfile *file, struct fail *f)
{
	long long priority;

	if (number_setting(file, "KMI_KEY_PRIORITY", -PRIORITY_MAX, PRIORITY_MAX, &priority, f) < 0 ||
	    number_setting(file, "KMI_KEY_MAX_CONCURRENCY", 0, LIMIT_MAX, &k->max_concurrency, f) < 0 ||
	    number_setting(file, "KMI_KEY_MAX_RPM", 0, LIMIT_MAX, &k->max_rpm, f) < 0 ||
	    bool_setting(file, "KMI_KEY_DISABLED", &k->disabled, f) < 0)
		return -1;
	k->priority = (int)priority;
	return 0;
}

static int
set_rest(struct auth *k, const struct keyfile *file, struct str text, const char *path, const char *file_name,
    struct fail *f)
{
	struct str secret = str_from(keyfile_key(file));
	struct buf masked = BUF(64);

	auths_mask(secret, &masked);
	k->masked = masked.p;
	digest_short(secret, k->hash);
	k->email = keyfile_email(file, text, file_name);
	k->path = strdup(path);
	if (keyfile_provider(file) && !(k->provider = strdup(keyfile_provider(file))))
		return fail_memory(f);
	return buf_bad(&masked) || !k->path ? fail_memory(f) : 0;
}

static void
auth_free(struct auth *k)
{
	free(k->label);
	free(k->account);
	free(k->path);
	free(k->base_url);
	free(k->email);
	free(k->provider);
	free(k->masked);
	*k = (struct auth){ 0 };
}

static int
read_auth(struct auth *k, const char *path, enum key_format format, const struct config *c, struct fail *f)
{
	const char *slash = strrchr(path, '/'), *file_name = slash ? slash + 1 : path;
	struct buf text = BUF(KEY_FILE_MAX + 1);
	struct keyfile file = { 0 };
	int rc = -1;

	*k = (struct auth){ .format = format };
	if (read_key(path, format, NULL, &file, &text, &k->stamp, f) < 0 ||
	    set_names(k, &file, file_name, f) < 0 || set_base_url(k, &file, c, f) < 0 ||
	    set_settings(k, &file, f) < 0 ||
	    set_rest(k, &file, buf_view(&text), path, file_name, f) < 0)
		goto out;
	rc = 0;
out:
	if (rc < 0)
		auth_free(k);
	keyfile_free(&file);
	buf_wipe(&text);
	return rc;
}

static int
add_skip(struct auths *a, const char *path, const char *reason, struct fail *f)
{
	struct auth_skip *more = grow(a->skipped, a->skipped_count, sizeof(*more)), *s;

	if (!more)
		return fail_memory(f);
	a->skipped = more;
	s = &more[a->skipped_count++];
	*s = (struct auth_skip){ .source = strdup(path), .reason = strdup(reason) };
	return s->source && s->reason ? 0 : fail_memory(f);
}

/* Takes *k over when it is new to the pool; else says in *f whom it repeats. */
static int
add_key(struct scan *s, struct auth *k, struct fail *f)
{
	struct auths *a = s->a;
	const struct auth *first;
	struct auth *more;

	first = seen_find(s, &s->hashes, k->hash);
	if (first)
		return fail_set(f, FAIL_INPUT, "the same key as \"%s\" in %s", first->label, first->path);
	first = seen_find(s, &s->labels, k->label);
	if (first)
		return fail_set(f, FAIL_INPUT, "the label \"%s\" is taken by another key, in %s", k->label,
		    first->path);
	more = grow(a->keys, a->count, sizeof(*more));
	if (!more)
		return fail_memory(f);
	a->keys = more;
	if (seen_add(&s->hashes, k->hash, a->count) < 0 || seen_add(&s->labels, k->label, a->count) < 0)
		return fail_memory(f);
	more[a->count++] = *k;
	*k = (struct auth){ 0 };
	return 0;
}

/* One file: a key more in the pool, or a reason why not. */
static int
scan_file(struct scan *s, const char *path, enum key_format format, struct fail *f)
{
	struct fail why = { 0 };
	struct auth k = { 0 };
	int rc = 0;

	if (read_auth(&k, path, format, s->c, &why) < 0 || add_key(s, &k, &why) < 0)
		rc = add_skip(s->a, path, why.text, f);
	auth_free(&k);
	return rc;
}

static int
add_folder(struct auths *a, const char *path, const struct stat *st, struct fail *f)
{
	struct auth_folder *more = grow(a->folders, a->folder_count, sizeof(*more));

	if (!more)
		return fail_memory(f);
	a->folders = more;
	more += a->folder_count;
	*more = (struct auth_folder){ .path = strdup(path) };
	if (!more->path)
		return fail_memory(f);
	file_stamp_of(&more->stamp, st);
	a->folder_count++;
	return 0;
}

static int
not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* By bytes: alphasort(3) would let the order of the pool depend on the locale. */
static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int scan_folder(struct scan *s, const char *path, bool top, struct fail *f);

static int
scan_entry(struct scan *s, const char *folder, const struct dirent *e, bool top, struct fail *f)
{
	enum key_format format;
	bool key_file = keyfile_format(e->d_name, &format);
	bool may_be_folder = top && (e->d_type == DT_DIR || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN);
	struct fail why = { 0 };
	struct stat st;
	char *path;
	int rc = 0;

	if (!key_file && !may_be_folder)
		return 0;
	path = file_join(folder, e->d_name);
	if (!path)
		return fail_memory(f);
	if (may_be_folder && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (scan_folder(s, path, false, &why) < 0)
			rc = add_skip(s->a, path, why.text, f);
	} else if (key_file) {
		rc = scan_file(s, path, format, f);
	}
	free(path);
	return rc;
}

static int
scan_folder(struct scan *s, const char *path, bool top, struct fail *f)
{
	struct dirent **list = NULL;
	struct stat st;
	int count, rc = 0;

	/* The stamp is taken before the reading, so that a change meanwhile is seen as one. */
	if (stat(path, &st) < 0)
		return fail_sys(f, "open folder %s", path);
	if (add_folder(s->a, path, &st, f) < 0)
		return -1;
	count = scandir(path, &list, not_hidden, by_bytes);
	if (count < 0)
		return fail_sys(f, "open folder %s", path);
	for (int i = 0; i < count; i++) {
		if (rc == 0)
			rc = scan_entry(s, path, list[i], top, f);
		free(list[i]);
	}
	free(list);
	return rc;
}

/* A key in line for its place in the pool. */
struct place {
	char *folded;
	struct auth key;
};

static int
by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = (x->key.priority < y->key.priority) - (x->key.priority > y->key.priority);

	if (order == 0)
		order = strcmp(x->folded, y->folded);
	return order ? order : strcmp(x->key.label, y->key.label);
}

/* The label in lower case, by LC_CTYPE. In UTF-8 the order of bytes is that of characters. */
static char *
fold(const char *label)
{
	struct buf b = BUF(KEY_LABEL_MAX * MB_LEN_MAX + 1);
	mbstate_t in = { 0 }, out = { 0 };
	size_t n = strlen(label);

	while (n) {
		size_t used, made = 0;
		char bytes[MB_LEN_MAX];
		wchar_t wide;

		used = mbrtowc(&wide, label, n, &in);
		if (used <= n)
			made = wcrtomb(bytes, (wchar_t)towlower((wint_t)wide), &out);
		if (made == 0 || made > sizeof(bytes)) {	/* there is no UTF-8 locale on this machine */
			bytes[0] = *label;
			used = made = 1;
			in = out = (mbstate_t){ 0 };
		}
		buf_put(&b, bytes, made);
		label += used;
		n -= used;
	}
	buf_puts(&b, "");
	return b.p;
}

static bool
all_ascii(const struct auths *a)
{
	for (size_t i = 0; i < a->count; i++)
		for (const char *p = a->keys[i].label; *p; p++)
			if ((unsigned char)*p >= 0x80)
				return false;
	return true;
}

static int
sort_keys(struct auths *a, struct fail *f)
{
	struct place *places = calloc(a->count + 1, sizeof(*places));
	/* Letters of every script fold, whatever the user's locale. Loading one takes longer than the rest. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, all_ascii(a) ? "C" : "C.UTF-8", (locale_t)0);
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
	int rc = places ? 0 : fail_memory(f);

	for (size_t i = 0; i < a->count && rc == 0; i++) {
		places[i] = (struct place){ .folded = fold(a->keys[i].label), .key = a->keys[i] };
		if (!places[i].folded)
			rc = fail_memory(f);
	}
	if (rc == 0)
		qsort(places, a->count, sizeof(*places), by_place);
	for (size_t i = 0; i < a->count && places; i++) {
		if (rc == 0)
			a->keys[i] = places[i].key;
		free(places[i].folded);
	}
	free(places);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return rc;
}

int
auths_scan(struct auths *a, const struct config *c, struct fail *f)
{
	struct scan s = { .a = a, .c = c };
	int rc, saved;

	*a = (struct auths){ 0 };
	rc = scan_folder(&s, c->auths_dir, true, f);
	saved = errno;
	if (rc < 0 && f && f->kind == FAIL_SYSTEM && saved == ENOENT)
		fail_hint(f, "make the folder, put a key file into it, or name another one in KMI_AUTHS_DIR");
	tdestroy(s.hashes, free);
	tdestroy(s.labels, free);
	if (rc == 0)
		rc = sort_keys(a, f);
	if (rc < 0)
		auths_free(a);
	errno = saved;
	return rc;
}

void
auths_free(struct auths *a)
{
	for (size_t i = 0; i < a->count; i++)
		auth_free(&a->keys[i]);
	for (size_t i = 0; i < a->skipped_count; i++) {
		free(a->skipped[i].source);
		free(a->skipped[i].reason);
	}
	for (size_t i = 0; i < a->folder_count; i++)
		free(a->folders[i].path);
	free(a->keys);
	free(a->skipped);
	free(a->folders);
	*a = (struct auths){ 0 };
}
