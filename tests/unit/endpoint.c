#include "base/endpoint.h"

#include "check.h"

#include <stdlib.h>

static void
hosts(void)
{
	static const char *const good[] = { "a", "api.kimi.com", "A-1.example", "a_b", "127.0.0.1", "::1", "fe80::1",
		"xn--e1afmkfd.example", "1.example", "0x7f.example" };
	static const char *const bad[] = { "", ".", "a.", ".a", "a..b", "-a", "a b", "a/b", "a:1", "[::1]", "127.1", "1.2.3.256",
		"1.2.3.4.5", "2130706433", "0x7f000001", "a.0x1", "::g", "a\xc3\xa9", "a%41", "*.a", "a@b" };
	char name[300];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK_NAMED(endpoint_host_ok(str_from(good[i])), good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_NAMED(!endpoint_host_ok(str_from(bad[i])), bad[i]);
	memset(name, 'a', sizeof(name));
	CHECK(endpoint_host_ok((struct str){ name, 63 }));
	CHECK(!endpoint_host_ok((struct str){ name, 64 }));
	for (size_t i = 50; i < sizeof(name); i += 50)
		name[i] = '.';
	CHECK(endpoint_host_ok((struct str){ name, 253 }));
	CHECK(!endpoint_host_ok((struct str){ name, 254 }));
	CHECK(!endpoint_host_ok((struct str){ "a\0b", 3 }));
}

static void
splits(const char *text, int rc, const char *want_host, int want_port)
{
	struct str host;
	int port;

	if (!CHECK_NAMED(endpoint_split(str_from(text), &host, &port) == rc, text) || rc < 0)
		return;
	CHECK(str_is(host, want_host));
	CHECK_INT(port, want_port);
}

static void
urls(void)
{
	struct str host;

	CHECK(endpoint_url_fault(STR("https://h"), &host) == NULL && str_is(host, "h"));
	CHECK(endpoint_url_fault(STR("HTTPS://h:1/a/b/"), &host) == NULL && str_is(host, "h"));
	CHECK(endpoint_url_fault(STR("https://[::1]:1/a"), &host) == NULL && str_is(host, "::1"));
	CHECK_STR(endpoint_url_fault(STR(""), &host), "must start with https://");
	CHECK_STR(endpoint_url_fault(STR("https:/h"), NULL), "must start with https://");
	CHECK_STR(endpoint_url_fault(STR("https://good.example@evil.example"), NULL),
	    "must not have a user or password in it");
	CHECK_STR(endpoint_url_fault(STR("https://h?x"), NULL), "must not have a query or fragment");
	CHECK_STR(endpoint_url_fault(STR("https://h\\@evil.example"), NULL), "must not have a user or password in it");
	CHECK_STR(endpoint_url_fault(STR("https://h\\.evil.example"), NULL), "has no well-formed host and port");
	CHECK_STR(endpoint_url_fault(STR("https://h/a/../b"), NULL), "has a path that is not plain");
	CHECK_STR(endpoint_url_fault(STR("https://h/a\r\nX: y"), NULL), "has a path that is not plain");
	CHECK(host.n == 0);
}

int
main(void)
{
	hosts();
	splits("a", 0, "a", 0);
	splits("a:1", 0, "a", 1);
	splits("a:65535", 0, "a", 65535);
	splits("[::1]", 0, "::1", 0);
	splits("[::1]:9", 0, "::1", 9);
	splits("::1", -1, NULL, 0);
	splits("a:", -1, NULL, 0);
	splits("a:0", -1, NULL, 0);
	splits("a:65536", -1, NULL, 0);
	splits("a:000001", -1, NULL, 0);
	splits("a:+1", -1, NULL, 0);
	splits("a: 1", -1, NULL, 0);
	splits("a:1:2", -1, NULL, 0);
	splits("[::1", -1, NULL, 0);
	splits("[a]:1", -1, NULL, 0);
	splits("[::1]1", -1, NULL, 0);
	splits("", -1, NULL, 0);
	urls();
	CHECK(endpoint_path_ok(STR("/")) && endpoint_path_ok(STR("/a/b.c/")));
	CHECK(!endpoint_path_ok(STR("")) && !endpoint_path_ok(STR("//")) && !endpoint_path_ok(STR("/a/./b")));
	CHECK(!endpoint_path_ok(STR("/%2e%2e/")) && !endpoint_path_ok(STR("/a\"b")));
	CHECK(endpoint_origin_ok(STR("https://a:1")) && endpoint_origin_ok(STR("chrome-extension://abc")));
	CHECK(!endpoint_origin_ok(STR("://a")) && !endpoint_origin_ok(STR("https://a/")) && !endpoint_origin_ok(STR("null")));
	CHECK(endpoint_matches(STR("*.a.b"), STR("x.A.b")) && !endpoint_matches(STR("*.a.b"), STR("a.b")));
	CHECK(!endpoint_matches(STR("*.a.b"), STR(".a.b")) && !endpoint_matches(STR("a.b"), STR("x.a.b")));
	CHECK(str_is(endpoint_trim(STR("/a//")), "/a") && str_is(endpoint_trim(STR("///")), ""));
	return check_done();
}
