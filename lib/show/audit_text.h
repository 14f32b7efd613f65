/*
 * audit_text: what came of putting the trace to the proof, in sentences and as JSON.
 */
#ifndef KMI_SHOW_AUDIT_TEXT_H
#define KMI_SHOW_AUDIT_TEXT_H

#include "books/audit.h"
#include "show/look.h"

void audit_text(struct buf *out, const struct look *look, const struct audit *a);
void audit_json(struct buf *out, const struct audit *a);

#endif
