#include "base/text_ru.h"

const struct text_entry text_ru[] = {
	/* program */
	{ "%s: error: %s\n", { "%s: ошибка: %s\n" } },
	{ "%s: hint: %s\n", { "%s: подсказка: %s\n" } },
	{ "%s: warning: %s\n", { "%s: предупреждение: %s\n" } },
	{ "unknown option %s", { "неизвестный параметр %s" } },
	{ "unknown command %s", { "неизвестная команда %s" } },
	{ "did you mean %s?", { "возможно, вы имели в виду %s?" } },
	{ "%s --help tells how it is used", { "как им пользоваться, скажет %s --help" } },

	/* keys */
	{ "%lld keys", { "%lld ключ", "%lld ключа", "%lld ключей" } },
};

const size_t text_ru_count = sizeof(text_ru) / sizeof(*text_ru);
