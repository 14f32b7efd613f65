/*
 * answer: what an answer of the upstream says of itself, whatever shape it comes in. Pure.
 *
 * Errors come as {"error": {"message", "type", "code"}}, {"error": "text"}, {"message"}, {"code", "msg"},
 * Anthropic's {"type": "error", "error": {...}}, as the first event of a 200 stream, as plain text, as a
 * proxy's HTML page, or cut in the middle. All give the same three things: type, code, message; and sometimes
 * the time at which trying again makes sense.
 */
#ifndef KMI_KEYS_ANSWER_H
#define KMI_KEYS_ANSWER_H

#include "base/buf.h"

#include <time.h>

#define ANSWER_BODY_MAX 65536		/* what lies beyond is not looked at */
#define ANSWER_MESSAGE_MAX 4096
#define ANSWER_EVIDENCE_SIZE 200

struct answer_error {
	bool found;		/* there is an error in it at all */
	struct buf type, code;	/* empty when not said */
	struct buf message;	/* at most ANSWER_MESSAGE_MAX bytes, as sent: any bytes */
	time_t reset;		/* a time in the future that the body names, 0 = none */
};

/* An answer with a status of 400 or more, or none: the whole body is the error. */
void answer_read(struct answer_error *e, struct str body, time_t now);
/* The beginning of a 2xx answer: an error only when it is an event stream whose first event is one. */
void answer_read_stream(struct answer_error *e, struct str body, time_t now);
/* Whether an event with data has come whole (or this is no event stream at all, so that none will). */
bool answer_has_event(struct str body);
void answer_free(struct answer_error *e);

/*
 * When to come back, as a header value says it: seconds from now (a fraction counts up), a Unix time in
 * seconds or milliseconds, an HTTP date, RFC 3339. 0 is "now", taken as one second from now. -1 for anything
 * else: negative, long past, over a year away, junk.
 */
int answer_hint(struct str value, time_t now, time_t *out);
int answer_hint_ms(struct str value, time_t now, time_t *out);

/*
 * Text fit for a file and a terminal: one line of UTF-8, cut at a character, without control characters, and with
 * whatever looks like a credential replaced by ***, because providers quote the key they refuse.
 */
void answer_clean(struct str text, char *out, size_t size);

#endif
