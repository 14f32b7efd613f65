/*
 * booking: what an attempt taught about its key goes into the books.
 */
#ifndef KMI_KEYS_BOOKING_H
#define KMI_KEYS_BOOKING_H

#include "keys/pick.h"
#include "keys/verdict.h"

/* What an attempt taught. Server faults are only counted; see booking_rest(). */
void booking_add(struct keyring *kr, const struct pick *p, const struct judgement *j);
/* A key failed as `j` says while another key did well: it rests. */
void booking_rest(struct keyring *kr, const char *label, const struct judgement *j, time_t started);

#endif
