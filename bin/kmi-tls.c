/*
 * kmi-tls: TLS towards clients, in a process that never sees an API key.
 *
 *	kmi tls				in the foreground, on the address of KMI_PROXY_TLS_LISTEN (else KMI_PROXY_LISTEN)
 *	kmi tls --check			whether certificate and key can be used, and until when
 *	kmi tls selfsigned ...		a first certificate (kmi-tls-selfsigned)
 *
 * Started by a superserver with a connection on descriptor 0, it serves that one and ends; with a listening socket (0, or 3
 * and up from systemd), a process for each connection.
 *
 * The way of a connection: its addresses are asked for, the handshake made; then a kmi-handle, or a pool of them, gets
 * the plaintext over a unix socket, and is told where it came from. Without KMI_PROXY_TLS_POOL a listening kmi-tls starts the
 * pool itself. The private key is read by the parent and held by nobody else than its forks; a renewed one is taken up
 * with the next connection.
 */
#include "base/bind.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/notify.h"
#include "base/passed.h"
#include "base/peer.h"
#include "base/program.h"
#include "base/text.h"
#include "tls/backend.h"
#include "tls/credential.h"
#include "tls/sessions.h"
#include "tls/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "kmi-tls"
#define HANDSHAKE_MS 10000
#define RESTART_MS 1000		/* between two starts of our pool */
#define STOP_MS 5000		/* what is left after the pool had its time is killed */
#define SHAKING 64		/* connections that are in their handshake, besides those that the pool serves */

static const char usage[] =
    "usage: kmi tls [--check] [--help] [--version]\n"
    "       kmi tls selfsigned [--days N] [--name NAME]... [CERT KEY]\n"
    "\n"
    "Serves TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, on the address of\n"
    "KMI_PROXY_TLS_LISTEN or on a socket that a superserver gives, and hands what it\n"
    "decrypts to kmi-handle. `selfsigned` makes a first certificate.\n"
    "\n"
    "      --check    say whether certificate and key can be used, and until when\n"
    "  -h, --help     this text\n";

struct front {
	const struct config *config;
	struct credential *credential;
	struct file_stamp cert_stamp, key_stamp;	/* of the files when they were last looked into */
	struct sessions *sessions;
	struct backend backend;
	struct passed listeners[PASSED_MAX];
	int count;			/* of listeners */
	int children, max;
	int signals;
	bool stopping;
	sigset_t old_mask;
};

/* In the process of one connection: the handler behind it, 0 when it has none of its own. */
static volatile sig_atomic_t handler;

/* The answer in hand is finished: the handler knows how. Its end is that of the connection. */
static void
on_term(int sig)
{
	(void)sig;
	if (!handler)
		_exit(0);
	kill((pid_t)handler, SIGTERM);
}

/* ---- one connection ----------------------------------------------------------------------------------------- */

/* An answer of ours, in the shape of all others. */
static void
write_error(struct buf *out, int status, const char *reason, const char *code, const char *message, const char *hint)
{
	struct buf body = BUF(2048);
	struct json_out o = { .to = &body };

	json_open(&o, '{');
	json_key(&o, "error");
	json_open(&o, '{');
	json_key(&o, "message");
	json_put_cstr(&o, message);
	json_key(&o, "type");
	json_put_cstr(&o, status < 500 ? "invalid_request_error" : "server_error");
	json_key(&o, "code");
	json_put_cstr(&o, code);
	json_key(&o, "hint");
	json_put_cstr(&o, hint);
	json_close(&o, '}');
	json_close(&o, '}');
	buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
	    status, reason, body.n);
	buf_str(out, buf_view(&body));
	buf_free(&body);
}

static void
answer_http(int fd, const struct peer *p)
{
	struct buf out = BUF(4096);
	char hint[200];

	snprintf(hint, sizeof(hint), "Use https:// in the client's base URL: https://%s/...", p->local);
	write_error(&out, 400, "Bad Request", "https_required", "this port speaks TLS, and the request came in plain HTTP", hint);
	tunnel_answer_plain(fd, buf_view(&out));
	buf_free(&out);
}

static void
answer_unserved(struct tunnel *t)
{
	struct buf out = BUF(4096);

	write_error(&out, 503, "Service Unavailable", "proxy_not_running", "the proxy behind TLS does not take the connection",
	    "Start it, or look at its log: kmi status, kmi doctor.");
	tunnel_answer(t, buf_view(&out));
	buf_free(&out);
}

static void
relay(const struct front *fr, struct tunnel *t, struct peer *p)
{
	struct fail f;
	pid_t child;
	int link;

	p->tls = true;
	link = backend_link(&fr->backend, p, tunnel_cipher(t), &child, &f);
	if (link < 0) {
		program_warn(NAME, "%s: nobody takes the connection: %s", p->remote, f.text);
		answer_unserved(t);
		return;
	}
	handler = child;
	tunnel_relay(t, link);
	close(link);
	/* A superserver may end what is left when we go, and the handler still has its books to write. */
	while (child && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void
serve_client(const struct front *fr, int fd, struct peer *p)
{
	struct fail f;
	struct tunnel *t = tunnel_open(fd, fr->credential, fr->sessions, &f);

	if (!t) {
		program_warn(NAME, "%s: %s", p->remote, f.text);
		return;
	}
	switch (tunnel_handshake(t, clock_mono_ms() + HANDSHAKE_MS, &f)) {
	case TUNNEL_SECURE:
		relay(fr, t, p);
		break;
	case TUNNEL_PLAIN:
		program_warn(NAME, "%s: plain HTTP on a port that speaks TLS", p->remote);
		answer_http(fd, p);
		break;
	case TUNNEL_FAILED:
		program_warn(NAME, "%s: no TLS: %s", p->remote, f.text);
		break;
	case TUNNEL_NOTHING:
		break;
	}
	tunnel_close(t);
}

/* ---- certificate and key ------------------------------------------------------------------------------------ */

static void
stamp(const char *path, struct file_stamp *s)
{
	struct stat st;

	*s = (struct file_stamp){ 0 };
	if (stat(path, &st) == 0)
		file_stamp_of(s, &st);
}

static void
say_doubt(const struct front *fr)
{
	struct fail f;

	if (credential_doubt(credential_facts(fr->credential), fr->config->proxy_tls_cert, clock_wall(), &f))
		program_warn(NAME, "%s; %s", f.text, f.hint);
}

static int
load_credential(struct front *fr, struct fail *f)
{
	struct credential *fresh;

	stamp(fr->config->proxy_tls_cert, &fr->cert_stamp);
	stamp(fr->config->proxy_tls_key, &fr->key_stamp);
	if (credential_load(&fresh, fr->config->proxy_tls_cert, fr->config->proxy_tls_key, f) < 0)
		return -1;
	credential_free(fr->credential);
	fr->credential = fresh;
	say_doubt(fr);
	return 0;
}

/* Files that changed are read again. While they do not fit (one is new, the other not yet) the old pair serves. */
static void
renew_credential(struct front *fr)
{
	struct file_stamp cert, key;
	struct fail f;

	stamp(fr->config->proxy_tls_cert, &cert);
	stamp(fr->config->proxy_tls_key, &key);
	if (file_stamp_same(&cert, &fr->cert_stamp) && file_stamp_same(&key, &fr->key_stamp))
		return;
	if (load_credential(fr, &f) < 0) {
		program_warn(NAME, "the new certificate is not taken up yet: %s", f.text);
		return;
	}
	if (fr->sessions)
		sessions_clear(fr->sessions);
	fprintf(stderr, NAME ": the new certificate is in use\n");
}

static void
print_time(const char *name, time_t t)
{
	char text[CLOCK_LOCAL_SIZE];

	clock_local(t, text);
	printf("  %-12s %s\n", name, text);
}

static int
check(const struct config *c)
{
	struct credential_facts facts;
	struct fail f;

	if (credential_check(c->proxy_tls_cert, c->proxy_tls_key, &facts, &f) < 0)
		return program_fail(NAME, &f);
	printf("  %-12s %s\n", _("certificate"), c->proxy_tls_cert);
	printf("  %-12s %s\n", _("key"), c->proxy_tls_key);
	printf("  %-12s %s\n", _("kind"), facts.kind);
	printf("  %-12s %d\n", _("chain"), facts.certificates);
	print_time(_("valid from"), facts.from);
	print_time(_("valid until"), facts.until);
	if (!credential_doubt(&facts, c->proxy_tls_cert, clock_wall(), &f))
		return 0;
	fflush(stdout);
	program_warn(NAME, "%s; %s", f.text, f.hint);
	return credential_validity(&facts, clock_wall()) == CREDENTIAL_ENDS_SOON ? 0 : 1;
}

/* ---- many connections --------------------------------------------------------------------------------------- */

static _Noreturn void
be_child(struct front *fr, int fd)
{
	struct peer p;

	for (int i = 0; i < fr->count; i++)
		close(fr->listeners[i].fd);
	for (int i = 0; i < fr->backend.count; i++)
		close(fr->backend.sockets[i].fd);
	close(fr->signals);
	/* When all is to end, the pool ends its answers, and with them our connections. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigprocmask(SIG_SETMASK, &fr->old_mask, NULL);
	prctl(PR_SET_DUMPABLE, 0);
	peer_of_socket(fd, &p);
	serve_client(fr, fd, &p);
	_exit(0);
}

static void
accept_one(struct front *fr, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			poll(NULL, 0, 100);
		return;
	}
	renew_credential(fr);
	pid = fork();
	if (pid == 0)
		be_child(fr, fd);
	if (pid < 0)
		program_warn(NAME, "fork: %s; a connection was dropped", strerror(errno));
	else
		fr->children++;
	close(fd);
}

/* What has ended. The pool's own end is looked at by itself: -1, or its exit code. */
static int
reap(struct front *fr)
{
	int status, pool = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != fr->backend.pool) {
			fr->children--;
			continue;
		}
		fr->backend.pool = 0;
		pool = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	return pool;
}

static void
begin_stop(struct front *fr)
{
	fr->stopping = true;
	for (int i = 0; i < fr->count; i++)
		close(fr->listeners[i].fd);
	for (int i = 0; i < fr->backend.count; i++)
		close(fr->backend.sockets[i].fd);
	fr->count = fr->backend.count = 0;
	if (fr->backend.pool)
		kill(fr->backend.pool, SIGTERM);
}

static void
take_signals(struct front *fr)
{
	struct signalfd_siginfo si;

	while (read(fr->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD || fr->stopping)
			continue;
		if (si.ssi_signo != SIGHUP) {
			begin_stop(fr);
			continue;
		}
		renew_credential(fr);
		if (fr->backend.pool)
			kill(fr->backend.pool, SIGHUP);	/* its settings, too */
	}
}

static void
await(struct front *fr, int timeout_ms)
{
	struct pollfd fds[PASSED_MAX + 1];
	int n = fr->children < fr->max ? fr->count : 0;

	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = fr->listeners[i].fd, .events = POLLIN };
	fds[n] = (struct pollfd){ .fd = fr->signals, .events = POLLIN };
	if (poll(fds, (nfds_t)n + 1, timeout_ms) <= 0)
		return;
	for (int i = 0; i < n; i++)
		if (fds[i].revents)
			accept_one(fr, fds[i].fd);
	if (fds[n].revents)
		take_signals(fr);
}

/* Until we are told to stop. A pool that cannot start, for its settings are wrong, ends us too: to try again is no use. */
static int
serve_clients(struct front *fr, struct fail *f)
{
	bool own = fr->backend.count > 0;
	int64_t started = clock_mono_ms();
	int pool;

	if (own && backend_start(&fr->backend, f) < 0)
		return -1;
	notify_systemd("READY=1");
	while (!fr->stopping) {
		await(fr, own && !fr->backend.pool ? RESTART_MS / 10 : -1);
		pool = reap(fr);
		if (fr->stopping)
			break;
		if (pool == 2)
			return fail_set(f, FAIL_USAGE, "kmi-handle does not start; it says above why");
		if (pool >= 0)
			program_warn(NAME, "the pool has ended (%d) and is started again", pool);
		if (own && !fr->backend.pool && clock_mono_ms() - started >= RESTART_MS) {
			started = clock_mono_ms();
			if (backend_start(&fr->backend, f) < 0)
				return -1;
		}
	}
	return 0;
}

/* The pool lets its answers finish, and each ends a connection of ours. Then what is left has had its time. */
static void
drain(struct front *fr)
{
	int64_t until = clock_mono_ms() + fr->config->proxy_drain_seconds * 1000 + STOP_MS;

	notify_systemd("STOPPING=1");
	signal(SIGTERM, SIG_IGN);
	while ((fr->children > 0 || fr->backend.pool) && clock_mono_ms() < until) {
		await(fr, 100);
		reap(fr);
	}
	if (fr->backend.pool)
		kill(fr->backend.pool, SIGKILL);
	if (fr->children > 0)
		program_warn(NAME, "%d connections were cut", fr->children);
}

static int
prepare(struct front *fr, struct fail *f)
{
	sigset_t mine;

	fr->sessions = sessions_make(f);
	if (!fr->sessions)
		return -1;
	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGINT);
	if (!program_has_terminal())
		sigaddset(&mine, SIGHUP);
	sigprocmask(SIG_BLOCK, &mine, &fr->old_mask);
	fr->signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fr->signals < 0)
		return fail_sys(f, "signalfd");
	for (int i = 0; i < fr->count; i++)
		fcntl(fr->listeners[i].fd, F_SETFL, fcntl(fr->listeners[i].fd, F_GETFL) | O_NONBLOCK);
	fr->max = (int)fr->config->proxy_max_connections + SHAKING;
	return 0;
}

/* Sockets that are named so are no business of ours: the pool serves them without TLS. */
static int
split_plain(struct front *fr, struct passed plain[PASSED_MAX])
{
	int n = 0, secure = 0;

	for (int i = 0; i < fr->count; i++)
		if (strcmp(fr->listeners[i].name, "http") == 0)
			plain[n++] = fr->listeners[i];
		else
			fr->listeners[secure++] = fr->listeners[i];
	fr->count = secure;
	return n;
}

static int
listen_self(struct front *fr, struct fail *f)
{
	const struct config *c = fr->config;
	bool own = *c->proxy_tls_listen;

	fr->listeners[0] = (struct passed){ .fd = own
		? bind_listen(&c->tls_listen, c->proxy_tls_listen, "KMI_PROXY_TLS_LISTEN", f)
		: bind_listen(&c->listen, c->proxy_listen, "KMI_PROXY_TLS_LISTEN", f) };
	if (fr->listeners[0].fd < 0)
		return -1;
	fcntl(fr->listeners[0].fd, F_SETFD, FD_CLOEXEC);
	fr->count = 1;
	printf(_("TLS on %s (%s); Ctrl-C ends it\n"), own ? c->proxy_tls_listen : c->proxy_listen,
	    credential_facts(fr->credential)->kind);
	fflush(stdout);
	return 0;
}

static int
run_front(struct front *fr, struct fail *f)
{
	struct passed plain[PASSED_MAX];
	int rc, plain_count = split_plain(fr, plain);

	if (fr->count == 0 && listen_self(fr, f) < 0)
		return -1;
	if (*fr->config->proxy_tls_pool)
		rc = backend_pool(&fr->backend, fr->config->proxy_tls_pool, f);
	else
		rc = backend_own_pool(&fr->backend, plain, plain_count, f);
	if (rc < 0 || prepare(fr, f) < 0)
		return -1;
	rc = serve_clients(fr, f);
	drain(fr);
	return rc;
}

/* ---- one connection of a superserver ------------------------------------------------------------------------ */

static int
serve_one(struct front *fr, struct fail *f)
{
	struct peer p;
	int rc = *fr->config->proxy_tls_pool ? backend_pool(&fr->backend, fr->config->proxy_tls_pool, f)
					     : backend_handler(&fr->backend, f);

	if (rc < 0)
		return -1;
	signal(SIGTERM, on_term);
	peer_of_superserver(0, &p);
	serve_client(fr, 0, &p);
	return 0;
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Some superservers put the connection on 2 as well; what we have to say is not for the client. */
static void
leave_the_client_alone(void)
{
	struct stat in, err;
	int null;

	if (fstat(0, &in) < 0 || fstat(2, &err) < 0 || !S_ISSOCK(in.st_mode) || in.st_dev != err.st_dev || in.st_ino != err.st_ino)
		return;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(null, 2);
	close(null);
}

/* ---- */

static int
become_selfsigned(char **argv)
{
	char path[PATH_MAX];
	struct fail f;

	if (program_beside("kmi-tls-selfsigned", path, sizeof(path), &f) < 0)
		return program_fail(NAME, &f);
	argv[0] = path;
	execv(path, argv);
	fail_sys(&f, "run %s", path);
	return program_fail(NAME, &f);
}

static int
serve(const struct config *c)
{
	struct front fr = { .config = c, .signals = -1 };
	struct fail f = { 0 };
	int rc = -1;

	if (load_credential(&fr, &f) < 0)
		return program_fail(NAME, &f);
	fr.count = passed_find(fr.listeners);
	rc = fr.count == 0 && is_socket(0) ? serve_one(&fr, &f) : run_front(&fr, &f);
	credential_free(fr.credential);
	sessions_free(fr.sessions);
	return rc < 0 ? program_fail(NAME, &f) : 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 }
	};
	bool only_check = false;
	struct config c;
	int opt, code;

	program_start();
	leave_the_client_alone();
	prctl(PR_SET_DUMPABLE, 0);
	if (argc > 1 && strcmp(argv[1], "selfsigned") == 0)
		return become_selfsigned(argv + 1);
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0)
		switch (opt) {
		case 'c':
			only_check = true;
			break;
		case 'h':
			return program_help(NAME, usage);
		case 'V':
			return program_help(NAME, "kmi " KMI_VERSION "\n");
		default:
			return program_option_error(NAME, argv, opt, options);
		}
	if (optind < argc) {
		static const char *const words[] = { "selfsigned", NULL };

		return program_unknown(NAME, argv[optind], words, "unknown command %s", argv[optind]);
	}
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	code = only_check ? check(&c) : serve(&c);
	config_free(&c);
	return program_end(NAME, code);
}
