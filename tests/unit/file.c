/* Links: what a path names in the end, and what is written through it. */
#include "base/file.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct fail f;

/* `path` names `want` in the end, and a replacement lands there, with the links still in place. */
static void
leads(const char *path, const char *want)
{
	char *target = file_target(path);
	struct buf got = BUF(100);

	printf("# %s\n", path);
	CHECK_STR(target ? target : "none", want);
	CHECK_INT(file_replace(path, STR("new"), true, &f), 0);
	CHECK_INT(file_read(want, 99, &got, NULL, &f), 0);
	CHECK_STR(got.n ? got.p : "", "new");
	if (strcmp(path, want) != 0)
		CHECK(readlink(path, (char[10]){ "" }, 10) > 0);
	buf_free(&got);
	free(target);
}

static void
put_old(const char *path, time_t age)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && futimens(fd, times) == 0);
	close(fd);
}

/* What killed writers left is gone with the next replacement; what others write just now, or is of another file, is not. */
static void
leftovers(void)
{
	put_old("a/x.tmp.0123abcd", 100);
	put_old("a/x.tmp.0123abce", 10);
	put_old("a/x.bak.tmp.0123abcd", 100);
	put_old("a/x.tmp.mine", 100);
	CHECK(file_replace("a/x", STR("new"), false, &f) == 0 && access("a/x.tmp.0123abcd", F_OK) == 0);
	CHECK(file_replace("a/x", STR("new"), true, &f) == 0 && access("a/x.tmp.0123abcd", F_OK) < 0);
	CHECK(access("a/x.tmp.0123abce", F_OK) == 0 && access("a/x.bak.tmp.0123abcd", F_OK) == 0 && access("a/x.tmp.mine", F_OK) == 0);
	put_old("x.tmp.0123abcd", 100);
	CHECK(file_replace("x", STR("new"), true, &f) == 0 && access("x.tmp.0123abcd", F_OK) < 0);
}

static void
as_root(void)
{
	struct stat st;

	if (geteuid() != 0)
		return;
	/* A user's folder, with links of his. */
	CHECK(mkdir("his", 0755) == 0 && mkdir("ours", 0755) == 0);
	CHECK(file_replace("ours/file", STR("old"), false, &f) == 0);
	CHECK(symlink("../ours/file", "his/to-ours") == 0 && symlink("../ours/none", "his/to-none") == 0);
	CHECK(symlink("own", "his/to-own") == 0 && symlink("../ours/file", "his/roots") == 0);
	CHECK(lchown("his", 1234, 1234) == 0 && lchown("his/to-ours", 1234, 1234) == 0);
	CHECK(lchown("his/to-none", 1234, 1234) == 0 && lchown("his/to-own", 1234, 1234) == 0);
	CHECK(!file_target("his/to-ours") && errno == EPERM);
	CHECK(!file_target("his/to-none") && errno == EPERM);
	CHECK(file_replace("his/to-ours", STR("new"), false, &f) < 0);
	CHECK_STR(f.text, "follow the link his/to-ours: Operation not permitted");
	leads("his/to-own", "his/own");
	CHECK(stat("his/own", &st) == 0 && st.st_uid == 1234);
	leads("his/roots", "his/../ours/file");
}

int
main(void)
{
	char dir[] = "/tmp/kmi-file.XXXXXX", clear[100];

	if (!mkdtemp(dir) || chdir(dir) < 0 || chmod(dir, 0755) < 0)
		return 1;
	CHECK(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0);
	CHECK(file_replace("b/there", STR("old"), false, &f) == 0);
	CHECK(symlink("../b/there", "a/good") == 0 && symlink("../b/none", "a/dangling") == 0);
	CHECK(symlink("dangling2", "a/chain") == 0 && symlink("../b/none2", "a/dangling2") == 0);
	CHECK(symlink("loop", "a/loop") == 0 && symlink("../c/none", "a/far") == 0);
	leads("a/plain", "a/plain");
	leads("a/good", "a/../b/there");
	leads("a/dangling", "a/../b/none");
	leads("a/chain", "a/../b/none2");
	CHECK(!file_target("a/loop") && errno == ELOOP);
	CHECK(file_replace("a/loop", STR("new"), false, &f) < 0);
	CHECK(file_replace("a/far", STR("new"), false, &f) < 0);
	CHECK(access("a/far", F_OK) < 0 && access("c", F_OK) < 0);
	leftovers();
	as_root();
	snprintf(clear, sizeof(clear), "rm -rf %s", dir);
	CHECK(system(clear) == 0);
	return check_done();
}
