#include "show/table.h"

#include "check.h"

#include <locale.h>

/* The width of the widest line, in characters (all of them one column wide here). */
static size_t
widest(const struct buf *b)
{
	size_t most = 0, n = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (b->p[i] == '\n')
			n = 0;
		else if ((b->p[i] & 0xc0) != 0x80)
			n++;
		if (n > most)
			most = n;
	}
	return most;
}

static void
render(const struct look *l, struct buf *out)
{
	struct table *t = table_new(l);

	table_column(t, "LABEL", 0);
	table_column(t, "COUNT", TABLE_RIGHT);
	table_column(t, "STATUS", 0);
	table_column(t, "SOURCE", TABLE_SHRINK);
	table_row(t);
	table_add(t, "anna", TONE_NONE);
	table_printf(t, TONE_NONE, "%d", 7);
	table_add(t, "healthy", TONE_GOOD);
	table_add(t, "/home/someone/_auths/anna_config.toml", TONE_DIM);
	table_row(t);
	table_add(t, "\xd0\x91\xd0\xbe\xd1\x80\xd0\xb8\xd1\x81", TONE_NONE);
	table_printf(t, TONE_NONE, "%d", 12345);
	table_add(t, "blocked", TONE_BAD);
	table_add(t, "/home/someone/_auths/\033[31mboris.env", TONE_DIM);
	table_row(t);
	table_add(t, "", TONE_NONE);
	table_add(t, NULL, TONE_NONE);
	buf_reset(out);
	CHECK(table_text(t, out) == 0);
	buf_puts(out, "");
	table_free(t);
}

int
main(void)
{
	struct look pipe = { 0 }, wide = { .terminal = true, .width = 120 },
		    narrow = { .terminal = true, .width = 40 }, slit = { .terminal = true, .width = 16 },
		    colour = { .terminal = true, .width = 120, .colour = true };
	struct buf b = BUF(65536);
	struct table *t;

	setlocale(LC_CTYPE, "C.UTF-8");
	render(&pipe, &b);
	CHECK(strstr(b.p, "LABEL") == b.p);
	CHECK(strstr(b.p, "anna") && strstr(b.p, "      7  healthy"));
	CHECK(strstr(b.p, "/home/someone/_auths/anna_config.toml"));
	CHECK_NAMED(!strchr(b.p, '\033'), "no escape sequence, ours or a label's");
	CHECK_NAMED(!strstr(b.p, " \n"), "no spaces at line ends");
	render(&wide, &b);
	CHECK(widest(&b) <= 120 && strstr(b.p, "anna_config.toml"));
	render(&narrow, &b);
	CHECK(widest(&b) <= 40 && strstr(b.p, "anna") && strstr(b.p, "12345") && strstr(b.p, "healthy"));
	render(&slit, &b);
	CHECK(widest(&b) <= 16);
	buf_reset(&b);
	slit.width = 3;
	look_clip(&slit, STR("\033[1m\xd0\x91\xe4\xbd\x99\xff\xff\033[0m"), &b);
	CHECK_NAMED(str_is(buf_view(&b), "\033[1m\xd0\x91\xe4\xbd\x99\033[0m"),
	    "wide characters count twice, tones not");
	render(&colour, &b);
	CHECK(strstr(b.p, "\033[32mhealthy"));
	t = table_new(&pipe);
	table_column(t, "X", 0);
	buf_reset(&b);
	CHECK(table_text(t, &b) == 0 && b.n == 0);
	table_free(t);
	CHECK(table_text(NULL, &b) < 0);
	buf_free(&b);
	return check_done();
}
