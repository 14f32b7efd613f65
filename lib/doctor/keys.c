#include "base/kept_words.h"
#include "doctor/doctor.h"
#include "show/standing.h"

#include <grp.h>
#include <string.h>
#include <sys/stat.h>

/* What to do about a lock, by its reason. */
static void
lock_remedy(struct doctor *d, const char *label, const struct choose_fit *fit)
{
	if (!fit->lock)
		doctor_remedy(d, "wait until it is renewed, or add another key");
	else if (strncmp(fit->lock->reason, "payment", 7) == 0)
		doctor_remedy(d, "top the account up, then `kmi unlock %s`", label);
	else if (strncmp(fit->lock->reason, "auth", 4) == 0)
		doctor_remedy(d, "put a good key into its file (that unlocks it), or set KMI_KEY_DISABLED=1 in it");
	else
		doctor_remedy(d, "it ends by itself; `kmi unlock %s` ends it now", label);
}

static void
check_standing(struct doctor *d, size_t i)
{
	const struct choose_fit *fit = &d->roster.fit[i];
	const char *label = d->roster.auths.keys[i].label;
	struct buf why = BUF(512);

	if (fit->fitness != FIT_BLOCKED && fit->fitness != FIT_EXHAUSTED)
		return;
	standing_reason(&why, fit, d->now);
	doctor_found(d, FINDING_WARN, "%s cannot be used: %s", label, why.n ? why.p : "?");
	lock_remedy(d, label, fit);
	buf_free(&why);
}

/* As the service's keys are: root's, and its group may read them. */
static bool
is_for_service(const struct stat *st)
{
	const struct group *group = getgrgid(st->st_gid);

	return (st->st_mode & 077) == S_IRGRP && group && strcmp(group->gr_name, SERVICE_USER) == 0;
}

/* A key that others could have read is no secret any more. */
static void
check_open(struct doctor *d, const struct auth *k)
{
	struct stat st;

	if (stat(k->path, &st) < 0 || !(st.st_mode & 077) || is_for_service(&st))
		return;
	doctor_found(d, FINDING_WARN, "others may read %s", k->path);
	doctor_remedy(d, "chmod 600 %s (and renew the key, if others could log in here)", k->path);
}

static void
check_quota(struct doctor *d)
{
	const struct health *h = &d->roster.health;
	char why[400];

	if (d->config->dry_run)
		return;
	if (d->roster.no_health.kind != FAIL_NONE) {
		doctor_found(d, FINDING_WARN, "health.json is not read: %s", d->roster.no_health.text);
		doctor_remedy(d, "kmi health --refresh writes it anew");
	} else if (!h->refreshed_at) {
		doctor_found(d, FINDING_NOTE, "what is left of the quotas is not known");
		doctor_remedy(d, "kmi health asks for it");
	}
	for (size_t i = 0; i < h->count; i++)
		if (h->keys[i].error[0] && health_find(h, h->keys[i].label, h->keys[i].hash)) {
			doctor_found(d, FINDING_WARN, "%s was last asked for its quota in vain: %s", h->keys[i].label,
			    kept_words(h->keys[i].error, why, sizeof(why)));
			doctor_remedy(d, "kmi health --refresh asks again; is the key good, and the network up?");
		}
}

void
doctor_keys(struct doctor *d)
{
	const struct roster *r = &d->roster;

	if (r->no_keys.kind != FAIL_NONE) {
		doctor_found(d, FINDING_FAIL, "there are no keys: %s", r->no_keys.text);
		doctor_remedy(d, "put a key file there, such as main.env with KMI_API_KEY=...; or set KMI_AUTHS_DIR");
	} else if (roster_usable(r) == 0) {
		doctor_found(d, FINDING_FAIL, "none of the %zu keys can be used now", r->auths.count);
		doctor_remedy(d, "see below what bars them");
	} else {
		doctor_found(d, FINDING_OK, "%zu of %zu keys can be used", roster_usable(r), r->auths.count);
	}
	for (size_t i = 0; i < r->auths.skipped_count; i++) {
		doctor_found(d, FINDING_WARN, "%s is skipped: %s", r->auths.skipped[i].source, r->auths.skipped[i].reason);
		doctor_remedy(d, "mend the file, or take it out of the folder");
	}
	for (size_t i = 0; i < r->auths.count; i++) {
		check_standing(d, i);
		check_open(d, &r->auths.keys[i]);
	}
	check_quota(d);
}
