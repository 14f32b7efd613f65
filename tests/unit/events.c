#include "books/events.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-events-XXXXXX";
static char actor[] = "ada", no_folder[] = "/dev/null/x";

static struct config
config_in(const char *name)
{
	return (struct config){ .state_dir = file_join(dir, name), .log_max_mb = 5, .log_backups = 3,
		.audit_actor = actor };
}

static struct str
slurp(struct buf *b, const char *folder, const char *name)
{
	char *path = file_join(folder, name);

	buf_reset(b);
	file_read(path, 64 << 20, b, NULL, NULL);
	free(path);
	return buf_view(b);
}

static bool
is_field(const struct json *j, const char *name, const char *value)
{
	return json_is(j, json_get(j, 0, name), value);
}

static void
lines(void)
{
	struct config c = config_in("a/b");
	struct buf b = BUF(0);
	struct str rest, line;
	struct json j;
	struct buf ts = BUF(64);
	time_t t;

	event_log(&c, EVENT_WARNING, "state.json \"broken\"\nset aside", "file", "x\\y\xff\n", "count", "3", NULL);
	event_log(&c, EVENT_DEBUG, "nothing more", NULL);
	event_log(&c, EVENT_ERROR, "worse", NULL);
	event_audit(&c, "auto_on", "mode", "auto", NULL);
	c.audit_actor = NULL;
	event_audit(&c, "unlock", NULL);

	rest = slurp(&b, c.state_dir, "logs/kmi.log");
	line = str_cut(&rest, '\n');
	CHECK_INT(json_parse(&j, line, NULL), 0);
	CHECK_INT(json_str(&j, json_get(&j, 0, "ts"), &ts), 0);
	CHECK_INT(clock_parse(buf_view(&ts), &t), 0);
	CHECK(t <= clock_wall() && t > clock_wall() - 100);
	CHECK(is_field(&j, "level", "warning") && is_field(&j, "message", "state.json \"broken\"\nset aside"));
	CHECK(is_field(&j, "file", "x\\y\xef\xbf\xbd\n") && is_field(&j, "count", "3"));
	json_free(&j);
	CHECK(str_find(str_cut(&rest, '\n'), STR("\"level\": \"debug\", \"message\": \"nothing more\"}")) > 0);
	CHECK(str_find(str_cut(&rest, '\n'), STR("\"level\": \"error\"")) > 0);
	CHECK(str_find(str_cut(&rest, '\n'), STR("\"level\": \"info\", \"message\": \"audit_event\", \"actor\": \"ada\", "
	    "\"action\": \"auto_on\", \"mode\": \"auto\"}")) > 0);
	CHECK(str_find(str_cut(&rest, '\n'), STR("\"actor\": \"unknown\", \"action\": \"unlock\"}")) > 0);
	CHECK_INT(rest.n, 0);
	buf_free(&b);
	buf_free(&ts);
	free(c.state_dir);
}

/* What event_log() tells stderr. */
static struct str
stderr_of(struct buf *b, const struct config *c, const char *message, const char *value)
{
	char *path = file_join(dir, "stderr");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), old = dup(STDERR_FILENO);

	dup2(fd, STDERR_FILENO);
	event_log(c, EVENT_WARNING, message, "value", value, NULL);
	dup2(old, STDERR_FILENO);
	close(old);
	close(fd);
	free(path);
	return slurp(b, dir, "stderr");
}

static void
when_the_log_cannot_be_written(void)
{
	struct config c = config_in("full"), nowhere = { .state_dir = no_folder, .log_max_mb = 1 };
	char *folder = file_join(c.state_dir, "logs"), *path = file_join(folder, "kmi.log"), *big = malloc(100001);
	struct buf b = BUF(0);
	struct str got;

	got = stderr_of(&b, &nowhere, "two\nlines\x1b[2J", "v\r1");
	CHECK(str_starts(got, "events: warning: two lines [2J (value=v 1) ["));
	CHECK(memchr(got.p, '\n', got.n) == got.p + got.n - 1);
	CHECK(str_find(got, str_from(strerror(ENOTDIR))) > 0);
	file_mkdirs(folder, NULL);
	CHECK(symlink("/dev/full", path) == 0);
	got = stderr_of(&b, &c, "full", "1");
	CHECK(str_find(got, str_from(strerror(ENOSPC))) > 0);
	unlink(path);
	memset(big, 'x', 100000);
	big[100000] = '\0';
	CHECK_INT(stderr_of(&b, &c, big, big).n, 0);	/* too long: cut, but told */
	CHECK(slurp(&b, c.state_dir, "logs/kmi.log").n > 8000);
	CHECK(b.n < 9000);
	got = stderr_of(&b, &nowhere, big, big);
	CHECK(got.n > 8000 && got.n < 9000);
	buf_free(&b);
	free(big);
	free(path);
	free(folder);
	free(c.state_dir);
}

static void
rotation(void)
{
	struct config c = config_in("rotated");
	char filler[4001];
	struct buf b = BUF(0);

	c.log_max_mb = 1;
	c.log_backups = 2;
	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	for (int i = 0; i < 1000; i++)
		event_log(&c, EVENT_INFO, filler, NULL);
	CHECK(slurp(&b, c.state_dir, "logs/kmi.log.1").n > 1 << 20);
	CHECK(b.n < (1 << 20) + 70000);
	CHECK(slurp(&b, c.state_dir, "logs/kmi.log.2").n > 1 << 20);
	CHECK_INT(slurp(&b, c.state_dir, "logs/kmi.log.3").n, 0);
	buf_free(&b);
	free(c.state_dir);
}

static void
age(const char *state_dir, const char *cause, int seconds)
{
	struct timespec t[2] = { { clock_wall() - seconds, 0 }, { clock_wall() - seconds, 0 } };
	char path[4096];

	snprintf(path, sizeof(path), "%s/logs/due/%s", state_dir, cause);
	CHECK_INT(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void
once_a_minute(void)
{
	struct config c = config_in("due"), nowhere = { .state_dir = no_folder };
	char name[16];

	CHECK(event_due(&c, "trace"));
	CHECK(!event_due(&c, "trace"));
	CHECK(event_due(&c, "state"));
	age(c.state_dir, "trace", 50);
	CHECK(!event_due(&c, "trace"));
	age(c.state_dir, "trace", 61);
	CHECK(event_due(&c, "trace"));
	CHECK(!event_due(&c, "trace"));
	age(c.state_dir, "trace", -3600);	/* the clock was set back */
	CHECK(event_due(&c, "trace"));
	CHECK(!event_due(&c, "trace"));
	CHECK(event_due(&c, "../../../tmp/evil"));
	CHECK(!event_due(&c, "../../../tmp/evil"));
	CHECK(event_due(&c, "../../../tmp/other"));
	CHECK(event_due(&c, ""));
	CHECK(!event_due(&c, ""));

	CHECK(event_due(&nowhere, "a"));
	CHECK(!event_due(&nowhere, "a"));
	CHECK(event_due(&nowhere, "b"));
	CHECK(!event_due(&nowhere, "a"));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		event_due(&nowhere, name);
	}
	CHECK(!event_due(&nowhere, "many99"));
	free(c.state_dir);
}

/* Many processes at the same moment: one tells, both for a cause never seen and for one whose minute is over. */
static void
one_of_many(void)
{
	struct config c = config_in("crowd");
	int told, status, gate[2];

	for (int round = 0; round < 20; round++) {
		if (round > 0)
			age(c.state_dir, "storm", 100);
		CHECK(pipe(gate) == 0);
		told = 0;
		for (int i = 0; i < 16; i++) {
			if (fork() == 0) {
				char byte;

				close(gate[1]);
				if (read(gate[0], &byte, 1) != 0)
					_exit(9);
				_exit(event_due(&c, "storm"));
			}
		}
		close(gate[0]);
		close(gate[1]);
		while (wait(&status) > 0)
			told += WEXITSTATUS(status);
		CHECK_INT(told, 1);
	}
	free(c.state_dir);
}

int
main(void)
{
	char *clean;

	if (!mkdtemp(dir))
		return 1;
	clock_set_zone("-02:30");
	lines();
	when_the_log_cannot_be_written();
	rotation();
	once_a_minute();
	one_of_many();
	if (asprintf(&clean, "rm -rf %s", dir) > 0 && system(clean) == 0)
		free(clean);
	return check_done();
}
