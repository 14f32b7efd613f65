#include "base/curl_words.h"

#include "base/kept_words.h"
#include "base/text.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The numbers of OpenSSL's verification (X509_V_ERR_...), which libcurl hands on. */
enum { CERT_UNKNOWN_ISSUER = 2, CERT_NOT_YET = 9, CERT_EXPIRED = 10, CERT_SELF_SIGNED = 18, CERT_SELF_SIGNED_CHAIN = 19,
	CERT_NO_LOCAL_ISSUER = 20, CERT_UNVERIFIED_LEAF = 21, CERT_OTHER_HOST = 62, CERT_OTHER_ADDRESS = 64 };

static const char *
of_connect(CURL *easy)
{
	long number = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
	switch (number) {
	case ECONNREFUSED:
		return N_("it refused the connection, or nobody listens there");
	case ENETUNREACH:
	case EHOSTUNREACH:
		return N_("there is no way to its network");
	case ETIMEDOUT:
		return N_("no connection came about in time");
	default:
		return NULL;
	}
}

static const char *
of_certificate(CURL *easy, const char *own)
{
	long result = 0;

	curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
	switch (result) {
	case CERT_EXPIRED:
		return N_("its certificate has expired");
	case CERT_NOT_YET:
		return N_("its certificate is not valid yet; is the clock right?");
	case CERT_UNKNOWN_ISSUER:
	case CERT_SELF_SIGNED:
	case CERT_SELF_SIGNED_CHAIN:
	case CERT_NO_LOCAL_ISSUER:
	case CERT_UNVERIFIED_LEAF:
		return N_("its certificate is signed by nobody who is trusted here");
	case CERT_OTHER_HOST:
	case CERT_OTHER_ADDRESS:
		return N_("its certificate is for another host");
	default:
		/* libcurl compares the names itself, and has no number for that. */
		return strstr(own, "subject name") ? N_("its certificate is for another host") : NULL;
	}
}

static const char *
usual(CURL *easy, CURLcode code, const char *own)
{
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return N_("its name cannot be resolved to an address");
	case CURLE_COULDNT_RESOLVE_PROXY:
		return N_("the name of the HTTP proxy cannot be resolved to an address");
	case CURLE_COULDNT_CONNECT:
		return of_connect(easy);
	case CURLE_OPERATION_TIMEDOUT:
		return N_("it took too long");
	case CURLE_PEER_FAILED_VERIFICATION:
		return of_certificate(easy, own);
	case CURLE_SSL_CACERT_BADFILE:
		return N_("the certificates to be trusted cannot be read");
	case CURLE_GOT_NOTHING:
		return N_("it closed the connection without an answer");
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		return N_("the connection broke");
	case CURLE_OUT_OF_MEMORY:
		return N_("out of memory");
	default:
		return NULL;
	}
}

static enum kept_frame
frame(CURLcode code)
{
	switch ((int)code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return KEPT_CERTIFICATE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CIPHER:
		return KEPT_TLS;
	default:
		return KEPT_CONNECTION;
	}
}

void
curl_words(void *easy, int code, const char *own, char *out, size_t size)
{
	const char *words = usual(easy, (CURLcode)code, own);

	if (words)
		snprintf(out, size, "%s", words);
	else
		kept_make(frame((CURLcode)code), *own ? own : curl_easy_strerror((CURLcode)code), out, size);
}
