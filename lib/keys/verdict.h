/*
 * verdict: what an answer means for the key that got it. Pure: no I/O, time is a parameter.
 *
 * The status alone does not tell, the body does. Rules are data, tried in order, first match wins:
 * the user's (verdicts.conf in the state folder) before the built-in ones, which are
 * written in the same language. One rule a line:
 *
 *	# status   type or code            message contains (any of)      verdict
 *	402        *                       *                              payment
 *	403        access_terminated_error "usage limit|billing cycle"    quota
 *	400|403    *                       "<plan>|arrears|欠费"          payment
 *	5xx        *                       *                              server
 *
 * Each field may list alternatives with |. Status: a number, a class (4xx) or *. Type: compared whole with
 * the error's type and with its code. Message: part of it, ASCII letters in either case, other bytes as they
 * are; `<` and `>` want the edge of a word ("<plan>" is not in "explanation", "planned" or "create_plan").
 * Web addresses in a message do not count, nor does, at status 400, what it puts in quotes: that is the
 * client's own text. `#` begins a comment; there are no escapes.
 */
#ifndef KMI_KEYS_VERDICT_H
#define KMI_KEYS_VERDICT_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"

#include <time.h>

enum verdict {
	VERDICT_OK,
	VERDICT_REQUEST,
	VERDICT_AUTH,
	VERDICT_PAYMENT,
	VERDICT_QUOTA,
	VERDICT_CONCURRENCY,
	VERDICT_RATE,
	VERDICT_OVERLOAD,
	VERDICT_FORBIDDEN,
	VERDICT_SERVER,
};

const char *verdict_name(enum verdict v);
int verdict_from_name(struct str name, enum verdict *out);

/* Where the end of a lock was taken from. Only a guess may be probed before it ends. */
enum lock_source {
	SOURCE_NONE,
	SOURCE_STATED,	/* Retry-After, X-RateLimit-Reset, a reset time in the body */
	SOURCE_KNOWN,	/* the reset time that health had seen */
	SOURCE_GUESS,	/* our own cooldown or block time */
};

const char *lock_source_name(enum lock_source s);
int lock_source_from_name(struct str name, enum lock_source *out);

#define TIME_NEVER ((time_t)253402300799LL)	/* 9999-12-31T23:59:59Z: until somebody or something ends it */

/* Why there is no answer to judge. */
enum trouble { TROUBLE_NONE, TROUBLE_CONNECT, TROUBLE_TLS, TROUBLE_TIMEOUT, TROUBLE_CUT };

struct answer {
	int status;			/* 0 when there was none */
	enum trouble trouble;
	struct str body;		/* decoded; may be only its beginning. Of a 2xx: looked at for an error event only */
	struct str retry_after;		/* header values, empty when absent */
	struct str retry_after_ms;
	struct str ratelimit_reset;	/* X-RateLimit-Reset: seconds from now, a Unix time (s or ms), or a date */
};

struct verdict_rules;

#define VERDICT_RULES_MAX 1000

/*
 * `user` is the text of verdicts.conf or empty. A line that cannot be read is left out, and the first such is
 * named in *f: returns -1, rules still usable. Out of memory *r is NULL, which verdict_judge() takes: it then
 * goes by the class of the status alone.
 */
int verdict_rules_make(struct verdict_rules **r, struct str user, struct fail *f);
void verdict_rules_free(struct verdict_rules *r);

struct judgement {
	enum verdict verdict;
	int status;		/* as answered; 0 when there was no answer */
	bool retry_other;	/* worth another account */
	bool retry_same;	/* worth the same key again, after a pause (overload, server) */
	bool whole_account;	/* the lock is the account's, not this key's alone */
	time_t until;		/* end of the lock; 0 = none */
	enum lock_source source;
	char reason[32];	/* a word for people and files: "rate_limit", "payment_required", "auth", ... */
	char evidence[200];	/* what the answer said: status, type, start of message; UTF-8, one line, no secret */
	char error_code[40];	/* for the trace: the status in digits, or a word such as payment_required, upstream_error, timeout */
};

/*
 * `known_reset`: when health says the quota comes back, 0 = not known. The
 * rest after a server fault is not decided here (it depends on how other keys fare): see lock_rest().
 */
void verdict_judge(const struct verdict_rules *r, const struct answer *a, const struct config *c, time_t now,
    time_t known_reset, struct judgement *out);

#endif
