#include "keys/limit.h"

#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define MINUTE_NS (60 * SECOND_NS)
#define SLOTS_AT 128		/* the header has room to grow; no slot straddles a page */
#define BOOT_SIZE 40

static const char magic[8] = "kmiring1";

struct ring_head {
	char magic[sizeof(magic)];
	char boot[BOOT_SIZE];
	uint64_t capacity, count;	/* count: all starts there ever were; start i is in slot i % capacity */
	int64_t last;
};

struct ring {
	char *path;
	int fd;			/* -1: there is none, or none that can be used */
	struct ring_head head;
};

static void
boot_id(char out[BOOT_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(out, 0, BOOT_SIZE);
	if (fd < 0)
		return;
	if (read(fd, out, BOOT_SIZE - 1) < 0)
		out[0] = '\0';
	close(fd);
}

/*
 * Whether the ring's times are not of this run of the clock. Within a minute `last` may only be somebody who
 * read the clock after us and got the lock before us, so there the name of the boot decides.
 */
static bool
other_clock(const struct ring_head *h, int64_t now_ns)
{
	char boot[BOOT_SIZE];

	if (h->last <= now_ns)
		return false;
	if (h->last - now_ns > MINUTE_NS)
		return true;
	boot_id(boot);
	return memcmp(boot, h->boot, BOOT_SIZE) != 0;
}

static void
close_ring(struct ring *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
}

/* A file that is missing, damaged or of another boot gives an empty ring: fd -1. */
static int
open_ring(struct ring *r, const char *state_dir, const char *name, int64_t now_ns, struct fail *f)
{
	char hash[DIGEST_SHORT_SIZE];
	struct ring_head *h = &r->head;

	*r = (struct ring){ .fd = -1 };
	digest_short(str_from(name), hash);
	if (asprintf(&r->path, "%s/limits/%s", state_dir, hash) < 0) {
		r->path = NULL;
		return fail_memory(f);
	}
	r->fd = open(r->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (r->fd < 0)
		return errno == ENOENT ? 0 : fail_sys(f, "open %s", r->path);
	if (pread(r->fd, h, sizeof(*h), 0) == (ssize_t)sizeof(*h) && memcmp(h->magic, magic, sizeof(magic)) == 0 &&
	    h->capacity > 0 && h->capacity <= LIMIT_MAX && h->last >= 0 && !other_clock(h, now_ns))
		return 0;
	close(r->fd);
	r->fd = -1;
	*h = (struct ring_head){ 0 };
	return 0;
}

static uint64_t
known(const struct ring *r)
{
	return r->head.count < r->head.capacity ? r->head.count : r->head.capacity;
}

/* When the n-th last start was, n from 1 to known(). One that was announced and never written was none: long ago. */
static int
start_at(const struct ring *r, uint64_t n, int64_t *t)
{
	uint64_t slot = (r->head.count - n) % r->head.capacity;
	ssize_t got = pread(r->fd, t, sizeof(*t), (off_t)(SLOTS_AT + slot * sizeof(*t)));

	if (got == 0)
		*t = 0;
	return (got == 0 || got == (ssize_t)sizeof(*t)) && *t >= 0 && *t <= r->head.last ? 0 : -1;
}

/* How long until a start would be no more than the n-th of any window, or -1 when the ring is damaged. */
static int64_t
wait_for(const struct ring *r, long long n, int64_t window_ns, int64_t now_ns)
{
	uint64_t back = (uint64_t)n;
	int64_t t;

	if (n <= 0 || back > r->head.count)
		return 0;
	if (back > known(r))
		back = known(r);
	if (start_at(r, back, &t) < 0)
		return -1;
	/* Both ends of a window belong to it. */
	return now_ns - t > window_ns ? 0 : t + window_ns + 1 - now_ns;
}

static int
check_limits(long long per_second, long long per_minute, struct fail *f)
{
	if (per_second < 0 || per_second > LIMIT_MAX || per_minute < 0 || per_minute > LIMIT_MAX)
		return fail_set(f, FAIL_USAGE, "a rate limit must be between 0 and %d", LIMIT_MAX);
	return 0;
}

int64_t
limit_wait_ns(const char *state_dir, const char *name, long long per_second, long long per_minute, int64_t now_ns,
    struct fail *f)
{
	int64_t second, minute, wait = -1;
	struct ring r;

	if (check_limits(per_second, per_minute, f) < 0)
		return -1;
	if (per_second == 0 && per_minute == 0)
		return 0;
	if (open_ring(&r, state_dir, name, now_ns, f) < 0)
		goto out;
	wait = 0;
	if (r.fd < 0)
		goto out;
	second = wait_for(&r, per_second, SECOND_NS, now_ns);
	minute = wait_for(&r, per_minute, MINUTE_NS, now_ns);
	if (second < 0 || minute < 0)
		wait = fail_set(f, FAIL_INPUT, "%s is damaged", r.path);
	else
		wait = second > minute ? second : minute;
out:
	close_ring(&r);
	return wait;
}

/* A larger ring with what the old one knows, in order; what that had forgotten counts as old as its oldest. */
static int
carry_over(const struct ring *old, uint64_t capacity, struct ring_head *h, struct buf *slots)
{
	uint64_t from = known(old), forgotten = 0;
	int64_t t;

	if (old->head.count > from)
		forgotten = capacity - from;
	for (uint64_t n = from; n > 0; n--) {
		if (start_at(old, n, &t) < 0)
			return -1;
		for (; forgotten; forgotten--, h->count++)
			buf_put(slots, &t, sizeof(t));
		buf_put(slots, &t, sizeof(t));
		h->count++;
	}
	h->last = old->head.last;
	return 0;
}

static int
make_ring(const struct ring *old, uint64_t capacity, int64_t now_ns, const char *state_dir, struct fail *f)
{
	struct buf slots = BUF((LIMIT_MAX + 1) * sizeof(int64_t)), file = BUF(SLOTS_AT + (LIMIT_MAX + 1) * sizeof(int64_t));
	struct ring_head h = { .capacity = capacity };
	char *folder = NULL;
	int rc = -1;

	memcpy(h.magic, magic, sizeof(magic));
	boot_id(h.boot);
	if (old->fd >= 0 && carry_over(old, capacity, &h, &slots) < 0) {
		buf_reset(&slots);
		h.count = 0;
		h.last = 0;
	}
	h.last = h.last > now_ns ? h.last : now_ns;
	if (h.count == capacity)
		memcpy(slots.p, &h.last, sizeof(h.last));
	else
		buf_put(&slots, &h.last, sizeof(h.last));
	h.count++;
	buf_put(&file, &h, sizeof(h));
	buf_fill(&file, '\0', SLOTS_AT - sizeof(h));
	buf_str(&file, buf_view(&slots));
	folder = file_join(state_dir, "limits");
	if (buf_bad(&slots) || buf_bad(&file) || !folder) {
		fail_memory(f);
		goto out;
	}
	rc = file_mkdirs(folder, f) < 0 ? -1 : file_replace(old->path, buf_view(&file), false, f);
out:
	buf_free(&slots);
	buf_free(&file);
	free(folder);
	return rc;
}

/* The header first: a process killed between the two has not started, and what stands in the slot is older than it need be. */
static int
add_start(struct ring *r, int64_t now_ns, struct fail *f)
{
	struct ring_head *h = &r->head;
	off_t slot = (off_t)(SLOTS_AT + h->count % h->capacity * sizeof(h->last));

	h->last = h->last > now_ns ? h->last : now_ns;
	h->count++;
	if (pwrite(r->fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) ||
	    pwrite(r->fd, &h->last, sizeof(h->last), slot) != (ssize_t)sizeof(h->last))
		return fail_sys(f, "write %s", r->path);
	return 0;
}

int
limit_take(const char *state_dir, const char *name, long long per_second, long long per_minute, int64_t now_ns,
    struct fail *f)
{
	uint64_t capacity = (uint64_t)(per_second > per_minute ? per_second : per_minute);
	struct ring r;
	int64_t t;
	int rc = -1;

	if (check_limits(per_second, per_minute, f) < 0)
		return -1;
	if (capacity == 0)
		return 0;
	if (open_ring(&r, state_dir, name, now_ns, f) < 0)
		goto out;
	if (r.fd < 0 || r.head.capacity < capacity || (known(&r) && start_at(&r, known(&r), &t) < 0))
		rc = make_ring(&r, capacity, now_ns, state_dir, f);
	else
		rc = add_start(&r, now_ns, f);
out:
	close_ring(&r);
	return rc;
}
