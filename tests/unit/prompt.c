#include "books/prompt.h"

#include "check.h"

#include <stdlib.h>
#include <time.h>

#define CPU_MS 5000	/* linear time is far below it, also under a sanitizer, and any other far above */

/* Of this process, whatever else the machine does. */
static long
cpu_ms(void)
{
	return (long)(clock() * 1000.0 / CLOCKS_PER_SEC);
}

static struct prompt
reading(const char *body)
{
	struct prompt p;

	prompt_read(&p, str_from(body), true);
	return p;
}

#define HINT(body, wanted) CHECK_STR(reading(body).hint, wanted)
#define USER(text) "{\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]}"

static void
what_is_found(void)
{
	char hash[DIGEST_SHORT_SIZE];
	struct prompt p = reading(" {\"model\": \"kimi-k2\", \"stream\" : true, \"prompt_cache_key\": \"s-1\",\n"
	    "\"tools\": [{\"a\": [[], {}, -1.5e3, null, {\"model\": \"no\", \"stream\": false}]}],"
	    "\"metadata\": {\"user_id\": \"u\"}, \"messages\": ["
	    "{\"role\": \"system\", \"content\": \"you are\"},"
	    "{\"role\": \"user\", \"content\": \"first\"},"
	    "{\"role\": \"assistant\", \"content\": null},"
	    "{\"content\": \"last one\", \"role\": \"user\"},"
	    "{\"role\": \"tool\", \"content\": \"output\"}]}\r\n");

	digest_short(STR("s-1"), hash);
	CHECK_STR(p.model, "kimi-k2");
	CHECK(p.stream);
	CHECK_STR(p.session, hash);
	CHECK_STR(p.hint, "last one");
	CHECK_STR(p.head, "last");
	prompt_read(&p, STR(USER("secret")), false);
	CHECK_STR(p.hint, "");
	CHECK_STR(p.head, "");

	p = reading("{\"stream\": false, \"metadata\": {\"a\": 1, \"user_id\": \"s\\u002d1\"}}");
	CHECK(!p.stream);
	CHECK_STR(p.session, hash);	/* decoded first */
	p = reading("{\"prompt_cache_key\": \"\", \"metadata\": {\"user_id\": \"s-1\"}}");
	CHECK_STR(p.session, hash);
	p = reading("{\"prompt_cache_key\": 5, \"metadata\": 7, \"model\": [\"x\"], \"stream\": \"true\", \"messages\": {}}");
	CHECK(!p.session[0] && !p.model[0] && !p.stream && !p.hint[0]);
	p = reading("{\"model\": \"a\", \"stream\": true, \"model\": \"b\", \"stream\": null}");
	CHECK_STR(p.model, "b");
	CHECK(!p.stream);
	p = reading("{\"model\": \"a\\nb\\u0000c\"}");
	CHECK_STR(p.model, "a b c");
	p = reading("{}");
	CHECK(!p.model[0] && !p.stream && !p.session[0] && !p.hint[0] && !p.head[0]);
}

static void
forms_of_content(void)
{
	HINT("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}},"
	    "{\"text\":\"look here\",\"type\":\"text\"},{\"type\":\"text\",\"text\":\"and there\"}]}]}", "look here and there");
	/* Anthropic: what tools gave back comes as a user's message without text. */
	HINT("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"do it\"}]},"
	    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"input\":{\"text\":\"no\"}}]},"
	    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"out\"}]}]}]}",
	    "do it");
	HINT("{\"input\": \"just a string\"}", "just a string");
	HINT("{\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi there\"}]},"
	    "{\"type\":\"function_call_output\",\"output\":\"no\"}]}", "hi there");
	HINT("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", "");
	HINT("{\"messages\":[1,\"x\",null,[{}],{\"role\":\"user\",\"content\":[1,\"y\",[],{\"type\":5,\"text\":\"z\"}]}]}", "");
}

static void
six_words_and_sixty_characters(void)
{
	struct prompt p;
	char body[2000];

	HINT(USER("one two three four five six"), "one two three four five six");
	HINT(USER("one two three four five six "), "one two three four five six");
	HINT(USER("one two three four five six seven"), "one two three four five six...");
	HINT(USER("  \\n\\t a\\r\\n\\u00a0\\u3000 b\\u0000c\\u001bd \\u2028"), "a b c d");
	/* 60 stay, 61 do not */
	HINT(USER("012345678/012345678/012345678/012345678/012345678/012345678/"),
	    "012345678/012345678/012345678/012345678/012345678/012345678/");
	HINT(USER("012345678/012345678/012345678/012345678/012345678/012345678/1"),
	    "012345678/012345678/012345678/012345678/012345678/0123456...");
	HINT(USER("012345678/012345678/012345678/012345678/012345678/012345 x yy"),
	    "012345678/012345678/012345678/012345678/012345678/012345...");
	p = reading(USER("012345678/012345678/012345678/012345678/012345678/012345678/1 two"));
	CHECK_STR(p.head, "012345678/012345678/012345678/012345678/012345678/0123456...");
	/* Characters, not bytes; never half of one. */
	snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"");
	for (int i = 0; i < 70; i++)
		strcat(body, i % 2 ? "\xf0\x9f\x98\x80" : "\\ud83d\\ude00");
	strcat(body, "\"}]}");
	p = reading(body);
	CHECK_INT(strlen(p.hint), 57 * 4 + 3);
	CHECK(str_utf8(str_from(p.hint)));
	CHECK_STR(p.head, p.hint);
	HINT(USER("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xe4\xbd\xa0\xe5\xa5\xbd"),
	    "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xe4\xbd\xa0\xe5\xa5\xbd");
	HINT(USER("a\xff\xc3 \\ud800 \\udc00\\ud83d b"), "a\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd b");
	/* Marks that turn the direction of what follows on a terminal. */
	HINT(USER("a\\u202eb\\u2066c\\ufeff\\u009bd"), "a b c d");
}

static void
no_keys(void)
{
	static const char *const keys[] = { "sk-fake-abcdefghijklmnop", "sk-fake1", "SK-FAKE-11", "sk_live_fakefake",
		"ghp_fakefakefake", "github_pat_fakefake", "AKIAFAKEFAKEFAKE", "xoxb-fake-fake", "eyJfakefakefake",
		"0123456789abcdef0123456789abcdef", "fakefakefake1fakefakefake",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz" };
	char body[4096], wanted[200];
	struct prompt p;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		snprintf(body, sizeof(body), USER("KEY='%s', %s.x"), keys[i], keys[i]);
		p = reading(body);
		if (!strstr(keys[i], "eyJ"))
			CHECK_STR(p.hint, "KEY='***', ***.x");
		CHECK(!strstr(p.hint, keys[i]));
		CHECK_STR(p.head, "KEY='***',");
		/* Cut by the sixty characters. */
		snprintf(body, sizeof(body), USER("%.*s %s"), 55,
		    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/", keys[i]);
		p = reading(body);
		snprintf(wanted, sizeof(wanted), " %.3s", keys[i]);
		CHECK(!strstr(p.hint, wanted));
	}
	/* Cut by what is looked at of a long text: many keys shrink to little, then the beginning of one. */
	for (size_t pad = 0; pad < 60; pad++) {
		struct buf b = BUF(20000);

		buf_puts(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
		buf_fill(&b, 'x', 900 + pad);
		buf_puts(&b, ",");
		for (int i = 0; i < 300; i++)
			buf_puts(&b, ".sk-fake-abcdefghijklmnop");
		buf_puts(&b, "\"}]}");
		prompt_read(&p, buf_view(&b), true);
		if (strstr(p.hint, "s") || strstr(p.hint, "fake"))
			CHECK_STR(p.hint, "no part of a key");
		buf_free(&b);
	}
	HINT(USER("the task-list and risk-free test_prompt_reading"), "the task-list and risk-free test_prompt_reading");
}

/* Whatever is wrong, nothing is half told. */
static void
bad_bodies(void)
{
	static const char body[] = "{\"model\": \"m\", \"stream\": true, \"prompt_cache_key\": \"k\", \"n\": [1, {\"x\": null}],"
	    " \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a b\\\"\"}]}]}";
	static const char *const bad[] = { "", " ", "[]", "\"x\"", "null", "model=x", "{\"model\":\"m\"}}", "{\"model\":\"m\"} x",
		"{\"model\":\"m\",}", "{,\"model\":\"m\"}", "{\"model\" \"m\"}", "{\"model\":\"m\" \"x\":1}", "{\"model\":\"m\",\"x\":tru}",
		"{\"model\":\"m\",\"x\":[1,]}", "{\"model\":\"m\",\"x\":[1 2]}", "{\"model\":\"m\",\"x\":[}", "{\"model\":\"m\",\"x\":{]}",
		"{\"model\":\"m\",\"x\":{1:2}}", "{\"model\":\"m\",\"x\":}", "{\"model\":\"m\",x:1}", "{\"model\":\"m\",\"x\":[,1]}",
		"{\"model\":\"m\",\"x\":+1}", "{\"model\":\"m\",\"x\":{\"a\":1]}", "{\"model\":\"m\",\"stream\":truth}",
		"{\"model\":\"m\",\"x\":\"\\\"}", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"]}" };
	struct prompt empty, p;

	memset(&empty, 0, sizeof(empty));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		p = reading(bad[i]);
		CHECK_NAMED(!p.model[0] && !p.stream && !p.session[0] && !p.hint[0] && !p.head[0], bad[i]);
	}
	for (size_t n = 0; n < sizeof(body) - 1; n++) {
		char *exact = malloc(n ? n : 1);	/* so that a sanitizer sees a step too far */

		memcpy(exact, body, n);
		prompt_read(&p, (struct str){ exact, n }, true);
		if (p.model[0] || p.stream || p.session[0] || p.hint[0])
			CHECK_NAMED(0, "something was told of a body that is cut");
		free(exact);
	}
	CHECK_STR(reading(body).hint, "a b\"");
	prompt_read(&p, (struct str){ NULL, 0 }, true);
	CHECK(!p.model[0]);
	prompt_read(&p, (struct str){ "{\"model\":\"m\"}\0", 14 }, true);
	CHECK(!p.model[0]);
}

static void
deep_and_large(void)
{
	struct buf b = BUF(80 << 20);
	struct prompt p;
	long start;

	for (int depth = 900; depth < 100000; depth = depth * 10) {
		buf_reset(&b);
		buf_puts(&b, "{\"x\":");
		buf_fill(&b, '[', (size_t)depth);
		buf_fill(&b, ']', (size_t)depth);
		buf_puts(&b, ",\"model\":\"m\"}");
		prompt_read(&p, buf_view(&b), true);
		CHECK_STR(p.model, depth == 900 ? "m" : "");
	}
	/* Quotes and backslashes without end must not make it slower than linear. */
	for (int kind = 0; kind < 3; kind++) {
		buf_reset(&b);
		buf_puts(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"hello ");
		for (int i = 0; i < 8 << 20; i++)
			buf_puts(&b, kind == 0 ? "\\\"" : kind == 1 ? "\\\\" : "xy");
		buf_puts(&b, "\"}], \"model\": \"m\"}");
		start = cpu_ms();
		prompt_read(&p, buf_view(&b), true);
		CHECK_STR(p.model, "m");
		CHECK_STR(p.head, "hello");
		printf("# %zu MB in %ld ms\n", b.n >> 20, cpu_ms() - start);
		CHECK(cpu_ms() - start < CPU_MS);
	}
	buf_free(&b);
}

static struct prompt_usage
usage(const char *tail)
{
	struct prompt_usage u;

	prompt_usage_read(&u, str_from(tail));
	return u;
}

#define USAGE(tail, p, c, k)                                                        \
	do {                                                                        \
		struct prompt_usage u_ = usage(tail);                               \
		CHECK_INT(u_.prompt_tokens, p);                                     \
		CHECK_INT(u_.completion_tokens, c);                                 \
		CHECK_INT(u_.cached_tokens, k);                                     \
	} while (0)

static void
usages(void)
{
	USAGE("", -1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"cached_tokens\":4}}", 10, 5, 4);
	USAGE("\"usage\" : { \"prompt_tokens\" : 10 , \"prompt_tokens_details\" : {\"x\":1,\"cached_tokens\":3}, "
	    "\"completion_tokens_details\":{\"reasoning_tokens\":9}, \"completion_tokens\":0}", 10, 0, 3);
	/* A stream: null in all but the last piece, [DONE] behind it. */
	USAGE("ta\":\"x\"}}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8}}\n\n"
	    "data: [DONE]\n\n", 7, 8, -1);
	USAGE("data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{\"usage\":"
	    "{\"prompt_tokens\":7,\"completion_tokens\":2}}]}\n\ndata: {\"usage\":null}\n\n", 7, 2, -1);
	/* Anthropic: the two ends of the stream together. */
	USAGE("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,"
	    "\"cache_read_input_tokens\":20,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\","
	    "\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n", 25, 15, 20);
	USAGE("{\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":9,\"input_tokens_details\":"
	    "{\"cached_tokens\":2},\"output_tokens\":3}}}", 9, 3, 2);
	/* Cut at its beginning, in the middle of what we look for, or at its end. */
	USAGE("_tokens\":10,\"completion_tokens\":5}}", -1, -1, -1);
	USAGE("usage\":{\"prompt_tokens\":10}}", -1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5", -1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":1}} {\"usage\":{\"prompt_tokens\":10,\"comp", 1, -1, -1);
	/* A text that speaks of usage is not one. */
	USAGE("{\"content\":\"\\\"usage\\\": {\\\"prompt_tokens\\\": 66}\",\"usage\":{\"prompt_tokens\":1}}", 1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":1},\"content\":\"\\\"usage\\\": {\\\"prompt_tokens\\\": 66}\"}", 1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":1},\"x\":\"usage\",\"content\":\"\\\\\\\"usage\\\\\\\":{}\"}", 1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":1},\"text\":\"usage\\\":{\"}", 1, -1, -1);
	/* Nonsense in it. */
	USAGE("{\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":\"9\",\"cached_tokens\":1.5}}", -1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":null,\"cached_tokens\":{}}}", -1, -1, -1);
	USAGE("{\"usage\":[1],\"a\":{\"usage\":7}}", -1, -1, -1);
	USAGE("{\"usage\":{\"prompt_tokens_details\":null,\"prompt_tokens\":3,\"x\":[{\"usage\":{\"prompt_tokens\":9}}]}}", 3, -1, -1);
}

static void
usage_in_bounded_time(void)
{
	struct buf b = BUF(4 << 20);
	struct prompt_usage u;
	long start = cpu_ms();

	while (b.n < 1 << 20)
		buf_puts(&b, "{\"usage\":");
	prompt_usage_read(&u, buf_view(&b));
	buf_reset(&b);
	while (b.n < 1 << 20)
		buf_puts(&b, "{\"usage\":{\"a\":[{\"b\":1},");
	prompt_usage_read(&u, buf_view(&b));
	CHECK_INT(u.prompt_tokens, -1);
	buf_reset(&b);
	while (b.n < 1 << 20)
		buf_puts(&b, "{\"usage\":{\"prompt_tokens\":2,\"a\":[{\"usage\":{}},{\"usage\":{}}");
	prompt_usage_read(&u, buf_view(&b));
	CHECK_INT(u.prompt_tokens, -1);
	printf("# %ld ms\n", cpu_ms() - start);
	CHECK(cpu_ms() - start < CPU_MS);
	buf_free(&b);
}

/* Two bodies are of one conversation when they begin alike, whatever came since. */
static bool
same_opening(const char *one, const char *other)
{
	struct prompt a, b;

	prompt_read(&a, str_from(one), true);
	prompt_read(&b, str_from(other), true);
	return a.opening[0] && strcmp(a.opening, b.opening) == 0;
}

static void
openings(void)
{
	const char *first = "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"hi\"}]}";
	struct prompt p;

	CHECK(same_opening(first, "{\"stream\": true, \"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
	    "\"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"yes\"}, {\"role\": \"user\", \"content\": \"more\"}]}"));
	CHECK(!same_opening(first, "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": \"ho\"}]}"));
	CHECK(!same_opening(first, "{\"messages\": [{\"role\": \"system\", \"content\": \"t\"}, {\"role\": \"user\", \"content\": \"hi\"}]}"));
	prompt_read(&p, STR("{\"messages\": []}"), true);
	CHECK_STR(p.opening, "");
	prompt_read(&p, STR("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}"), true);
	CHECK_STR(p.opening, "");
}

int
main(void)
{
	openings();
	what_is_found();
	forms_of_content();
	six_words_and_sixty_characters();
	no_keys();
	bad_bodies();
	deep_and_large();
	usages();
	usage_in_bounded_time();
	return check_done();
}
