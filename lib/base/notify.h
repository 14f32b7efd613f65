/*
 * notify: tells the supervisor how we are.
 *
 *	notify_systemd("READY=1");
 *	notify_fd(fd);
 *
 * systemd names a datagram socket in NOTIFY_SOCKET and takes lines of assignments (sd_notify(3), whose
 * library is not needed for one sendmsg). s6 and its kin hand over a descriptor and wait for a newline on it.
 */
#ifndef KMI_BASE_NOTIFY_H
#define KMI_BASE_NOTIFY_H

/* Does nothing where nobody listens: who started us does not have to care. */
void notify_systemd(const char *assignments);
/* Says that we are ready, and closes the descriptor; -1: none was given. */
void notify_fd(int fd);

#endif
