/*
 * tunnel: one TLS connection: the handshake with the client, then bytes between it and a program that reads
 * plaintext.
 *
 *	struct tunnel *t = tunnel_open(fd, credential, sessions, &f);
 *	switch (tunnel_handshake(t, until_ms, &f)) {
 *	case TUNNEL_SECURE:	tunnel_relay(t, link);		until either end is through
 *	case TUNNEL_PLAIN:	tunnel_answer_plain(fd, "192.0.2.1:54443");	the client spoke HTTP
 *	case TUNNEL_FAILED:	f says why
 *	case TUNNEL_NOTHING:	the client came and went
 *	}
 *	tunnel_close(t);
 *
 * TLS 1.2, ECDHE, AES-GCM and ChaCha20-Poly1305, nothing else; no compression, no renegotiation.
 *
 * A piece of plaintext goes out in a record of its own, as it comes. Nothing is read that cannot be passed on, so a
 * slow reader at one end holds the other back.
 *
 * Ends are told apart. The link's side says "that was all" with shutdown(SHUT_WR), and the client gets a
 * close_notify; when the link is just closed, its program died or gave up, and the client gets a reset. A
 * client that leaves, in order or not, has its link closed at once.
 */
#ifndef KMI_TLS_TUNNEL_H
#define KMI_TLS_TUNNEL_H

#include "base/buf.h"
#include "base/fail.h"
#include "tls/credential.h"
#include "tls/sessions.h"

#include <stdint.h>

struct tunnel;

enum tunnel_start { TUNNEL_SECURE, TUNNEL_PLAIN, TUNNEL_FAILED, TUNNEL_NOTHING };

/* Descriptors are the caller's. `s` may be NULL: then nothing is resumed. */
struct tunnel *tunnel_open(int fd, const struct credential *c, struct sessions *s, struct fail *f);
void tunnel_close(struct tunnel *t);	/* overwrites what was secret */

enum tunnel_start tunnel_handshake(struct tunnel *t, int64_t until_ms, struct fail *f);
/* The agreed suite, as people write it: "ECDHE-ECDSA-AES128-GCM-SHA256". */
const char *tunnel_cipher(const struct tunnel *t);
void tunnel_relay(struct tunnel *t, int link);

/* An answer of our own instead of a relay, and the end: encrypted, or to a client that is not. */
void tunnel_answer(struct tunnel *t, struct str answer);
void tunnel_answer_plain(int fd, struct str answer);

#endif
