#include "keys/slot.h"

#include "base/file.h"

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-slot.XXXXXX";

static int
take(struct slot *s, const char *account, long long most)
{
	struct fail f = { 0 };

	return slot_take(s, dir, account, most, &f);
}

static void
counting(void)
{
	struct slot s[4] = { 0 };

	CHECK_INT(take(&s[0], "a", 2), 1);
	CHECK_INT(take(&s[1], "a", 2), 1);
	CHECK_INT(take(&s[2], "a", 2), 0);
	CHECK_NAMED(!s[2].taken, "one that was refused holds nothing");
	CHECK_NAMED(take(&s[2], "b", 1) == 1, "another account has its own");
	CHECK_NAMED(take(&s[3], "a", 3) == 1, "a larger limit has room");
	slot_free(&s[0]);
	CHECK_NAMED(take(&s[0], "a", 2) == 1, "what was freed can be taken");
	slot_free(&s[0]);
	slot_free(&s[0]);
	CHECK_NAMED(take(&s[1], "a", 1) == 1, "who has one and asks again has one");
	for (int i = 0; i < 4; i++)
		slot_free(&s[i]);
	CHECK_INT(take(&s[0], "a", 1), 1);
	slot_free(&s[0]);
}

/* Many processes, each again and again; some are killed while they hold one. */
static void
processes(void)
{
	struct slot s[3] = { 0 };
	pid_t children[20];
	int over = 0, left[2];

	if (pipe(left) < 0)
		return;
	for (int c = 0; c < 20; c++) {
		children[c] = fork();
		if (children[c] == 0) {
			struct slot mine = { 0 };

			for (int i = 0; i < 2000; i++) {
				int got = take(&mine, "many", 3);
				/* Who holds one of three leaves at most two to others. */
				struct slot others[3] = { 0 };
				int free_slots = 0;

				for (int k = 0; got == 1 && k < 3; k++)
					free_slots += take(&others[k], "many", 3) == 1;
				if (free_slots > 2 && write(left[1], "x", 1) != 1)
					_exit(1);
				for (int k = 0; k < 3; k++)
					slot_free(&others[k]);
				slot_free(&mine);
			}
			take(&mine, "many", 3);
			pause();
			_exit(0);
		}
	}
	for (int c = 0; c < 20; c++) {
		usleep(20000);
		kill(children[c], SIGKILL);
		waitpid(children[c], NULL, 0);
	}
	fcntl(left[0], F_SETFL, O_NONBLOCK);
	for (char x; read(left[0], &x, 1) == 1;)
		over++;
	CHECK_NAMED(over == 0, "never more than the limit");
	for (int i = 0; i < 3; i++)
		CHECK_NAMED(take(&s[i], "many", 3) == 1, "killed processes leave nothing taken");
	for (int i = 0; i < 3; i++)
		slot_free(&s[i]);
	close(left[0]);
	close(left[1]);
}

static void
trouble(void)
{
	struct fail f = { 0 };
	struct slot s = { 0 };

	CHECK_INT(slot_take(&s, "/proc/nowhere", "a", 1, &f), -1);
	CHECK(f.text[0] && !s.taken);
	slot_free(&s);
}

int
main(void)
{
	char command[100];

	if (!mkdtemp(dir))
		return 1;
	counting();
	processes();
	trouble();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		return 1;
	return check_done();
}
