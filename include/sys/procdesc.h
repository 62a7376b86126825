/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * <sys/procdesc.h>: process descriptors for Linux, which are its pidfds.
 *
 * EVFILT_PROCDESC of <sys/event.h> watches one, wherever it comes from: from
 * here, from pidfd_open(2), clone(2) or a socket.  FreeBSD 9; pdfork(2)
 * describes what Linux cannot do.
 */
#ifndef KQ_SYS_PROCDESC_H
#define KQ_SYS_PROCDESC_H

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* pdfork() flags. */
#define PD_DAEMON	0x00000001	/* closing the descriptor does not kill the process: required here */
#define PD_CLOEXEC	0x00000002	/* the descriptor is close-on-exec */

/*
 * fork(), and *fdp becomes a descriptor of the child, in the parent only.  The
 * child's id, 0 in the child, or -1: EAGAIN, EFAULT, EINVAL, EMFILE, ENFILE,
 * ENOMEM, ENOTSUP without PD_DAEMON or without pidfds (Linux 5.3).
 */
pid_t	pdfork(int *fdp, int flags);

/* The id of a descriptor's process; 0, or -1: EBADF, EFAULT, ESRCH once it was waited for. */
int	pdgetpid(int fd, pid_t *pidp);

/* kill() by descriptor; 0, or -1: EBADF, EINVAL, EPERM, ESRCH once it was waited for. */
int	pdkill(int fd, int signum);

#ifdef __cplusplus
}
#endif

#endif
