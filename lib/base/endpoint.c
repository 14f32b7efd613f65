#include "base/endpoint.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_MAX 63

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
all_of(struct str s, const char *extra)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr(extra, s.p[i])))
			return false;
	return true;
}

static bool
is_address(int family, struct str s)
{
	unsigned char raw[16];
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, raw) == 1;
}

/* Resolvers take `0x7f.1` and `2130706433` for addresses; a name cannot end in such a label. */
static bool
looks_numeric(struct str label)
{
	if (label.n > 1 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x')
		return true;
	for (size_t i = 0; i < label.n; i++)
		if (!is_digit(label.p[i]))
			return false;
	return true;
}

bool
endpoint_host_ok(struct str host)
{
	struct str rest = host, label;
	bool more;

	if (host.n == 0 || host.n > ENDPOINT_HOST_MAX)
		return false;
	if (is_address(AF_INET, host) || is_address(AF_INET6, host))
		return true;
	do {
		more = rest.n && memchr(rest.p, '.', rest.n);
		label = str_cut(&rest, '.');
		if (label.n == 0 || label.n > LABEL_MAX || !all_of(label, "-_") || label.p[0] == '-')
			return false;
	} while (more);
	return !looks_numeric(label);
}

struct str
endpoint_bare(struct str host)
{
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return str_sub(host, 1, host.n - 1);
	return host;
}

struct str
endpoint_trim(struct str s)
{
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

int
endpoint_split(struct str s, struct str *host, int *port)
{
	bool bracketed = s.n && s.p[0] == '[';
	const char *end = s.n ? memchr(s.p, bracketed ? ']' : ':', s.n) : NULL;
	size_t n = end ? (size_t)(end - s.p) + bracketed : s.n;
	struct str rest = str_sub(s, n, s.n);
	long long number = 0;

	*host = str_sub(s, 0, n);
	*port = 0;
	if (bracketed) {
		*host = endpoint_bare(*host);
		if (!is_address(AF_INET6, *host))
			return -1;
	} else if (!endpoint_host_ok(*host)) {
		return -1;
	}
	if (rest.n == 0)
		return 0;
	if (rest.n < 2 || rest.n > 6 || rest.p[0] != ':' || !is_digit(rest.p[1]) ||
	    str_int(str_sub(rest, 1, rest.n), 1, 65535, &number) < 0)
		return -1;
	*port = (int)number;
	return 0;
}

bool
endpoint_path_ok(struct str path)
{
	struct str rest, segment;

	if (path.n == 0 || path.p[0] != '/' || !all_of(path, "/-._~!$&'()*+,;=:@"))
		return false;
	rest = str_sub(path, 1, path.n);
	while (rest.n) {
		segment = str_cut(&rest, '/');
		if (segment.n == 0 || str_is(segment, ".") || str_is(segment, ".."))
			return false;
	}
	return true;
}

const char *
endpoint_url_fault(struct str url, struct str *host)
{
	struct str rest, authority, h;
	size_t scheme = strlen("https://");
	const char *slash;
	int port;

	if (host)
		*host = (struct str){ NULL, 0 };
	if (!str_caseeq(str_sub(url, 0, scheme), STR("https://")))
		return N_("must start with https://");
	rest = str_sub(url, scheme, url.n);
	slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
	authority = slash ? str_sub(rest, 0, (size_t)(slash - rest.p)) : rest;
	rest = str_sub(rest, authority.n, rest.n);
	if (str_find(url, STR("?")) >= 0 || str_find(url, STR("#")) >= 0)
		return N_("must not have a query or fragment");
	if (str_find(authority, STR("@")) >= 0)
		return N_("must not have a user or password in it");
	if (endpoint_split(authority, &h, &port) < 0)
		return N_("has no well-formed host and port");
	if (rest.n && !endpoint_path_ok(rest))
		return N_("has a path that is not plain");
	if (host)
		*host = h;
	return NULL;
}

bool
endpoint_origin_ok(struct str origin)
{
	long at = str_find(origin, STR("://"));
	struct str host;
	int port;

	return at > 0 && all_of(str_sub(origin, 0, (size_t)at), "+-.") &&
	    endpoint_split(str_sub(origin, (size_t)at + 3, origin.n), &host, &port) == 0;
}

bool
endpoint_matches(struct str pattern, struct str host)
{
	pattern = endpoint_bare(pattern);
	host = endpoint_bare(host);
	if (!str_starts(pattern, "*."))
		return str_caseeq(pattern, host);
	pattern = str_sub(pattern, 1, pattern.n);
	return host.n > pattern.n && str_caseeq(str_sub(host, host.n - pattern.n, host.n), pattern);
}
