#include "proxy/reply.h"

#include "base/json.h"


const char *
reply_reason(int status)
{
	switch (status) {
	case 100:
		return "Continue";
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 402:
		return "Payment Required";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
}

void
reply_plan(struct reply_plan *plan, const struct received *got, const struct request *r, bool keep)
{
	bool bodiless = str_is(r->method, "HEAD") || got->status == 204 || got->status == 304;

	*plan = (struct reply_plan){ .keep = keep, .minor = r->minor };
	if (bodiless) {
		plan->framing = REPLY_NO_BODY;
	} else if (received_header(got, "Content-Length") && !received_header(got, "Transfer-Encoding")) {
		plan->framing = REPLY_LENGTH;
	} else if (r->minor >= 1) {
		plan->framing = REPLY_CHUNKED;
	} else {
		plan->framing = REPLY_UNTIL_CLOSE;
		plan->keep = false;
	}
}

static void
connection_lines(struct buf *out, bool keep, int minor)
{
	if (!keep)
		buf_puts(out, "Connection: close\r\n");
	else if (minor == 0)
		buf_puts(out, "Connection: keep-alive\r\n");
}

void
reply_head(struct buf *out, const struct received *got, const struct reply_plan *plan, const char *request_id,
    struct str cors)
{
	bool has_length = received_header(got, "Transfer-Encoding") == NULL;

	buf_printf(out, "HTTP/1.1 %d %.*s\r\n", got->status, STR_F(got->reason));
	for (size_t i = 0; i < got->header_count; i++) {
		const struct header *h = &got->headers[i];

		if (request_hop_by_hop(got->headers, got->header_count, h->name))
			continue;
		/* A length beside a chunked body would be a lie; on a HEAD or 304 it tells what the body would be. */
		if (str_caseis(h->name, "Content-Length") && (!has_length || plan->framing == REPLY_CHUNKED))
			continue;
		if (cors.n && str_caseeq(str_sub(h->name, 0, 15), STR("Access-Control-")))
			continue;
		buf_str(out, h->name);
		buf_puts(out, ": ");
		buf_str(out, h->value);
		buf_puts(out, "\r\n");
	}
	if (plan->framing == REPLY_CHUNKED)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	buf_printf(out, "X-KMI-Request-Id: %s\r\n", request_id);
	buf_str(out, cors);
	connection_lines(out, plan->keep, plan->minor);
	buf_puts(out, "\r\n");
}

void
reply_piece(struct buf *out, const struct reply_plan *plan, struct str piece)
{
	if (!piece.n || plan->framing == REPLY_NO_BODY)
		return;
	if (plan->framing == REPLY_CHUNKED)
		buf_printf(out, "%zx\r\n", piece.n);
	buf_str(out, piece);
	if (plan->framing == REPLY_CHUNKED)
		buf_puts(out, "\r\n");
}

void
reply_end(struct buf *out, const struct reply_plan *plan)
{
	if (plan->framing == REPLY_CHUNKED)
		buf_puts(out, "0\r\n\r\n");
}

void
reply_own(struct buf *out, const struct reply_own *own)
{
	bool chunked = own->chunked && own->minor >= 1;

	buf_printf(out, "HTTP/1.1 %d %s\r\n", own->status, reply_reason(own->status));
	if (own->body.n || own->status != 204)
		buf_printf(out, "Content-Type: %s\r\n", own->content_type ? own->content_type : "application/json");
	if (chunked)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	else if (own->status != 204)
		buf_printf(out, "Content-Length: %zu\r\n", own->body.n);
	if (own->retry_after > 0)
		buf_printf(out, "Retry-After: %lld\r\n", own->retry_after);
	if (own->request_id)
		buf_printf(out, "X-KMI-Request-Id: %s\r\n", own->request_id);
	if (own->header)
		buf_printf(out, "%s\r\n", own->header);
	buf_str(out, own->cors);
	connection_lines(out, own->keep, own->minor);
	buf_puts(out, "\r\n");
	if (own->head_only)
		return;
	if (chunked && own->body.n)
		buf_printf(out, "%zx\r\n", own->body.n);
	buf_str(out, own->body);
	if (chunked)
		buf_puts(out, own->body.n ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
}

static const char *
error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 402:
		return "payment_required_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 429:
		return "rate_limit_error";
	case 502:
	case 503:
	case 504:
		return "upstream_error";
	default:
		return status >= 500 ? "server_error" : "invalid_request_error";
	}
}

void
reply_error_body(struct buf *body, int status, const char *code, const char *message, const char *hint, struct str keys)
{
	struct json_out o = { .to = body };

	json_open(&o, '{');
	json_key(&o, "error");
	json_open(&o, '{');
	json_key(&o, "message");
	json_put_cstr(&o, message);
	json_key(&o, "type");
	json_put_cstr(&o, error_type(status));
	json_key(&o, "code");
	json_put_cstr(&o, code);
	json_key(&o, "hint");
	json_put_cstr(&o, hint && *hint ? hint : NULL);
	if (keys.n) {
		json_key(&o, "keys");
		json_put_raw(&o, keys);
	}
	json_close(&o, '}');
	json_close(&o, '}');
	buf_putc(body, '\n');
}
