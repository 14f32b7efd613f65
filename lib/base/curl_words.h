/*
 * curl_words: why there was no answer, in a sentence of ours.
 *
 * libcurl says it in English, with numbers, and another way in each version. The usual reasons are told by
 * sentences that stand in the catalogue; what we do not know keeps libcurl's words, in brackets. The sentence
 * is English, to be kept in a log or a file; base/kept_words says it in the user's language.
 */
#ifndef KMI_BASE_CURL_WORDS_H
#define KMI_BASE_CURL_WORDS_H

#include <stddef.h>

/* easy: the CURL * that failed, with this CURLcode; own: what is in its error buffer, "" when nothing is. */
void curl_words(void *easy, int code, const char *own, char *out, size_t size);

#endif
