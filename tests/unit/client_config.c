#include "keys/client_config.h"

#include "check.h"

#define URL_KEY "base_url = \"https://new.example/v1\"\napi_key = \"sk-fake-new\"\n"
#define URL_KEY_INLINE "base_url = \"https://new.example/v1\", api_key = \"sk-fake-new\""
#define DEFAULT "default_model = \"kimi-for-coding\"\n"
#define PROVIDER "[providers.kimi-for-coding]\ntype = \"kimi\"\n" URL_KEY
#define MODEL "[models.kimi-for-coding]\nprovider = \"kimi-for-coding\"\nmodel = \"kimi-for-coding\"\nmax_context_size = 262144\n"

static void
gives(const char *what, const char *text, const char *want)
{
	struct buf out = BUF(1 << 20);
	struct fail f = { 0 };
	int rc = client_config_set(str_from(text), STR("sk-fake-new"), STR("https://new.example/v1"), &out, &f);

	printf("# %s\n", what);
	CHECK_INT(rc, 0);
	CHECK_STR(out.p, want);
	buf_free(&out);
}

static void
refuses(const char *text, const char *why)
{
	struct buf out = BUF(1 << 20);
	struct fail f = { 0 };

	printf("# %s\n", why);
	CHECK_INT(client_config_set(str_from(text), STR("sk-fake-new"), STR("https://new.example/v1"), &out, &f), -1);
	CHECK_STR(f.text, why);
	buf_free(&out);
}

/* By which provider, where to, with what key: "" is none. */
static void
leads(const char *text, const char *provider, const char *url, const char *key)
{
	struct client_route r;
	struct fail f = { 0 };

	CHECK_INT(client_config_route(str_from(text), &r, &f), 0);
	CHECK_STR(r.provider ? r.provider : "", provider);
	CHECK_STR(r.base_url ? r.base_url : "", url);
	CHECK_STR(r.api_key ? r.api_key : "", key);
	client_route_free(&r);
}

static void
routes(void)
{
	struct client_route r;
	struct fail f = { 0 };

	leads("", "", "", "");
	leads("default_model = \"k\"\n[models.k]\nprovider = \"b\"\n[providers.a]\nbase_url = \"x\"\n[providers.b]\nbase_url = \"y\"\n"
	      "api_key = \"sk\"\n", "b", "y", "sk");
	leads("default_model = \"gone\"\n[providers.moonshot-ai]\nbase_url = \"x\"\napi_key = \"\"\n", "moonshot-ai", "x", "");
	leads("default_model = 3\n[models.k]\nprovider = \"b\"\n[providers.b]\n", "", "", "");
	leads("default_model = \"k\"\nmodels = 4\n[providers.kimi-for-coding]\nbase_url = 7\n", "kimi-for-coding", "", "");
	CHECK_INT(client_config_route(STR("a = "), &r, &f), -1);
	client_route_free(&r);
}

int
main(void)
{
	routes();
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
	gives("inline and empty", "[providers]\nmoonshot-ai = {}\n", "[providers]\nmoonshot-ai = { " URL_KEY_INLINE " }\n");
	gives("inline, without both", "providers.moonshot-ai = { type = \"kimi\" }\n",
	    "providers.moonshot-ai = { " URL_KEY_INLINE ", type = \"kimi\" }\n");
	gives("inline, without the Kimi one", "providers = { x = { type = \"openai\" } }\n",
	    DEFAULT "providers = { kimi-for-coding = { type = \"kimi\", " URL_KEY_INLINE " }, x = { type = \"openai\" } }\n\n" MODEL);
	gives("all inline and empty", "default_model = \"\"\nproviders = {}\nmodels = { }\n",
	    "default_model = \"kimi-for-coding\"\nproviders = { kimi-for-coding = { type = \"kimi\", " URL_KEY_INLINE " } }\n"
	    "models = { kimi-for-coding = { provider = \"kimi-for-coding\", model = \"kimi-for-coding\", max_context_size = 262144 }  }\n");
	gives("only by a table within it", "# c\n  [providers.\"managed:kimi-code\".oauth]\nstorage = \"file\"\n",
	    "# c\n[providers.\"managed:kimi-code\"]\n" URL_KEY "  [providers.\"managed:kimi-code\".oauth]\nstorage = \"file\"\n");
	gives("only by a list within it", "[[providers.moonshot-ai.list]]\na = 1\n",
	    "[providers.moonshot-ai]\n" URL_KEY "[[providers.moonshot-ai.list]]\na = 1\n");
	gives("by a table within it and dotted keys", "[providers.mine.oauth]\na = 1\n[providers]\nmine.type = \"kimi\"\n",
	    "[providers.mine.oauth]\na = 1\n[providers]\nmine.base_url = \"https://new.example/v1\"\nmine.api_key = \"sk-fake-new\"\n"
	    "mine.type = \"kimi\"\n");
	gives("dotted", "[providers]\nmoonshot-ai.type = \"kimi\"\nx.y = 1\n",
	    "[providers]\nmoonshot-ai.base_url = \"https://new.example/v1\"\nmoonshot-ai.api_key = \"sk-fake-new\"\n"
	    "moonshot-ai.type = \"kimi\"\nx.y = 1\n");
	gives("dotted, behind a byte-order mark", "\xef\xbb\xbfproviders.mine.type = \"kimi\"",
	    "\xef\xbb\xbfproviders.mine.base_url = \"https://new.example/v1\"\nproviders.mine.api_key = \"sk-fake-new\"\n"
	    "providers.mine.type = \"kimi\"");
	gives("dotted within braces", "providers = { a = [\n1], mine.type = \"kimi\" }",
	    "providers = { a = [\n1], mine.base_url = \"https://new.example/v1\", mine.api_key = \"sk-fake-new\", mine.type = \"kimi\" }");
	gives("a key that is a table in braces", "[providers.moonshot-ai]\napi_key = { a = 1 }\nbase_url = [ 1 ]\n",
	    "[providers.moonshot-ai]\napi_key = \"sk-fake-new\"\nbase_url = \"https://new.example/v1\"\n");
	gives("multi-line strings", "[providers.mine]\ntype = \"kimi\"\napi_key = \"\"\"a\nb\"\"\"\nbase_url = '''x'''\n",
	    "[providers.mine]\ntype = \"kimi\"\napi_key = \"sk-fake-new\"\nbase_url = \"https://new.example/v1\"\n");
	gives("another vendor's provider is left alone",
	    "default_model = \"m\"\n[providers.other]\ntype = \"openai\"\napi_key = \"theirs\"",
	    "default_model = \"m\"\n[providers.other]\ntype = \"openai\"\napi_key = \"theirs\"\n\n" PROVIDER "\n" MODEL);
	gives("a model of that name, too", "[models.kimi-for-coding]\nprovider = \"mine\"\n",
	    "[models.kimi-for-coding]\nprovider = \"mine\"\n\n" PROVIDER);
	gives("what the Kimi CLI makes when it is first run", "default_model = \"\"\n\n[models]\n\n[providers]\n\n[loop_control]\nmax = 3\n",
	    DEFAULT "\n[models]\n\n[providers]\n\n[loop_control]\nmax = 3\n\n" PROVIDER "\n" MODEL);
	gives("an empty file", "", DEFAULT "\n" PROVIDER "\n" MODEL);
	gives("nothing but a comment", "# mine", DEFAULT "# mine\n\n" PROVIDER "\n" MODEL);
	refuses("[providers\n", "line 1: the header is not closed");
	refuses("a = 1\nproviders = 3\n", "line 2: providers is written in a form that cannot be changed in place");
	refuses("[[providers]]\n", "line 1: providers is written in a form that cannot be changed in place");
	refuses("[[providers.kimi-for-coding]]\n", "line 1: kimi-for-coding is written in a form that cannot be changed in place");
	refuses("[providers.mine]\ntype = \"kimi\"\n\n[providers.mine.api_key]\n", "line 4: api_key is written in a form that cannot be changed in place");
	refuses("[providers.moonshot-ai]\napi_key.env = \"X\"\n", "line 2: api_key is written in a form that cannot be changed in place");
	refuses("[[providers.moonshot-ai.base_url]]\n", "line 1: base_url is written in a form that cannot be changed in place");
	CHECK(client_config_has_login(STR("[providers.\"managed:kimi-code\".oauth]\nkey = \"k\"\n")));
	CHECK(client_config_has_login(STR("providers.mine = { type = \"kimi\", oauth = {} }")));
	CHECK(!client_config_has_login(STR("[providers.moonshot-ai]\noauth = \"x\"\n[providers.other.oauth]\n")));
	CHECK(!client_config_has_login(STR("[providers")));
	return check_done();
}
