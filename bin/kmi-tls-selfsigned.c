/*
 * kmi-tls-selfsigned: a first certificate for kmi-tls, and its key. Reached as `kmi tls selfsigned`.
 *
 *	kmi tls selfsigned [--days N] [--name NAME]... [--force] [CERT KEY]
 *
 * For the names and addresses of this machine, those of KMI_PROXY_HOSTS, and what --name adds. openssl makes it. It
 * is no CA: a client that is told to trust it trusts this server, and nobody else who might steal the key.
 */
#include "base/config.h"
#include "base/endpoint.h"
#include "base/file.h"
#include "base/program.h"
#include "base/text.h"
#include "tls/credential.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "kmi-tls-selfsigned"
#define NAMES_MAX 64
#define CONFIG_MAX (64u << 10)
#define DAYS 825		/* longer ones some clients refuse */

static const char usage[] =
    "usage: kmi tls selfsigned [--days N] [--name NAME]... [--force] [CERT KEY]\n"
    "\n"
    "Makes a key and a self-signed certificate for the names and addresses of this\n"
    "machine, in the files of KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY, else in\n"
    "~/.kmi/tls.\n"
    "\n"
    "      --days N     how long it is valid (825)\n"
    "      --name NAME  a further name or address by which clients reach this machine\n"
    "      --force      replace files that are there\n"
    "  -h, --help       this text\n";

struct order {
	char *cert, *key;
	char *names[NAMES_MAX];
	int count;
	long long days;
	bool force;
};

/* ---- names -------------------------------------------------------------------------------------------------- */

static void
add_name(struct order *o, struct str name)
{
	for (int i = 0; i < o->count; i++)
		if (str_caseis(name, o->names[i]))
			return;
	if (name.n && endpoint_host_ok(name) && o->count < NAMES_MAX && (o->names[o->count] = str_dup(name)))
		o->count++;
}

/* Addresses that lead here from elsewhere; those that hold on one wire alone are left out. */
static void
add_addresses(struct order *o)
{
	char text[INET6_ADDRSTRLEN];
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		const void *address = NULL;

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			address = &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr->sa_family == AF_INET6 &&
		    !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr))
			address = &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
		if (address && inet_ntop(i->ifa_addr->sa_family, address, text, sizeof(text)))
			add_name(o, str_from(text));
	}
	freeifaddrs(all);
}

static void
add_this_machine(struct order *o, const struct config *c)
{
	char host[256] = "";
	struct str name;
	int port;

	gethostname(host, sizeof(host) - 1);
	add_name(o, str_from(host));
	add_name(o, STR("localhost"));
	add_name(o, STR("127.0.0.1"));
	add_name(o, STR("::1"));
	for (char **entry = c->proxy_hosts; entry && *entry; entry++)
		if (endpoint_split(str_from(*entry), &name, &port) == 0)
			add_name(o, name);
	add_addresses(o);
}

/* ---- openssl ------------------------------------------------------------------------------------------------ */

static bool
is_address(const char *name)
{
	struct in6_addr any;

	return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

static void
write_request(const struct order *o, struct buf *b)
{
	buf_puts(b, "[req]\ndistinguished_name = who\nx509_extensions = what\nprompt = no\n[who]\nCN = kmi proxy\n[what]\n"
	    "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\nextendedKeyUsage = serverAuth\n"
	    "subjectKeyIdentifier = hash\nsubjectAltName = @names\n[names]\n");
	for (int i = 0; i < o->count; i++)
		buf_printf(b, "%s.%d = %s\n", is_address(o->names[i]) ? "IP" : "DNS", i + 1, o->names[i]);
}

static int
wait_for_openssl(pid_t pid, struct fail *f)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return fail_sys(f, "run openssl");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fail_set(f, FAIL_SYSTEM, "openssl cannot be run; it is in the package of that name");
	return status == 0 ? 0 : fail_set(f, FAIL_SYSTEM, "openssl could not make the certificate");
}

static int
make_key(const char *key, struct fail *f)
{
	pid_t pid = fork();

	if (pid == 0) {
		program_before_stranger();
		execlp("openssl", "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key,
		    (char *)NULL);
		_exit(127);
	}
	return wait_for_openssl(pid, f);
}

static int
make_cert(const struct order *o, const char *cert, const char *key, struct fail *f)
{
	struct buf request = BUF(CONFIG_MAX);
	char days[24];
	int ends[2], rc;
	pid_t pid;

	write_request(o, &request);
	snprintf(days, sizeof(days), "%lld", o->days);
	if (buf_bad(&request))
		return fail_memory(f);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_sys(f, "pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ends[0], 0);
		program_before_stranger();
		execlp("openssl", "openssl", "req", "-x509", "-new", "-sha256", "-config", "/dev/stdin", "-days", days, "-key", key,
		    "-out", cert, (char *)NULL);
		_exit(127);
	}
	close(ends[0]);
	file_write_all(ends[1], buf_view(&request));	/* it says itself when that was not all */
	close(ends[1]);
	rc = wait_for_openssl(pid, f);
	buf_free(&request);
	return rc;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static int
find_place(struct order *o, const struct config *c, char **given, int count, struct fail *f)
{
	if (count == 2) {
		o->cert = file_expand(given[0]);
		o->key = file_expand(given[1]);
	} else if (*c->proxy_tls_cert && *c->proxy_tls_key) {
		o->cert = strdup(c->proxy_tls_cert);
		o->key = strdup(c->proxy_tls_key);
	} else {
		o->cert = file_join(c->state_dir, "tls/cert.pem");
		o->key = file_join(c->state_dir, "tls/key.pem");
	}
	if (!o->cert || !o->key)
		return fail_memory(f);
	if (strcmp(o->cert, o->key) == 0)
		return fail_set(f, FAIL_USAGE, "certificate and key need two files");
	return 0;
}

static int
make_folder(const char *file, struct fail *f)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(file, '/');

	if (!slash || slash == file)
		return 0;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file), file);
	return file_mkdirs(folder, f);
}

static int
check_free(const struct order *o, struct fail *f)
{
	const char *files[] = { o->cert, o->key };

	for (int i = 0; i < 2 && !o->force; i++)
		if (access(files[i], F_OK) == 0) {
			fail_set(f, FAIL_SYSTEM, "%s is there already", files[i]);
			return fail_hint(f, "kmi tls --check looks at it; --force replaces it, and clients must then be given the new one");
		}
	return make_folder(o->cert, f) < 0 ? -1 : make_folder(o->key, f);
}

/* Both are made under other names, tried, and then put in their places: the key first, for a server looks at both. */
static int
make(const struct order *o, struct fail *f)
{
	char cert[PATH_MAX], key[PATH_MAX];
	struct credential_facts facts;
	int rc = -1;

	if (check_free(o, f) < 0)
		return -1;
	if (snprintf(cert, sizeof(cert), "%s.new", o->cert) >= PATH_MAX || snprintf(key, sizeof(key), "%s.new", o->key) >= PATH_MAX)
		return fail_set(f, FAIL_USAGE, "the path of a file is too long");
	if (make_key(key, f) < 0 || make_cert(o, cert, key, f) < 0 || credential_check(cert, key, &facts, f) < 0)
		goto out;
	if (rename(key, o->key) < 0 || rename(cert, o->cert) < 0) {
		fail_sys(f, "put %s in its place", o->cert);
		goto out;
	}
	chmod(o->cert, 0644);	/* clients are given it */
	rc = 0;
out:
	if (rc < 0) {
		unlink(cert);
		unlink(key);
	}
	return rc;
}

static void
say_made(const struct order *o)
{
	program_say("  certificate  %s, which clients are to trust\n", o->cert);
	program_say("  key          %s, which stays here\n", o->key);
	for (int i = 0; i < o->count; i++)
		printf("  %-12s %s\n", i ? "" : _("valid for"), o->names[i]);
	program_say("\nSet them in ~/.kmi/kmi.config.toml (variables: KMI_ before, all capitals):\n");
	printf("    proxy_tls_cert = \"%s\"\n    proxy_tls_key = \"%s\"\n", o->cert, o->key);
	program_say("Give each client a copy of the certificate, and let it trust that:\n");
	printf("    SSL_CERT_FILE=cert.pem         (Python, curl)\n    NODE_EXTRA_CA_CERTS=cert.pem   (Node)\n");
}

/* ---- */

static int
selfsigned(struct order *o, char **files, int count)
{
	struct config c;
	struct fail f = { 0 };
	int code = program_config(NAME, &c, NULL);

	if (code)
		return code;
	add_this_machine(o, &c);
	if (find_place(o, &c, files, count, &f) < 0 || make(o, &f) < 0)
		code = program_fail(NAME, &f);
	else
		say_made(o);
	config_free(&c);
	return code;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "days", required_argument, NULL, 'd' }, { "name", required_argument, NULL, 'n' }, { "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct program_call call = { .name = NAME, .usage = usage, .letters = ":h", .options = options };
	struct order o = { .days = DAYS };
	int opt, code;

	program_start();
	while ((opt = program_option(&call, argc, argv)) >= 0)
		switch (opt) {
		case 'd':
			if (str_int(str_from(optarg), 1, 36500, &o.days) < 0)
				return program_usage(NAME, "--days takes a number from 1 to 36500, but was given '%s'", optarg);
			break;
		case 'n':
			if (!endpoint_host_ok(str_from(optarg)))
				return program_usage(NAME, "--name takes a host name or an address, but was given '%s'", optarg);
			add_name(&o, str_from(optarg));
			break;
		case 'f':
			o.force = true;
			break;
		}
	if (call.over)
		return call.code;
	if (argc - optind != 0 && argc - optind != 2)
		return program_usage(NAME, "it takes two files, for the certificate and for the key, or none");
	code = selfsigned(&o, argv + optind, argc - optind);
	for (int i = 0; i < o.count; i++)
		free(o.names[i]);
	free(o.cert);
	free(o.key);
	return program_end(NAME, code);
}
