#include "keys/booking.h"

#include "base/clock.h"

#include "check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Real key files and a real state folder; several processes at once where it matters. */

static char dir[] = "/tmp/kmi-keyring.XXXXXX";
static struct config config;

static void
write_file(const char *name, const char *text)
{
	char *path = file_join(dir, name);

	file_replace(path, str_from(text), false, NULL);
	free(path);
}

static void
key_file(const char *label, const char *more)
{
	char name[64], text[200];

	snprintf(name, sizeof(name), "auths/%s.env", label);
	snprintf(text, sizeof(text), "KMI_API_KEY=sk-fake-%s-0001\n%s", label, more);
	write_file(name, text);
}

static void
fresh(bool automatic)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -rf %s/auths %s/state; mkdir -m 700 %s/auths %s/state", dir, dir, dir, dir);
	if (system(command) != 0)
		abort();
	write_file("state/state.json", automatic ? "{\"schema_version\": 1, \"auto_rotate\": true, \"keys\": {}}" :
						   "{\"schema_version\": 1, \"keys\": {}}");
	key_file("a", "");
	key_file("b", "");
	key_file("c", "");
}

/* The labels that one request would try, in order: "a b c". */
static void
tries(struct keyring *kr, int most, char out[100])
{
	struct picking g;
	struct pick p = { 0 };

	picking_init(&g);
	out[0] = '\0';
	for (int i = 0; i < most; i++) {
		struct pick_none none;
		enum pick_answer answer = pick_next(kr, &g, &p, &none);

		pick_none_free(&none);
		if (answer != PICK_KEY)
			break;
		snprintf(out + strlen(out), 100 - strlen(out), "%s%s", i ? " " : "", p.label);
	}
	pick_free(&p);
	picking_free(&g);
}

static void
turns(void)
{
	struct keyring kr;
	struct fail f;
	char got[100];

	fresh(true);
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	tries(&kr, 1, got);
	CHECK_STR(got, "a");
	tries(&kr, 1, got);
	CHECK_STR(got, "b");
	tries(&kr, 9, got);
	CHECK_STR(got, "c a b");	/* a failover goes on from its own place, and takes no turn */
	tries(&kr, 1, got);
	CHECK_STR(got, "a");
	keyring_close(&kr);

	fresh(false);
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	tries(&kr, 1, got);
	CHECK_STR(got, "a");
	tries(&kr, 9, got);
	CHECK_STR(got, "a b c");
	tries(&kr, 1, got);
	CHECK_STR(got, "a");		/* the active key stays */
	keyring_close(&kr);
}

static void
accounts(void)
{
	struct keyring kr;
	struct fail f;
	char got[100];

	fresh(false);
	key_file("b", "KMI_KEY_ACCOUNT=a\n");
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	tries(&kr, 9, got);
	CHECK_STR(got, "a c b");	/* another account first, then the other key of this one */
	keyring_close(&kr);
}

static void
make_active(long long place)
{
	struct state_change ch;
	struct fail f;

	CHECK_INT(state_begin(&ch, config.state_dir, &f), 0);
	ch.state.head.active_index = place;
	CHECK_INT(state_commit(&ch, false, &f), 0);
}

static struct state_counts
counts_of(const char *label)
{
	struct state_counts counts;
	struct state_change ch;
	struct fail f;

	CHECK_INT(state_begin(&ch, config.state_dir, &f), 0);
	counts = state_find(&ch.state, label)->counts;
	state_abort(&ch);
	return counts;
}

/* A key that was chosen, but could not be read, was not used: the books say so, for nobody will trace it. */
static void
never_used(void)
{
	struct state_counts before, after;
	struct keyring kr;
	struct fail f;
	char got[100], *path = file_join(dir, "auths/a.env");
	FILE *file;

	fresh(false);
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	tries(&kr, 1, got);
	CHECK_STR(got, "a");
	before = counts_of("a");
	while (clock_wall() <= before.last_used)
		usleep(10000);
	make_active(1);
	tries(&kr, 1, got);
	CHECK_STR(got, "b");
	make_active(0);
	CHECK((file = fopen(path, "w")) && fputs("nothing\n", file) > 0 && fclose(file) == 0);	/* in place: the folder does not tell */
	tries(&kr, 1, got);
	CHECK_STR(got, "b");
	after = counts_of("a");
	CHECK_INT(after.request_count, before.request_count);
	CHECK_INT(after.last_used, before.last_used);
	keyring_close(&kr);
	free(path);
}

static void
locks(void)
{
	struct judgement rate = { .verdict = VERDICT_RATE, .status = 429, .whole_account = true, .until = clock_wall() + 60,
		.source = SOURCE_STATED, .reason = "rate_limit" };
	struct picking g;
	struct pick p = { 0 };
	struct pick_none none;
	struct keyring kr;
	struct fail f;
	char got[100];

	fresh(false);
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	for (int i = 0; i < 3; i++) {
		picking_init(&g);
		CHECK(pick_next(&kr, &g, &p, &none) == PICK_KEY);
		pick_none_free(&none);
		booking_add(&kr, &p, &rate);
		picking_free(&g);
		tries(&kr, 1, got);
		CHECK_STR(got, i == 0 ? "b" : i == 1 ? "c" : "");
	}
	picking_init(&g);
	CHECK(pick_next(&kr, &g, &p, &none) == PICK_NONE);
	CHECK_INT(none.why.status, 429);
	CHECK(none.why.soonest >= rate.until && none.keys.n > 10);
	pick_none_free(&none);
	picking_free(&g);
	pick_free(&p);
	keyring_close(&kr);
}

static void
files_that_change(void)
{
	struct keyring kr;
	struct fail f;
	char got[100], path[100];

	fresh(false);
	CHECK(keyring_open(&kr, &config, NULL, &f) == 0);
	tries(&kr, 9, got);
	CHECK_STR(got, "a b c");
	key_file("a", "KMI_KEY_DISABLED=1\n");
	tries(&kr, 9, got);
	CHECK_STR(got, "b c");
	key_file("d", "KMI_KEY_PRIORITY=5\n");
	tries(&kr, 9, got);
	CHECK_STR(got, "b c d");	/* d stands first in the pool; b is where the active place now points to */
	snprintf(path, sizeof(path), "%s/auths/b.env", dir);
	unlink(path);
	tries(&kr, 9, got);
	CHECK(strstr(got, "b") == NULL && strlen(got) == 3);
	keyring_close(&kr);
}

/* Four processes, each with its own keyring: every turn once, counts even. */
static void
together(void)
{
	struct state_file sf;
	struct state st;
	struct fail f;

	fresh(true);
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			struct keyring kr;
			char got[100];

			if (keyring_open(&kr, &config, NULL, &f) < 0)
				_exit(1);
			for (int n = 0; n < 300; n++)
				tries(&kr, 1, got);
			keyring_close(&kr);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	CHECK(state_open(&sf, config.state_dir, &f) == 0);
	CHECK(state_load(&sf, &st, NULL, &f) == 0);
	CHECK_INT(st.head.rotation_index, 1200);
	for (size_t i = 0; i < st.count; i++)
		CHECK_INT(st.keys[i].counts.request_count, 400);
	state_free(&st);
	state_close(&sf);
}

int
main(void)
{
	const char *args[] = { NULL, NULL, "AUTO_ROTATE_ALLOWED=1", NULL };
	char auths[100], state[100], command[100];
	struct fail f;

	if (!mkdtemp(dir))
		return 1;
	snprintf(auths, sizeof(auths), "AUTHS_DIR=%s/auths", dir);
	snprintf(state, sizeof(state), "STATE_DIR=%s/state", dir);
	args[0] = auths;
	args[1] = state;
	if (config_load(&config, args, &f) < 0) {
		printf("Bail out! %s\n", f.text);
		return 1;
	}
	turns();
	accounts();
	never_used();
	locks();
	files_that_change();
	together();
	config_free(&config);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return check_done() || system(command) != 0;
}
