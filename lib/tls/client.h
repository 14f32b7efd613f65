/*
 * client: one connection of a client, from the handshake to its end.
 *
 *	client_narrow(config, &f);
 *	client_serve(fd, &peer, credential, sessions, &backend, CLIENT_HANDSHAKE_MS);
 *
 * The handshake is made, somebody found who serves plaintext, and bytes are passed on until either end is
 * through. A client that speaks no TLS is told the right way when he speaks HTTP. What goes wrong is one line
 * on stderr.
 */
#ifndef KMI_TLS_CLIENT_H
#define KMI_TLS_CLIENT_H

#include "base/config.h"
#include "base/peer.h"
#include "tls/backend.h"
#include "tls/credential.h"
#include "tls/sessions.h"

#define CLIENT_PROGRAM "kmi-tls"
#define CLIENT_HANDSHAKE_MS 10000	/* is time enough over any network */
#define CLIENT_HURRY_MS 2000		/* over most, when others want the place */

/*
 * From here on this process reaches no file, starts nothing and talks to nobody new but a pool: whatever a
 * client makes of it, there is nothing to be had but the certificate's key. Not where KMI_SANDBOX=0.
 */
int client_narrow(const struct config *c, struct fail *f);
/*
 * `s` may be NULL. The descriptor is the caller's. Waits for the handler behind it, if it has one of its own.
 * False when something went wrong, and was said.
 */
bool client_serve(int fd, struct peer *p, const struct credential *c, struct sessions *s, const struct backend *b,
    int handshake_ms);
/* The answer in hand is finished, then the connection ends: for a signal handler. False when there is nobody to tell. */
bool client_finish(void);

#endif
