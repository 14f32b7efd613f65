/*
 * prompt: what may be told of a request's and an answer's content in the trace. Pure; bodies of many MB
 * cost one pass and no copy.
 */
#ifndef KMI_BOOKS_PROMPT_H
#define KMI_BOOKS_PROMPT_H

#include "base/buf.h"
#include "base/digest.h"

#include <stdint.h>

#define PROMPT_WORDS_MAX 6
#define PROMPT_CHARACTERS_MAX 60	/* the "..." of a cut hint counts too */
#define PROMPT_HINT_SIZE (PROMPT_CHARACTERS_MAX * 4 + 1)

struct prompt {
	char model[128];			/* "" when the body names none; cut when longer */
	bool stream;
	char session[DIGEST_SHORT_SIZE];	/* hash of prompt_cache_key, else of metadata.user_id; "" = none */
	char opening[DIGEST_SHORT_SIZE];	/* with `hints`: of the messages up to the first user text, as they stand; "" = none */
	char hint[PROMPT_HINT_SIZE];		/* last user text: 6 words, 60 characters, "..." when cut */
	char head[PROMPT_HINT_SIZE];		/* its first word, as much of it */
};

/*
 * Chat completions, Anthropic messages and the Responses API. Texts come out as valid UTF-8 on one line,
 * with "***" in place of what looks like a key. A body that is not JSON, or not an object, leaves all
 * empty. (What stands inside strings that are not kept is not checked: the upstream does that.)
 * `hints`: whether hint and head are wanted.
 */
void prompt_read(struct prompt *p, struct str body, bool hints);

struct prompt_usage {
	int64_t prompt_tokens, completion_tokens, cached_tokens;	/* -1 = not said */
};

/*
 * From the last bytes of an answer (whole, or the end of a stream): what its "usage" objects say, the last
 * word on each number, in the OpenAI or the Anthropic form. `tail` may begin anywhere. All -1 when none is there.
 */
void prompt_usage_read(struct prompt_usage *u, struct str tail);

#endif
