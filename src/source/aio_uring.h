/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on io_uring: what aio.c and lio.c have it do where it can.
 *
 * Functions that have a job want one whose j_ring is true.  All are fit for signal
 * handlers but those that say otherwise.
 */
#ifndef KQ_AIO_URING_H
#define KQ_AIO_URING_H

#include "aio_job.h"

/* Whether there is an io_uring.  Not for signal handlers. */
bool	aio_uring_works(void);

/*
 * Whether it would do this operation as the C library does, or better: then
 * it is in job->j_uring.  Otherwise what the C library will do must not come
 * before what is under way, and that has ended.  Not for signal handlers.
 */
bool	aio_uring_suits(struct aio_job *job, enum aio_op op, const struct aiocb *cb);

/*
 * The C library is about to do something for the program: what it orders by,
 * and is under way here, has ended.  Not for signal handlers.
 */
void	aio_uring_passes(enum aio_op op, int fd);

/* With the queue's lock held: it is to be told of what ends.  0 or -errno. */
int	aio_uring_join(struct kqueue *kq);

/* With the queue's lock held: it is ending. */
void	aio_uring_leave(struct kqueue *kq);

/*
 * Starts it, or has it wait for those it must come after.  0 or -errno; ENOSYS: the
 * C library is to do it.  Not for signal handlers.
 */
int	aio_uring_start(struct aio_job *job);

/* An operation was not started after all: what was made for it is not kept.  Not for signal handlers. */
void	aio_uring_rest(void);

/* Takes the results that are there: aio_end() is called for what has ended. */
void	aio_uring_reap(void);

/*
 * How many results there were so far of what this thread has started: one may have
 * interrupted its wait, with EINTR, although no handler ran.
 */
unsigned aio_uring_results(void);

/* EINPROGRESS, or how it ended; its result. */
int	aio_uring_status(const struct aio_job *job);
ssize_t	aio_uring_result(const struct aio_job *job);

/* As aio_cancel(3), which has no -1 here. */
int	aio_uring_cancel(struct aio_job *job);
int	aio_uring_cancel_all(int fd);

/* Waits for anything to end, but not longer than that: somebody else may take the result. */
int	aio_uring_wait(const struct timespec *timeout);

/* This is a forked child. */
void	aio_uring_fork_child(void);

#endif
