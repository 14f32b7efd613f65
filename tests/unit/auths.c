#include "keys/auths.h"

#include "base/clock.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_URL "https://api.example.com/coding/v1"

static char dir[] = "/tmp/kmi-auths.XXXXXX";
static struct auths pool;
static struct fail f;

static void
shell(const char *command)
{
	if (system(command) != 0)
		printf("# failed: %s\n", command);
}

static void
put_bytes(const char *name, const char *text, size_t n)
{
	char path[512];
	FILE *fp;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fp = fopen(path, "w");
	if (!fp || fwrite(text, 1, n, fp) != n || fclose(fp) != 0)
		printf("# could not write %s\n", path);
}

static void
put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static void
clear(void)
{
	char command[512];

	auths_free(&pool);
	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s/*  %s/.[a-z]*", dir, dir, dir);
	shell(command);
}

static int
scan(void)
{
	struct config c = { .auths_dir = dir, .upstream_base_url = (char[]){ DEFAULT_URL } };

	auths_free(&pool);
	return auths_scan(&pool, &c, &f);
}

/* The key of that label; one with nothing in it when the pool has none. */
static const struct auth *
key(const char *label)
{
	static const struct auth none;

	for (size_t i = 0; i < pool.count; i++)
		if (strcmp(pool.keys[i].label, label) == 0)
			return &pool.keys[i];
	return &none;
}

/* The reason a file was skipped for, "" when it was not. */
static const char *
reason(const char *name)
{
	for (size_t i = 0; i < pool.skipped_count; i++) {
		const char *source = pool.skipped[i].source;

		if (strlen(source) > strlen(name) &&
		    strcmp(source + strlen(source) - strlen(name), name) == 0)
			return pool.skipped[i].reason;
	}
	return "";
}

static bool
said(const char *name, const char *words)
{
	bool ok = strstr(reason(name), words) != NULL;

	if (!ok)
		printf("# %s: %s\n", name, reason(name));
	return ok;
}

/* The labels in pool order, "a b c". */
static const char *
order(void)
{
	static char line[1024];

	line[0] = '\0';
	for (size_t i = 0; i < pool.count; i++) {
		strcat(line, i ? " " : "");
		strcat(line, pool.keys[i].label);
	}
	return line;
}

static void
check_label(const char *name, const char *want)
{
	struct buf b = BUF(1024);

	auths_label(name, &b);
	buf_puts(&b, "");
	CHECK_STR(b.p, want);
	buf_free(&b);
}

static void
test_labels(void)
{
	check_label("Anna_config.toml", "Anna");
	check_label("Anna-Config.toml", "Anna");
	check_label("annaCONFIG.toml", "anna");
	check_label("anna__config.env", "anna");
	check_label("anna-_.env", "anna");
	check_label("anna config.env", "anna");
	check_label("config.toml", "config");
	check_label("_config.toml", "_config");
	check_label("configuration.toml", "configuration");
	check_label("x.json.bak", "x");
	check_label("x.bak", "x");
	check_label("x.toml.bak", "x");
	check_label("a.b.env", "a.b");
	check_label(" x .env", "x");
	check_label("x.ENV", "x");
}

static void
check_mask(const char *secret, const char *want)
{
	struct buf b = BUF(64);

	auths_mask(str_from(secret), &b);
	buf_puts(&b, "");
	CHECK_STR(b.p, want);
	buf_free(&b);
}

static void
test_pieces(void)
{
	char longest[KEY_MAX + 2];

	check_mask("sk-fake-12345", "sk-f***2345");
	check_mask("123456789", "1234***6789");
	check_mask("12345678", "********");
	check_mask("1", "*");
	check_mask("", "");
	memset(longest, 'k', sizeof(longest));
	CHECK(auths_key_ok(STR("!~")));
	CHECK(!auths_key_ok(STR("")));
	CHECK(!auths_key_ok(STR("a b")));
	CHECK(!auths_key_ok(STR("a\n")));
	CHECK(!auths_key_ok(STR("a\x7f")));
	CHECK(!auths_key_ok(STR("\xd0\xba")));
	CHECK(auths_key_ok((struct str){ longest, KEY_MAX }));
	CHECK(!auths_key_ok((struct str){ longest, KEY_MAX + 1 }));
	CHECK_STR(auths_format_name(KEY_TOML), "toml");
}

static void
test_env(void)
{
	const struct auth *k;

	clear();
	put("plain.env", "KMI_API_KEY=sk-fake-plain-0001\n");
	put("full.env",
	    "# a comment\nexport KMI_API_KEY='sk-fake-full-0002'\nKMI_KEY_LABEL=\" Boss_config \"\n"
	    "KMI_KEY_PRIORITY=7 # "
	    "first\nKMI_KEY_DISABLED=Yes\nKMI_UPSTREAM_BASE_URL=https://other.example/v1//\n"
	    "KMI_ACCOUNT_EMAIL=Anna <anna@example.com>\nKMI_KEY_ACCOUNT= shared \nKMI_KEY_MAX_CONCURRENCY=3\n"
	    "KMI_KEY_MAX_RPM=60\n");
	put("empty.env",
	    "KMI_API_KEY=sk-fake-empty-0003\nKMI_KEY_LABEL=\nKMI_KEY_PRIORITY=\nKMI_KEY_DISABLED=\n"
	    "KMI_UPSTREAM_BASE_URL=\nKMI_KEY_ACCOUNT=\"  \"\nKMI_KEY_MAX_RPM=\n");
	put("bom.env", "\xef\xbb\xbfKMI_API_KEY=sk-fake-bom-0004\r\n");
	put("twice.env", "KMI_API_KEY=sk-fake-first-05\nKMI_API_KEY=sk-fake-second-05\n");
	CHECK(scan() == 0);
	CHECK_STR(order(), "Boss bom empty plain twice");
	CHECK_INT(pool.skipped_count, 0);
	k = key("plain");
	CHECK(k->path && k->priority == 0 && !k->disabled && !k->email && !k->provider &&
	      k->format == KEY_ENV && !k->max_concurrency && !k->max_rpm);
	CHECK_STR(k->base_url, DEFAULT_URL);
	CHECK_STR(k->account, "plain");
	CHECK_STR(k->masked, "sk-f***0001");
	CHECK_INT(strlen(k->hash), 12);
	CHECK(k->path && strncmp(k->path, dir, strlen(dir)) == 0);
	k = key("Boss");
	CHECK(k->priority == 7 && k->disabled && k->max_concurrency == 3 && k->max_rpm == 60);
	CHECK_STR(k->base_url, "https://other.example/v1");
	CHECK_STR(k->email, "anna@example.com");
	CHECK_STR(k->account, "shared");
	CHECK_STR(k->masked, "sk-f***0002");
	k = key("empty");
	CHECK(k->priority == 0 && !k->disabled);
	CHECK_STR(k->base_url, DEFAULT_URL);
	CHECK_STR(k->account, "empty");
	CHECK_STR(key("bom")->masked, "sk-f***0004");
	CHECK_STR(key("twice")->masked, "sk-f***d-05");
}

static void
test_env_faults(void)
{
	char large[KEY_MAX + 64];

	clear();
	put("a-good.env", "KMI_API_KEY=sk-fake-good-0001\n");
	put("b-nothing.env", "");
	put("c-nokey.env", "KMI_KEY_LABEL=x\n");
	put("d-emptykey.env", "KMI_API_KEY=\n");
	put("e-syntax.env", "KMI_API_KEY=sk-fake-syntax-01\n\nKMI_KEY_LABEL='open\n");
	put("f-accent.env", "KMI_API_KEY=sk-fake-\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\n");
	put("g-space.env", "KMI_API_KEY=' sk-fake-space-01'\n");
	put("h-latin1.env", "# caf\xe9\nKMI_API_KEY=sk-fake-latin-01\n");
	put("i-url.env", "KMI_API_KEY=sk-fake-url-0001\nKMI_UPSTREAM_BASE_URL=http://plain.example/v1\n");
	put("j-priority.env", "KMI_API_KEY=sk-fake-prio-001\nKMI_KEY_PRIORITY=high\n");
	put("k-disabled.env", "KMI_API_KEY=sk-fake-disa-001\nKMI_KEY_DISABLED=perhaps\n");
	put("l-label.env", "KMI_API_KEY=sk-fake-labe-001\nKMI_KEY_LABEL=\"a\\nb\"\n");
	memset(large, 'k', sizeof(large));
	memcpy(large, "KMI_API_KEY=", 12);
	put_bytes("m-long.env", large, sizeof(large));
	put_bytes("n-utf16.env", "\xff\xfeK\0M\0I\0", 8);
	put("o-rpm.env", "KMI_API_KEY=sk-fake-rpm-0001\nKMI_KEY_MAX_RPM=-1\n");
	put("z-good.env", "KMI_API_KEY=sk-fake-good-0002\n");
	CHECK(scan() == 0);
	CHECK_STR(order(), "a-good z-good");
	CHECK_INT(pool.skipped_count, 14);
	CHECK(said("b-nothing.env", "no KMI_API_KEY"));
	CHECK(said("c-nokey.env", "no KMI_API_KEY"));
	CHECK(said("d-emptykey.env", "no KMI_API_KEY"));
	CHECK(said("e-syntax.env", "line 3"));
	CHECK(said("f-accent.env", "visible ASCII"));
	CHECK(said("g-space.env", "visible ASCII"));
	CHECK(said("h-latin1.env", "UTF-8"));
	CHECK(said("i-url.env", "https"));
	CHECK(said("j-priority.env", "KMI_KEY_PRIORITY"));
	CHECK(said("k-disabled.env", "KMI_KEY_DISABLED"));
	CHECK(said("l-label.env", "control character"));
	CHECK(said("m-long.env", "longer than 4096"));
	CHECK(said("n-utf16.env", "UTF-8"));
	CHECK(said("o-rpm.env", "KMI_KEY_MAX_RPM"));
	for (size_t i = 0; i < pool.skipped_count; i++)
		if (!check_that(!strstr(pool.skipped[i].reason, "sk-fake"), "no reason tells a key", __FILE__,
			__LINE__))
			printf("# %s\n", pool.skipped[i].reason);
}

static void
test_providers(void)
{
	clear();
	put("a.toml",
	    "[providers.first]\napi_key = 'sk-fake-first-01'\n[providers.\"moonshot-ai\"]\n"
	    "api_key = 'sk-fake-moon-01'\n[providers.kimi-for-coding]\napi_key = 'sk-fake-coding-01'\n"
	    "[providers.'managed:kimi-code']\napi_key = 'sk-fake-managed-01'\nbase_url = "
	    "'https://m.example/v1/'\n");
	put("b.toml",
	    "[providers.\"managed:kimi-code\"]\napi_key = ''\n[providers.moonshot-ai]\n"
	    "api_key = 'sk-fake-moon-02'\n[providers.kimi-for-coding]\napi_key = \"sk-fake-coding-02\"\n");
	put("c.toml",
	    "[providers.none]\nbase_url = 'https://c.example'\n[providers.x]\napi_key = 'sk-fake-x-03'\n"
	    "[providers.y]\napi_key = 'sk-fake-y-03'\n");
	put("d.toml", "[\"providers.x\"]\napi_key = 'sk-fake-x-04'\n[\"providers.moonshot-ai\"]\n"
		      "api_key = 'sk-fake-moon-04'\n");
	put("e.toml", "[providers.kimi-for-coding]\napi_key = 5\n[providers.y]\napi_key = 'sk-fake-y-05'\n");
	put("f.toml", "api_key = 'sk-fake-top-06'\n");
	put("g.toml", "[providers.x]\napi_key = 'sk-fake-x-07'\nbase_url = 7\n");
	put("h.toml", "[providers.x]\napi_key = 'sk-fake-x-08\n");
	put("i.toml", "\xef\xbb\xbf[providers.x]\r\napi_key = 'sk-fake-x-09'\r\nbase_url = ''\r\n");
	put("j.toml", "[providers.x]\napi_key = \"sk-fake\\u0000-10\"\n");
	put("k.toml", "providers = 3\n");
	put("l.toml", "[providers.x]\napi_key = 'sk-fake-x-12'\nbase_url = 'ftp://x.example'\n");
	CHECK(scan() == 0);
	CHECK_STR(order(), "a b c d e i");
	CHECK_STR(key("a")->provider, "managed:kimi-code");
	CHECK_STR(key("a")->masked, "sk-f***d-01");
	CHECK_STR(key("a")->base_url, "https://m.example/v1");
	CHECK_STR(key("b")->provider, "kimi-for-coding");
	CHECK_STR(key("c")->provider, "x");
	CHECK_STR(key("c")->base_url, DEFAULT_URL);
	CHECK_STR(key("d")->provider, "moonshot-ai");
	CHECK_STR(key("e")->provider, "y");
	CHECK_STR(key("i")->base_url, DEFAULT_URL);
	CHECK(key("a")->format == KEY_TOML);
	CHECK(said("f.toml", "no provider"));
	CHECK(said("g.toml", "base_url"));
	CHECK(said("h.toml", "line 2"));
	CHECK(said("j.toml", "no provider"));
	CHECK(said("k.toml", "no provider"));
	CHECK(said("l.toml", "https"));
}

static void
test_json(void)
{
	clear();
	put("a.json",
	    "{\"providers\": {\"bad\": \"nope\", \"kimi-for-coding\": {\"api_key\": \"sk-fake-\\u0061-01\", "
	    "\"base_url\": null}}}");
	put("b.json.bak",
	    "{\"email\": \"root@example.com\", \"providers\": {\"x\": {\"api_key\": \"sk-fake-b-02\"}}}");
	put("c.bak", "{\"providers\": {\"x\": {\"api_key\": 1}, \"y\": {\"api_key\": \"sk-fake-c-03\"}}}");
	put("d.json", "[1]");
	put("e.json", "{\"providers\":\n\n{\"x\": {\"api_key\": \"sk-fake-e-05\" \"base_url\": 1}}}");
	put("f.json", "{\"providers\": []}");
	put("g.json", "{\"providers\": {\"x\": {\"api_key\": \"sk-fake-g-07\", \"base_url\": [1]}}}");
	put("h.json", "{\"providers\": {\"\": {\"api_key\": \"sk-fake-h-08\"}}}");
	put("i.json", "");
	CHECK(scan() == 0);
	CHECK_STR(order(), "a b c h");
	CHECK_STR(key("a")->masked, "sk-f***a-01");
	CHECK_STR(key("a")->base_url, DEFAULT_URL);
	CHECK_STR(key("b")->email, "root@example.com");
	CHECK_STR(key("c")->provider, "y");
	CHECK_STR(key("h")->provider, "");
	CHECK(said("d.json", "object"));
	CHECK(said("e.json", "line 3"));
	CHECK(said("f.json", "no provider"));
	CHECK(said("g.json", "base_url"));
	CHECK(*reason("i.json"));
}

static void
check_email(const char *name, const char *text, const char *want)
{
	clear();
	put(name, text);
	if (scan() < 0 || pool.count != 1)
		CHECK_NAMED(0, "a file with an e-mail is read");
	else if (want)
		CHECK_STR(pool.keys[0].email, want);
	else if (!CHECK_NAMED(pool.keys[0].email == NULL, "no e-mail is made up"))
		printf("# %s\n", pool.keys[0].email);
}

static void
test_emails(void)
{
#define ENV "KMI_API_KEY=sk-fake-1\n"
	check_email("x.env",
	    ENV "EMAIL=c@example.com\nKMI_EMAIL=b@example.com\nKMI_ACCOUNT_EMAIL=a@example.com\n",
	    "a@example.com");
	check_email("x.env", ENV "EMAIL=c@example.com\nKMI_EMAIL=b@example.com\n", "b@example.com");
	check_email("x.env", ENV "EMAIL=c@example.com\n", "c@example.com");
	check_email("x.env", ENV "KMI_ACCOUNT_EMAIL=nobody\nNOTE='ask d+x@mail.example.co.uk.'\n",
	    "d+x@mail.example.co.uk");
	check_email("e@example.com.env", ENV, "e@example.com");
	check_email("x.env", ENV "# questions to help@example.com\n", NULL);
	check_email("x.env", "KMI_API_KEY=sk-fake@example.com\n", NULL);
	check_email("x.env", ENV "PROXY=https://user:secret@example.com/\n", NULL);
	check_email("x.env", ENV "NOTE='@ a@ @b.com a@b a@b.c a@1.2.3.4'\n", NULL);
	check_email("x.env", ENV "NOTE=a@b.com.1-2\n", "a@b.com");
#define TOML "[providers.x]\napi_key = 'sk-fake-1'\n"
	check_email("x.toml", TOML "note = 'z@example.com'\nuser_email = 'u@example.com'\n", "u@example.com");
	check_email("x.toml", "email = 'top@example.com'\n" TOML "note = 'z@example.com'\n", "z@example.com");
	check_email("x.toml", "email = 'top@example.com'\n" TOML, "top@example.com");
	check_email("n@example.com.toml", TOML "[user]\ncontact = 'in@example.com'\n", "n@example.com");
	check_email("x.toml", TOML "[user]\ncontact = 'in@example.com'\n", "in@example.com");
	check_email("x.toml", "# mine: com@example.com\n" TOML, "com@example.com");
	check_email("x.toml", "[providers.x]\napi_key = 'sk-fake@example.com'\n", NULL);
	check_email("x.json",
	    "{\"providers\": {\"x\": {\"api_key\": \"sk-fake-1\"}}, \"a\": [{\"b\": \"j@example.com\"}]}",
	    "j@example.com");
}

static void
test_order(void)
{
	clear();
	put("b.env", "KMI_API_KEY=sk-fake-01\n");
	put("A.env", "KMI_API_KEY=sk-fake-02\n");
	put("a.env", "KMI_API_KEY=sk-fake-03\n");
	put("C.env", "KMI_API_KEY=sk-fake-04\nKMI_KEY_PRIORITY=-1\n");
	put("z.env", "KMI_API_KEY=sk-fake-05\nKMI_KEY_PRIORITY=10\n");
	put("y.env", "KMI_API_KEY=sk-fake-06\nKMI_KEY_PRIORITY=9\n");
	put("1.env", "KMI_API_KEY=sk-fake-07\nKMI_KEY_LABEL=\xd0\xb0\n"); /* а */
	put("2.env", "KMI_API_KEY=sk-fake-08\nKMI_KEY_LABEL=\xd0\x91\n"); /* Б */
	put("3.env", "KMI_API_KEY=sk-fake-09\nKMI_KEY_LABEL=\xd0\xb2\n"); /* в */
	CHECK(scan() == 0);
	CHECK_STR(order(), "z y A a b \xd0\xb0 \xd0\x91 \xd0\xb2 C");
	CHECK_INT(pool.skipped_count, 0);
}

static void
test_repeated(void)
{
	clear();
	put("a.env", "KMI_API_KEY=sk-fake-same\n");
	put("b.json", "{\"providers\": {\"x\": {\"api_key\": \"sk-fake-same\"}}}");
	put("c.env", "KMI_API_KEY=sk-fake-other\nKMI_KEY_LABEL=a\n");
	/* c was not taken, so its key is still free. */
	put("d.env", "KMI_API_KEY=sk-fake-other\n");
	put("e.env", "KMI_API_KEY=sk-fake-e1\n");
	put("e.toml", "[providers.x]\napi_key = 'sk-fake-e2'\n");
	put("f_config.env", "KMI_API_KEY=sk-fake-f1\n");
	put("f.toml", "[providers.x]\napi_key = 'sk-fake-f2'\n");
	CHECK(scan() == 0);
	CHECK_STR(order(), "a d e f");
	CHECK(said("b.json", "same key as \"a\""));
	CHECK(said("c.env", "label \"a\" is taken"));
	CHECK(said("e.toml", "label \"e\" is taken"));
	CHECK(said("f_config.env", "label \"f\" is taken"));
	CHECK_STR(key("f")->provider, "x");
}

static void
test_folders(void)
{
	char path[512], target[512];

	clear();
	snprintf(path, sizeof(path), "mkdir -p %s/sub/deep %s/.hidden %s/locked %s/dir.env %s/m", dir, dir,
	    dir, dir, dir);
	shell(path);
	put("top.env", "KMI_API_KEY=sk-fake-top\n");
	put("sub/one.env", "KMI_API_KEY=sk-fake-one\n");
	put("sub/deep/two.env", "KMI_API_KEY=sk-fake-two\n");
	put(".hidden/three.env", "KMI_API_KEY=sk-fake-three\n");
	put(".four.env", "KMI_API_KEY=sk-fake-four\n");
	put("five.txt", "KMI_API_KEY=sk-fake-five\n");
	put("README", "no key");
	put("six.env~", "KMI_API_KEY=sk-fake-six\n");
	put("dir.env/seven.env", "KMI_API_KEY=sk-fake-seven\n");
	/* A subfolder stands at the place of its name. */
	put("l.env", "KMI_API_KEY=sk-fake-l\nKMI_KEY_LABEL=who\n");
	put("m/x.env", "KMI_API_KEY=sk-fake-m\nKMI_KEY_LABEL=who\n");
	put("m/y.env", "KMI_API_KEY=sk-fake-y\nKMI_KEY_LABEL=you\n");
	put("n.env", "KMI_API_KEY=sk-fake-n\nKMI_KEY_LABEL=you\n");
	snprintf(path, sizeof(path), "%s/fifo.env", dir);
	CHECK(mkfifo(path, 0600) == 0);
	snprintf(path, sizeof(path), "%s/dangling.env", dir);
	CHECK(symlink("/nonexistent", path) == 0);
	snprintf(path, sizeof(path), "%s/device.env", dir);
	CHECK(symlink("/dev/zero", path) == 0);
	snprintf(path, sizeof(path), "%s/link.env", dir);
	snprintf(target, sizeof(target), "%s/five.txt", dir);
	CHECK(symlink(target, path) == 0);
	snprintf(path, sizeof(path), "%s/loop.env", dir);
	CHECK(symlink("loop.env", path) == 0);
	snprintf(path, sizeof(path), "%s/locked", dir);
	put("locked/x.env", "KMI_API_KEY=sk-fake-locked\n");
	CHECK(chmod(path, 0) == 0);
	CHECK(scan() == 0);
	CHECK_STR(order(), geteuid() == 0 ? "link one seven top who x you" : "link one seven top who you");
	CHECK(said("fifo.env", "not a regular file"));
	CHECK(said("device.env", "not a regular file"));
	CHECK(said("dangling.env", "No such file"));
	CHECK(said("loop.env", "symbolic links"));
	CHECK(said("m/x.env", "is taken"));
	CHECK(said("n.env", "is taken"));
	CHECK(geteuid() == 0 || said("locked", "Permission denied"));
	CHECK_STR(reason("two.env"), "");
	CHECK_STR(reason("README"), "");
	CHECK_INT(pool.folder_count, 5);
	CHECK_STR(pool.folders[0].path, dir);
}

static void
test_linked_folder(void)
{
	char path[512];

	clear();
	put("a.env", "KMI_API_KEY=sk-fake-a\n");
	snprintf(path, sizeof(path), "%s/self", dir);
	CHECK(symlink(".", path) == 0);
	CHECK(scan() == 0);
	CHECK_STR(order(), "a");
	CHECK(said("self/a.env", "same key"));
}

static void
test_missing(void)
{
	struct config c = { .auths_dir = (char[]){ "/nonexistent/keys" },
		.upstream_base_url = (char[]){ DEFAULT_URL } };
	struct auths a;

	errno = 0;
	CHECK(auths_scan(&a, &c, &f) < 0 && errno == ENOENT && f.kind == FAIL_SYSTEM && f.hint[0]);
	CHECK_INT(a.count, 0);
	auths_free(&a);
	c.auths_dir = (char[]){ "/dev/null" };
	CHECK(auths_scan(&a, &c, &f) < 0 && f.kind == FAIL_SYSTEM);
	clear();
	CHECK(scan() == 0 && pool.count == 0 && pool.folder_count == 1);
}

static void
test_secret(void)
{
	struct buf secret = BUF(KEY_MAX + 1);
	struct file_stamp stamp;
	const struct auth *k;
	char path[512];
	int64_t start;

	clear();
	put("a.env",
	    "KMI_API_KEY=sk-fake-one-1\nKMI_KEY_LABEL=a\nKMI_KEY_PRIORITY=3\nKMI_KEY_ACCOUNT=b\n# x\n");
	put("b.toml",
	    "[providers.moonshot-ai]\napi_key = 'sk-fake-two-2'\n[providers.x]\napi_key = 'sk-fake-three'\n");
	CHECK(scan() == 0 && pool.count == 2);
	k = key("a");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, &stamp, &f) == 0);
	CHECK(str_is(buf_view(&secret), "sk-fake-one-1"));
	CHECK(file_stamp_same(&stamp, &k->stamp));
	buf_reset(&secret);
	put("a.env", "KMI_API_KEY=sk-fake-other\n");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, &stamp, &f) == 0);
	CHECK_NAMED(str_is(buf_view(&secret), "sk-fake-other"), "the new contents count at once");
	CHECK(!file_stamp_same(&stamp, &k->stamp));
	buf_reset(&secret);
	put("a.env", "KMI_API_KEY='sk fake'\n");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, &stamp, &f) < 0 && secret.n == 0);
	CHECK(!strstr(f.text, "sk fake"));
	unlink(k->path);
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, &stamp, &f) < 0);
	CHECK(mkfifo(k->path, 0600) == 0);
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, &stamp, &f) < 0);
	k = key("b");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, NULL, &f) == 0);
	CHECK(str_is(buf_view(&secret), "sk-fake-two-2"));
	buf_reset(&secret);
	/* A better provider appeared: this key is still the one asked for. */
	put("b.toml", "[providers.'managed:kimi-code']\napi_key = 'sk-fake-four'\n[providers.moonshot-ai]\n"
		      "api_key = 'sk-fake-two-2'\n");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, NULL, &f) == 0);
	CHECK(str_is(buf_view(&secret), "sk-fake-two-2"));
	buf_reset(&secret);
	put("b.toml", "[providers.x]\napi_key = 'sk-fake-three'\n");
	CHECK(auths_secret(k->path, k->format, k->provider, &secret, NULL, &f) < 0 &&
	      strstr(f.text, "moonshot-ai"));

	snprintf(path, sizeof(path), "%s/c.env", dir);
	put("c.env",
	    "# Anna's key\nKMI_API_KEY=sk-fake-0123456789012345678901234567890123456789\nKMI_KEY_LABEL=anna\n"
	    "KMI_KEY_ACCOUNT=anna\nKMI_KEY_PRIORITY=5\n");
	start = clock_mono_ns();
	for (int i = 0; i < 2000; i++) {
		auths_secret(path, KEY_ENV, NULL, &secret, &stamp, &f);
		buf_reset(&secret);
	}
	printf("# one secret: %.1f us\n", (double)(clock_mono_ns() - start) / 2000 / 1000);
	buf_wipe(&secret);
}

static void
test_many(void)
{
	char name[64], text[64], path[512];
	int64_t start;
	int fd;

	clear();
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "key-%05d.env", i);
		snprintf(text, sizeof(text), "KMI_API_KEY=sk-fake-%d\n", i);
		put(name, text);
	}
	snprintf(path, sizeof(path), "%s/large.json", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 50 << 20) == 0 && close(fd) == 0);
	start = clock_mono_ms();
	CHECK(scan() == 0 && pool.count == 10000);
	printf("# 10,000 files: %lld ms\n", (long long)(clock_mono_ms() - start));
	CHECK(clock_mono_ms() - start < 5000);
	CHECK(said("large.json", "bytes"));
}

/* Files as large as they may be, in the shapes that cost parsers most. */
static void
test_large(void)
{
	static const char *const names[] = { "a.json", "b.json", "c.toml", "d.toml", "e.env", "f.env",
		"g.json", "h.toml" };
	static const char *const pieces[] = { "{\"a\":", "[", "[", "a.b.c.d=1\n", "A=${B}\n", "a@b@", "@a.",
		"x=[[[[" };
	struct buf b = BUF(KEY_FILE_MAX);
	int64_t start;

	clear();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		while (b.n + 16 < b.max)
			buf_puts(&b, pieces[i]);
		put_bytes(names[i], b.p, b.n);
		buf_reset(&b);
	}
	buf_puts(&b, "KMI_API_KEY=sk-fake-mail\nNOTE=");
	while (b.n + 16 < b.max)
		buf_puts(&b, "a@b.c@");
	put_bytes("i.env", b.p, b.n);
	buf_reset(&b);
	buf_puts(&b, "[providers.x]\napi_key = 'sk-fake-mail2'\n# a@");
	while (b.n + 16 < b.max)
		buf_puts(&b, "1.");
	put_bytes("j.toml", b.p, b.n);
	buf_free(&b);
	start = clock_mono_ms();
	CHECK(scan() == 0);
	CHECK_STR(order(), "i j");
	printf("# ten files of 4 MiB: %lld ms\n", (long long)(clock_mono_ms() - start));
	CHECK(clock_mono_ms() - start < 10000);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	test_labels();
	test_pieces();
	test_env();
	test_env_faults();
	test_providers();
	test_json();
	test_emails();
	test_order();
	test_repeated();
	test_folders();
	test_linked_folder();
	test_missing();
	test_secret();
	test_many();
	test_large();
	clear();
	rmdir(dir);
	return check_done();
}
