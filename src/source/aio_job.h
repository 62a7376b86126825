/* SPDX-License-Identifier: BSD-2-Clause */
/* What aio.c, lio.c and aio_uring.c share: an operation, or a list of them. */
#ifndef KQ_AIO_JOB_H
#define KQ_AIO_JOB_H

#include "aio.h"

#include <stdatomic.h>
#include <stddef.h>

/* j_state.  A job with none but AIO_DONE and AIO_LIST is free. */
#define AIO_HELD	0x01u	/* its result was not taken; of a list: any's */
#define AIO_CALLING	0x02u	/* the C library, or aio_uring.c, is to say that it has ended */
#define AIO_KNOTE	0x04u	/* there is a knote */
#define AIO_POSTED	0x08u	/* is in kq_aio */
#define AIO_DONE	0x10u	/* has ended, and that was told */
#define AIO_LIST	0x20u	/* stands for a list of others */
#define AIO_STARTING	0x40u	/* the C library may not have it yet */
#define AIO_BUSY	(AIO_HELD | AIO_CALLING | AIO_KNOTE | AIO_POSTED | AIO_STARTING)

/* An operation that io_uring does.  Protected by the lock of aio_uring.c, but for (i) and (a) as below. */
struct aio_uring {
	struct aio_job	*u_before;	/* in the list of those that have not ended, ... */
	struct aio_job	*u_after;	/* ... the oldest first */
	int		u_fd;		/* (i) */
	uint8_t		u_op;		/* (i) enum aio_op */
	bool		u_socket;	/* (i) */
	bool		u_serial;	/* (i) after what goes in the same direction */
	bool		u_started;	/* the kernel has it */
	bool		u_cancelled;	/* if it was cancelled, that is what was wanted */
	uint8_t		u_thread;	/* which started it */
	uint8_t		u_tries;	/* how often it was cancelled otherwise */
	uint32_t	u_waits;	/* how many must end before it starts */
	int64_t		u_offset;	/* (i) */
	size_t		u_size;		/* (i) */
	size_t		u_done;		/* of it */
	_Atomic int64_t	u_result;	/* (a) or AIO_UNENDED */
};

#define AIO_UNENDED	INT64_MIN

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
	bool		j_ring;		/* (i) io_uring does it; of a list: may do its members */
	struct sigevent	j_event;	/* (i) what the program asked for */
	struct aio_uring j_uring;	/* if j_ring */
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
