/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that are counted before the queue's lock is taken, so that threads that share a queue count at the same
 * time.  What epoll tells once only (EV_DISPATCH, EV_ONESHOT) is for who was told until it is armed again, and that
 * gives its item another generation (watch_make()): a count is void if the report is.
 *
 * That a report is of such a kind is known with the lock only, so it is done where the last one was.
 */
#ifndef KQ_EARLY_H
#define KQ_EARLY_H

#include "kqueue.h"
#include "syscall.h"

/* n reports of epoll: the count that the only one may need, or 0. */
static inline int
early_count(const struct kqueue *kq, const struct epoll_event *items, int n)
{
	int bytes = 0;

	if (n != 1 || !atomic_load_explicit(&kq->kq_early, memory_order_relaxed) ||
	    SOURCE_IS(items->data.u64) || items->events != EPOLLIN)
		return 0;
	return syscall_readable((int)(uint32_t)items->data.u64, &bytes) > 0 ? bytes : 0;
}

/* The lock is held: the count of an item is bytes, unless that is 0. */
static inline void
early_begin(struct kqueue *kq, uint64_t tag, int bytes)
{
	kq->kq_early_tag = tag;
	kq->kq_early_bytes = bytes;
}

/* One of several threads makes an event of this item: its count, or 0. */
static inline int
early_take(struct kqueue *kq, uint64_t tag)
{
	int bytes = kq->kq_early_tag == tag ? kq->kq_early_bytes : 0;

	if (bytes > 0)
		kq->kq_early_bytes = 0;
	else if (!atomic_load_explicit(&kq->kq_early, memory_order_relaxed))
		atomic_store_explicit(&kq->kq_early, true, memory_order_relaxed);
	return bytes;
}

/* The events are made: who counted in vain is the last. */
static inline void
early_end(struct kqueue *kq)
{
	if (kq->kq_early_bytes > 0)
		atomic_store_explicit(&kq->kq_early, false, memory_order_relaxed);
	kq->kq_early_bytes = 0;
}

#endif
