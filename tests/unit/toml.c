#include "base/toml.h"

#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* A tree in one line: {key=value ...} and [value ...], strings in <>, or the failure. */
static void
put_shown(struct buf *b, const struct toml *t)
{
	long long i;
	double d;
	bool truth;
	size_t n;

	switch (toml_type(t)) {
	case TOML_TABLE:
	case TOML_ARRAY:
		buf_putc(b, toml_type(t) == TOML_TABLE ? '{' : '[');
		for (const struct toml *m = toml_first(t); m; m = toml_next(m)) {
			if (m != toml_first(t))
				buf_putc(b, ' ');
			if (toml_type(t) == TOML_TABLE)
				buf_printf(b, "%.*s=", STR_F(toml_key(m)));
			put_shown(b, m);
		}
		buf_putc(b, toml_type(t) == TOML_TABLE ? '}' : ']');
		break;
	case TOML_STRING:
		buf_printf(b, "<%s>", toml_string(t, &n));
		break;
	case TOML_INTEGER:
		buf_printf(b, "%lld", toml_integer(t, &i) == 0 ? i : -1);
		break;
	case TOML_FLOAT:
		buf_printf(b, "~%.15g", toml_float(t, &d) == 0 ? d : -1);
		break;
	case TOML_BOOL:
		buf_puts(b, toml_bool(t, &truth) == 0 && truth ? "true" : "false");
		break;
	case TOML_OFFSET_DATETIME:
		buf_printf(b, "offset:%s", toml_datetime(t));
		break;
	case TOML_LOCAL_DATETIME:
		buf_printf(b, "local:%s", toml_datetime(t));
		break;
	case TOML_LOCAL_DATE:
		buf_printf(b, "date:%s", toml_datetime(t));
		break;
	case TOML_LOCAL_TIME:
		buf_printf(b, "time:%s", toml_datetime(t));
		break;
	case TOML_NONE:
		buf_puts(b, "nothing");
		break;
	}
}

static const char *
show(struct str text)
{
	static struct buf b = BUF(1 << 20);
	struct fail f = { 0 };
	struct toml *root;

	buf_reset(&b);
	if (toml_parse(&root, text, &f) < 0) {
		CHECK(root == NULL && f.kind == FAIL_INPUT);
		buf_puts(&b, f.text);
	} else {
		put_shown(&b, root);
	}
	toml_free(root);
	return b.p;
}

#define READS(text, want) CHECK_STR(show(STR(text)), want)
#define READS_VALUE(text, want) READS("a=" text, "{a=" want "}")

static int
refused_line(struct str text)
{
	struct fail f = { 0 };
	struct toml *root;
	int line = 0;

	if (toml_parse(&root, text, &f) == 0)
		toml_free(root);
	else if (sscanf(f.text, "line %d: ", &line) != 1)
		line = -1;
	return line;
}

#define REFUSES(text, line) CHECK_INT(refused_line(STR(text)), line)

static void
lines(void)
{
	READS("", "{}");
	READS("\n \t\r\n# only a comment", "{}");
	READS("\xef\xbb\xbf" "a=1", "{a=1}");
	READS("a = 1 # one\r\nb = 2\r\n", "{a=1 b=2}");
	READS("  a=1\t#\t\xe2\x82\xac", "{a=1}");
	REFUSES("a=1 b=2", 1);
	REFUSES("a=1\n\na", 3);
	REFUSES("a", 1);
	REFUSES("a=", 1);
	REFUSES("a=\n1", 1);
	REFUSES("a= # none", 1);
	REFUSES("\na\n=1", 2);
	REFUSES("a=1\rb=2", 1);
	REFUSES("a=1\r", 1);
	REFUSES("a=1 # x\ry", 1);
	REFUSES("\n# \x01", 2);
	REFUSES("# \x7f", 1);
	REFUSES("a=1\n# \0", 2);
	REFUSES("a=1\n\0", 2);
	REFUSES("a=1\n# \xff", 2);
	REFUSES("a=1\nb='\xed\xa0\x80'", 2);
	REFUSES("a=1\n\xef\xbb\xbf" "b=1", 2);
	REFUSES("\xff\xfe" "a", 1);
	REFUSES("\xc2\xa0" "a=1", 1);
	REFUSES("a=1\f", 1);
}

static void
keys(void)
{
	READS("a-b_C1=1", "{a-b_C1=1}");
	READS("1234=1", "{1234=1}");
	READS("1.2=1", "{1={2=1}}");
	READS("\"a b\"=1\n'c\"d'=2\n\"\"=3", "{a b=1 c\"d=2 =3}");
	READS("\"\\u00e9\\n\"=1", "{\xc3\xa9\n=1}");
	READS("a . 'b.c' .\t\"d\" = 1", "{a={b.c={d=1}}}");
	READS("a.b=1\na.c=2", "{a={b=1 c=2}}");
	READS("a.x=1\nb=2\na.y=3", "{a={x=1 y=3} b=2}");
	READS("true=1\ninf=2\n2020-01-01=3", "{true=1 inf=2 2020-01-01=3}");
	REFUSES("=1", 1);
	REFUSES("a..b=1", 1);
	REFUSES(".a=1", 1);
	REFUSES("a.=1", 1);
	REFUSES("a b=1", 1);
	REFUSES("\xc3\xa9=1", 1);
	REFUSES("\"\"\"a\"\"\"=1", 1);
	REFUSES("'''a'''=1", 1);
	REFUSES("\"a\nb\"=1", 1);
	REFUSES("a=1\na=2", 2);
	REFUSES("a=1\n'a'=2", 2);
	REFUSES("a=1\n\"\\u0061\"=2", 2);
	REFUSES("a=1\na.b=2", 2);
	REFUSES("a.b=1\na=2", 2);
	REFUSES("a.b.c=1\na.b=2", 2);
	REFUSES("a!=1", 1);
	REFUSES("a\n.b=1", 1);
}

static void
strings(void)
{
	READS_VALUE("\"\"", "<>");
	READS_VALUE("''", "<>");
	READS_VALUE("\"a\\b\\t\\n\\f\\r\\\"\\\\b\"", "<a\b\t\n\f\r\"\\b>");
	READS_VALUE("\"\\u00E9\\u20ac\\U0001f600\"", "<\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80>");
	READS_VALUE("\"\\uD7FF\\uE000\\U0010FFFF\"", "<\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf>");
	READS_VALUE("'C:\\a\\n\"'", "<C:\\a\\n\">");
	READS_VALUE("\"a#b\" # c", "<a#b>");
	READS_VALUE("\"\tx\"", "<\tx>");
	READS_VALUE("\"\"\"\"\"\"", "<>");
	READS_VALUE("''''''", "<>");
	READS_VALUE("\"\"\"\nb\n c\"\"\"", "<b\n c>");
	READS_VALUE("\"\"\"\r\nb\r\n c\"\"\"", "<b\n c>");
	READS_VALUE("'''\r\nb\r\n\\c'''", "<b\n\\c>");
	READS_VALUE("\"\"\"\n\nb\"\"\"", "<\nb>");
	READS_VALUE("\"\"\"b \\\n  \n\t c\"\"\"", "<b c>");
	READS_VALUE("\"\"\"b\\ \t\r\n \r\n c\"\"\"", "<bc>");
	READS_VALUE("\"\"\"b\\\n\"\"\"", "<b>");
	READS_VALUE("\"\"\"b\\\\\nc\"\"\"", "<b\\\nc>");
	READS_VALUE("\"\"\"\"b\"\"c\"\"\"\"\"", "<\"b\"\"c\"\">");
	READS_VALUE("'''''b''c'''''", "<''b''c''>");
	READS_VALUE("\"\"\"\\\"\"\"\\\"\"\"\"", "<\"\"\"\">");
	REFUSES("a=\"b", 1);
	REFUSES("a='b", 1);
	REFUSES("a=\"b\nc\"", 1);
	REFUSES("a='b\r\nc'", 1);
	REFUSES("\na=\"\"\"b\n\n", 2);
	REFUSES("a='''b''", 1);
	REFUSES("a=\"\"\"b\"\"\"\"\"\"", 1);
	REFUSES("a='b''c'", 1);
	REFUSES("a=\"\\x41\"", 1);
	REFUSES("a=\"\\e\"", 1);
	REFUSES("a=\"\\ \"", 1);
	REFUSES("a=\"\\", 1);
	REFUSES("a=\"\\u12g4\"", 1);
	REFUSES("a=\"\\u123\"", 1);
	REFUSES("a=\"\\U0000012\"", 1);
	REFUSES("a=\"\\ud800\"", 1);
	REFUSES("a=\"\\U00110000\"", 1);
	REFUSES("a=\"\\Uffffffff\"", 1);
	REFUSES("a=\"\"\"\n\\ b\"\"\"", 2);
	REFUSES("a=\"\x1f\"", 1);
	REFUSES("a=\"\x7f\"", 1);
	REFUSES("a='\0'", 1);
	REFUSES("a=\"\"\"\nb\rc\"\"\"", 2);
	REFUSES("a='''\nb\r'''", 2);
	REFUSES("a=\"\"\"\n\x08\"\"\"", 2);
}

static void
integers(void)
{
	READS_VALUE("0", "0");
	READS_VALUE("+0", "0");
	READS_VALUE("-0", "0");
	READS_VALUE("+12", "12");
	READS_VALUE("1_000_000", "1000000");
	READS_VALUE("9223372036854775807", "9223372036854775807");
	READS_VALUE("-9223372036854775808", "-9223372036854775808");
	READS_VALUE("0xDEAD_beef", "3735928559");
	READS_VALUE("0x7fffffffffffffff", "9223372036854775807");
	READS_VALUE("0x00_ff", "255");
	READS_VALUE("0o755", "493");
	READS_VALUE("0b1101", "13");
	REFUSES("a=9223372036854775808", 1);
	REFUSES("a=-9223372036854775809", 1);
	REFUSES("a=99999999999999999999999999", 1);
	REFUSES("a=0x8000000000000000", 1);
	REFUSES("a=01", 1);
	REFUSES("a=-01", 1);
	REFUSES("a=0_1", 1);
	REFUSES("a=_1", 1);
	REFUSES("a=1_", 1);
	REFUSES("a=1__0", 1);
	REFUSES("a=+", 1);
	REFUSES("a=--1", 1);
	REFUSES("a=+0x1", 1);
	REFUSES("a=-0b1", 1);
	REFUSES("a=0x", 1);
	REFUSES("a=0x_1", 1);
	REFUSES("a=0x1_", 1);
	REFUSES("a=0X1", 1);
	REFUSES("a=0b2", 1);
	REFUSES("a=0o8", 1);
	REFUSES("a=0xg", 1);
	REFUSES("a=1a", 1);
	REFUSES("a=1 000", 1);
}

static void
floats_and_bools(void)
{
	READS_VALUE("1.5", "~1.5");
	READS_VALUE("-0.01", "~-0.01");
	READS_VALUE("-0.0", "~-0");
	READS_VALUE("0e0", "~0");
	READS_VALUE("5e+22", "~5e+22");
	READS_VALUE("1E06", "~1000000");
	READS_VALUE("6.626e-34", "~6.626e-34");
	READS_VALUE("9_224_617.445_991e0_1", "~92246174.45991");
	READS_VALUE("inf", "~inf");
	READS_VALUE("-inf", "~-inf");
	READS_VALUE("+nan", "~nan");
	READS_VALUE("true", "true");
	READS_VALUE("false", "false");
	REFUSES("a=.5", 1);
	REFUSES("a=5.", 1);
	REFUSES("a=5.e1", 1);
	REFUSES("a=5e", 1);
	REFUSES("a=5e+", 1);
	REFUSES("a=5e1.2", 1);
	REFUSES("a=1_.5", 1);
	REFUSES("a=1._5", 1);
	REFUSES("a=1.5_", 1);
	REFUSES("a=1e_5", 1);
	REFUSES("a=01.5", 1);
	REFUSES("a=1.2.3", 1);
	REFUSES("a=Inf", 1);
	REFUSES("a=infinity", 1);
	REFUSES("a=NaN", 1);
	REFUSES("a=nan(1)", 1);
	REFUSES("a=0x1p3", 1);
	REFUSES("a=0x1.8", 1);
	REFUSES("a=True", 1);
	REFUSES("a=truer", 1);
	REFUSES("a=t", 1);
	REFUSES("a=sk-fake-1", 1);
}

static void
dates_and_times(void)
{
	READS_VALUE("1979-05-27T07:32:00Z", "offset:1979-05-27T07:32:00Z");
	READS_VALUE("1979-05-27t07:32:00z", "offset:1979-05-27T07:32:00Z");
	READS_VALUE("1979-05-27 07:32:00.999999-07:00 # x", "offset:1979-05-27T07:32:00.999999-07:00");
	READS_VALUE("1979-05-27T07:32:00", "local:1979-05-27T07:32:00");
	READS_VALUE("1979-05-27 07:32:00.5", "local:1979-05-27T07:32:00.5");
	READS_VALUE("1979-05-27", "date:1979-05-27");
	READS_VALUE("1979-05-27 ", "date:1979-05-27");
	READS_VALUE("1979-05-27 # x", "date:1979-05-27");
	READS_VALUE("[1979-05-27 ,1979-05-27]", "[date:1979-05-27 date:1979-05-27]");
	READS_VALUE("07:32:00.25", "time:07:32:00.25");
	READS_VALUE("23:59:60", "time:23:59:60");
	READS_VALUE("2000-02-29", "date:2000-02-29");
	READS_VALUE("2024-02-29", "date:2024-02-29");
	REFUSES("a=1900-02-29", 1);
	REFUSES("a=2023-02-29", 1);
	REFUSES("a=2023-04-31", 1);
	REFUSES("a=2023-00-01", 1);
	REFUSES("a=2023-13-01", 1);
	REFUSES("a=2023-01-00", 1);
	REFUSES("a=2023-1-01", 1);
	REFUSES("a=23-01-01", 1);
	REFUSES("a=2023-01-01T", 1);
	REFUSES("a=2023-01-01  10:00:00", 1);
	REFUSES("a=2023-01-01T10:00", 1);
	REFUSES("a=2023-01-01T1:00:00", 1);
	REFUSES("a=2023-01-01T24:00:00", 1);
	REFUSES("a=2023-01-01T10:60:00", 1);
	REFUSES("a=2023-01-01T10:00:61", 1);
	REFUSES("a=2023-01-01T10:00:00.", 1);
	REFUSES("a=2023-01-01T10:00:00.Z", 1);
	REFUSES("a=2023-01-01T10:00:00+24:00", 1);
	REFUSES("a=2023-01-01T10:00:00+10:60", 1);
	REFUSES("a=2023-01-01T10:00:00+10", 1);
	REFUSES("a=2023-01-01T10:00:00ZZ", 1);
	REFUSES("a=2023-01-01Z", 1);
	REFUSES("a=10:00:00Z", 1);
	REFUSES("a=10:00", 1);
	REFUSES("a=12023-01-01", 1);
}

static void
arrays_and_inline_tables(void)
{
	READS_VALUE("[]", "[]");
	READS_VALUE("[1, 'x', [2.5,], {b=3},]", "[1 <x> [~2.5] {b=3}]");
	READS_VALUE("[ # c\n\n 1 # d\r\n , # e\n 2\n, # ]\n]", "[1 2]");
	READS_VALUE("[\"]\",\"#\"]#x", "[<]> <#>]");
	READS_VALUE("{}", "{}");
	READS_VALUE("{ b = 1, c.d = '}', c.e = [\n1] }", "{b=1 c={d=<}> e=[1]}}");
	REFUSES("a=[", 1);
	REFUSES("a=[1\n2]", 2);
	REFUSES("a=[1 2]", 1);
	REFUSES("a=[,1]", 1);
	REFUSES("a=[1,,2]", 1);
	REFUSES("a=[1]]", 1);
	REFUSES("a=[\n1,\n", 3);
	REFUSES("a=[1 # ]", 1);
	REFUSES("a=[\n# \x02\n]", 2);
	REFUSES("a=[\r1]", 1);
	REFUSES("a={", 1);
	REFUSES("a={b=1,}", 1);
	REFUSES("a={,}", 1);
	REFUSES("a={b=1 c=2}", 1);
	REFUSES("a={b=1\n}", 1);
	REFUSES("a={\nb=1}", 1);
	REFUSES("a={b=1 # c\n}", 1);
	REFUSES("a={b}", 1);
	REFUSES("a={b=1,b=2}", 1);
	REFUSES("a={b=1,b.c=2}", 1);
	REFUSES("a={b={c=1},b.d=2}", 1);
}

static void
headers(void)
{
	READS("[a]\nb=1\n[ c . 'd e' ] # x\nf=2", "{a={b=1} c={d e={f=2}}}");
	READS("[a.b]\nx=1\n[a]\ny=2", "{a={b={x=1} y=2}}");
	READS("[a]\n[a.b]\n[a.c]", "{a={b={} c={}}}");
	READS("[[a]]\nb=1\n[[a]]\n[a.c]\nd=2\n[[a.e]]\n[[a.e]]\nf=3", "{a=[{b=1} {c={d=2} e=[{} {f=3}]}]}");
	READS("[[a.b]]\n[a]\nx=1", "{a={b=[{}] x=1}}");
	READS("[a]\nb.c=1\n[a.b.d]\ne=2", "{a={b={c=1 d={e=2}}}}");
	READS("a.b=1\n[c]\nd.e=2\nd.f=3", "{a={b=1} c={d={e=2 f=3}}}");
	READS("[[a]]\nb.c=1\n[[a]]\nb.c=2", "{a=[{b={c=1}} {b={c=2}}]}");
	READS("[\"providers.x\"]\nk=1", "{providers.x={k=1}}");
	REFUSES("[a", 1);
	REFUSES("[]", 1);
	REFUSES("[a]]", 1);
	REFUSES("[[a]", 1);
	REFUSES("[[a] ]", 1);
	REFUSES("[ [a]]", 1);
	REFUSES("[a.]", 1);
	REFUSES("[a]b=1", 1);
	REFUSES("[a] [b]", 1);
	REFUSES("[a\n]", 1);
	REFUSES("[a=1]", 1);
	REFUSES("[a]\n[a]", 2);
	REFUSES("[a.b]\n[a]\n[a]", 3);
	REFUSES("a=1\n[a]", 2);
	REFUSES("a=1\n[a.b]", 2);
	REFUSES("a=1\n[[a]]", 2);
	REFUSES("a=[]\n[[a]]", 2);
	REFUSES("a=[{}]\n[a.b]", 2);
	REFUSES("a={}\n[a]", 2);
	REFUSES("a={}\n[a.b]", 2);
	REFUSES("a={}\na.b=1", 2);
	REFUSES("a={b={}}\na.b.c=1", 2);
	REFUSES("a.b=1\n[a]", 2);
	REFUSES("[a]\nb.c=1\n[a.b]", 3);
	REFUSES("[a]\n[[a]]", 2);
	REFUSES("[[a]]\n[a]", 2);
	REFUSES("[a.b]\n[[a]]", 2);
	REFUSES("[[a.b]]\n[a]\nb.c=1", 3);
	REFUSES("[a.b]\nx=1\n[a]\nb=2", 4);
	REFUSES("[a.b.c]\n[a]\nb.c.d=1", 3);
	REFUSES("[a]\nb=1\n[a.b.c]", 3);
}

static void
getters(void)
{
	struct str text = STR("[providers.\"managed:x\"]\nbase_url = 'u' # c\napi_key = \"sk-\\u0000\"\nn = 3\n"
	    "f = 1.5\nt = true\nd = 2020-01-02\nin = { a = [1,\n 2] }\n[[list]]\n");
	const struct toml *p, *m;
	struct toml *root;
	const char *s;
	size_t n, from, to;
	long long i;
	double d;
	bool b;

	CHECK(toml_parse(&root, text, NULL) == 0);
	p = toml_get(toml_get(root, STR("providers")), STR("managed:x"));
	CHECK_INT(toml_type(p), TOML_TABLE);
	CHECK_INT(toml_size(p), 7);
	toml_span(p, &from, &to);
	CHECK(str_is(str_sub(text, from, to), "[providers.\"managed:x\"]"));
	CHECK_INT(toml_line(p), 1);
	m = toml_get(p, STR("base_url"));
	toml_span(m, &from, &to);
	CHECK(str_is(str_sub(text, from, to), "'u'"));
	CHECK_INT(toml_line(m), 2);
	CHECK_STR(toml_string(m, NULL), "u");
	m = toml_next(m);
	CHECK(str_is(toml_key(m), "api_key"));
	s = toml_string(m, &n);
	CHECK(s && n == 4 && memcmp(s, "sk-", 4) == 0);
	toml_span(m, &from, &to);
	CHECK(str_is(str_sub(text, from, to), "\"sk-\\u0000\""));
	m = toml_get(p, STR("n"));
	CHECK(toml_integer(m, &i) == 0 && i == 3);
	CHECK(toml_float(m, &d) == 0 && d == 3.0);
	CHECK(toml_string(m, &n) == NULL && toml_bool(m, &b) < 0 && toml_datetime(m) == NULL);
	m = toml_get(p, STR("f"));
	CHECK(toml_float(m, &d) == 0 && d == 1.5 && toml_integer(m, &i) < 0);
	CHECK(toml_bool(toml_get(p, STR("t")), &b) == 0 && b);
	CHECK_STR(toml_datetime(toml_get(p, STR("d"))), "2020-01-02");
	CHECK(toml_string(toml_get(p, STR("d")), NULL) == NULL);
	m = toml_get(toml_get(p, STR("in")), STR("a"));
	toml_span(m, &from, &to);
	CHECK(str_is(str_sub(text, from, to), "[1,\n 2]"));
	CHECK_INT(toml_line(m), 8);
	CHECK_INT(toml_line(toml_next(toml_first(m))), 9);
	CHECK(toml_key(toml_first(m)).n == 0);
	m = toml_first(toml_get(root, STR("list")));
	toml_span(m, &from, &to);
	CHECK(str_is(str_sub(text, from, to), "[[list]]"));
	CHECK_INT(toml_line(m), 10);
	toml_free(root);

	CHECK(toml_get(NULL, STR("a")) == NULL && toml_first(NULL) == NULL && toml_next(NULL) == NULL);
	CHECK(toml_type(NULL) == TOML_NONE && toml_size(NULL) == 0 && toml_line(NULL) == 0);
	CHECK(toml_string(NULL, NULL) == NULL && toml_integer(NULL, &i) < 0 && toml_key(NULL).n == 0);
	toml_free(NULL);
	CHECK(toml_parse(&root, (struct str){ NULL, 0 }, NULL) == 0);
	CHECK(toml_get(root, STR("a")) == NULL);
	toml_free(root);
}

/* Messages go into logs and onto screens: never a value, nor a key, which may be a value in a wrong place. */
static void
no_secret_is_told(void)
{
	static const char *texts[] = { "api_key = sk-fake-1234", "sk-fake-1234", "api_key = \"sk-fake-1234",
		"sk-fake-1234 = 1\nsk-fake-1234 = 2", "[sk-fake-1234", "[sk-fake-1234]\n[sk-fake-1234]",
		"a = \"sk-fake-1234\" sk-fake-1234" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct fail f = { 0 };
		struct toml *root;

		CHECK(toml_parse(&root, str_from(texts[i]), &f) < 0 && !strstr(f.text, "fake"));
	}
}

static int
parses(struct buf *b)
{
	struct fail f;
	struct toml *root;
	int rc = toml_parse(&root, buf_view(b), &f);

	toml_free(root);
	buf_reset(b);
	return rc == 0;
}

static void
repeat(struct buf *b, const char *s, int times)
{
	while (times--)
		buf_puts(b, s);
}

/* Depth has an end, and time stays in proportion to the text. */
static void
hostile(void)
{
	struct buf b = BUF(64 << 20);
	clock_t start = clock();

	buf_puts(&b, "a=");
	repeat(&b, "[", 63);
	repeat(&b, "]", 63);
	CHECK(parses(&b));
	buf_puts(&b, "a=");
	repeat(&b, "[", 100000);
	CHECK(!parses(&b));
	buf_puts(&b, "a=");
	repeat(&b, "{a=", 100000);
	CHECK(!parses(&b));
	buf_puts(&b, "a");
	repeat(&b, ".a", 100000);
	buf_puts(&b, "=1");
	CHECK(!parses(&b));
	buf_puts(&b, "[a");
	repeat(&b, ".a", 100000);
	buf_puts(&b, "]");
	CHECK(!parses(&b));

	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "key_%d = %d\n", i, i);
	CHECK(parses(&b));
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "[table.t%d]\nx.y.z = 1\n", i);
	CHECK(parses(&b));
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "a.k%d = 1\n", 100000 - i);
	CHECK(parses(&b));
	repeat(&b, "[[a]]\nx = 1\n", 100000);
	CHECK(parses(&b));
	buf_puts(&b, "a = [");
	repeat(&b, "{},", 100000);
	buf_puts(&b, "]");
	CHECK(parses(&b));
	buf_puts(&b, "a = 0.");
	repeat(&b, "1_2", 300000);
	CHECK(parses(&b));
	buf_puts(&b, "a = \"");
	repeat(&b, "\\u20ac", 300000);
	buf_puts(&b, "\"");
	CHECK(parses(&b));
	for (int i = 0; i < 1000; i++) {
		buf_puts(&b, "\"");
		repeat(&b, "x", 5000);
		buf_printf(&b, "%04d\" = 1\n", i);
	}
	CHECK(parses(&b));
	buf_free(&b);
	CHECK((clock() - start) / CLOCKS_PER_SEC < 20);
}

int
main(void)
{
	lines();
	keys();
	strings();
	integers();
	floats_and_bools();
	dates_and_times();
	arrays_and_inline_tables();
	headers();
	getters();
	no_secret_is_told();
	hostile();
	return check_done();
}
