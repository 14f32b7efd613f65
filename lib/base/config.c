#include "base/config.h"

#include "base/dotenv.h"
#include "base/endpoint.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/secret.h"
#include "base/setting.h"
#include "base/toml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "KMI_"
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
#define TOML_FILE "kmi.config.toml"
#define MACHINE_FILE KMI_ETC "/kmi.env"
#define FILE_MAX (1u << 20)
#define SHOWN_MAX 100		/* of a value, in an error */
#define WARNINGS_MAX 32		/* a file of another program must not cost seconds or fill the screen */

/* Names that belong in key files, or to this file alone: known, and no settings. */
static const char *const not_settings[] = { "KMI_ENV_PATH", "KMI_API_KEY", "KMI_KEY_LABEL", "KMI_KEY_PRIORITY",
	"KMI_KEY_DISABLED", "KMI_ACCOUNT_EMAIL", "KMI_EMAIL", "KMI_KEY_ACCOUNT", "KMI_KEY_MAX_CONCURRENCY",
	"KMI_KEY_MAX_RPM" };

#define OTHERS (sizeof(not_settings) / sizeof(*not_settings))

/* What the highest source so far says of one setting. */
struct pick {
	const char *text;		/* NULL: a TOML value, or the default */
	const struct toml *node;
	const char *file;
	int line;
	enum config_source source;
};

struct unknown {
	struct str name;		/* without KMI_ */
	struct pick from;
};

struct load {
	struct pick picks[SETTINGS_MAX];
	struct unknown unknown[WARNINGS_MAX];
	size_t unknown_count;		/* may be more than there is room for */
	struct toml *toml;
	struct buf toml_text;
	struct dotenv machine, dotenv, named;
	char *toml_path, *named_path;
	void (*refused)(const struct fail *why, void *arg);	/* NULL: the first fault is the end */
	void *arg;
};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The keys of TOML files are lower case, and only that. */
static bool
is_lower_of(struct str key, const char *name)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] != lower(name[i]) || !name[i])
			return false;
	return !name[key.n];
}

/* Without KMI_, as on a command line and, in lower case, in TOML. */
static const char *
short_name(const char *name)
{
	return name + PREFIX_LENGTH;
}

static void
describe_source(enum config_source source, const char *file, int line, struct buf *out)
{
	const char *name = file ? file : text_say(config_source_name(source));

	if (line)
		buf_printf(out, _("%s, line %d"), name, line);
	else
		buf_puts(out, name);
}

static bool
is_other(struct str name)
{
	for (size_t i = 0; i < OTHERS; i++)
		if (str_is(name, not_settings[i]))
			return true;
	return false;
}

/* Short names both: with the prefix, all names would seem near. */
static const char *
nearest(const char *name, bool with_others)
{
	const char *known[SETTINGS_MAX + OTHERS + 1];
	size_t n = 0;

	for (size_t i = 0; i < settings_count; i++)
		known[n++] = short_name(settings[i].name);
	for (size_t i = 0; with_others && i < OTHERS; i++)
		known[n++] = short_name(not_settings[i]);
	known[n] = NULL;
	return nearest_word(name, known);
}

/* Told later: the sources may yet say in which language. */
static void
note_unknown(struct load *l, struct str name, const struct pick *from)
{
	if (l->unknown_count < WARNINGS_MAX)
		l->unknown[l->unknown_count] = (struct unknown){ name, *from };
	l->unknown_count++;
}

/* "KMI_DRYRUN (environment) is no setting; did you mean KMI_DRY_RUN?", in the spelling of its source. */
static void
describe_unknown(const struct unknown *u, struct buf *out)
{
	bool toml = u->from.source == CONFIG_TOML;
	struct buf source = BUF(8192), name = BUF(128);
	char word[65];
	const char *near;

	snprintf(word, sizeof(word), "%.*s", STR_F(u->name));
	describe_source(u->from.source, u->from.file, u->from.line, &source);
	near = nearest(word, !toml);
	for (const char *p = near; p && *p; p++)
		buf_putc(&name, toml ? lower(*p) : *p);
	if (near)
		buf_printf(out, _("%s%s (%.*s) is no setting; did you mean %s%.*s?"), toml ? "" : PREFIX, word,
		    STR_F(buf_view(&source)), toml ? "" : PREFIX, STR_F(buf_view(&name)));
	else
		buf_printf(out, _("%s%s (%.*s) is no setting"), toml ? "" : PREFIX, word, STR_F(buf_view(&source)));
	buf_free(&source);
	buf_free(&name);
}

static int
warn_unknown(struct config *c, const struct load *l, struct fail *f)
{
	for (size_t i = 0; i < l->unknown_count && i <= WARNINGS_MAX; i++) {
		struct buf b = BUF(8192);

		if (i < WARNINGS_MAX)
			describe_unknown(&l->unknown[i], &b);
		else
			buf_puts(&b, _("more unknown names are not listed"));
		c->warnings[i] = buf_bad(&b) ? NULL : str_dup(buf_view(&b));
		buf_free(&b);
		if (!c->warnings[i])
			return fail_memory(f);
	}
	return 0;
}

/* A KMI_ variable of any source that has such. */
static void
take(struct load *l, struct str name, struct pick p)
{
	if (!str_starts(name, PREFIX) || is_other(name))
		return;
	for (size_t i = 0; i < settings_count; i++)
		if (str_is(name, settings[i].name)) {
			l->picks[i] = p;
			return;
		}
	note_unknown(l, str_sub(name, PREFIX_LENGTH, name.n), &p);
}

/* A file that is not there says nothing; one that is there and cannot be read is an error. */
static bool
is_absent(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 || S_ISDIR(st.st_mode);	/* `.env` is a popular folder name, too */
}

/* The machine's file may hold a token: who may not read it is not meant by it. */
static bool
is_not_for_us(const char *path, enum config_source source)
{
	return (source == CONFIG_DOTENV && is_absent(path)) ||
	    (source == CONFIG_MACHINE && (is_absent(path) || access(path, R_OK) < 0));
}

static int
read_dotenv(struct load *l, const char *path, enum config_source source, struct dotenv *d, struct fail *f)
{
	struct buf text = BUF(FILE_MAX);
	struct fail why;
	int rc = 0;

	if (file_read(path, FILE_MAX, &text, NULL, &why) < 0) {
		if (is_not_for_us(path, source))
			goto out;
		rc = source == CONFIG_ENV_PATH ? fail_set(f, FAIL_USAGE, "the file of KMI_ENV_PATH: %s", why.text) :
		    fail_set(f, FAIL_USAGE, "%s", why.text);
		goto out;
	}
	if (dotenv_parse(d, buf_view(&text), &why) < 0) {
		rc = why.kind == FAIL_INPUT ? fail_set(f, FAIL_USAGE, "%s: %s", path, why.text) : fail_memory(f);
		goto out;
	}
	for (size_t i = 0; i < d->count; i++) {
		const struct dotenv_entry *e = &d->entries[i];

		take(l, str_from(e->name), (struct pick){ e->value, NULL, path, e->line, source });
	}
out:
	buf_wipe(&text);
	return rc;
}

static void
read_environment(struct load *l)
{
	const char *no_color = getenv("NO_COLOR");

	if (no_color && *no_color)
		take(l, STR(PREFIX "NO_COLOR"), (struct pick){ .text = "1", .source = CONFIG_ENVIRONMENT });
	for (char *const *e = environ; e && *e; e++) {
		struct str value, name;

		if (strncmp(*e, PREFIX, PREFIX_LENGTH) != 0)
			continue;
		value = str_from(*e);
		name = str_cut(&value, '=');
		take(l, name, (struct pick){ .text = value.p, .source = CONFIG_ENVIRONMENT });
	}
}

static int
read_arguments(struct load *l, const char *const *args, struct fail *f)
{
	for (; args && *args; args++) {
		struct str value = str_from(*args), name = str_cut(&value, '=');
		size_t i = 0;

		while (i < settings_count && !str_is(name, short_name(settings[i].name)))
			i++;
		if (i == settings_count)
			return fail_set(f, FAIL_USAGE, "%.*s (command line) is no setting", STR_F(name));
		l->picks[i] = (struct pick){ .text = value.p, .source = CONFIG_ARGUMENT };
	}
	return 0;
}

static void
take_toml(struct load *l, const struct toml *node)
{
	struct pick p = { .node = node, .file = l->toml_path, .line = toml_line(node), .source = CONFIG_TOML };
	struct str key = toml_key(node);

	for (size_t i = 0; i < settings_count; i++)
		if (is_lower_of(key, short_name(settings[i].name))) {
			l->picks[i] = p;
			return;
		}
	note_unknown(l, key, &p);
}

static int
read_toml(struct load *l, struct fail *f)
{
	struct fail why;
	int rc;

	l->toml_text = BUF(FILE_MAX);
	l->toml_path = strdup(TOML_FILE);
	if (!l->toml_path)
		return fail_memory(f);
	rc = file_read(l->toml_path, FILE_MAX, &l->toml_text, NULL, &why);
	if (rc < 0 && is_absent(l->toml_path)) {
		free(l->toml_path);
		l->toml_path = file_expand("~/.kmi/" TOML_FILE);
		if (!l->toml_path)
			return fail_memory(f);
		rc = file_read(l->toml_path, FILE_MAX, &l->toml_text, NULL, &why);
		if (rc < 0 && is_absent(l->toml_path))
			return 0;
	}
	if (rc < 0)
		return fail_set(f, FAIL_USAGE, "%s", why.text);
	if (toml_parse(&l->toml, buf_view(&l->toml_text), &why) < 0)
		return why.kind == FAIL_INPUT ? fail_set(f, FAIL_USAGE, "%s: %s", l->toml_path, why.text) : fail_memory(f);
	for (const struct toml *node = toml_first(l->toml); node; node = toml_next(node))
		take_toml(l, node);
	return 0;
}

/* What failed, told to somebody who wants to know all that is wrong: then it is as if that had not been given. */
static int
refuse(const struct load *l, struct fail *f)
{
	if (!l->refused || f->kind == FAIL_SYSTEM)
		return -1;
	l->refused(f, l->arg);
	*f = (struct fail){ 0 };
	return 0;
}

static int
read_sources(struct load *l, const char *const *args, struct fail *f)
{
	const char *named = getenv(PREFIX "ENV_PATH");

	if (read_dotenv(l, MACHINE_FILE, CONFIG_MACHINE, &l->machine, f) < 0 && refuse(l, f) < 0)
		return -1;
	if (read_toml(l, f) < 0 && refuse(l, f) < 0)
		return -1;
	if (read_dotenv(l, ".env", CONFIG_DOTENV, &l->dotenv, f) < 0 && refuse(l, f) < 0)
		return -1;
	read_environment(l);
	if (named && *named) {
		l->named_path = file_expand(named);
		if (!l->named_path)
			return fail_memory(f);
		if (read_dotenv(l, l->named_path, CONFIG_ENV_PATH, &l->named, f) < 0 && refuse(l, f) < 0)
			return -1;
	}
	return read_arguments(l, args, f) < 0 ? refuse(l, f) : 0;
}

/* ---- Deciding: each setting's value from the highest source ---- */

/* The value as an error may show it: never a secret, nor a URL that has a password in it; not too long. */
static void
show_value(const struct setting *s, struct str value, struct buf *out)
{
	size_t n = value.n > SHOWN_MAX ? SHOWN_MAX : value.n;

	if (s->secret || (s->kind == SETTING_URL && str_find(value, STR("@")) >= 0)) {
		buf_puts(out, "\"***\"");
		return;
	}
	while (n && n < value.n && (value.p[n] & 0xc0) == 0x80)
		n--;	/* no half a letter */
	buf_printf(out, "\"%.*s%s\"", (int)n, value.p, n < value.n ? "..." : "");
}

static int
say_refused(size_t i, struct str value, const struct pick *p, const char *type_wanted, struct fail *f)
{
	struct buf shown = BUF(8192), source = BUF(8192), allowed = BUF(8192);

	show_value(&settings[i], value, &shown);
	describe_source(p->source, p->file, p->line, &source);
	if (type_wanted)
		buf_puts(&allowed, text_say(type_wanted));
	else
		setting_allowed(&settings[i], &allowed);
	if (buf_bad(&shown) || buf_bad(&source) || buf_bad(&allowed))
		fail_memory(f);
	else
		fail_set(f, FAIL_USAGE, "%s is %s (%s); allowed: %s", settings[i].name, shown.p, source.p, allowed.p);
	buf_free(&shown);
	buf_free(&source);
	buf_free(&allowed);
	if (value.n == 0)
		fail_hint(f, "to have the default, take the variable away");
	return -1;
}

static int
settle(struct config *c, const struct load *l, size_t i, struct fail *f)
{
	const struct pick *p = &l->picks[i];
	struct buf text = BUF(SETTING_VALUE_MAX + 1);
	struct fail why = { 0 };
	size_t from = 0, to = 0;
	int rc = -1;

	if (p->node && setting_toml(&settings[i], p->node, &text) < 0) {
		toml_span(p->node, &from, &to);
		say_refused(i, str_sub(buf_view(&l->toml_text), from, to), p, setting_toml_type(&settings[i]), f);
		goto out;
	}
	if (p->text)
		buf_puts(&text, p->text);
	else if (!p->node)
		setting_default(&settings[i], &text);
	if (buf_bad(&text)) {
		say_refused(i, STR("(too long)"), p, NULL, f);
		goto out;
	}
	rc = setting_set(c, &settings[i], buf_view(&text).p, &why);
	if (rc == 0 && settings[i].kind == SETTING_URL)
		rc = config_check_url(c, c->upstream_base_url, &why);
	if (rc < 0 && why.kind == FAIL_SYSTEM)
		fail_memory(f);
	else if (rc < 0)
		say_refused(i, buf_view(&text), p, NULL, f);
	if (rc < 0 && why.kind != FAIL_SYSTEM && why.text[0])
		fail_hint(f, "%s", why.text);
	if (rc < 0)
		goto out;
	c->origins[i].source = p->source;
	c->origins[i].line = p->line;
	if (p->file && !(c->origins[i].file = strdup(p->file)))
		rc = fail_memory(f);
out:
	buf_wipe(&text);
	return rc;
}

/* A setting whose value is refused has its default, even if the other settings refuse that, too. */
static int
settle_around(struct config *c, struct load *l, size_t i, struct fail *f)
{
	if (settle(c, l, i, f) == 0)
		return 0;
	if (refuse(l, f) < 0)
		return -1;
	setting_free(c, &settings[i]);
	l->picks[i] = (struct pick){ .source = CONFIG_DEFAULT };
	if (settle(c, l, i, f) < 0 && f->kind == FAIL_SYSTEM)
		return -1;
	*f = (struct fail){ 0 };
	return 0;
}

static void
load_free(struct load *l)
{
	toml_free(l->toml);
	buf_wipe(&l->toml_text);
	dotenv_free(&l->machine);
	dotenv_free(&l->dotenv);
	dotenv_free(&l->named);
	free(l->toml_path);
	free(l->named_path);
}

/* What comes by another setting comes from where that does. */
static int
same_origin(struct config *c, const char *name, const char *by, struct fail *f)
{
	const struct config_origin *from = &c->origins[config_find(by)];
	struct config_origin *to = &c->origins[config_find(name)];

	to->source = from->source;
	to->line = from->line;
	free(to->file);
	to->file = from->file ? strdup(from->file) : NULL;
	return from->file && !to->file ? fail_memory(f) : 0;
}

/* The token from its file, as a supervisor hands secrets on: with blanks and a newline at its ends, perhaps. */
static int
read_token(struct config *c, struct fail *f)
{
	const struct setting *token = &settings[config_find("PROXY_TOKEN")];
	struct buf text = BUF(FILE_MAX), trimmed = BUF(FILE_MAX);
	struct fail why = { 0 };
	int rc = -1;

	if (!c->proxy_token_file || !*c->proxy_token_file)
		return 0;
	if (c->proxy_token && *c->proxy_token)
		return fail_set(f, FAIL_USAGE, "KMI_PROXY_TOKEN and KMI_PROXY_TOKEN_FILE are both set: which one counts?");
	if (file_read(c->proxy_token_file, FILE_MAX - 1, &text, NULL, &why) < 0) {
		fail_set(f, FAIL_USAGE, "KMI_PROXY_TOKEN_FILE: %s", why.text);
		goto out;
	}
	buf_str(&trimmed, str_trim(buf_view(&text)));
	free(c->proxy_token);	/* the empty one */
	c->proxy_token = NULL;
	if (!trimmed.n || strlen(trimmed.p) != trimmed.n)
		fail_set(f, FAIL_USAGE, "KMI_PROXY_TOKEN_FILE: there is no token in %s", c->proxy_token_file);
	else if (setting_set(c, token, trimmed.p, &why) < 0)
		fail_set(f, FAIL_USAGE, "KMI_PROXY_TOKEN_FILE: what %s holds is no token: visible ASCII without blanks", c->proxy_token_file);
	else
		rc = same_origin(c, "PROXY_TOKEN", "PROXY_TOKEN_FILE", f);
out:
	buf_wipe(&text);
	buf_wipe(&trimmed);
	return rc;
}

static int
load(struct config *c, struct load *l, const char *const *args, struct fail *f)
{
	int rc = -1;

	*c = (struct config){ .origins = calloc(settings_count, sizeof(*c->origins)),
		.warnings = calloc(WARNINGS_MAX + 2, sizeof(*c->warnings)) };
	if (!c->origins || !c->warnings) {
		fail_memory(f);
		goto out;
	}
	if (read_sources(l, args, f) < 0 || settle_around(c, l, (size_t)config_find("LOCALE"), f) < 0)
		goto out;
	text_locale_set(c->locale);	/* what else is wrong is said in it */
	if (warn_unknown(c, l, f) < 0)
		goto out;
	for (size_t i = 0; i < settings_count; i++)
		if (settings[i].offset != offsetof(struct config, locale) && settle_around(c, l, i, f) < 0)
			goto out;
	rc = read_token(c, f) < 0 ? refuse(l, f) : 0;
	secret_know(str_from(c->proxy_token));
out:
	load_free(l);
	if (rc < 0)
		config_free(c);
	return rc;
}

int
config_load(struct config *c, const char *const *args, struct fail *f)
{
	struct load l = { .unknown_count = 0 };

	return load(c, &l, args, f);
}

int
config_load_around(struct config *c, const char *const *args, void (*refused)(const struct fail *why, void *arg),
    void *arg, struct fail *f)
{
	struct load l = { .refused = refused, .arg = arg };
	struct fail why = { 0 };	/* the caller's may be NULL */
	int rc = load(c, &l, args, &why);

	if (rc < 0 && f)
		*f = why;
	return rc;
}

void
config_free(struct config *c)
{
	for (size_t i = 0; i < settings_count; i++) {
		setting_free(c, &settings[i]);
		if (c->origins)
			free(c->origins[i].file);
	}
	free(c->origins);
	for (char **w = c->warnings; w && *w; w++)
		free(*w);
	free(c->warnings);
	free(c->listen.host);
	free(c->listen.path);
	free(c->tls_listen.host);
	free(c->tls_listen.path);
	*c = (struct config){ 0 };
}

/* ---- For those who list and ask ---- */

size_t
config_count(void)
{
	return settings_count;
}

const char *
config_name(size_t i)
{
	return settings[i].name;
}

const char *
config_help(size_t i)
{
	return text_say(settings[i].help);
}

bool
config_is_secret(size_t i)
{
	return settings[i].secret;
}

void
config_value(const struct config *c, size_t i, struct buf *out)
{
	setting_value(c, &settings[i], out);
}

void
config_default(size_t i, struct buf *out)
{
	setting_default(&settings[i], out);
}

void
config_allowed(size_t i, struct buf *out)
{
	setting_allowed(&settings[i], out);
}

const char *
config_source_name(enum config_source s)
{
	switch (s) {
	case CONFIG_DEFAULT:
		return N_("default");
	case CONFIG_MACHINE:
		return MACHINE_FILE;
	case CONFIG_TOML:
		return TOML_FILE;
	case CONFIG_DOTENV:
		return ".env";
	case CONFIG_ENVIRONMENT:
		return N_("environment");
	case CONFIG_ENV_PATH:
		return PREFIX "ENV_PATH";
	case CONFIG_ARGUMENT:
		break;
	}
	return N_("command line");
}

void
config_origin(const struct config *c, size_t i, struct buf *out)
{
	describe_source(c->origins[i].source, c->origins[i].file, c->origins[i].line, out);
}

int
config_find(const char *name)
{
	struct str wanted = str_from(name);

	if (str_caseeq(str_sub(wanted, 0, PREFIX_LENGTH), STR(PREFIX)))
		wanted = str_sub(wanted, PREFIX_LENGTH, wanted.n);
	for (size_t i = 0; i < settings_count; i++)
		if (str_caseis(wanted, short_name(settings[i].name)))
			return (int)i;
	return -1;
}

const char *
config_nearest(const char *name)
{
	const char *near;

	if (str_caseeq(str_sub(str_from(name), 0, PREFIX_LENGTH), STR(PREFIX)))
		name += PREFIX_LENGTH;
	near = nearest(name, false);
	return near ? near - PREFIX_LENGTH : NULL;
}

bool
config_host_allowed(const struct config *c, struct str host)
{
	if (!c->upstream_allowlist || !*c->upstream_allowlist)
		return true;
	for (char *const *pattern = c->upstream_allowlist; *pattern; pattern++)
		if (endpoint_matches(str_from(*pattern), host))
			return true;
	return false;
}

int
config_check_url(const struct config *c, const char *url, struct fail *f)
{
	struct str host;
	const char *fault = endpoint_url_fault(endpoint_trim(str_from(url)), &host);

	if (fault)
		return fail_set(f, FAIL_INPUT, "the URL %s", text_say(fault));
	if (!config_host_allowed(c, host))
		return fail_set(f, FAIL_INPUT, "the host %.*s is not in KMI_UPSTREAM_ALLOWLIST", STR_F(host));
	return 0;
}

bool
config_has_tls(const struct config *c)
{
	return (c->proxy_tls_cert && *c->proxy_tls_cert) || (c->proxy_tls_key && *c->proxy_tls_key);
}

bool
config_listen_is_tls(const struct config *c)
{
	return config_has_tls(c) && !(c->proxy_tls_listen && *c->proxy_tls_listen);
}

const char *
config_scheme(const struct config *c)
{
	return config_listen_is_tls(c) ? "https" : "http";
}
