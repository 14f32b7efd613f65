#include "tls/backend.h"

#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define BACKLOG 4096
#define CONNECT_SECONDS 10	/* a pool that is full takes nobody */
#define CIPHER_MAX 63

static int
find_handler(struct backend *b, struct fail *f)
{
	return program_beside("kmi-handle", b->handler, sizeof(b->handler), f);
}

int
backend_pool(struct backend *b, const char *path, struct fail *f)
{
	*b = (struct backend){ .address = { .sun_family = AF_UNIX } };
	if (strlen(path) >= sizeof(b->address.sun_path))
		return fail_set(f, FAIL_USAGE, "KMI_PROXY_TLS_POOL: the path of a unix socket has at most %zu bytes",
		    sizeof(b->address.sun_path) - 1);
	strcpy(b->address.sun_path, path);
	b->address_size = sizeof(b->address);
	return 0;
}

/* The kernel finds a name that nobody has. It needs no folder, and is gone with us. */
static int
listen_unnamed(struct fail *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un any = { .sun_family = AF_UNIX };

	if (fd < 0)
		return fail_sys(f, "socket");
	if (bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	fail_sys(f, "a socket for the pool");
	close(fd);
	return -1;
}

int
backend_own_pool(struct backend *b, const struct passed *sockets, int count, struct fail *f)
{
	struct passed *ours = NULL;

	*b = (struct backend){ 0 };
	if (find_handler(b, f) < 0)
		return -1;
	if (count >= PASSED_MAX)
		return fail_set(f, FAIL_USAGE, "more than %d listening sockets", PASSED_MAX - 1);
	memcpy(b->sockets, sockets, (size_t)count * sizeof(*sockets));
	b->count = count;
	for (int i = 0; i < count; i++)
		if (strcmp(b->sockets[i].name, BACKEND_SOCKET_NAME) == 0)
			ours = &b->sockets[i];
	if (!ours) {
		ours = &b->sockets[b->count++];
		*ours = (struct passed){ .fd = listen_unnamed(f), .name = BACKEND_SOCKET_NAME };
	}
	b->address_size = sizeof(b->address);
	if (ours->fd < 0)
		return -1;
	return getsockname(ours->fd, (struct sockaddr *)&b->address, &b->address_size) < 0 ? fail_sys(f, "the pool's socket") : 0;
}

/* ---- starting programs -------------------------------------------------------------------------------------- */

/* Between fork and exec: nothing of ours but what stands on 0 to 2 and is passed on. */
static void
leave_alone(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("NOTIFY_SOCKET");	/* that is about us */
}

int
backend_start(struct backend *b, struct fail *f)
{
	pid_t self = getpid();

	b->pool = fork();
	if (b->pool < 0)
		return fail_sys(f, "fork");
	if (b->pool > 0)
		return 0;
	leave_alone();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == self && passed_give(b->sockets, b->count, f) == 0)
		execl(b->handler, "kmi-handle", (char *)NULL);
	_exit(1);
}

/* The word is how the connection is encrypted. None comes when the handshake fails: then nobody is needed. */
static _Noreturn void
wait_for_word(const struct backend *b, int link, int word, const struct peer *p)
{
	struct peer secure = *p;
	char cipher[CIPHER_MAX + 1];
	ssize_t n = 0;

	secure.tls = true;
	leave_alone();
	if (dup2(link, 0) < 0 || dup2(link, 1) < 0 || dup2(word, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	do
		n = read(3, cipher, CIPHER_MAX);
	while (n < 0 && errno == EINTR);
	close(3);
	if (n <= 0)
		_exit(0);
	cipher[n] = '\0';
	if (peer_tell_environment(&secure, cipher, NULL) == 0)
		execl(b->handler, "kmi-handle", (char *)NULL);
	_exit(1);
}

int
backend_handler(struct backend *b, const struct peer *p, struct fail *f)
{
	int link[2] = { -1, -1 }, word[2] = { -1, -1 };

	*b = (struct backend){ .link = -1, .word = -1 };
	if (find_handler(b, f) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0 || pipe2(word, O_CLOEXEC) < 0) {
		fail_sys(f, "a socket for kmi-handle");
		goto out;
	}
	b->waiting = fork();
	if (b->waiting == 0)
		wait_for_word(b, link[1], word[0], p);
	if (b->waiting < 0) {
		fail_sys(f, "fork");
		goto out;
	}
	close(link[1]);
	close(word[0]);
	b->link = link[0];
	b->word = word[1];
	return 0;
out:
	for (int i = 0; i < 2; i++) {
		if (link[i] >= 0)
			close(link[i]);
		if (word[i] >= 0)
			close(word[i]);
	}
	return -1;
}

static int
give_word(const struct backend *b, const char *cipher, pid_t *child, struct fail *f)
{
	size_t n = strlen(cipher);

	if (n > CIPHER_MAX || write(b->word, cipher, n) != (ssize_t)n)
		return fail_sys(f, "start kmi-handle");
	close(b->word);
	*child = b->waiting;
	return b->link;
}

/* ---- a connection to a pool --------------------------------------------------------------------------------- */

static int
connect_pool(const struct backend *b, struct fail *f)
{
	struct timeval limit = { .tv_sec = CONNECT_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail_sys(f, "socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&b->address, b->address_size) < 0)
		fail_sys(f, "connect to the pool");
	else if (!peer_is_trusted(fd))
		fail_set(f, FAIL_SYSTEM, "the pool's socket belongs to another user");
	else
		return fd;
	close(fd);
	return -1;
}

static int
tell_pool(int fd, const struct peer *p, const char *cipher, struct fail *f)
{
	struct buf header = BUF(PEER_HEADER_MAX);
	int rc = 0;

	peer_tell_header(p, cipher, &header);
	if (buf_bad(&header) || send(fd, header.p, header.n, MSG_NOSIGNAL) != (ssize_t)header.n)
		rc = fail_sys(f, "tell the pool");
	buf_free(&header);
	return rc;
}

int
backend_link(const struct backend *b, const struct peer *p, const char *cipher, pid_t *child, struct fail *f)
{
	int fd;

	*child = 0;
	if (b->address_size == 0)
		return give_word(b, cipher, child, f);
	fd = connect_pool(b, f);
	if (fd < 0)
		return -1;
	if (tell_pool(fd, p, cipher, f) == 0)
		return fd;
	close(fd);
	return -1;
}
