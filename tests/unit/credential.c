#include "tls/credential.h"

#include "base/file.h"
#include "check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/kmi-credential.XXXXXX";

static const char *
in(const char *name)
{
	static char paths[8][200];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void
openssl(const char *arguments)
{
	char command[600];

	snprintf(command, sizeof(command), "cd %s && umask 077 && openssl %s >/dev/null 2>&1", folder, arguments);
	if (system(command) != 0)
		printf("# failed: %s\n", command);
}

static void
make_pairs(void)
{
	openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key");
	openssl("req -x509 -new -key ec.key -out ec.pem -subj /CN=ec -days 30");
	openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
	openssl("req -x509 -new -key rsa.key -out rsa.pem -subj /CN=rsa -days 30");
	openssl("ec -in ec.key -out ec.sec1");
	openssl("rsa -in rsa.key -traditional -out rsa.pkcs1");
	openssl("pkey -in ec.key -aes128 -passout pass:x -out locked.key");
	openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out other.key");
}

static char text_of_failure[1000];

/* What is wrong with a pair, or its kind when nothing is. */
static const char *
load(const char *cert, const char *key)
{
	struct credential *c = NULL;
	struct fail f = { 0 };

	if (credential_load(&c, in(cert), in(key), &f) < 0) {
		CHECK(c == NULL && f.kind == FAIL_USAGE && f.text[0]);
		snprintf(text_of_failure, sizeof(text_of_failure), "%s", f.text);
		return text_of_failure;
	}
	snprintf(text_of_failure, sizeof(text_of_failure), "%s, %d", credential_facts(c)->kind, credential_facts(c)->certificates);
	CHECK(credential_facts(c)->until - credential_facts(c)->from == 30 * 86400);
	credential_free(c);
	return text_of_failure;
}

#define CHECK_PART(got, part) check_that(strstr((got), (part)) != NULL, (got), __FILE__, __LINE__)

static void
write_file(const char *name, const char *a, const char *b)
{
	struct buf all = BUF(1 << 20);

	CHECK(file_read(in(a), 1 << 20, &all, NULL, NULL) == 0);
	if (b)
		CHECK(file_read(in(b), 1 << 20, &all, NULL, NULL) == 0);
	CHECK(file_replace(in(name), buf_view(&all), false, NULL) == 0);
	buf_free(&all);
}

static void
pairs(void)
{
	CHECK_STR(load("ec.pem", "ec.key"), "EC P-256, 1");
	CHECK_STR(load("ec.pem", "ec.sec1"), "EC P-256, 1");
	CHECK_STR(load("rsa.pem", "rsa.key"), "RSA 2048, 1");
	CHECK_STR(load("rsa.pem", "rsa.pkcs1"), "RSA 2048, 1");
	write_file("chain.pem", "ec.pem", "rsa.pem");
	CHECK_STR(load("chain.pem", "ec.key"), "EC P-256, 2");
	CHECK_PART(load("chain.pem", "rsa.key"), "does not belong");
	write_file("both.pem", "ec.key", "ec.pem");	/* some keep both in one file */
	CHECK_STR(load("both.pem", "both.pem"), "EC P-256, 1");
	CHECK_PART(load("ec.pem", "rsa.key"), "does not belong");
	CHECK_PART(load("ec.pem", "locked.key"), "password");
	CHECK_PART(load("ec.pem", "other.key"), "other.key");
	CHECK_PART(load("ec.pem", "none.key"), "none.key");
	CHECK_PART(load("ec.key", "ec.key"), "no certificate");
	CHECK_PART(load("ec.pem", "ec.pem"), "no private key");
	write_file("two.key", "ec.key", "rsa.key");
	CHECK_PART(load("ec.pem", "two.key"), "more than one key");
	chmod(in("ec.key"), 0644);
	CHECK_PART(load("ec.pem", "ec.key"), "may read the key (mode 644)");
	chmod(in("ec.key"), 0660);
	CHECK_PART(load("ec.pem", "ec.key"), "may change the key (mode 660)");
	chmod(in("ec.key"), 0640);
	CHECK_STR(load("ec.pem", "ec.key"), "EC P-256, 1");
}

/* Cut anywhere, changed anywhere: an answer, never more. */
static void
damage(void)
{
	struct buf cert = BUF(1 << 20), key = BUF(1 << 20);
	struct credential *c;
	int good = 0;

	CHECK(file_read(in("rsa.pem"), 1 << 20, &cert, NULL, NULL) == 0 && file_read(in("rsa.key"), 1 << 20, &key, NULL, NULL) == 0);
	for (size_t n = 0; n < key.n; n += 7)
		if (credential_parse(&c, buf_view(&cert), "c", (struct str){ key.p, n }, "k", NULL) == 0) {
			credential_free(c);
			good++;
		}
	CHECK(good <= 1);
	for (size_t i = 40; i < key.n; i += 11) {
		char was = key.p[i];

		key.p[i] = was == 'A' ? 'B' : 'A';
		if (credential_parse(&c, buf_view(&cert), "c", buf_view(&key), "k", NULL) == 0)
			credential_free(c);
		key.p[i] = was;
	}
	for (size_t i = 40; i < cert.n; i += 11) {
		char was = cert.p[i];

		cert.p[i] = was == 'A' ? 'B' : 'A';
		if (credential_parse(&c, buf_view(&cert), "c", buf_view(&key), "k", NULL) == 0)
			credential_free(c);
		cert.p[i] = was;
	}
	CHECK(credential_parse(&c, buf_view(&cert), "c", buf_view(&key), "k", NULL) == 0);
	credential_free(c);
	buf_free(&cert);
	buf_wipe(&key);
}

static void
times(void)
{
	static const struct {
		time_t from, until, now;
		enum credential_validity want;
	} table[] = {
		{ 1000, 100000000, 999, CREDENTIAL_NOT_YET },
		{ 1000, 100000000, 1000, CREDENTIAL_VALID },
		{ 1000, 100000000, 100000000 - 14 * 86400, CREDENTIAL_VALID },
		{ 1000, 100000000, 100000000 - 14 * 86400 + 1, CREDENTIAL_ENDS_SOON },
		{ 1000, 100000000, 100000000, CREDENTIAL_ENDS_SOON },
		{ 1000, 100000000, 100000001, CREDENTIAL_EXPIRED },
	};
	struct fail f;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct credential_facts facts = { .from = table[i].from, .until = table[i].until };

		CHECK_INT(credential_validity(&facts, table[i].now), table[i].want);
		CHECK(credential_doubt(&facts, "c.pem", table[i].now, &f) == (table[i].want != CREDENTIAL_VALID));
		if (table[i].want != CREDENTIAL_VALID)
			CHECK(strstr(f.text, "c.pem") && f.hint[0]);
	}
}

int
main(void)
{
	char command[100];

	if (!mkdtemp(folder))
		return 1;
	make_pairs();
	pairs();
	damage();
	times();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CHECK(system(command) == 0);
	return check_done();
}
