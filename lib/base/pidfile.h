/* pidfile: which process of ours a file names, if it still runs. */
#ifndef KMI_BASE_PIDFILE_H
#define KMI_BASE_PIDFILE_H

#include <sys/types.h>

/*
 * The number in the file, when a process of that number runs and is one of our programs (its name starts
 * with "kmi-"); else 0. Numbers are used again: a file that outlived its process names a stranger.
 */
pid_t pidfile_read(const char *path);

#endif
