/*
 * bare: the least that can serve a connection by libcurl: reads one request's head on stdin, fetches URL with trust
 * from a hashed folder, writes the answer on stdout. What kmi-handle started once a connection is measured against.
 *
 *	systemd-socket-activate --accept --inetd -l PORT bare URL CAFOLDER
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char body[65536];
static size_t body_n;

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	(void)arg;
	if (n * one > sizeof(body) - body_n)
		return 0;
	memcpy(body + body_n, p, n * one);
	body_n += n * one;
	return n;
}

int
main(int argc, char **argv)
{
	char head[8192];
	size_t head_n = 0;
	struct curl_slist *headers;
	CURL *e;

	if (argc != 3)
		return 2;
	do {
		ssize_t n = read(0, head + head_n, sizeof(head) - 1 - head_n);

		if (n <= 0)
			return 1;
		head_n += (size_t)n;
		head[head_n] = '\0';
	} while (!strstr(head, "\r\n\r\n"));
	curl_global_init(CURL_GLOBAL_DEFAULT);
	e = curl_easy_init();
	headers = curl_slist_append(NULL, "Authorization: Bearer sk-fake-bare");
	curl_easy_setopt(e, CURLOPT_URL, argv[1]);
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(e, CURLOPT_CAPATH, argv[2]);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	if (curl_easy_perform(e) != CURLE_OK)
		return 1;
	printf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", body_n);
	fwrite(body, 1, body_n, stdout);
	fflush(stdout);
	curl_easy_cleanup(e);
	curl_slist_free_all(headers);
	return 0;
}
