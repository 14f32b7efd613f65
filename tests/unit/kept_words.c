#include "base/curl_words.h"
#include "base/kept_words.h"

#include "check.h"

#include <curl/curl.h>

int
main(void)
{
	char out[400], kept[64];

	CHECK_STR(kept_words_in(LOCALE_EN, "it took too long", out, sizeof(out)), "it took too long");
	CHECK_STR(kept_words_in(LOCALE_RU, "it took too long", out, sizeof(out)), "время ожидания вышло");
	CHECK_STR(kept_words_in(LOCALE_RU, "something new", out, sizeof(out)), "something new");
	CHECK_STR(kept_words_in(LOCALE_RU, "", out, sizeof(out)), "");
	CHECK_STR(kept_words_in(LOCALE_RU, "the upstream answered 401", out, sizeof(out)), "сервер ответил 401");
	CHECK_STR(kept_words_in(LOCALE_RU, "the upstream answered ", out, sizeof(out)), "сервер ответил ");
	kept_make(KEPT_TLS, "alert (%n 40)", kept, sizeof(kept));
	CHECK_STR(kept, "no TLS connection came about (alert (%n 40))");
	CHECK_STR(kept_words_in(LOCALE_RU, kept, out, sizeof(out)), "соединение TLS не удалось (alert (%n 40))");
	kept_make(KEPT_CONNECTION, "a long reason that does not fit into what is kept of it, and is cut", kept, sizeof(kept));
	CHECK_STR(kept_words_in(LOCALE_RU, kept, out, sizeof(out)), kept);
	CHECK_STR(kept_words("it took too long", out, sizeof(out)), "it took too long");

	curl_words(NULL, CURLE_OPERATION_TIMEDOUT, "Connection timed out after 10001 milliseconds", out, sizeof(out));
	CHECK_STR(out, "it took too long");
	curl_words(NULL, CURLE_COULDNT_RESOLVE_HOST, "Could not resolve host: x", out, sizeof(out));
	CHECK_STR(out, "its name cannot be resolved to an address");
	curl_words(NULL, CURLE_PEER_FAILED_VERIFICATION, "SSL: no alternative certificate subject name matches target host name 'x'", out,
	    sizeof(out));
	CHECK_STR(out, "its certificate is for another host");
	curl_words(NULL, CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: CA signature digest algorithm too weak", out, sizeof(out));
	CHECK_STR(out, "its certificate is not accepted (SSL certificate problem: CA signature digest algorithm too weak)");
	curl_words(NULL, CURLE_SSL_CONNECT_ERROR, "alert", out, sizeof(out));
	CHECK_STR(out, "no TLS connection came about (alert)");
	curl_words(NULL, CURLE_COULDNT_CONNECT, "", out, sizeof(out));
	CHECK_STR(out, "the connection failed (Couldn't connect to server)");
	return check_done();
}
