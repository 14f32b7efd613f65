#include "base/nearest.h"

#include "base/buf.h"

#include <string.h>

#define WORD_MAX 64
#define PIECE_MIN 4	/* shorter pieces are found in too many words */

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static bool
same(char a, char b)
{
	return str_caseeq((struct str){ &a, 1 }, (struct str){ &b, 1 });
}

/* Letters to change, add, drop or swap with a neighbour to make one word of the other. */
static size_t
distance(struct str a, struct str b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *turn;

	for (size_t j = 0; j <= b.n; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool equal = same(a.p[i - 1], b.p[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + !equal);
			if (i > 1 && j > 1 && same(a.p[i - 1], b.p[j - 2]) && same(a.p[i - 2], b.p[j - 1]))
				row[j] = min3(row[j], row[j], before[j - 2] + 1);
		}
		turn = before;
		before = above;
		above = row;
		row = turn;
	}
	return above[b.n];
}

const char *
nearest_word(const char *word, const char *const *known)
{
	struct str given = str_from(word);
	size_t best, limit = (given.n + 1) / 3;
	const char *found = NULL;

	if (given.n == 0 || given.n > WORD_MAX)
		return NULL;
	best = (limit ? limit : 1) + 1;
	for (const char *const *k = known; *k; k++) {
		struct str candidate = str_from(*k);
		size_t d = candidate.n <= WORD_MAX ? distance(given, candidate) : best;

		if (d < best && d < given.n) {
			best = d;
			found = *k;
		}
	}
	if (found || given.n < PIECE_MIN)
		return found;
	for (const char *const *k = known; *k; k++)
		if (str_casefind(str_from(*k), given) >= 0 && (!found || strlen(*k) < strlen(found)))
			found = *k;
	return found;
}
