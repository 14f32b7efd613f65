#include "base/dotenv.h"

#include "check.h"

#include <stdlib.h>
#include <time.h>

/* Parses text and shows the entries as NAME=<value> lines, or the failure. */
static const char *
show(struct str text)
{
	static struct buf b = BUF(1 << 20);
	struct dotenv d;
	struct fail f = { 0 };

	buf_reset(&b);
	buf_puts(&b, "");
	if (dotenv_parse(&d, text, &f) < 0) {
		CHECK(f.kind == FAIL_INPUT && d.count == 0 && d.entries == NULL);
		buf_puts(&b, f.text);
	}
	for (size_t i = 0; i < d.count; i++)
		buf_printf(&b, "%s%s=<%s>", i ? "|" : "", d.entries[i].name, d.entries[i].value);
	dotenv_free(&d);
	return b.p;
}

#define READS(text, want) CHECK_STR(show(STR(text)), want)

static void
names_and_lines(void)
{
	READS("", "");
	READS("\n \n\t\n", "");
	READS("a=b", "a=<b>");
	READS("'a'=b", "a=<b>");
	READS("'a b'=c", "a b=<c>");
	READS("[=b", "[=<b>");
	READS(" a = b ", "a=<b>");
	READS("export a=b", "a=<b>");
	READS(" export \t'a'=b", "a=<b>");
	READS("export export_a=1", "export_a=<1>");
	READS("export=1", "export=<1>");
	READS("exported=1", "exported=<1>");
	READS("# a=b", "");
	READS("# a=b\n  # c\na=1#", "a=<1#>");
	READS("a=1\nb=2\na=3", "a=<3>|b=<2>");
	READS("uglyKey[%$=\"S3cr3t_P4ssw#rD\" #\na=b", "uglyKey[%$=<S3cr3t_P4ssw#rD>|a=<b>");
}

static void
names_without_value(void)
{
	READS("a", "");
	READS("export a", "");
	READS("a # comment\nb=1", "b=<1>");
	READS("a#b=c", "");
	READS("a=1\na\n", "");
	READS("a\na=1\n", "a=<1>");
	READS("KMI_TEST_SET\nb=<${KMI_TEST_SET}${KMI_TEST_SET:-x}>", "b=<<>>");
}

static void
unquoted(void)
{
	READS("a=", "a=<>");
	READS("a=\nb=c", "a=<>|b=<c>");
	READS("a=b#c", "a=<b#c>");
	READS("a=b #c", "a=<b>");
	READS("a=b\t \t#c #d", "a=<b>");
	READS("a= #c", "a=<>");
	READS("a=#c", "a=<#c>");
	READS("a=b c", "a=<b c>");
	READS("a=b  c \t ", "a=<b  c>");
	READS("a=b=c", "a=<b=c>");
	READS("a=b'c\"d", "a=<b'c\"d>");
	READS("a=b\\nc", "a=<b\\nc>");
	READS("a=\xc3\xa0", "a=<\xc3\xa0>");
	READS("a=b\xc2\xa0 c", "a=<b\xc2\xa0 c>");
	READS("a=\xe3\x80\x80" "b\xe2\x80\x83#c", "a=<b>");
	READS("a=b\xe2\x80\x8b", "a=<b\xe2\x80\x8b>");
}

static void
quoted(void)
{
	READS("a='b c '", "a=<b c >");
	READS("a=\"b c \" # d", "a=<b c >");
	READS("a=\"b\"# d", "a=<b>");
	READS("a=\"\"\nb=''", "a=<>|b=<>");
	READS("a=\"b\nc\"\nd=e", "a=<b\nc>|d=<e>");
	READS("a='b\nc' \nd=e", "a=<b\nc>|d=<e>");
	READS("a=\"b\\nc\\td\\\"e\\\\f\\'g\\qh\"", "a=<b\nc\td\"e\\f'g\\qh>");
	READS("a=\"\\a\\b\\f\\r\\v\"", "a=<\a\b\f\r\v>");
	READS("a='b\\nc\\'d\\\\e\\\"'", "a=<b\\nc'd\\e\\\">");
	READS("a='b\\\\'", "a=<b\\>");
	READS("a='b\\\\'\nc='d'", "a=<b\\>|c=<d>");
	READS("a=\"b\\\\\" # \"", "a=<b\\>");
	READS("a='b\\\\\\'c'", "a=<b\\'c>");
	/* A guarded quote closes when nothing else does. */
	READS("a='C:\\d\\'\nb=1", "a=<C:\\d\\>|b=<1>");
	READS("a='b\\'\nc='d'", "line 2: something stands after the closing quote");
	READS("a='b\\", "line 1: the quote is not closed");
	READS("a='#b' #c\nd=\"e #f\"", "a=<#b>|d=<e #f>");
}

static void
files_from_elsewhere(void)
{
	READS("\xef\xbb\xbf" "a=b\nc=d", "a=<b>|c=<d>");
	READS("a=b\r\nc=\"d\r\ne\"\r\nf=g\r", "a=<b>|c=<d\ne>|f=<g>");
	READS("a=b\rc=d", "a=<b>|c=<d>");
	READS("a=1\r\n\r\nb c\r\n", "line 3: not NAME=value");
}

static void
expansion(void)
{
	READS("a=${KMI_TEST_SET}", "a=<env>");
	READS("a=\"x${KMI_TEST_SET}y\"", "a=<xenvy>");
	READS("a='${KMI_TEST_SET}'", "a=<${KMI_TEST_SET}>");
	READS("a=${KMI_TEST_UNSET}", "a=<>");
	READS("a=${KMI_TEST_UNSET:-d e}", "a=<d e>");
	READS("a=${KMI_TEST_SET:-d}", "a=<env>");
	READS("a=${KMI_TEST_UNSET:-}", "a=<>");
	READS("KMI_TEST_SET=file\na=${KMI_TEST_SET}", "KMI_TEST_SET=<file>|a=<file>");
	READS("a=${b}\nb=1", "a=<>|b=<1>");
	READS("a=1\na=${a}2\nb=${a}", "a=<12>|b=<12>");
	READS("a=$KMI_TEST_SET $ ${ $} ${}", "a=<$KMI_TEST_SET $  >");
	READS("a=${KMI_TEST_SET", "a=<${KMI_TEST_SET>");
	READS("a=${x:y}${KMI_TEST_SET}", "a=<${x:y}env>");
	READS("a=${x:-y", "a=<${x:-y>");
	READS("a=${${KMI_TEST_SET}", "a=<>");
	READS("a=${x:-${y}}", "a=<${y}>");
	READS("a=1\nb='${a}'\nc=${b}", "a=<1>|b=<${a}>|c=<${a}>");
	READS("a=\"\\${KMI_TEST_SET}\"", "a=<\\env>");
}

static void
refused(void)
{
	READS("a: b", "line 1: not NAME=value");
	READS("a=1\n\n  b c=2", "line 3: not NAME=value");
	READS("=b", "line 1: a name is missing before \"=\"");
	READS("export =b", "line 1: a name is missing before \"=\"");
	READS("a=1\n''=b", "line 2: a quoted name is empty or not closed");
	READS("'a=b", "line 1: a quoted name is empty or not closed");
	READS("a=1\nb=\"\nc=d", "line 2: the quote is not closed");
	READS("a='b' c", "line 1: something stands after the closing quote");
	READS("a=\"b\nc\" d", "line 2: something stands after the closing quote");
	READS("a=1\nb=\0\n", "line 2: a NUL byte");
	READS("a=1\rb=\xff\n", "line 2: not UTF-8 text");
	READS("a=\xc3", "line 1: not UTF-8 text");
}

static void
entries(void)
{
	struct dotenv d = { 0 };

	dotenv_free(&d);
	CHECK(dotenv_parse(&d, (struct str){ NULL, 0 }, NULL) == 0 && d.count == 0);
	dotenv_free(&d);
	CHECK(dotenv_parse(&d, STR("\n'a\nb'=1\nc=\"\n\"\nd=2\nc=3"), NULL) == 0);
	CHECK_INT(d.count, 3);
	CHECK_INT(d.entries[0].line, 2);
	CHECK_INT(d.entries[1].line, 7);
	CHECK_INT(d.entries[2].line, 6);
	CHECK_STR(dotenv_get(&d, "c"), "3");
	CHECK(dotenv_get(&d, "e") == NULL);
	dotenv_free(&d);
	CHECK(dotenv_parse(&d, STR("a b"), NULL) < 0);
}

/* Time and memory stay in proportion to the text, whatever it holds. */
static void
hostile(void)
{
	static const char *pieces[] = { "${", "${a:", "a='\\'\n", "a\n", "\xe2\x80\x83", "a=\"", "''" };
	struct buf b = BUF(10 << 20);
	struct dotenv d;
	struct fail f;
	clock_t start = clock();

	buf_puts(&b, "a0=0123456789\n");
	for (int i = 1; i < 60; i++)
		buf_printf(&b, "a%d=${a%d}${a%d}\n", i, i - 1, i - 1);
	CHECK(dotenv_parse(&d, buf_view(&b), &f) < 0);
	CHECK(strstr(f.text, "expands") != NULL);

	buf_reset(&b);
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "name_%d=${name_%d:-x}\n", i, i - 1);
	CHECK(dotenv_parse(&d, buf_view(&b), &f) == 0);
	CHECK_INT(d.count, 100000);
	CHECK_STR(d.entries[99999].value, "x");
	dotenv_free(&d);

	for (size_t p = 0; p < sizeof(pieces) / sizeof(*pieces); p++) {
		buf_reset(&b);
		buf_puts(&b, "x=");
		for (int i = 0; i < 300000; i++)
			buf_puts(&b, pieces[p]);
		buf_puts(&b, ":x}");
		if (dotenv_parse(&d, buf_view(&b), &f) == 0)
			dotenv_free(&d);
	}
	CHECK((clock() - start) / CLOCKS_PER_SEC < 10);
	buf_free(&b);
}

int
main(void)
{
	setenv("KMI_TEST_SET", "env", 1);
	unsetenv("KMI_TEST_UNSET");
	names_and_lines();
	names_without_value();
	unquoted();
	quoted();
	files_from_elsewhere();
	expansion();
	refused();
	entries();
	hostile();
	return check_done();
}
