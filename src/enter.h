/* SPDX-License-Identifier: BSD-2-Clause */
/* Entering and leaving a queue, inline for the wait path; kqueue.h has the same for all others. */
#ifndef KQ_ENTER_H
#define KQ_ENTER_H

#include "fdtable.h"
#include "kqueue.h"
#include "pool.h"
#include "syscall.h"

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
	kqueue_thread.calls++;
	return kq;
}

static inline void
kqueue_leave_inline(struct kqueue *kq)
{
	kqueue_drop(kq);
	kqueue_thread.calls--;
	if (atomic_load_explicit(&pool_unended, memory_order_relaxed))
		kqueue_end_unended();
}

/* Whether that was the last reference. */
static inline bool
kqueue_let_go(struct kqueue *kq)
{
	return atomic_fetch_sub(&kq->kq_refs, 1) == 1;
}

/*
 * The same for who is single_threaded(), in pieces, so that kevent() makes no call in between.  The
 * reference is for a handler that closes the queue: one instruction is whole to that, locked or not.
 */
#if defined(SYSCALL_BARE) && defined(__x86_64__)
#define ENTER_COUNT_UP(refs)	__asm__ volatile("addl $1, %0" : "+m"(refs) : : "memory", "cc")
#define ENTER_COUNT_DOWN(refs, last)	__asm__ volatile("subl $1, %0" : "+m"(refs), "=@ccz"(last) : : "memory")
#else
#define ENTER_COUNT_UP(refs)	atomic_fetch_add(&(refs), 1)
#define ENTER_COUNT_DOWN(refs, last)	((last) = atomic_fetch_sub(&(refs), 1) == 1)
#endif

static inline void
kqueue_hold_alone(struct kqueue *kq)
{
	ENTER_COUNT_UP(kq->kq_refs);
}

/* Whether that was the last reference. */
static inline bool
kqueue_let_go_alone(struct kqueue *kq)
{
	bool last;

	ENTER_COUNT_DOWN(kq->kq_refs, last);
	return last;
}

#endif
