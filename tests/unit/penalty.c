#include "proxy/penalty.h"

#include "base/clock.h"
#include "base/file.h"

#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-penalty.XXXXXX";

/* When wrong tokens come (seconds), and how long the answer of the last one waits. */
struct situation {
	const char *name;
	int at[12];
	int last_waits;
};

static void
counting(void)
{
	static const struct situation all[] = {
		{ "the first", { 100 }, 0 },
		{ "the fifth at once", { 100, 100, 100, 100, 100 }, 0 },
		{ "the sixth at once", { 100, 100, 100, 100, 100, 100 }, 1 },
		{ "the seventh", { 100, 100, 100, 100, 100, 100, 101 }, 2 },
		{ "the eighth", { 100, 100, 100, 100, 100, 100, 101, 103 }, 4 },
		{ "the ninth", { 100, 100, 100, 100, 100, 100, 101, 103, 107 }, 8 },
		{ "the tenth", { 100, 100, 100, 100, 100, 100, 101, 103, 107, 115 }, 8 },
		{ "the twelfth", { 100, 100, 100, 100, 100, 100, 101, 103, 107, 115, 123, 131 }, 8 },
		{ "the sixth, 59 s after the first", { 100, 110, 120, 130, 140, 159 }, 1 },
		{ "the sixth, a minute after the first", { 100, 110, 120, 130, 140, 160 }, 0 },
		{ "one every 13 s, for ever", { 100, 113, 126, 139, 152, 165, 178, 191, 204, 217, 230, 243 }, 0 },
		{ "slow again after a pause", { 100, 100, 100, 100, 100, 100, 101, 103, 107, 200 }, 0 },
		{ "who goes on after a pause begins at the beginning", { 100, 100, 100, 100, 100, 100, 200, 200, 200, 200, 200, 200 }, 1 },
		{ "times from before the last boot", { 500, 500, 500, 500, 500, 20 }, 0 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct penalty p = { 0 };
		int64_t wait = -1;

		for (int k = 0; k < 12 && all[i].at[k]; k++)
			wait = penalty_count(&p, (int64_t)all[i].at[k] * 1000);
		if (!CHECK_NAMED(wait == (int64_t)all[i].last_waits * 1000, all[i].name))
			printf("# got %lld\n", (long long)wait);
	}
}

static void
any_bytes(void)
{
	bool in_range = true;

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		struct penalty p;
		int64_t wait;

		for (size_t k = 0; k < sizeof(p); k++)
			((unsigned char *)&p)[k] = (unsigned char)(i % 3 ? random() : random() % 2 * 255);
		wait = penalty_count(&p, 1 + random());
		if (wait < 0 || wait > PENALTY_MAX_MS || p.oldest >= PENALTY_FREE)
			in_range = false;
	}
	CHECK_NAMED(in_range, "a damaged row waits no longer than another");
}

static const char *
origin(const char *address)
{
	static char out[PENALTY_ORIGIN_SIZE];
	struct peer p = { .uid = (uid_t)-1 };

	if (inet_pton(AF_INET, address, &p.remote_address.v4.sin_addr) == 1)
		p.remote_address.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, address, &p.remote_address.v6.sin6_addr) == 1)
		p.remote_address.any.sa_family = AF_INET6;
	p.remote_address.v4.sin_port = 1234;
	penalty_origin(&p, out);
	return out;
}

static void
origins(void)
{
	struct peer user = { .unix_socket = true, .uid = 1000 };
	char out[PENALTY_ORIGIN_SIZE];

	CHECK_STR(origin("192.0.2.1"), "c0000201");
	CHECK_STR(origin("::ffff:192.0.2.1"), "c0000201");
	CHECK_STR(origin("2001:db8:1:2:3:4:5:6"), "20010db800010002/64");
	CHECK_STR(origin("2001:db8:1:2:ffff::1"), "20010db800010002/64");
	CHECK_STR(origin("2001:db8:1:3::1"), "20010db800010003/64");
	CHECK_STR(origin("nobody knows"), "?");
	penalty_origin(&user, out);
	CHECK_STR(out, "uid 1000");
	user.uid = (uid_t)-1;
	penalty_origin(&user, out);
	CHECK(strlen(out) < sizeof(out) - 1);
}

static int64_t
add(const char *who)
{
	struct fail f = { 0 };
	int64_t wait = -1;

	if (penalty_add(dir, who, &wait, &f) < 0)
		return wait == 0 && f.text[0] ? -1 : -2;
	return wait;
}

static void
spoil(const char *bytes, size_t n)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/penalty", dir);
	file = fopen(path, "w");
	fwrite(bytes, 1, n, file);
	fclose(file);
}

static void
the_table(void)
{
	char path[100], name[20], noise[64 + 1024 * 48];
	struct rlimit small = { 1000, RLIM_INFINITY };
	struct stat st;
	int free_ones = 0, status;

	for (int i = 0; i < PENALTY_FREE; i++)
		CHECK_INT(add("c0000201"), 0);
	CHECK_INT(add("c0000201"), 1000);
	CHECK_INT(add("c0000201"), 2000);
	CHECK_NAMED(add("c0000202") == 0, "another address has its own count");
	snprintf(path, sizeof(path), "%s/penalty", dir);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%08x", i);
		free_ones += add(name) == 0;
	}
	CHECK(stat(path, &st) == 0);
	CHECK_NAMED(st.st_size == sizeof(noise), "5000 addresses later it is as large");
	CHECK_NAMED(add("c0000201") >= 4000, "and has forgotten nothing");
	CHECK(free_ones > 2000);

	memset(noise, 0x5a, sizeof(noise));
	spoil("", 0);
	CHECK_NAMED(add("a") == 0, "an empty file begins anew");
	spoil(noise, 100);
	CHECK_NAMED(add("a") == 0, "a short one");
	spoil(noise, sizeof(noise));
	CHECK_NAMED(add("a") == 0, "one of the right size with other contents");
	memcpy(noise, "kmipen1", 8);
	spoil(noise, sizeof(noise));
	CHECK_NAMED(add("a") >= 0, "one that begins right, a key without an end");

	unlink(path);
	if (fork() == 0) {	/* the disk is full in the middle of the table */
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &small);
		_exit(add("a") == -1 && add("a") == -1 ? 0 : 1);
	}
	wait(&status);
	CHECK_NAMED(status == 0, "no room for the table: nobody waits, and it is said");
	CHECK_NAMED(add("a") == 0, "when there is room it is made");
	unlink(path);
	mkdir(path, 0700);
	CHECK_NAMED(add("a") == -1, "a folder in its place");
	rmdir(path);
	mkfifo(path, 0600);
	CHECK_NAMED(add("a") == -1, "a fifo: not waited for");
	unlink(path);
	if (symlink("/etc/passwd", path) == 0)
		CHECK_NAMED(add("a") == -1, "a link: not followed");
	unlink(path);
}

/* Many at once: none is lost. */
static void
together(void)
{
	int status, bad = 0, waits = 0;

	for (int i = 0; i < 20; i++)
		if (fork() == 0)
			_exit((int)(add("many") / 1000));
	for (int i = 0; i < 20; i++) {
		wait(&status);
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 8)
			bad++;
		else
			waits += WEXITSTATUS(status) > 0;
	}
	CHECK_INT(bad, 0);
	CHECK_INT(waits, 15);
}

int
main(void)
{
	char path[100];

	if (!mkdtemp(dir))
		return 1;
	counting();
	any_bytes();
	origins();
	the_table();
	together();
	snprintf(path, sizeof(path), "%s/penalty", dir);
	unlink(path);
	rmdir(dir);
	return check_done();
}
