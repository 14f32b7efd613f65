#include "show/screen.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/window.h"
#include "books/tally.h"
#include "books/trace_files.h"
#include "show/look.h"
#include "show/trace_text.h"
#include "show/words.h"

#include <ncurses.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIT_MS 5000		/* a new line is lit for so long */
#define ROWS_KEPT 1000		/* lines that can be looked at, even when the window is smaller */
#define DRAW_MS 100		/* under load it is drawn no more often than this */
#define ROW_MAX 65536
#define FILTER_MAX 64
#define SMALL_LINES 12		/* so low that every row is wanted for requests */
#define TOP_ROWS 4		/* title, answers, latency, heading of the keys */

struct entry {
	struct trace_line line;
	int64_t came_ms;	/* monotonic; 0: it was there before */
};

struct screen {
	const struct config *config;
	struct trace_filter filter;
	struct trace_sets sets;
	size_t window;
	struct entry *ring;	/* the newest at (next - 1) % room */
	size_t room, count, next;
	size_t corrupt, missed;	/* missed: came while paused */
	size_t scroll;
	bool paused, typing;
	char typed[FILTER_MAX];
	int64_t drawn_ms;
	struct tally tally;
	struct tally_figures figures;
	bool stale;		/* the tally is not that of the ring any more */
};

static volatile sig_atomic_t told_to_end;

static void
on_signal(int signal)
{
	(void)signal;
	told_to_end = 1;
}

enum { PAIR_GOOD = 1, PAIR_WARN, PAIR_BAD };

/* COLOR_PAIRS is 0 until colours are switched on. */
static attr_t
attribute(enum tone t)
{
	switch (t) {
	case TONE_NONE:
		return A_NORMAL;
	case TONE_GOOD:
		return COLOR_PAIRS > 0 ? (attr_t)COLOR_PAIR(PAIR_GOOD) : A_NORMAL;
	case TONE_WARN:
		return COLOR_PAIRS > 0 ? (attr_t)COLOR_PAIR(PAIR_WARN) : A_NORMAL;
	case TONE_BAD:
		return COLOR_PAIRS > 0 ? (attr_t)COLOR_PAIR(PAIR_BAD) : A_BOLD;
	case TONE_DIM:
		return A_DIM;
	case TONE_BOLD:
		return A_BOLD;
	}
	return A_NORMAL;
}

/* ---- what is shown */

static const struct entry *
entry_at(const struct screen *s, size_t back)
{
	return &s->ring[(s->next + s->room - 1 - back) % s->room];
}

static void
keep(struct screen *s, struct trace_line *l, int64_t came_ms)
{
	struct entry *e = &s->ring[s->next];

	if (s->count == s->room)
		trace_line_free(&e->line);
	else
		s->count++;
	*e = (struct entry){ *l, came_ms };
	s->next = (s->next + 1) % s->room;
	s->stale = true;
}

static void
take(struct screen *s, struct str raw, int64_t came_ms)
{
	struct trace_filter given = s->filter;
	struct trace_line l;

	given.text = NULL;	/* what a person filters is kept all the same, to be shown again later */
	if (trace_read_line(&l, raw, NULL) < 0) {
		s->corrupt++;
		return;
	}
	if (trace_filter_takes(&given, &l))
		keep(s, &l, came_ms);
	else
		trace_line_free(&l);
}

/* Lines come from the newest on; the ring wants the oldest first. */
static void
load(struct screen *s, struct trace_back *b)
{
	struct str *raw = calloc(s->room, sizeof(*raw)), line;
	size_t n = 0;

	while (raw && n < s->room && trace_back_next(b, &line)) {
		raw[n] = (struct str){ str_dup(line), line.n };
		n += raw[n].p != NULL;
	}
	while (n-- > 0) {
		take(s, raw[n], 0);
		free((char *)(uintptr_t)raw[n].p);
	}
	free(raw);
}

static void
count_up(struct screen *s)
{
	size_t n = 0;

	if (!s->stale)
		return;
	tally_free(&s->tally);
	s->tally.sets = &s->sets;
	s->tally.partial = s->filter.key || s->filter.status || s->filter.text;
	for (size_t i = 0; i < s->count && n < s->window; i++)
		if (trace_filter_takes(&s->filter, &entry_at(s, i)->line)) {
			tally_add(&s->tally, &entry_at(s, i)->line);
			n++;
		}
	tally_figures(&s->tally, &s->figures);
	s->stale = false;
}

/* ---- drawing */

/* Text at a place, cut to the columns there are. */
static void
put(int y, int x, enum tone tone, attr_t more, const char *text)
{
	struct look look = { .width = COLS - x };
	struct buf cut = BUF(ROW_MAX);

	if (y < 0 || y >= LINES || look.width <= 0)
		return;
	look_clip(&look, str_from(text), &cut);
	attrset(attribute(tone) | more);
	if (!buf_bad(&cut) && cut.n)
		mvaddnstr(y, x, cut.p, (int)cut.n);
	attrset(A_NORMAL);
	buf_free(&cut);
}

/* Pieces that two blanks part, as many as there is room for: none is cut in two. */
static void
put_pieces(int y, enum tone tone, struct buf *text)
{
	struct str row = buf_view(text);

	while (window_columns(row) > (size_t)COLS) {
		size_t n = row.n;

		while (n > 1 && !(row.p[n - 1] == ' ' && row.p[n - 2] == ' '))
			n--;
		if (n < 2)
			break;
		row = str_trim(str_sub(row, 0, n));
	}
	if (!buf_bad(text) && row.n) {
		text->p[row.n] = '\0';
		put(y, 0, tone, 0, text->p);
	}
	buf_reset(text);
}

static void
put_buf(int y, int x, enum tone tone, attr_t more, struct buf *text)
{
	if (!buf_bad(text) && text->n)
		put(y, x, tone, more, text->p);
	buf_reset(text);
}

static void
draw_top(struct screen *s)
{
	struct buf row = BUF(ROW_MAX);

	buf_puts(&row, "kmi trace   ");
	if (s->tally.total < s->window)
		buf_printf(&row, _("warming up %zu/%zu"), s->tally.total, s->window);
	else
		buf_printf(&row, _("the last %zu"), s->tally.total);
	if (s->filter.text || s->filter.key || s->filter.status) {
		buf_puts(&row, _("   only: "));
		words_clean(&row, s->filter.key);
		buf_puts(&row, s->filter.key && s->filter.status ? " " : "");
		words_clean(&row, s->filter.status);
		buf_puts(&row, s->filter.text && (s->filter.key || s->filter.status) ? " " : "");
		words_clean(&row, s->filter.text);
	}
	if (s->paused)
		buf_printf(&row, _("   PAUSED, %zu new"), s->missed);
	if (s->corrupt)
		buf_printf(&row, text_plural((long long)s->corrupt, "   %lld corrupt line", "   %lld corrupt lines"),
		    (long long)s->corrupt);
	put_pieces(0, TONE_BOLD, &row);
	buf_puts(&row, _("answers     "));
	trace_text_classes(&row, &s->tally);
	put_pieces(1, s->tally.classes[TALLY_5XX] ? TONE_BAD : s->tally.classes[TALLY_4XX] ? TONE_WARN : TONE_NONE, &row);
	buf_puts(&row, _("latency     "));
	trace_text_latency(&row, &s->figures);
	put_pieces(2, TONE_NONE, &row);
	buf_puts(&row, _("confidence  "));
	trace_text_confidence(&row, &s->tally, &s->figures);
	put_pieces(3, s->figures.fair.confidence >= 95 ? TONE_GOOD : s->figures.fair.confidence >= 0 ? TONE_WARN : TONE_NONE, &row);
	buf_free(&row);
}

static int
by_count(const void *a, const void *b)
{
	const struct fairness_key *const *x = a, *const *y = b;

	if ((*x)->chosen != (*y)->chosen)
		return (*x)->chosen > (*y)->chosen ? -1 : 1;
	return strcmp((*x)->label, (*y)->label);
}

/* A key's row: who, how often, and a bar beside the longest of all. */
static void
draw_key(int y, const struct fairness_key *k, size_t most, size_t all)
{
	struct look look = { .width = COLS };
	struct buf row = BUF(ROW_MAX);
	int label = COLS < 60 ? 12 : 24, bar = 2 + label + 18;
	int room = COLS - bar > 60 ? 60 : COLS - bar;

	trace_text_label(&row, &look, k->label, label);
	buf_printf(&row, "%7zu  %5.1f %%", k->chosen, all ? 100.0 * (double)k->chosen / (double)all : 0);
	put_buf(y, 2, TONE_NONE, 0, &row);
	if (room > 0 && most)
		buf_fill(&row, '#', (k->chosen * (size_t)room + most - 1) / most);
	put_buf(y, bar, TONE_GOOD, 0, &row);
	buf_free(&row);
}

/* As many keys as a third of the screen holds, the busiest first. Returns the next free row. */
static int
draw_keys(struct screen *s, int y)
{
	const struct fairness *f = s->tally.choices.count ? &s->tally.choices : &s->tally.answers;
	const struct fairness_key **keys = calloc(f->count + 1, sizeof(*keys));
	int least = LINES < SMALL_LINES ? 2 : 3, rows = LINES / 3 - 1 > least ? LINES / 3 - 1 : least;
	size_t all = 0;
	struct buf more = BUF(256);

	for (size_t i = 0; keys && i < f->count; i++) {
		keys[i] = &f->keys[i];
		all += keys[i]->chosen;
	}
	if (keys)
		qsort(keys, f->count, sizeof(*keys), by_count);
	for (size_t i = 0; keys && i < f->count; i++) {
		if ((int)i == rows - 1 && f->count > (size_t)rows) {
			long long left = (long long)(f->count - i);

			buf_printf(&more, text_plural(left, "%lld more key", "%lld more keys"), left);
			put_buf(y++, 2, TONE_DIM, 0, &more);
			break;
		}
		draw_key(y++, keys[i], keys[0]->chosen, all);
	}
	buf_free(&more);
	free(keys);
	return y;
}

static void
draw_line(int y, const struct entry *e, bool lit)
{
	struct look look = { .terminal = true, .width = COLS };
	struct trace_row form = { .label_width = COLS < 50 ? 8 : COLS < 100 ? 12 : 24, .today = COLS < 100 ? clock_wall() : 0 };
	struct buf row = BUF(TRACE_LINE_MAX);

	trace_text_row(&row, &look, &e->line, &form);
	if (lit && !buf_bad(&row)) {	/* a mark as well, for who sees no colours */
		size_t n = window_columns(buf_view(&row));

		buf_fill(&row, ' ', COLS > 2 && n < (size_t)COLS - 2 ? (size_t)COLS - 2 - n : 0);
	}
	put(y, 0, TONE_BOLD, 0, lit ? "> " : "  ");
	put_buf(y, 2, trace_text_tone(&e->line), lit ? A_REVERSE : 0, &row);
	buf_free(&row);
}

static void
draw_lines(struct screen *s, int y, int end)
{
	int64_t now = clock_mono_ms();
	size_t skip = s->scroll;
	int first = y;

	for (size_t i = 0; i < s->count && y < end; i++) {
		const struct entry *e = entry_at(s, i);

		if (!trace_filter_takes(&s->filter, &e->line))
			continue;
		if (skip) {
			skip--;
			continue;
		}
		draw_line(y++, e, e->came_ms && now - e->came_ms < LIT_MS);
	}
	if (y == first && y < end)
		put(y, 2, TONE_DIM, 0, s->count ? _("none of the requests is such a one") : _("no request yet"));
}

static void
draw(struct screen *s)
{
	struct buf row = BUF(ROW_MAX);
	int y;

	count_up(s);
	erase();
	draw_top(s);
	y = draw_keys(s, TOP_ROWS) + (LINES >= SMALL_LINES);
	draw_lines(s, y, LINES - 1);
	if (s->typing) {
		buf_printf(&row, _("key or status (alpha, 429, 4xx, error), then Enter: %s"), s->typed);
		put_buf(LINES - 1, 0, TONE_BOLD, 0, &row);
	} else {
		buf_puts(&row, s->filter.text ? _("q quit  p pause  / filter  c all again  arrows older") :
						_("q quit  p pause  / filter  arrows older"));
		put_pieces(LINES - 1, TONE_DIM, &row);
	}
	curs_set(s->typing);
	refresh();
	s->drawn_ms = clock_mono_ms();
	buf_free(&row);
}

/* ---- keys */

static void
set_filter(struct screen *s)
{
	s->typing = false;
	s->scroll = 0;
	s->filter.text = *s->typed ? s->typed : NULL;
	s->stale = true;
}

static void
type(struct screen *s, int key)
{
	size_t n = strlen(s->typed);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		set_filter(s);
	} else if (key == 27) {
		*s->typed = '\0';
		set_filter(s);
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		while (n > 0 && ((unsigned char)s->typed[--n] & 0xc0) == 0x80)
			;
		s->typed[n] = '\0';
	} else if (key >= 32 && key < 256 && key != 127 && n + 1 < sizeof(s->typed)) {
		s->typed[n] = (char)key;
		s->typed[n + 1] = '\0';
	}
}

/* False: quit. */
static bool
obey(struct screen *s, int key)
{
	size_t page = LINES > 8 ? (size_t)LINES / 2 : 4;

	if (s->typing) {
		type(s, key);
		return true;
	}
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'p':
	case ' ':
		s->paused = !s->paused;
		s->missed = 0;
		break;
	case '/':
	case 'f':
		s->typing = true;
		s->filter.text = NULL;
		*s->typed = '\0';
		s->stale = true;
		break;
	case 'c':
	case 27:
		*s->typed = '\0';
		set_filter(s);
		break;
	case KEY_DOWN:
		s->scroll += s->scroll + 1 < s->count;
		break;
	case KEY_UP:
		s->scroll -= s->scroll > 0;
		break;
	case KEY_NPAGE:
		s->scroll = s->scroll + page < s->count ? s->scroll + page : s->scroll;
		break;
	case KEY_PPAGE:
		s->scroll = s->scroll > page ? s->scroll - page : 0;
		break;
	case KEY_HOME:
		s->scroll = 0;
		break;
	}
	return true;
}

/* ---- the loop */

/* While it is paused nothing is read: the file keeps what comes. But how much that is must be known. */
static bool
take_new(struct screen *s, struct trace_follow *w)
{
	struct str line;
	bool some = false;

	while (trace_follow_next(w, &line)) {
		take(s, line, clock_mono_ms());
		s->missed += s->paused;
		s->scroll += s->paused && s->scroll + 1 < s->count;
		some = true;
	}
	return some;
}

/* When the newest of the lit lines goes out, or a drawing that was put off is due; -1: nothing to wait for. */
static int
next_change_ms(const struct screen *s, bool due)
{
	int64_t now = clock_mono_ms(), soonest = -1;

	if (due)
		return (int)(s->drawn_ms + DRAW_MS > now ? s->drawn_ms + DRAW_MS - now : 0);
	for (size_t i = 0; i < s->count && i < (size_t)LINES && entry_at(s, i)->came_ms; i++) {
		int64_t left = entry_at(s, i)->came_ms + LIT_MS - now;

		if (left >= 0 && (soonest < 0 || left < soonest))
			soonest = left + 10;
	}
	return (int)soonest;
}

static int
sooner(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

static void
watch(struct screen *s, struct trace_follow *w)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = w->notify, .events = POLLIN } };
	bool due = true, go = true;
	int key;

	while (go && !told_to_end) {
		int n;

		if (due && clock_mono_ms() - s->drawn_ms >= DRAW_MS) {
			draw(s);
			due = false;
		}
		n = poll(fds, 2, sooner(next_change_ms(s, due), trace_follow_timeout_ms(w)));
		if (n > 0 && fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return;		/* the terminal is gone */
		while (go && (key = getch()) != ERR) {
			go = obey(s, key);
			s->drawn_ms = 0;	/* a person does not wait */
			due = true;
		}
		trace_follow_notice(w);
		due |= take_new(s, w) || n == 0;
	}
}

static bool
start(bool colour)
{
	struct sigaction act = { .sa_handler = on_signal };
	const char *term = getenv("TERM");

	if (!term || !*term || strcmp(term, "dumb") == 0 || !isatty(STDIN_FILENO) || !newterm(NULL, stdout, stdin))
		return false;
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	set_escdelay(50);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	if (colour && has_colors()) {
		start_color();
		use_default_colors();
		init_pair(PAIR_GOOD, COLOR_GREEN, -1);
		init_pair(PAIR_WARN, COLOR_YELLOW, -1);
		init_pair(PAIR_BAD, COLOR_RED, -1);
	}
	return true;
}

int
screen_run(const struct config *c, const struct trace_filter *filter, size_t window, bool colour)
{
	struct screen s = { .config = c, .filter = *filter, .sets = { .config = c }, .window = window ? window : 1 };
	struct trace_follow w;
	struct trace_back b;

	s.room = s.window > ROWS_KEPT ? s.window : ROWS_KEPT;
	s.ring = calloc(s.room, sizeof(*s.ring));
	if (!s.ring || !start(colour)) {
		free(s.ring);
		return -1;
	}
	trace_back_open(&b, c);
	load(&s, &b);
	trace_follow_open(&w, c, &b);
	trace_back_close(&b);
	s.drawn_ms = clock_mono_ms() - DRAW_MS;
	s.stale = true;
	watch(&s, &w);
	endwin();
	trace_follow_close(&w);
	for (size_t i = 0; i < s.count; i++)
		trace_line_free(&s.ring[(s.next + s.room - 1 - i) % s.room].line);
	free(s.ring);
	tally_free(&s.tally);
	trace_sets_free(&s.sets);
	return 0;
}
