/*
 * aside: a tool of ours that a request sets off and does not wait for.
 */
#ifndef KMI_PROXY_ASIDE_H
#define KMI_PROXY_ASIDE_H

#include "base/fail.h"

/*
 * Runs a program that lies beside this one, else in the libexec folder. It is nobody's child, has none of our
 * descriptors, nothing to read, nowhere to print, and not the token of the proxy.
 */
int aside_run(const char *const *argv, struct fail *f);

#endif
