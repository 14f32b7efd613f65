#include "books/trace_files.h"

#include "base/file.h"
#include "books/trace.h"

#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/kmi-trace-files-XXXXXX";
static struct config config = { .state_dir = dir };

#define LINES 400

static size_t lengths[LINES];

/* Line i: its number and as many x as make its length. */
static void
write_lines(const char *name, size_t from, size_t to, const char *mode)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/trace/%s", dir, name);
	file = fopen(path, mode);
	for (size_t i = from; file && i < to; i++) {
		int n = fprintf(file, "%zu ", i);

		for (; (size_t)n < lengths[i]; n++)
			fputc('x', file);
		fputc('\n', file);
	}
	if (file)
		fclose(file);
}

static bool
is_line(struct str line, size_t i)
{
	char number[32];

	if (lengths[i] > TRACE_LINE_MAX)
		return line.n == 0;
	snprintf(number, sizeof(number), "%zu ", i);
	return str_starts(line, number) && (line.n == lengths[i] || lengths[i] < 6);
}

/* Short lines, lines of about a block, and a few that are too long. */
static void
choose_lengths(void)
{
	unsigned seed = 7;

	for (size_t i = 0; i < LINES; i++) {
		seed = seed * 1103515245 + 12345;
		lengths[i] = seed >> 16 & 1023;
		if (i % 50 == 10)
			lengths[i] = 65536 - 2 + i % 5;
		if (i % 100 == 20)
			lengths[i] = TRACE_LINE_MAX - i / 100;
		if (i % 100 == 30)
			lengths[i] = TRACE_LINE_MAX + 1 + 100000 * (i / 100);
	}
}

static void
backwards(void)
{
	struct trace_back b;
	struct str line;
	size_t i = LINES;
	bool same = true;

	trace_back_open(&b, &config);
	while (trace_back_next(&b, &line) && i > 0)
		same &= is_line(line, --i);
	CHECK_NAMED(same, "every line, from the last on");
	CHECK_INT(i, 0);
	CHECK(!trace_back_next(&b, &line));
	CHECK_INT(b.trouble.kind, FAIL_NONE);
	trace_back_close(&b);
}

/* Reads what there is; how many lines of those expected from `at` on. */
static size_t
read_on(struct trace_follow *w, size_t at)
{
	struct str line;
	size_t n = 0;

	trace_follow_notice(w);
	while (trace_follow_next(w, &line)) {
		if (!is_line(line, at + n))
			return 0;
		n++;
	}
	return n;
}

static void
forwards(void)
{
	char path[300], older[300];
	struct trace_follow w;
	struct str line;

	snprintf(path, sizeof(path), "%s/trace/trace.jsonl", dir);
	snprintf(older, sizeof(older), "%s/trace/trace.jsonl.1", dir);
	trace_follow_open(&w, &config, NULL);
	CHECK(!trace_follow_next(&w, &line));
	write_lines("trace.jsonl", 0, 100, "a");
	CHECK_INT(read_on(&w, 0), 100);
	/* Rotated twice before anybody looked: no line is missed. */
	write_lines("trace.jsonl", 100, 150, "a");
	rename(path, older);
	write_lines("trace.jsonl", 150, 200, "a");
	snprintf(path, sizeof(path), "%s/trace/trace.jsonl.2", dir);
	rename(older, path);
	snprintf(path, sizeof(path), "%s/trace/trace.jsonl", dir);
	rename(path, older);
	write_lines("trace.jsonl", 200, 250, "a");
	CHECK_INT(read_on(&w, 100), 150);
	/* One that did not know yet. */
	write_lines("trace.jsonl.1", 250, 251, "a");
	CHECK_INT(read_on(&w, 250), 1);
	unlink(path);
	write_lines("trace.jsonl", 251, 300, "a");
	CHECK_INT(read_on(&w, 251), 49);
	CHECK_INT(truncate(path, 0), 0);
	CHECK_INT(read_on(&w, 0), 0);
	write_lines("trace.jsonl", 301, 320, "a");
	CHECK_INT(read_on(&w, 301), 19);
	trace_follow_close(&w);
}

static void
remove_all(const char *folder)
{
	static const char *const names[] = { "trace.jsonl", "trace.jsonl.1", "trace.jsonl.2" };

	for (size_t i = 0; i < 3; i++) {
		char *path = file_join(folder, names[i]);

		if (path)
			unlink(path);
		free(path);
	}
}

/* From where the reading backwards began, though the file has moved on meanwhile. */
static void
onwards(void)
{
	char path[300], older[300];
	struct trace_follow w;
	struct trace_back b;
	struct str line;

	snprintf(path, sizeof(path), "%s/trace/trace.jsonl", dir);
	snprintf(older, sizeof(older), "%s/trace/trace.jsonl.1", dir);
	write_lines("trace.jsonl", 0, 5, "w");
	trace_back_open(&b, &config);
	CHECK(trace_back_next(&b, &line) && is_line(line, 4));
	write_lines("trace.jsonl", 5, 7, "a");
	rename(path, older);
	write_lines("trace.jsonl", 7, 9, "w");
	trace_follow_open(&w, &config, &b);
	CHECK_INT(read_on(&w, 5), 4);
	trace_follow_close(&w);
	trace_back_close(&b);
}

int
main(void)
{
	char *folder;
	struct trace_back b;
	struct str line;

	if (!mkdtemp(dir) || !(folder = file_join(dir, "trace")))
		return 1;
	trace_back_open(&b, &config);
	CHECK_NAMED(!trace_back_next(&b, &line), "no folder");
	trace_back_close(&b);
	mkdir(folder, 0700);
	choose_lengths();
	write_lines("trace.jsonl", 0, LINES, "w");
	backwards();
	write_lines("trace.jsonl.2", 0, 150, "w");
	write_lines("trace.jsonl.1", 150, 151, "w");
	write_lines("trace.jsonl", 151, LINES, "w");
	backwards();
	remove_all(folder);
	forwards();
	onwards();
	remove_all(folder);
	rmdir(folder);
	rmdir(dir);
	free(folder);
	return check_done();
}
