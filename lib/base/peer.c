#include "base/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define NOBODY 65534		/* the kernel's overflowuid */

bool
peer_is_loopback4(uint32_t network_order)
{
	return ntohl(network_order) >> 24 == 127;
}

bool
peer_is_loopback6(const struct in6_addr *a)
{
	uint32_t v4;

	if (!IN6_IS_ADDR_V4MAPPED(a))
		return IN6_IS_ADDR_LOOPBACK(a);
	memcpy(&v4, a->s6_addr + 12, sizeof(v4));
	return peer_is_loopback4(v4);
}

static bool
is_loopback(const union peer_address *a)
{
	if (a->any.sa_family == AF_INET)
		return peer_is_loopback4(a->v4.sin_addr.s_addr);
	return a->any.sa_family == AF_INET6 && peer_is_loopback6(&a->v6.sin6_addr);
}

static bool
is_inet(const union peer_address *a)
{
	return a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6;
}

static int
port_of(const union peer_address *a)
{
	return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static void
ip_of(const union peer_address *a, char text[INET6_ADDRSTRLEN])
{
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, text, INET6_ADDRSTRLEN);
}

static void
write_address(const union peer_address *a, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (!is_inet(a)) {
		snprintf(out, size, "%s", a->any.sa_family == AF_UNIX ? "unix" : "?");
		return;
	}
	ip_of(a, text);
	snprintf(out, size, a->any.sa_family == AF_INET ? "%s:%d" : "[%s]:%d", text, port_of(a));
}

/* All that follows from the two addresses. */
static void
conclude(struct peer *p)
{
	p->unix_socket = p->local_address.any.sa_family == AF_UNIX;
	/* Both ends: who is redirected to loopback, by a rule of the firewall or a proxy that hides itself, comes from afar. */
	p->local_loopback = is_loopback(&p->local_address) &&
	    (!is_inet(&p->remote_address) || is_loopback(&p->remote_address));
	write_address(&p->local_address, p->local, sizeof(p->local));
	write_address(&p->remote_address, p->remote, sizeof(p->remote));
}

static void
forget(struct peer *p)
{
	*p = (struct peer){ .local = "?", .remote = "?", .uid = (uid_t)-1 };
}

/* ---- the kernel --------------------------------------------------------------------------------------------- */

/* The name of a unix socket is cut off: only its family counts. */
static int
ask(int (*question)(int, struct sockaddr *, socklen_t *), int fd, union peer_address *a)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		union peer_address inet;
	} answer = { 0 };
	socklen_t n = sizeof(answer);

	if (question(fd, &answer.any, &n) < 0)
		return -1;
	if (is_inet(&answer.inet))
		*a = answer.inet;
	else
		a->any.sa_family = answer.any.sa_family;
	return 0;
}

/*
 * In a user namespace (PrivateUsers= in a unit, a container) everybody it does not know bears the number of
 * "nobody", who may then be anybody. The first namespace knows all there are.
 */
static bool
may_be_anybody(uid_t uid)
{
	unsigned long inside, outside, count = 0;
	FILE *map;

	if (uid != NOBODY)
		return false;
	map = fopen("/proc/self/uid_map", "re");
	if (map && fscanf(map, "%lu %lu %lu", &inside, &outside, &count) != 3)
		count = 0;
	if (map)
		fclose(map);
	return count < UINT32_MAX;
}

void
peer_of_socket(int fd, struct peer *p)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	forget(p);
	if (ask(getsockname, fd, &p->local_address) == 0)
		ask(getpeername, fd, &p->remote_address);
	else if (errno == ENOTSOCK)	/* a pipe */
		p->local_address.any.sa_family = p->remote_address.any.sa_family = AF_UNIX;
	conclude(p);
	if (p->unix_socket && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && !may_be_anybody(who.uid))
		p->uid = who.uid;
}

bool
peer_is_trusted(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return false;
	return who.uid == 0 || who.uid == geteuid();
}

/* ---- the environment, as UCSPI has it ----------------------------------------------------------------------- */

static const char *const tcp_names[] = { "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT" };
static const char *const ssl_names[] = { "SSLLOCALIP", "SSLLOCALPORT", "SSLREMOTEIP", "SSLREMOTEPORT" };

static void
read_variables(const char *ip_name, const char *port_name, union peer_address *a)
{
	const char *ip = getenv(ip_name);
	long long port = 0;

	if (!ip || str_int(str_from(getenv(port_name)), 0, 65535, &port) < 0)
		return;
	if (inet_pton(AF_INET, ip, &a->v4.sin_addr) == 1) {
		a->any.sa_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, ip, &a->v6.sin6_addr) == 1) {
		a->any.sa_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
	}
}

/* What is there and no number is a front's "not known". */
static void
read_user(uid_t *uid)
{
	const char *text = getenv("IPCREMOTEEUID");
	long long number;

	if (text)
		*uid = str_int(str_from(text), 0, UINT32_MAX - 1, &number) == 0 ? (uid_t)number : (uid_t)-1;
}

static bool
starts(const char *value, const char *with)
{
	return value && strncmp(value, with, strlen(with)) == 0;
}

/*
 * A socket of the network speaks for itself, whatever the environment says. PROTO is TCP under tcpserver,
 * s6-tcpserver and, with SSL_PROTOCOL, s6-tlsserver and kmi-tls; SSL under sslserver; IPC for unix sockets.
 */
void
peer_of_superserver(int fd, struct peer *p)
{
	const char *proto = getenv("PROTO");
	bool tcp = proto && strcmp(proto, "TCP") == 0, ssl = proto && strcmp(proto, "SSL") == 0;
	bool ipc = proto && strcmp(proto, "IPC") == 0;
	const char *const *names = ssl ? ssl_names : tcp_names;

	peer_of_socket(fd, p);
	if (!p->unix_socket)
		return;
	if (tcp || ssl) {
		forget(p);
		read_variables(names[0], names[1], &p->local_address);
		read_variables(names[2], names[3], &p->remote_address);
		conclude(p);
	}
	/* The user at our socket may be who stands in front, as kmi-tls does: such a one is ours or root's. */
	if (ipc && (p->uid == (uid_t)-1 || peer_is_trusted(fd)))
		read_user(&p->uid);
	p->tls = ssl || starts(getenv("SSL_PROTOCOL"), "TLSv1.");
}

static int
tell_address(const char *ip_name, const char *port_name, const union peer_address *a)
{
	char ip[INET6_ADDRSTRLEN], port[8];

	if (!is_inet(a)) {
		unsetenv(ip_name);
		unsetenv(port_name);
		return 0;
	}
	ip_of(a, ip);
	snprintf(port, sizeof(port), "%d", port_of(a));
	return setenv(ip_name, ip, 1) < 0 || setenv(port_name, port, 1) < 0 ? -1 : 0;
}

static int
tell_user(const struct peer *p)
{
	char number[24] = "?";

	if (!p->unix_socket)
		return unsetenv("IPCREMOTEEUID");
	if (p->uid != (uid_t)-1)
		snprintf(number, sizeof(number), "%lu", (unsigned long)p->uid);
	return setenv("IPCREMOTEEUID", number, 1);
}

int
peer_tell_environment(const struct peer *p, const char *cipher, struct fail *f)
{
	/* What cannot be named is told as TCP without an address, which counts as remote. */
	if (setenv("PROTO", p->unix_socket ? "IPC" : "TCP", 1) < 0 || tell_user(p) < 0 ||
	    tell_address(tcp_names[0], tcp_names[1], &p->local_address) < 0 ||
	    tell_address(tcp_names[2], tcp_names[3], &p->remote_address) < 0)
		return fail_memory(f);
	if (!p->tls) {
		unsetenv("SSL_PROTOCOL");
		unsetenv("SSL_CIPHER");
		return 0;
	}
	return setenv("SSL_PROTOCOL", "TLSv1.2", 1) < 0 || setenv("SSL_CIPHER", cipher, 1) < 0 ? fail_memory(f) : 0;
}

/* ---- a header before the first byte: PROXY protocol, version 2 ---------------------------------------------- */

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

#define FIXED 16		/* signature, version and command, family, length */
#define COMMAND_LOCAL 0x20
#define COMMAND_PROXY 0x21
#define FAMILY_NONE 0x00
#define FAMILY_TCP4 0x11
#define FAMILY_TCP6 0x21
#define FAMILY_UNIX 0x31
#define UNIX_SIZE 216		/* two paths of 108 bytes */
#define TLV_SSL 0x20
#define TLV_SSL_VERSION 0x21
#define TLV_SSL_CIPHER 0x23
#define CLIENT_SSL 1
#define TLV_USER 0xe0		/* the first of those that are free for anybody's use */
#define USER_SIZE 4

static unsigned
number16(const char *p)
{
	return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

/* Takes one type-length-value off the front; false when there is none, or half of one. */
static bool
take_value(struct str *rest, unsigned *type, struct str *value)
{
	size_t n;

	if (rest->n < 3)
		return false;
	n = number16(rest->p + 1);
	if (n > rest->n - 3)
		return false;
	*type = (unsigned char)rest->p[0];
	*value = str_sub(*rest, 3, 3 + n);
	*rest = str_sub(*rest, 3 + n, rest->n);
	return true;
}

/* Client, remote end first, as the protocol has it. Returns the bytes of the addresses, or -1. */
static int
read_addresses(unsigned family, struct str rest, struct peer *p)
{
	union peer_address *from = &p->remote_address, *to = &p->local_address;

	if (family == FAMILY_TCP4 && rest.n >= 12) {
		from->v4.sin_family = to->v4.sin_family = AF_INET;
		memcpy(&from->v4.sin_addr, rest.p, 4);
		memcpy(&to->v4.sin_addr, rest.p + 4, 4);
		memcpy(&from->v4.sin_port, rest.p + 8, 2);
		memcpy(&to->v4.sin_port, rest.p + 10, 2);
		return 12;
	}
	if (family == FAMILY_TCP6 && rest.n >= 36) {
		from->v6.sin6_family = to->v6.sin6_family = AF_INET6;
		memcpy(&from->v6.sin6_addr, rest.p, 16);
		memcpy(&to->v6.sin6_addr, rest.p + 16, 16);
		memcpy(&from->v6.sin6_port, rest.p + 32, 2);
		memcpy(&to->v6.sin6_port, rest.p + 34, 2);
		return 36;
	}
	if (family == FAMILY_UNIX && rest.n >= UNIX_SIZE) {
		from->any.sa_family = to->any.sa_family = AF_UNIX;
		return UNIX_SIZE;
	}
	return family == FAMILY_NONE ? 0 : -1;
}

/* Anything that is not exactly as agreed is refused: better nobody than somebody mistaken for another. */
static bool
read_values(struct str rest, struct peer *p)
{
	struct str value;
	unsigned type;

	while (rest.n) {
		if (!take_value(&rest, &type, &value))
			return false;
		if (type == TLV_SSL) {
			if (value.n < 5)
				return false;
			p->tls = value.p[0] & CLIENT_SSL;
		} else if (type == TLV_USER) {
			if (value.n != USER_SIZE)
				return false;
			p->uid = (uid_t)number16(value.p) << 16 | number16(value.p + 2);
		}
	}
	return true;
}

enum peer_header
peer_of_front(struct str bytes, size_t *used, struct peer *p)
{
	size_t known = bytes.n < sizeof(signature) ? bytes.n : sizeof(signature), n;
	unsigned command, family;
	int size;

	forget(p);
	if (memcmp(bytes.p ? bytes.p : "", signature, known) != 0)
		return PEER_REFUSED;
	if (bytes.n < FIXED)
		return PEER_MORE;
	command = (unsigned char)bytes.p[12];
	family = (unsigned char)bytes.p[13];
	n = number16(bytes.p + 14);
	/* "Local" is a front's own question whether we live: it has no business here, for it would pass as one of us. */
	if (command != COMMAND_PROXY || n > PEER_HEADER_MAX - FIXED)
		return PEER_REFUSED;
	if (bytes.n - FIXED < n)
		return PEER_MORE;
	*used = FIXED + n;
	bytes = str_sub(bytes, FIXED, FIXED + n);
	size = read_addresses(family, bytes, p);
	if (size < 0 || !read_values(str_sub(bytes, (size_t)size, n), p)) {
		forget(p);
		return PEER_REFUSED;
	}
	conclude(p);
	if (!p->unix_socket)
		p->uid = (uid_t)-1;
	return PEER_TOLD;
}

static void
put16(struct buf *out, size_t n)
{
	buf_putc(out, (char)(n >> 8));
	buf_putc(out, (char)n);
}

static void
put_value(struct buf *out, unsigned type, const void *p, size_t n)
{
	buf_putc(out, (char)type);
	put16(out, n);
	buf_put(out, p, n);
}

static unsigned
put_addresses(struct buf *out, const union peer_address *from, const union peer_address *to)
{
	if (from->any.sa_family == AF_INET && to->any.sa_family == AF_INET) {
		buf_put(out, &from->v4.sin_addr, 4);
		buf_put(out, &to->v4.sin_addr, 4);
		buf_put(out, &from->v4.sin_port, 2);
		buf_put(out, &to->v4.sin_port, 2);
		return FAMILY_TCP4;
	}
	if (from->any.sa_family == AF_INET6 && to->any.sa_family == AF_INET6) {
		buf_put(out, &from->v6.sin6_addr, 16);
		buf_put(out, &to->v6.sin6_addr, 16);
		buf_put(out, &from->v6.sin6_port, 2);
		buf_put(out, &to->v6.sin6_port, 2);
		return FAMILY_TCP6;
	}
	if (to->any.sa_family == AF_UNIX) {
		buf_fill(out, '\0', UNIX_SIZE);
		return FAMILY_UNIX;
	}
	return FAMILY_NONE;
}

void
peer_tell_header(const struct peer *p, const char *cipher, struct buf *out)
{
	struct buf body = BUF(PEER_HEADER_MAX), ssl = BUF(PEER_HEADER_MAX);
	unsigned family = put_addresses(&body, &p->remote_address, &p->local_address);

	if (p->tls) {
		/* One byte that says TLS, four of "no client certificate was checked", then names. */
		buf_put(&ssl, "\1\0\0\0\1", 5);
		put_value(&ssl, TLV_SSL_VERSION, "TLSv1.2", 7);
		put_value(&ssl, TLV_SSL_CIPHER, cipher, strlen(cipher));
		put_value(&body, TLV_SSL, ssl.p, ssl.n);
	}
	if (p->unix_socket && p->uid != (uid_t)-1) {
		uint32_t user = htonl(p->uid);

		put_value(&body, TLV_USER, &user, USER_SIZE);
	}
	buf_put(out, signature, sizeof(signature));
	buf_putc(out, COMMAND_PROXY);
	buf_putc(out, (char)family);
	put16(out, body.n);
	buf_str(out, buf_view(&body));
	if (buf_bad(&body) || buf_bad(&ssl))
		out->bad = true;
	buf_free(&body);
	buf_free(&ssl);
}
