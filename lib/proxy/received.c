#include "proxy/received.h"

#include <llhttp/llhttp.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX (256u << 10)
#define HEADERS_MAX 512
#define INTERIM_MAX 32
#define BODY_MAX (4u << 20)		/* waiting here to be taken; who reads us stops long before */
#define FRAMING_MAX (64u << 10)		/* chunk extensions and trailers: bytes in a row that are not body */

struct received_parser {
	llhttp_t http;
	size_t line;		/* where the current line of the head begins */
	unsigned interim;
	bool head_only;
	size_t framing;		/* bytes since the last one of the body */
};

static struct received *
owner(llhttp_t *http)
{
	return http->data;
}

static int
on_headers_complete(llhttp_t *http)
{
	const struct received *r = owner(http);

	/* 1: no body, whatever the headers say */
	return r->parser->head_only || r->status == 204 || r->status == 304 ? 1 : 0;
}

static int
on_body(llhttp_t *http, const char *p, size_t n)
{
	struct received *r = owner(http);

	r->parser->framing = 0;
	buf_put(&r->body, p, n);
	return buf_bad(&r->body) ? HPE_USER : HPE_OK;
}

static int
on_message_complete(llhttp_t *http)
{
	struct received *r = owner(http);

	r->complete = true;
	r->reusable = llhttp_should_keep_alive(http);
	return HPE_PAUSED;	/* what follows was not asked for */
}

static const llhttp_settings_t settings = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void
received_init(struct received *r)
{
	*r = (struct received){ .head = BUF(HEAD_MAX), .body = BUF(BODY_MAX) };
}

int
received_begin(struct received *r, bool head_only, struct fail *f)
{
	if (!r->parser && !(r->parser = malloc(sizeof(*r->parser))))
		return fail_memory(f);
	*r->parser = (struct received_parser){ .head_only = head_only };
	llhttp_init(&r->parser->http, HTTP_RESPONSE, &settings);
	buf_reset(&r->head);
	buf_reset(&r->body);
	r->status = 0;
	r->reason = (struct str){ 0 };
	r->header_count = 0;
	r->head_complete = r->complete = r->reusable = false;
	return 0;
}

static int
not_http(struct fail *f, const char *what)
{
	return fail_set(f, FAIL_INPUT, "the upstream's answer is not valid HTTP: %s", what);
}

static int
parse(struct received *r, struct str bytes, struct fail *f)
{
	llhttp_t *http = &r->parser->http;
	llhttp_errno_t error;

	http->data = r;		/* the answer may have changed hands since */
	error = llhttp_execute(http, bytes.p, bytes.n);
	if (error == HPE_PAUSED && r->complete) {
		if (llhttp_get_error_pos(http) != bytes.p + bytes.n)
			r->reusable = false;	/* it says more than it announced */
		return 0;
	}
	if (error != HPE_OK)
		return not_http(f, buf_bad(&r->body) ? "more body than fits" : llhttp_get_error_reason(http));
	return 0;
}

/* "HTTP/1.1 200 OK" */
static int
status_line(struct received *r, struct str line, struct fail *f)
{
	struct str version = str_cut(&line, ' '), code = str_cut(&line, ' ');
	long long status;

	if (!(str_is(version, "HTTP/1.1") || str_is(version, "HTTP/1.0")) || code.n != 3 ||
	    str_int(code, 100, 999, &status) < 0)
		return not_http(f, "no status line at its beginning");
	r->status = (int)status;
	r->reason = line;
	return 0;
}

static int
split_lines(struct received *r, struct fail *f)
{
	struct str rest = buf_view(&r->head), line;

	if (!r->headers && !(r->headers = calloc(HEADERS_MAX, sizeof(*r->headers))))
		return fail_memory(f);
	line = str_cut(&rest, '\n');
	line.n--;	/* each line ends in CR LF */
	if (status_line(r, line, f) < 0)
		return -1;
	for (line = str_cut(&rest, '\n'); line.n > 1; line = str_cut(&rest, '\n')) {
		struct header h;

		line.n--;
		if (r->header_count == HEADERS_MAX)
			return not_http(f, "too many headers");
		if (line.p[0] == ' ' || line.p[0] == '\t' || !memchr(line.p, ':', line.n))
			return not_http(f, "a header line without a name");
		h.name = str_cut(&line, ':');
		h.value = str_trim(line);
		r->headers[r->header_count++] = h;
	}
	return 0;
}

/* The empty line has come. An interim answer is forgotten: the real one follows. */
static int
head_ends(struct received *r, struct fail *f)
{
	if (split_lines(r, f) < 0)
		return -1;
	if (r->status >= 100 && r->status < 200 && r->status != 101) {
		if (++r->parser->interim > INTERIM_MAX)
			return not_http(f, "no end of interim answers");
		buf_reset(&r->head);
		r->parser->line = r->header_count = 0;
		r->status = 0;
		return 0;
	}
	r->head_complete = true;
	return parse(r, buf_view(&r->head), f);
}

/* Takes a line of the head off the bytes, or what there is of it. */
static int
feed_head(struct received *r, struct str *bytes, struct fail *f)
{
	const char *end = memchr(bytes->p, '\n', bytes->n);
	size_t n = end ? (size_t)(end - bytes->p) + 1 : bytes->n;
	struct received_parser *p = r->parser;

	buf_put(&r->head, bytes->p, n);
	*bytes = str_sub(*bytes, n, bytes->n);
	if (buf_bad(&r->head))
		return not_http(f, "its head is too large");
	if (!end)
		return 0;
	n = r->head.n - p->line;	/* the whole line */
	if (n < 2 || r->head.p[r->head.n - 2] != '\r')
		return not_http(f, "a line that does not end in CR LF");
	if (n == 2)
		return p->line ? head_ends(r, f) : not_http(f, "no status line at its beginning");
	p->line = r->head.n;
	return 0;
}

int
received_feed(struct received *r, struct str bytes, struct fail *f)
{
	while (bytes.n && !r->head_complete)
		if (feed_head(r, &bytes, f) < 0)
			return -1;
	if (!bytes.n || r->complete) {
		r->reusable = r->reusable && !bytes.n;
		return 0;
	}
	r->parser->framing += bytes.n;
	if (parse(r, bytes, f) < 0)
		return -1;
	if (r->parser->framing > FRAMING_MAX && !r->complete)
		return not_http(f, "no end of what is not body");
	return 0;
}

bool
received_end(struct received *r)
{
	if (!r->head_complete || r->complete)
		return r->complete;
	r->parser->http.data = r;
	llhttp_finish(&r->parser->http);
	r->reusable = false;
	return r->complete;
}

void
received_free(struct received *r)
{
	buf_free(&r->head);
	buf_free(&r->body);
	free(r->headers);
	free(r->parser);
	*r = (struct received){ 0 };
}

const struct header *
received_header(const struct received *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (str_caseis(r->headers[i].name, name))
			return &r->headers[i];
	return NULL;
}
