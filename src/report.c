/* SPDX-License-Identifier: BSD-2-Clause */
/* What epoll says, and whom it concerns. */
#include "filter.h"
#include "kqueue.h"
#include "source/inotify.h"
#include "source/pidfd.h"
#include "source/psi.h"
#include "source/sigaction.h"
#include "source/timerfd.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* epoll_wait(2) is a cancellation point, so with a lock held the bare call is made. */
int
kqueue_poll(int ep, struct epoll_event *items, int n)
{
	int saved = errno;

	n = (int)syscall(SYS_epoll_pwait, ep, items, n, 0, NULL, 0);
	errno = saved;
	return n < 0 ? 0 : n;
}

unsigned
kqueue_report(struct kqueue *kq, uint64_t tag)
{
	switch (SOURCE_KIND(tag)) {
	case SOURCE_BELL:
		if (kq->kq_bell == BELL_EDGE)
			kq->kq_bell = BELL_SPENT;
		else if (kq->kq_bell == BELL_OFF && kqueue_is_open(kq))
			kq->kq_bell = BELL_LEVEL;	/* rung by a closing, to be silenced */
		break;
	case SOURCE_NESTED:
		return 1u << SOURCE_SLOT(tag);
	case SOURCE_SIGNAL:
		sigaction_report(kq);
		break;
	case SOURCE_TIMER:
	case SOURCE_DATE:
		timerfd_report(kq, SOURCE_KIND(tag) == SOURCE_DATE);
		break;
	case SOURCE_INOTIFY:
		inotify_report(kq);
		break;
	case SOURCE_PSI:
		psi_report(kq, (enum psi_kind)SOURCE_SLOT(tag));
		break;
	case SOURCE_KNOTE:
		pidfd_report(kq, SOURCE_SLOT(tag), (uint32_t)(tag >> 32));
		break;
	}
	return 0;
}

void
kqueue_put_back(struct kqueue *kq, const struct epoll_event *item)
{
	if (SOURCE_IS(item->data.u64))
		kqueue_report(kq, item->data.u64);
	else
		watch_count(kq, 0, item->data.u64, item->events);
}

/*
 * Epoll gives each item that is ready a turn: when the first comes again, or
 * there are no more, all were seen.
 */
#define DRAIN_ITEMS	64

/* Which lanes have something, bit by bit. */
static unsigned
drain_lane(struct kqueue *kq, unsigned lane, int ep)
{
	struct epoll_event items[DRAIN_ITEMS];
	uint64_t first = 0;
	unsigned lanes = 0;
	bool again = false;
	int n;

	do {
		n = kqueue_poll(ep, items, DRAIN_ITEMS);
		for (int i = 0; i < n && !again; i++) {
			if (first == 0)
				first = items[i].data.u64;
			else
				again = items[i].data.u64 == first;
			if (SOURCE_IS(items[i].data.u64))
				lanes |= kqueue_report(kq, items[i].data.u64);
			else
				watch_hold(kq, lane, items[i].data.u64, items[i].events);
		}
	} while (n == DRAIN_ITEMS && !again);
	return lanes;
}

void
kqueue_drain(struct kqueue *kq)
{
	unsigned lanes = drain_lane(kq, 0, kq->kq_ep);

	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		if ((lanes & 1u << lane) != 0)
			drain_lane(kq, lane, kq->kq_nested[lane - 1]);
}

void
kqueue_rescan(struct kqueue *kq)
{
	kqueue_report(kq, SOURCE_TAG(SOURCE_BELL, 0));
	sigaction_report(kq);
	if (kq->kq_timers != NULL) {
		timerfd_report(kq, false);
		timerfd_report(kq, true);
	}
	knote_rescan(kq);
}

/*
 * Counting takes what epoll reports.  Levels it will report again; an edge is
 * used up, so its knote goes to the ready list.
 */
#define COUNT_ITEMS	512

static int
count_lane(struct kqueue *kq, unsigned lane, int ep)
{
	struct epoll_event items[COUNT_ITEMS];
	int n = kqueue_poll(ep, items, COUNT_ITEMS);
	unsigned nested = 0;
	int count = 0;

	for (int i = 0; i < n; i++) {
		if (SOURCE_IS(items[i].data.u64))
			nested |= kqueue_report(kq, items[i].data.u64);
		else
			count += watch_count(kq, lane, items[i].data.u64, items[i].events);
	}
	for (lane = 1; nested >> lane != 0; lane++)
		if ((nested >> lane & 1) != 0)
			count += count_lane(kq, lane, kq->kq_nested[lane - 1]);
	return count;
}

static int
count_ready(struct kqueue *kq)
{
	struct knote *kn, *next;
	int count = 0;

	knote_look_all(kq);
	for (kn = kq->kq_ready.kl_first; kn != NULL; kn = next) {
		struct kevent scratch = { .flags = 0 };

		next = kn->kn_after;
		if ((kn->kn_status & KN_FORCED) != 0 || filter_of(kn)->fo_event(kq, kn, 0, &scratch))
			count++;
		else
			knote_deactivate(kq, kn);
	}
	return count;
}

void
kqueue_will_be_counted(int fd)
{
	struct kqueue *kq = kqueue_enter(fd);

	if (kq == NULL)
		return;
	atomic_store_explicit(&kq->kq_counted, true, memory_order_relaxed);
	kqueue_leave(kq);
}

int
kqueue_count(int fd)
{
	struct kqueue *kq = kqueue_enter(fd);
	int count = 0;

	if (kq == NULL)
		return 0;
	kqueue_lock(kq);
	if (kqueue_is_open(kq)) {
		count = count_lane(kq, 0, kq->kq_ep);
		count += count_ready(kq);
		kq->kq_news = false;	/* who counts knows */
	}
	kqueue_unlock(kq);
	kqueue_leave(kq);
	return count;
}
