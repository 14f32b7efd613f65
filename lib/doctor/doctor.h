/*
 * doctor: what is wrong with a setup, and what to do about it.
 *
 * Each group of checks is one file and one function; it looks, and adds what it found. Nothing is changed by
 * looking. Texts are whole sentences, translated by their format as everywhere.
 */
#ifndef KMI_DOCTOR_DOCTOR_H
#define KMI_DOCTOR_DOCTOR_H

#include "base/config.h"
#include "base/fail.h"
#include "keys/roster.h"

#define SERVICE_USER "kmi"	/* as whom the machine's units run; its group has the same name */

enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_WARN, FINDING_FAIL };

struct finding {
	enum finding_level level;
	const char *group;	/* English, marked for translation */
	char *what;
	char *remedy;		/* NULL: nothing to be done */
};

struct doctor {
	const struct config *config;
	struct roster roster;
	time_t now;
	bool refused;		/* a setting was: its default stands in for it here, and nothing else runs */
	const char *group;	/* of what is found from now on */
	struct finding *findings;
	size_t count;
};

void doctor_found(struct doctor *d, enum finding_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What to do about what was found last. */
void doctor_remedy(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A failure found, with its own hint as the remedy. */
void doctor_failed(struct doctor *d, enum finding_level level, const struct fail *f);
size_t doctor_count(const struct doctor *d, enum finding_level level);
void doctor_free(struct doctor *d);

void doctor_settings(struct doctor *d);
void doctor_keys(struct doctor *d);
void doctor_proxy(struct doctor *d);
/* What the machine's own units need: their user, and that he may read and write what he must. Part of the proxy's group. */
void doctor_service(struct doctor *d);
void doctor_client(struct doctor *d);
void doctor_files(struct doctor *d);
void doctor_system(struct doctor *d);

#endif
