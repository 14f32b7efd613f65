#include "proxy/access.h"

#include "check.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct peer loopback = { .local_loopback = true }, from_unix = { .unix_socket = true };
static const struct peer remote = { .local = "192.0.2.1:54123" }, remote_tls = { .tls = true };

static struct refusal no;
static enum access_verdict verdict;
static bool guess;

/* What is said to a GET with these header lines: 0 (granted), 204, or the status of the refusal. */
static int
judge_method(const char *method, const struct peer *peer, const struct config *c, const char *headers)
{
	struct buf b = BUF(10000);
	struct request r;
	size_t used;

	buf_printf(&b, "%s /kmi-rotor/v1/models HTTP/1.%c\r\n%s\r\n", method,
	    strstr(headers, "Host:") ? '1' : '0', headers);
	request_init(&r, 1000);
	no = (struct refusal){ 0 };
	CHECK(request_feed(&r, buf_view(&b), &used, &no) == REQUEST_HEAD);
	verdict = access_judge(peer, &r, c, &no);
	guess = access_is_guess(&r);
	request_free(&r);
	buf_free(&b);
	if (verdict == ACCESS_REFUSED && !(no.code && no.message && *no.message && no.hint && *no.hint))
		return -1;
	return verdict == ACCESS_GRANTED ? 0 : verdict == ACCESS_PREFLIGHT ? 204 : no.status;
}

static int
judge(const struct peer *peer, const struct config *c, const char *headers)
{
	return judge_method("GET", peer, c, headers);
}

#define HOST "Host: localhost:54123\r\n"

static void
users(void)
{
	static char anna[] = "anna", number[] = "1001";
	static char *two[] = { anna, number, NULL }, *none[] = { NULL };
	static uid_t uids[] = { 1000, 1001, 0 };
	static const struct {
		const char *name;
		struct peer peer;
		int some, anyone;	/* what is said when users are named, and when none is */
	} table[] = {
		{ "one of them", { .unix_socket = true, .uid = 1000 }, 0, 0 },
		{ "the other", { .unix_socket = true, .uid = 1001 }, 0, 0 },
		{ "somebody else", { .unix_socket = true, .uid = 1002 }, 403, 0 },
		{ "root, who is not named", { .unix_socket = true, .uid = 0 }, 403, 0 },
		{ "nobody knows who", { .unix_socket = true, .uid = (uid_t)-1 }, 403, 0 },
		{ "over loopback", { .local_loopback = true, .uid = (uid_t)-1 }, 0, 0 },
		{ "from afar", { .uid = (uid_t)-1 }, 403, 403 },
		{ "from afar, with a user's number", { .uid = 1000 }, 403, 403 },
	};
	struct config some = { .proxy_unix_users = two, .proxy_unix_uids = uids },
		      anyone = { .proxy_unix_users = none, .proxy_unix_uids = uids };

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		CHECK_NAMED(judge(&table[i].peer, &some, HOST) == table[i].some, table[i].name);
		if (table[i].some == 403 && table[i].peer.unix_socket)
			CHECK_STR(no.code, ACCESS_USER);
		CHECK_NAMED(judge(&table[i].peer, &anyone, HOST) == table[i].anyone, table[i].name);
	}
}

static void
token(void)
{
	static char secret[] = "sk-fake-token", empty[] = "";
	struct config c = { .proxy_token = secret }, none = { .proxy_token = empty };
	static const char *good[] = { "Authorization: Bearer sk-fake-token\r\n",
		"authorization: bearer  sk-fake-token \r\n", "X-KMI-Proxy-Token: sk-fake-token\r\n",
		"x-api-key: sk-fake-token\r\n",
		"Authorization: Bearer other\r\nX-KMI-Proxy-Token: sk-fake-token\r\n" };
	static const char *wrong[] = { "", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
		"Authorization: sk-fake-token\r\n", "Authorization: Basic sk-fake-token\r\n",
		"Authorization: Bearer sk-fake-toke\r\n", "Authorization: Bearer sk-fake-token1\r\n",
		"Authorization: Bearer SK-FAKE-TOKEN\r\n", "X-KMI-Proxy-Token: Bearer sk-fake-token\r\n",
		"X-KMI-Proxy-Token:\r\n", "Cookie: sk-fake-token\r\n",
		"Proxy-Authorization: Bearer sk-fake-token\r\n",
		/* given twice: which one counts? */
		"Authorization: Bearer other\r\nAuthorization: Bearer sk-fake-token\r\n",
		"Authorization: Bearer sk-fake-token\r\nauthorization: Bearer sk-fake-token\r\n",
		"X-KMI-Proxy-Token: a\r\nX-KMI-Proxy-Token: sk-fake-token\r\n",
		"x-api-key: sk-fake-token\r\nX-Api-Key: b\r\n" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char head[200];

		snprintf(head, sizeof(head), HOST "%s", good[i]);
		CHECK_INT(judge(&loopback, &c, head), 0);
		CHECK_INT(judge(&from_unix, &c, head), 0);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char head[200];

		snprintf(head, sizeof(head), HOST "%s", wrong[i]);
		CHECK_INT(judge(&loopback, &c, head), 401);
		CHECK(no.header && strstr(no.header, "WWW-Authenticate: ") == no.header);
		CHECK(guess == !(wrong[i][0] == '\0' || wrong[i][0] == 'C' || wrong[i][0] == 'P'));
		CHECK_INT(judge(&from_unix, &c, head), 401);
		CHECK_INT(judge(&loopback, &none, head), 0);
	}
	CHECK(!strstr(no.message ? no.message : "", "fake"));
}

static void
from_afar(void)
{
	static char secret[] = "sk-fake-token";
	static const char head[] = "Host: proxy.example\r\nAuthorization: Bearer sk-fake-token\r\n";

	for (int i = 0; i < 32; i++) {
		struct config c = { .proxy_allow_remote = i & 1,
			.proxy_token = i & 2 ? secret : NULL,
			.proxy_require_tls = !(i & 4),
			.proxy_tls_terminated = i & 8 };
		bool tls = i & 16, encrypted = tls || (i & 4) || (i & 8);
		int got = judge(tls ? &remote_tls : &remote, &c, head);

		CHECK_INT(got, (i & 1) && (i & 2) && encrypted ? 0 : 403);
		if (got == 403) { /* names what is missing, and only that */
			CHECK_STR(no.code, ACCESS_REMOTE);
			CHECK(!strstr(no.message, "KMI_PROXY_ALLOW_REMOTE") == !!(i & 1));
			CHECK(!strstr(no.hint, "KMI_PROXY_ALLOW_REMOTE=1") == !!(i & 1));
			CHECK(!strstr(no.message, "KMI_PROXY_TOKEN") == !!(i & 2));
			CHECK(!strstr(no.hint, "KMI_PROXY_TOKEN") == !!(i & 2));
			CHECK(!strstr(no.message, "not encrypted") == encrypted);
			CHECK(!strstr(no.hint, "KMI_PROXY_TLS_TERMINATED") == encrypted);
		}
		CHECK_INT(judge(tls ? &remote_tls : &remote, &c, "Host: proxy.example\r\n"),
		    (i & 1) && (i & 2) && encrypted ? 401 : 403);
	}
}

static void
hosts(void)
{
	static char first[] = "kimi.lan", second[] = "[fd00::1]", third[] = "box:8080",
		    listen[] = "127.0.0.1", wide[] = "0.0.0.0";
	char *names[] = { first, second, third, NULL };
	struct config c = { .listen = { .host = listen } },
		      named = { .proxy_hosts = names, .listen = { .host = wide } };
	static const char *ours[] = { "localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:54123",
		"127.9.9.9", "[::1]", "[0:0:0:0:0:0:0:1]:5", "a.localhost:5", "[::ffff:127.0.0.1]" };
	static const char *others[] = { "evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
		"128.0.0.1", "127.1", "0.0.0.0", "xlocalhost", ".localhost", "[::2]", "[::ffff:10.0.0.1]",
		"10.0.0.1:54123", "kimi.lan", "2130706433", "localhost..", "." };
	static const char *named_ones[] = { "kimi.lan", "KIMI.lan:54123", "[fd00::1]:54123", "box",
		"0.0.0.0:54123", "localhost" };
	char head[200];

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		snprintf(head, sizeof(head), "Host: %s\r\n", ours[i]);
		if (!CHECK_NAMED(judge(&loopback, &c, head) == 0, ours[i]))
			printf("# %s\n", no.message);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		snprintf(head, sizeof(head), "Host: %s\r\n", others[i]);
		CHECK_NAMED(judge(&loopback, &c, head) == 403, others[i]);
		CHECK_STR(no.code, "host_not_allowed");
		CHECK_INT(judge(&from_unix, &c, head), 0);
	}
	for (size_t i = 0; i < sizeof(named_ones) / sizeof(*named_ones); i++) {
		snprintf(head, sizeof(head), "Host: %s\r\n", named_ones[i]);
		CHECK_NAMED(judge(&loopback, &named, head) == 0, named_ones[i]);
	}
	CHECK_INT(judge(&loopback, &named, "Host: kimi.lan.evil\r\n"), 403);
	CHECK_INT(judge(&loopback, &c, ""), 0); /* HTTP/1.0 without Host */
}

static void
web_pages(void)
{
	static char app[] = "https://app.example", slash[] = "http://localhost:3000/", empty[] = "",
		    null[] = "null";
	char *origins[] = { app, slash, empty, NULL }, *nulls[] = { null, NULL };
	struct config c = { 0 }, some = { .proxy_allow_origins = origins },
		      with_null = { .proxy_allow_origins = nulls };
	static const char *pages[] = { "Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin:\r\n",
		"Origin: http://localhost:54123\r\n",
		"Origin: http://127.0.0.1:54123\r\nSec-Fetch-Site: same-origin\r\n",
		"Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n",
		"sec-fetch-site: Cross-Site\r\n", "Sec-Fetch-Site: news\r\n",
		"Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
		"Origin: https://app.example.evil\r\n", "Origin: https://app.example:8443\r\n",
		"Origin: http://app.example\r\n" };
	static const char *allowed[] = { "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n",
		"Origin: HTTPS://APP.example\r\n",
		"Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n" };
	static const char *no_pages[] = { "", "Sec-Fetch-Site: none\r\n", "Sec-Fetch-Site: same-origin\r\n",
		"Referer: https://evil.example/\r\n" };
	char head[200];

	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		snprintf(head, sizeof(head), HOST "%s", pages[i]);
		CHECK_NAMED(
		    judge(&loopback, &c, head) == 403 && !strcmp(no.code, "origin_not_allowed"), "a page");
		CHECK_INT(judge(&loopback, &some, head), 403);
		CHECK_INT(judge(&from_unix, &some, head), 403);
	}
	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
		snprintf(head, sizeof(head), HOST "%s", allowed[i]);
		CHECK_INT(judge(&loopback, &c, head), 403);
		CHECK_INT(judge(&loopback, &some, head), 0);
	}
	for (size_t i = 0; i < sizeof(no_pages) / sizeof(*no_pages); i++) {
		snprintf(head, sizeof(head), HOST "%s", no_pages[i]);
		CHECK_INT(judge(&loopback, &c, head), 0);
	}
	CHECK_INT(judge(&loopback, &with_null, HOST "Origin: null\r\n"), 0);
	CHECK_INT(judge(&loopback, &some, "Host: evil.example\r\nOrigin: https://app.example\r\n"), 403);
}

static void
cors(void)
{
	static char secret[] = "sk-fake-token", app[] = "https://app.example";
	char *origins[] = { app, NULL };
	struct config c = { .proxy_token = secret, .proxy_allow_origins = origins };
	static const char asks[] =
	    HOST "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
		 "Access-Control-Request-Headers: authorization,content-type\r\n";
	struct buf out = BUF(1000);
	struct request r;
	size_t used;
	char text[300];

	CHECK_INT(judge_method("OPTIONS", &loopback, &c, asks), 204);
	CHECK_INT(judge_method("POST", &loopback, &c, asks), 401);
	CHECK_INT(judge_method("OPTIONS", &remote_tls, &c, asks), 403);
	CHECK_INT(judge_method("OPTIONS", &loopback, &c, HOST "Origin: https://app.example\r\n"), 401);
	CHECK_INT(
	    judge_method("OPTIONS", &loopback, &c, HOST "Access-Control-Request-Method: POST\r\n"), 401);
	CHECK_INT(judge_method("OPTIONS", &loopback, &c,
		      HOST "Origin: https://evil.example\r\n"
			   "Access-Control-Request-Method: POST\r\n"),
	    403);

	request_init(&r, 0);
	snprintf(text, sizeof(text), "OPTIONS / HTTP/1.1\r\n%s\r\n", asks);
	CHECK(request_feed(&r, str_from(text), &used, &no) == REQUEST_HEAD);
	CHECK(str_is(access_cors_origin(&r, &c), "https://app.example"));
	access_cors_headers(&r, access_cors_origin(&r, &c), true, &out);
	CHECK_STR(out.p, "Access-Control-Allow-Origin: https://app.example\r\nVary: Origin\r\n"
			 "Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: "
			 "authorization,content-type\r\n"
			 "Access-Control-Max-Age: 600\r\n");
	buf_reset(&out);
	access_cors_headers(&r, access_cors_origin(&r, &c), false, &out);
	CHECK_STR(out.p, "Access-Control-Allow-Origin: https://app.example\r\nVary: Origin\r\n"
			 "Access-Control-Expose-Headers: *\r\n");
	buf_reset(&out);
	c.proxy_allow_origins = NULL;
	access_cors_headers(&r, access_cors_origin(&r, &c), true, &out);
	CHECK(out.n == 0);
	request_free(&r);
	buf_free(&out);
	CHECK(access_is_credential(STR("AUTHORIZATION")) && access_is_credential(STR("X-Api-Key")));
	CHECK(access_is_credential(STR("x-kmi-proxy-token")) && !access_is_credential(STR("X-Msh-Device")));
}

int
main(void)
{
	token();
	users();
	from_afar();
	hosts();
	web_pages();
	cors();
	return check_done();
}
