/*
 * credential: a certificate chain and its private key, from two PEM files.
 *
 *	struct credential *c = NULL;
 *	if (credential_load(&c, cert_path, key_path, &f) < 0)	what is wrong, and the remedy
 *		return -1;
 *	credential_facts(c)->until ...;  credential_use(c, server);
 *	credential_free(c);			the key is overwritten
 *
 * The chain begins with the server's own certificate, as every CA's tool writes it. The key is RSA or EC, in any of
 * the three unencrypted forms (PKCS#1, SEC1, PKCS#8). It must belong to the certificate, and its file must not be
 * open to others: that is refused, not warned of. A certificate that has ended is loaded all the same, since to be
 * told so by the client is better than no answer; credential_doubt() says it.
 *
 * For a program that only asks, like kmi doctor: credential_check().
 */
#ifndef KMI_TLS_CREDENTIAL_H
#define KMI_TLS_CREDENTIAL_H

#include "base/buf.h"
#include "base/fail.h"

#include <time.h>

#define CREDENTIAL_CHAIN_MAX 10
#define CREDENTIAL_FILE_MAX (256u << 10)
#define CREDENTIAL_SOON_DAYS 14		/* tools for renewal begin a month ahead; who comes to this has none */

struct credential_facts {
	char kind[24];		/* "RSA 2048", "EC P-256" */
	int certificates;
	time_t from, until;	/* of the server's own certificate */
};

struct credential;
struct br_ssl_server_context_;

int credential_load(struct credential **out, const char *cert_path, const char *key_path, struct fail *f);
/* The same from bytes; the names are for messages. */
int credential_parse(struct credential **out, struct str cert, const char *cert_name, struct str key,
    const char *key_name, struct fail *f);
void credential_free(struct credential *c);
const struct credential_facts *credential_facts(const struct credential *c);
/* What a handshake is to be made with. The server must not outlive the credential. */
void credential_use(const struct credential *c, struct br_ssl_server_context_ *server);

/* Loads, tells, forgets. */
int credential_check(const char *cert_path, const char *key_path, struct credential_facts *facts, struct fail *f);

enum credential_validity { CREDENTIAL_VALID, CREDENTIAL_NOT_YET, CREDENTIAL_EXPIRED, CREDENTIAL_ENDS_SOON };

enum credential_validity credential_validity(const struct credential_facts *facts, time_t now);
/* False when all is well; else what a person should know, and do, in *f. */
bool credential_doubt(const struct credential_facts *facts, const char *cert_path, time_t now, struct fail *f);

#endif
