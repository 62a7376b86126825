/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of a queue's life share, and nobody else: kqueue.c makes and
 * ends queues, number.c links them to numbers, child.c leaves them behind.
 */
#ifndef KQ_POOL_H
#define KQ_POOL_H

#include "fdtable.h"
#include "kqueue.h"

#include <sys/types.h>

/* Reached without the table that a library's exported variables are found by. */
#pragma GCC visibility push(hidden)

extern _Atomic int pool_eventfd;
extern _Atomic pid_t pool_process;	/* whose memory this is */
extern _Atomic bool pool_unended;	/* some queue waits to be ended in a safe place */

/*
 * A page that is zero in every child but one of vfork(), however it was made:
 * what it holds tells whose memory this is.
 */
enum pool_page { PAGE_INHERITED, PAGE_TAKEN_OVER, PAGE_OWN };

extern _Atomic(_Atomic uint32_t *) pool_page;

#pragma GCC visibility pop

/* Whether this is a child that has not yet been seen to be one. */
static inline bool
pool_is_inherited(void)
{
	_Atomic uint32_t *page = atomic_load_explicit(&pool_page, memory_order_acquire);

	return page != NULL && atomic_load_explicit(page, memory_order_acquire) != PAGE_OWN;
}

/* The same where a queue was found, before which there is a page. */
static inline bool
pool_has_page_inherited(void)
{
	return atomic_load_explicit(atomic_load_explicit(&pool_page, memory_order_acquire),
	    memory_order_acquire) != PAGE_OWN;
}

/* child.c: it becomes one. */
void	kqueue_take_over(void);

/* The same, as the fork handler: where the kernel does not wipe the page, this does. */
void	kqueue_fork_child(void);

/* Makes the page, before the first queue, if there is none; takes no lock.  0 or -errno. */
int	pool_make_page(void);

/* The first queue of a child is being made: gives back its parent's memory, if none is in use. */
bool	kqueue_drop_inherited(void);

/* kqueue.c: a forked child has no queues, and what was to be done to the parent's is void. */
void	pool_fork_child(void);

/* The last reference is gone: a closed queue ends. */
void	kqueue_dropped(struct kqueue *kq);

/* A reference less. */
static inline void
kqueue_drop(struct kqueue *kq)
{
	if (atomic_fetch_sub(&kq->kq_refs, 1) == 1)
		kqueue_dropped(kq);
}

/* Ends the queues that were closed by a handler that had interrupted the library. */
void	kqueue_end_unended(void);

/* number.c: links a number to its queue, in the table; false: another is linked there. */
bool	kqueue_link(struct fdrole *role, struct kqueue *kq);

/* What this number leads to, if its queue was not closed unseen. */
struct kqueue *kqueue_verify(int fd, struct fdrole *role);

/* Ends the queues that were closed unseen. */
void	kqueue_sweep(void);

/* The table learns of a duplicate that nobody saw being made. */
struct kqueue *kqueue_adopt(int fd);

/* The number leads to no queue any more: the last number of a queue closes it. */
void	kqueue_number_closes(struct fdrole *role);

#endif
