/*
 * narrow: what each of our programs may reach, one line a program. The manual pages tell the same in words.
 *
 *	if (narrow(NAME, &c, &f) < 0)		once the settings are read, and what needs more than that is done
 *		return program_fail(NAME, &f);
 *
 * Where it must reach one place more than its line says:
 *
 *	struct sandbox s;
 *	narrow_begin(&s, NAME, &c);
 *	narrow_folder_of(&s, path, SANDBOX_WRITE);
 *	if (sandbox_enter(&s, &f) < 0) ...
 *
 * A program without a line reaches what its user does. KMI_SANDBOX=0 leaves them all so. kmi-tls is narrowed
 * by its own room: what serves a client there reaches nothing at all.
 */
#ifndef KMI_KEYS_NARROW_H
#define KMI_KEYS_NARROW_H

#include "base/config.h"
#include "base/fail.h"
#include "base/sandbox.h"

#include <stdint.h>

int narrow(const char *program, const struct config *c, struct fail *f);

void narrow_begin(struct sandbox *s, const char *program, const struct config *c);
/* The folder that a file is in, and the one that it lies in when it is a link: where it can be replaced. */
void narrow_folder_of(struct sandbox *s, const char *path, enum sandbox_access access);

/*
 * A number that becomes another one when a program that is narrowed now would get other places than before:
 * one was replaced, or made, or a key names another port. Who was narrowed earlier does not reach the new
 * ones.
 */
uint64_t narrow_ground(const char *program, const struct config *c);

#endif
