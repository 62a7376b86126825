/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of processes: one pidfd for a knote, in kn_fd, and the generation of
 * its epoll item in the lower half of kn_sdata, the upper one being set to 0.  Protected by the queue's lock.
 */
#ifndef KQ_PIDFD_H
#define KQ_PIDFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kqueue;
struct knote;

/*
 * Finds the process; 0 or -errno (ESRCH: there is none, or it is a thread's id;
 * ENOTSUP: no pidfds here).  Without a watch nothing is told of it.
 */
int	pidfd_attach(struct knote *kn, pid_t pid);

/* Lets go of it, and of the watch; may be called again. */
void	pidfd_detach(struct knote *kn);

/* Has knote_note(kq, kn, 0) called once the process has ended; 0 or -errno. */
int	pidfd_watch(struct kqueue *kq, const struct knote *kn);
void	pidfd_unwatch(struct kqueue *kq, const struct knote *kn);

/* Whether the process has ended, and if so its status as of wait(2), or 0 if nobody says. */
bool	pidfd_exited(const struct knote *kn, int *status);

/* The same of a pidfd of the program's. */
bool	pidfd_ended(int fd, int *status);

/*
 * Whether its status will be told to others only: it has not ended, is not our child,
 * and /proc has it for those who may trace it.  *led: its first thread has gone.
 */
bool	pidfd_unseen(const struct knote *kn, bool *led);

/* Whether a descriptor of the program's is a pidfd: 0 or -EBADF. */
int	pidfd_check(int fd);

/* The id of its process, or -errno (EBADF: it is none, ESRCH: Linux does not say any more). */
int	pidfd_process(int fd);

/* Epoll reports the pidfd of the knote in this slot. */
void	pidfd_report(struct kqueue *kq, uint32_t slot, uint32_t generation);

#endif
