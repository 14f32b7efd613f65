#include "tls/sessions.h"

#include "check.h"

#include <bearssl/bearssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static br_ssl_server_context server;
static struct sessions *s;

static br_ssl_session_parameters
session(unsigned n)
{
	br_ssl_session_parameters p = { .session_id_len = 32, .version = BR_TLS12, .cipher_suite = (uint16_t)n };

	memset(p.session_id, (int)(n >> 8) + 1, sizeof(p.session_id));
	p.session_id[0] = (unsigned char)n;
	memset(p.master_secret, (int)n, sizeof(p.master_secret));
	return p;
}

static void
save(unsigned n)
{
	br_ssl_session_parameters p = session(n);

	(*server.cache_vtable)->save(server.cache_vtable, &server, &p);
}

static bool
load(unsigned n)
{
	br_ssl_session_parameters want = session(n), p = { .session_id_len = 32 };

	memcpy(p.session_id, want.session_id, sizeof(p.session_id));
	if (!(*server.cache_vtable)->load(server.cache_vtable, &server, &p))
		return false;
	CHECK(memcmp(p.master_secret, want.master_secret, sizeof(p.master_secret)) == 0 && p.cipher_suite == want.cipher_suite);
	return true;
}

int
main(void)
{
	struct fail f;
	pid_t children[20];
	int found = 0, status;

	s = sessions_make(&f);
	CHECK(s != NULL);
	sessions_use(s, &server);
	CHECK(!load(1));
	save(1);
	CHECK(load(1) && !load(2));
	/* one process saves, another loads */
	if (fork() == 0) {
		save(2);
		_exit(0);
	}
	wait(&status);
	CHECK(load(2) && load(1));
	/* the same place, another session: the newer has it */
	save(2 + (5 << 8));
	CHECK(load(2 + (5 << 8)) || load(2));
	sessions_clear(s);
	CHECK(!load(1) && !load(2));
	/* twenty that write as fast as they can, and are killed: the table still serves, and what it gives is whole */
	for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++) {
		children[i] = fork();
		if (children[i] == 0)
			for (unsigned n = 0;; n++)
				save(n % 2000);
	}
	for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++) {
		usleep(5000);
		kill(children[i], SIGKILL);
		waitpid(children[i], &status, 0);
	}
	for (unsigned n = 0; n < 2000; n++)
		found += load(n);
	CHECK(found > 0);
	save(7);
	CHECK(load(7));
	sessions_free(s);
	return check_done();
}
