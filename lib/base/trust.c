#include "base/trust.h"

#include "base/file.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRUST_MAX (16u << 20)
#define SYSTEM_FOLDER "/etc/ssl/certs"
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"	/* all of that folder in one file */

static const char *
from_environment(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* Whether the environment names the system's bundle, as many images do: the folder has the same, and costs less. */
static bool
is_system_bundle(const char *path)
{
	char *real = realpath(path, NULL);
	bool same = real && strcmp(real, SYSTEM_BUNDLE) == 0 && access(SYSTEM_FOLDER, R_OK | X_OK) == 0;

	free(real);
	return same;
}

/* libcurl takes one file: two are given to it as one. */
static int
join(struct buf *both, const char *one, const char *other, struct fail *f)
{
	*both = BUF(2 * TRUST_MAX);
	if (file_read(one, TRUST_MAX, both, NULL, f) < 0)
		return -1;
	buf_putc(both, '\n');
	if (file_read(other, TRUST_MAX, both, NULL, f) < 0)
		return -1;
	return buf_bad(both) ? fail_memory(f) : 0;
}

int
trust_find(struct trust *t, const struct config *c, struct fail *f)
{
	const char *bundle = from_environment("SSL_CERT_FILE");
	const char *extra = c->upstream_ca_file && *c->upstream_ca_file ? c->upstream_ca_file : NULL;

	*t = (struct trust){ 0 };
	if (!bundle)
		bundle = from_environment("CURL_CA_BUNDLE");
	if (bundle && is_system_bundle(bundle))
		bundle = NULL;
	t->folder = from_environment("SSL_CERT_DIR");
	if (!t->folder && !bundle && access(SYSTEM_FOLDER, R_OK | X_OK) == 0)
		t->folder = SYSTEM_FOLDER;
	if (extra && access(extra, R_OK) < 0)
		return fail_sys(f, "KMI_UPSTREAM_CA_FILE %s", extra);
	t->file = bundle ? bundle : extra;
	return bundle && extra ? join(&t->both, bundle, extra, f) : 0;
}

void
trust_set(const struct trust *t, void *easy)
{
	curl_easy_setopt(easy, CURLOPT_CAPATH, t->folder);
	if (t->both.n) {
		struct curl_blob blob = { t->both.p, t->both.n, CURL_BLOB_NOCOPY };

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	} else if (t->file || t->folder) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, t->file);
	}
}

void
trust_free(struct trust *t)
{
	buf_free(&t->both);
}
