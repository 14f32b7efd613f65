#include "tls/front.h"

#include "base/children.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/handover.h"
#include "base/notify.h"
#include "base/program.h"
#include "base/stamp.h"
#include "tls/backend.h"
#include "tls/client.h"
#include "tls/sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_MS 1000		/* between two starts of our pool */
#define STOP_MS 5000		/* for what is left after the pool had its time */
#define SHAKING 64		/* connections in their handshake, besides those that the pool serves */
#define USAGE_EXIT 2
#define SAID_EXIT 3		/* of a connection's process that has said what went wrong */
#define SAID_MAX 60		/* such lines a minute */
#define MINUTE_MS 60000
#define ANEW "TLS_ANEW"		/* what a new image is to know of the old: "POOL:CHILDREN" */

struct front {
	const struct config *config;
	struct credential *credential;
	struct file_stamp cert_stamp, key_stamp;	/* of the files when they were last looked into */
	struct sessions *sessions;
	struct backend backend;
	struct passed listeners[PASSED_MAX];
	int count;
	int children, max;
	int said;		/* how many clients have failed since said_ms, each with a line */
	int64_t said_ms;
	int signals;
	bool stopping;
	char **argv;
	char self[PATH_MAX];
};

/* ---- certificate and key ------------------------------------------------------------------------------------ */

static void
stamp(const char *path, struct file_stamp *s)
{
	struct stat st;

	*s = (struct file_stamp){ 0 };
	if (stat(path, &st) == 0)
		file_stamp_of(s, &st);
}

struct credential *
front_credential(const struct config *c, struct fail *f)
{
	struct credential *fresh;
	struct fail doubt;

	if (credential_load(&fresh, c->proxy_tls_cert, c->proxy_tls_key, f) < 0)
		return NULL;
	if (credential_doubt(credential_facts(fresh), c->proxy_tls_cert, clock_wall(), &doubt))
		program_warn(CLIENT_PROGRAM, "%s; %s", doubt.text, doubt.hint);
	return fresh;
}

/* Files that changed are read again. While they do not fit (one is new, the other not yet) the old pair serves. */
static void
renew_credential(struct front *fr)
{
	struct file_stamp cert, key;
	struct credential *fresh;
	char time[STAMP_SIZE];
	struct fail f;

	stamp(fr->config->proxy_tls_cert, &cert);
	stamp(fr->config->proxy_tls_key, &key);
	if (file_stamp_same(&cert, &fr->cert_stamp) && file_stamp_same(&key, &fr->key_stamp))
		return;
	fr->cert_stamp = cert;
	fr->key_stamp = key;
	fresh = front_credential(fr->config, &f);
	if (!fresh) {
		program_warn(CLIENT_PROGRAM, "the new certificate is not taken up yet: %s", f.text);
		return;
	}
	credential_free(fr->credential);
	fr->credential = fresh;
	sessions_clear(fr->sessions);
	fprintf(stderr, "%s", stamp_stderr(time));
	fprintf(stderr, _("%s: the new certificate is in use\n"), CLIENT_PROGRAM);
}

/* ---- connections -------------------------------------------------------------------------------------------- */

static void
close_sockets(struct front *fr)
{
	for (int i = 0; i < fr->count; i++)
		close(fr->listeners[i].fd);
	for (int i = 0; i < fr->backend.count; i++)
		close(fr->backend.sockets[i].fd);
}

/* Whoever can connect can fail, as often as he likes, and must not fill a disk with it. */
static bool
says_enough(const struct front *fr)
{
	return fr->said >= SAID_MAX && clock_mono_ms() - fr->said_ms < MINUTE_MS;
}

static void
note_failed(struct front *fr)
{
	if (clock_mono_ms() - fr->said_ms >= MINUTE_MS) {
		fr->said_ms = clock_mono_ms();
		fr->said = 0;
	}
	if (++fr->said == SAID_MAX)
		program_warn(CLIENT_PROGRAM, "%d clients have failed within a minute; what goes wrong with others in it is not told here",
		    SAID_MAX);
}

static void
be_silent(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	close(null);
}

static _Noreturn void
be_child(struct front *fr, int fd)
{
	struct fail f = { 0 };
	struct peer p;
	sigset_t none;
	bool well;

	close_sockets(fr);
	close(fr->signals);
	/* When all is to end, the pool ends its answers, and with them our connections. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	peer_of_socket(fd, &p);
	if (says_enough(fr))
		be_silent();
	if (client_narrow(fr->config, &f) < 0) {
		program_warn(CLIENT_PROGRAM, "a connection was dropped: %s", f.text);
		_exit(SAID_EXIT);
	}
	well = client_serve(fd, &p, fr->credential, fr->sessions, &fr->backend,
	    fr->children < fr->max / 2 ? CLIENT_HANDSHAKE_MS : CLIENT_HURRY_MS);
	_exit(well ? 0 : SAID_EXIT);
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
		program_warn(CLIENT_PROGRAM, "fork: %s; a connection was dropped", strerror(errno));
	else
		fr->children++;
	close(fd);
}

/* What has ended. The pool's own end is told: its exit code, or -1 when it goes on. */
static int
reap(struct front *fr)
{
	int status, pool = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != fr->backend.pool) {
			fr->children--;
			if (WIFEXITED(status) && WEXITSTATUS(status) == SAID_EXIT)
				note_failed(fr);
			continue;
		}
		fr->backend.pool = 0;
		pool = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	return pool;
}

/* ---- beginning anew ----------------------------------------------------------------------------------------- */

/* Those of our clients, and those of our pool. */
static int
all_sockets(const struct front *fr, struct passed all[2 * PASSED_MAX])
{
	int n = 0;

	for (int i = 0; i < fr->count; i++)
		all[n++] = fr->listeners[i];
	for (int i = 0; i < fr->backend.count; i++)
		all[n++] = fr->backend.sockets[i];
	return n;
}

static bool
settings_are_good(void)
{
	struct config fresh;
	struct credential *credential;
	struct fail f;

	if (config_load(&fresh, NULL, &f) < 0) {
		program_warn(CLIENT_PROGRAM, "the old settings stay: %s", f.text);
		return false;
	}
	if (credential_load(&credential, fresh.proxy_tls_cert, fresh.proxy_tls_key, &f) == 0)
		credential_free(credential);
	else
		program_warn(CLIENT_PROGRAM, "the old settings stay: %s", f.text);
	config_free(&fresh);
	return credential != NULL;
}

/*
 * The same process with the program that is there now. The pool stays our child, and so do the processes of
 * connections; the signals stay blocked, so that none is lost.
 */
static void
begin_anew(struct front *fr)
{
	struct passed all[2 * PASSED_MAX];
	char text[48];
	struct fail f;
	int n;

	if (!settings_are_good())
		return;
	n = all_sockets(fr, all);
	snprintf(text, sizeof(text), "%ld:%d", (long)fr->backend.pool, fr->children);
	if (n > PASSED_MAX || setenv(ANEW, text, 1) < 0) {
		program_warn(CLIENT_PROGRAM, "the old settings stay: too many sockets");
		return;
	}
	if (fr->backend.pool)
		kill(fr->backend.pool, SIGHUP);
	if (passed_give(all, n, &f) == 0)
		execv(fr->self, fr->argv);
	/* What is passed on is closed by now, and nothing is left to go on with. */
	program_warn(CLIENT_PROGRAM, "cannot begin anew: %s", strerror(errno));
	_exit(1);
}

/* What the image before this one has left, if there was one. */
static void
inherit(struct front *fr)
{
	struct str text = str_from(getenv(ANEW)), pool = str_cut(&text, ':');
	long long pid, children;

	if (str_int(pool, 0, INT_MAX, &pid) == 0 && str_int(text, 0, INT_MAX, &children) == 0) {
		fr->backend.pool = (pid_t)pid;
		fr->children = (int)children;
	}
	unsetenv(ANEW);
}

/* ---- the parent --------------------------------------------------------------------------------------------- */

static void
begin_stop(struct front *fr)
{
	fr->stopping = true;
	close_sockets(fr);
	fr->count = fr->backend.count = 0;
	if (fr->backend.pool)
		kill(fr->backend.pool, SIGTERM);
}

/*
 * A successor takes the sockets: we end as after SIGTERM. Who is still at his handshake here is served by the
 * pool that has ours by then.
 */
static void
hand_over_sockets(struct front *fr)
{
	struct passed all[2 * PASSED_MAX];
	int asking = handover_give(fr->config->state_dir, all, all_sockets(fr, all));

	if (asking < 0)
		return;
	begin_stop(fr);
	close(asking);
}

static void
take_signals(struct front *fr)
{
	struct signalfd_siginfo si;

	while (read(fr->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo == SIGCHLD || fr->stopping)
			continue;
		else if (si.ssi_signo == SIGHUP)
			begin_anew(fr);
		else if (si.ssi_signo == SIGUSR2)
			hand_over_sockets(fr);
		else
			begin_stop(fr);
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
	int64_t started = clock_mono_ms() - RESTART_MS;
	int pool;

	while (!fr->stopping) {
		if (own && !fr->backend.pool && clock_mono_ms() - started >= RESTART_MS) {
			started = clock_mono_ms();
			if (backend_start(&fr->backend, f) < 0)
				return -1;
		}
		await(fr, own && !fr->backend.pool ? RESTART_MS / 10 : -1);
		pool = reap(fr);
		if (fr->stopping)
			break;
		if (pool == USAGE_EXIT)
			return fail_set(f, FAIL_USAGE, "kmi-handle does not start; it says above why");
		if (pool >= 0)
			program_warn(CLIENT_PROGRAM, "the pool has ended (%d) and is started again", pool);
	}
	return 0;
}

/* The pool lets its answers finish, and each ends a connection of ours. Then what is left has had its time. */
static void
drain(struct front *fr)
{
	int64_t until = clock_mono_ms() + fr->config->proxy_drain_seconds * 1000 + STOP_MS;
	char text[80];

	/* However long answers may take here, it is not a hanging stop. */
	snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
	    (fr->config->proxy_drain_seconds * 1000 + 2 * STOP_MS) * 1000);
	notify_systemd(text);
	while ((fr->children > 0 || fr->backend.pool) && clock_mono_ms() < until) {
		await(fr, 100);
		reap(fr);
	}
	if (fr->backend.pool)
		kill(fr->backend.pool, SIGKILL);
	if (fr->children > 0) {
		program_warn(CLIENT_PROGRAM, "%d connections had to be cut", fr->children);
		children_signal(SIGKILL);
	}
}

static int
watch_signals(struct front *fr, struct fail *f)
{
	sigset_t mine;

	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGINT);
	sigaddset(&mine, SIGUSR2);
	if (!program_has_terminal())
		sigaddset(&mine, SIGHUP);
	sigprocmask(SIG_BLOCK, &mine, NULL);
	fr->signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	return fr->signals < 0 ? fail_sys(f, "signalfd") : 0;
}

/* Who serves the plaintext: the pool that is named, one of our own, or the own one of the image before. */
static int
find_backend(struct front *fr, const struct passed *for_pool, int count, struct fail *f)
{
	int rc = *fr->config->proxy_tls_pool ? backend_pool(&fr->backend, fr->config->proxy_tls_pool, f)
					     : backend_own_pool(&fr->backend, for_pool, count, f);

	inherit(fr);
	return rc;
}

int
front_run(const struct config *c, struct credential *credential, const struct passed *sockets, int count, char **argv,
    struct fail *f)
{
	struct front fr = { .config = c, .credential = credential, .signals = -1, .argv = argv,
		.max = (int)c->proxy_max_connections + SHAKING };
	ssize_t n = readlink("/proc/self/exe", fr.self, sizeof(fr.self) - 1);
	struct passed for_pool[PASSED_MAX];
	int pool_count = 0, rc = -1;

	fr.self[n > 0 ? n : 0] = '\0';
	stamp(c->proxy_tls_cert, &fr.cert_stamp);
	stamp(c->proxy_tls_key, &fr.key_stamp);
	for (int i = 0; i < count; i++)
		if (strcmp(sockets[i].name, "http") == 0 || strcmp(sockets[i].name, BACKEND_SOCKET_NAME) == 0)
			for_pool[pool_count++] = sockets[i];
		else
			fr.listeners[fr.count++] = sockets[i];
	for (int i = 0; i < fr.count; i++)
		fcntl(fr.listeners[i].fd, F_SETFL, fcntl(fr.listeners[i].fd, F_GETFL) | O_NONBLOCK);
	fr.sessions = sessions_make(f);
	if (fr.sessions && find_backend(&fr, for_pool, pool_count, f) == 0 && watch_signals(&fr, f) == 0) {
		notify_systemd("READY=1");
		rc = serve_clients(&fr, f);
		if (!fr.stopping)
			begin_stop(&fr);
		drain(&fr);
	}
	credential_free(fr.credential);
	sessions_free(fr.sessions);
	return rc;
}
