/* SPDX-License-Identifier: BSD-2-Clause */
/* kevent(), and the short ways of its usual calls.  What is none of them goes the way of all: kevent_unusual(). */
#include "call.h"
#include "early.h"
#include "enter.h"
#include "kqueue.h"
#include "plain.h"
#include "public.h"
#include "report.h"
#include "source/sigaction.h"
#include "trigger.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/*
 * The usual call changes nothing and waits for ever, and is told what report_plain() and
 * report_usual() can tell: it takes a quarter of the instructions of the long way, which is call.c's
 * kevent_either().  Nothing is done twice: what epoll has told before it turns out to be unusual
 * goes on from there.
 */
static inline bool
kevent_is_usual(const struct kqueue *kq)
{
	return (atomic_load_explicit(&kq->kq_nready, memory_order_relaxed) |
	    atomic_load_explicit(&kq->kq_nlook, memory_order_relaxed)) == 0;
}

/*
 * Takes the lock where nobody has it, nothing is to be caught up with, as a closed queue always
 * has, and nothing is in kq_ready, which the bell would tell; ep still is the queue's.
 */
static inline bool
kevent_lock_alone(struct kqueue *kq, int ep)
{
	_Static_assert(BELL_OFF == 0, "the bell's state is one of several that are to be 0");

	if ((atomic_load_explicit(&kq->kq_lock.lk_word, memory_order_relaxed) |
	    atomic_load_explicit(&kq->kq_behind, memory_order_acquire) | kq->kq_bell) != 0 || ep != kq->kq_ep)
		return false;
	lock_take_alone(&kq->kq_lock);
	return true;
}

/* The last reference is gone, or a queue is to be ended: n is what the call returns. */
__attribute__((noinline)) static int
kevent_ends(struct kqueue *kq, bool last, int n)
{
	int saved = errno;

	/* The queue ends within the call; what a handler left to be ended is looked for after it. */
	if (last) {
		kqueue_dropped(kq);
		kqueue_thread.calls--;
	}
	kqueue_end_unended();
	errno = saved;
	return n;
}

/* A call that has not touched errno leaves: n is what it returns. */
static inline int
kevent_leave(struct kqueue *kq, int n)
{
	bool last = kqueue_let_go(kq);

	if (last)
		return kevent_ends(kq, true, n);
	kqueue_thread.calls--;
	return atomic_load_explicit(&pool_unended, memory_order_relaxed) ? kevent_ends(kq, false, n) : n;
}

/*
 * It turns out to be unusual.  done: how many of epoll's reports were dealt with, and the lock is
 * held; or -1.
 */
__attribute__((noinline)) static int
kevent_usual_goes_on(struct usual *u, int done)
{
	struct call call;

	call.kq = u->kq;
	call.out = (struct eventlist){ .el_kevent = u->events, .el_room = u->room };
	call.items = u->room > KEVENT_STACK ? u->items : call.stack;
	call.nitems = u->nitems;
	kevent_begin(&call, false);
	if (call.items == call.stack && u->woken.n > 0)
		memcpy(call.stack, u->items, (size_t)u->woken.n * sizeof(*u->items));
	if (done >= 0) {
		u->kq->kq_call++;
		call.first = call.out.el_count = done;
		report_told(u->kq, u->events, done);
		u->kq->kq_waited = true;
		kevent_collect_rest(&call, u->woken.n);
		u->kq->kq_waited = false;
		kqueue_unlock(u->kq);
		u->woken.n = 0;
	}
	return call.out.el_count > 0 ? call.out.el_count : kevent_wait_on(&call, NULL, &u->woken);
}

/*
 * What epoll has said in a usual call: n reports, and then the lock is held, or -errno.  Events out,
 * or what else there is to be done.  It is over then.
 */
static inline __attribute__((always_inline)) int
kevent_usual_ends(struct kqueue *kq, int ep, struct kevent *events, int room, struct epoll_event *items,
    int n, int bytes)
{
	int nitems = room <= KEVENT_STACK ? room : kevent_items_most(room);
	int saved = errno, done = -1, told = 0;
	struct usual u;

	if (n > 0) {
		if (kqueue_is_open(kq) && ep == kq->kq_ep) {
			done = 0;
			if (kq->kq_ready.kl_first == 0)
				told = done = report_usual(kq, items, n, events, true);
			else if (n == 1 && (nitems > 1 || room == 1) &&
			    (told = kevent_collect_bell(kq, items, events, room)) > 0)
				done = 1;
		}
		if (bytes > 0)
			early_end(kq);
		/* Where it had not room for all, there may be more. */
		if (done == n && (n < nitems || nitems == room)) {
			kqueue_unlock_inline(kq);
			kqueue_leave_inline(kq);
			errno = saved;
			return told;
		}
		if (done < 0)
			kqueue_unlock_inline(kq);
	} else if (n < 0) {
		n = kevent_interrupted(n, 0);
	}
	u = (struct usual){ kq, events, room, items, nitems, { ep, n } };
	n = kevent_usual_goes_on(&u, done);
	kqueue_leave(kq);
	errno = saved;
	return public_result(n);
}

/* Epoll has said n in a usual call. */
__attribute__((noinline)) static int
kevent_usual_told(struct kqueue *kq, int ep, struct kevent *events, int room, struct epoll_event *items, int n)
{
	int bytes = 0;

	if (n > 0) {
		bytes = early_count(kq, items, n);
		kqueue_lock_inline(kq);
		if (bytes > 0)
			early_begin(kq, items->data.u64, bytes);
	}
	return kevent_usual_ends(kq, ep, events, room, items, n, bytes);
}

/* It was the bell, but there is more to it than a trigger; the lock is held. */
__attribute__((noinline)) static int
kevent_usual_rung_otherwise(struct kqueue *kq, int ep, struct kevent *events, int room, struct epoll_event *items)
{
	return kevent_usual_ends(kq, ep, events, room, items, 1, 0);
}

/* Epoll has told of the bell alone in a usual call. */
__attribute__((noinline)) static int
kevent_usual_rung(struct kqueue *kq, int ep, struct kevent *events, int room, struct epoll_event *items)
{
	kqueue_lock_inline(kq);
	if (!kqueue_is_open(kq) || ep != kq->kq_ep || !trigger_tell_rung(kq, events))
		return kevent_usual_rung_otherwise(kq, ep, events, room, items);
	lock_drop(&kq->kq_lock);	/* no bell is to be settled */
	return kevent_leave(kq, 1);
}

/* With other threads: who waits may be cancelled. */
__attribute__((noinline)) static int
kevent_usual(int fd, struct kevent *events, int room)
{
	struct kqueue *kq = kqueue_enter_inline(fd);
	struct epoll_event stack[KEVENT_STACK];
	struct usual u;
	int n;

	if (kq == NULL || !kevent_is_usual(kq))
		return kevent_unusual(fd, kq, NULL, 0, events, room, NULL);
	sigaction_wait_begins();
	u = (struct usual){ kq, events, room, stack, room, { kq->kq_ep, 0 } };
	if (room > KEVENT_STACK)
		u.items = kevent_items_within(events, sizeof(*events), room, &u.nitems);
	kevent_mark_items(u.items, u.nitems);
	n = kevent_usual_wait(&u);
	if (n == 1 && (uint32_t)u.items->data.u64 == SOURCE_TAG(SOURCE_BELL, 0))
		return kevent_usual_rung(kq, u.woken.ep, events, room, u.items);
	return kevent_usual_told(kq, u.woken.ep, events, room, u.items, n);
}

/* kq: entered; NULL: to be entered, if it is one. */
__attribute__((noinline)) static int
kevent_alone_unusual(int fd, struct kqueue *kq, struct kevent *events, int room)
{
	return kevent_unusual(fd, kq, NULL, 0, events, room, NULL);
}

/* The number led elsewhere as soon as the queue was held: once more. */
__attribute__((noinline)) static int
kevent_alone_again(int fd, struct kqueue *kq, struct kevent *events, int room)
{
	kqueue_drop(kq);
	return kevent_unusual(fd, NULL, NULL, 0, events, room, NULL);
}

/* Whether kevent_alone_tell() is worth a try.  Where there was not room for all reports, there may be more. */
static inline __attribute__((always_inline)) bool
kevent_alone_may_tell(const struct kqueue *kq, int room, int nitems, int n)
{
	if (nitems == 1)
		return n > 0;
	return n == 1 || (n > 1 && kq->kq_watches.wt_tolds != 0 && (n < nitems || nitems == room));
}

/* Tells n events if one is plain, or all were told before; if not, no report was written over. */
static inline __attribute__((always_inline)) bool
kevent_alone_tell(struct kqueue *kq, struct kevent *events, struct epoll_event *items, int n)
{
	if (n == 1)
		return report_plain(&kq->kq_watches, kq->kq_pool.kp_chunk, items, events, PLAIN_ANY);
	return report_again(kq, items, n, events) == n;
}

/*
 * The same without other threads, whose one event is a plain one, or whose events were all told
 * before: that is all of it.  Whatever is otherwise is another function's to end with, so nothing is
 * kept for when one returns: with one event, no call is made but the system's.  Epoll's reports,
 * nitems at the most, go to items.
 */
static inline __attribute__((always_inline)) int
kevent_alone(int fd, struct kevent *events, int room, struct epoll_event *items, int nitems)
{
	struct fdrole *role = fdtable_role(fd);
	struct kqueue *kq;
	int n, ep;
	bool last;

	if (role == NULL || (kq = atomic_load_explicit(&role->fr_queue, memory_order_acquire)) == NULL ||
	    pool_has_page_inherited())
		return kevent_alone_unusual(fd, NULL, events, room);
	kqueue_hold_alone(kq);
	if (atomic_load(&role->fr_queue) != kq)
		return kevent_alone_again(fd, kq, events, room);
	kqueue_thread.calls++;
	if (!kevent_is_usual(kq))
		return kevent_alone_unusual(fd, kq, events, room);
	sigaction_wait_begins();
	ep = kq->kq_ep;
	n = syscall_epoll_wait(ep, items, nitems);
	if (!kevent_alone_may_tell(kq, room, nitems, n) || !single_threaded() || !kevent_lock_alone(kq, ep))
		return kevent_usual_told(kq, ep, events, room, items, n);
	n = nitems == 1 ? 1 : n;	/* so that it is known where one is all there can be */
	if (!kevent_alone_tell(kq, events, items, n)) {
		lock_drop_alone(&kq->kq_lock);
		return kevent_usual_told(kq, kq->kq_ep, events, room, items, n);
	}
	lock_drop_alone(&kq->kq_lock);
	last = kqueue_let_go_alone(kq);
	if (last)
		return kevent_ends(kq, true, n);
	kqueue_thread.calls--;
	return atomic_load_explicit(&pool_unended, memory_order_relaxed) ? kevent_ends(kq, false, n) : n;
}

/* With room for one event, the report goes to its end: no array of our own, no guard of the stack. */
static inline __attribute__((always_inline)) int
kevent_alone_one(int fd, struct kevent *event)
{
	return kevent_alone(fd, event, 1, (struct epoll_event *)(void *)(event + 1) - 1, 1);
}

/* What is behind the events that are told remains as it was. */
__attribute__((noinline)) static int
kevent_alone_several(int fd, struct kevent *events, int room)
{
	struct epoll_event stack[KEVENT_STACK];

	return kevent_alone(fd, events, room, stack, room);
}

/* An array of our own would be large: the reports go where kevent_usual() has them, too. */
__attribute__((noinline)) static int
kevent_alone_many(int fd, struct kevent *events, int room)
{
	int nitems;
	struct epoll_event *items = kevent_items_within(events, sizeof(*events), room, &nitems);

	return kevent_alone(fd, events, room, items, nitems);
}

/* The arguments are copied, so that no registers are saved for them in calls that go another way. */
static inline __attribute__((always_inline)) int
kevent_alone_any(int fd, struct kevent *events, int room)
{
	__asm__("" : "+r"(fd), "+r"(events), "+r"(room));
	pthread_testcancel();
	return room == 1 ? kevent_alone_one(fd, events) : kevent_alone_several(fd, events, room);
}

/* The usual change, which is a trigger and leaves no room: it takes a third of the instructions of another. */
__attribute__((noinline)) static int
kevent_trigger(int fd, const struct kevent *change)
{
	struct kqueue *kq = kqueue_enter_inline(fd);
	bool done;

	if (kq == NULL)
		return kevent_unusual(fd, NULL, change, 1, NULL, 0, NULL);
	kqueue_lock_inline(kq);
	done = kqueue_is_open(kq) && trigger_make(kq, change);
	kqueue_unlock_inline(kq);
	return done ? kevent_leave(kq, 0) : kevent_unusual(fd, kq, change, 1, NULL, 0, NULL);
}

/* Who is alone, and waits in another way than kevent_alone_any() does, or has a large array. */
__attribute__((noinline)) static int
kevent_alone_otherwise(int fd, const struct kevent *changelist, int nchanges,
    struct kevent *eventlist, int nevents, const struct timespec *timeout)
{
	pthread_testcancel();
	if (nchanges != 0 || timeout != NULL || (uintptr_t)eventlist < KEVENT_PAGE || !mode_is_usual())
		return kevent_unusual(fd, NULL, changelist, nchanges, eventlist, nevents, timeout);
	return kevent_alone_many(fd, eventlist, nevents);
}

/* What kevent_alone_any() is not for. */
__attribute__((noinline)) static int
kevent_otherwise(int fd, const struct kevent *changelist, int nchanges,
    struct kevent *eventlist, int nevents, const struct timespec *timeout)
{
	bool usual = timeout == NULL && mode_is_usual();

	if (usual && nchanges == 1 && nevents == 0 && (uintptr_t)changelist >= KEVENT_PAGE && trigger_is(changelist))
		return kevent_trigger(fd, changelist);
	if (nevents > 0 && single_threaded())
		return kevent_alone_otherwise(fd, changelist, nchanges, eventlist, nevents, timeout);
	if (usual && nchanges == 0 && nevents > 0 && (uintptr_t)eventlist >= KEVENT_PAGE)
		return kevent_usual(fd, eventlist, nevents);
	return kevent_unusual(fd, NULL, changelist, nchanges, eventlist, nevents, timeout);
}

KQ_PUBLIC int
kevent(int fd, const struct kevent *changelist, int nchanges,
    struct kevent *eventlist, int nevents, const struct timespec *timeout)
{
	unsigned odd = (unsigned)nchanges | atomic_load_explicit(&mode_bits, memory_order_relaxed);

	if ((odd | (uintptr_t)timeout) != 0 || (unsigned)nevents - 1 >= KEVENT_STACK ||
	    (uintptr_t)eventlist < KEVENT_PAGE || !single_threaded())
		return kevent_otherwise(fd, changelist, nchanges, eventlist, nevents, timeout);
	return kevent_alone_any(fd, eventlist, nevents);
}
