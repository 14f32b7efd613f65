/*
 * sessions: what clients may resume, shared by the processes of one listening parent.
 *
 * A table in memory that its children inherit (never a file: what is in it opens recorded traffic). A new
 * session takes the place of whichever lies where its random name points to; each ends after an hour. A
 * process that is killed while it writes loses that one entry.
 *
 *	struct sessions *s = sessions_make(&f);		in the parent, before it forks
 *	sessions_use(s, server);			in a child
 *	sessions_clear(s);				the certificate is another: everybody shows up anew
 */
#ifndef KMI_TLS_SESSIONS_H
#define KMI_TLS_SESSIONS_H

#include "base/fail.h"

struct sessions;
struct br_ssl_server_context_;

struct sessions *sessions_make(struct fail *f);
void sessions_use(struct sessions *s, struct br_ssl_server_context_ *server);
void sessions_clear(struct sessions *s);
void sessions_free(struct sessions *s);

#endif
