#include "base/config.h"

#include "base/endpoint.h"

#include "check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Every case starts from an empty environment and an empty folder that is
 * both the home and the working directory's parent.
 */
static char home[] = "/tmp/kmi-config-XXXXXX";
static struct config c;
static struct fail f;

static void
put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	fputs(text, file);
	fclose(file);
}

static void
fresh(void)
{
	config_free(&c);
	clearenv();
	setenv("HOME", home, 1);
	setenv("USER", "anna", 1);
	unlink(".env");
	unlink("kmi.config.toml");
	unlink("named.env");
	unlink("../.kmi/kmi.config.toml");
	memset(&f, 0, sizeof(f));
}

static int
load(void)
{
	config_free(&c);
	return config_load(&c, NULL, &f);
}

/* Sets one variable in an otherwise empty environment and loads. */
static int
with(const char *name, const char *value)
{
	fresh();
	setenv(name, value, 1);
	return load();
}

static const char *
value_of(const char *name)
{
	static char text[4096];
	struct buf b = BUF(sizeof(text) - 1);

	config_value(&c, (size_t)config_find(name), &b);
	snprintf(text, sizeof(text), "%.*s", STR_F(buf_view(&b)));
	buf_free(&b);
	return text;
}

static const char *
origin_of(const char *name)
{
	static char text[4096];
	struct buf b = BUF(sizeof(text) - 1);

	config_origin(&c, (size_t)config_find(name), &b);
	snprintf(text, sizeof(text), "%.*s", STR_F(buf_view(&b)));
	buf_free(&b);
	return text;
}

static void
defaults(void)
{
	char want[100];

	fresh();
	CHECK_INT(load(), 0);
	CHECK_STR(c.proxy_listen, "127.0.0.1:54123");
	CHECK_STR(c.listen.host, "127.0.0.1");
	CHECK_INT(c.listen.port, 54123);
	CHECK(c.listen.path == NULL);
	CHECK_STR(c.proxy_base_path, "/kmi-rotor/v1");
	CHECK_STR(c.upstream_base_url, "https://api.kimi.com/coding/v1");
	CHECK(c.dry_run && c.write_config && c.proxy_require_tls && !c.proxy_allow_remote && !c.plain);
	CHECK_INT(c.rotation_cooldown_seconds, 300);
	CHECK_INT(c.rotate_strategy, ROTATE_ROUND_ROBIN);
	CHECK_INT(c.locale, LOCALE_EN);
	CHECK_STR(c.audit_actor, "anna");
	CHECK(c.proxy_hosts && !c.proxy_hosts[0]);
	CHECK_STR(c.proxy_token, "");
	CHECK(c.warnings[0] == NULL);
	snprintf(want, sizeof(want), "%s/.kmi", home);
	CHECK_STR(c.state_dir, want);
	snprintf(want, sizeof(want), "%s/.kimi/_auths", home);
	CHECK_STR(c.auths_dir, want);
	CHECK_STR(origin_of("STATE_DIR"), "default");
	mkdir("_auths", 0700);
	CHECK_INT(load(), 0);
	CHECK_STR(c.auths_dir, "_auths");
	rmdir("_auths");
	unsetenv("USER");
	CHECK_INT(load(), 0);
	CHECK(strncmp(c.audit_actor, "uid:", 4) == 0);
}

static void
precedence(void)
{
	static const char *const args[] = { "PROXY_IDLE_SECONDS=6", "AUDIT_ACTOR=a=b", NULL };

	fresh();
	put("../.kmi/kmi.config.toml", "proxy_idle_seconds = 1\n");
	CHECK_INT(load(), 0);
	CHECK_INT(c.proxy_idle_seconds, 1);
	CHECK(strstr(origin_of("PROXY_IDLE_SECONDS"), "/.kmi/kmi.config.toml, line 1") != NULL);
	put("kmi.config.toml", "\n\nproxy_idle_seconds = 2\n");
	CHECK_INT(load(), 0);
	CHECK_INT(c.proxy_idle_seconds, 2);
	CHECK_STR(origin_of("PROXY_IDLE_SECONDS"), "kmi.config.toml, line 3");
	put(".env", "# first\nexport KMI_PROXY_IDLE_SECONDS='3'\n");
	CHECK_INT(load(), 0);
	CHECK_INT(c.proxy_idle_seconds, 3);
	CHECK_STR(origin_of("PROXY_IDLE_SECONDS"), ".env, line 2");
	setenv("KMI_PROXY_IDLE_SECONDS", " 4 ", 1);
	CHECK_INT(load(), 0);
	CHECK_INT(c.proxy_idle_seconds, 4);
	CHECK_STR(origin_of("PROXY_IDLE_SECONDS"), "environment");
	put("named.env", "KMI_PROXY_IDLE_SECONDS=5\n");
	setenv("KMI_ENV_PATH", "named.env", 1);
	CHECK_INT(load(), 0);
	CHECK_INT(c.proxy_idle_seconds, 5);
	CHECK_STR(origin_of("PROXY_IDLE_SECONDS"), "named.env, line 1");
	config_free(&c);
	CHECK_INT(config_load(&c, args, &f), 0);
	CHECK_INT(c.proxy_idle_seconds, 6);
	CHECK_STR(c.audit_actor, "a=b");
	CHECK_STR(origin_of("PROXY_IDLE_SECONDS"), "command line");
	CHECK(c.warnings[0] == NULL);
	/* A value that is overridden is not looked at. */
	put(".env", "KMI_PROXY_IDLE_SECONDS=junk\n");
	CHECK_INT(load(), 0);
}

static void
refusals(void)
{
	static const char *const bad[][2] = {
		{ "KMI_DRY_RUN", "maybe" }, { "KMI_DRY_RUN", "" }, { "KMI_DRY_RUN", "2" }, { "KMI_DRY_RUN", "1 0" },
		{ "KMI_PROXY_RETRY_MAX", "-1" }, { "KMI_PROXY_RETRY_MAX", "1.5" }, { "KMI_PROXY_RETRY_MAX", "" },
		{ "KMI_PROXY_RETRY_MAX", "0x2" }, { "KMI_PROXY_RETRY_MAX", "99999999999999999999999" },
		{ "KMI_PROXY_LISTEN", "54123" }, { "KMI_PROXY_LISTEN", ":54123" }, { "KMI_PROXY_LISTEN", "127.0.0.1" },
		{ "KMI_PROXY_LISTEN", "127.0.0.1:0" }, { "KMI_PROXY_LISTEN", "127.0.0.1:65536" },
		{ "KMI_PROXY_LISTEN", "::1:54123" }, { "KMI_PROXY_LISTEN", "[::1]" }, { "KMI_PROXY_LISTEN", "[127.0.0.1]:1" },
		{ "KMI_PROXY_LISTEN", "127.1:80" }, { "KMI_PROXY_LISTEN", "127.0.0.1:+80" }, { "KMI_PROXY_LISTEN", "a b:80" },
		{ "KMI_PROXY_LISTEN", "unix:" }, { "KMI_PROXY_LISTEN", "unix:relative" }, { "KMI_PROXY_LISTEN", "[::1]x:80" },
		{ "KMI_PROXY_BASE_PATH", "kmi" }, { "KMI_PROXY_BASE_PATH", "" }, { "KMI_PROXY_BASE_PATH", "/a?b" },
		{ "KMI_PROXY_BASE_PATH", "/a/../b" }, { "KMI_PROXY_BASE_PATH", "/a//b" }, { "KMI_PROXY_BASE_PATH", "/a b" },
		{ "KMI_UPSTREAM_BASE_URL", "http://api.kimi.com" }, { "KMI_UPSTREAM_BASE_URL", "" },
		{ "KMI_UPSTREAM_BASE_URL", "https://" }, { "KMI_UPSTREAM_BASE_URL", "https:///v1" },
		{ "KMI_UPSTREAM_BASE_URL", "https://a/?q" }, { "KMI_UPSTREAM_BASE_URL", "https://a/#f" },
		{ "KMI_UPSTREAM_BASE_URL", "https://u:p@a/" }, { "KMI_UPSTREAM_BASE_URL", "https://a:0/" },
		{ "KMI_UPSTREAM_BASE_URL", "https://a:99999/" }, { "KMI_UPSTREAM_BASE_URL", "https://0x7f.1/" },
		{ "KMI_UPSTREAM_BASE_URL", "https://a/b\\c" }, { "KMI_UPSTREAM_BASE_URL", "https://a b/" },
		{ "KMI_UPSTREAM_ALLOWLIST", "*" }, { "KMI_UPSTREAM_ALLOWLIST", "https://api.kimi.com" },
		{ "KMI_UPSTREAM_ALLOWLIST", "*.com, *x.com" }, { "KMI_UPSTREAM_ALLOWLIST", "a.example" },
		{ "KMI_PROXY_HOSTS", "http://x" }, { "KMI_PROXY_ALLOW_ORIGINS", "*" }, { "KMI_PROXY_ALLOW_ORIGINS", "app.example" },
		{ "KMI_PROXY_ALLOW_ORIGINS", "https://a/path" }, { "KMI_PROXY_ALLOW_ORIGINS", "null" },
		{ "KMI_ROTATE_STRATEGY", "random" }, { "KMI_LOCALE", "de" }, { "KMI_TIMEZONE", "Nowhere/City" },
		{ "KMI_TIMEZONE", "Europe" }, { "KMI_TIMEZONE", "+99:00" }, { "KMI_TIMEZONE", "zone.tab" },
		{ "KMI_STATE_DIR", "" }, { "KMI_AUTHS_DIR", " " }, { "KMI_AUDIT_ACTOR", "" },
		{ "KMI_PROXY_TOKEN", "two words" }, { "KMI_PROXY_TOKEN", "a\tb" }, { "KMI_PROXY_TOKEN", "\xd1\x8f" },
		{ "KMI_PROXY_MAX_BODY_MB", "0" }, { "KMI_PROXY_MAX_CONNECTIONS", "0" },
		{ "KMI_PROXY_UNIX_USERS", "no-such-user" }, { "KMI_PROXY_UNIX_USERS", "root,no-such-user" },
		{ "KMI_PROXY_UNIX_USERS", "4294967295" }, { "KMI_PROXY_UNIX_USERS", "-1" }, { "KMI_PROXY_UNIX_USERS", "0x0" },
		{ "KMI_PROXY_UNIX_USERS", "root nobody" }, { "KMI_PROXY_UNIX_USERS", "12a" }, { "KMI_PROXY_UNIX_USERS", "*" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char name[200];

		snprintf(name, sizeof(name), "%s=%s is refused", bad[i][0], bad[i][1]);
		CHECK_NAMED(with(bad[i][0], bad[i][1]) < 0 && f.kind == FAIL_USAGE, name);
		CHECK(strstr(f.text, "allowed: ") != NULL);
		CHECK(strstr(f.text, bad[i][0]) != NULL || strstr(bad[i][0], "ALLOWLIST") != NULL);
	}
	CHECK(with("KMI_PROXY_RETRY_MAX", "abc") < 0);
	CHECK_STR(f.text, "KMI_PROXY_RETRY_MAX is \"abc\" (environment); allowed: a whole number from 0 to 100");
	CHECK(with("KMI_PROXY_TOKEN", "sk-fake two") < 0);
	CHECK(strstr(f.text, "fake") == NULL && strstr(f.text, "\"***\"") != NULL);
	CHECK(with("KMI_UPSTREAM_BASE_URL", "https://u:sk-fake@a/") < 0);
	CHECK(strstr(f.text, "fake") == NULL && strstr(f.hint, "fake") == NULL);
	CHECK_STR(f.hint, "the URL must not have a user or password in it");
	CHECK(with("KMI_DRY_RUN", "") < 0);
	CHECK(f.hint[0] != '\0');
	fresh();
	put(".env", "A=1\n\nKMI_LOCALE=xx\n");
	CHECK(load() < 0);
	CHECK_STR(f.text, "KMI_LOCALE is \"xx\" (.env, line 3); allowed: en or ru");
	fresh();
	CHECK(config_load(&c, (const char *const[]){ "DRY_RUM=1", NULL }, &f) < 0);
	CHECK_STR(f.text, "DRY_RUM (command line) is no setting");
}

static void
values(void)
{
	static const char *const yes[] = { "1", "true", "YES", " on " }, *const no[] = { "0", "False", "no", "OFF" };

	for (size_t i = 0; i < 4; i++) {
		CHECK(with("KMI_PLAIN", yes[i]) == 0 && c.plain);
		CHECK(with("KMI_DRY_RUN", no[i]) == 0 && !c.dry_run);
	}
	CHECK(with("KMI_PROXY_TLS_LISTEN", "0.0.0.0:54443") == 0);
	CHECK(c.tls_listen.port == 54443 && !config_has_tls(&c) && !config_listen_is_tls(&c));
	CHECK_STR(c.tls_listen.host, "0.0.0.0");
	CHECK_STR(c.listen.host, "127.0.0.1");
	config_free(&c);
	CHECK(with("KMI_PROXY_TLS_LISTEN", "") == 0 && !c.tls_listen.host);
	config_free(&c);
	CHECK(with("KMI_PROXY_TLS_LISTEN", "54443") < 0);
	CHECK(with("KMI_PROXY_TLS_CERT", "/x") == 0 && config_has_tls(&c) && config_listen_is_tls(&c));
	config_free(&c);
	CHECK(with("KMI_PROXY_LISTEN", "[::1]:80") == 0);
	CHECK_STR(c.listen.host, "::1");
	CHECK_INT(c.listen.port, 80);
	CHECK_STR(c.proxy_listen, "[::1]:80");
	CHECK(with("KMI_PROXY_LISTEN", "unix:/run/kmi.sock") == 0);
	CHECK_STR(c.listen.path, "/run/kmi.sock");
	CHECK(c.listen.host == NULL);
	CHECK(with("KMI_PROXY_LISTEN", "localhost:65535") == 0 && c.listen.port == 65535);
	CHECK(with("KMI_PROXY_BASE_PATH", "/") == 0);
	CHECK_STR(c.proxy_base_path, "");
	CHECK_STR(value_of("KMI_PROXY_BASE_PATH"), "/");
	CHECK(with("KMI_PROXY_BASE_PATH", "/a/b//") == 0);
	CHECK_STR(c.proxy_base_path, "/a/b");
	CHECK(with("KMI_UPSTREAM_BASE_URL", "https://[::1]:8443/coding/v1/") == 0);
	CHECK_STR(c.upstream_base_url, "https://[::1]:8443/coding/v1");
	CHECK(with("KMI_PROXY_HOSTS", " a.example , ,b:8080,[::1]:1") == 0);
	CHECK_STR(value_of("proxy_hosts"), "a.example,b:8080,[::1]:1");
	CHECK(with("KMI_PROXY_ALLOW_ORIGINS", "https://app.example/,http://localhost:3000") == 0);
	CHECK_STR(value_of("proxy_allow_origins"), "https://app.example,http://localhost:3000");
	CHECK(with("KMI_PROXY_UNIX_USERS", "") == 0 && c.proxy_unix_users[0] == NULL);
	CHECK(with("KMI_PROXY_UNIX_USERS", " root, 12345,,4294967294 ") == 0);
	CHECK_STR(value_of("proxy_unix_users"), "root,12345,4294967294");
	CHECK(c.proxy_unix_uids[0] == 0 && c.proxy_unix_uids[1] == 12345 && c.proxy_unix_uids[2] == (uid_t)4294967294u);
	CHECK(with("KMI_ROTATE_STRATEGY", "Session") == 0 && c.rotate_strategy == ROTATE_SESSION);
	CHECK(with("KMI_ROTATE_STRATEGY", "most-quota") == 0 && c.rotate_strategy == ROTATE_MOST_QUOTA);
	CHECK(with("KMI_LOCALE", "ru") == 0 && c.locale == LOCALE_RU);
	CHECK(with("KMI_TIMEZONE", "+03:00") == 0);
	CHECK(with("KMI_TIMEZONE", "UTC") == 0);
	CHECK(with("KMI_PROXY_TOKEN", "sk-fake-token") == 0);
	CHECK_STR(c.proxy_token, "sk-fake-token");
	CHECK_STR(value_of("KMI_PROXY_TOKEN"), "***");
	CHECK(with("NO_COLOR", "0") == 0 && c.no_color);
	CHECK(with("NO_COLOR", "") == 0 && !c.no_color);
	CHECK(with("KMI_STATE_DIR", "~/x") == 0);
	CHECK(strncmp(c.state_dir, home, strlen(home)) == 0);
	fresh();
	setenv("NO_COLOR", "1", 1);
	setenv("KMI_NO_COLOR", "0", 1);
	CHECK(load() == 0 && !c.no_color);
}

static void
toml(void)
{
	static const char *const bad[] = { "dry_run = \"1\"", "proxy_idle_seconds = \"5\"", "proxy_idle_seconds = 5.0",
		"proxy_idle_seconds = true", "proxy_listen = 5", "proxy_hosts = 1", "proxy_hosts = [1]", "[proxy_listen]",
		"proxy_hosts = [\"a,b\"]", "proxy_listen = [\"a:1\"]", "dry_run = 2", "audit_actor = \"a\\u0000b\"" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[200];

		fresh();
		snprintf(text, sizeof(text), "# c\n%s\n", bad[i]);
		put("kmi.config.toml", text);
		CHECK_NAMED(load() < 0 && f.kind == FAIL_USAGE, bad[i]);
		CHECK(strstr(f.text, "kmi.config.toml, line 2); allowed: ") != NULL);
	}
	fresh();
	put("kmi.config.toml", "dry_run = \"1\"\n");
	CHECK(load() < 0);
	CHECK_STR(f.text, "KMI_DRY_RUN is \"\"1\"\" (kmi.config.toml, line 1); allowed: true or false");
	fresh();
	put("kmi.config.toml", "dry_run = false\nplain = 1\nproxy_hosts = [\"a\", 'b']\nupstream_allowlist = \"*.kimi.com\"\n"
	    "proxy_token = \"sk-fake\"\nLOCALE = \"ru\"\nproxy_listn = 1\n[other]\nx = 1\n");
	CHECK_INT(load(), 0);
	CHECK(!c.dry_run && c.plain && c.locale == LOCALE_EN);
	CHECK_STR(value_of("PROXY_HOSTS"), "a,b");
	CHECK_STR(c.warnings[0], "LOCALE (kmi.config.toml, line 6) is no setting; did you mean locale?");
	CHECK_STR(c.warnings[1], "proxy_listn (kmi.config.toml, line 7) is no setting; did you mean proxy_listen?");
	CHECK(strncmp(c.warnings[2], "other (kmi.config.toml, line 8) is no setting", 45) == 0);
	CHECK(c.warnings[3] == NULL);
	fresh();
	put("kmi.config.toml", "proxy_token = 5551234\n");
	CHECK(load() < 0 && strstr(f.text, "555") == NULL);
	fresh();
	put("kmi.config.toml", "a = 1\nb = = 2\n");
	CHECK(load() < 0 && f.kind == FAIL_USAGE);
	CHECK(strstr(f.text, "kmi.config.toml: line 2") != NULL);
}

static void
files(void)
{
	fresh();
	setenv("KMI_ENV_PATH", "missing.env", 1);
	CHECK(load() < 0 && f.kind == FAIL_USAGE);
	CHECK(strstr(f.text, "KMI_ENV_PATH") != NULL && strstr(f.text, "missing.env") != NULL);
	setenv("KMI_ENV_PATH", "", 1);
	CHECK_INT(load(), 0);
	setenv("KMI_ENV_PATH", ".", 1);
	CHECK(load() < 0);
	fresh();
	mkdir(".env", 0700);	/* a Python environment, perhaps */
	CHECK_INT(load(), 0);
	rmdir(".env");
	mkfifo(".env", 0600);
	CHECK(load() < 0 && f.kind == FAIL_USAGE);
	fresh();
	put(".env", "\nKMI_X='open\n");
	CHECK(load() < 0 && strstr(f.text, ".env: line 2") != NULL);
	fresh();
	put(".env", "\xef\xbb\xbfKMI_PLAIN=1\r\nKMI_PLAIN=0\r\nKMI_LOCALE\r\n");
	CHECK_INT(load(), 0);
	CHECK(!c.plain);
	CHECK_STR(origin_of("PLAIN"), ".env, line 2");
	fresh();
	setenv("HOME", "/nonexistent", 1);
	CHECK_INT(load(), 0);
}

static void
unknown_names(void)
{
	char name[40];
	size_t n = 0;

	fresh();
	setenv("KMI_PROXY_LISTN", "sk-fake", 1);
	CHECK_INT(load(), 0);
	CHECK_STR(c.warnings[0], "KMI_PROXY_LISTN (environment) is no setting; did you mean KMI_PROXY_LISTEN?");
	fresh();
	setenv("KMI_API_KEY", "sk-fake", 1);
	setenv("KMI_KEY_LABEL", "x", 1);
	setenv("KMI_ACCOUNT_EMAIL", "x", 1);
	setenv("KMIX", "x", 1);
	put(".env", "KMI_KEY_PRIORITY=1\nOTHER=1\n");
	CHECK_INT(load(), 0);
	CHECK(c.warnings[0] == NULL);
	fresh();
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "KMI_ZZZZ_%d", i);
		setenv(name, "", 1);
	}
	CHECK_INT(load(), 0);
	while (c.warnings[n])
		n++;
	CHECK_INT(n, 33);
	CHECK_STR(c.warnings[32], "more unknown names are not listed");
	CHECK_STR(config_nearest("KMI_DRYRUN"), "KMI_DRY_RUN");
	CHECK_STR(config_nearest("dryrun"), "KMI_DRY_RUN");
	CHECK(config_find("kmi_dry_run") >= 0 && config_find("DRY_RUN") == config_find("KMI_DRY_RUN"));
	CHECK_INT(config_find("DRY_RU"), -1);
	CHECK_INT(config_find(""), -1);
}

static bool
allowed(const char *host)
{
	return config_host_allowed(&c, str_from(host));
}

static void
allowlist(void)
{
	fresh();
	CHECK_INT(load(), 0);
	CHECK(allowed("anything.example"));
	CHECK(config_check_url(&c, "https://anything.example/v1/", &f) == 0);
	CHECK(config_check_url(&c, "ftp://anything.example/v1", &f) < 0);
	CHECK_STR(f.text, "the URL must start with https://");
	setenv("KMI_UPSTREAM_ALLOWLIST", "api.kimi.com,*.moonshot.cn,[::1]", 1);
	CHECK_INT(load(), 0);
	CHECK(allowed("api.kimi.com") && allowed("API.Kimi.com") && allowed("a.moonshot.cn") && allowed("a.b.moonshot.cn"));
	CHECK(allowed("::1") && allowed("[::1]"));
	CHECK(!allowed("kimi.com") && !allowed("moonshot.cn") && !allowed("evilmoonshot.cn") && !allowed("xapi.kimi.com"));
	CHECK(!allowed("api.kimi.com.evil.example") && !allowed("") && !allowed(".moonshot.cn"));
	CHECK(config_check_url(&c, "https://evil.example/v1", &f) < 0);
	CHECK(strstr(f.text, "KMI_UPSTREAM_ALLOWLIST") != NULL);
}

int
main(void)
{
	char below[100];

	if (!mkdtemp(home) || chdir(home) < 0)
		return 1;
	mkdir(".kmi", 0700);
	mkdir("work", 0700);
	if (chdir("work") < 0)
		return 1;
	defaults();
	precedence();
	refusals();
	values();
	toml();
	files();
	unknown_names();
	allowlist();
	fresh();
	rmdir("../.kmi");
	snprintf(below, sizeof(below), "%s/work", home);
	CHECK(chdir("/") == 0 && rmdir(below) == 0 && rmdir(home) == 0);
	return check_done();
}
