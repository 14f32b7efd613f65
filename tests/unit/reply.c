#include "proxy/reply.h"
#include "base/json.h"

#include "check.h"

/* What one of an upstream's heads becomes for one kind of client. */
static void
framing(const char *method, int minor, int status, const char *name, const char *value, enum reply_framing want, bool keep)
{
	struct header h[] = { { str_from(name), str_from(value) } };
	struct received got = { .status = status, .headers = h, .header_count = *name ? 1 : 0 };
	struct request r = { .method = str_from(method), .minor = minor };
	struct reply_plan plan;

	reply_plan(&plan, &got, &r, true);
	CHECK_INT(plan.framing, want);
	CHECK_INT(plan.keep, keep);
}

static void
plans(void)
{
	framing("GET", 1, 200, "Content-Length", "5", REPLY_LENGTH, true);
	framing("GET", 0, 200, "Content-Length", "5", REPLY_LENGTH, true);
	framing("GET", 1, 200, "Transfer-Encoding", "chunked", REPLY_CHUNKED, true);
	framing("GET", 0, 200, "Transfer-Encoding", "chunked", REPLY_UNTIL_CLOSE, false);
	framing("GET", 1, 200, "", "", REPLY_CHUNKED, true);
	framing("GET", 0, 200, "", "", REPLY_UNTIL_CLOSE, false);
	framing("HEAD", 1, 200, "Content-Length", "5", REPLY_NO_BODY, true);
	framing("GET", 1, 204, "", "", REPLY_NO_BODY, true);
	framing("GET", 1, 304, "Content-Length", "5", REPLY_NO_BODY, true);
	framing("GET", 0, 204, "", "", REPLY_NO_BODY, true);
}

static void
heads(void)
{
	struct header h[] = { { STR("Content-Type"), STR("text/plain") }, { STR("Set-Cookie"), STR("a=1") },
		{ STR("Connection"), STR("X-Hop") }, { STR("X-Hop"), STR("1") }, { STR("Keep-Alive"), STR("5") },
		{ STR("Set-Cookie"), STR("b=2") }, { STR("Content-Length"), STR("5") }, { STR("X-Empty"), STR("") } };
	struct received got = { .status = 429, .reason = STR("Slow Down"), .headers = h, .header_count = 8 };
	struct request r = { .method = STR("GET"), .minor = 1 };
	struct reply_plan plan;
	struct buf out = BUF(4096);

	reply_plan(&plan, &got, &r, true);
	reply_head(&out, &got, &plan, "0123", (struct str){ 0 });
	CHECK_STR(out.p, "HTTP/1.1 429 Slow Down\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
			 "Content-Length: 5\r\nX-Empty: \r\nX-KMI-Request-Id: 0123\r\n\r\n");
	buf_reset(&out);
	plan.keep = false;
	plan.framing = REPLY_CHUNKED;
	reply_head(&out, &got, &plan, "0123", (struct str){ 0 });
	CHECK(!strstr(out.p, "Content-Length"));
	CHECK(strstr(out.p, "Transfer-Encoding: chunked\r\n") && strstr(out.p, "Connection: close\r\n"));
	buf_free(&out);
}

static void
pieces(void)
{
	struct reply_plan plan = { .framing = REPLY_CHUNKED };
	struct buf out = BUF(4096);

	reply_piece(&out, &plan, STR("hello, you there"));
	reply_piece(&out, &plan, STR(""));	/* an empty piece would end the body */
	reply_end(&out, &plan);
	CHECK_STR(out.p, "10\r\nhello, you there\r\n0\r\n\r\n");
	buf_reset(&out);
	plan.framing = REPLY_LENGTH;
	reply_piece(&out, &plan, STR("hello"));
	reply_end(&out, &plan);
	CHECK_STR(out.p, "hello");
	buf_reset(&out);
	plan.framing = REPLY_NO_BODY;
	reply_piece(&out, &plan, STR("hello"));
	reply_end(&out, &plan);
	CHECK_INT(out.n, 0);
	buf_free(&out);
}

static void
own(void)
{
	struct buf body = BUF(4096), out = BUF(8192);
	struct reply_own o = { .status = 429, .retry_after = 7, .keep = true, .minor = 1 };
	struct fail f;
	struct json j;

	reply_error_body(&body, 429, "rate_limited", "too \"many\"\n", "wait", STR("[{\"label\": \"a\"}]"));
	CHECK(json_parse(&j, buf_view(&body), &f) == 0);
	CHECK(json_is(&j, json_get(&j, json_get(&j, 0, "error"), "code"), "rate_limited"));
	CHECK(json_is(&j, json_get(&j, json_get(&j, 0, "error"), "type"), "rate_limit_error"));
	CHECK_INT(json_size(&j, json_get(&j, json_get(&j, 0, "error"), "keys")), 1);
	json_free(&j);
	o.body = buf_view(&body);
	reply_own(&out, &o);
	CHECK(strstr(out.p, "HTTP/1.1 429 Too Many Requests\r\n") == out.p);
	CHECK(strstr(out.p, "\r\nRetry-After: 7\r\n") != NULL);
	CHECK(strstr(out.p, "Connection:") == NULL);
	buf_reset(&out);
	o.head_only = true;
	o.minor = 0;
	reply_own(&out, &o);
	CHECK(strstr(out.p, "Connection: keep-alive\r\n\r\n") != NULL && str_ends(buf_view(&out), "\r\n\r\n"));
	buf_free(&body);
	buf_free(&out);
}

int
main(void)
{
	plans();
	heads();
	pieces();
	own();
	return check_done();
}
