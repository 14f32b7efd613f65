/*
 * clock: the two clocks, and the ways kmi writes a time.
 *
 * Wall time (seconds since 1970) goes into files that people read; the
 * monotonic clock measures waits, because it never jumps. State files carry
 * `2026-01-31T00:00:00Z`, trace and log lines `2026-02-02 15:30:00 +0300` in
 * the zone of KMI_TIMEZONE.
 */
#ifndef KMI_BASE_CLOCK_H
#define KMI_BASE_CLOCK_H

#include "base/buf.h"

#include <stdint.h>
#include <time.h>

#define CLOCK_ISO_SIZE 21	/* "2026-01-31T00:00:00Z" and the NUL */
#define CLOCK_LOCAL_SIZE 32

time_t clock_wall(void);
int64_t clock_wall_ms(void);
int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);

void clock_iso(time_t t, char out[CLOCK_ISO_SIZE]);
/* RFC 3339, and what clock_local() writes: any offset, any fraction (dropped); "T" or a space. -1 when it is no time. */
int clock_parse(struct str s, time_t *out);
/* An HTTP date, the one form senders use today: "Sun, 06 Nov 1994 08:49:37 GMT". */
int clock_parse_http(struct str s, time_t *out);
/* Days since 1970 of a date of the Gregorian calendar. */
int64_t clock_days(int year, int month, int day);

/* `local`, `UTC`, `+03:00`, or an IANA name. -1 when the system knows no such zone. */
int clock_set_zone(const char *zone);
void clock_local(time_t t, char out[CLOCK_LOCAL_SIZE]);

#endif
