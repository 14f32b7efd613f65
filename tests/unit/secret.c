#include "base/secret.h"

#include "base/fail.h"

#include "check.h"

#include <stdlib.h>

static const char *
hidden(const char *text)
{
	static char copy[4096];

	snprintf(copy, sizeof(copy), "%s", text);
	secret_hide(copy, strlen(copy));
	return copy;
}

static void
know(const char *secret)
{
	secret_know(str_from(secret));
}

/* A thousand keys that begin alike, at every place of a text, whole or cut off by its end. */
static void
check_many(void)
{
	char key[64], text[256], want[256];
	int wrong = 0, wrong_cut = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "sk-kimi-%08x%024d", i * 2654435761U, i);
		know(key);
	}
	for (int i = 0; i < 1000; i++)
		for (int at = 0; at < 20; at += 3) {
			snprintf(key, sizeof(key), "sk-kimi-%08x%024d", i * 2654435761U, i);
			snprintf(text, sizeof(text), "%.*s%s ss sk-kimi- end", at, "ss sk-kimi-ss sk-kimi-", key);
			snprintf(want, sizeof(want), "%.*s%.40s ss sk-kimi- end", at, "ss sk-kimi-ss sk-kimi-",
			    "****************************************");
			wrong += strcmp(hidden(text), want) != 0;
			text[at + 25] = want[at + 25] = '\0';
			wrong_cut += strcmp(hidden(text), want) != 0;
		}
	CHECK_INT(wrong, 0);
	CHECK_INT(wrong_cut, 0);
}

int
main(void)
{
	struct fail f;

	CHECK_STR(hidden("before anything is known"), "before anything is known");
	CHECK(!secret_hide(NULL, 0));
	know("");
	know("short");
	CHECK_STR(hidden("too short to be told from a word"), "too short to be told from a word");

	know("sk-fake-a-000a");
	CHECK_STR(hidden("the key sk-fake-a-000a is refused"), "the key ************** is refused");
	CHECK_STR(hidden("sk-fake-a-000a"), "**************");
	CHECK_STR(hidden("sk-fake-a-000asksk-fake-a-000a"), "**************sk**************");
	CHECK_STR(hidden("sk-fake-b-000b sk-fake-a-000"), "sk-fake-b-000b sk-fake-a-000");
	know("sk-fake-a-000a");

	/* A longer one that begins alike takes nothing along beside the shorter one, and the other way round. */
	know("token-of-sixteen-and-more");
	know("token-of-sixteen-a");
	CHECK_STR(hidden("{\"a\": \"token-of-sixteen-a\"}"), "{\"a\": \"******************\"}");
	CHECK_STR(hidden("token-of-sixteen-a\n12345678"), "******************\n12345678");
	CHECK_STR(hidden("token-of-sixteen-and-more"), "*************************");

	know("quo\"ted\\token");
	CHECK_STR(hidden("plain quo\"ted\\token."), "plain *************.");
	CHECK_STR(hidden("\"quo\\\"ted\\\\token\""), "\"***************\"");

	/* Whatever a message is made of. */
	fail_set(&f, FAIL_INPUT, "what %s is", "sk-fake-a-000a");
	CHECK_STR(f.text, "what ************** is");
	fail_hint(&f, "try %s", "token-of-sixteen-and-more");
	CHECK_STR(f.hint, "try *************************");

	check_many();
	return check_done();
}
