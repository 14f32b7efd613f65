#include "tls/sessions.h"

#include "base/clock.h"

#include <bearssl/bearssl.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define PLACES 4096
#define AGE_MS (3600 * 1000)

struct session {
	bool whole;		/* last to be set, first to be cleared */
	int64_t since_ms;
	br_ssl_session_parameters parameters;
};

struct sessions {
	const br_ssl_session_cache_class *vtable;	/* first: BearSSL knows no more of it */
	pthread_mutex_t lock;
	struct session places[PLACES];
};

static bool
lock(struct sessions *s)
{
	int rc = pthread_mutex_lock(&s->lock);

	/* Its holder was killed; what he wrote at is not `whole`. */
	return rc == 0 || (rc == EOWNERDEAD && pthread_mutex_consistent(&s->lock) == 0);
}

static struct sessions *
ours(const br_ssl_session_cache_class **vtable)
{
	return (struct sessions *)(uintptr_t)vtable;
}

static struct session *
place(struct sessions *s, const br_ssl_session_parameters *p)
{
	uint32_t n;

	memcpy(&n, p->session_id, sizeof(n));
	return &s->places[n % PLACES];
}

static void
save(const br_ssl_session_cache_class **vtable, br_ssl_server_context *server, const br_ssl_session_parameters *p)
{
	struct sessions *s = ours(vtable);
	struct session *to = place(s, p);

	(void)server;
	if (p->session_id_len != sizeof(p->session_id) || !lock(s))
		return;
	to->whole = false;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	to->parameters = *p;
	to->since_ms = clock_mono_ms();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	to->whole = true;
	pthread_mutex_unlock(&s->lock);
}

static int
load(const br_ssl_session_cache_class **vtable, br_ssl_server_context *server, br_ssl_session_parameters *p)
{
	struct sessions *s = ours(vtable);
	const struct session *from = place(s, p);
	bool found;

	(void)server;
	if (p->session_id_len != sizeof(p->session_id) || !lock(s))
		return 0;
	found = from->whole && clock_mono_ms() - from->since_ms < AGE_MS &&
	    memcmp(from->parameters.session_id, p->session_id, sizeof(p->session_id)) == 0;
	if (found)
		*p = from->parameters;
	pthread_mutex_unlock(&s->lock);
	return found;
}

static const br_ssl_session_cache_class class = { sizeof(struct sessions), save, load };

struct sessions *
sessions_make(struct fail *f)
{
	struct sessions *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t how;

	if (s == MAP_FAILED) {
		fail_sys(f, "memory for sessions");
		return NULL;
	}
	madvise(s, sizeof(*s), MADV_DONTDUMP);
	s->vtable = &class;
	pthread_mutexattr_init(&how);
	pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->lock, &how);
	pthread_mutexattr_destroy(&how);
	return s;
}

void
sessions_use(struct sessions *s, struct br_ssl_server_context_ *server)
{
	br_ssl_server_set_cache(server, &s->vtable);
}

void
sessions_clear(struct sessions *s)
{
	if (!lock(s))
		return;
	explicit_bzero(s->places, sizeof(s->places));
	pthread_mutex_unlock(&s->lock);
}

void
sessions_free(struct sessions *s)
{
	if (s)
		munmap(s, sizeof(*s));
}
