#include "base/json.h"

#include "check.h"

static int
parses(const char *text)
{
	struct fail f = { 0 };
	struct json j;
	int rc = json_parse(&j, str_from(text), &f);

	if (rc == 0)
		json_free(&j);
	return rc == 0;
}

static void
good_and_bad(void)
{
	static const char *good[] = { "[0]", "[-1.5e+3]", "\"a\"", "[]", "{}", " {\"a\" : [1, {\"b\": null}], \"c\":\"\\u20ac\"}\n",
		"[[],{},\"\",0,true]", "\"\\ud83d\\ude00\"", "[1,[2,[3]]]" };
	static const char *bad[] = { "", " ", "01", "1.", ".5", "+1", "-", "1e", "nul", "True", "[1,]", "[1 2]", "{\"a\"}",
		"{\"a\":}", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{\"a\":1 \"b\":2}", "{\"a\":1}x", "[1]]", "[", "{\"a\":[}",
		"\"a\nb\"", "\"\\x\"", "\"\\u12g4\"", "\"\xff\"", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"a\":1:2}",
		"[\"a\":1]", "{\"a\",\"b\"}", "1 2", ",", "{1:2}", "{\"a\":1,,\"b\":2}", "[1,,2]", "['a']", "{\"a\"::1}" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK_NAMED(parses(good[i]), good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_NAMED(!parses(bad[i]), "refused");
}

static void
depth_and_lines(void)
{
	char deep[300];
	struct fail f = { 0 };
	struct json j;

	memset(deep, '[', 200);
	memset(deep + 100, ']', 100);
	deep[200] = '\0';
	CHECK(!parses(deep));
	CHECK(json_parse(&j, STR("{\"a\": 1,\n \"b\": 2,\n \"c\": 01}"), &f) < 0);
	CHECK(strstr(f.text, "line 3") != NULL);
}

static void
values(void)
{
	struct fail f;
	struct json j;
	struct buf b = BUF(1000);
	long long n;
	double d;
	bool t;
	int v;

	CHECK(json_parse(&j, STR("{\"s\": \"a\\n\\u20ac\\ud83d\\ude00\\ud800\", \"n\": -12, \"d\": 1.5, \"t\": true,"
	    " \"z\": null, \"l\": [1, [2], 3], \"k\\u0065y\": \"x\"}"), &f) == 0);
	CHECK(json_str(&j, json_get(&j, 0, "s"), &b) == 0);
	CHECK_STR(b.p, "a\n\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd");
	CHECK(json_int(&j, json_get(&j, 0, "n"), &n) == 0 && n == -12);
	CHECK(json_int(&j, json_get(&j, 0, "d"), &n) < 0);
	CHECK(json_double(&j, json_get(&j, 0, "d"), &d) == 0 && d == 1.5);
	CHECK(json_bool(&j, json_get(&j, 0, "t"), &t) == 0 && t);
	CHECK(json_type(&j, json_get(&j, 0, "z")) == JSON_NULL);
	CHECK(json_get(&j, 0, "missing") == -1);
	CHECK(json_get(&j, -1, "missing") == -1);
	CHECK(json_is(&j, json_get(&j, 0, "key"), "x"));
	v = json_get(&j, 0, "l");
	CHECK_INT(json_size(&j, v), 3);
	CHECK(json_int(&j, json_at(&j, v, 2), &n) == 0 && n == 3);
	CHECK_INT(json_at(&j, v, 3), -1);
	n = 0;
	for (int m = json_first(&j, 0); m >= 0; m = json_next(&j, m))
		n++;
	CHECK_INT(n, 7);
	json_free(&j);
	buf_free(&b);
}

static void
writing(void)
{
	struct buf b = BUF(1000);
	struct json_out o = { .to = &b };

	json_open(&o, '{');
	json_key(&o, "a\"b");
	json_put(&o, STR("x\n\x01\xff\xe2\x82\xac"));
	json_key(&o, "l");
	json_open(&o, '[');
	json_put_int(&o, 1);
	json_open(&o, '{');
	json_close(&o, '}');
	json_put_null(&o);
	json_close(&o, ']');
	json_key(&o, "t");
	json_put_bool(&o, true);
	json_close(&o, '}');
	CHECK_STR(b.p, "{\"a\\\"b\": \"x\\n\\u0001\xef\xbf\xbd\xe2\x82\xac\", \"l\": [1, {}, null], \"t\": true}");
	CHECK(parses(b.p));
	buf_free(&b);
}

int
main(void)
{
	good_and_bad();
	depth_and_lines();
	values();
	writing();
	return check_done();
}
