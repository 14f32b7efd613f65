#include "base/text.h"

#include "base/fail.h"
#include "check.h"

#include <stdlib.h>

static const char *
usable(long long n)
{
	return text_plural(n, "%lld usable", "%lld usable");
}

static void
counts(void)
{
	static const struct {
		long long n;
		const char *form;
	} cases[] = {
		{ 1, "%lld пригоден" }, { 21, "%lld пригоден" }, { 101, "%lld пригоден" }, { 2, "%lld пригодны" }, { 4, "%lld пригодны" },
		{ 22, "%lld пригодны" }, { 1003, "%lld пригодны" }, { 0, "%lld пригодно" }, { 5, "%lld пригодно" },
		{ 11, "%lld пригодно" }, { 12, "%lld пригодно" }, { 14, "%lld пригодно" }, { 19, "%lld пригодно" },
		{ 20, "%lld пригодно" }, { 111, "%lld пригодно" }, { -1, "%lld пригоден" }, { -12, "%lld пригодно" },
		{ 9223372036854775807LL, "%lld пригодно" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		CHECK_STR(usable(cases[i].n), cases[i].form);
}

/* Two bytes a letter: a message that is too long must not end in half of one. */
static void
cut_between_letters(void)
{
	struct fail f;
	char long_text[2000];

	for (int odd = 0; odd < 2; odd++) {
		size_t n = (size_t)odd;

		memset(long_text, 'x', sizeof(long_text));
		for (; n + 2 < sizeof(long_text); n += 2)
			memcpy(long_text + n, "ж", 2);
		long_text[n] = '\0';
		fail_set(&f, FAIL_INPUT, "%s", long_text);
		CHECK(strlen(f.text) >= sizeof(f.text) - 3);
		CHECK((strlen(f.text) - (size_t)odd) % 2 == 0);
	}
	fail_set(&f, FAIL_INPUT, "%s", "ends in ж");
	CHECK_STR(f.text, "ends in ж");
}

int
main(void)
{
	struct fail f;

	CHECK_STR(text_say("unknown command %s"), "unknown command %s");
	CHECK_STR(text_plural(1, "%lld key", "%lld keys"), "%lld key");
	CHECK_STR(text_plural(0, "%lld key", "%lld keys"), "%lld keys");
	CHECK_STR(text_in(LOCALE_RU, "unknown command %s"), "неизвестная команда %s");
	setenv("KMI_LOCALE", "RU", 1);
	text_locale_guess();
	CHECK_STR(text_say("unknown command %s"), "неизвестная команда %s");
	CHECK_STR(text_say("nobody says this"), "nobody says this");
	CHECK_STR(text_say(""), "");
	CHECK_STR(text_in(LOCALE_EN, "unknown command %s"), "unknown command %s");
	counts();
	fail_set(&f, FAIL_USAGE, "unknown command %s", "x");
	CHECK_STR(f.text, "неизвестная команда x");
	cut_between_letters();
	text_locale_set(LOCALE_EN);
	CHECK_STR(text_say("unknown command %s"), "unknown command %s");
	text_english_only();
	text_locale_set(LOCALE_RU);
	CHECK_STR(text_say("unknown command %s"), "unknown command %s");
	CHECK_STR(text_in(LOCALE_RU, "unknown command %s"), "неизвестная команда %s");
	return check_done();
}
