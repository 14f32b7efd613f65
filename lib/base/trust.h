/*
 * trust: whose certificates are believed when we speak to an upstream.
 *
 * The system's hashed folder, where a lookup costs one file; reading the whole bundle beside it costs a
 * process 15 ms. A bundle is read only when somebody names one: SSL_CERT_FILE or CURL_CA_BUNDLE stand in the
 * place of the folder, SSL_CERT_DIR names another folder, KMI_UPSTREAM_CA_FILE adds to what is there.
 *
 *	trust_find(&t, config, f);	once a process
 *	trust_set(&t, easy);		each libcurl handle; t must outlive it
 *	trust_free(&t);
 */
#ifndef KMI_BASE_TRUST_H
#define KMI_BASE_TRUST_H

#include "base/buf.h"
#include "base/config.h"
#include "base/fail.h"

struct trust {
	const char *folder, *file;	/* NULL: none */
	struct buf both;		/* two files as one, when there are two */
};

int trust_find(struct trust *t, const struct config *c, struct fail *f);
void trust_set(const struct trust *t, void *easy);	/* a CURL * */
void trust_free(struct trust *t);

#endif
