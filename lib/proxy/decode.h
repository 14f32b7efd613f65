/*
 * decode: an encoded error body, made readable for judging. What goes to the client stays encoded.
 *
 * gzip and deflate, which the known clients ask for. Anything else stays unread: then the status alone decides.
 */
#ifndef KMI_PROXY_DECODE_H
#define KMI_PROXY_DECODE_H

#include "base/buf.h"

/* Appends at most out->max bytes; a body that is cut or damaged gives what could be read. False: unknown encoding. */
bool decode_body(struct str encoding, struct str body, struct buf *out);

#endif
