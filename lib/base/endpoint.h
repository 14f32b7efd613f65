/*
 * endpoint: host names, addresses, origins and base URLs, as text.
 *
 * Pure questions about slices: nothing is resolved, opened or copied. What
 * they call well-formed is strict, so that what we check is what curl and the
 * kernel will understand: no `127.1` for 127.0.0.1, no dot at the end of a name.
 */
#ifndef KMI_BASE_ENDPOINT_H
#define KMI_BASE_ENDPOINT_H

#include "base/buf.h"

#define ENDPOINT_HOST_MAX 253

/* A host name, an IPv4 address or an IPv6 address without brackets. */
bool endpoint_host_ok(struct str host);
/*
 * Takes `host`, `host:port`, `[ipv6]` or `[ipv6]:port` apart; *host comes without
 * brackets, *port is 1 to 65535, or 0 when none is given. -1 when malformed.
 */
int endpoint_split(struct str s, struct str *host, int *port);
/* An absolute path of plain URL characters, with no empty, `.` or `..` segment; one '/' at the end may be there. */
bool endpoint_path_ok(struct str path);
/* What is wrong with an upstream base URL, as a phrase that follows "the URL", or NULL; *host (may be NULL) is its host. */
const char *endpoint_url_fault(struct str url, struct str *host);
/* An origin as browsers send it: scheme://host or scheme://host:port. */
bool endpoint_origin_ok(struct str origin);
/* Whether a pattern, a host or `*.domain` (anything below domain), covers host. Brackets and case do not count. */
bool endpoint_matches(struct str pattern, struct str host);
/* A path or URL without the slashes at its end. */
struct str endpoint_trim(struct str s);
/* A slice without the brackets of an IPv6 literal. */
struct str endpoint_bare(struct str host);

#endif
