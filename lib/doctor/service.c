#include "doctor/doctor.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>


/* Whether the user may do that, by the file's mode; his other groups do not count in a service. */
static bool
may(const struct passwd *pw, const char *path, mode_t wanted)
{
	struct stat st;
	mode_t has;

	if (stat(path, &st) < 0)
		return true;	/* told elsewhere, or made by who needs it */
	has = st.st_uid == pw->pw_uid ? st.st_mode >> 6 : st.st_gid == pw->pw_gid ? st.st_mode >> 3 : st.st_mode;
	return (has & wanted) == wanted;
}

static void
check_keys(struct doctor *d, const struct passwd *pw)
{
	const struct auths *a = &d->roster.auths;

	if (!may(pw, d->config->auths_dir, 05)) {
		doctor_found(d, FINDING_FAIL, "the service runs as %s, who may not read the folder of keys %s", SERVICE_USER,
		    d->config->auths_dir);
		doctor_remedy(d, "chgrp %s %s && chmod 750 %s", SERVICE_USER, d->config->auths_dir, d->config->auths_dir);
		return;
	}
	for (size_t i = 0; i < a->count; i++)
		if (!may(pw, a->keys[i].path, 04)) {
			doctor_found(d, FINDING_FAIL, "the service runs as %s, who may not read %s", SERVICE_USER, a->keys[i].path);
			doctor_remedy(d, "chgrp %s %s && chmod 640 %s", SERVICE_USER, a->keys[i].path, a->keys[i].path);
		}
}

/* A folder on the way counts, too, and is the likelier fault. */
static void
check_tls(struct doctor *d, const struct passwd *pw, const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 0, path);
	if (*folder && !may(pw, folder, 01)) {
		doctor_found(d, FINDING_FAIL, "the service runs as %s, who may not read %s", SERVICE_USER, path);
		doctor_remedy(d, "chgrp %s %s && chmod 750 %s", SERVICE_USER, folder, folder);
	} else if (*path && !may(pw, path, 04)) {
		doctor_found(d, FINDING_FAIL, "the service runs as %s, who may not read %s", SERVICE_USER, path);
		doctor_remedy(d, "chgrp %s %s && chmod 640 %s", SERVICE_USER, path, path);
	}
}

void
doctor_service(struct doctor *d)
{
	const struct passwd *pw = getpwnam(SERVICE_USER);

	if (!pw) {
		doctor_found(d, FINDING_FAIL, "the service is to run as the user %s, whom there is not", SERVICE_USER);
		doctor_remedy(d, "sudo kmi proxy install --system makes him");
		return;
	}
	if (!may(pw, d->config->state_dir, 07)) {
		doctor_found(d, FINDING_FAIL, "the service runs as %s, who may not write to the state folder %s", SERVICE_USER,
		    d->config->state_dir);
		doctor_remedy(d, "chown -R %s: %s", SERVICE_USER, d->config->state_dir);
	}
	check_keys(d, pw);
	check_tls(d, pw, d->config->proxy_tls_cert);
	check_tls(d, pw, d->config->proxy_tls_key);
}
