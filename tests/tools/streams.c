/*
 * streams: many event streams at once, and how late each piece of them is.
 *
 *	streams [-n COUNT] [-g GAP_MS] [-w] [-a CAFILE] [-m FILE] URL
 *
 * POSTs {"stream": true} COUNT times, GAP_MS apart. The upstream (tests/tools/fakekimi.py) writes into each event when it
 * was sent ("t", CLOCK_MONOTONIC), so a piece's delay is known. -w: each connection is opened beforehand, so that
 * the first byte tells of the request alone. FILE is made when all streams run. Prints one JSON object;
 * exit 1 when a stream did not end with [DONE].
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define END_MAX 15

struct stream {
	CURL *easy;
	double begun, first;
	bool warm, whole;
	char end[END_MAX + 1];		/* the last bytes */
	char line[65536];		/* the event that is coming */
	size_t line_n;
};

struct figures {
	double *ms;
	size_t n, room;
};

static struct figures firsts, delays;
static int running_streams, wanted;
static const char *mark;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
add(struct figures *f, double ms)
{
	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 1024;
		f->ms = realloc(f->ms, f->room * sizeof(*f->ms));
		if (!f->ms)
			exit(2);
	}
	f->ms[f->n++] = ms;
}

static void
take_line(struct stream *s, double at)
{
	char *t;

	s->line[s->line_n] = '\0';
	t = strstr(s->line, "\"t\":");
	if (t)
		add(&delays, (at - strtod(t + 4, NULL)) * 1000);
	s->line_n = 0;
}

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct stream *s = arg;
	double at = now();

	n *= one;
	if (s->warm)
		return n;
	if (s->first == 0) {
		s->first = at;
		add(&firsts, (at - s->begun) * 1000);
		if (++running_streams == wanted && mark)
			fclose(fopen(mark, "w"));
	}
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			take_line(s, at);
		else if (s->line_n < sizeof(s->line) - 1)
			s->line[s->line_n++] = p[i];
		memmove(s->end, s->end + 1, END_MAX - 1);
		s->end[END_MAX - 1] = p[i];
	}
	return n;
}

static CURL *
prepare(struct stream *s, const char *url, const char *ca, struct curl_slist *headers)
{
	CURL *e = s->easy ? s->easy : curl_easy_init();

	curl_easy_reset(e);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, s->warm ? "{}" : "{\"stream\": true}");
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, 600L);
	if (ca)
		curl_easy_setopt(e, CURLOPT_CAINFO, ca);
	return s->easy = e;
}

/* Starts them gap_ms apart and waits for the last. */
static void
run(CURLM *multi, struct stream *streams, int count, double gap, const char *url, const char *ca, struct curl_slist *headers)
{
	double next = now();
	int begun = 0, busy = 0;

	do {
		CURLMsg *m;
		int left;

		while (begun < count && now() >= next) {
			struct stream *s = &streams[begun++];

			curl_multi_add_handle(multi, prepare(s, url, ca, headers));
			s->begun = now();
			next += gap;
		}
		curl_multi_perform(multi, &busy);
		while ((m = curl_multi_info_read(multi, &left))) {
			struct stream *s;

			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
			s->whole = m->data.result == CURLE_OK && memcmp(s->end, "data: [DONE]\n\n", END_MAX - 1) == 0;
			if (!s->whole)
				s->whole = m->data.result == CURLE_OK && memcmp(s->end + 1, "data: [DONE]\n\n", END_MAX - 1) == 0;
			curl_multi_remove_handle(multi, m->easy_handle);
		}
		if (busy || begun < count)
			curl_multi_poll(multi, NULL, 0, begun < count ? 1 : 1000, NULL);
	} while (busy || begun < count);
}

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_figures(const char *name, struct figures *f)
{
	qsort(f->ms, f->n, sizeof(*f->ms), by_size);
	printf("\"%s\": {\"count\": %zu", name, f->n);
	for (int p = 50; f->n && p <= 99; p += p == 50 ? 40 : 9)
		printf(", \"p%d\": %.3f", p, f->ms[f->n * (size_t)p / 100]);
	printf("}");
}

int
main(int argc, char **argv)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	const char *ca = NULL;
	struct stream *streams;
	double gap = 0;
	bool warm = false;
	int o, whole = 0;
	CURLM *multi;

	wanted = 100;
	while ((o = getopt(argc, argv, "n:g:wa:m:")) >= 0)
		switch (o) {
		case 'n': wanted = atoi(optarg); break;
		case 'g': gap = atof(optarg) / 1000; break;
		case 'w': warm = true; break;
		case 'a': ca = optarg; break;
		case 'm': mark = optarg; break;
		default: return 2;
		}
	if (argc - optind != 1 || wanted < 1)
		return 2;
	headers = curl_slist_append(headers, "Authorization: Bearer sk-fake-direct");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)wanted);
	streams = calloc((size_t)wanted, sizeof(*streams));
	if (!streams || !multi)
		return 2;
	if (warm) {
		for (int i = 0; i < wanted; i++)
			streams[i].warm = true;
		run(multi, streams, wanted, 0, argv[optind], ca, headers);
		for (int i = 0; i < wanted; i++)
			streams[i].warm = false;
	}
	run(multi, streams, wanted, gap, argv[optind], ca, headers);
	for (int i = 0; i < wanted; i++)
		whole += streams[i].whole;
	printf("{\"streams\": %d, \"whole\": %d, ", wanted, whole);
	print_figures("first_ms", &firsts);
	printf(", ");
	print_figures("piece_ms", &delays);
	printf("}\n");
	return whole != wanted;
}
