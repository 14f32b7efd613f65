#include "base/file.h"
#include "base/sandbox.h"
#include "doctor/doctor.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FOLDER "/etc/ssl/certs"
#define BUILT_AFTER 1735689600	/* 2025-01-01: no honest clock shows less */

/* Certificates are found by names such as 5ad8a5d6.0. */
static size_t
count_hashed(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	while (dir && (e = readdir(dir))) {
		const char *dot = strchr(e->d_name, '.');

		n += dot && dot - e->d_name == 8 && strspn(e->d_name, "0123456789abcdef") == 8;
	}
	if (dir)
		closedir(dir);
	return n;
}

static void
check_named(struct doctor *d, const char *name, const char *path)
{
	if (path && *path && access(path, R_OK) < 0) {
		doctor_found(d, FINDING_FAIL, "%s names %s, which cannot be read", name, path);
		doctor_remedy(d, "correct it, or unset it to trust what the system trusts");
	}
}

static void
check_trust(struct doctor *d)
{
	const char *folder = getenv("SSL_CERT_DIR"), *bundle = getenv("SSL_CERT_FILE");
	size_t n;

	check_named(d, "SSL_CERT_FILE", bundle);
	check_named(d, "CURL_CA_BUNDLE", getenv("CURL_CA_BUNDLE"));
	check_named(d, "SSL_CERT_DIR", folder);
	check_named(d, "KMI_UPSTREAM_CA_FILE", d->config->upstream_ca_file);
	if (!bundle)
		bundle = getenv("CURL_CA_BUNDLE");
	if (!folder || !*folder)
		folder = SYSTEM_FOLDER;
	n = count_hashed(folder);
	if (n) {
		doctor_found(d, FINDING_OK, "%zu certificate authorities are trusted (%s)", n, folder);
	} else if (!bundle || !*bundle) {
		doctor_found(d, FINDING_FAIL, "no certificate authority is trusted: %s has none by its hash", folder);
		doctor_remedy(d, "apt-get install ca-certificates, or update-ca-certificates; c_rehash for a folder of your own");
	}
}

static void
check_clock(struct doctor *d)
{
	if (d->now < BUILT_AFTER) {
		doctor_found(d, FINDING_FAIL, "the clock of this machine is years behind: no certificate is valid yet");
		doctor_remedy(d, "timedatectl set-ntp true");
	} else {
		doctor_found(d, FINDING_OK, "the clock is plausible");
	}
}

/* A socket unit of somebody's own, without the line that keeps it alive in a burst. */
static void
check_units(struct doctor *d)
{
	static const char *const places[] = { "/etc/systemd/system/kmi-proxy.socket", "~/.config/systemd/user/kmi-proxy.socket",
		"/usr/lib/systemd/system/kmi-proxy.socket" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char *path = file_expand(places[i]);
		struct buf text = BUF(65536);
		struct fail f = { 0 };

		if (path && file_read(path, 65535, &text, NULL, &f) == 0 && memmem(text.p, text.n, "Accept=yes", 10) &&
		    !memmem(text.p, text.n, "TriggerLimitIntervalSec=0", 25)) {
			doctor_found(d, FINDING_WARN, "%s ends for good after 200 connections within two seconds", places[i]);
			doctor_remedy(d, "put TriggerLimitIntervalSec=0 into its [Socket] section; `kmi proxy install` writes a good one");
		}
		buf_free(&text);
		free(path);
	}
}

/* What holds our programs, beside what a unit may do. */
static void
check_sandbox(struct doctor *d)
{
	int version = sandbox_version();

	if (!d->config->sandbox) {
		doctor_found(d, FINDING_NOTE, "the sandboxes of handlers, kmi-tls and tools are switched off");
		doctor_remedy(d, "KMI_SANDBOX=1 switches them on");
		return;
	}
	if (version == 0) {
		doctor_found(d, FINDING_NOTE,
		    "this kernel has no Landlock: handlers, kmi-tls and tools are held by file permissions alone");
		doctor_remedy(d, "no harm; a kernel from 5.13 on has it, and the units of systemd do much of the same");
		return;
	}
	if (version >= SANDBOX_VERSION_PORTS)
		doctor_found(d, FINDING_OK, "a handler reaches the keys, the state folder and the upstream's ports (Landlock %d)",
		    version);
	else
		doctor_found(d, FINDING_OK, "a handler reaches the keys and the state folder, but every port (Landlock %d)", version);
	doctor_found(d, FINDING_OK, "kmi-tls reaches no file where it serves a client (Landlock %d)", version);
	doctor_found(d, FINDING_OK, "the tools reach what each needs, as its manual page says (Landlock %d)", version);
}

void
doctor_system(struct doctor *d)
{
	check_sandbox(d);
	check_trust(d);
	check_clock(d);
	check_units(d);
}
