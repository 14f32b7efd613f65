/* Answers of the upstream that is not there: the shapes that real clients read. */
#include "proxy/dryrun.h"

#include "base/json.h"

#include "check.h"

static struct dryrun_answer answer;
static struct json j;

static void
ask(const char *path, const char *body)
{
	struct dryrun_ask a = { .method = STR("POST"), .path = str_from(path), .body = str_from(body),
		.base_url = "https://api.example/coding/v1", .key_label = "an\"na", .request_id = "0123", .now = 1700000000 };

	buf_free(&answer.body);
	json_free(&j);
	j = (struct json){ 0 };
	dryrun_answer(&a, &answer);
	CHECK_INT(answer.status, 200);
	CHECK(!buf_bad(&answer.body));
}

static int
parsed(void)
{
	struct fail f = { 0 };
	int rc = json_parse(&j, buf_view(&answer.body), &f);

	CHECK_STR(f.text, "");
	return rc == 0 ? 0 : -1;
}

static void
facts(const char *path, const char *url)
{
	CHECK_NAMED(json_type(&j, json_get(&j, 0, "dry_run")) == JSON_TRUE, "it says that it is a dry run");
	CHECK(json_is(&j, json_get(&j, 0, "method"), "POST"));
	CHECK(json_is(&j, json_get(&j, 0, "path"), path));
	CHECK(json_is(&j, json_get(&j, 0, "upstream_url"), url));
	CHECK(json_is(&j, json_get(&j, 0, "key_label"), "an\"na"));
}

static void
objects(void)
{
	ask("/models", "");
	CHECK(parsed() == 0 && json_is(&j, json_get(&j, 0, "object"), "list"));
	CHECK(json_type(&j, json_get(&j, json_at(&j, json_get(&j, 0, "data"), 0), "id")) == JSON_STRING);
	facts("/models", "https://api.example/coding/v1/models");
	ask("/usages", "");
	CHECK(parsed() == 0 && json_type(&j, json_get(&j, json_get(&j, 0, "usage"), "remaining")) == JSON_STRING);
	CHECK_INT(json_size(&j, json_get(&j, 0, "limits")), 1);
	ask("/whatever", "");
	CHECK(parsed() == 0);
	facts("/whatever", "https://api.example/coding/v1/whatever");
}

static void
chat(void)
{
	int choice;

	ask("/chat/completions", "{\"model\": \"k\\\"2\", \"messages\": []}");
	CHECK(!answer.stream && parsed() == 0);
	CHECK(json_is(&j, json_get(&j, 0, "object"), "chat.completion"));
	CHECK(json_is(&j, json_get(&j, 0, "model"), "k\"2"));
	CHECK(json_is(&j, json_get(&j, 0, "id"), "chatcmpl-0123"));
	choice = json_at(&j, json_get(&j, 0, "choices"), 0);
	CHECK(json_is(&j, json_get(&j, choice, "finish_reason"), "stop"));
	CHECK(json_type(&j, json_get(&j, json_get(&j, choice, "message"), "content")) == JSON_STRING);
	CHECK(json_type(&j, json_get(&j, json_get(&j, 0, "usage"), "total_tokens")) == JSON_NUMBER);
	facts("/chat/completions", "https://api.example/coding/v1/chat/completions");
}

/* Every event is JSON; together they make the text; usage and [DONE] come last. */
static void
stream(void)
{
	struct buf text = BUF(4096);
	struct str rest;
	int events = 0;
	bool done = false, usage = false;

	ask("/chat/completions", "{\"stream\": true, \"messages\": []}");
	CHECK(answer.stream);
	rest = buf_view(&answer.body);
	while (rest.n) {
		struct str line = str_cut(&rest, '\n'), end = str_cut(&rest, '\n');
		int delta;

		CHECK(str_starts(line, "data: ") && end.n == 0 && !done);
		line = str_sub(line, 6, line.n);
		if ((done = str_is(line, "[DONE]")))
			continue;
		json_free(&j);
		j = (struct json){ 0 };
		if (json_parse(&j, line, NULL) < 0) {
			CHECK_NAMED(false, "each event is JSON");
			break;
		}
		events++;
		CHECK(json_is(&j, json_get(&j, 0, "object"), "chat.completion.chunk"));
		delta = json_get(&j, json_at(&j, json_get(&j, 0, "choices"), 0), "delta");
		json_str(&j, json_get(&j, delta, "content"), &text);
		usage = json_type(&j, json_get(&j, 0, "usage")) == JSON_OBJECT;
	}
	CHECK(done && events > 5);
	CHECK_NAMED(usage, "the last event has the usage");
	CHECK(text.n && str_find(buf_view(&text), STR("dry run")) >= 0);
	buf_free(&text);
}

/* What a client may send: none of it may break the answer. */
static void
odd_asks(void)
{
	static const char *const bodies[] = { "", "{", "[]", "[1]", "{\"model\": 5, \"stream\": \"yes\"}", "{\"stream\": 1}",
		"{\"model\": \"\"}", "{\"model\": null}", "\xff\xfe" };
	char path[60000], model[400];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		ask("/chat/completions", bodies[i]);
		CHECK(!answer.stream && parsed() == 0 && json_is(&j, json_get(&j, 0, "model"), "kimi-for-coding"));
	}
	snprintf(model, sizeof(model), "{\"model\": \"%0200d\"}", 0);
	ask("/chat/completions", model);
	CHECK_NAMED(parsed() == 0, "a very long model");
	memset(path, '"', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ask(path, "");
	CHECK_NAMED(parsed() == 0, "the longest path, each byte of it escaped");
}

int
main(void)
{
	objects();
	chat();
	stream();
	odd_asks();
	buf_free(&answer.body);
	json_free(&j);
	return check_done();
}
