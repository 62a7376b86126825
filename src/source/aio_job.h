/* SPDX-License-Identifier: BSD-2-Clause */
/* What aio.c, lio.c and aio_uring.c share: an operation, or a list of them. */
#ifndef KQ_AIO_JOB_H
#define KQ_AIO_JOB_H

#include "aio.h"

#include <stdatomic.h>

/* j_state.  A job with none but AIO_DONE and AIO_LIST is free. */
#define AIO_HELD	0x01u	/* its result was not taken; of a list: any's */
#define AIO_CALLING	0x02u	/* the C library is to call aio_called() */
#define AIO_KNOTE	0x04u	/* there is a knote */
#define AIO_POSTED	0x08u	/* is in kq_aio */
#define AIO_DONE	0x10u	/* has ended, and that was told */
#define AIO_LIST	0x20u	/* stands for a list of others */
#define AIO_STARTING	0x40u	/* the C library may not have it yet */
#define AIO_BUSY	(AIO_HELD | AIO_CALLING | AIO_KNOTE | AIO_POSTED | AIO_STARTING)

/* (i) does not change while the job is busy, (a) atomic, (k) the queue's lock. */
struct aio_job {
	struct aio_job	*j_next;	/* of its chain, for ever */
	_Atomic uintptr_t j_key;	/* (a) the program's aiocb, or list; 0: not to be found */
	_Atomic uint32_t j_state;	/* (a) */
	uint32_t	j_slot;		/* (k) of its knote */
	struct kqueue	*j_kq;		/* (i) whose that is */
	struct aio_job	*j_list;	/* (i) what it is part of, or NULL */
	struct aio_job	*j_posted;	/* the next in kq_aio */
	_Atomic uint32_t j_left;	/* (a) of a list: how many have not ended ... */
	_Atomic uint32_t j_members;	/* (a) ... and how many results were not taken; and 1 at first */
	int		j_error;	/* (i) it could not be started */
	struct sigevent	j_event;	/* (i) what the program asked for */
	struct aiocb	j_cb;		/* the C library's */
};

extern const struct aio_libc *_Atomic aio_libc;

/* The one with this key that is a list (AIO_LIST), or is none (0); NULL: there is none. */
struct aio_job *aio_lookup(uintptr_t key, uint32_t list);

/* A free job that nobody can find yet; NULL: no memory. */
struct aio_job *aio_new(uintptr_t key, uint32_t state);

/* The bits of j_state go. */
void	aio_release(struct aio_job *job, uint32_t bits);

/* Registers what *event asks for; the caller may not be cancelled.  0 or -errno. */
int	aio_register(struct aio_job *job, const struct sigevent *event, uintptr_t ident, short filter);

/* Its knote goes, if it has one. */
void	aio_unregister(struct aio_job *job);

/* It has ended, which its queue is to report. */
void	aio_post(struct aio_job *job);

/* A notification that is not ours, as the C library would have made it. */
void	aio_notify(const struct sigevent *event);

/* It has ended: the first to notice tells. */
void	aio_end(struct aio_job *job);

/*
 * Starts it, as part of list unless that is NULL.  keep: if it cannot be started,
 * the error is kept for who asks.
 */
int	aio_begin(enum aio_op op, struct aiocb *cb, struct aio_job *list, bool keep);

/* Whether this process has no queue; else *libc is what is used from now on. */
bool	aio_no_queue(const struct aio_libc *libc);

/* One of a list has ended; or all are started, for which one more was counted. */
void	lio_counts(struct aio_job *list, bool notify);

/* A result less to take from a list: with the last one it goes. */
void	lio_member_goes(struct aio_job *list);

#endif
