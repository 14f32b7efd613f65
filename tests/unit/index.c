#include "keys/index.h"

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-index.XXXXXX";

static struct auths
pool_of(int n)
{
	struct auths a = { .keys = calloc((size_t)n, sizeof(struct auth)), .count = (size_t)n,
		.folders = calloc(1, sizeof(struct auth_folder)), .folder_count = 1 };

	a.folders[0].path = strdup(dir);
	for (int i = 0; i < n; i++) {
		char label[32];

		snprintf(label, sizeof(label), "key%05d", i);
		a.keys[i] = (struct auth){ .label = strdup(label), .account = strdup(label), .path = strdup("/nowhere"),
			.base_url = strdup("https://example.com"), .max_rpm = i, .disabled = i == 1, .stamp = { .size = (unsigned)i } };
	}
	return a;
}

static int
describe(const struct config *c, const struct index_among *among, struct buf *text, struct fail *f)
{
	(void)c;
	(void)f;
	buf_printf(text, "%zu of them", among->count);
	return 0;
}

static char no_state[] = "/nonexistent";

static void
round_trip(int n)
{
	struct config c = { .state_dir = no_state };
	struct auths a = pool_of(n);
	struct index ix = { 0 }, back;
	struct state st = { .head.epoch = 7 };
	struct index_facts x;
	struct index_key k;
	struct fail f = { 0 };

	CHECK(index_from_auths(&ix, &a, 42, &f) == 0);
	CHECK(index_decide(&ix, &st, &c, true, 1000, describe, &f) == 0);
	CHECK(index_write(&ix, dir, &f) == 0);
	CHECK(index_read(&back, dir) == 0);
	index_facts(&back, &x);
	CHECK(x.epoch == 7 && x.automatic && x.settings == 42 && x.made_at == 1000);
	CHECK_INT(x.key_count, n);
	CHECK_INT(x.eligible_count, n - 1);	/* the disabled one cannot be chosen */
	CHECK_INT(index_eligible(&back, 0), 0);
	CHECK_INT(index_eligible(&back, 1), n > 2 ? 2 : 0);
	CHECK(index_key(&back, (size_t)n - 1, &k) == 0 && strcmp(k.label, a.keys[n - 1].label) == 0);
	CHECK_INT(k.max_rpm, n - 1);
	CHECK(index_key(&back, (size_t)n, &k) < 0);
	CHECK(str_ends(x.set_text, " of them"));
	CHECK(!index_files_same(&back, SIZE_MAX));	/* the folder is not the one it was made from */
	index_free(&back);
	index_free(&ix);
	auths_free(&a);
}

/* A damaged file is no index, or one whose every answer can be looked at. */
static void
damaged(void)
{
	struct config c = { .state_dir = no_state };
	struct auths a = pool_of(5);
	struct index ix = { 0 };
	struct state st = { 0 };
	struct fail f = { 0 };
	char *path = file_join(dir, "pool.index");
	int looked = 0;

	index_from_auths(&ix, &a, 1, &f);
	index_decide(&ix, &st, &c, false, 1000, describe, &f);
	for (size_t i = 0; i < 2 * ix.n; i++) {
		char *copy = malloc(ix.n);
		struct str bad = { copy, i < ix.n ? ix.n : i - ix.n };	/* a byte changed; or cut short */
		struct index back;
		struct index_facts x;

		memcpy(copy, ix.p, ix.n);
		if (i < ix.n)
			copy[i] = (char)(copy[i] ^ 0xff);
		if (file_replace(path, bad, false, &f) == 0 && index_read(&back, dir) == 0) {
			index_facts(&back, &x);
			for (size_t n = 0; n < x.key_count; n++) {
				struct index_key k;

				if (index_key(&back, n, &k) == 0)
					looked += (int)strlen(k.label) + (int)strlen(k.path) + (int)strlen(k.base_url);
			}
			for (size_t n = 0; n < x.eligible_count; n++)
				looked += (int)index_eligible(&back, n);
			index_files_same(&back, SIZE_MAX);
			index_free(&back);
		}
		free(copy);
	}
	CHECK(looked != 0);
	unlink(path);
	free(path);
	index_free(&ix);
	auths_free(&a);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	round_trip(2);
	round_trip(7);
	round_trip(10000);
	damaged();
	rmdir(dir);
	return check_done();
}
