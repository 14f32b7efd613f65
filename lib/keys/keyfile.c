#include "keys/keyfile.h"

#include "base/dotenv.h"
#include "base/json.h"
#include "base/toml.h"

#include <stdlib.h>
#include <string.h>

#define EMAIL_MAX 254

static const char *const preferred[] = { "managed:kimi-code", "kimi-for-coding", "moonshot-ai" };

static const char *const email_fields[] = {
	"KMI_ACCOUNT_EMAIL", "KMI_EMAIL", "EMAIL",
	"email", "account_email", "user_email", "login_email", "user", "account",
};

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Takes `suffix` (any case) off the name unless nothing but a hidden name would be left. */
static bool
cut_suffix(struct str *name, const char *suffix)
{
	size_t n = strlen(suffix);

	if (name->n <= n || !str_caseis(str_sub(*name, name->n - n, name->n), suffix))
		return false;
	name->n -= n;
	return true;
}

static bool
split_name(const char *file_name, struct str *stem, enum key_format *format)
{
	bool backup;

	*stem = str_from(file_name);
	backup = cut_suffix(stem, ".bak");
	if (cut_suffix(stem, ".env"))
		*format = KEY_ENV;
	else if (cut_suffix(stem, ".toml"))
		*format = KEY_TOML;
	else if (cut_suffix(stem, ".json") || backup)
		*format = KEY_JSON;
	else
		return false;
	return true;
}

bool
keyfile_format(const char *file_name, enum key_format *out)
{
	struct str stem;

	return split_name(file_name, &stem, out);
}

size_t
keyfile_stem(const char *file_name)
{
	enum key_format format;
	struct str stem;

	split_name(file_name, &stem, &format);
	return stem.n;
}

/* Room for one more element in an array that doubles whenever it is full; NULL when memory is out. */
static void *
grow(void *array, size_t count, size_t size)
{
	bool full = (count & (count - 1)) == 0;

	return full ? reallocarray(array, count ? count * 2 : 1, size) : array;
}

static struct keyfile_table *
add_table(struct keyfile *k, struct str name)
{
	struct keyfile_table *more = grow(k->tables, k->count, sizeof(*more)), *t;

	if (!more)
		return NULL;
	k->tables = more;
	t = &more[k->count];
	*t = (struct keyfile_table){ 0 };
	if (name.p && !(t->name = str_dup(name)))
		return NULL;
	k->count++;
	return t;
}

/* Takes the value over, also when it fails; NULL stands for what is not a string. */
static int
add_field(struct keyfile_table *t, struct str name, char *value)
{
	struct keyfile_field *more = grow(t->fields, t->count, sizeof(*more));

	if (!more)
		goto fail;
	t->fields = more;
	more[t->count] = (struct keyfile_field){ .name = str_dup(name), .value = value };
	if (!more[t->count].name)
		goto fail;
	t->count++;
	return 0;
fail:
	if (value)
		explicit_bzero(value, strlen(value));
	free(value);
	return -1;
}

static const struct keyfile_field *
find_field(const struct keyfile_table *t, const char *name)
{
	/* From the end: of several equal names in a .env file the last one counts. */
	for (size_t i = t->count; i-- > 0;)
		if (strcmp(t->fields[i].name, name) == 0)
			return &t->fields[i];
	return NULL;
}

/* A string that is not empty, else NULL. */
static const char *
field_text(const struct keyfile_table *t, const char *name)
{
	const struct keyfile_field *field = find_field(t, name);

	return field && field->value && *field->value ? field->value : NULL;
}

static int
read_env(struct keyfile *k, struct str text, struct fail *f)
{
	struct keyfile_table *t = add_table(k, (struct str){ 0 });
	struct dotenv d = { 0 };
	int rc = -1;

	if (!t) {
		fail_memory(f);
		goto out;
	}
	if (dotenv_parse(&d, text, f) < 0)
		goto out;
	for (size_t i = 0; i < d.count; i++) {
		char *value = strdup(d.entries[i].value);

		if (!value || add_field(t, str_from(d.entries[i].name), value) < 0) {
			fail_memory(f);
			goto out;
		}
	}
	rc = 0;
out:
	dotenv_free(&d);
	return rc;
}

static int
add_toml_table(struct keyfile *k, struct str name, const struct toml *table, struct fail *f)
{
	struct keyfile_table *t = add_table(k, name);

	if (!t)
		return fail_memory(f);
	for (const struct toml *m = toml_first(table); m; m = toml_next(m)) {
		size_t n = 0;
		const char *s = toml_string(m, &n);
		char *value = s && !memchr(s, '\0', n) ? strdup(s) : NULL;

		if (add_field(t, toml_key(m), value) < 0)
			return fail_memory(f);
	}
	return 0;
}

static int
read_toml(struct keyfile *k, struct str text, struct fail *f)
{
	struct toml *root = NULL;
	int rc;

	if (toml_parse(&root, text, f) < 0)
		return -1;
	rc = add_toml_table(k, (struct str){ 0 }, root, f);
	for (const struct toml *m = toml_first(root); m && rc == 0; m = toml_next(m)) {
		struct str key = toml_key(m);

		if (toml_type(m) != TOML_TABLE)
			continue;
		/* Some tools write the header ["providers.x"], one quoted key, and mean [providers.x]. */
		if (str_starts(key, "providers."))
			rc = add_toml_table(k, str_sub(key, strlen("providers."), key.n), m, f);
		if (!str_is(key, "providers"))
			continue;
		for (const struct toml *p = toml_first(m); p && rc == 0; p = toml_next(p))
			if (toml_type(p) == TOML_TABLE)
				rc = add_toml_table(k, toml_key(p), p, f);
	}
	toml_free(root);
	return rc;
}

static int
add_json_table(struct keyfile *k, struct str name, const struct json *j, int object, struct fail *f)
{
	struct keyfile_table *t = add_table(k, name);

	if (!t)
		return fail_memory(f);
	for (int v = json_first(j, object); v >= 0; v = json_next(j, v)) {
		struct buf key = BUF(j->text.n + 16);
		int rc = 0;

		json_name(j, v, &key);
		if (buf_bad(&key))
			rc = -1;
		else if (json_type(j, v) != JSON_NULL)
			rc = add_field(t, buf_view(&key), json_strdup(j, v));
		buf_free(&key);
		if (rc < 0)
			return fail_memory(f);
	}
	return 0;
}

static int
add_json_provider(struct keyfile *k, struct str name, const struct json *j, int v, struct fail *f)
{
	/* An empty name still is one. */
	return json_type(j, v) == JSON_OBJECT ? add_json_table(k, name.p ? name : STR(""), j, v, f) : 0;
}

static int
read_json(struct keyfile *k, struct str text, struct fail *f)
{
	struct buf name = BUF(text.n + 16);
	struct json j = { 0 };
	int rc = -1;

	if (json_parse(&j, text, f) < 0)
		goto out;
	if (json_type(&j, 0) != JSON_OBJECT) {
		fail_set(f, FAIL_INPUT, "line 1: not an object {...}");
		goto out;
	}
	rc = add_json_table(k, (struct str){ 0 }, &j, 0, f);
	for (int v = json_first(&j, 0); v >= 0 && rc == 0; v = json_next(&j, v)) {
		struct str key;

		buf_reset(&name);
		json_name(&j, v, &name);
		key = buf_view(&name);
		if (str_starts(key, "providers."))
			rc = add_json_provider(k, str_sub(key, strlen("providers."), key.n), &j, v, f);
		if (!str_is(key, "providers") || json_type(&j, v) != JSON_OBJECT)
			continue;
		for (int p = json_first(&j, v); p >= 0 && rc == 0; p = json_next(&j, p)) {
			buf_reset(&name);
			json_name(&j, p, &name);
			rc = add_json_provider(k, buf_view(&name), &j, p, f);
		}
	}
out:
	json_free(&j);
	buf_free(&name);
	return rc;
}

static const char *
key_name(const struct keyfile *k)
{
	return k->format == KEY_ENV ? "KMI_API_KEY" : "api_key";
}

/* The lower the better; what is not wanted at all has the rank SIZE_MAX. */
static size_t
rank(const struct keyfile_table *t, const char *wish)
{
	size_t i = 0;

	if (!t->name || !field_text(t, "api_key") || (wish && strcmp(t->name, wish) != 0))
		return SIZE_MAX;
	while (i < LENGTH(preferred) && strcmp(t->name, preferred[i]) != 0)
		i++;
	return i;
}

static const struct keyfile_table *
choose_table(const struct keyfile *k, const char *wish)
{
	const struct keyfile_table *best = NULL;

	if (k->format == KEY_ENV)
		return field_text(&k->tables[0], key_name(k)) ? &k->tables[0] : NULL;
	for (size_t i = 0; i < k->count; i++)
		if (rank(&k->tables[i], wish) < (best ? rank(best, wish) : SIZE_MAX))
			best = &k->tables[i];
	return best;
}

int
keyfile_parse(struct keyfile *k, enum key_format format, struct str text, const char *provider,
    struct fail *f)
{
	const struct keyfile_field *url;
	int rc = -1;

	*k = (struct keyfile){ .format = format };
	if (str_starts(text, "\xef\xbb\xbf"))
		text = str_sub(text, 3, text.n);
	if (!str_utf8(text))
		return fail_set(f, FAIL_INPUT, "not UTF-8 text");
	switch (format) {
	case KEY_ENV:
		rc = read_env(k, text, f);
		break;
	case KEY_TOML:
		rc = read_toml(k, text, f);
		break;
	case KEY_JSON:
		rc = read_json(k, text, f);
		break;
	}
	if (rc < 0)
		return -1;
	k->own = choose_table(k, provider);
	if (!k->own && format == KEY_ENV)
		return fail_set(f, FAIL_INPUT, "no KMI_API_KEY in it");
	if (!k->own && provider)
		return fail_set(f, FAIL_INPUT, "provider \"%s\" has no api_key any more", provider);
	if (!k->own)
		return fail_set(f, FAIL_INPUT, "no provider with an api_key in it");
	/* Taken for absent, it would send the key to a host it is not meant for. */
	url = find_field(k->own, "base_url");
	if (format != KEY_ENV && url && !url->value)
		return fail_set(f, FAIL_INPUT, "base_url is not a text");
	return 0;
}

void
keyfile_free(struct keyfile *k)
{
	for (size_t i = 0; i < k->count; i++) {
		struct keyfile_table *t = &k->tables[i];

		for (size_t n = 0; n < t->count; n++) {
			if (t->fields[n].value)
				explicit_bzero(t->fields[n].value, strlen(t->fields[n].value));
			free(t->fields[n].value);
			free(t->fields[n].name);
		}
		free(t->fields);
		free(t->name);
	}
	free(k->tables);
	*k = (struct keyfile){ 0 };
}

const char *
keyfile_key(const struct keyfile *k)
{
	return field_text(k->own, key_name(k));
}

const char *
keyfile_base_url(const struct keyfile *k)
{
	return field_text(k->own, k->format == KEY_ENV ? "KMI_UPSTREAM_BASE_URL" : "base_url");
}

const char *
keyfile_provider(const struct keyfile *k)
{
	return k->own->name;
}

const char *
keyfile_setting(const struct keyfile *k, const char *name)
{
	return k->format == KEY_ENV ? field_text(k->own, name) : NULL;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
in_local_part(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || (c && strchr("._%+-", c));
}

static bool
in_domain(char c)
{
	return in_local_part(c) && c != '_' && c != '%' && c != '+';
}

/* The longest beginning that ends in a dot and two or more letters: 0 when there is none. */
static size_t
domain_length(struct str s)
{
	size_t end = 0;

	while (s.n) {
		size_t letters = 0;

		while (letters < s.n && is_letter(s.p[s.n - 1 - letters]))
			letters++;
		if (letters >= 2 && s.n > letters + 1 && s.p[s.n - 1 - letters] == '.')
			return s.n;
		for (end = s.n; end > 0 && s.p[end - 1] != '.'; end--)
			;
		s.n = end ? end - 1 : 0;
	}
	return 0;
}

/* The first thing that looks like an e-mail address; empty when there is none. */
static struct str
find_email(struct str s)
{
	for (size_t at = 0; at < s.n; at++) {
		size_t from = at, to = at + 1;

		if (s.p[at] != '@')
			continue;
		while (from > 0 && in_local_part(s.p[from - 1]))
			from--;
		while (to < s.n && in_domain(s.p[to]))
			to++;
		to = at + 1 + domain_length(str_sub(s, at + 1, to));
		/* "https://user:password@host.com" is no address, and not to be shown. */
		if (from < at && to > at + 1 && to - from <= EMAIL_MAX &&
		    !(from > 0 && (s.p[from - 1] == ':' || s.p[from - 1] == '/')))
			return str_sub(s, from, to);
	}
	return (struct str){ 0 };
}

static struct str
email_in_table(const struct keyfile_table *t, const char *secret)
{
	struct str found = { 0 };

	for (size_t i = 0; i < LENGTH(email_fields) && !found.n; i++)
		found = find_email(str_from(field_text(t, email_fields[i])));
	for (size_t i = 0; i < t->count && !found.n; i++)
		if (t->fields[i].value && strcmp(t->fields[i].name, secret) != 0)
			found = find_email(str_from(t->fields[i].value));
	return found;
}

char *
keyfile_email(const struct keyfile *k, struct str text, const char *file_name)
{
	struct str found = email_in_table(k->own, key_name(k));

	if (!found.n)
		found = email_in_table(&k->tables[0], key_name(k));
	if (!found.n)
		found = find_email((struct str){ file_name, keyfile_stem(file_name) });
	/* A key that looks like an address itself must not come out this way. */
	if (!found.n && k->format != KEY_ENV && !strchr(keyfile_key(k), '@'))
		found = find_email(text);
	return found.n ? str_dup(found) : NULL;
}
