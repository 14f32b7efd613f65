#include "proxy/request.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <llhttp/llhttp.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_MAX 64
#define EMPTY_LINES_MAX 2
#define HEAD_GUESS 2000			/* most heads fit, so the buffer is made once */
#define BODY_GUESS ((uint64_t)1 << 20)	/* what a mere Content-Length may reserve */
#define CONNECTION_MAX 2048		/* it is searched once for every header */
#define EXCESS_MAX 16384		/* chunk framing beyond what honest chunks need */

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_DONE, STAGE_REFUSED };

/*
 * The head is gathered whole, each line checked as it ends, and only then given to llhttp: so its spans point
 * into one buffer that no longer moves. In the body llhttp gets either data or one line of chunk framing at a
 * time, never both, so a message ends exactly where a piece ends.
 */
struct request_parser {
	llhttp_t http;
	struct refusal refusal;
	enum stage stage;
	bool after_cr;			/* the last byte was a CR: only LF may follow */
	bool in_line;			/* within a line of chunk framing */
	bool in_name;			/* llhttp is within a header's name */
	bool complete;			/* llhttp has seen the end of the message */
	size_t line;			/* offset of the current line in the head */
	size_t method_n, target_n;	/* of the request line, once it is read */
	size_t header_lines, empty_lines;
	uint64_t data_left;		/* body bytes until the next framing, or the end */
	size_t excess;
};

void
request_init(struct request *r, size_t body_max)
{
	*r = (struct request){ .head = BUF(REQUEST_HEAD_MAX), .body = BUF(body_max) };
}

void
request_free(struct request *r)
{
	buf_wipe(&r->head);	/* it may hold the client's credential */
	buf_free(&r->body);
	free(r->headers);
	free(r->parser);
	request_init(r, r->body.max);
}

static const struct refusal too_large = { 413, "request_too_large",
	N_("the request body is over the limit of this proxy"), N_("Send less, or raise KMI_PROXY_MAX_BODY_MB."), NULL };
static const struct refusal no_memory = { 503, "out_of_memory", N_("kmi has no memory left for this request"),
	N_("Try again later, or lower KMI_PROXY_MAX_CONNECTIONS."), NULL };
static const struct refusal head_too_large = { 431, "header_too_large", N_("the request head is over 64 KiB"),
	N_("Send shorter or fewer headers, or a shorter URL."), NULL };
static const struct refusal too_many_headers = { 431, "header_too_large",
	N_("the request has more than 512 headers"), N_("Send fewer headers."), NULL };
static const struct refusal connection_too_large = { 431, "header_too_large",
	N_("the Connection header is over 2 KiB"), N_("Name fewer headers in Connection."), NULL };
static const struct refusal other_version = { 505, "http_version_not_supported",
	N_("this proxy speaks HTTP/1.1 and HTTP/1.0 only"), N_("Let the client use HTTP/1.1 (curl: --http1.1)."), NULL };
static const struct refusal other_method = { 405, "method_not_allowed", N_("CONNECT and TRACE are not served"),
	N_("This is no forward proxy: its address belongs in the client's base URL, not in HTTP(S)_PROXY."),
	"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" };
/* Not answered: to a client of TLS any answer is noise. So these two are for the log alone. */
static const struct refusal tls_on_plain_port = { 0, "tls_on_plain_port",
	"this port speaks plain HTTP, and the client began a TLS handshake",
	"Use http:// in the client's base URL, or serve TLS with kmi-tls: KMI_PROXY_TLS_LISTEN, KMI_PROXY_TLS_CERT and "
	"KMI_PROXY_TLS_KEY.", NULL };

/* Both return -1, so that a check can end in `return bad(...)`. */
static int
refuse(struct request *r, const struct refusal *why)
{
	r->parser->refusal = *why;
	return -1;
}

static int
bad(struct request *r, const char *message)
{
	return refuse(r, &(struct refusal){ 400, "bad_request", message,
	    N_("Send HTTP/1.1 as RFC 9112 has it; a program between client and kmi may have changed the request."),
	    NULL });
}

static bool
is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool
all_tokens(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

/* Lines end in CRLF and hold no other control character but the tab. */
static int
check_bytes(struct request *r, struct str piece)
{
	bool after_cr = r->parser->after_cr;

	for (size_t i = 0; i < piece.n; i++) {
		unsigned char c = (unsigned char)piece.p[i];

		if (after_cr != (c == '\n'))
			return bad(r, c == '\n' ? "a line that ends in a line feed alone" :
			    "a carriage return without a line feed after it");
		if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return bad(r, "a control character in the head or in the chunk framing");
		after_cr = c == '\r';
	}
	r->parser->after_cr = after_cr;
	return 0;
}

/* What is left of `in`, up to the end of its first line. */
static struct str
line_piece(struct str in, size_t used)
{
	struct str rest = str_sub(in, used, in.n);
	const char *end = memchr(rest.p, '\n', rest.n);

	if (end)
		rest.n = (size_t)(end - rest.p) + 1;
	return rest;
}

/* The head, line by line. */

/* Anything but HTTP is known by its first byte, long before a line ends. */
static int
first_byte(struct request *r, unsigned char c)
{
	if (c == '\r' || c == '\n')
		return 0;
	r->started = true;
	if (c == 0x16)		/* a record of a handshake: 0x16, then the version, 3.x */
		return refuse(r, &tls_on_plain_port);
	return is_token(c) ? 0 : bad(r, "this is not HTTP");
}

static int
check_version(struct request *r, struct str version)
{
	if (str_is(version, "HTTP/1.1") || str_is(version, "HTTP/1.0")) {
		r->minor = version.p[7] - '0';
		return 0;
	}
	if (!str_starts(version, "HTTP/") || version.n == 5)
		return bad(r, "the request line does not end in an HTTP version");
	for (size_t i = 5; i < version.n; i++)
		if (version.p[i] != '.' && (version.p[i] < '0' || version.p[i] > '9'))
			return bad(r, "the request line does not end in an HTTP version");
	return refuse(r, &other_version);
}

static int
request_line(struct request *r, struct str line)
{
	struct str method = str_cut(&line, ' ');
	struct str target = str_cut(&line, ' ');

	if (!all_tokens(method) || method.n > METHOD_MAX)
		return bad(r, "the method is not a word that HTTP allows");
	if (target.n == 0)
		return bad(r, "the request line is not `METHOD TARGET HTTP/1.1` with single spaces");
	if (check_version(r, line) < 0)
		return -1;
	if (str_is(method, "CONNECT") || str_is(method, "TRACE"))
		return refuse(r, &other_method);
	r->parser->method_n = method.n;
	r->parser->target_n = target.n;
	return 0;
}

static int
header_line(struct request *r, struct str line)
{
	struct str name;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return bad(r, "a folded header line (it begins with a space or tab)");
	if (!memchr(line.p, ':', line.n))
		return bad(r, "a header line without a colon");
	name = str_cut(&line, ':');
	if (name.n && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		return bad(r, "a space between a header's name and its colon");
	if (!all_tokens(name))
		return bad(r, "a header name that is empty or has characters HTTP does not allow");
	if (++r->parser->header_lines > REQUEST_HEADERS_MAX)
		return refuse(r, &too_many_headers);
	return 0;
}

/* The target: `/path?query`, `http://host/path?query`, or `*` for OPTIONS. */

static int
check_target_bytes(struct request *r, struct str target)
{
	for (size_t i = 0; i < target.n; i++) {
		unsigned char c = (unsigned char)target.p[i];

		if (c <= 0x20 || c >= 0x7f)
			return bad(r, "the target has bytes that are not visible ASCII: percent-encode them");
		if (c == '#')
			return bad(r, "the target has a fragment (#): encode it as %23, or leave it out");
	}
	return 0;
}

static int
split_target(struct request *r)
{
	struct str rest = r->target;
	size_t end = 0;

	if (check_target_bytes(r, rest) < 0)
		return -1;
	if (str_is(rest, "*") && str_is(r->method, "OPTIONS")) {
		r->path = rest;
		return 0;
	}
	if (rest.n >= 7 && str_caseis(str_sub(rest, 0, 7), "http://")) {
		rest = str_sub(rest, 7, rest.n);
		while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
			end++;
		r->host = str_sub(rest, 0, end);
		if (request_split_host(r->host, NULL, NULL) < 0)
			return bad(r, "the target names no valid host");
		rest = str_sub(rest, end, rest.n);
	} else if (rest.p[0] != '/') {
		return bad(r, "the target is neither a path that begins with / nor an http:// URL");
	}
	r->has_query = rest.n && memchr(rest.p, '?', rest.n) != NULL;
	r->path = str_cut(&rest, '?');
	r->query = rest;
	if (r->path.n == 0)
		r->path = STR("/");
	return 0;
}

int
request_split_host(struct str host, struct str *name, int *port)
{
	struct str rest = host, part;
	long long number = -1;

	if (host.n && host.p[0] == '[') {
		char text[INET6_ADDRSTRLEN] = "";
		struct in6_addr address;

		rest = str_sub(host, 1, host.n);
		part = str_cut(&rest, ']');
		if (part.n + 2 > host.n || part.n >= sizeof(text) || memchr(part.p, '\0', part.n))
			return -1;
		memcpy(text, part.p, part.n);
		if (inet_pton(AF_INET6, text, &address) != 1 || (rest.n && rest.p[0] != ':'))
			return -1;
		rest = str_sub(rest, 1, rest.n);
	} else {
		part = str_cut(&rest, ':');
		for (size_t i = 0; i < part.n; i++)
			if (!is_token((unsigned char)part.p[i]) || strchr("!#$%&'*+^`|", part.p[i]))
				return -1;
	}
	if (part.n == 0 || (rest.n && (rest.p[0] == '+' || str_int(rest, 0, 65535, &number) < 0)))
		return -1;
	if (name)
		*name = part;
	if (port)
		*port = (int)number;
	return 0;
}

/* llhttp's callbacks. In the body only data and sizes count: trailers are read and dropped. */

static int
on_header_field(llhttp_t *http, const char *at, size_t n)
{
	struct request *r = http->data;
	struct request_parser *p = r->parser;

	if (p->stage != STAGE_HEAD)
		return 0;
	if (!p->in_name) {
		if (r->header_count == p->header_lines)
			return -1;	/* llhttp sees more headers than there are lines: never seen */
		r->headers[r->header_count++] = (struct header){ .name = { at, 0 } };
		p->in_name = true;
	}
	r->headers[r->header_count - 1].name.n += n;
	return 0;
}

static int
on_header_value(llhttp_t *http, const char *at, size_t n)
{
	struct request *r = http->data;
	struct request_parser *p = r->parser;
	struct str *value;

	if (p->stage != STAGE_HEAD)
		return 0;
	p->in_name = false;
	value = &r->headers[r->header_count - 1].value;
	if (!value->p)
		value->p = at;
	value->n += n;
	return 0;
}

static int
on_header_value_complete(llhttp_t *http)
{
	struct request *r = http->data;
	struct request_parser *p = r->parser;

	if (p->stage != STAGE_HEAD)
		return 0;
	p->in_name = false;
	r->headers[r->header_count - 1].value = str_trim(r->headers[r->header_count - 1].value);
	return 0;
}

static int
on_headers_complete(llhttp_t *http)
{
	http->upgrade = 0;	/* nothing is tunnelled: `Upgrade` is a header like any other */
	return 0;
}

static int
on_body(llhttp_t *http, const char *at, size_t n)
{
	struct request *r = http->data;

	buf_put(&r->body, at, n);
	r->parser->data_left -= n;
	return buf_bad(&r->body) ? refuse(r, &no_memory) : 0;
}

static int
on_chunk_header(llhttp_t *http)
{
	struct request *r = http->data;
	struct request_parser *p = r->parser;
	uint64_t size = http->content_length, due;

	if (size > r->body.max - r->body.n)
		return refuse(r, &too_large);
	p->data_left = size;
	due = 16 + 2 * size;	/* what a chunk may spend on framing without being odd */
	p->excess = p->excess > due ? p->excess - (size_t)due : 0;
	return 0;
}

static int
on_message_complete(llhttp_t *http)
{
	struct request *r = http->data;

	r->parser->complete = true;
	return 0;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_header_value_complete = on_header_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_message_complete = on_message_complete,
};

static int
parse(struct request *r, struct str piece)
{
	struct request_parser *p = r->parser;
	llhttp_errno_t error;

	p->http.data = r;	/* the caller may have moved it since */
	error = llhttp_execute(&p->http, piece.p, piece.n);
	if (error == HPE_OK)
		return 0;
	if (p->refusal.status)
		return -1;	/* a callback said why */
	if (error == HPE_UNEXPECTED_CONTENT_LENGTH || error == HPE_INVALID_TRANSFER_ENCODING)
		return bad(r, "the length of the body is given twice, or in a coding other than chunked");
	if (error == HPE_INVALID_CONTENT_LENGTH)
		return bad(r, "Content-Length is not one whole number");
	if (error == HPE_INVALID_CHUNK_SIZE)
		return bad(r, "a chunk size that is not a hexadecimal number, or too long a one");
	return bad(r, p->stage == STAGE_HEAD ? "the head is not valid HTTP" : "the chunked body is not valid");
}

/* llhttp knows only some methods, and what each means to it does not matter here: it always reads POST. */
static int
parse_head(struct request *r)
{
	struct request_parser *p = r->parser;
	struct str head = buf_view(&r->head);

	r->headers = calloc(p->header_lines + 1, sizeof(*r->headers));
	if (!r->headers)
		return refuse(r, &no_memory);
	llhttp_init(&p->http, HTTP_REQUEST, &settings);
	if (parse(r, STR("POST")) < 0 || parse(r, str_sub(head, p->method_n, head.n)) < 0)
		return -1;
	return r->header_count == p->header_lines ? 0 : bad(r, "the head is not valid HTTP");
}

/* What the headers mean for this connection. */

static int
check_host(struct request *r)
{
	const struct header *host = request_header(r, "Host");

	if (request_header_times(r, "Host") > 1)
		return bad(r, "more than one Host header");
	if (!host)
		return r->minor == 0 ? 0 : bad(r, "HTTP/1.1 needs a Host header");
	if (request_split_host(host->value, NULL, NULL) < 0)
		return bad(r, "the Host header is malformed");
	if (r->host.n == 0)	/* an absolute-form target goes before it */
		r->host = host->value;
	return 0;
}

static int
check_transfer_encoding(struct request *r, struct str coding)
{
	if (r->minor == 0)
		return bad(r, "Transfer-Encoding in HTTP/1.0");
	if (request_header_times(r, "Transfer-Encoding") > 1 || !str_caseis(coding, "chunked"))
		return bad(r, "Transfer-Encoding other than `chunked`, given once");
	if (request_header(r, "Content-Length"))
		return bad(r, "both Content-Length and Transfer-Encoding");
	r->content_length = -1;
	r->has_body = true;
	return 0;
}

static int
check_content_length(struct request *r, struct str value)
{
	long long length;

	if (request_header_times(r, "Content-Length") > 1)
		return bad(r, "more than one Content-Length");
	if (value.n == 0 || value.p[0] == '+' || str_int(value, 0, INT64_MAX, &length) < 0)
		return bad(r, "Content-Length is not one whole number");
	if ((unsigned long long)length > r->body.max)
		return refuse(r, &too_large);
	r->content_length = length;
	r->has_body = true;
	r->parser->data_left = (uint64_t)length;
	return 0;
}

static int
check_framing(struct request *r)
{
	const struct header *coding = request_header(r, "Transfer-Encoding");
	const struct header *length = request_header(r, "Content-Length");
	bool expects_body;

	if (coding && check_transfer_encoding(r, coding->value) < 0)
		return -1;
	if (length && check_content_length(r, length->value) < 0)
		return -1;
	expects_body = r->content_length != 0;
	if (expects_body == r->parser->complete)	/* two readings of one head: neither is safe */
		return bad(r, "the length of the body is not clear");
	return 0;
}

/* Whether a Connection header has this token. */
static bool
connection_names(const struct header *all, size_t count, struct str token)
{
	for (size_t i = 0; i < count; i++) {
		struct str list = all[i].value;

		if (!str_caseis(all[i].name, "Connection"))
			continue;
		while (list.n)
			if (str_caseeq(str_trim(str_cut(&list, ',')), token))
				return true;
	}
	return false;
}

static int
read_wishes(struct request *r)
{
	const struct header *expect = request_header(r, "Expect");
	size_t named = 0;

	for (size_t i = 0; i < r->header_count; i++)
		if (str_caseis(r->headers[i].name, "Connection"))
			named += r->headers[i].value.n;
	if (named > CONNECTION_MAX)
		return refuse(r, &connection_too_large);
	r->keep_alive = !connection_names(r->headers, r->header_count, STR("close")) &&
	    (r->minor == 1 || connection_names(r->headers, r->header_count, STR("keep-alive")));
	r->expect_continue = expect && r->minor == 1 && r->content_length != 0 &&
	    str_caseis(expect->value, "100-continue");
	return 0;
}

static int
head_complete(struct request *r)
{
	struct request_parser *p = r->parser;
	struct str head = buf_view(&r->head);

	r->method = str_sub(head, 0, p->method_n);
	r->target = str_sub(head, p->method_n + 1, p->method_n + 1 + p->target_n);
	if (split_target(r) < 0 || parse_head(r) < 0 || check_host(r) < 0 || check_framing(r) < 0 ||
	    read_wishes(r) < 0)
		return -1;
	p->stage = STAGE_BODY;
	return 0;
}

/* A line has come to its end. */
static int
head_line(struct request *r)
{
	struct request_parser *p = r->parser;
	struct str line = { r->head.p + p->line, r->head.n - p->line - 2 };

	if (p->method_n && line.n == 0)
		return head_complete(r);
	if (p->method_n) {
		if (header_line(r, line) < 0)
			return -1;
	} else if (line.n == 0) {	/* some clients end a body with an empty line too many */
		buf_reset(&r->head);
		if (++p->empty_lines > EMPTY_LINES_MAX)
			return bad(r, "empty lines where a request was expected");
		return 0;
	} else if (request_line(r, line) < 0) {
		return -1;
	}
	p->line = r->head.n;
	return 0;
}

static int
feed_head(struct request *r, struct str in, size_t *used)
{
	struct request_parser *p = r->parser;

	while (p->stage == STAGE_HEAD && *used < in.n) {
		struct str piece = line_piece(in, *used);

		if (piece.n > REQUEST_HEAD_MAX - r->head.n)
			piece.n = REQUEST_HEAD_MAX - r->head.n;
		if (piece.n == 0)
			return refuse(r, &head_too_large);
		if (r->head.n == 0 && first_byte(r, (unsigned char)piece.p[0]) < 0)
			return -1;
		if (check_bytes(r, piece) < 0)
			return -1;
		buf_str(&r->head, piece);
		if (buf_bad(&r->head))
			return refuse(r, &no_memory);
		*used += piece.n;
		if (piece.p[piece.n - 1] == '\n' && head_line(r) < 0)
			return -1;
	}
	return 0;
}

/* A piece of a chunk's size line, of the line end after its data, or of the trailers. */
static int
check_chunk_line(struct request *r, struct str piece)
{
	struct request_parser *p = r->parser;

	if (!p->in_line && piece.p[0] != '\r' && !is_token((unsigned char)piece.p[0]))
		return bad(r, "a line of the chunked body that is neither a size nor a trailer");
	if (check_bytes(r, piece) < 0)
		return -1;
	p->in_line = piece.p[piece.n - 1] != '\n';
	p->excess += piece.n;
	return 0;
}

static int
feed_body(struct request *r, struct str in, size_t *used)
{
	struct request_parser *p = r->parser;

	while (!p->complete && *used < in.n) {
		struct str piece = str_sub(in, *used, in.n);

		if (p->data_left) {
			if (piece.n > p->data_left)
				piece.n = (size_t)p->data_left;
		} else {
			piece = line_piece(in, *used);
			if (piece.n > EXCESS_MAX - p->excess)
				piece.n = EXCESS_MAX - p->excess;
			if (piece.n == 0)
				return bad(r, "the chunked body has too much framing: extensions or trailers");
			if (check_chunk_line(r, piece) < 0)
				return -1;
		}
		if (parse(r, piece) < 0)
			return -1;
		*used += piece.n;
	}
	return 0;
}

static int
begin(struct request *r)
{
	r->parser = calloc(1, sizeof(*r->parser));
	if (!r->parser)
		return -1;
	buf_room(&r->head, HEAD_GUESS);
	return 0;
}

enum request_progress
request_feed(struct request *r, struct str in, size_t *used, struct refusal *no)
{
	struct request_parser *p;
	int rc = -1;

	*used = 0;
	if (!r->parser && begin(r) < 0) {
		*no = no_memory;
		return REQUEST_REFUSED;
	}
	p = r->parser;
	switch (p->stage) {
	case STAGE_HEAD:
		rc = feed_head(r, in, used);
		if (rc == 0)
			return p->stage == STAGE_HEAD ? REQUEST_MORE : REQUEST_HEAD;
		break;
	case STAGE_BODY:
		if (p->data_left && !r->body.p)
			buf_room(&r->body, (size_t)(p->data_left < BODY_GUESS ? p->data_left : BODY_GUESS));
		rc = feed_body(r, in, used);
		if (rc == 0 && !p->complete)
			return REQUEST_MORE;
		if (rc == 0)
			p->stage = STAGE_DONE;
		break;
	case STAGE_DONE:
		return REQUEST_DONE;
	case STAGE_REFUSED:
		break;
	}
	if (rc == 0)
		return REQUEST_DONE;
	p->stage = STAGE_REFUSED;
	*no = p->refusal;
	return REQUEST_REFUSED;
}

/* Questions to a head. */

const struct header *
request_header(const struct request *r, const char *name)
{
	struct str wanted = str_from(name);

	for (size_t i = 0; i < r->header_count; i++)
		if (str_caseeq(r->headers[i].name, wanted))
			return &r->headers[i];
	return NULL;
}

size_t
request_header_times(const struct request *r, const char *name)
{
	struct str wanted = str_from(name);
	size_t times = 0;

	for (size_t i = 0; i < r->header_count; i++)
		times += str_caseeq(r->headers[i].name, wanted);
	return times;
}

bool
request_hop_by_hop(const struct header *all, size_t count, struct str name)
{
	static const struct str ends_here[] = { { "Connection", 10 }, { "Keep-Alive", 10 },
		{ "Proxy-Authenticate", 18 }, { "Proxy-Authorization", 19 }, { "Proxy-Connection", 16 },
		{ "TE", 2 }, { "Trailer", 7 }, { "Transfer-Encoding", 17 }, { "Upgrade", 7 } };

	for (size_t i = 0; i < sizeof(ends_here) / sizeof(*ends_here); i++)
		if (str_caseeq(name, ends_here[i]))
			return true;
	return connection_names(all, count, name);
}

/*
 * Dot segments. Servers differ in what parts segments (a backslash, an encoded slash) and in whether empty
 * ones count, so a path is walked in every reading; it stays inside only when it does in all of them.
 */
enum reading {
	READ_BACKSLASH = 1,	/* a backslash parts segments */
	READ_ENCODED = 2,	/* so does an encoded separator */
	READ_MERGED = 4,	/* empty segments are none */
	READINGS = 8,
};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Takes one character off the front, decoded when it is percent-encoded. */
static char
path_next(struct str *s, bool *encoded)
{
	char c = s->p[0];

	*encoded = c == '%' && s->n >= 3 && hex_digit(s->p[1]) >= 0 && hex_digit(s->p[2]) >= 0;
	if (*encoded)
		c = (char)(hex_digit(s->p[1]) << 4 | hex_digit(s->p[2]));
	*s = str_sub(*s, *encoded ? 3 : 1, s->n);
	return c;
}

static bool
parts_segments(char c, bool encoded, unsigned reading)
{
	if (encoded && !(reading & READ_ENCODED))
		return false;
	return c == '/' || (c == '\\' && (reading & READ_BACKSLASH));
}

static bool
path_leaves(struct str rest, unsigned reading)
{
	size_t length = 0, dots = 0;
	long depth = 0;

	if (rest.n)	/* the slash that begins it */
		rest = str_sub(rest, 1, rest.n);
	for (bool end = false; !end;) {
		bool encoded = false;
		char c = '/';

		end = rest.n == 0;
		if (!end)
			c = path_next(&rest, &encoded);
		if (!end && !parts_segments(c, encoded, reading)) {
			length++;
			dots += c == '.';
			continue;
		}
		if (length == 2 && dots == 2)
			depth--;
		else if ((length || !(reading & READ_MERGED)) && !(length == 1 && dots == 1))
			depth++;
		if (depth < 0)
			return true;
		length = dots = 0;
	}
	return false;
}

static bool
has_two_dots(struct str s)
{
	bool encoded, before = false;

	while (s.n) {
		bool dot = path_next(&s, &encoded) == '.';

		if (dot && before)
			return true;
		before = dot;
	}
	return false;
}

int
request_below(struct str path, const char *base, struct str *rest)
{
	size_t n = strlen(base);

	if (!str_starts(path, base) || (path.n > n && path.p[n] != '/'))
		return 0;
	*rest = str_sub(path, n, path.n);
	if (!has_two_dots(*rest))	/* nearly always */
		return 1;
	for (unsigned reading = 0; reading < READINGS; reading++)
		if (path_leaves(*rest, reading))
			return -1;
	return 1;
}
