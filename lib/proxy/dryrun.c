#include "proxy/dryrun.h"

#include "base/json.h"

#include <string.h>

#define BODY_MAX (512u << 10)	/* the path stands in it twice, and may have each byte escaped */
#define TEXT "This is a dry run: kmi chose a key and kept its books, but asked nobody."
#define MODEL "kimi-for-coding"

struct wish {
	char model[128];
	bool stream, usage;
};

static void
read_wish(struct str body, struct wish *w)
{
	struct buf model = BUF(sizeof(w->model) - 1);
	struct json j;

	*w = (struct wish){ .model = MODEL };
	if (!body.n || json_parse(&j, body, NULL) < 0)
		return;
	if (json_str(&j, json_get(&j, 0, "model"), &model) == 0 && !buf_bad(&model) && model.n)
		memcpy(w->model, model.p, model.n + 1);
	json_bool(&j, json_get(&j, 0, "stream"), &w->stream);
	w->usage = w->stream;
	buf_free(&model);
	json_free(&j);
}

/* What every dry answer that is an object says of itself. */
static void
put_facts(struct json_out *o, const struct dryrun_ask *ask)
{
	struct buf url = BUF(BODY_MAX);

	json_key(o, "dry_run");
	json_put_bool(o, true);
	json_key(o, "upstream_url");
	buf_puts(&url, ask->base_url);
	buf_str(&url, ask->path);
	json_put(o, buf_view(&url));
	json_key(o, "method");
	json_put(o, ask->method);
	json_key(o, "path");
	json_put(o, ask->path);
	json_key(o, "key_label");
	json_put_cstr(o, ask->key_label);
	buf_free(&url);
}

static void
models(struct json_out *o, const struct dryrun_ask *ask)
{
	json_key(o, "object");
	json_put_cstr(o, "list");
	json_key(o, "data");
	json_open(o, '[');
	json_open(o, '{');
	json_key(o, "id");
	json_put_cstr(o, MODEL);
	json_key(o, "object");
	json_put_cstr(o, "model");
	json_key(o, "created");
	json_put_int(o, ask->now);
	json_key(o, "owned_by");
	json_put_cstr(o, "moonshot");
	json_key(o, "context_length");
	json_put_int(o, 262144);
	json_close(o, '}');
	json_close(o, ']');
}

static void
usages(struct json_out *o)
{
	json_key(o, "usage");
	json_put_raw(o, STR("{\"limit\": \"100\", \"used\": \"0\", \"remaining\": \"100\"}"));
	json_key(o, "limits");
	json_put_raw(o, STR("[{\"window\": {\"duration\": 300, \"timeUnit\": \"TIME_UNIT_MINUTE\"}, "
			    "\"detail\": {\"limit\": \"100\", \"used\": \"0\", \"remaining\": \"100\"}}]"));
}

static void
chat_frame(struct json_out *o, const struct dryrun_ask *ask, const struct wish *w, const char *object)
{
	struct buf id = BUF(64);

	buf_printf(&id, "chatcmpl-%s", ask->request_id);
	json_key(o, "id");
	json_put(o, buf_view(&id));
	json_key(o, "object");
	json_put_cstr(o, object);
	json_key(o, "created");
	json_put_int(o, ask->now);
	json_key(o, "model");
	json_put_cstr(o, w->model);
	buf_free(&id);
}

static void
chat_usage(struct json_out *o)
{
	json_key(o, "usage");
	json_put_raw(o, STR("{\"prompt_tokens\": 8, \"completion_tokens\": 17, \"total_tokens\": 25, \"cached_tokens\": 0}"));
}

static void
chat(struct json_out *o, const struct dryrun_ask *ask, const struct wish *w)
{
	chat_frame(o, ask, w, "chat.completion");
	json_key(o, "choices");
	json_put_raw(o, STR("[{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"" TEXT "\"}, "
			    "\"finish_reason\": \"stop\"}]"));
	chat_usage(o);
}

static void
chunk(struct buf *b, const struct dryrun_ask *ask, const struct wish *w, struct str choices, bool facts)
{
	struct json_out o = { .to = b };

	buf_puts(b, "data: ");
	json_open(&o, '{');
	chat_frame(&o, ask, w, "chat.completion.chunk");
	json_key(&o, "choices");
	json_put_raw(&o, choices);
	if (facts) {
		chat_usage(&o);
		put_facts(&o, ask);
	}
	json_close(&o, '}');
	buf_puts(b, "\n\n");
}

static void
chat_stream(struct buf *b, const struct dryrun_ask *ask, const struct wish *w)
{
	const char *text = TEXT;

	chunk(b, ask, w, STR("[{\"index\": 0, \"delta\": {\"role\": \"assistant\", \"content\": \"\"}, \"finish_reason\": null}]"),
	    false);
	while (*text) {
		size_t n = strcspn(text, " ");
		struct buf choices = BUF(512);

		n += text[n] == ' ';
		buf_printf(&choices, "[{\"index\": 0, \"delta\": {\"content\": \"%.*s\"}, \"finish_reason\": null}]", (int)n, text);
		chunk(b, ask, w, buf_view(&choices), false);
		buf_free(&choices);
		text += n;
	}
	chunk(b, ask, w, STR("[{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]"), false);
	chunk(b, ask, w, STR("[]"), true);
	buf_puts(b, "data: [DONE]\n\n");
}

void
dryrun_answer(const struct dryrun_ask *ask, struct dryrun_answer *out)
{
	struct json_out o = { .to = &out->body };
	struct wish w;

	*out = (struct dryrun_answer){ .status = 200, .body = BUF(BODY_MAX) };
	read_wish(ask->body, &w);
	if (str_is(ask->path, "/chat/completions") && w.stream) {
		out->stream = true;
		chat_stream(&out->body, ask, &w);
		return;
	}
	json_open(&o, '{');
	if (str_is(ask->path, "/models"))
		models(&o, ask);
	else if (str_is(ask->path, "/usages"))
		usages(&o);
	else if (str_is(ask->path, "/chat/completions"))
		chat(&o, ask, &w);
	put_facts(&o, ask);
	json_close(&o, '}');
	buf_putc(&out->body, '\n');
}
