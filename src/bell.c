/* SPDX-License-Identifier: BSD-2-Clause */
#include "bell.h"

#include "hidden.h"
#include "pool.h"
#include "syscall.h"

#include <errno.h>

uint64_t
bell_tag(const struct kqueue *kq)
{
	return SOURCE_TAG(SOURCE_BELL, 0) | (uint64_t)kq->kq_id << 32;
}

/* The program may take the number of either meanwhile, which moves it: then it is done once more. */
static inline void
bell_set_inline(struct kqueue *kq, uint32_t events)
{
	struct epoll_event item = { .events = events, .data.u64 = bell_tag(kq) };
	int ep, bell;

	do {
		ep = kq->kq_ep;
		bell = pool_eventfd;
		syscall_epoll_ctl(ep, EPOLL_CTL_MOD, bell, &item);
	} while (bell != pool_eventfd || ep != kq->kq_ep);
}

void
bell_set(struct kqueue *kq, uint32_t events)
{
	bell_set_inline(kq, events);
}

/*
 * The bell has another number: it is added, as a level, so that somebody wakes
 * and has kq_bell put right.
 */
void
bell_follow(struct kqueue *kq, int old)
{
	int saved = errno;

	atomic_store(&kq->kq_bell_moved, true);
	kqueue_fall_behind(kq);
	kqueue_source_add(kq, kqueue_eventfd(), EPOLLIN, bell_tag(kq));
	hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, old, NULL);
	errno = saved;
}

static inline void
bell_arm_inline(struct kqueue *kq, uint32_t events)
{
	bell_set_inline(kq, events);
	if (!kqueue_is_open(kq) || atomic_load(&kq->kq_behind))
		bell_set(kq, EPOLLIN);
}

void
bell_arm(struct kqueue *kq, uint32_t events)
{
	bell_arm_inline(kq, events);
}

/* The same with the lock held, but a late ring may still undo it (bell_ring()). */
static void
bell_change(struct kqueue *kq, uint32_t events)
{
	if (atomic_load(&kq->kq_ringing) != 0)
		atomic_store(&kq->kq_overtaken, true);
	bell_arm(kq, events);
}

void
bell_put_right(struct kqueue *kq)
{
	int saved = errno, error;

	if (!atomic_exchange(&kq->kq_bell_moved, false))
		return;
	error = kqueue_source_add(kq, kqueue_eventfd(), EPOLLIN, bell_tag(kq));
	errno = saved;
	if (error < 0 && error != -EEXIST) {
		atomic_store(&kq->kq_bell_moved, true);	/* there is no room now: next time */
		kqueue_fall_behind(kq);
		return;
	}
	bell_change(kq, EPOLLIN);
	kq->kq_bell = BELL_LEVEL;
}

/*
 * Rings an armed bell again.  Epoll wakes nobody for an item that it has listed
 * already, and takes one off its list only when it is asked what is ready.  To
 * remove the item and add it again would do, too, but may fail in between.
 */
static void
bell_ring_again(struct kqueue *kq)
{
	bell_change(kq, 0);
	kqueue_drain(kq);
	bell_change(kq, EPOLLIN);
}

/*
 * Epoll has an armed bell listed until it is asked, and would tell nobody who watches it for
 * edges of the next ring.  So where a queue is in another one, it is asked.
 */
static void
bell_silence(struct kqueue *kq, bool counted)
{
	/* Of two rings for one edge, only one may have been reported yet. */
	if (kq->kq_bell != BELL_SPENT || kq->kq_rung_twice)
		bell_change(kq, 0);
	kq->kq_bell = BELL_OFF;
	if (!counted)
		return;
	kqueue_drain(kq);
	if (kq->kq_ready.kl_first != 0) {
		bell_change(kq, EPOLLIN);
		kq->kq_bell = BELL_LEVEL;
	}
}

/* What is seldom to be done.  True: an edge is to be rung once more. */
__attribute__((noinline)) static bool
bell_settle_otherwise(struct kqueue *kq, bool ready, bool counted)
{
	bool ring = false;
	int saved = errno;

	if (ready && kq->kq_bell == BELL_EDGE) {
		/* Another thread's ring may be still to come, and this call is not to return before one has. */
		ring = kq->kq_news && atomic_load(&kq->kq_ringing) != 0;
		kq->kq_rung_twice |= ring;
	} else if (ready && kq->kq_bell == BELL_LEVEL) {
		if (counted && kq->kq_news)
			bell_ring_again(kq);
	} else if (ready) {
		bell_change(kq, EPOLLIN);
		kq->kq_bell = BELL_LEVEL;
	} else if (kq->kq_bell != BELL_OFF) {
		bell_silence(kq, counted);
	}
	errno = saved;
	return ring;
}

__attribute__((noinline)) static bool
bell_ring_alone(struct kqueue *kq)
{
	bell_arm(kq, EPOLLIN | EPOLLET);
	return false;
}

/*
 * An edge wakes one waiter and needs no silencing once it is reported; what a
 * call leaves in kq_ready is told by a level, until the list is empty.
 *
 * A queue that is in another one is told by levels only, since kqueue_count()
 * must not use an edge up; there all news ring, so that the outer queue may
 * have EV_CLEAR.
 */
bool
bell_settle(struct kqueue *kq)
{
	bool ready = kq->kq_ready.kl_first != 0;
	bool counted = atomic_load_explicit(&kq->kq_counted, memory_order_relaxed);

	if (ready && kq->kq_bell == BELL_OFF && !counted) {
		kq->kq_bell = BELL_EDGE;
		kq->kq_rung_twice = false;
	} else if (!bell_settle_otherwise(kq, ready, counted)) {
		return false;
	}
	if (single_threaded())
		return bell_ring_alone(kq);
	atomic_fetch_add(&kq->kq_ringing, 1);
	return true;
}

/* Another thread has armed or silenced the bell otherwise while it was rung, which is done once more. */
__attribute__((noinline)) static void
bell_overtaken(struct kqueue *kq)
{
	lock_take(&kq->kq_lock);
	if (atomic_load(&kq->kq_ringing) == 0 && atomic_exchange(&kq->kq_overtaken, false)) {
		if (kq->kq_bell == BELL_EDGE)
			kq->kq_rung_twice = true;
		else
			bell_arm(kq, kq->kq_bell == BELL_LEVEL ? EPOLLIN : 0);
	}
	lock_drop(&kq->kq_lock);
}

/*
 * Who wakes needs the lock first of all, so this is done without.  Meanwhile another
 * thread may have armed or silenced the bell otherwise.
 */
void
bell_ring(struct kqueue *kq)
{
	bell_arm_inline(kq, EPOLLIN | EPOLLET);
	if (atomic_fetch_sub(&kq->kq_ringing, 1) == 1 && atomic_load(&kq->kq_overtaken))
		bell_overtaken(kq);
}
