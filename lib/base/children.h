/* children: the processes that this one has started and that have not ended, also those from before it began anew by exec. */
#ifndef KMI_BASE_CHILDREN_H
#define KMI_BASE_CHILDREN_H

/* Sends a signal to each; to none where the kernel does not tell of them. */
void children_signal(int sig);

#endif
