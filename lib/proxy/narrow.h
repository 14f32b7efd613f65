/*
 * narrow: what a handler may reach once it serves: the key files to read, the state folder to write, what libcurl and the
 * resolver read, the upstream's ports. KMI_SANDBOX=0 leaves it as it is.
 */
#ifndef KMI_PROXY_NARROW_H
#define KMI_PROXY_NARROW_H

#include "base/config.h"
#include "base/fail.h"

int narrow_handler(const struct config *c, struct fail *f);

#endif
