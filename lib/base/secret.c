#include "base/secret.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * A secret is found by its beginning, this long at most: one look serves secrets of many lengths, and finds
 * those that are cut off. What comes before the random part of a real key ("sk-kimi-") is half as long.
 */
#define WINDOW 16

struct known {
	uint64_t print;		/* of the first bytes; 0 = an empty place */
	size_t length;		/* of the longest that begins so */
	bool quotes;		/* there is a quote or a backslash in it */
};

/* All of a process at once, for nobody who writes a message can know which of them might be in it. */
static struct {
	struct known *places;	/* a power of two, found from print & (room - 1) on */
	size_t room, count;
	uint64_t salt;
	bool window[WINDOW + 1];	/* which lengths of beginnings there are */
	unsigned char first[256];	/* the bytes they begin with, ... */
	size_t first_count;
	bool second[256];		/* and what follows those: most of a text is passed over by these alone */
} all;

/* FNV-1a, begun at a number nobody knows: what lies in memory is of no use to try keys on. */
static uint64_t
fingerprint(const char *p, size_t n)
{
	uint64_t h = all.salt ^ n;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211ULL;
	return h ? h : 1;
}

static struct known *
place_of(struct known *places, size_t room, uint64_t print)
{
	size_t i = print & (room - 1);

	while (places[i].print && places[i].print != print)
		i = (i + 1) & (room - 1);
	return &places[i];
}

/* At most half full, so that a search ends soon. */
static bool
make_room(void)
{
	size_t room = all.room ? all.room * 2 : 64;
	struct known *more;

	if (all.count * 2 < all.room)
		return true;
	if (!all.salt && getrandom(&all.salt, sizeof(all.salt), GRND_NONBLOCK) < 0)
		all.salt = (uintptr_t)&room;
	if (!(more = calloc(room, sizeof(*more))))
		return false;
	for (size_t i = 0; i < all.room; i++)
		if (all.places[i].print)
			*place_of(more, room, all.places[i].print) = all.places[i];
	free(all.places);
	all.places = more;
	all.room = room;
	return true;
}

static void
know(const char *p, size_t n)
{
	size_t window = n < WINDOW ? n : WINDOW;
	struct known *place;

	if (!make_room())
		return;
	place = place_of(all.places, all.room, fingerprint(p, window));
	all.count += !place->print;
	place->print = fingerprint(p, window);
	if (place->length < n)
		place->length = n;
	place->quotes |= memchr(p, '"', n) || memchr(p, '\\', n);
	all.window[window] = all.second[(unsigned char)p[1]] = true;
	if (!memchr(all.first, *p, all.first_count))
		all.first[all.first_count++] = (unsigned char)*p;
}

void
secret_know(struct str secret)
{
	struct buf quoted = BUF(2 * secret.n + 1);

	if (secret.n < SECRET_SHORTEST)
		return;
	know(secret.p, secret.n);
	/* As it stands in JSON, if it differs there. */
	for (size_t i = 0; i < secret.n; i++) {
		if (secret.p[i] == '"' || secret.p[i] == '\\')
			buf_putc(&quoted, '\\');
		buf_putc(&quoted, secret.p[i]);
	}
	if (quoted.n > secret.n && !buf_bad(&quoted))
		know(quoted.p, quoted.n);
	buf_wipe(&quoted);
}

/* As far as what begins like a secret can be it: beside a longer one, a shorter one takes nothing along that follows it. */
static size_t
reach(const struct known *k, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && i < k->length && p[i] > ' ' && p[i] < 0x7f && (k->quotes || (p[i] != '"' && p[i] != '\\')))
		i++;
	return i;
}

/* How many bytes from here are a secret. */
static size_t
secret_at(const char *p, size_t n)
{
	size_t length = 0;

	for (size_t window = SECRET_SHORTEST; window <= WINDOW && window <= n; window++) {
		const struct known *k;
		size_t here;

		if (!all.window[window])
			continue;
		k = place_of(all.places, all.room, fingerprint(p, window));
		here = k->print ? reach(k, p, n) : 0;
		length = here > length ? here : length;
	}
	return length;
}

bool
secret_hide(char *text, size_t n)
{
	const char *end = text + n;
	bool some = false;

	for (size_t i = 0; i < all.first_count; i++)
		for (char *p = text; end - p >= SECRET_SHORTEST && (p = memchr(p, all.first[i], (size_t)(end - p))); p++) {
			size_t length = end - p >= SECRET_SHORTEST && all.second[(unsigned char)p[1]] ?
			    secret_at(p, (size_t)(end - p)) : 0;

			if (!length)
				continue;
			memset(p, '*', length);
			p += length - 1;
			some = true;
		}
	return some;
}
