#include "base/peer.h"

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static void
tcp_peer(int family, const void *address, socklen_t size, const char *name)
{
	struct sockaddr_storage bound;
	socklen_t n = sizeof(bound);
	struct peer p;
	int listener = socket(family, SOCK_STREAM, 0), client = socket(family, SOCK_STREAM, 0), fd = -1;

	if (bind(listener, address, size) < 0)
		goto out; /* no IPv6 here */
	CHECK(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&bound, &n) == 0);
	CHECK(connect(client, (struct sockaddr *)&bound, n) == 0);
	fd = accept(listener, NULL, NULL);
	peer_of_socket(fd, &p);
	CHECK(p.local_loopback && !p.unix_socket && !p.tls && p.uid == (uid_t)-1);
	CHECK(!strncmp(p.local, name, strlen(name)) && !strncmp(p.remote, name, strlen(name)) &&
	      strcmp(p.local, p.remote));
out:
	close(listener);
	close(client);
	close(fd);
}

static void
peers(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct peer p;
	int fds[2];

	tcp_peer(AF_INET, &v4, sizeof(v4), "127.0.0.1:");
	tcp_peer(AF_INET6, &v6, sizeof(v6), "[::1]:");
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	peer_of_socket(fds[0], &p);
	CHECK(p.unix_socket && !p.local_loopback && p.uid == getuid());
	CHECK_STR(p.remote, "unix");
	close(fds[0]);
	close(fds[1]);
	CHECK(pipe(fds) == 0);
	peer_of_socket(fds[0], &p);
	CHECK(p.unix_socket && !p.local_loopback && p.uid == (uid_t)-1);
	close(fds[0]);
	close(fds[1]);
	peer_of_socket(-1, &p); /* nothing is known: not local */
	CHECK(!p.unix_socket && !p.local_loopback);
}

/* ---- the environment ---- */

static const char *const names[] = { "PROTO", "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT", "SSLLOCALIP",
	"SSLLOCALPORT", "SSLREMOTEIP", "SSLREMOTEPORT", "SSL_PROTOCOL", "SSL_CIPHER", "IPCREMOTEEUID" };

/* NAME=VALUE words; all others of ours are unset. */
static void
environment(const char *text)
{
	char copy[400], *rest = copy, *word;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value = '\0';
		setenv(word, value + 1, 1);
	}
}

static void
superservers(void)
{
	static const struct {
		const char *environment, *local, *remote;
		bool on_unix, loopback, tls;
	} table[] = {
		{ "", "unix", "unix", true, false, false },
		{ "PROTO=IPC", "unix", "unix", true, false, false },
		{ "PROTO=IPC SSL_PROTOCOL=TLSv1.2", "unix", "unix", true, false, true },
		{ "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80 TCPREMOTEIP=127.0.0.1 TCPREMOTEPORT=5", "127.0.0.1:80",
		    "127.0.0.1:5", false, true, false },
		{ "PROTO=TCP TCPLOCALIP=192.0.2.1 TCPLOCALPORT=80 TCPREMOTEIP=192.0.2.9 TCPREMOTEPORT=5", "192.0.2.1:80",
		    "192.0.2.9:5", false, false, false },
		{ "PROTO=TCP TCPLOCALIP=::1 TCPLOCALPORT=80 SSL_PROTOCOL=TLSv1.3", "[::1]:80", "?", false, true, true },
		{ "PROTO=TCP TCPLOCALIP=2001:db8::1 TCPLOCALPORT=80 SSL_PROTOCOL=TLSv1.2", "[2001:db8::1]:80", "?", false, false, true },
		{ "PROTO=SSL SSLLOCALIP=192.0.2.1 SSLLOCALPORT=443", "192.0.2.1:443", "?", false, false, true },
		{ "PROTO=TCP TCPLOCALIP=127.0.0.2 TCPLOCALPORT=80 TCPREMOTEIP=127.0.0.9 TCPREMOTEPORT=5", "127.0.0.2:80",
		    "127.0.0.9:5", false, true, false },
		{ "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80 TCPREMOTEIP=192.0.2.9 TCPREMOTEPORT=5", "127.0.0.1:80",
		    "192.0.2.9:5", false, false, false },
		{ "PROTO=TCP TCPLOCALIP=::1 TCPLOCALPORT=80 TCPREMOTEIP=fe80::1 TCPREMOTEPORT=5", "[::1]:80", "[fe80::1]:5", false,
		    false, false },
		{ "PROTO=TCP TCPLOCALIP=::ffff:127.0.0.1 TCPLOCALPORT=80 TCPREMOTEIP=::ffff:127.0.0.1 TCPREMOTEPORT=5",
		    "[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:5", false, true, false },
		{ "PROTO=TCP TCPLOCALIP=::ffff:192.0.2.1 TCPLOCALPORT=80 TCPREMOTEIP=::ffff:127.0.0.1 TCPREMOTEPORT=5",
		    "[::ffff:192.0.2.1]:80", "[::ffff:127.0.0.1]:5", false, false, false },
		/* a word that is not as it should be counts as remote */
		{ "PROTO=TCP", "?", "?", false, false, false },
		{ "PROTO=TCP TCPLOCALIP=127.0.0.1", "?", "?", false, false, false },
		{ "PROTO=TCP TCPLOCALIP=localhost TCPLOCALPORT=80", "?", "?", false, false, false },
		{ "PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=65536", "?", "?", false, false, false },
		{ "PROTO=TCP TCPLOCALIP= TCPLOCALPORT=", "?", "?", false, false, false },
		{ "PROTO=SSL TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80", "?", "?", false, false, true },
		{ "PROTO=TCP TCPLOCALIP=192.0.2.1 TCPLOCALPORT=80 SSL_PROTOCOL=none", "192.0.2.1:80", "?", false, false, false },
	};
	struct peer p, again;
	struct fail f;
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		environment(table[i].environment);
		peer_of_superserver(fds[0], &p);
		printf("# %s\n", table[i].environment);
		CHECK_STR(p.local, table[i].local);
		CHECK_STR(p.remote, table[i].remote);
		CHECK(p.unix_socket == table[i].on_unix && p.local_loopback == table[i].loopback && p.tls == table[i].tls);
		/* what is told to the next program is what was known */
		CHECK(peer_tell_environment(&p, "A-CIPHER", &f) == 0);
		peer_of_superserver(fds[0], &again);
		CHECK_STR(again.local, p.local);
		CHECK_STR(again.remote, p.remote);
		CHECK(again.unix_socket == p.unix_socket && again.local_loopback == p.local_loopback && again.tls == p.tls);
	}
	environment("");
	close(fds[0]);
	close(fds[1]);
}

/* Who is at a unix socket: the kernel says; a front that is ours or root's may say that it is another. */
static void
users(void)
{
	static const struct {
		const char *environment;
		uid_t want;
	} table[] = {
		{ "PROTO=IPC IPCREMOTEEUID=1234", 1234 },
		{ "PROTO=IPC IPCREMOTEEUID=?", (uid_t)-1 },
		{ "PROTO=IPC IPCREMOTEEUID=", (uid_t)-1 },
		{ "PROTO=IPC IPCREMOTEEUID=-1", (uid_t)-1 },
		{ "PROTO=IPC IPCREMOTEEUID=4294967295", (uid_t)-1 },
		{ "PROTO=TCP IPCREMOTEEUID=1234", (uid_t)-1 },
	};
	struct peer p, again;
	struct fail f;
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	environment("IPCREMOTEEUID=1234");
	peer_of_superserver(fds[0], &p);
	CHECK_NAMED(p.uid == geteuid(), "without PROTO=IPC the variable is somebody else's");
	environment("PROTO=IPC");
	peer_of_superserver(fds[0], &p);
	CHECK_NAMED(p.uid == geteuid(), "without the variable it is who is at the socket");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		environment(table[i].environment);
		peer_of_superserver(fds[0], &p);
		CHECK_NAMED(p.uid == table[i].want, table[i].environment);
		CHECK(peer_tell_environment(&p, "A-CIPHER", &f) == 0);
		peer_of_superserver(fds[0], &again);
		CHECK_NAMED(again.uid == p.uid, "what is told is what was known");
	}
	environment("");
	close(fds[0]);
	close(fds[1]);
}

/* A socket of the network is asked itself, whatever the environment says. */
static void
network_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct peer p;

	environment("PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80 SSL_PROTOCOL=TLSv1.2");
	peer_of_superserver(fd, &p);
	CHECK_STR(p.local, "0.0.0.0:0");
	CHECK(!p.local_loopback && !p.unix_socket && !p.tls);
	peer_of_superserver(-1, &p);
	CHECK(!p.local_loopback && !p.unix_socket && !p.tls);
	environment("");
	close(fd);
}

/* ---- the header ---- */

static struct peer
from_text(const char *environment_text)
{
	struct peer p;
	int fds[2];

	CHECK(pipe(fds) == 0);
	environment(environment_text);
	peer_of_superserver(fds[0], &p);
	environment("");
	close(fds[0]);
	close(fds[1]);
	return p;
}

static void
headers(void)
{
	static const char *const tables[] = {
		"PROTO=TCP TCPLOCALIP=192.0.2.1 TCPLOCALPORT=80 TCPREMOTEIP=192.0.2.9 TCPREMOTEPORT=5 SSL_PROTOCOL=TLSv1.2",
		"PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=80 TCPREMOTEIP=127.0.0.1 TCPREMOTEPORT=65535",
		"PROTO=TCP TCPLOCALIP=2001:db8::1 TCPLOCALPORT=80 TCPREMOTEIP=::1 TCPREMOTEPORT=1 SSL_PROTOCOL=TLSv1.2",
		"PROTO=IPC SSL_PROTOCOL=TLSv1.2",
		"PROTO=IPC SSL_PROTOCOL=TLSv1.2 IPCREMOTEEUID=70000",
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		struct peer told = from_text(tables[i]), heard;
		struct buf b = BUF(4096);
		size_t used = 0, n;

		peer_tell_header(&told, "A-CIPHER", &b);
		CHECK(!buf_bad(&b) && b.n < 300);
		n = b.n;
		buf_puts(&b, "GET / HTTP/1.1\r\n");
		for (size_t cut = 0; cut < n; cut++)
			if (peer_of_front((struct str){ b.p, cut }, &used, &heard) != PEER_MORE)
				CHECK_NAMED(false, "half a header is no header");
		CHECK(peer_of_front(buf_view(&b), &used, &heard) == PEER_TOLD);
		CHECK_INT(used, n);
		CHECK_STR(heard.local, told.local);
		CHECK_STR(heard.remote, told.remote);
		CHECK(heard.unix_socket == told.unix_socket && heard.local_loopback == told.local_loopback && heard.tls == told.tls);
		CHECK(heard.uid == told.uid);
		buf_free(&b);
	}
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\x7f\0\0\1\x7f\0\0\1\0\1\0\2"

static void
other_headers(void)
{
	static const struct {
		const char *name;
		struct str bytes;
		enum peer_header want;
		bool tls;
	} table[] = {
		{ "nothing yet", STR(""), PEER_MORE, false },
		{ "a request", STR("GET / HTTP/1.1\r\n"), PEER_REFUSED, false },
		{ "version 1", STR("PROXY TCP4 192.0.2.9 192.0.2.1 5 80\r\n"), PEER_REFUSED, false },
		{ "an empty line", STR("\r\n"), PEER_MORE, false },
		{ "no address", STR(SIGNATURE "\x21\0\0\0"), PEER_TOLD, false },
		{ "a front's own question", STR(SIGNATURE "\x20\0\0\0"), PEER_REFUSED, false },
		{ "version 3", STR(SIGNATURE "\x31\x11\0\x0c" TCP4), PEER_REFUSED, false },
		{ "another command", STR(SIGNATURE "\x22\x11\0\x0c" TCP4), PEER_REFUSED, false },
		{ "plain, as others send it", STR(SIGNATURE "\x21\x11\0\x0c" TCP4), PEER_TOLD, false },
		{ "with a value we do not know", STR(SIGNATURE "\x21\x11\0\x11" TCP4 "\x04\0\2ab"), PEER_TOLD, false },
		{ "with TLS", STR(SIGNATURE "\x21\x11\0\x14" TCP4 "\x20\0\5\1\0\0\0\0"), PEER_TOLD, true },
		{ "with a value about TLS that says: none", STR(SIGNATURE "\x21\x11\0\x14" TCP4 "\x20\0\5\0\0\0\0\0"), PEER_TOLD, false },
		{ "UDP", STR(SIGNATURE "\x21\x12\0\x0c" TCP4), PEER_REFUSED, false },
		{ "too short for its addresses", STR(SIGNATURE "\x21\x11\0\x0b" TCP4), PEER_REFUSED, false },
		{ "too long", STR(SIGNATURE "\x21\x11\x7f\xff"), PEER_REFUSED, false },
		{ "a value longer than the header", STR(SIGNATURE "\x21\x11\0\x0f" TCP4 "\x20\0\5"), PEER_REFUSED, false },
		{ "half a value", STR(SIGNATURE "\x21\x11\0\x0e" TCP4 "\x20\0"), PEER_REFUSED, false },
		{ "a short value about TLS", STR(SIGNATURE "\x21\x11\0\x10" TCP4 "\x20\0\1\1"), PEER_REFUSED, false },
		{ "a user, where there is none", STR(SIGNATURE "\x21\x11\0\x13" TCP4 "\xe0\0\4\0\0\0\0"), PEER_TOLD, false },
		{ "a user whose number is short", STR(SIGNATURE "\x21\x11\0\x11" TCP4 "\xe0\0\2\0\0"), PEER_REFUSED, false },
		{ "a unix socket without its paths", STR(SIGNATURE "\x21\x31\0\0"), PEER_REFUSED, false },
	};
	struct peer p;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		size_t used = 0;

		printf("# %s\n", table[i].name);
		CHECK_INT(peer_of_front(table[i].bytes, &used, &p), table[i].want);
		CHECK(p.tls == table[i].tls && !p.unix_socket && p.uid == (uid_t)-1);
		CHECK(p.local_loopback == (table[i].want == PEER_TOLD && table[i].bytes.n > 16));
	}
}

int
main(void)
{
	environment("");
	peers();
	superservers();
	users();
	network_socket();
	headers();
	other_headers();
	return check_done();
}
