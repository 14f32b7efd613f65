/*
 * state-hammer: everything that may happen to state.json, at once, for a while.
 *
 *	state-hammer FOLDER SECONDS [WRITERS [KEYS]]
 *
 * Writers count requests in place, set locks, add keys, put the file into another layout, and are killed with
 * -9 at random and replaced. Readers take no lock and parse the file all the time: each read must be
 * valid JSON, and no count may ever be seen to fall. In the end every count must lie between the bookings
 * that were done and those that were begun, nothing may be set aside, and no two writers may have been inside at once.
 *
 * Prints one line of figures; exit 0 when all held, 1 with the reasons when not.
 */
#include "base/clock.h"
#include "base/json.h"
#include "keys/state.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS_MAX 2000
#define READERS 2
#define PROCESSES_MAX 64

static struct shared {
	atomic_llong begun[KEYS_MAX], done[KEYS_MAX];
	atomic_llong turns_begun, turns_done;
	atomic_llong pokes, saves, kills, reads;
	atomic_int inside;		/* pid of who holds the lock */
	atomic_int wrong;
	char why[600];
} *all;

static const char *folder;
static int keys = 40;

static void
wrong(const char *what, const char *detail)
{
	if (atomic_fetch_add(&all->wrong, 1) == 0)
		snprintf(all->why, sizeof(all->why), "%s: %.500s", what, detail);
}

/* Labels of all kinds of bytes and lengths, so that lines and pages meet everywhere. */
static void
label_of(int i, char out[300])
{
	int n = snprintf(out, 300, "%d \"\\\t\xd1\x8f ", i);

	for (int pad = i * 37 % 200; pad > 0; pad--)
		out[n++] = 'x';
	out[n] = '\0';
}

/* Who was killed inside leaves its name behind; but nobody else's may appear while one is at work. */
static void
enter(void)
{
	atomic_store(&all->inside, getpid());
}

static void
leave(struct state_file *sf)
{
	if (atomic_exchange(&all->inside, 0) != getpid())
		wrong("two inside at once", "the lock does not exclude");
	state_unlock(sf);
}

/* Another program's layout: the same JSON, other spaces. It keeps to the lock, as nobody but us would. */
static void
write_foreign(struct state_file *sf, struct state *st)
{
	struct buf b = BUF(STATE_SIZE_MAX);
	struct fail f;

	state_print(st, 1, &b);
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n' && i % 3 == 0)
			b.p[i] = '\t';
	if (file_replace(sf->path, buf_view(&b), false, &f) < 0)
		wrong("foreign", f.text);
	buf_free(&b);
}

static void
long_way(struct state_file *sf, int i)
{
	char label[300], *aside = NULL;
	struct fail f = { 0 };
	struct state st;
	struct state_key *k;

	label_of(i, label);
	if (state_load(sf, &st, &aside, &f) < 0 || aside) {
		wrong("load", aside ? aside : f.text);
		return;
	}
	k = state_add(&st, label);
	if (random() % 2)
		k->exhausted = (struct lock){ clock_wall() + 60, clock_wall(), "rate_limit", SOURCE_STATED, "429" };
	else
		k->exhausted = (struct lock){ 0 };
	k->counts.request_count++;
	atomic_fetch_add(&all->begun[i], 1);
	if (random() % 50 == 0)
		write_foreign(sf, &st);
	else if (state_save(sf, &st, random() % 100 == 0, &f) < 0)
		wrong("save", f.text);
	atomic_fetch_add(&all->done[i], 1);
	atomic_fetch_add(&all->saves, 1);
	state_free(&st);
}

struct writer {
	struct state_file sf;
	struct state known;		/* whose offsets are used while its epoch is the file's */
};

/* As a request does it. -1 when the long way is due. */
static int
short_way(struct writer *w, int i)
{
	struct state_head head, next;
	struct state_counts was, now;
	struct state_key *k;
	char label[300];
	struct fail f = { 0 };

	label_of(i, label);
	if (state_peek(&w->sf, &head, &f) < 0)
		return -1;
	if (head.epoch != w->known.head.epoch) {
		state_free(&w->known);
		if (state_load(&w->sf, &w->known, NULL, &f) < 0)
			wrong("load", f.text);
	}
	k = state_find(&w->known, label);
	if (!k)
		return -1;
	if (state_peek_key(&w->sf, k->offset, label, &was, &f) < 0) {
		wrong("peek", f.text);
		return -1;
	}
	now = was;
	now.request_count++;
	now.last_used = clock_wall() + random() % 100000000;
	if (random() % 20 == 0)
		now.last_error = random() % 3 ? clock_wall() : 0;
	next = head;
	next.rotation_index++;
	if (random() % 100 == 0)
		next.auto_rotate = !head.auto_rotate;
	atomic_fetch_add(&all->begun[i], 1);
	if (state_poke_key(&w->sf, k->offset, label, &was, &now, &f) < 0)
		wrong("poke key", f.text);
	atomic_fetch_add(&all->done[i], 1);
	atomic_fetch_add(&all->turns_begun, 1);
	if (state_poke(&w->sf, &head, &next, &f) < 0)
		wrong("poke", f.text);
	atomic_fetch_add(&all->turns_done, 1);
	atomic_fetch_add(&all->pokes, 1);
	return 0;
}

static void
write_on(void)
{
	struct writer w = { 0 };
	struct fail f = { 0 };

	if (state_open(&w.sf, folder, &f) < 0)
		wrong("open", f.text);
	for (;;) {
		int i = (int)(random() % keys);

		if (state_lock(&w.sf, 5000, &f) < 0) {
			wrong("lock", f.text);
			_exit(1);
		}
		enter();
		if (random() % 40 == 0 || short_way(&w, i) < 0)
			long_way(&w.sf, i);
		leave(&w.sf);
	}
}

static void
read_on(void)
{
	long long seen[KEYS_MAX] = { 0 };
	char *path = file_join(folder, "state.json"), label[300];
	struct buf b = BUF(STATE_SIZE_MAX + 1);
	struct fail f = { 0 };

	for (;;) {
		struct json j;
		struct state st;

		buf_reset(&b);
		if (file_read(path, STATE_SIZE_MAX, &b, NULL, &f) < 0)
			continue;		/* not there yet */
		if (json_parse(&j, buf_view(&b), &f) < 0) {
			wrong("a reader found bad JSON", f.text);
			continue;
		}
		json_free(&j);
		if (state_parse(&st, buf_view(&b), &f) < 0)
			wrong("a reader found no state", f.text);
		for (int i = 0; i < keys; i++) {
			struct state_key *k;

			label_of(i, label);
			k = state_find(&st, label);
			/* Digits of two counts may be seen mixed, so only the number of digits is sure. */
			if (k && k->counts.request_count * 10 < seen[i])
				wrong("a count fell", label);
			if (k && k->counts.request_count > seen[i])
				seen[i] = k->counts.request_count;
		}
		state_free(&st);
		atomic_fetch_add(&all->reads, 1);
	}
}

/* Most keys are there from the beginning, or adding them would be all that happens. */
static void
prepare(void)
{
	struct state_file sf;
	struct state st = { 0 };
	struct fail f = { 0 };
	char label[300];

	if (state_open(&sf, folder, &f) < 0 || state_lock(&sf, 5000, &f) < 0)
		wrong("prepare", f.text);
	for (int i = 0; i < keys - keys / 8; i++) {
		label_of(i, label);
		state_add(&st, label);
	}
	if (state_save(&sf, &st, false, &f) < 0)
		wrong("prepare", f.text);
	state_free(&st);
	state_close(&sf);
}

static pid_t
start(void (*work)(void))
{
	pid_t parent = getpid(), child = fork();

	if (child != 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	srandom((unsigned)(getpid() ^ clock_mono_ns()));
	work();
	_exit(0);
}

static void
add_up(void)
{
	struct state_file sf;
	struct state st;
	struct fail f = { 0 };
	char label[300], text[100], *aside = NULL;

	if (state_open(&sf, folder, &f) < 0 || state_lock(&sf, 5000, &f) < 0 || state_load(&sf, &st, &aside, &f) < 0) {
		wrong("end", f.text);
		return;
	}
	if (aside)
		wrong("set aside", aside);
	for (int i = 0; i < keys; i++) {
		long long begun = atomic_load(&all->begun[i]), done = atomic_load(&all->done[i]), n;
		struct state_key *k;

		label_of(i, label);
		k = state_find(&st, label);
		n = k ? k->counts.request_count : 0;
		snprintf(text, sizeof(text), "key %d: %lld begun, %lld done, %lld booked", i, begun, done, n);
		if (n < done || n > begun)
			wrong("a count was lost", text);
	}
	snprintf(text, sizeof(text), "%lld begun, %lld done, %lld booked", atomic_load(&all->turns_begun),
	    atomic_load(&all->turns_done), st.head.rotation_index);
	if (st.head.rotation_index < atomic_load(&all->turns_done) || st.head.rotation_index > atomic_load(&all->turns_begun))
		wrong("a turn was lost", text);
	state_free(&st);
	state_close(&sf);
}

int
main(int argc, char **argv)
{
	pid_t pids[PROCESSES_MAX + READERS];
	int writers = argc > 3 ? atoi(argv[3]) : 6, total;
	int64_t end;

	if (argc < 3 || writers < 1 || writers > PROCESSES_MAX || (argc > 4 && (keys = atoi(argv[4])) < 1) ||
	    keys > KEYS_MAX) {
		fprintf(stderr, "usage: state-hammer FOLDER SECONDS [WRITERS [KEYS]]\n");
		return 2;
	}
	folder = argv[1];
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return 1;
	prepare();
	total = writers + READERS;
	for (int i = 0; i < total; i++)
		pids[i] = start(i < writers ? write_on : read_on);
	srandom((unsigned)getpid());
	end = clock_mono_ms() + (int64_t)(atof(argv[2]) * 1000);
	while (clock_mono_ms() < end) {
		int victim = (int)(random() % writers);

		usleep((useconds_t)(random() % 12000));
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], NULL, 0);
		atomic_fetch_add(&all->kills, 1);
		pids[victim] = start(write_on);
	}
	for (int i = 0; i < total; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	add_up();
	printf("%lld pokes, %lld saves, %lld kills, %lld reads, %d wrong\n", atomic_load(&all->pokes),
	    atomic_load(&all->saves), atomic_load(&all->kills), atomic_load(&all->reads), atomic_load(&all->wrong));
	if (atomic_load(&all->wrong))
		printf("first: %s\n", all->why);
	return atomic_load(&all->wrong) ? 1 : 0;
}
