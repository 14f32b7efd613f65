#include "tls/credential.h"

#include "base/clock.h"
#include "base/file.h"

#include <bearssl/bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DER_MAX (64u << 10)
#define DAY 86400
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096
#define DAYS_BEFORE_1970 719528	/* as certificates are read: days since the year 0 */

struct credential {
	struct credential_facts facts;
	br_x509_certificate chain[CREDENTIAL_CHAIN_MAX];
	size_t chain_count;
	int key_type, issuer_key_type;		/* BR_KEYTYPE_RSA or BR_KEYTYPE_EC */
	br_skey_decoder_context key;
};

/* ---- PEM ---------------------------------------------------------------------------------------------------- */

#define COPY_AGAIN "copy it again from where it was made"

static void
append(void *to, const void *p, size_t n)
{
	buf_put(to, p, n);
}

/*
 * Calls `take` for each object of a PEM text with its name ("CERTIFICATE") and contents, until it fails. Text
 * between objects is ignored, as everybody does. `der` is wiped: it may hold a key.
 */
static int
each_object(struct str text, const char *name, int (*take)(void *, const char *, struct str, const char *, struct fail *),
    void *into, struct fail *f)
{
	struct buf der = BUF(DER_MAX);
	br_pem_decoder_context pem;
	char what[128] = "";
	bool inside = false;
	int rc = -1;

	br_pem_decoder_init(&pem);
	while (text.n) {
		size_t n = br_pem_decoder_push(&pem, text.p, text.n);

		text = str_sub(text, n, text.n);
		switch (br_pem_decoder_event(&pem)) {
		case BR_PEM_BEGIN_OBJ:
			snprintf(what, sizeof(what), "%s", br_pem_decoder_name(&pem));
			br_pem_decoder_setdest(&pem, append, &der);
			inside = true;
			break;
		case BR_PEM_END_OBJ:
			inside = false;
			if (buf_bad(&der)) {
				fail_set(f, FAIL_USAGE, "%s: something in it is too large", name);
				goto out;
			}
			if (take(into, what, buf_view(&der), name, f) < 0)
				goto out;
			buf_wipe(&der);
			der = BUF(DER_MAX);
			break;
		case BR_PEM_ERROR:
			fail_set(f, FAIL_USAGE, "%s: the PEM text is damaged", name);
			fail_hint(f, COPY_AGAIN);
			goto out;
		}
	}
	if (inside) {
		fail_set(f, FAIL_USAGE, "%s: the file ends in the middle", name);
		fail_hint(f, COPY_AGAIN);
	} else {
		rc = 0;
	}
out:
	explicit_bzero(&pem, sizeof(pem));
	buf_wipe(&der);
	return rc;
}

/* ---- the chain ---------------------------------------------------------------------------------------------- */

static int
take_certificate(void *into, const char *what, struct str der, const char *name, struct fail *f)
{
	struct credential *c = into;
	br_x509_certificate *next = &c->chain[c->chain_count];

	if (strcmp(what, "CERTIFICATE") != 0 && strcmp(what, "X509 CERTIFICATE") != 0)
		return 0;	/* some keep the key in the same file */
	if (c->chain_count == CREDENTIAL_CHAIN_MAX)
		return fail_set(f, FAIL_USAGE, "%s: a chain has at most %d certificates", name, CREDENTIAL_CHAIN_MAX);
	if (der.n == 0)
		return fail_set(f, FAIL_USAGE, "%s: a certificate in it is empty", name);
	next->data = malloc(der.n);
	if (!next->data)
		return fail_memory(f);
	memcpy(next->data, der.p, der.n);
	next->data_len = der.n;
	c->chain_count++;
	return 0;
}

static time_t
seconds(uint32_t days, uint32_t rest)
{
	return ((time_t)days - DAYS_BEFORE_1970) * DAY + (time_t)rest;
}

/* What the server's own certificate says, and its public key. */
static int
read_leaf(struct credential *c, br_x509_decoder_context *x, const char *name, struct fail *f)
{
	if (c->chain_count == 0) {
		fail_set(f, FAIL_USAGE, "%s: there is no certificate in it", name);
		return fail_hint(f, "it is to begin with -----BEGIN CERTIFICATE-----; the key belongs into a file of its own");
	}
	br_x509_decoder_init(x, NULL, NULL);
	br_x509_decoder_push(x, c->chain[0].data, c->chain[0].data_len);
	if (!br_x509_decoder_get_pkey(x)) {
		fail_set(f, FAIL_USAGE, "%s: the certificate cannot be read (code %d)", name, br_x509_decoder_last_error(x));
		return fail_hint(f, "only RSA and EC certificates are understood, no Ed25519; openssl x509 -in FILE -noout -text shows "
		    "what it is");
	}
	/* There is no call that asks for them. */
	c->facts.from = seconds(x->notbefore_days, x->notbefore_seconds);
	c->facts.until = seconds(x->notafter_days, x->notafter_seconds);
	c->facts.certificates = (int)c->chain_count;
	c->issuer_key_type = br_x509_decoder_get_signer_key_type(x);
	return 0;
}

/* ---- the key ------------------------------------------------------------------------------------------------ */

static int
take_key(void *into, const char *what, struct str der, const char *name, struct fail *f)
{
	struct credential *c = into;

	if (strcmp(what, "ENCRYPTED PRIVATE KEY") == 0) {
		fail_set(f, FAIL_USAGE, "%s: the key is protected by a password, which nobody could type here", name);
		return fail_hint(f, "write it without one: openssl pkey -in OLD -out NEW; then chmod 600 NEW");
	}
	if (strcmp(what, "PRIVATE KEY") != 0 && strcmp(what, "RSA PRIVATE KEY") != 0 && strcmp(what, "EC PRIVATE KEY") != 0)
		return 0;	/* EC PARAMETERS, or a certificate */
	if (c->key_type)
		return fail_set(f, FAIL_USAGE, "%s: there is more than one key in it", name);
	br_skey_decoder_init(&c->key);
	br_skey_decoder_push(&c->key, der.p, der.n);
	c->key_type = br_skey_decoder_key_type(&c->key);
	if (c->key_type == 0) {
		fail_set(f, FAIL_USAGE, "%s: the key cannot be read (code %d)", name, br_skey_decoder_last_error(&c->key));
		return fail_hint(f, "only RSA and EC keys are understood, no Ed25519; make a new pair, as with kmi tls selfsigned");
	}
	return 0;
}

static int
read_key(struct credential *c, struct str text, const char *name, struct fail *f)
{
	/* An older way of encryption puts headers into the PEM text. */
	if (str_find(text, STR("Proc-Type: 4,ENCRYPTED")) >= 0)
		return take_key(c, "ENCRYPTED PRIVATE KEY", (struct str){ 0 }, name, f);
	if (each_object(text, name, take_key, c, f) < 0)
		return -1;
	if (c->key_type == 0) {
		fail_set(f, FAIL_USAGE, "%s: there is no private key in it", name);
		return fail_hint(f, "it is to begin with -----BEGIN PRIVATE KEY-----");
	}
	return 0;
}

/* ---- whether they belong together --------------------------------------------------------------------------- */

/* What the private key does to a number the public one undoes. */
static bool
rsa_fits(const br_rsa_private_key *key, const br_rsa_public_key *certified)
{
	unsigned char probe[RSA_BITS_MAX / 8] = { 0 }, again[RSA_BITS_MAX / 8];
	size_t size = (key->n_bitlen + 7) / 8;

	for (size_t i = 0; i < size; i++)
		probe[i] = again[i] = (unsigned char)i;
	return size == certified->nlen && br_rsa_private_get_default()(again, key) &&
	    br_rsa_public_get_default()(again, size, certified) && memcmp(again, probe, size) == 0;
}

static bool
ec_fits(const br_ec_private_key *key, const br_ec_public_key *certified)
{
	unsigned char q[BR_EC_KBUF_PUB_MAX_SIZE];
	br_ec_public_key own;

	return key->curve == certified->curve && br_ec_compute_pub(br_ec_get_default(), &own, q, key) == certified->qlen &&
	    memcmp(q, certified->q, certified->qlen) == 0;
}

static const char *
curve_name(int curve)
{
	switch (curve) {
	case BR_EC_secp256r1:
		return "P-256";
	case BR_EC_secp384r1:
		return "P-384";
	case BR_EC_secp521r1:
		return "P-521";
	}
	return NULL;
}

static int
check_rsa(struct credential *c, const char *name, struct fail *f)
{
	const br_rsa_private_key *key = br_skey_decoder_get_rsa(&c->key);
	size_t parts[] = { key->plen, key->qlen, key->dplen, key->dqlen, key->iqlen };
	unsigned bits = key->n_bitlen;

	snprintf(c->facts.kind, sizeof(c->facts.kind), "RSA %u", bits);
	/* The library trusts that the halves of a key are halves. */
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (parts[i] == 0 || parts[i] > (bits + 15) / 16)
			return fail_set(f, FAIL_USAGE, "%s: the parts of the RSA key do not make one", name);
	if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
		return 0;
	fail_set(f, FAIL_USAGE, "%s: an RSA key of %u bits; %d to %d are served", name, bits, RSA_BITS_MIN, RSA_BITS_MAX);
	return fail_hint(f, "make a new pair, best with an EC key (P-256)");
}

static int
check_ec(struct credential *c, const char *name, struct fail *f)
{
	const br_ec_private_key *key = br_skey_decoder_get_ec(&c->key);
	int curve = key->curve;

	if (!curve_name(curve) || key->xlen == 0 || key->xlen > BR_EC_KBUF_PRIV_MAX_SIZE) {
		fail_set(f, FAIL_USAGE, "%s: an EC key on a curve that is not served (number %d)", name, curve);
		return fail_hint(f, "make a new pair on P-256 (prime256v1)");
	}
	snprintf(c->facts.kind, sizeof(c->facts.kind), "EC %s", curve_name(curve));
	return 0;
}

static int
check_pair(struct credential *c, const br_x509_pkey *certified, const char *cert_name, const char *key_name, struct fail *f)
{
	bool fits = false;

	if (c->key_type == BR_KEYTYPE_RSA) {
		if (check_rsa(c, key_name, f) < 0)
			return -1;
		fits = certified->key_type == BR_KEYTYPE_RSA && rsa_fits(br_skey_decoder_get_rsa(&c->key), &certified->key.rsa);
	} else {
		if (check_ec(c, key_name, f) < 0)
			return -1;
		fits = certified->key_type == BR_KEYTYPE_EC && ec_fits(br_skey_decoder_get_ec(&c->key), &certified->key.ec);
	}
	if (fits)
		return 0;
	fail_set(f, FAIL_USAGE, "the key in %s does not belong to the first certificate in %s", key_name, cert_name);
	return fail_hint(f, "the server's own certificate comes first, then those that signed it; both files must be of one issue");
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

const struct credential_facts *
credential_facts(const struct credential *c)
{
	return &c->facts;
}

void
credential_use(const struct credential *c, struct br_ssl_server_context_ *server)
{
	if (c->key_type == BR_KEYTYPE_RSA)
		br_ssl_server_set_single_rsa(server, c->chain, c->chain_count, br_skey_decoder_get_rsa(&c->key),
		    BR_KEYTYPE_SIGN, br_rsa_private_get_default(), br_rsa_pkcs1_sign_get_default());
	else
		br_ssl_server_set_single_ec(server, c->chain, c->chain_count, br_skey_decoder_get_ec(&c->key),
		    BR_KEYTYPE_SIGN, (unsigned)c->issuer_key_type, br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
}

int
credential_parse(struct credential **out, struct str cert, const char *cert_name, struct str key, const char *key_name,
    struct fail *f)
{
	struct credential *c = calloc(1, sizeof(*c));
	br_x509_decoder_context leaf;

	*out = NULL;
	if (!c)
		return fail_memory(f);
	if (each_object(cert, cert_name, take_certificate, c, f) < 0 || read_leaf(c, &leaf, cert_name, f) < 0 ||
	    read_key(c, key, key_name, f) < 0 ||
	    check_pair(c, br_x509_decoder_get_pkey(&leaf), cert_name, key_name, f) < 0) {
		credential_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

void
credential_free(struct credential *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->chain_count; i++)
		free(c->chain[i].data);
	explicit_bzero(c, sizeof(*c));
	free(c);
}

/* Its owner's; a group may read it, as some systems have it, nobody else anything. */
static int
check_mode(const char *path, struct fail *f)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;	/* reading it will say why */
	if ((st.st_mode & (S_IWGRP | S_IRWXO)) == 0)
		return 0;
	if (st.st_mode & S_IROTH)
		fail_set(f, FAIL_USAGE, "%s: others on this machine may read the key (mode %03o)", path,
		    (unsigned)st.st_mode & 0777);
	else
		fail_set(f, FAIL_USAGE, "%s: others on this machine may change the key (mode %03o)", path,
		    (unsigned)st.st_mode & 0777);
	return fail_hint(f, "chmod 600 %s; when strangers could read it, make a new one", path);
}

static int
read_pem(const char *path, const char *setting, struct buf *out, struct fail *f)
{
	if (file_read(path, CREDENTIAL_FILE_MAX, out, NULL, f) == 0)
		return 0;
	if (f) {
		f->kind = FAIL_USAGE;
		fail_hint(f, "name a PEM file that this user can read in %s; kmi tls selfsigned makes a first one", setting);
	}
	return -1;
}

int
credential_load(struct credential **out, const char *cert_path, const char *key_path, struct fail *f)
{
	struct buf cert = BUF(CREDENTIAL_FILE_MAX + 1), key = BUF(CREDENTIAL_FILE_MAX + 1);
	int rc = -1;

	*out = NULL;
	if (!*cert_path || !*key_path) {
		fail_set(f, FAIL_USAGE, "%s is not set", *cert_path ? "KMI_PROXY_TLS_KEY" : "KMI_PROXY_TLS_CERT");
		return fail_hint(f, "TLS needs a certificate and its key: kmi tls selfsigned makes a first pair");
	}
	if (read_pem(cert_path, "KMI_PROXY_TLS_CERT", &cert, f) == 0 && check_mode(key_path, f) == 0 &&
	    read_pem(key_path, "KMI_PROXY_TLS_KEY", &key, f) == 0)
		rc = credential_parse(out, buf_view(&cert), cert_path, buf_view(&key), key_path, f);
	buf_wipe(&cert);	/* some keep the key in the same file */
	buf_wipe(&key);
	return rc;
}

int
credential_check(const char *cert_path, const char *key_path, struct credential_facts *facts, struct fail *f)
{
	struct credential *c;

	if (credential_load(&c, cert_path, key_path, f) < 0)
		return -1;
	*facts = c->facts;
	credential_free(c);
	return 0;
}

/* ---- time --------------------------------------------------------------------------------------------------- */

enum credential_validity
credential_validity(const struct credential_facts *facts, time_t now)
{
	if (now < facts->from)
		return CREDENTIAL_NOT_YET;
	if (now > facts->until)
		return CREDENTIAL_EXPIRED;
	return facts->until - now < (time_t)CREDENTIAL_SOON_DAYS * DAY ? CREDENTIAL_ENDS_SOON : CREDENTIAL_VALID;
}

bool
credential_doubt(const struct credential_facts *facts, const char *cert_path, time_t now, struct fail *f)
{
	char from[CLOCK_ISO_SIZE], until[CLOCK_ISO_SIZE];

	clock_iso(facts->from, from);
	clock_iso(facts->until, until);
	switch (credential_validity(facts, now)) {
	case CREDENTIAL_VALID:
		return false;
	case CREDENTIAL_NOT_YET:
		fail_set(f, FAIL_INPUT, "the certificate in %s is valid only from %s on: clients will refuse it", cert_path, from);
		fail_hint(f, "look at this machine's clock, or wait");
		break;
	case CREDENTIAL_EXPIRED:
		fail_set(f, FAIL_INPUT, "the certificate in %s has ended on %s: clients will refuse it", cert_path, until);
		fail_hint(f, "put a new one in its place; kmi-tls takes it up by itself");
		break;
	case CREDENTIAL_ENDS_SOON:
		fail_set(f, FAIL_INPUT, "the certificate in %s ends on %s", cert_path, until);
		fail_hint(f, "renew it in time; kmi-tls takes the new one up by itself");
		break;
	}
	return true;
}
