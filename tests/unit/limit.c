#include "keys/limit.h"

#include "base/clock.h"
#include "base/file.h"

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define MINUTE (60 * SECOND)
#define STARTS_MAX 200000

static char dir[] = "/tmp/kmi-limit.XXXXXX";
static struct fail f;

/* What the processes of a test share. */
struct shared {
	int64_t now;
	size_t count;
	int64_t start[STARTS_MAX];
};

static struct shared *
share(void)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		exit(1);
	s->now = 1000 * SECOND;
	return s;
}

/* The most starts that any closed window of that length holds. */
static size_t
most_in(const struct shared *s, int64_t window)
{
	size_t most = 0, from = 0;

	for (size_t i = 0; i < s->count; i++) {
		while (s->start[i] - s->start[from] > window)
			from++;
		if (i - from + 1 > most)
			most = i - from + 1;
	}
	return most;
}

static bool
try_start(struct shared *s, const char *name, long long per_second, long long per_minute)
{
	int64_t wait = limit_wait_ns(dir, name, per_second, per_minute, s->now, &f);

	if (wait != 0 || s->count == STARTS_MAX)
		return false;
	s->start[s->count++] = s->now;
	return limit_take(dir, name, per_second, per_minute, s->now, &f) == 0;
}

static void
random_bursts(const char *name, long long per_second, long long per_minute, int64_t step, int tries, int pauses)
{
	struct shared *s = share();
	size_t most;
	char what[200];

	srandom(7);
	for (int i = 0; i < tries; i++) {
		/* Bursts at one instant, crawls, and now and then a pause. */
		if (random() % 4)
			s->now += random() % step;
		if (pauses && random() % (tries / pauses) == 0)
			s->now += random() % 3 * 20 * SECOND;
		try_start(s, name, per_second, per_minute);
	}
	most = most_in(s, SECOND);
	snprintf(what, sizeof(what), "%s: %zu starts, at most %zu in a second", name, s->count, most);
	if (per_second)
		CHECK_NAMED(most == (size_t)per_second, what);
	most = most_in(s, MINUTE);
	snprintf(what, sizeof(what), "%s: %zu starts, at most %zu in a minute", name, s->count, most);
	if (per_minute)
		CHECK_NAMED(most == (size_t)per_minute, what);
	munmap(s, sizeof(*s));
}

static void
waits_are_true(void)
{
	int64_t now = 5000 * SECOND, wait;

	CHECK_INT(limit_wait_ns(dir, "w", 2, 3, now, &f), 0);
	CHECK(limit_take(dir, "w", 2, 3, now, &f) == 0);
	CHECK(limit_take(dir, "w", 2, 3, now + 1, &f) == 0);
	wait = limit_wait_ns(dir, "w", 2, 3, now + 2, &f);
	CHECK_INT(wait, SECOND - 1);
	CHECK(limit_wait_ns(dir, "w", 2, 3, now + 2 + wait - 1, &f) == 1);
	now += 2 + wait;
	CHECK_INT(limit_wait_ns(dir, "w", 2, 3, now, &f), 0);
	CHECK(limit_take(dir, "w", 2, 3, now, &f) == 0);
	CHECK_INT(limit_wait_ns(dir, "w", 2, 3, now, &f), 5060 * SECOND + 1 - now);
	CHECK_INT(limit_wait_ns(dir, "w", 2, 0, now + SECOND + 1, &f), 0);
	CHECK_INT(limit_wait_ns(dir, "w", 0, 0, now, &f), 0);
	CHECK_INT(limit_wait_ns(dir, "other", 1, 1, now, &f), 0);
	CHECK(limit_take(dir, "none", 0, 0, now, &f) == 0);
	CHECK(limit_wait_ns(dir, "w", -1, 0, now, &f) < 0 && f.kind == FAIL_USAGE);
	CHECK(limit_take(dir, "w", LIMIT_MAX + 1, 0, now, &f) < 0);
}

static void
other_boots(void)
{
	int64_t now = 9000 * SECOND;

	for (int i = 0; i < 3; i++)
		CHECK(limit_take(dir, "boot", 0, 3, now, &f) == 0);
	CHECK(limit_wait_ns(dir, "boot", 0, 3, now, &f) > 0);
	/* Somebody with an older look at the clock is not a reboot; a clock that starts again is. */
	CHECK(limit_wait_ns(dir, "boot", 0, 3, now - SECOND, &f) > 0);
	CHECK_INT(limit_wait_ns(dir, "boot", 0, 3, 10 * SECOND, &f), 0);
	CHECK(limit_take(dir, "boot", 0, 3, 10 * SECOND, &f) == 0);
	CHECK_INT(limit_wait_ns(dir, "boot", 0, 3, 11 * SECOND, &f), 0);
	CHECK(limit_take(dir, "boot", 0, 3, 11 * SECOND, &f) == 0);
	CHECK(limit_take(dir, "boot", 0, 3, 12 * SECOND, &f) == 0);
	CHECK_INT(limit_wait_ns(dir, "boot", 0, 3, 12 * SECOND, &f), 58 * SECOND + 1);
}

/* Bytes written into the ring's file, or the file cut short: it never refuses, and counts again at once. */
static void
damage(const char *bytes, size_t n, off_t at, bool cut)
{
	char path[300], command[400];
	int64_t now = 100 * SECOND;
	FILE *p;
	int fd;

	snprintf(command, sizeof(command), "rm -rf %s/limits", dir);
	CHECK(system(command) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(limit_take(dir, "x", 0, 5, now + i, &f) == 0);
	snprintf(command, sizeof(command), "echo %s/limits/*", dir);
	p = popen(command, "r");
	CHECK(p && fgets(path, sizeof(path), p));
	pclose(p);
	path[strcspn(path, "\n")] = '\0';
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	if (cut)
		CHECK(ftruncate(fd, at) == 0);
	else
		CHECK(pwrite(fd, bytes, n, at) == (ssize_t)n);
	close(fd);
	CHECK(limit_wait_ns(dir, "x", 0, 5, now + 9, &f) <= 0);
	for (int i = 0; i < 5; i++)
		CHECK(limit_take(dir, "x", 0, 5, now + 10, &f) == 0);
	CHECK(limit_wait_ns(dir, "x", 0, 5, now + 11, &f) > 0);
}

static void
larger_limit(void)
{
	int64_t now = 20000 * SECOND;

	/* Five known, ninety-five forgotten: only as old as the oldest known. */
	for (int i = 0; i < 100; i++)
		CHECK(limit_take(dir, "grow", 5, 0, now + i * SECOND / 2, &f) == 0);
	CHECK(limit_wait_ns(dir, "grow", 0, 100, now + 50 * SECOND, &f) > 0);
	CHECK(limit_take(dir, "grow", 0, 100, now + 50 * SECOND, &f) == 0);
	CHECK(limit_wait_ns(dir, "grow", 0, 100, now + 50 * SECOND, &f) > 0);
	/* The oldest known was the last but four: now + 47.5 s. */
	CHECK_INT(limit_wait_ns(dir, "grow", 0, 100, now + 107 * SECOND, &f), SECOND / 2 + 1);
	CHECK_INT(limit_wait_ns(dir, "grow", 0, 100, now + 108 * SECOND, &f), 0);
	/* A smaller one keeps the larger ring, and is exact at once. */
	CHECK(limit_wait_ns(dir, "grow", 0, 2, now + 108 * SECOND, &f) > 0);
	CHECK_INT(limit_wait_ns(dir, "grow", 0, 2, now + 109 * SECOND + SECOND / 2 + 1, &f), 0);
	/* All known: nothing to assume. */
	CHECK(limit_take(dir, "grow2", 0, 5, now, &f) == 0 && limit_take(dir, "grow2", 0, 5, now, &f) == 0);
	CHECK_INT(limit_wait_ns(dir, "grow2", 0, 6, now + 1, &f), 0);
	for (int i = 0; i < 4; i++)
		CHECK(limit_take(dir, "grow2", 0, 6, now + 1, &f) == 0);
	CHECK(limit_wait_ns(dir, "grow2", 0, 6, now + 2, &f) > 0);
}

/* Eight processes, one lock, one clock that they all push on; the limits change under way. */
static void
many_processes(void)
{
	struct shared *s = share();
	char *lock = file_join(dir, "lock");

	for (int p = 0; p < 8; p++) {
		if (fork() != 0)
			continue;
		srandom((unsigned)p);
		for (int i = 0; i < 4000; i++) {
			int fd = file_lock(lock, 5000, NULL);

			s->now += random() % (SECOND / 50);
			try_start(s, "many", 20, i % 2 ? 300 : 299);
			close(fd);
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	CHECK(s->count > 600);
	CHECK_INT(most_in(s, SECOND), 20);
	CHECK(most_in(s, MINUTE) == 300 || most_in(s, MINUTE) == 299);
	free(lock);
	munmap(s, sizeof(*s));
}

/* Whatever moment a process is killed at, the ring serves on and refuses what it should. */
static void
killed(void)
{
	struct shared *s = share();
	char *lock = file_join(dir, "lock");

	for (int round = 0; round < 60 || (s->count <= 100 && round < 5000); round++) {
		pid_t child = fork();

		if (child == 0) {
			for (;;) {
				int fd = file_lock(lock, 5000, NULL);

				s->now += SECOND / 100;
				if (limit_wait_ns(dir, "killed", 7, 100, s->now, NULL) == 0 &&
				    limit_take(dir, "killed", 7, 100, s->now, NULL) == 0 && s->count < STARTS_MAX) {
					s->start[s->count] = s->now;
					s->count++;
				}
				close(fd);
			}
		}
		usleep(2000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	CHECK(s->count > 100);
	CHECK(most_in(s, SECOND) <= 7);
	CHECK(most_in(s, MINUTE) <= 100);
	free(lock);
	munmap(s, sizeof(*s));
}

int
main(void)
{
	char command[100];
	int64_t begun;

	if (!mkdtemp(dir))
		return 1;
	waits_are_true();
	other_boots();
	random_bursts("both", 5, 40, SECOND / 3, 5000, 25);
	random_bursts("second", 50, 0, SECOND / 60, 20000, 25);
	random_bursts("minute", 0, 1000, SECOND / 20, 20000, 25);
	random_bursts("one", 1, 1, SECOND, 5000, 25);
	random_bursts("large", 0, 100000, MINUTE / 400000, 150000, 0);
	larger_limit();
	many_processes();
	killed();
	damage("xx", 2, 0, false);			/* magic */
	damage("\xff\xff\xff\xff\xff\xff\xff\xff", 8, 48, false);	/* capacity */
	damage("\0\0\0\0\0\0\0\0", 8, 48, false);
	damage("\xff\xff\xff\xff\xff\xff\xff\xff", 8, 128, false);	/* the oldest start */
	damage("\xff\xff\xff\xff\xff\xff\xff\x7f", 8, 128, false);
	damage("\xff\xff\xff\xff\xff\xff\xff\xff", 8, 64, false);	/* last */
	damage(NULL, 0, 0, true);
	damage(NULL, 0, 60, true);
	damage(NULL, 0, 128, true);
	CHECK(limit_wait_ns("/nonexistent", "x", 1, 1, 1, &f) == 0);
	CHECK(limit_take("/proc/nonexistent", "x", 1, 1, 1, &f) < 0);
	begun = clock_mono_ns();
	for (int i = 0; i < 2000; i++) {
		limit_wait_ns(dir, "large", 0, 100000, MINUTE * 1000 + i, &f);
		limit_take(dir, "large", 0, 100000, MINUTE * 1000 + i, &f);
	}
	printf("# ask and count: %.1f us\n", (double)(clock_mono_ns() - begun) / 2000 / 1000);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(system(command) == 0);
	return check_done();
}
