#include "keys/client_config.h"

#include "check.h"

static void
gives(const char *what, const char *text, const char *want)
{
	struct buf out = BUF(1 << 20);
	struct fail f = { 0 };
	int rc = client_config_set(str_from(text), STR("sk-fake-new"), STR("https://new.example/v1"), &out, &f);

	printf("# %s\n", what);
	CHECK_INT(rc, want ? 0 : -1);
	if (want)
		CHECK_STR(out.p, want);
	else
		printf("# %s\n", f.text);
	buf_free(&out);
}

int
main(void)
{
	gives("in place, the rest as it was",
	    "# mine\ndefault_model = \"k\"\n\n[providers.kimi-for-coding]\ntype = \"kimi\"\nbase_url = 'https://old/v1' # here\n"
	    "api_key   =\t\"sk-old\"\n[models.k]\nprovider = \"kimi-for-coding\"\n",
	    "# mine\ndefault_model = \"k\"\n\n[providers.kimi-for-coding]\ntype = \"kimi\"\nbase_url = \"https://new.example/v1\" # here\n"
	    "api_key   =\t\"sk-fake-new\"\n[models.k]\nprovider = \"kimi-for-coding\"\n");
	gives("a quoted name, and the other order",
	    "[providers.\"managed:kimi-code\"]\napi_key = \"\"\nbase_url = \"x\"\noauth = { storage = \"file\" }\n",
	    "[providers.\"managed:kimi-code\"]\napi_key = \"sk-fake-new\"\nbase_url = \"https://new.example/v1\"\noauth = { storage = \"file\" }\n");
	gives("what is missing goes in behind the header", "[providers.moonshot-ai] # c\r\ntype = \"kimi\"\r\n",
	    "[providers.moonshot-ai] # c\r\nbase_url = \"https://new.example/v1\"\r\napi_key = \"sk-fake-new\"\r\ntype = \"kimi\"\r\n");
	gives("a header at the end of the text", "[providers.moonshot-ai]",
	    "[providers.moonshot-ai]\nbase_url = \"https://new.example/v1\"\napi_key = \"sk-fake-new\"");
	gives("inline", "providers = { moonshot-ai = { api_key = \"a\" } }\n",
	    "providers = { moonshot-ai = { base_url = \"https://new.example/v1\", api_key = \"sk-fake-new\" } }\n");
	gives("dotted", "[providers]\nmoonshot-ai.type = \"kimi\"\nx.y = 1\n",
	    "[providers]\nmoonshot-ai.base_url = \"https://new.example/v1\"\nmoonshot-ai.api_key = \"sk-fake-new\"\n"
	    "moonshot-ai.type = \"kimi\"\nx.y = 1\n");
	gives("multi-line strings", "[providers.mine]\ntype = \"kimi\"\napi_key = \"\"\"a\nb\"\"\"\nbase_url = '''x'''\n",
	    "[providers.mine]\ntype = \"kimi\"\napi_key = \"sk-fake-new\"\nbase_url = \"https://new.example/v1\"\n");
	gives("another vendor's provider is left alone", "[providers.other]\ntype = \"openai\"\napi_key = \"theirs\"",
	    "[providers.other]\ntype = \"openai\"\napi_key = \"theirs\"\n\n[providers.kimi-for-coding]\ntype = \"kimi\"\n"
	    "base_url = \"https://new.example/v1\"\napi_key = \"sk-fake-new\"\n");
	gives("an empty file", "", "[providers.kimi-for-coding]\ntype = \"kimi\"\nbase_url = \"https://new.example/v1\"\n"
				   "api_key = \"sk-fake-new\"\n");
	gives("no TOML", "[providers\n", NULL);
	gives("providers in a form that takes no more", "providers = {}\n", NULL);
	gives("providers that are none", "providers = 3\n", NULL);
	return check_done();
}
