/* SPDX-License-Identifier: BSD-2-Clause */
#include "bell.h"

#include "hidden.h"
#include "kqueue.h"

#include <errno.h>

uint64_t
bell_tag(const struct kqueue *kq)
{
	return SOURCE_TAG(SOURCE_BELL, 0) | (uint64_t)kq->kq_id << 32;
}

void
bell_set(struct kqueue *kq, uint32_t events)
{
	struct epoll_event item = { .events = events, .data.u64 = bell_tag(kq) };
	int saved = errno, bell;

	do {
		bell = kqueue_eventfd();
		hidden_epoll_ctl(kq->kq_ep, EPOLL_CTL_MOD, bell, &item);
	} while (bell != kqueue_eventfd());
	errno = saved;
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
	hidden_epoll_ctl(kq->kq_ep, EPOLL_CTL_DEL, old, NULL);
	errno = saved;
}

void
bell_arm(struct kqueue *kq, uint32_t events)
{
	bell_set(kq, events);
	if (!kqueue_is_open(kq) || atomic_load(&kq->kq_behind))
		bell_set(kq, EPOLLIN);
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
	bell_arm(kq, EPOLLIN);
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
	bell_arm(kq, 0);
	kqueue_drain(kq);
	bell_arm(kq, EPOLLIN);
}

/*
 * An edge wakes one waiter and needs no silencing once it is reported; what a
 * call leaves in kq_ready is told by a level, until the list is empty.
 *
 * A queue that is in another one is told by levels only, since kqueue_count()
 * must not use an edge up; there all news ring, so that the outer queue may
 * have EV_CLEAR.
 */
void
bell_settle(struct kqueue *kq)
{
	bool ready = kq->kq_ready.kl_first != 0;
	bool counted = atomic_load_explicit(&kq->kq_counted, memory_order_relaxed);
	bool level = kq->kq_bell == BELL_SPENT || counted;

	if (ready && counted && kq->kq_news && kq->kq_bell == BELL_LEVEL) {
		bell_ring_again(kq);
	} else if (ready && (kq->kq_bell == BELL_OFF || kq->kq_bell == BELL_SPENT)) {
		bell_arm(kq, level ? EPOLLIN : EPOLLIN | EPOLLET);
		kq->kq_bell = level ? BELL_LEVEL : BELL_EDGE;
	} else if (!ready && kq->kq_bell != BELL_OFF) {
		if (kq->kq_bell != BELL_SPENT)
			bell_arm(kq, 0);
		kq->kq_bell = BELL_OFF;
	}
	kq->kq_news = false;
}
