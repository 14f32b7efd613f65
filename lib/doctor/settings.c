#include "doctor/doctor.h"


static void
check_mode(struct doctor *d)
{
	const struct config *c = d->config;

	if (c->dry_run) {
		doctor_found(d, FINDING_NOTE, "dry run: nothing is sent upstream, answers are made up");
		doctor_remedy(d, "KMI_DRY_RUN=0 goes live");
	} else {
		doctor_found(d, FINDING_OK, "live: requests go to %s", c->upstream_base_url);
	}
}

static void
check_policy(struct doctor *d)
{
	const struct config *c = d->config;
	bool on = d->roster.state.head.auto_rotate;

	if (on && !c->auto_rotate_allowed) {
		doctor_found(d, FINDING_WARN, "automatic rotation is switched on but not allowed: one key serves all");
		doctor_remedy(d, "KMI_AUTO_ROTATE_ALLOWED=1 allows it; `kmi rotate off` switches it off");
	} else {
		doctor_found(d, FINDING_OK, on ? "rotation is automatic" : "rotation is manual");
	}
	if (c->require_usage_before_request && !d->roster.health.refreshed_at && !c->fail_open_on_empty_cache) {
		doctor_found(d, FINDING_FAIL, "no request is served: only keys with a known quota may be used, and none is known");
		doctor_remedy(d, "kmi health asks for them; KMI_FAIL_OPEN_ON_EMPTY_CACHE=1 serves meanwhile");
	}
}

void
doctor_settings(struct doctor *d)
{
	const struct config *c = d->config;
	size_t changed = 0;

	for (size_t i = 0; i < config_count(); i++)
		changed += c->origins[i].source != CONFIG_DEFAULT;
	if (!d->refused)
		doctor_found(d, FINDING_OK, "the settings load; %zu of %zu are not the default", changed, config_count());
	for (char **w = c->warnings; w && *w; w++) {
		doctor_found(d, FINDING_WARN, "%s", *w);
		doctor_remedy(d, "correct or remove it; `kmi config` lists the settings");
	}
	check_mode(d);
	check_policy(d);
}
