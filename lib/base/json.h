/*
 * json: checked reading over jsmn, and writing that always escapes.
 *
 * Reading. json_parse() takes RFC 8259 and nothing else: jsmn lets through
 * missing commas, bad numbers and double keys, so every shape is checked
 * here, with the line of the fault (a bare number or word as the whole text
 * is refused too: no document of ours is one). Values are numbers (token indices); -1
 * means "not there", and every getter takes -1 and says "not there" again,
 * so that chains need no checks between:
 *
 *	struct json j;
 *	if (json_parse(&j, text, f) < 0) return -1;
 *	long long n;
 *	if (json_int(&j, json_get(&j, json_get(&j, 0, "usage"), "used"), &n) == 0) ...
 *	json_free(&j);
 *
 * The text is borrowed and must outlive the struct json.
 *
 * Writing. struct json_out keeps the commas; values leave only through it:
 *
 *	struct json_out o = { .to = &b };
 *	json_open(&o, '{');
 *	json_key(&o, "label");  json_put(&o, label);
 *	json_key(&o, "count");  json_put_int(&o, 3);
 *	json_close(&o, '}');
 */
#ifndef KMI_BASE_JSON_H
#define KMI_BASE_JSON_H

#include "base/buf.h"
#include "base/fail.h"

#include <stdint.h>
#include <time.h>

#define JSON_DEPTH_MAX 64

enum json_type {
	JSON_NONE,
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_token;

struct json {
	struct str text;
	struct json_token *tokens;
	int count;
};

int json_parse(struct json *j, struct str text, struct fail *f);
void json_free(struct json *j);

enum json_type json_type(const struct json *j, int v);
int json_get(const struct json *j, int object, const char *key);	/* exact key; escapes in keys are decoded */
int json_at(const struct json *j, int array, int i);
int json_size(const struct json *j, int v);	/* members of an object or array, else 0 */

/*
 * Walks the members in order: for (int v = json_first(j, o); v >= 0; v = json_next(j, v)).
 * In an object v is the VALUE; json_name() gives its key, decoded, into b.
 */
int json_first(const struct json *j, int v);
int json_next(const struct json *j, int v);
int json_name(const struct json *j, int v, struct buf *b);

struct str json_raw(const struct json *j, int v);	/* the value's own bytes; a string's with its quotes */
size_t json_offset(const struct json *j, int v);	/* where json_raw() starts in the text */

/* Each returns 0 and fills *out when the value has that type, else -1. */
int json_str(const struct json *j, int v, struct buf *out);	/* appends, unescaped, to out */
char *json_strdup(const struct json *j, int v);			/* NULL unless a string without NUL; caller frees */
int json_int(const struct json *j, int v, long long *out);	/* whole numbers only */
int json_double(const struct json *j, int v, double *out);
int json_bool(const struct json *j, int v, bool *out);
bool json_is(const struct json *j, int v, const char *text);	/* a string equal to text */

struct json_out {
	struct buf *to;
	uint64_t some;		/* bit d: something was written at depth d, so a comma is due */
	int depth;
	bool after_key;
};

void json_open(struct json_out *o, char bracket);
void json_close(struct json_out *o, char bracket);
void json_key(struct json_out *o, const char *key);
void json_key_str(struct json_out *o, struct str key);
void json_put(struct json_out *o, struct str s);	/* bytes that are not UTF-8 become U+FFFD */
void json_put_cstr(struct json_out *o, const char *s);	/* NULL writes null */
void json_put_int(struct json_out *o, long long v);
void json_put_double(struct json_out *o, double v, int decimals);
void json_put_bool(struct json_out *o, bool v);
void json_put_null(struct json_out *o);
void json_put_time(struct json_out *o, time_t t);	/* RFC 3339 in UTC; 0 writes null */
void json_put_raw(struct json_out *o, struct str json);	/* text that is JSON already */
/* The quoted, escaped form alone. */
void json_quote(struct buf *b, struct str s);
/*
 * The other way: decodes the inside of a string that was found without json_parse(). A bad or cut
 * escape never reads past the end; bytes that are not UTF-8 come through as they are.
 */
void json_unescape(struct buf *b, struct str raw);

#endif
