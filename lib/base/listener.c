#include "base/listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INODES_MAX 32	/* SO_REUSEPORT lets several sockets share an address */

/* The sockets found, by inode: what links a line of /proc/net to the processes that hold it. */
struct sockets {
	unsigned long inodes[INODES_MAX];
	size_t count;
	uid_t uid;
};

static void
add_socket(struct sockets *s, unsigned long inode)
{
	if (s->count < INODES_MAX)
		s->inodes[s->count++] = inode;
}

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
scan_tcp(struct sockets *s, const char *table, const struct in6_addr *want, int port)
{
	FILE *fp = fopen(table, "re");
	char line[512];

	if (!fp)
		return;		/* no IPv6 on this machine */
	if (!fgets(line, sizeof(line), fp))
		line[0] = '\0';	/* the heading */
	while (fgets(line, sizeof(line), fp)) {
		char address[33];
		unsigned have_port, state;
		unsigned long uid, inode;
		struct in6_addr have;

		if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %lu %*u %lu",
		    address, &have_port, &state, &uid, &inode) != 5)
			continue;
		/* The kernel lists listening sockets first: a machine with a million connections costs no more. */
		if (state != 0x0a)
			break;
		if ((int)have_port != port || read_hex_address(address, strlen(address), &have) < 0 ||
		    !overlaps(&have, want))
			continue;
		s->uid = (uid_t)uid;
		add_socket(s, inode);
	}
	fclose(fp);
}

static int
scan_host(struct sockets *s, const char *host, int port, struct fail *f)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	struct in6_addr want;
	struct in_addr four;
	int rc;

	/* Numeric addresses, the usual case, without the resolver and all it loads. */
	if (inet_pton(AF_INET, host, &four) == 1) {
		map_v4(&want, &four);
		scan_tcp(s, "/proc/net/tcp", &want, port);
		scan_tcp(s, "/proc/net/tcp6", &want, port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &want) == 1) {
		if (is_v4(&want) || is_any(&want))
			scan_tcp(s, "/proc/net/tcp", &want, port);
		scan_tcp(s, "/proc/net/tcp6", &want, port);
		return 0;
	}
	rc = getaddrinfo(host, NULL, &hints, &list);
	if (rc != 0)
		return fail_set(f, FAIL_SYSTEM, "look up %s: %s", host, gai_strerror(rc));
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		if (a->ai_family == AF_INET) {
			map_v4(&want, &((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr);
			scan_tcp(s, "/proc/net/tcp", &want, port);
		} else if (a->ai_family == AF_INET6) {
			want = ((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr;
		} else {
			continue;
		}
		scan_tcp(s, "/proc/net/tcp6", &want, port);
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
			add_socket(s, inode);
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
