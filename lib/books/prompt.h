/*
 * prompt: what may be told of a request's and an answer's content in the trace. Pure; bodies of many MB
 * cost one pass and no copy.
 */
#ifndef KMI_BOOKS_PROMPT_H
#define KMI_BOOKS_PROMPT_H

#include "base/buf.h"
#include "base/digest.h"

#include <stdint.h>

struct prompt {
	char model[128];			/* "" when the body names none */
	bool stream;
	char session[DIGEST_SHORT_SIZE];	/* hash of prompt_cache_key, else of metadata.user_id; "" = none */
	char hint[64 + 4];	/* last user text: 6 words, 60 characters (not bytes x4: see .c), "..." */
	char head[64 + 4];	/* its first word */
};

/* A body that is not JSON, or not an object, leaves all empty. `hints`: whether hint and head are wanted. */
void prompt_read(struct prompt *p, struct str body, bool hints);

struct prompt_usage {
	int64_t prompt_tokens, completion_tokens, cached_tokens;	/* -1 = not said */
};

/*
 * From the last bytes of an answer (whole, or the end of a stream): the last "usage" object there, in the
 * OpenAI or the Anthropic form. `tail` may begin anywhere.
 */
void prompt_usage_read(struct prompt_usage *u, struct str tail);

#endif
