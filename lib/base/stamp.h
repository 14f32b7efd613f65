/*
 * stamp: the time before a line on stderr, where nobody else adds it. A journal and a supervisor's logger do,
 * a terminal needs none; a plain file that is appended to is a log, and would never tell when.
 */
#ifndef KMI_BASE_STAMP_H
#define KMI_BASE_STAMP_H

#include "base/clock.h"

#define STAMP_LENGTH 25		/* as clock_local() writes it */
#define STAMP_SIZE (CLOCK_LOCAL_SIZE + 1)

/* "2026-02-02 15:30:00 +0300 ", or empty. */
const char *stamp_stderr(char out[STAMP_SIZE]);

#endif
