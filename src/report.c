/* SPDX-License-Identifier: BSD-2-Clause */
/* What epoll says, and whom it concerns. */
#include "report.h"

#include "early.h"
#include "eventlist.h"
#include "fdtable.h"
#include "filter.h"
#include "kqueue.h"
#include "plain.h"
#include "source/aio.h"
#include "source/inotify.h"
#include "source/mounts.h"
#include "source/pidfd.h"
#include "source/rtnetlink.h"
#include "source/procconn.h"
#include "source/psi.h"
#include "source/sigaction.h"
#include "source/timerfd.h"
#include "source/watch_item.h"

#include <errno.h>
#include <string.h>
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

/* Processes have ended: what they did before comes first. */
int
report_processes(struct kqueue *kq, const struct epoll_event *items, int n)
{
	if (kq->kq_procconn != NULL)
		procconn_report(kq);
	return pidfd_report(kq, items, n);
}

unsigned
kqueue_report(struct kqueue *kq, uint64_t tag)
{
	switch (SOURCE_KIND(tag)) {
	case SOURCE_BELL:
		if (kq->kq_bell == BELL_EDGE)
			kq->kq_bell = BELL_SPENT;
		else if (kq->kq_bell == BELL_OFF && kqueue_is_open(kq))
			kq->kq_bell = BELL_UNKNOWN;	/* rung by a closing, or an edge that another has silenced */
		break;
	case SOURCE_NESTED:
		return 1u << SOURCE_SLOT(tag);
	case SOURCE_SIGNAL:
		if (SOURCE_SLOT(tag) == 0)
			sigaction_report(kq);
		else
			sigaction_report_fd(kq);
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
		report_processes(kq, &(struct epoll_event){ .data.u64 = tag }, 1);
		break;
	case SOURCE_MOUNTS:
		mounts_report(kq);
		break;
	case SOURCE_RTNETLINK:
		rtnetlink_report(kq);
		break;
	case SOURCE_PROCCONN:
		procconn_report(kq);
		break;
	case SOURCE_AIO:
		aio_report_ring(kq);
		break;
	}
	return 0;
}

/* Whether an item's report is for this knote. */
static bool
report_concerns(const struct watch *w, const struct knote *kn, unsigned lane, uint32_t revents)
{
	uint32_t poll = filter_of(kn)->fo_poll;

	return poll != 0 && (kn->kn_status & (KN_FILE | KN_DISABLED)) == 0 &&
	    watch_lane(w, watch_direction(kn)) == lane &&
	    (revents & (poll | EPOLLERR | EPOLLHUP)) != 0;
}

/* After a report: a knote that was refused or left behind may need another item. */
static void
report_after(struct kqueue *kq, int fd, struct knote *kn, bool delivered)
{
	bool parked = (kn->kn_status & KN_PARKED) != 0;

	if (delivered && parked && (kn->kn_flags & EV_CLEAR) == 0) {
		kn->kn_status &= (uint8_t)~KN_PARKED;
		watch_update(kq, fd, NULL);
	} else if (!delivered && (parked || (watch_want(kn) & WATCH_ONESHOT) != 0)) {
		watch_update(kq, fd, (watch_want(kn) & WATCH_ONESHOT) != 0 ? kn : NULL);
	}
}

/* The first knote of the watch becomes its last, so that the others have their turn.  It is not alone. */
static void
report_rotate(struct kqueue *kq, struct watch *w)
{
	struct knote *first = knote_at(&kq->kq_pool, w->w_knotes), *last = first;

	while (last->kn_next != 0)
		last = knote_at(&kq->kq_pool, last->kn_next);
	w->w_knotes = first->kn_next;
	first->kn_next = 0;
	last->kn_next = first->kn_slot;
}

/* There is no room, or it has come before in this call: an edge must not be lost, a level comes again. */
static void
report_put_off(struct kqueue *kq, int fd, struct watch *w, struct knote *kn, bool again)
{
	if ((watch_want(kn) & WATCH_MODE) != 0)
		watch_update(kq, fd, kn);
	else
		while (!again && w->w_knotes != kn->kn_slot)	/* it is the next */
			report_rotate(kq, w);
}

/* Of those put off at the first report of a call, one is delivered at the next, if there is room after all. */
#define REPORT_PUT_OFF(lane)	(0x10u << (lane))

static int
report_room(struct watch *w, unsigned lane, bool again, int room)
{
	bool put_off = (w->w_called & REPORT_PUT_OFF(lane)) != 0;

	w->w_called &= (uint8_t)~REPORT_PUT_OFF(lane);
	if (!again)
		return room;
	return put_off && room > 0 ? 1 : 0;
}

void
report_watch(struct kqueue *kq, unsigned lane, uint64_t tag, uint32_t revents,
    struct eventlist *out, int room)
{
	struct watch *w = watch_reported(kq, lane, tag);
	int fd = (int)(uint32_t)tag, before = out->el_count;
	struct knote *kn;
	bool again;

	if (w == NULL || !watch_verify(kq, fd, w, lane))
		return;
	if ((w->w_armed[lane] & WATCH_ONESHOT) != 0)
		w->w_armed[lane] = WATCH_PRESENT;
	if (w->w_call != kq->kq_call)
		w->w_called = 0;
	w->w_call = kq->kq_call;
	again = (w->w_called & 1u << lane) != 0;
	w->w_called |= (uint8_t)(1u << lane);
	room = report_room(w, lane, again, room);
	for (uint32_t slot = w->w_knotes, next; slot != 0; slot = next) {
		kn = knote_at(&kq->kq_pool, slot);
		next = kn->kn_next;
		if (!report_concerns(w, kn, lane, revents))
			continue;
		if ((w->w_lane & WATCH_SHARED(watch_direction(kn))) != 0) {
			knote_activate(kq, kn);
			continue;
		}
		if (out->el_count - before >= room) {
			report_put_off(kq, fd, w, kn, again);
			if (!again && (watch_want(kn) & WATCH_MODE) == 0)
				w->w_called |= (uint8_t)REPORT_PUT_OFF(lane);
			break;
		}
		if (knote_deliver(kq, kn, revents, out)) {
			if (kn->kn_filter != 0)
				report_after(kq, fd, kn, true);
		} else {
			report_after(kq, fd, kn, false);
		}
	}
}

/* The knote that a report is for, if that is usual; else NULL. */
static inline struct knote *
usual_knote(struct kqueue *kq, const struct epoll_event *item, struct watch **found)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)item->data.u64);
	struct knote *kn;

	/* What is a source's own has the top bit, and no watch. */
	if (w == NULL || w->w_gen[0] != item->data.u64 >> 32 || w->w_knotes == 0 || w->w_lane != 0)
		return NULL;
	kn = knote_at(&kq->kq_pool, w->w_knotes);
	if (kn->kn_next != 0 || kn->kn_status != 0 || (kn->kn_flags & USUAL_NOT) != 0)
		return NULL;
	*found = w;
	return kn;
}

/* What the event's data is to be; not positive: that takes a closer look.  errno is the caller's business. */
static inline int
usual_data(struct kqueue *kq, const struct knote *kn, const struct watch *w, uint64_t tag, uint32_t revents)
{
	int fd = (int)kn->kn_ident, bytes;

	if (kn->kn_sfflags != 0 && kn->kn_sfflags != NOTE_NOCOUNT)
		return 0;
	if (kn->kn_filter == -EVFILT_READ && revents == EPOLLIN && FD_HAS_BYTES(w->w_kind)) {
		if (kn->kn_sfflags != 0)
			return 1;
		if (!single_threaded() && (kn->kn_flags & (EV_ONESHOT | EV_DISPATCH)) != 0 &&
		    (bytes = early_take(kq, tag)) > 0)
			return bytes;
		return syscall_readable(fd, &bytes);
	}
	if (kn->kn_filter == -EVFILT_WRITE && revents == EPOLLOUT && w->w_kind == FD_STREAM &&
	    !fdtable_shut(fd))
		return kn->kn_sfflags != 0 ? 1 : (int)fdkind_space(fd, FD_STREAM);
	return 0;
}

/* It has had its turn: epoll's item is spent, too. */
static inline void
usual_spent(struct kqueue *kq, struct watch *w, struct knote *kn)
{
	w->w_armed[0] = WATCH_PRESENT;
	if ((kn->kn_flags & EV_ONESHOT) != 0)
		knote_remove(kq, kn);
	else
		kn->kn_status = KN_DISABLED;
}

/* The plain ones from done on that want counts, or do not: in functions of their own, where all is in registers. */
static inline __attribute__((always_inline)) int
report_plains(const struct kqueue *kq, struct epoll_event *items, int done, int n, struct kevent *events,
    const enum plain counted)
{
	const struct watch_table table = kq->kq_watches;
	struct knote *const *knotes = kq->kq_pool.kp_chunk;
	struct epoll_event *item = items + done, *const end = items + n;

	for (events += done; item != end && report_plain(&table, knotes, item, events, counted); events++)
		item++;
	return (int)(item - items);
}

__attribute__((noinline)) static int
report_counted(const struct kqueue *kq, struct epoll_event *items, int done, int n, struct kevent *events)
{
	return report_plains(kq, items, done, n, events, PLAIN_COUNTED);
}

__attribute__((noinline)) static int
report_uncounted(const struct kqueue *kq, struct epoll_event *items, int done, int n, struct kevent *events)
{
	return report_plains(kq, items, done, n, events, PLAIN_UNCOUNTED);
}

int
report_again(const struct kqueue *kq, const struct epoll_event *items, int n, struct kevent *events)
{
	const struct watch_table table = kq->kq_watches;
	const struct epoll_event *item = items, *const end = items + n;

	for (; item != end && report_plain_again(&table, item, events); events++)
		item++;
	return (int)(item - items);
}

int
report_usual(struct kqueue *kq, struct epoll_event *items, int n, struct kevent *events, bool first)
{
	const uint16_t call = kq->kq_call;
	struct kevent *event;
	struct watch *w;
	struct knote *kn;
	int done = 0, data;

	if (first) {
		if (kq->kq_watches.wt_tolds != 0)
			done = report_again(kq, items, n, events);
		if (done < n)
			done = report_counted(kq, items, done, n, events);
		if (done < n)
			done = report_uncounted(kq, items, done, n, events);
	}
	for (; done < n; done++) {
		kn = usual_knote(kq, &items[done], &w);
		if (kn == NULL || (!first && w->w_call == call))
			break;
		data = usual_data(kq, kn, w, items[done].data.u64, items[done].events);
		if (data <= 0)
			break;
		event = &events[done];
		event->ident = kn->kn_ident;
		event->filter = (short)-kn->kn_filter;
		event->flags = kn->kn_flags;
		event->fflags = 0;
		event->data = data;
		event->udata = kn->kn_udata;
		if ((kn->kn_flags & (EV_ONESHOT | EV_DISPATCH)) != 0)
			usual_spent(kq, w, kn);
	}
	return done;
}

void
report_told(struct kqueue *kq, const struct kevent *events, int n)
{
	struct watch *w;

	for (int i = 0; i < n; i++) {
		w = watch_at(&kq->kq_watches, (uint32_t)events[i].ident);
		w->w_call = kq->kq_call;
		w->w_called = 1;
	}
}

/* An edge was used up that was not to be delivered yet.  One that comes until then is no second event. */
static void
report_activate(struct kqueue *kq, struct knote *kn)
{
	kq->kq_edges |= (kn->kn_flags & EV_CLEAR) != 0;
	knote_activate(kq, kn);
}

/*
 * The same, but nothing is delivered: how many level-triggered knotes are ready.
 * Others are activated, since epoll will not report them again.
 */
static int
report_count(struct kqueue *kq, unsigned lane, uint64_t tag, uint32_t revents)
{
	struct watch *w = watch_reported(kq, lane, tag);
	struct kevent scratch;
	struct knote *kn;
	int count = 0;

	if (w == NULL || !watch_verify(kq, (int)(uint32_t)tag, w, lane))
		return 0;
	if ((w->w_armed[lane] & WATCH_ONESHOT) != 0)
		w->w_armed[lane] = WATCH_PRESENT;
	for (uint32_t slot = w->w_knotes; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (!report_concerns(w, kn, lane, revents))
			continue;
		memset(&scratch, 0, sizeof(scratch));
		if ((w->w_lane & WATCH_SHARED(watch_direction(kn))) != 0)
			knote_activate(kq, kn);		/* counted where it goes */
		else if (!filter_of(kn)->fo_event(kq, kn, revents, &scratch))
			report_after(kq, (int)(uint32_t)tag, kn, false);
		else if ((watch_want(kn) & WATCH_MODE) == 0)
			count++;
		else
			report_activate(kq, kn);
	}
	return count;
}

/* The same for what epoll will not report again only. */
static void
report_hold(struct kqueue *kq, unsigned lane, uint64_t tag, uint32_t revents)
{
	struct watch *w = watch_reported(kq, lane, tag);

	/* Where closes are not seen, a level is told once, too, until it is armed again. */
	if (w != NULL && ((w->w_armed[lane] & WATCH_MODE) != 0 || mode_is(MODE_BLIND)))
		report_count(kq, lane, tag, revents);
}

void
kqueue_put_back(struct kqueue *kq, const struct epoll_event *item)
{
	if (SOURCE_IS(item->data.u64))
		kqueue_report(kq, item->data.u64);
	else
		report_count(kq, 0, item->data.u64, item->events);
}

/*
 * Epoll gives each item that is ready a turn: when the first comes again, or
 * there are no more, all were seen.  What follows it may be new, and is taken, too.
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
		for (int i = 0; i < n; i++) {
			if (first == 0)
				first = items[i].data.u64;
			else
				again |= items[i].data.u64 == first;
			if (SOURCE_IS(items[i].data.u64))
				lanes |= kqueue_report(kq, items[i].data.u64);
			else
				report_hold(kq, lane, items[i].data.u64, items[i].events);
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
			count += report_count(kq, lane, items[i].data.u64, items[i].events);
	}
	for (lane = 1; nested >> lane != 0; lane++)
		if ((nested >> lane & 1) != 0)
			count += count_lane(kq, lane, kq->kq_nested[lane - 1]);
	return count;
}

static int
count_ready(struct kqueue *kq)
{
	struct knote *kn;
	int count = 0;

	knote_look_all(kq);
	for (uint32_t slot = kq->kq_ready.kl_first, next; slot != 0; slot = next) {
		struct kevent scratch = { .flags = 0 };

		kn = knote_at(&kq->kq_pool, slot);
		next = kn->kn_after;
		if ((kn->kn_status & KN_FORCED) != 0 || filter_of(kn)->fo_event(kq, kn, 0, &scratch))
			count++;
		else
			knote_relapse(kq, kn);
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
		/* Readable, but nothing is ready: if that is a stray's doing, it is the last time. */
		if (count == 0) {
			kq->kq_suspect = true;
			count = count_lane(kq, 0, kq->kq_ep);
			kq->kq_suspect = false;
		}
		kq->kq_news = false;	/* who counts knows */
	}
	kqueue_unlock(kq);
	kqueue_leave(kq);
	return count;
}
