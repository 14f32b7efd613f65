#include "keys/index.h"

#include "keys/health.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC "kmiindx5"
#define FILE_NAME "pool.index"

/* The file: this head, then folders, keys, eligible (numbers of keys), strings. Offsets count from its start. */
struct head {
	char magic[8];
	uint64_t size;
	uint64_t epoch, settings;
	int64_t made_at, valid_until, health;
	uint32_t automatic;
	uint32_t folder_count, key_count, eligible_count, leading_count, skipped_count;
	uint64_t folders, keys, eligible, strings;
	uint64_t set_text, set_text_size;
};

struct flat_folder {
	uint64_t path;
	struct file_stamp stamp;
};

struct flat_key {
	uint64_t label, account, path, base_url, provider;	/* 0 = none */
	struct file_stamp stamp;
	uint64_t state_offset;
	int64_t max_rpm, max_concurrency;
	uint32_t format, disabled;
	char hash[16], tag[16];
};

static const struct head *
head_of(const struct index *ix)
{
	return (const struct head *)(const void *)ix->p;
}

static const struct flat_folder *
folders_of(const struct index *ix)
{
	return (const struct flat_folder *)(const void *)(ix->p + head_of(ix)->folders);
}

static const struct flat_key *
keys_of(const struct index *ix)
{
	return (const struct flat_key *)(const void *)(ix->p + head_of(ix)->keys);
}

static const uint32_t *
eligible_of(const struct index *ix)
{
	return (const uint32_t *)(const void *)(ix->p + head_of(ix)->eligible);
}

static const char *
text_at(const struct index *ix, uint64_t offset)
{
	/* The last byte of the file is a NUL, so whatever starts inside it ends inside it. */
	return offset && offset < ix->n ? ix->p + offset : NULL;
}

/* All parts where they should be, and the last byte a NUL. */
static bool
is_whole(const struct index *ix)
{
	const struct head *h = head_of(ix);
	uint64_t at = sizeof(*h);

	if (ix->n < sizeof(*h) + 1 || memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 || h->size != ix->n)
		return false;
	if (h->folders != at)
		return false;
	at += (uint64_t)h->folder_count * sizeof(struct flat_folder);
	if (h->keys != at)
		return false;
	at += (uint64_t)h->key_count * sizeof(struct flat_key);
	if (h->eligible != at || h->eligible_count > h->key_count)
		return false;
	at += (uint64_t)h->eligible_count * sizeof(uint32_t);
	return h->strings == at && at < ix->n && ix->p[ix->n - 1] == '\0' && h->set_text <= ix->n &&
	    h->set_text_size <= ix->n - h->set_text;
}

uint64_t
index_settings(const struct config *c)
{
	struct buf b = BUF(1 << 20);
	char sum[DIGEST_SHORT_SIZE];

	buf_printf(&b, "%s\n%s\n%d\n%d\n%d\n%d\n", c->auths_dir, c->upstream_base_url, c->rotate_include_warn,
	    c->require_usage_before_request, c->fail_open_on_empty_cache, (int)c->rotate_strategy);
	for (char **h = c->upstream_allowlist; h && *h; h++)
		buf_printf(&b, "%s\n", *h);
	digest_short(buf_view(&b), sum);
	buf_free(&b);
	return strtoull(sum, NULL, 16);
}

void
index_free(struct index *ix)
{
	if (ix->mapped)
		munmap(ix->p, ix->n);
	else
		free(ix->p);
	*ix = (struct index){ 0 };
}

int
index_read(struct index *ix, const char *state_dir)
{
	char *path = file_join(state_dir, FILE_NAME);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : -1;
	struct stat st;
	struct index got = { .mapped = true };

	*ix = (struct index){ 0 };
	free(path);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > (off_t)sizeof(struct head)) {
		got.n = (size_t)st.st_size;
		got.p = mmap(NULL, got.n, PROT_READ, MAP_PRIVATE, fd, 0);
		if (got.p == MAP_FAILED)
			got.p = NULL;
	}
	close(fd);
	if (!got.p)
		return -1;
	if (!is_whole(&got)) {
		index_free(&got);
		return -1;
	}
	*ix = got;
	return 0;
}

int
index_write(const struct index *ix, const char *state_dir, struct fail *f)
{
	char *path = file_join(state_dir, FILE_NAME);
	int rc = path ? file_replace(path, (struct str){ ix->p, ix->n }, false, f) : fail_memory(f);

	free(path);
	return rc;
}

void
index_facts(const struct index *ix, struct index_facts *out)
{
	const struct head *h = head_of(ix);

	*out = (struct index_facts){
		.epoch = h->epoch,
		.automatic = h->automatic,
		.made_at = h->made_at,
		.health = h->health,
		.valid_until = h->valid_until,
		.settings = h->settings,
		.key_count = h->key_count,
		.eligible_count = h->eligible_count,
		.leading_count = h->leading_count < h->eligible_count ? h->leading_count : h->eligible_count,
		.folder_count = h->folder_count,
		.skipped_count = h->skipped_count,
		.set_text = { ix->p + h->set_text, h->set_text_size },
	};
}

int
index_key(const struct index *ix, size_t i, struct index_key *out)
{
	const struct flat_key *k;

	if (i >= head_of(ix)->key_count)
		return -1;
	k = &keys_of(ix)[i];
	*out = (struct index_key){
		.label = text_at(ix, k->label),
		.account = text_at(ix, k->account),
		.path = text_at(ix, k->path),
		.base_url = text_at(ix, k->base_url),
		.provider = text_at(ix, k->provider),
		.format = (enum key_format)k->format,
		.disabled = k->disabled,
		.max_rpm = k->max_rpm,
		.max_concurrency = k->max_concurrency,
		.stamp = k->stamp,
		.state_offset = k->state_offset,
	};
	memcpy(out->hash, k->hash, sizeof(out->hash) - 1);
	memcpy(out->tag, k->tag, sizeof(out->tag) - 1);
	return out->label && out->account && out->path && out->base_url ? 0 : -1;
}

uint32_t
index_eligible(const struct index *ix, size_t i)
{
	return i < head_of(ix)->eligible_count ? eligible_of(ix)[i] : 0;
}

const uint32_t *
index_eligible_all(const struct index *ix)
{
	return eligible_of(ix);
}

static bool
file_same(const char *path, const struct file_stamp *was)
{
	struct file_stamp now;
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return false;
	file_stamp_of(&now, &st);
	return file_stamp_same(&now, was);
}

bool
index_files_same(const struct index *ix, size_t most)
{
	const struct head *h = head_of(ix);

	/* Made while there was no folder: it may be there by now. */
	if (h->folder_count == 0)
		return false;
	for (size_t i = 0; i < h->folder_count; i++)
		if (!file_same(text_at(ix, folders_of(ix)[i].path), &folders_of(ix)[i].stamp))
			return false;
	for (size_t i = 0; i < h->key_count && i < most; i++)
		if (!file_same(text_at(ix, keys_of(ix)[i].path), &keys_of(ix)[i].stamp))
			return false;
	return true;
}

void
index_tag(const struct file_stamp *s, char out[DIGEST_SHORT_SIZE])
{
	/* Not the inode: a backup put back is the same version. Not ctime: chmod changes nothing either. */
	long long version[2] = { (long long)s->size, s->mtime_ns };

	digest_short((struct str){ (const char *)version, sizeof(version) }, out);
}

/* What is put together, part by part. */
struct maker {
	struct head head;
	struct buf folders, keys, eligible, strings;
};

#define PART_MAX (512u << 20)

static void
maker_init(struct maker *m)
{
	*m = (struct maker){
		.folders = BUF(PART_MAX), .keys = BUF(PART_MAX), .eligible = BUF(PART_MAX), .strings = BUF(PART_MAX)
	};
	memcpy(m->head.magic, MAGIC, sizeof(m->head.magic));
	buf_putc(&m->strings, '\0');
}

static void
maker_free(struct maker *m)
{
	buf_free(&m->folders);
	buf_free(&m->keys);
	buf_free(&m->eligible);
	buf_free(&m->strings);
}

/* Offsets of strings are kept relative until all parts have their length; 0 = none. */
static uint64_t
keep(struct maker *m, const char *s)
{
	uint64_t at = m->strings.n;

	if (!s)
		return 0;
	buf_put(&m->strings, s, strlen(s) + 1);
	return at;
}

static int
maker_finish(struct maker *m, struct index *out, struct fail *f)
{
	struct head *h = &m->head;
	struct buf whole = BUF(PART_MAX);

	if (buf_bad(&m->folders) || buf_bad(&m->keys) || buf_bad(&m->eligible) || buf_bad(&m->strings))
		return fail_memory(f);
	h->folders = sizeof(*h);
	h->keys = h->folders + m->folders.n;
	h->eligible = h->keys + m->keys.n;
	h->strings = h->eligible + m->eligible.n;
	h->size = h->strings + m->strings.n;
	h->set_text += h->strings;
	for (size_t i = 0; i < h->folder_count; i++)
		((struct flat_folder *)(void *)m->folders.p)[i].path += h->strings;
	for (size_t i = 0; i < h->key_count; i++) {
		struct flat_key *k = &((struct flat_key *)(void *)m->keys.p)[i];
		uint64_t *text[] = { &k->label, &k->account, &k->path, &k->base_url, &k->provider };

		for (size_t t = 0; t < sizeof(text) / sizeof(*text); t++)
			if (*text[t])
				*text[t] += h->strings;
	}
	buf_put(&whole, h, sizeof(*h));
	buf_str(&whole, buf_view(&m->folders));
	buf_str(&whole, buf_view(&m->keys));
	buf_str(&whole, buf_view(&m->eligible));
	buf_str(&whole, buf_view(&m->strings));
	if (buf_bad(&whole)) {
		buf_free(&whole);
		return fail_memory(f);
	}
	index_free(out);
	*out = (struct index){ .p = whole.p, .n = whole.n };
	return 0;
}

int
index_from_auths(struct index *ix, const struct auths *a, uint64_t settings, struct fail *f)
{
	struct maker m;
	int rc;

	maker_init(&m);
	m.head.settings = settings;
	for (size_t i = 0; i < a->folder_count; i++) {
		struct flat_folder d = { keep(&m, a->folders[i].path), a->folders[i].stamp };

		buf_put(&m.folders, &d, sizeof(d));
	}
	for (size_t i = 0; i < a->count; i++) {
		const struct auth *k = &a->keys[i];
		struct flat_key flat = {
			.label = keep(&m, k->label),
			.account = keep(&m, k->account),
			.path = keep(&m, k->path),
			.base_url = keep(&m, k->base_url),
			.provider = keep(&m, k->provider),
			.stamp = k->stamp,
			.max_rpm = k->max_rpm,
			.max_concurrency = k->max_concurrency,
			.format = k->format,
			.disabled = k->disabled,
		};

		snprintf(flat.hash, sizeof(flat.hash), "%s", k->hash);
		index_tag(&k->stamp, flat.tag);
		buf_put(&m.keys, &flat, sizeof(flat));
	}
	m.head.folder_count = (uint32_t)a->folder_count;
	m.head.key_count = (uint32_t)a->count;
	m.head.skipped_count = (uint32_t)a->skipped_count;
	rc = maker_finish(&m, ix, f);
	maker_free(&m);
	return rc;
}

int
index_auths(const struct index *ix, struct auths *a, struct fail *f)
{
	size_t n = head_of(ix)->key_count;

	*a = (struct auths){ .keys = calloc(n + 1, sizeof(*a->keys)) };
	if (!a->keys)
		return fail_memory(f);
	for (size_t i = 0; i < n; i++) {
		struct auth *to = &a->keys[a->count++];
		struct index_key k;

		if (index_key(ix, i, &k) < 0) {
			fail_set(f, FAIL_INPUT, "the pool index is damaged");
			goto out;
		}
		*to = (struct auth){
			.label = strdup(k.label),
			.account = strdup(k.account),
			.path = strdup(k.path),
			.base_url = strdup(k.base_url),
			.format = k.format,
			.disabled = k.disabled,
			.max_concurrency = k.max_concurrency,
			.max_rpm = k.max_rpm,
			.stamp = k.stamp,
		};
		memcpy(to->hash, k.hash, sizeof(to->hash));
		if (!to->label || !to->account || !to->path || !to->base_url) {
			fail_memory(f);
			goto out;
		}
	}
	return 0;
out:
	auths_free(a);
	return -1;
}

/* The other half of index_from_auths(): the keys of an index we have, into a maker. */
static int
copy_keys(struct maker *m, const struct index *ix)
{
	const struct head *h = head_of(ix);

	m->head.settings = h->settings;
	for (size_t i = 0; i < h->folder_count; i++) {
		struct flat_folder d = folders_of(ix)[i];

		d.path = keep(m, text_at(ix, d.path));
		buf_put(&m->folders, &d, sizeof(d));
	}
	for (size_t i = 0; i < h->key_count; i++) {
		struct flat_key k = keys_of(ix)[i];
		struct index_key check;

		if (index_key(ix, i, &check) < 0)
			return -1;
		k.label = keep(m, check.label);
		k.account = keep(m, check.account);
		k.path = keep(m, check.path);
		k.base_url = keep(m, check.base_url);
		k.provider = keep(m, check.provider);
		buf_put(&m->keys, &k, sizeof(k));
	}
	m->head.folder_count = h->folder_count;
	m->head.key_count = h->key_count;
	m->head.skipped_count = h->skipped_count;
	return buf_bad(&m->strings) || buf_bad(&m->keys) || buf_bad(&m->folders) ? -1 : 0;
}

/* What a trace line says of them. Without memory, or a set that can be written, it says less, and the request is served. */
static void
describe_set(const struct config *c, const struct choose_key *keys, const struct choose_set *set, bool automatic, time_t now,
    index_describe describe, struct buf *text)
{
	const char **labels = calloc(set->count + 1, sizeof(*labels)), **accounts = calloc(set->count + 1, sizeof(*accounts));
	int *left = calloc(set->count + 1, sizeof(*left));
	struct index_among among = { .labels = labels, .count = set->count };
	struct fail f;

	for (size_t i = 0; labels && accounts && left && i < set->count; i++) {
		labels[i] = keys[set->index[i]].label;
		accounts[i] = keys[set->index[i]].account;
		left[i] = choose_left(&keys[set->index[i]], now);
	}
	if (automatic && c->rotate_strategy == ROTATE_SESSION)
		among.accounts = accounts;
	if (automatic && c->rotate_strategy == ROTATE_MOST_QUOTA)
		among.left = left;
	if (!labels || !accounts || !left || !describe || describe(c, &among, text, &f) < 0)
		buf_reset(text);
	free(labels);
	free(accounts);
	free(left);
}

int
index_decide(struct index *ix, const struct state *st, const struct config *c, bool automatic, time_t now,
    index_describe describe, struct fail *f)
{
	size_t n = head_of(ix)->key_count;
	struct choose_key *keys = calloc(n + 1, sizeof(*keys));
	struct choose_fit *fit = calloc(n + 1, sizeof(*fit));
	struct choose_set set = { .index = calloc(n + 1, sizeof(*set.index)) };
	struct buf text = BUF(PART_MAX);
	struct health health;
	struct fail unread = { 0 };
	struct maker m;
	int rc = -1;

	maker_init(&m);
	(void)health_load(&health, c->state_dir, &unread);	/* none is less to choose by, not a failure */
	if (!keys || !fit || !set.index) {
		fail_memory(f);
		goto out;
	}
	if (copy_keys(&m, ix) < 0) {
		fail_set(f, FAIL_INPUT, "the pool index is damaged");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct flat_key *flat = &((struct flat_key *)(void *)m.keys.p)[i];
		const struct state_key *books;
		struct index_key k;

		index_key(ix, i, &k);
		books = state_find(st, k.label);
		keys[i] = (struct choose_key){
			.label = k.label, .account = k.account, .disabled = k.disabled, .books = books
		};
		health_tell(&health, k.hash, now, &keys[i]);
		flat->state_offset = books ? books->offset : 0;
	}
	choose_fitness(keys, n, c, now, fit);
	choose_eligible(keys, fit, n, automatic, c, now, &set);
	if (automatic && c->rotate_strategy == ROTATE_MOST_QUOTA)
		m.head.leading_count = (uint32_t)choose_by_quota(keys, now, &set);
	buf_puts(&text, "");
	describe_set(c, keys, &set, automatic, now, describe, &text);
	buf_put(&m.eligible, set.index, set.count * sizeof(*set.index));
	m.head.eligible_count = (uint32_t)set.count;
	m.head.epoch = st->head.epoch;
	m.head.automatic = automatic;
	m.head.made_at = now;
	m.head.health = st->head.last_health_refresh;
	m.head.valid_until = set.valid_until;
	m.head.set_text = keep(&m, text.p);
	m.head.set_text_size = text.n;
	rc = maker_finish(&m, ix, f);
out:
	maker_free(&m);
	health_free(&health);
	buf_free(&text);
	free(keys);
	free(fit);
	free(set.index);
	return rc;
}
