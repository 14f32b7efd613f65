/*
 * events: STATE_DIR/logs/kmi.log, one JSON object a line, rotated by size (KMI_LOG_MAX_MB, KMI_LOG_BACKUPS).
 *
 *	event_log(c, EVENT_WARNING, "state.json was unreadable and set aside", "file", name, NULL);
 *	event_audit(c, "auto_on", "mode", "auto", NULL);
 *
 * Fields are pairs of C strings, NULL at the end; a value may not be NULL, the list would end there. What
 * cannot be written goes to stderr as one line, "PROGRAM: level: message (name=value, ...)". Secrets are the
 * caller's to keep out. Times are written in the zone that config_load() has set for the process (KMI_TIMEZONE).
 */
#ifndef KMI_BOOKS_EVENTS_H
#define KMI_BOOKS_EVENTS_H

#include "base/config.h"

enum event_level { EVENT_DEBUG, EVENT_INFO, EVENT_WARNING, EVENT_ERROR };

void event_log(const struct config *c, enum event_level level, const char *message, ...) __attribute__((sentinel));
/* level info, message "audit_event", with actor (AUDIT_ACTOR) and action. */
void event_audit(const struct config *c, const char *action, ...) __attribute__((sentinel));
/*
 * For something that may repeat with every request: whether it is time to tell it again, once a minute per `cause`,
 * across processes (files in STATE_DIR/logs/due/; where they cannot be kept, this process alone is counted).
 *
 *	if (event_due(c, "trace"))
 *		event_log(c, EVENT_WARNING, f.text, NULL);
 */
bool event_due(const struct config *c, const char *cause);

#endif
