/*
 * text_ru: the Russian texts, for text.c alone.
 *
 * One entry a text, under the English one as it stands in the code. A text
 * that counts has three forms, for numbers such as 1, 2 and 5, under its English
 * form for many. tests/text/catalogue.t compares the catalogue with the code.
 */
#ifndef KMI_BASE_TEXT_RU_H
#define KMI_BASE_TEXT_RU_H

#include <stddef.h>

struct text_entry {
	const char *english;
	const char *russian[3];		/* the second and third only for texts that count */
};

extern const struct text_entry text_ru[];
extern const size_t text_ru_count;

#endif
