#include "keys/answer.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"

#include <string.h>

#define YEAR_SECONDS (366LL * 86400)
#define SKEW_SECONDS 60		/* a time that has just passed here may not have passed there */
#define TYPE_MAX 128
#define SEARCH_DEPTH 4

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- times */

/* Digits with an optional fraction off the front of *s, in thousandths; -1 when there is none or it is absurd. */
static int
take_number(struct str *s, long long *milli)
{
	size_t i = 0;
	long long v = 0, unit = 100;

	for (; i < s->n && is_digit(s->p[i]); i++) {
		if (i == 15)
			return -1;
		v = v * 10 + (s->p[i] - '0');
	}
	if (i == 0)
		return -1;
	v *= 1000;
	if (i + 1 < s->n && s->p[i] == '.' && is_digit(s->p[i + 1]))
		for (i++; i < s->n && is_digit(s->p[i]); i++, unit /= 10)
			v += (s->p[i] - '0') * unit;
	*s = str_sub(*s, i, s->n);
	*milli = v;
	return 0;
}

static int
soon(long long when, time_t now, time_t *out)
{
	if (when < (long long)now - SKEW_SECONDS || when > (long long)now + YEAR_SECONDS)
		return -1;
	*out = when <= (long long)now ? now + 1 : (time_t)when;
	return 0;
}

static int
soon_in(long long milli, time_t now, time_t *out)
{
	if (milli > YEAR_SECONDS * 1000)
		return -1;
	return soon((long long)now + (milli + 999) / 1000, now, out);
}

int
answer_hint(struct str value, time_t now, time_t *out)
{
	struct str rest = str_trim(value);
	long long milli;
	time_t when;

	if (clock_parse_http(rest, &when) == 0 || clock_parse(rest, &when) == 0)
		return soon(when, now, out);
	if (take_number(&rest, &milli) < 0 || rest.n)
		return -1;
	if (milli / 1000 <= YEAR_SECONDS)
		return soon_in(milli, now, out);
	/* No wait is that long: it is a point in time, and milliseconds since 1970 have three digits more. */
	return soon(milli / 1000 >= 100000000000LL ? milli / 1000000 : milli / 1000, now, out);
}

int
answer_hint_ms(struct str value, time_t now, time_t *out)
{
	struct str rest = str_trim(value);
	long long milli;

	if (take_number(&rest, &milli) < 0 || rest.n)
		return -1;
	return soon_in((milli + 999) / 1000, now, out);
}

/* The unit that a word begins with, in milliseconds; 0 when it is none that we know. */
static long long
unit_ms(struct str word)
{
	static const struct {
		const char *name;
		long long ms;
	} units[] = {
		{ "ms", 1 }, { "milli", 1 }, { "month", 0 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { "秒", 1000 }, { "分", 60000 }, { "小时", 3600000 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct str name = str_from(units[i].name);

		if (str_caseeq(str_sub(word, 0, name.n), name))
			return units[i].ms;
	}
	return word.n && is_letter(word.p[0]) ? 0 : 1000;
}

static int
take_duration(struct str s, time_t now, time_t *out)
{
	long long milli, unit;

	if (take_number(&s, &milli) < 0 || milli > YEAR_SECONDS * 1000)
		return -1;
	while (s.n && s.p[0] == ' ')
		s = str_sub(s, 1, s.n);
	unit = unit_ms(s);
	if (unit == 0 || milli / 1000 > YEAR_SECONDS * 1000 / unit)
		return -1;
	return soon_in(milli * unit / 1000, now, out);
}

/* "2026-01-09T15:23:13.7Z", the same with a space, a full stop behind it. */
static int
take_date(struct str s, time_t now, time_t *out)
{
	size_t n = 0;
	time_t when;

	while (n < s.n && (is_digit(s.p[n]) || strchr("TtZz:.+-", s.p[n])) && s.p[n])
		n++;
	if (n == 10 && n + 1 < s.n && s.p[n] == ' ' && is_digit(s.p[n + 1]))
		for (n++; n < s.n && (is_digit(s.p[n]) || strchr("Zz:.+", s.p[n])) && s.p[n];)
			n++;
	if (n && s.p[n - 1] == '.')
		n--;
	if (clock_parse(str_sub(s, 0, n), &when) < 0)
		return -1;
	return soon(when, now, out);
}

static int
message_hint(struct str message, time_t now, time_t *out)
{
	static const char *const before[] = {
		"try again after ", "try again in ", "try again at ", "retry after ", "retry in ", "reset in ",
		"resets in ", "reset after ", "reset at ", "resets at ", "refreshed at ", "refreshed in ", "请在 ", "请在",
	};

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		struct str phrase = str_from(before[i]);
		long at = str_casefind(message, phrase);
		struct str rest;

		if (at < 0)
			continue;
		rest = str_sub(message, (size_t)at + phrase.n, message.n);
		if (take_date(rest, now, out) == 0 || take_duration(rest, now, out) == 0)
			return 0;
	}
	return -1;
}

static int
member_hint(const struct json *j, int object, time_t now, time_t *out)
{
	static const char *const names[] = {
		"reset_at", "resetAt", "resets_at", "reset_time", "resetTime", "reset_in", "resetIn", "reset_in_seconds",
		"retry_after", "retryAfter", "retry_after_seconds",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int v = json_get(j, object, names[i]);
		struct buf text = BUF(64);
		int found = -1;

		if (json_type(j, v) == JSON_NUMBER)
			found = answer_hint(json_raw(j, v), now, out);
		else if (json_str(j, v, &text) == 0 && !buf_bad(&text))
			found = answer_hint(buf_view(&text), now, out);
		buf_free(&text);
		if (found == 0)
			return 0;
	}
	return -1;
}

/* ---- the error in a body */

static void
keep(struct buf *b, struct str s)
{
	if (s.n > b->max) {
		s.n = b->max;
		/* Half a credential would pass for a word. */
		while (s.n && (is_digit(s.p[s.n - 1]) || is_letter(s.p[s.n - 1])))
			s.n--;
	}
	buf_reset(b);
	buf_str(b, s);
}

static void
keep_value(const struct json *j, int v, struct buf *out)
{
	struct buf text = BUF(ANSWER_BODY_MAX);

	if (json_type(j, v) == JSON_NUMBER)
		keep(out, json_raw(j, v));
	else if (json_str(j, v, &text) == 0 && !buf_bad(&text))
		keep(out, buf_view(&text));
	buf_free(&text);
}

/* The text that is meant for people: the first string under a name that errors use, however deep it is wrapped. */
static int
find_message(const struct json *j, int v, int depth)
{
	static const char *const names[] = {
		"error", "errors", "message", "msg", "detail", "error_message", "error_msg", "error_description",
		"status_msg", "base_resp", "data",
	};

	if (json_type(j, v) == JSON_STRING)
		return v;
	if (depth == 0)
		return -1;
	if (json_type(j, v) == JSON_ARRAY)
		return find_message(j, json_at(j, v, 0), depth - 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int found = find_message(j, json_get(j, v, names[i]), depth - 1);

		if (found >= 0)
			return found;
	}
	return -1;
}

static void
read_json(struct answer_error *e, const struct json *j, time_t now)
{
	int error = json_get(j, 0, "error");
	int inner = json_type(j, error) == JSON_OBJECT ? error : 0;

	keep_value(j, json_get(j, inner, "type"), &e->type);
	keep_value(j, json_get(j, inner, "code"), &e->code);
	keep_value(j, find_message(j, 0, SEARCH_DEPTH), &e->message);
	if (member_hint(j, inner, now, &e->reset) < 0 && member_hint(j, 0, now, &e->reset) < 0)
		(void)member_hint(j, json_get(j, inner, "details"), now, &e->reset);
}

/* A page says little, but what it says stands between the tags. */
static void
keep_page(struct answer_error *e, struct str page)
{
	struct buf text = BUF(ANSWER_BODY_MAX);

	while (page.n) {
		buf_str(&text, str_trim(str_cut(&page, '<')));
		buf_putc(&text, ' ');
		str_cut(&page, '>');
	}
	keep(&e->message, str_trim(buf_view(&text)));
	buf_free(&text);
}

static void
error_init(struct answer_error *e)
{
	*e = (struct answer_error){ .type = BUF(TYPE_MAX), .code = BUF(TYPE_MAX), .message = BUF(ANSWER_MESSAGE_MAX) };
}

void
answer_read(struct answer_error *e, struct str body, time_t now)
{
	struct json j = { 0 };

	error_init(e);
	e->found = true;
	body = str_trim(str_sub(body, 0, ANSWER_BODY_MAX));
	if (body.n && body.p[0] == '{' && json_parse(&j, body, NULL) == 0)
		read_json(e, &j, now);
	else if (body.n && body.p[0] == '<')
		keep_page(e, body);
	if (e->message.n == 0)
		keep(&e->message, body);
	if (!e->reset && message_hint(buf_view(&e->message), now, &e->reset) < 0)
		e->reset = 0;
	json_free(&j);
}

/* The first event that carries data; *is_error when the stream itself calls it one. False: this is no event stream. */
static bool
first_event(struct str body, struct buf *data, bool *is_error)
{
	*is_error = false;
	while (body.n) {
		struct str line = str_trim(str_cut(&body, '\n')), name;

		if (line.n == 0) {
			if (data->n)
				break;
			*is_error = false;	/* an event without data is none */
			continue;
		}
		name = str_trim(str_cut(&line, ':'));
		line = str_trim(line);
		if (str_is(name, "data")) {
			buf_str(data, line);
			buf_putc(data, '\n');
		} else if (str_is(name, "event")) {
			*is_error = str_is(line, "error");
		} else if (name.n && !str_is(name, "id") && !str_is(name, "retry")) {
			return false;		/* a line without a name is a comment; any other is no event stream's */
		}
	}
	return data->n > 0;
}

bool
answer_has_event(struct str body)
{
	bool data = false;

	while (memchr(body.p, '\n', body.n)) {
		struct str line = str_trim(str_cut(&body, '\n')), name;

		if (line.n == 0 && data)
			return true;
		name = str_trim(str_cut(&line, ':'));
		if (str_is(name, "data"))
			data = true;
		else if (name.n && !str_is(name, "event") && !str_is(name, "id") && !str_is(name, "retry"))
			return true;
	}
	return false;
}

void
answer_read_stream(struct answer_error *e, struct str body, time_t now)
{
	struct buf data = BUF(2 * ANSWER_BODY_MAX);
	struct json j = { 0 };
	bool is_error = false;

	error_init(e);
	body = str_sub(body, 0, ANSWER_BODY_MAX);
	if (first_event(body, &data, &is_error) && !buf_bad(&data)) {
		if (!is_error && str_find(buf_view(&data), STR("error")) >= 0 &&
		    json_parse(&j, buf_view(&data), NULL) == 0) {
			enum json_type t = json_type(&j, json_get(&j, 0, "error"));

			is_error = t == JSON_OBJECT || t == JSON_STRING;
		}
		if (is_error)
			answer_read(e, buf_view(&data), now);
	}
	json_free(&j);
	buf_free(&data);
}

void
answer_free(struct answer_error *e)
{
	buf_free(&e->type);
	buf_free(&e->code);
	buf_free(&e->message);
}

/* ---- text fit to be kept */

static bool
is_token_byte(char c)
{
	return is_digit(c) || is_letter(c) || c == '_' || c == '-';
}

static bool
is_secret(struct str token)
{
	bool digit = false, letter = false;

	while (token.n && !is_digit(token.p[0]) && !is_letter(token.p[0]))
		token = str_sub(token, 1, token.n);
	if (token.n > 3 && str_caseis(str_sub(token, 0, 3), "sk-"))
		return true;
	for (size_t i = 0; i < token.n; i++) {
		digit |= is_digit(token.p[i]);
		letter |= is_letter(token.p[i]);
	}
	return token.n >= 20 && digit && letter;
}

/* What is there to deceive the eye or the terminal: other control characters, invisible ones, turned writing. */
static bool
is_hidden(unsigned point)
{
	return (point >= 0x80 && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
	    (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff;
}

/* How many bytes at the front are one character worth showing; 0 when the first byte is not. */
static size_t
visible(struct str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	unsigned point = n == 1 ? c : c & (0x7fu >> n);

	if (c < 0x20 || c == 0x7f || s.n < n || !str_utf8(str_sub(s, 0, n)))
		return 0;
	for (size_t i = 1; i < n; i++)
		point = point << 6 | ((unsigned char)s.p[i] & 0x3f);
	return n > 1 && is_hidden(point) ? 0 : n;
}

void
answer_clean(struct str text, char *out, size_t size)
{
	size_t at = 0;
	bool bearer = false, hiding = false;	/* after "Bearer", up to the next blank */

	while (text.n) {
		size_t n = 0, take;
		struct str word;

		while (n < text.n && is_token_byte(text.p[n]))
			n++;
		word = str_sub(text, 0, n);
		take = n ? n : visible(text);
		if (n) {
			hiding = bearer;
			bearer |= str_caseis(word, "bearer");
			if (hiding || is_secret(word))
				word = STR("***");
		} else if (take && text.p[0] != ' ') {
			word = str_sub(text, 0, take);
		} else {
			/* Blanks, control characters and bytes that are no text: one blank for any number. */
			take = take ? take : 1;
			bearer &= !hiding;
			hiding = false;
			word = at && out[at - 1] != ' ' ? STR(" ") : STR("");
		}
		if (at + word.n >= size) {
			if (n == 0)
				break;
			word.n = size - 1 - at;
		}
		memcpy(out + at, word.p, word.n);
		at += word.n;
		text = str_sub(text, take, text.n);
		if (at + 1 >= size)
			break;
	}
	while (at && out[at - 1] == ' ')
		at--;
	out[at] = '\0';
	secret_hide(out, at);	/* what does not look like one, but is */
}
