/* nearest: which known word a misspelt one was meant to be. */
#ifndef KMI_BASE_NEAREST_H
#define KMI_BASE_NEAREST_H

/*
 * The word of a NULL-ended list that `word` was probably meant to be, or NULL
 * when none is near: a few wrong, missing, doubled or swapped letters, or a
 * piece of the known word ("LISTEN" for "PROXY_LISTEN"). Case does not count.
 */
const char *nearest_word(const char *word, const char *const *known);

#endif
