/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of processes: one pidfd for a knote, in kn_fd, and the generation of
 * its epoll item in the lower half of kn_sdata, the upper one being set to 0.  Protected by the queue's lock.
 */
#ifndef KQ_PIDFD_H
#define KQ_PIDFD_H

#include "../hidden.h"
#include "../kqueue.h"
#include "../syscall.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>

/* P_PIDFD, an enumerator: #ifdef would not find it. */
#define PIDFD_WAIT	3

#pragma GCC visibility push(hidden)
extern _Atomic uint32_t pidfd_generation;
#pragma GCC visibility pop

/* What pidfd_open(2) failed with, as the contract has it. */
int	pidfd_refused(int error);

/* The same as pidfd_unseen() for who is no child. */
bool	pidfd_stranger_unseen(const struct knote *kn, bool *led);

/*
 * waitid(2), which leaves the child a child: 0 or -errno.  System calls are made directly: libc's is a cancellation
 * point, and the queue's lock is held here; and what a registration needs is inline, see syscall.h.
 */
static inline __attribute__((always_inline)) int
pidfd_wait(int fd, siginfo_t *info)
{
	info->si_pid = 0;
	return (int)syscall_direct(SYS_waitid, PIDFD_WAIT, fd, (long)info, WEXITED | WNOHANG | WNOWAIT | __WALL);
}

/*
 * Finds the process; 0 or -errno (ESRCH: there is none, or it is a thread's id;
 * ENOTSUP: no pidfds here).  Without a watch nothing is told of it.
 */
static inline __attribute__((always_inline)) int
pidfd_attach(struct knote *kn, pid_t pid)
{
	int fd = (int)syscall_direct(SYS_pidfd_open, pid, 0, 0, 0), error;

	atomic_init(&kn->kn_fd, -1);
	error = fd >= 0 ? hidden_move_new(fd, &kn->kn_fd) : pidfd_refused(fd);
	kn->kn_sdata = atomic_fetch_add_explicit(&pidfd_generation, 2, memory_order_relaxed) | 1;
	return error;
}

/* What it has instead of an item's generation, which is odd. */
#define PIDFD_ENDING	0u
#define PIDFD_DETACHED	2u

static inline void
pidfd_set_generation(struct knote *kn, uint32_t generation)
{
	kn->kn_sdata = (int64_t)((uint64_t)kn->kn_sdata >> 32 << 32 | generation);
}

/* Lets go of it, and of the watch; may be called again. */
static inline __attribute__((always_inline)) void
pidfd_detach(struct knote *kn)
{
	pidfd_set_generation(kn, PIDFD_DETACHED);
	if (atomic_load_explicit(&kn->kn_fd, memory_order_relaxed) >= 0)
		hidden_free_here(&kn->kn_fd);
}

/* The hint of knote_note(): a child has ended, with this and the status. */
#define PIDFD_TOLD	0x10000u

/* In fo_note, and then only: lets go of it once all that have ended have been told of. */
static inline void
pidfd_detach_soon(struct knote *kn)
{
	pidfd_set_generation(kn, PIDFD_ENDING);
}

/* What was asked to watch is not the queue's epoll any more, or not by this number: it is done once more. */
int	pidfd_watch_again(struct kqueue *kq, const struct knote *kn, int ep, int error, struct epoll_event *item);

/* Has knote_note() called once the process has ended, with PIDFD_TOLD or 0; 0 or -errno. */
static inline __attribute__((always_inline)) int
pidfd_watch(struct kqueue *kq, const struct knote *kn)
{
	struct epoll_event item = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = SOURCE_TAG(SOURCE_KNOTE, kn->kn_slot) | (uint64_t)kn->kn_sdata << 32,
	};
	int ep = kq->kq_ep, error = (int)syscall_direct(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, kn->kn_fd, (long)&item);

	if (ep != kq->kq_ep)
		error = pidfd_watch_again(kq, kn, ep, error, &item);
	return error == -EEXIST ? 0 : error;
}

void	pidfd_unwatch(struct kqueue *kq, const struct knote *kn);

/* Whether the process has ended, and if so its status as of wait(2), or 0 if nobody says. */
bool	pidfd_exited(const struct knote *kn, int *status);

/* The same of a pidfd of the program's. */
bool	pidfd_ended(int fd, int *status);

/*
 * Whether its status will be told to others only: it has not ended, is not our child,
 * and /proc has it for those who may trace it.  *led: its first thread has gone.
 */
static inline __attribute__((always_inline)) bool
pidfd_unseen(const struct knote *kn, bool *led)
{
	siginfo_t info;

	/* A child costs one call, a process of the same user two: who may trace it is told. */
	return pidfd_wait(kn->kn_fd, &info) == -ECHILD && pidfd_stranger_unseen(kn, led);
}

/* Whether a descriptor of the program's is a pidfd: 0 or -EBADF. */
int	pidfd_check(int fd);

/* The id of its process, or -errno (EBADF: it is none, ESRCH: Linux does not say any more). */
int	pidfd_process(int fd);

/* Epoll reports the pidfds of knotes.  The first of the n reports is of that kind: how many were dealt with. */
int	pidfd_report(struct kqueue *kq, const struct epoll_event *items, int n);

#endif
