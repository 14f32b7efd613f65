/*
 * kmi-tls: TLS towards clients, in a process that never sees an API key.
 *
 *	kmi tls				in the foreground, on the address of KMI_PROXY_TLS_LISTEN (else KMI_PROXY_LISTEN)
 *	kmi tls --check			whether certificate and key can be used, and until when
 *	kmi tls selfsigned ...		a first certificate (kmi-tls-selfsigned)
 *
 * Started by a superserver with a connection on descriptor 0, it serves that one and ends; with a listening
 * socket (0, or 3 and up from systemd), a process for each connection.
 *
 * The way of a connection: its addresses are asked for, the handshake made; then a kmi-handle, or a pool of
 * them, gets the plaintext over a unix socket, and is told where it came from. Without KMI_PROXY_TLS_POOL a
 * listening kmi-tls starts the pool itself. The private key is read by the parent and held by nobody else
 * than its forks; a renewed one is taken up with the next connection.
 */
#include "base/bind.h"
#include "base/clock.h"
#include "base/passed.h"
#include "base/peer.h"
#include "base/program.h"
#include "base/text.h"
#include "tls/backend.h"
#include "tls/client.h"
#include "tls/credential.h"
#include "tls/front.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME CLIENT_PROGRAM

static const char usage[] =
    "usage: kmi tls [--check] [--help] [--version]\n"
    "       kmi tls selfsigned [--days N] [--name NAME]... [--force] [CERT KEY]\n"
    "\n"
    "Serves TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, on the address of\n"
    "KMI_PROXY_TLS_LISTEN or on a socket that a superserver gives, and hands what it\n"
    "decrypts to kmi-handle. `selfsigned` makes a first certificate.\n"
    "\n"
    "      --check    say whether certificate and key can be used, and until when\n"
    "  -h, --help     this text\n";

/* ---- whether certificate and key can be used ---------------------------------------------------------------- */

static int
check(const struct config *c)
{
	char from[CLOCK_LOCAL_SIZE], until[CLOCK_LOCAL_SIZE];
	struct credential_facts facts;
	struct fail f;

	if (credential_check(c->proxy_tls_cert, c->proxy_tls_key, &facts, &f) < 0)
		return program_fail(NAME, &f);
	clock_local(facts.from, from);
	clock_local(facts.until, until);
	program_say("  certificate  %s\n", c->proxy_tls_cert);
	program_say("  key          %s\n", c->proxy_tls_key);
	program_say("  kind         %s\n", facts.kind);
	program_say("  chain        %d\n", facts.certificates);
	program_say("  valid from   %s\n", from);
	program_say("  valid until  %s\n", until);
	if (!credential_doubt(&facts, c->proxy_tls_cert, clock_wall(), &f))
		return 0;
	fflush(stdout);
	program_warn(NAME, "%s; %s", f.text, f.hint);
	return credential_validity(&facts, clock_wall()) == CREDENTIAL_ENDS_SOON ? 0 : 1;
}

/* ---- listening ---------------------------------------------------------------------------------------------- */

static int
listen_self(const struct config *c, const char *kind, struct passed *to, struct fail *f)
{
	bool own = *c->proxy_tls_listen;
	const char *text = own ? c->proxy_tls_listen : c->proxy_listen;

	*to = (struct passed){ .fd = bind_listen(own ? &c->tls_listen : &c->listen, text, "KMI_PROXY_TLS_LISTEN", f), .name = "tls" };
	if (to->fd < 0)
		return -1;
	fcntl(to->fd, F_SETFD, FD_CLOEXEC);
	program_say("TLS on %s (%s); Ctrl-C ends it\n", text, kind);
	fflush(stdout);
	return 0;
}

/* ---- one connection of a superserver ------------------------------------------------------------------------ */

static void
on_term(int sig)
{
	(void)sig;
	if (!client_finish())
		_exit(0);
}

/* What becomes the handler is started first: it is to hold no key of ours, and may reach what this process gives up. */
static int
serve_one(const struct config *c, struct fail *f)
{
	struct credential *credential = NULL;
	struct backend b;
	struct peer p;
	int rc;

	peer_of_superserver(0, &p);
	rc = *c->proxy_tls_pool ? backend_pool(&b, c->proxy_tls_pool, f) : backend_handler(&b, &p, f);
	if (rc == 0 && !(credential = front_credential(c, f)))
		rc = -1;
	if (rc == 0)
		rc = client_narrow(c, f);
	if (rc == 0) {
		signal(SIGTERM, on_term);
		client_serve(0, &p, credential, NULL, &b, CLIENT_HANDSHAKE_MS);
	}
	credential_free(credential);
	return rc;
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
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
serve(const struct config *c, char **argv)
{
	struct passed sockets[PASSED_MAX];
	struct fail f = { 0 };
	struct credential *credential;
	int rc, count = passed_find(sockets);

	if (count == 0 && is_socket(0))
		return serve_one(c, &f) < 0 ? program_fail(NAME, &f) : 0;
	credential = front_credential(c, &f);
	if (!credential)
		return program_fail(NAME, &f);
	if (count == 0 && listen_self(c, credential_facts(credential)->kind, &sockets[count++], &f) < 0) {
		credential_free(credential);
		rc = -1;
	} else {
		rc = front_run(c, credential, sockets, count, argv, &f);
	}
	return rc < 0 ? program_fail(NAME, &f) : 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 }
	};
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	bool only_check = false;
	struct config c;
	int opt, code;

	program_start();
	program_leave_client_alone();
	prctl(PR_SET_DUMPABLE, 0);
	if (argc > 1 && strcmp(argv[1], "selfsigned") == 0)
		return become_selfsigned(argv + 1);
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'c':
			only_check = true;
			break;
		case 'V':
			return program_help(NAME, "kmi " KMI_VERSION "\n");
		}
	if (call.over)
		return call.code;
	if (optind < argc) {
		static const char *const words[] = { "selfsigned", NULL };

		return program_unknown(NAME, argv[optind], words, "unknown command %s", argv[optind]);
	}
	if ((code = program_config(NAME, &c, NULL)))
		return code;
	explicit_bzero(c.proxy_token, strlen(c.proxy_token));	/* the handler's business */
	code = only_check ? check(&c) : serve(&c, argv);
	config_free(&c);
	return program_end(NAME, code);
}
