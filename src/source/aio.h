/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous operations with SIGEV_KEVENT: on io_uring (aio_uring.c) where it can
 * be had and does the same, else on the C library's own AIO.
 *
 * The C library gets a copy of the program's aiocb, which has SIGEV_THREAD and
 * a function of ours instead: so the program's own stays as it is, and what it
 * asks about it is answered for the copy.
 */
#ifndef KQ_AIO_H
#define KQ_AIO_H

#include "mode.h"
#include "source/uring.h"

#include <aio.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct aio_job;
struct knote;
struct kqueue;

/* The C library's functions. */
struct aio_libc {
	int	(*read)(struct aiocb *);
	int	(*write)(struct aiocb *);
	int	(*fsync)(int, struct aiocb *);
	int	(*error)(const struct aiocb *);
	ssize_t	(*result)(struct aiocb *);
	int	(*suspend)(const struct aiocb *const *, int, const struct timespec *);
	int64_t	(*offset)(const struct aiocb *);	/* the width of off_t differs */
};

/* What is to be done. */
enum aio_op { AIO_READ, AIO_WRITE, AIO_SYNC, AIO_DSYNC };

/*
 * Registers the operation's event, if its sigevent asks for one, and starts it.
 * 0 or -errno: then it was not started.
 */
int	aio_start(const struct aio_libc *libc, enum aio_op op, struct aiocb *cb);

/*
 * The same for a list as lio_listio() has it, in which somebody asks for an
 * event.  With LIO_WAIT a cancellation point.
 */
int	lio_start(const struct aio_libc *libc, int mode, struct aiocb *const list[], int n,
	    const struct sigevent *event);

/*
 * The operation that aio_start() began with this aiocb, or NULL: it is the C
 * library's business.  Takes no lock, fit for signal handlers, as are the
 * others that have a job.
 */
struct aio_job *aio_find(const struct aiocb *cb);

/* What the C library has instead of the program's aiocb; NULL: io_uring has it. */
struct aiocb *aio_copy(struct aio_job *job);

/*
 * As aio_cancel(3) and aio_suspend(3) of what io_uring has.  cancel: job is NULL for all
 * of a descriptor's.  wait: for at most that long, perhaps less; 0 or -errno.
 */
int	aio_cancel_ours(int fd, struct aio_job *job);
int	aio_wait_ours(const struct timespec *timeout);

/* The C library is about to do an operation of the program's that asks for no event. */
void	aio_passes(enum aio_op op, int fd);

/* EINPROGRESS, or how it ended: then its event is there, too. */
int	aio_status(struct aio_job *job);

/* Its result, once; its event goes.  -errno; EINVAL: it has not ended. */
ssize_t	aio_take_result(struct aio_job *job);

/* For filter/aio.c, with the queue's lock held: the knote in whose kn_hook the job is. */
void	aio_attach(struct kqueue *kq, struct knote *kn);
void	aio_detach(struct knote *kn);

/* Whether the operation has ended and its result was not taken; *error is how. */
bool	aio_ended(const struct knote *kn, int *error);

/* Whether its result was taken, so that there is nothing to tell any more. */
bool	aio_taken(const struct knote *kn);

/* The queue is ending; with its lock held. */
void	aio_free(struct kqueue *kq);

/* io_uring has results; with the queue's lock held. */
void	aio_report_ring(struct kqueue *kq);

/*
 * How many results of io_uring's there were so far of what this thread has started:
 * each may have interrupted a wait of its, with EINTR.
 */
unsigned aio_count_results(void);

static inline unsigned
aio_results(void)
{
	return mode_is(MODE_RINGED) ? aio_count_results() : 0;
}

/* Whether a wait of this thread, in which results were taken up to these, may have been interrupted by io_uring. */
static inline bool
aio_interrupted(unsigned results)
{
	return results != aio_results() || (mode_is(MODE_RINGED) && uring_ended());
}

/* Operations have ended (kq_aio): has knote_note(kq, kn, 0) called for each. */
void	aio_report(struct kqueue *kq);

/* This is a forked child, which has none of its parent's operations.  Fit for signal handlers. */
void	aio_fork_child(void);

#endif
