/*
 * peer: the two ends of a connection, and whether it is encrypted: what "who may talk" is judged by.
 *
 * Three may tell it, and who asks decides whom to believe:
 *
 *	peer_of_socket(fd, &p);		the kernel, about the socket itself
 *	peer_of_superserver(fd, &p);	the kernel; for a pipe or a unix socket the UCSPI variables of the program
 *					that gave it to us (PROTO, TCPLOCALIP, SSL_PROTOCOL, ...), when there are any
 *	peer_of_front(bytes, &used, &p)	a header before the first byte: PROXY protocol, version 2
 *
 * Behind a program that terminates TLS the socket looks local whoever the client is: there only the second
 * and the third know. A header is to be asked for where nobody but such a program can connect, and nowhere
 * else. kmi-tls tells with peer_tell_environment() and peer_tell_header() what is read here.
 *
 * Nothing here fails open: what cannot be found out is neither local nor encrypted.
 */
#ifndef KMI_BASE_PEER_H
#define KMI_BASE_PEER_H

#include "base/buf.h"
#include "base/fail.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#define PEER_HEADER_MAX 1024	/* of a header from a front; ours is below 100 bytes */

union peer_address {
	struct sockaddr any;	/* AF_UNSPEC: not known */
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct peer {
	bool unix_socket;	/* a unix socket or a pipe: the network does not reach it */
	bool local_loopback;	/* our end is a loopback address, and theirs is none of the network */
	bool tls;		/* encrypted up to us, or up to the front that told so */
	char local[80];		/* our end and theirs for the log: "127.0.0.1:54123", "[::1]:1", "unix", "?" */
	char remote[80];
	uid_t uid;		/* who is at the other end of a unix socket; (uid_t)-1: it is none, or he is not known here */
	union peer_address local_address, remote_address;
};

void peer_of_socket(int fd, struct peer *p);
void peer_of_superserver(int fd, struct peer *p);

enum peer_header { PEER_MORE, PEER_TOLD, PEER_REFUSED };

/* What came from a front so far. Told: `*used` bytes are the header's. Refused: this is no such header. */
enum peer_header peer_of_front(struct str bytes, size_t *used, struct peer *p);

/* For a program that is to be exec'd: 0, or -1 when memory is out. `cipher` is a name for people. */
int peer_tell_environment(const struct peer *p, const char *cipher, struct fail *f);
void peer_tell_header(const struct peer *p, const char *cipher, struct buf *out);

/* Whether the process at the other end of a unix socket is ours or root's. */
bool peer_is_trusted(int fd);

bool peer_is_loopback4(uint32_t network_order);
bool peer_is_loopback6(const struct in6_addr *a);	/* ::1, or an IPv4 loopback address in IPv6's clothes */

#endif
