/*
 * toml-json: reads TOML on stdin and prints it as the tagged JSON that the
 * public toml-test suite compares; exit 1 with the reason on stderr when it
 * is refused.
 */
#include "base/json.h"
#include "base/toml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
put_tagged(struct json_out *o, const char *type, const char *text, size_t n)
{
	json_open(o, '{');
	json_key(o, "type");
	json_put_cstr(o, type);
	json_key(o, "value");
	json_put(o, (struct str){ text, n });
	json_close(o, '}');
}

static void
put_float(struct json_out *o, double d)
{
	char text[40];

	snprintf(text, sizeof(text), "%.17g", d);
	if (isnan(d))
		snprintf(text, sizeof(text), "nan");
	put_tagged(o, "float", text, strlen(text));
}

static void
put_value(struct json_out *o, const struct toml *t)
{
	static const char *const names[] = {
		[TOML_OFFSET_DATETIME] = "datetime",
		[TOML_LOCAL_DATETIME] = "datetime-local",
		[TOML_LOCAL_DATE] = "date-local",
		[TOML_LOCAL_TIME] = "time-local",
	};
	enum toml_type type = toml_type(t);
	const char *text;
	char digits[24];
	long long i = 0;
	double d = 0;
	bool b = false;
	size_t n;

	switch (type) {
	case TOML_TABLE:
	case TOML_ARRAY:
		json_open(o, type == TOML_TABLE ? '{' : '[');
		for (const struct toml *m = toml_first(t); m; m = toml_next(m)) {
			if (type == TOML_TABLE)
				json_key_str(o, toml_key(m));
			put_value(o, m);
		}
		json_close(o, type == TOML_TABLE ? '}' : ']');
		break;
	case TOML_STRING:
		text = toml_string(t, &n);
		put_tagged(o, "string", text, n);
		break;
	case TOML_INTEGER:
		toml_integer(t, &i);
		snprintf(digits, sizeof(digits), "%lld", i);
		put_tagged(o, "integer", digits, strlen(digits));
		break;
	case TOML_FLOAT:
		toml_float(t, &d);
		put_float(o, d);
		break;
	case TOML_BOOL:
		toml_bool(t, &b);
		put_tagged(o, "bool", b ? "true" : "false", b ? 4 : 5);
		break;
	case TOML_OFFSET_DATETIME:
	case TOML_LOCAL_DATETIME:
	case TOML_LOCAL_DATE:
	case TOML_LOCAL_TIME:
		text = toml_datetime(t);
		put_tagged(o, names[type], text, strlen(text));
		break;
	case TOML_NONE:
		json_put_null(o);
		break;
	}
}

int
main(void)
{
	struct buf text = BUF(64 << 20), out = BUF(1 << 30);
	struct json_out o = { .to = &out };
	struct fail f = { 0 };
	struct toml *root = NULL;
	ssize_t got = 1;
	int rc = 1;

	while (got > 0) {
		char *room = buf_room(&text, 65536);

		got = room ? read(0, room, 65536) : -1;
		if (got > 0)
			text.n += (size_t)got;
	}
	if (got < 0) {
		fprintf(stderr, "toml-json: cannot read the whole input\n");
		goto out;
	}
	if (toml_parse(&root, buf_view(&text), &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		goto out;
	}
	put_value(&o, root);
	buf_putc(&out, '\n');
	if (!buf_bad(&out) && fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0)
		rc = 0;
out:
	toml_free(root);
	buf_free(&text);
	buf_free(&out);
	return rc;
}
