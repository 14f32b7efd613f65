#include "base/window.h"

#include "check.h"

#include <locale.h>

static const struct situation {
	const char *name;
	size_t width;
	enum window_text kind;
	const char *text, *fit;
} situations[] = {
	{ "no terminal", 0, WINDOW_LINES, "a long line that stays as it is\n", "a long line that stays as it is\n" },
	{ "it fits", 10, WINDOW_LINES, "ten  wide!\n", "ten  wide!\n" },
	{ "it does not", 9, WINDOW_LINES, "ten  wide!\n", "ten\n  wide!\n" },
	{ "no newline at the end", 9, WINDOW_LINES, "one and two", "one and\n  two" },
	{ "nothing", 9, WINDOW_LINES, "", "" },
	{ "empty lines", 9, WINDOW_HELP, "\n\na\n\n", "\n\na\n\n" },
	{ "a field", 20, WINDOW_LINES, "proxy   is not running at all\n", "proxy   is not\n        running at\n        all\n" },
	{ "a field too far to the right", 20, WINDOW_LINES, "a_long_name   is not here\n", "a_long_name   is not\n  here\n" },
	{ "a word that is too long", 10, WINDOW_LINES, "see https://example.com/a/path now\n",
	    "see\n  https://example.com/a/path\n  now\n" },
	{ "for programs", 10, WINDOW_LINES, "{\"a\": 1, \"b\": 2}\n[1, 2, 3, 4, 5, 6]\n", "{\"a\": 1, \"b\": 2}\n[1, 2, 3, 4, 5, 6]\n" },
	{ "two letters of two bytes", 5, WINDOW_LINES, "да да\n", "да да\n" },
	{ "letters of two columns", 5, WINDOW_LINES, "订阅 套\n", "订阅\n  套\n" },
	{ "colours take no room", 8, WINDOW_LINES, "\033[32mone two\033[0m\n", "\033[32mone two\033[0m\n" },
	{ "colours stay where they are", 7, WINDOW_LINES, "\033[32mone two\033[0m b\n", "\033[32mone two\033[0m\n  b\n" },
	{ "a paragraph", 20, WINDOW_HELP, "It is told in lines of\nmore than one width\nthat go on.\n\nEnd.\n",
	    "It is told in lines\nof more than one\nwidth that go on.\n\nEnd.\n" },
	{ "an option", 30, WINDOW_HELP, "  -n N     begins with the last N lines\n           and goes on\n  --plain  no colours\n",
	    "  -n N     begins with the\n           last N lines and\n           goes on\n  --plain  no colours\n" },
	{ "an option with one blank", 30, WINDOW_HELP, "  --since TIME only what has ended since\n               then\n",
	    "  --since TIME only what has\n               ended since\n               then\n" },
	{ "an option whose name is too long", 30, WINDOW_HELP, "  --one     an option of ours\n  --another more than there is room for\n",
	    "  --one     an option of ours\n  --another more than there is\n            room for\n" },
	{ "a synopsis", 30, WINDOW_HELP, "usage: kmi a [--b] [--c] [--d D] [--e]\n       kmi f [--g]\n\nText.\n",
	    "usage: kmi a [--b] [--c] [--d\n           D] [--e]\n       kmi f [--g]\n\nText.\n" },
	{ "another line of it", 20, WINDOW_HELP, "usage: kmi a\n       kmi bb [--cc] [--dd]\n       kmi e\n",
	    "usage: kmi a\n       kmi bb [--cc]\n           [--dd]\n       kmi e\n" },
	{ "a window of one column", 1, WINDOW_HELP, "a b\n  c  d\n", "a\nb\n  c\n  d\n" },
};

int
main(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	for (size_t i = 0; i < sizeof(situations) / sizeof(*situations); i++) {
		const struct situation *s = &situations[i];
		struct buf out = BUF(4096);

		buf_puts(&out, "");
		window_fit(&out, str_from(s->text), s->width, s->kind);
		CHECK_NAMED(strcmp(out.p, s->fit) == 0, s->name);
		if (strcmp(out.p, s->fit) != 0)
			printf("# got:\n%s", out.p);
		buf_free(&out);
	}
	CHECK_INT(window_columns(str_from("a\xff\xfe")), 3);
	return check_done();
}
