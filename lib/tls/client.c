#include "tls/client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/program.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "tls/tunnel.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The handler behind the connection of this process; 0 when it has none of its own. */
static volatile sig_atomic_t handler;

bool
client_finish(void)
{
	return handler && kill((pid_t)handler, SIGTERM) == 0;
}

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
	char hint[400];

	snprintf(hint, sizeof(hint), _("Use https:// in the client's base URL: https://%s/..."), p->local);
	write_error(&out, 400, "Bad Request", "https_required", _("this port speaks TLS, and the request came in plain HTTP"), hint);
	tunnel_answer_plain(fd, buf_view(&out));
	buf_free(&out);
}

static void
answer_unserved(struct tunnel *t)
{
	struct buf out = BUF(4096);

	write_error(&out, 503, "Service Unavailable", "proxy_not_running", _("the proxy behind TLS does not take the connection"),
	    _("Start it, or look at its log: kmi status, kmi doctor."));
	tunnel_answer(t, buf_view(&out));
	buf_free(&out);
}

static bool
relay(struct tunnel *t, struct peer *p, const struct backend *b)
{
	struct fail f;
	pid_t child;
	int link;

	p->tls = true;
	link = backend_link(b, p, tunnel_cipher(t), &child, &f);
	if (link < 0) {
		program_warn(CLIENT_PROGRAM, "%s: nobody takes the connection: %s", p->remote, f.text);
		answer_unserved(t);
		return false;
	}
	handler = child;
	tunnel_relay(t, link);
	close(link);
	/* A superserver may end what is left when we go, and the handler still has its books to write. */
	while (child && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return true;
}

int
client_narrow(const struct config *c, struct fail *f)
{
	char *token = getenv("KMI_PROXY_TOKEN");
	struct sandbox s;

	if (!c->sandbox)
		return 0;
	if (token)
		explicit_bzero(token, strlen(token));	/* which is for the handler */
	sandbox_begin(&s);
	s.alone = true;
	sandbox_allow(&s, "/dev/urandom", SANDBOX_DEVICE);
	return sandbox_enter(&s, f);
}

bool
client_serve(int fd, struct peer *p, const struct credential *c, struct sessions *s, const struct backend *b,
    int handshake_ms)
{
	struct fail f;
	struct tunnel *t = tunnel_open(fd, c, s, &f);
	bool well = false;

	if (!t) {
		program_warn(CLIENT_PROGRAM, "%s: %s", p->remote, f.text);
		return false;
	}
	switch (tunnel_handshake(t, clock_mono_ms() + handshake_ms, &f)) {
	case TUNNEL_SECURE:
		well = relay(t, p, b);
		break;
	case TUNNEL_PLAIN:
		program_warn(CLIENT_PROGRAM, "%s: plain HTTP on a port that speaks TLS", p->remote);
		answer_http(fd, p);
		break;
	case TUNNEL_FAILED:
		program_warn(CLIENT_PROGRAM, "%s: no TLS: %s", p->remote, f.text);
		break;
	case TUNNEL_NOTHING:
		well = true;
		break;
	}
	tunnel_close(t);
	return well;
}
