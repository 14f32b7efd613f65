#include "base/listener.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define INODES_MAX 32	/* SO_REUSEPORT lets several sockets share an address */

/* The sockets found, by inode: what links a line of /proc/net to the processes that hold it. */
struct sockets {
	unsigned long inodes[INODES_MAX];
	size_t count;
	uid_t uid;
};

/* An address of either family as 16 bytes, IPv4 mapped, so that both tables compare alike. */
static void
map_v4(struct in6_addr *out, const void *four)
{
	*out = (struct in6_addr){ 0 };
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(out->s6_addr + 12, four, 4);
}

static bool
is_v4(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

static bool
is_any(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a) || (is_v4(a) && memcmp(a->s6_addr + 12, "\0\0\0\0", 4) == 0);
}

/* Whether a socket bound to `have` answers, or keeps others from, `want`. */
static bool
overlaps(const struct in6_addr *have, const struct in6_addr *want)
{
	if (memcmp(have, want, sizeof(*have)) == 0)
		return true;
	/* "::" takes IPv4 too unless told otherwise, which /proc does not say. */
	if (IN6_IS_ADDR_UNSPECIFIED(have) || IN6_IS_ADDR_UNSPECIFIED(want))
		return true;
	return is_v4(have) && is_v4(want) && (is_any(have) || is_any(want));
}

/* Where a connection would go to, and the sockets found to stand there. */
struct search {
	struct in6_addr want;
	int port;
	struct sockets *found;
};

static void
add_socket(struct sockets *s, uid_t uid, unsigned long inode)
{
	s->uid = uid;
	if (s->count < INODES_MAX)
		s->inodes[s->count++] = inode;
}

static void
consider(struct search *s, const struct in6_addr *have, int port, uid_t uid, unsigned long inode)
{
	if (port == s->port && overlaps(have, &s->want))
		add_socket(s->found, uid, inode);
}

/* "0100007F" or four such words: 32-bit words in the machine's own byte order. */
static int
read_hex_address(const char *s, size_t n, struct in6_addr *out)
{
	uint32_t words[4];

	if (n != 8 && n != 32)
		return -1;
	for (size_t i = 0; i < n / 8; i++) {
		char word[9] = { 0 }, *end;

		memcpy(word, s + 8 * i, 8);
		words[i] = (uint32_t)strtoul(word, &end, 16);
		if (*end)
			return -1;
	}
	if (n == 8)
		map_v4(out, words);
	else
		memcpy(out, words, 16);
	return 0;
}

static void
scan_proc(struct search *s, int family)
{
	FILE *fp = fopen(family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", "re");
	char line[512];

	if (!fp)
		return;		/* no IPv6 on this machine */
	while (fgets(line, sizeof(line), fp)) {
		char address[33];
		unsigned port, state;
		unsigned long uid, inode;
		struct in6_addr have;

		/* The heading does not match. */
		if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %lu %*u %lu",
		    address, &port, &state, &uid, &inode) != 5)
			continue;
		/* The kernel lists listening sockets first. */
		if (state != TCP_LISTEN)
			break;
		if (read_hex_address(address, strlen(address), &have) == 0)
			consider(s, &have, (int)port, (uid_t)uid, inode);
	}
	fclose(fp);
}

/* One answer of the kernel, which holds many sockets: 1 = more to come, 0 = the last, -1 = refused. */
static int
read_diag(struct search *s, const char *p, size_t n)
{
	while (n >= sizeof(struct nlmsghdr)) {
		struct inet_diag_msg m;
		struct nlmsghdr h;
		struct in6_addr have;

		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_type == NLMSG_DONE)
			return 0;
		if (h.nlmsg_type != SOCK_DIAG_BY_FAMILY || h.nlmsg_len < NLMSG_LENGTH(sizeof(m)) ||
		    h.nlmsg_len > n)
			return -1;
		memcpy(&m, p + NLMSG_HDRLEN, sizeof(m));
		if (m.idiag_family == AF_INET)
			map_v4(&have, m.id.idiag_src);
		else
			memcpy(&have, m.id.idiag_src, sizeof(have));
		consider(s, &have, ntohs(m.id.idiag_sport), m.idiag_uid, m.idiag_inode);
		if (NLMSG_ALIGN(h.nlmsg_len) >= n)
			break;
		p += NLMSG_ALIGN(h.nlmsg_len);
		n -= NLMSG_ALIGN(h.nlmsg_len);
	}
	return 1;
}

/*
 * Asks the kernel for the listening sockets alone. Its text in /proc/net walks the table of all
 * connections as well, which takes milliseconds even where it is empty.
 */
static int
scan_diag(struct search *s, int family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} ask = {
		.head = {
			.nlmsg_len = sizeof(ask),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.body = {
			.sdiag_family = (uint8_t)family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1 << TCP_LISTEN,
		},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), more = -1;
	struct timeval limit = { .tv_sec = 1 };
	char answer[16384];

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (send(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask))
		do {
			ssize_t n = recv(fd, answer, sizeof(answer), 0);

			more = n > 0 ? read_diag(s, answer, (size_t)n) : -1;
		} while (more > 0);
	close(fd);
	return more;
}

static void
scan_tcp(struct search *s, int family)
{
	struct sockets before = *s->found;

	if (scan_diag(s, family) == 0)
		return;
	*s->found = before;	/* a kernel or a sandbox without it */
	scan_proc(s, family);
}

static int
scan_host(struct sockets *found, const char *host, int port, struct fail *f)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	struct search s = { .port = port, .found = found };
	struct in_addr four;
	int rc;

	/* Numeric addresses, the usual case, without the resolver and all it loads. */
	if (inet_pton(AF_INET, host, &four) == 1) {
		map_v4(&s.want, &four);
		scan_tcp(&s, AF_INET);
		scan_tcp(&s, AF_INET6);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &s.want) == 1) {
		if (is_v4(&s.want) || is_any(&s.want))
			scan_tcp(&s, AF_INET);
		scan_tcp(&s, AF_INET6);
		return 0;
	}
	rc = getaddrinfo(host, NULL, &hints, &list);
	if (rc != 0)
		return fail_set(f, FAIL_SYSTEM, "look up %s: %s", host, text_say(gai_strerror(rc)));
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		if (a->ai_family == AF_INET) {
			map_v4(&s.want, &((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr);
			scan_tcp(&s, AF_INET);
		} else if (a->ai_family == AF_INET6) {
			s.want = ((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr;
		} else {
			continue;
		}
		scan_tcp(&s, AF_INET6);
	}
	freeaddrinfo(list);
	return 0;
}

static void
scan_unix(struct sockets *s, const char *path)
{
	FILE *fp = fopen("/proc/net/unix", "re");
	char line[512];

	if (!fp)
		return;
	while (fgets(line, sizeof(line), fp)) {
		unsigned long flags, inode;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*[^:]: %*x %*x %lx %*x %*x %lu %n", &flags, &inode, &at) != 2 || at == 0)
			continue;
		/* 0x10000: somebody called listen() on it. */
		if (flags & 0x10000 && strcmp(line + at, path) == 0)
			add_socket(s, (uid_t)-1, inode);
	}
	fclose(fp);
}

int
listener_command(pid_t pid, char out[LISTENER_NAME_SIZE])
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, out, LISTENER_NAME_SIZE - 1);
	close(fd);
	if (n <= 0)
		return -1;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

/* Whether one of the process's descriptors is one of the sockets. */
static bool
holds(pid_t pid, const struct sockets *s)
{
	char path[64], link[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	d = opendir(path);
	if (!d)
		return false;	/* gone, or not ours to look at */
	while (!found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		unsigned long inode;

		if (n <= 0)
			continue;
		link[n] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (size_t i = 0; i < s->count && !found; i++)
			found = s->inodes[i] == inode;
	}
	closedir(d);
	return found;
}

static int
add_process(struct listeners *l, pid_t pid, struct fail *f)
{
	struct listener *more = realloc(l->items, (l->count + 1) * sizeof(*more));

	if (!more)
		return fail_memory(f);
	l->items = more;
	more[l->count] = (struct listener){ .pid = pid };
	if (listener_command(pid, more[l->count].command) == 0)
		l->count++;	/* else it ended just now */
	return 0;
}

static int
by_pid(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int
find_processes(struct listeners *l, const struct sockets *s, pid_t guess, struct fail *f)
{
	struct dirent *e;
	int rc = 0;
	DIR *d;

	if (guess > 0 && holds(guess, s))
		return add_process(l, guess, f);
	d = opendir("/proc");
	if (!d)
		return 0;	/* no /proc: who it is stays unknown */
	while (rc == 0 && (e = readdir(d))) {
		long long pid;

		if (str_int(str_from(e->d_name), 1, INT32_MAX, &pid) == 0 && holds((pid_t)pid, s))
			rc = add_process(l, (pid_t)pid, f);
	}
	closedir(d);
	if (l->count)
		qsort(l->items, l->count, sizeof(*l->items), by_pid);
	return rc;
}

int
listener_find(struct listeners *l, const struct listen_address *a, pid_t guess, struct fail *f)
{
	struct sockets s = { .uid = (uid_t)-1 };

	*l = (struct listeners){ .uid = (uid_t)-1 };
	if (a->path)
		scan_unix(&s, a->path);
	else if (scan_host(&s, a->host, a->port, f) < 0)
		return -1;
	l->listening = s.count > 0;
	l->uid = s.uid;
	return l->listening ? find_processes(l, &s, guess, f) : 0;
}

void
listener_free(struct listeners *l)
{
	free(l->items);
	*l = (struct listeners){ 0 };
}
