#include "base/text.h"

#include "base/text_ru.h"

#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

static enum locale spoken;
static bool english_only;

/* The entry of a text, or NULL. The table is built by the first question. */
static const struct text_entry *
find(const char *english)
{
	static struct hsearch_data table;
	static bool built;
	ENTRY asked = { .key = (char *)(uintptr_t)english }, *found;

	if (!built) {
		built = true;
		if (!hcreate_r(2 * text_ru_count, &table))
			return NULL;
		for (size_t i = 0; i < text_ru_count; i++) {
			ENTRY e = { (char *)(uintptr_t)text_ru[i].english, (void *)(uintptr_t)&text_ru[i] };

			hsearch_r(e, ENTER, &found, &table);
		}
	}
	if (!table.table || !hsearch_r(asked, FIND, &found, &table))
		return NULL;
	return found->data;
}

void
text_locale_set(enum locale locale)
{
	spoken = english_only ? LOCALE_EN : locale;
}

void
text_locale_guess(void)
{
	const char *named = getenv("KMI_LOCALE");

	text_locale_set(named && strcasecmp(named, "ru") == 0 ? LOCALE_RU : LOCALE_EN);
}

void
text_english_only(void)
{
	english_only = true;
	spoken = LOCALE_EN;
}

const char *
text_in(enum locale locale, const char *english)
{
	const struct text_entry *e = locale == LOCALE_RU && english ? find(english) : NULL;

	return e ? e->russian[0] : english;
}

const char *
text_say(const char *english)
{
	return text_in(spoken, english);
}

/* 0 for 1, 21, 101 ...; 1 for 2 to 4, 22 ...; 2 for 0, 5 to 20, 25 ... */
static int
russian_form(long long n)
{
	int tens = (int)(n % 100), ones = (int)(n % 10);

	if (tens < 0)
		tens = -tens;
	if (ones < 0)
		ones = -ones;
	if (tens > 10 && tens < 20)
		return 2;
	return ones == 1 ? 0 : ones >= 2 && ones <= 4 ? 1 : 2;
}

const char *
text_plural(long long n, const char *one, const char *many)
{
	const struct text_entry *e = spoken == LOCALE_RU ? find(many) : NULL;

	if (e)
		return e->russian[russian_form(n)];
	return n == 1 ? one : many;
}
