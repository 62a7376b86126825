/* SPDX-License-Identifier: BSD-2-Clause */
/* Entering and leaving a queue, inline for the wait path; kqueue.h has the same for all others. */
#ifndef KQ_ENTER_H
#define KQ_ENTER_H

#include "fdtable.h"
#include "kqueue.h"
#include "pool.h"

/* Where closes are seen.  NULL: it is no queue, or this is a child; kqueue_enter() finds out. */
static inline struct kqueue *
kqueue_enter_inline(int fd)
{
	struct fdrole *role = fdtable_role(fd);
	struct kqueue *kq;

	if (role == NULL || pool_is_inherited())
		return NULL;
	kq = atomic_load_explicit(&role->fr_queue, memory_order_acquire);
	if (kq == NULL)
		return NULL;
	atomic_fetch_add(&kq->kq_refs, 1);
	if (atomic_load(&role->fr_queue) != kq) {
		kqueue_drop(kq);
		return NULL;
	}
	kqueue_calls++;
	return kq;
}

static inline void
kqueue_leave_inline(struct kqueue *kq)
{
	kqueue_drop(kq);
	kqueue_calls--;
	if (atomic_load_explicit(&pool_unended, memory_order_relaxed))
		kqueue_end_unended();
}

#endif
