/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls: changes in, wait, events out. */
#include "eventlist.h"
#include "filter.h"
#include "kqueue.h"
#include "report.h"
#include "source/aio.h"
#include "source/sigaction.h"
#include "source/timerfd.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KQ_PUBLIC __attribute__((visibility("default")))

/*
 * epoll's reports are read into a small array on the stack or, for a call that
 * has room for more, into the end of the caller's own array, which is filled
 * with events from its start meanwhile: an epoll_event is smaller than a kevent.
 */
#define KEVENT_STACK	256

/* At most so many at a time: nobody's array is touched far beyond what is put into it. */
#define KEVENT_MOST	8192

/* Addresses below this are nobody's: a null pointer, perhaps with an index. */
#define KEVENT_PAGE	4096

/*
 * How often in a call epoll may report what comes to nothing: a file that was
 * read by another thread, a descriptor that was just closed.  From then on each
 * report is checked, for the descriptor may have been closed unseen.
 */
#define KEVENT_FRUITLESS	3

/* How often in a call epoll is asked again, when it may have more for room that was kept in vain. */
#define KEVENT_ROUNDS	16

/* If that cannot be silenced, who waits looks after so many nanoseconds only. */
#define KEVENT_SHORTEST_NAP	1000000
#define KEVENT_LONGEST_NAP	8000000

/*
 * The data of no item: epoll has written nothing.  So many places are marked so
 * before a wait, since a thread that is cancelled in it cannot know their count.
 */
#define KEVENT_NO_REPORT	UINT64_MAX
#define KEVENT_MARKED	16

/* A wait has ended: in which epoll, and what it said. */
struct woken {
	int	ep, n;
};

/* One call under way. */
struct call {
	struct kqueue	*kq;
	struct eventlist out;
	bool		errors_only;	/* no events are collected */
	struct epoll_event *items;	/* reports of epoll ... */
	int		nitems;		/* ... and how many fit */
	int		first;		/* ... and how many of these were dealt with */
	unsigned	lanes;		/* bit l: lane l has something, and is not asked yet */
	int		kept;		/* entries kept for what is in kq_ready */
	bool		more;		/* epoll gave all that was asked for: it may have more */
	unsigned	fruitless;	/* how often reports came to nothing */
	int64_t		nap;		/* how long not to ask epoll, in nanoseconds */
	struct knote_list done;		/* ready, and delivered by this call */
	bool		guarded;	/* all signals are blocked ... */
	sigset_t	mask;		/* ... that are not blocked here */
	struct epoll_event stack[KEVENT_STACK];
};

static int
kevent_result(int result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

KQ_PUBLIC int
kqueue(void)
{
	return kqueuex(0);
}

KQ_PUBLIC int
kqueuex(unsigned int flags)
{
	int saved = errno, fd;

	if ((flags & ~KQUEUE_CLOEXEC) != 0)
		return kevent_result(-EINVAL);
	fd = kqueue_make();
	if (fd >= 0)
		errno = saved;
	return kevent_result(fd);
}

KQ_PUBLIC int
kqueue1(int flags)
{
	int fd;

	if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0)
		return kevent_result(-EINVAL);
	fd = kqueue();
	if (fd >= 0 && (flags & O_NONBLOCK) != 0)
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Changes in.  0 or -errno; out is filled with answers. */
static int
kevent_apply(struct kqueue *kq, const struct eventlist *changes, struct eventlist *out)
{
	struct kevent kev;
	struct ext ext;
	int error;

	for (int i = 0; i < changes->el_room; i++) {
		/* A copy, since out may be the same array. */
		error = eventlist_get(changes, i, &kev, &ext);
		kev.flags &= (unsigned short)~EV_SYSFLAGS;
		if (error == 0)
			error = knote_change(kq, &kev, changes->el_wide ? &ext : NULL);
		if (error == 0 && (kev.flags & EV_RECEIPT) == 0)
			continue;
		if (error != KNOTE_ANSWERED) {
			kev.flags |= EV_ERROR;
			kev.data = -error;
		}
		if (eventlist_left(out) > 0)
			eventlist_put(out, &kev, &ext);
		else if (error < 0)
			return error;
	}
	return 0;
}

/* Room that is left for descriptors: one event is kept for each lane that is still to be asked. */
static int
kevent_left(const struct call *call)
{
	int left = eventlist_left(&call->out) - call->kept;

	for (unsigned lanes = call->lanes; lanes != 0; lanes &= lanes - 1)
		left--;
	return left;
}

/*
 * Where epoll shall put its reports, for what room is left.  In the caller's
 * array they have the second half of what of it is used: each may be good for two
 * events, which must not reach the reports that are still to be read.
 */
static void
kevent_place_items(struct call *call)
{
	int left = kevent_left(call);

	call->nitems = left;
	call->items = call->stack;
	if (left > KEVENT_STACK) {
		if (left > 2 * KEVENT_MOST)
			left = 2 * KEVENT_MOST;
		call->nitems = (left + 1) / 2;
		call->items = (struct epoll_event *)eventlist_at(&call->out,
		    call->out.el_count + left) - call->nitems;
	}
}

/*
 * Hands n reports of a lane to what they are for.  Each leaves room for one
 * event of each behind it, or one with two events would starve the next.
 */
static void
kevent_report(struct call *call, unsigned lane, int n)
{
	bool usual = lane == 0 && !call->out.el_wide && !call->kq->kq_suspect &&
	    !atomic_load_explicit(&kqueue_blind, memory_order_relaxed);
	struct epoll_event item;
	int i = call->first;

	for (call->first = 0; i < n; i++) {
		if (usual)
			i += report_usual(call->kq, call->items + i, n - i, &call->out);
		if (i == n)
			break;
		item = call->items[i];
		if (SOURCE_IS(item.data.u64))
			call->lanes |= kqueue_report(call->kq, item.data.u64);
		else
			report_watch(call->kq, lane, item.data.u64, item.events, &call->out,
			    kevent_left(call) - (n - 1 - i));
	}
}

/* The same, and goes on while epoll has more and there is room. */
static void
kevent_report_all(struct call *call, unsigned lane, int ep, int n)
{
	int before;

	for (;;) {
		before = call->out.el_count;
		kevent_report(call, lane, n);
		if (n < call->nitems || call->items == call->stack ||
		    call->out.el_count == before || kevent_left(call) == 0)
			return;
		kevent_place_items(call);
		n = kqueue_poll(ep, call->items, call->nitems);
	}
}

/*
 * What our own sources made ready, or epoll for knotes that share an item: one
 * with EV_CLEAR is told once of all that epoll has to report until now.
 */
static void
kevent_collect_ready(struct call *call)
{
	struct kqueue *kq = call->kq;
	int room = eventlist_left(&call->out);

	if (kq->kq_edges && kq->kq_ready.kl_first != NULL && room > 0)
		kqueue_drain(kq);
	knote_collect(kq, &call->out, room, &call->done);
}

/* n reports of epoll, and those of the lanes they tell of. */
static void
kevent_collect_round(struct call *call, int n)
{
	struct kqueue *kq = call->kq;

	call->more = n == call->nitems;
	kevent_report_all(call, 0, kq->kq_ep, n);
	if (call->lanes == 0 && kq->kq_ready.kl_first == NULL) {
		call->kept = 0;
		return;
	}
	for (unsigned lane = 1; call->lanes != 0; lane++) {
		if ((call->lanes & 1u << lane) == 0)
			continue;
		call->lanes &= ~(1u << lane);
		kevent_place_items(call);
		n = kqueue_poll(kq->kq_nested[lane - 1], call->items, call->nitems);
		kevent_report_all(call, lane, kq->kq_nested[lane - 1], n);
	}
}

/* Our own sources' reports are no events: there may be room for what epoll was not asked for. */
static void
kevent_collect_more(struct call *call, bool keep)
{
	struct kqueue *kq = call->kq;
	for (int i = 0; call->more && i < KEVENT_ROUNDS; i++) {
		if (keep && call->kept == 0 && kq->kq_ready.kl_first != NULL)
			call->kept = 1;
		if (kevent_left(call) <= 0)
			break;
		kevent_place_items(call);
		kevent_collect_round(call, kqueue_poll(kq->kq_ep, call->items, call->nitems));
	}
}

/*
 * Events out: n reports of epoll first, then what our own sources made ready.
 * Each kind that has reported left room for one event at least.  What was in
 * kq_ready may be ready no longer; then there is more room for descriptors.
 */
static void
kevent_collect(struct call *call, int n)
{
	struct kqueue *kq = call->kq;
	int before;

	kq->kq_call++;
	kevent_collect_round(call, n);
	kevent_collect_more(call, true);
	call->kept = 0;
	before = call->out.el_count;
	kevent_collect_ready(call);
	if (call->more) {
		bool none = call->out.el_count == before;

		kevent_collect_more(call, false);
		/* None of these can come a second time. */
		if (none)
			kevent_collect_ready(call);
	}
	knote_list_append(&kq->kq_ready, &call->done);
}

/* The same when that has come to nothing before: each report is checked now. */
__attribute__((noinline)) static void
kevent_collect_again(struct call *call, int n)
{
	struct kqueue *kq = call->kq;

	kq->kq_suspect = ++call->fruitless >= KEVENT_FRUITLESS;
	kq->kq_stuck = false;
	kevent_collect(call, n);
	kq->kq_suspect = false;
	if (!kq->kq_stuck)
		call->nap = 0;
	else if (call->nap < KEVENT_LONGEST_NAP)
		call->nap = call->nap == 0 ? KEVENT_SHORTEST_NAP : call->nap * 2;
}

/*
 * Up to half of the room is kept for what our own sources made ready, the rest
 * is for descriptors.  The ready list comes last, and once: what is ready again
 * as soon as it was delivered must not come twice in a call.
 */
static int
kevent_share(struct call *call)
{
	uint32_t ready = atomic_load_explicit(&call->kq->kq_nready, memory_order_relaxed);
	int share = call->out.el_room - call->out.el_room / 2;

	if (call->out.el_room == 1)
		share = call->kq->kq_turn = !call->kq->kq_turn;
	return ready < (uint32_t)share ? (int)ready : share;
}

/*
 * What is ready now, without waiting.  A report that came to nothing may have
 * left an edge behind (a parked knote's item is armed anew), and what was ready
 * may be so no longer, so that is asked for again: a call that returns nothing
 * leaves a queue that is not readable.
 */
static void
kevent_collect_now(struct call *call)
{
	int n, kept, tries = KEVENT_FRUITLESS + 1;

	do {
		n = 0;
		kept = call->kept = kevent_share(call);
		kevent_place_items(call);
		if (call->nitems > 0)
			n = kqueue_poll(call->kq->kq_ep, call->items, call->nitems);
		if (tries == KEVENT_FRUITLESS + 1)
			kevent_collect(call, n);
		else
			kevent_collect_again(call, n);
	} while ((n > 0 || kept > 0) && call->out.el_count == 0 && --tries > 0);
}

/*
 * The part of a call that needs the lock before it can wait: changes, and what
 * is ready without asking epoll.  1: done, the result is in call->out; 0: wait.
 */
static int
kevent_before_wait(struct call *call, const struct eventlist *changes, bool wait)
{
	struct kqueue *kq = call->kq;
	int error, done = 1;

	kqueue_lock(kq);
	error = kqueue_is_open(kq) ? kevent_apply(kq, changes, &call->out) : -EBADF;
	if (error == 0 && call->out.el_count == 0 && call->out.el_room > 0 &&
	    !call->errors_only) {
		knote_look_all(kq);
		if (!wait || kq->kq_ready.kl_first != NULL)
			kevent_collect_now(call);
		done = call->out.el_count > 0 || !wait;
	}
	kqueue_unlock(kq);
	return error < 0 ? error : done;
}

/* What is left until a moment of the monotonic clock; no less than nothing. */
static struct timespec
kevent_until(int64_t deadline)
{
	int64_t left = deadline - timerfd_now(false);

	if (left < 0)
		left = 0;
	return (struct timespec){
		.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)
	};
}

/*
 * Linux before 5.11 has no epoll_pwait2().  epoll_pwait() waits for whole milliseconds and the
 * bulk of it: unlike ppoll(), it says so when the process was stopped and continued.  ppoll()
 * waits for the rest, unless it may not: it refuses one descriptor if the limit is 0.
 */
static int
kevent_wait_old(int ep, struct epoll_event *items, int n, const struct timespec *timeout,
    const sigset_t *mask)
{
	int64_t deadline = timerfd_now(false) + (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec;
	struct pollfd pfd = { .fd = ep, .events = POLLIN };
	struct timespec left = *timeout;
	int64_t ms;
	int result;

	do {
		ms = (int64_t)left.tv_sec * 1000 + left.tv_nsec / 1000000;
		if (ms > 0) {
			result = epoll_pwait(ep, items, n, ms > INT_MAX ? INT_MAX : (int)ms, mask);
		} else {
			result = ppoll(&pfd, 1, &left, mask);
			if (result == -1 && errno == EINVAL)
				return epoll_pwait(ep, items, n, 1, mask);
			/* Another thread may be quicker: then it goes on. */
			if (result > 0)
				result = kqueue_poll(ep, items, n);
		}
		if (result != 0)
			return result;
		left = kevent_until(deadline);
	} while (left.tv_sec > 0 || left.tv_nsec > 0);
	return 0;
}

/* Waits for epoll.  A cancellation point, which a bare system call is not. */
static int
kevent_wait_for(int ep, struct epoll_event *items, int n, const struct timespec *timeout,
    const sigset_t *mask)
{
	struct { int64_t sec, nsec; } ts = { 0, 0 };
	static _Atomic bool no_pwait2;
	int type, result;

	if (timeout == NULL)
		return mask == NULL ? epoll_wait(ep, items, n, -1) :
		    epoll_pwait(ep, items, n, -1, mask);
	ts.sec = timeout->tv_sec;
	ts.nsec = timeout->tv_nsec;
	if (!atomic_load_explicit(&no_pwait2, memory_order_relaxed)) {
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
		result = (int)syscall(SYS_epoll_pwait2, ep, items, n, &ts, mask, (size_t)(_NSIG / 8));
		pthread_setcanceltype(type, NULL);
		/* A sandbox that does not know the call may say EPERM. */
		if (result != -1 || (errno != ENOSYS && errno != EPERM))
			return result;
		atomic_store_explicit(&no_pwait2, true, memory_order_relaxed);
	}
	return kevent_wait_old(ep, items, n, timeout, mask);
}

/*
 * A call that waits again is one call to the program: a handler of its own that
 * runs in between is to end it with EINTR.  So signals are blocked until the
 * kernel waits, which lets them in by itself.  Nobody tells of handlers for
 * signals that are not watched, so without watched ones there is nothing to do.
 */
static int
kevent_guard(struct call *call)
{
	sigset_t all;

	if (!sigaction_watches())
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &call->mask);
	call->guarded = true;
	return sigaction_was_handled() ? -EINTR : 0;
}

static void
kevent_unguard(struct call *call)
{
	if (!call->guarded)
		return;
	call->guarded = false;
	pthread_sigmask(SIG_SETMASK, &call->mask, NULL);
}

/*
 * Something reports for ever and cannot be silenced: the waiter sleeps a little
 * before it asks epoll, which would return at once.  0, or -1 with EINTR.
 */
__attribute__((noinline)) static int
kevent_nap(const struct call *call, const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec nap = { .tv_sec = 0, .tv_nsec = (long)call->nap };

	if (timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec < nap.tv_nsec)
		nap.tv_nsec = timeout->tv_nsec;
	return ppoll(NULL, 0, &nap, mask);
}

/*
 * A wait was interrupted that began with silent and results: -errno, or -EAGAIN if no handler of
 * the program's did it, but an ignored signal or a result of io_uring.
 */
static int
kevent_interrupted(unsigned silent, unsigned results)
{
	return errno == EINTR && (sigaction_only_ignored(silent) ||
	    (results != aio_results() && !sigaction_was_handled())) ? -EAGAIN : -errno;
}

/*
 * One wait; again: not the first of this call.  What epoll_wait(2) returns, or
 * -errno: EAGAIN if only ignored signals interrupted it.
 */
static int
kevent_wait_once(struct call *call, int ep, const struct timespec *timeout, bool again)
{
	int n = again ? kevent_guard(call) : 0;
	const sigset_t *mask = call->guarded ? &call->mask : NULL;
	unsigned silent, results;

	if (n == 0) {
		silent = sigaction_wait_begins();
		results = aio_results();
		if (call->nap != 0)
			n = kevent_nap(call, timeout, mask);
		if (n == 0)
			n = kevent_wait_for(ep, call->items, call->nitems, timeout, mask);
		if (n < 0)
			n = kevent_interrupted(silent, results);
	}
	if (again)
		kevent_unguard(call);
	return n;
}

/* Times beyond 67 years are for ever: that many seconds are a time_t everywhere. */
#define KEVENT_FOREVER	(67 * 366 * 24 * 3600)

/*
 * The program took the number of our epoll meanwhile: what was waited for may
 * have been this epoll, or whatever the program put there.
 */
static int
kevent_wait_moved(struct call *call, int n, int *error)
{
	if (n > 0)
		kqueue_rescan(call->kq);
	else if (*error != -EINTR)
		*error = 0;
	return kqueue_poll(call->kq->kq_ep, call->items, call->nitems);
}

/* It may be back at the same number by now.  An open queue has an epoll, so this cannot last. */
#define KEVENT_ASTRAY	16

static bool
kevent_wait_astray(int error)
{
	return error == -EBADF || error == -EINVAL;
}

static inline void
kevent_mark_items(struct call *call)
{
	for (int i = 0; i < call->nitems && i < KEVENT_MARKED; i++)
		call->items[i].data.u64 = KEVENT_NO_REPORT;
}

/* woken: not NULL if it has waited once already. */
static int
kevent_wait(struct call *call, const struct timespec *timeout, const struct woken *woken)
{
	struct kqueue *kq = call->kq;
	struct timespec left;
	int64_t deadline = 0;
	bool again = false;
	int n, error, ep, late = 0, astray = 0;

	if (timeout != NULL && timeout->tv_sec > KEVENT_FOREVER)
		timeout = NULL;
	if (timeout != NULL)
		deadline = timerfd_now(false) + (int64_t)timeout->tv_sec * 1000000000 +
		    timeout->tv_nsec;
	for (;;) {
		if (woken == NULL || again) {
			kevent_place_items(call);
			kevent_mark_items(call);
			ep = kq->kq_ep;
			n = kevent_wait_once(call, ep, timeout, again);
		} else {
			ep = woken->ep;
			n = woken->n;
		}
		error = n < 0 ? n : 0;
		if (n == 0)
			return 0;
		kqueue_lock(kq);
		if (!kqueue_is_open(kq))
			error = -EBADF;
		else if (ep != kq->kq_ep || (kevent_wait_astray(error) && astray++ < KEVENT_ASTRAY))
			n = kevent_wait_moved(call, n, &error);
		else if (error == -EINTR || error == -EAGAIN)
			n = kqueue_poll(kq->kq_ep, call->items, call->nitems);
		if (n > 0 && !again)
			kevent_collect(call, n);
		else if (n > 0)
			kevent_collect_again(call, n);
		kqueue_unlock(kq);
		if (call->out.el_count > 0)
			return 0;
		if (error < 0 && error != -EAGAIN)
			return error;
		again = true;
		if (timeout != NULL) {
			left = kevent_until(deadline);
			timeout = &left;
			/* Each item that is ready gets its turn, but there may be no end of it. */
			if (left.tv_sec == 0 && left.tv_nsec == 0 && late++ > KEVENT_FRUITLESS)
				return 0;
		}
	}
}

/*
 * A thread is cancelled while it waits, and what epoll gave it is put back.
 * How many reports there were only epoll_wait() could have said.
 */
static void
kevent_cancelled(void *arg)
{
	struct call *call = arg;
	struct kqueue *kq = call->kq;
	int n = 0;

	kevent_unguard(call);
	while (n < call->nitems && n < KEVENT_MARKED && call->items[n].data.u64 != KEVENT_NO_REPORT)
		n++;
	if (n > 0) {
		kqueue_lock(kq);
		if (!kqueue_is_open(kq))
			;
		else if (n == KEVENT_MARKED && n < call->nitems)
			kqueue_rescan(kq);
		else
			for (int i = 0; i < n; i++)
				kqueue_put_back(kq, &call->items[i]);
		kqueue_unlock(kq);
	}
	kqueue_leave(kq);
}

static bool
kevent_waits(const struct timespec *timeout)
{
	return timeout == NULL || timeout->tv_sec != 0 || timeout->tv_nsec != 0;
}

/* call->kq and call->out are filled in. */
static inline void
kevent_begin(struct call *call, bool errors_only)
{
	call->errors_only = errors_only;
	call->first = 0;
	call->lanes = 0;
	call->kept = 0;
	call->fruitless = 0;
	call->nap = 0;
	call->done = (struct knote_list){ NULL, NULL };
	call->guarded = false;
}

/* Waits, and may be cancelled.  How many events were delivered, or -errno. */
__attribute__((noinline)) static int
kevent_wait_on(struct call *call, const struct timespec *timeout, const struct woken *woken)
{
	int result;

	pthread_cleanup_push(kevent_cancelled, call);
	result = kevent_wait(call, timeout, woken);
	pthread_cleanup_pop(0);
	return result < 0 ? result : call->out.el_count;
}

static int
kevent_call(struct call *call, const struct eventlist *changes, const struct timespec *timeout,
    bool errors_only)
{
	struct kqueue *kq = call->kq;
	bool wait = kevent_waits(timeout);
	int result = 0;

	kevent_begin(call, errors_only);
	if (changes->el_room > 0 || !wait || call->out.el_room == 0 ||
	    atomic_load_explicit(&kq->kq_nready, memory_order_relaxed) != 0 ||
	    atomic_load_explicit(&kq->kq_nlook, memory_order_relaxed) != 0)
		/* cppcheck-suppress ctuuninitvar ; only the stack for reports is not set */
		result = kevent_before_wait(call, changes, wait);
	if (result != 0)
		return result < 0 ? result : call->out.el_count;
	return kevent_wait_on(call, timeout, NULL);
}

static bool
kevent_bad_pointer(const void *p, int count)
{
	return count > 0 && (uintptr_t)p < KEVENT_PAGE;
}

static inline int
kevent_check(const struct eventlist *changes, const struct eventlist *out, unsigned int flags,
    const struct timespec *timeout)
{
	if (kevent_bad_pointer(changes->el_kevent, changes->el_room) ||
	    kevent_bad_pointer(out->el_kevent, out->el_room) ||
	    kevent_bad_pointer(timeout, timeout != NULL))
		return -EFAULT;
	if (changes->el_room < 0 || out->el_room < 0)
		return -EINVAL;
	if ((flags & ~(KEVENT_FLAG_IMMEDIATE | KEVENT_FLAG_ERROR_EVENTS)) != 0)
		return -EINVAL;
	if (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 ||
	    timeout->tv_nsec > 999999999))
		return -EINVAL;
	return 0;
}

/* What both calls do; flags: KEVENT_FLAG_...  call->kq and call->out are filled in. */
__attribute__((noinline)) static int
kevent_either(int fd, const struct eventlist *changes, struct call *call, unsigned int flags,
    const struct timespec *timeout)
{
	static const struct timespec now = { 0, 0 };
	struct kqueue *kq = call->kq;
	int saved = errno, result, room = call->out.el_room;

	if (kq == NULL)
		return kevent_result(-EBADF);
	result = kevent_check(changes, &call->out, flags, timeout);
	if (flags != 0)
		timeout = &now;
	if (result == 0)
		result = kevent_call(call, changes, timeout, (flags & KEVENT_FLAG_ERROR_EVENTS) != 0);
	/* It has waited in vain, so there is time to see if the queue was closed unseen. */
	if (result == 0 && room > 0 && kevent_waits(timeout) && !kqueue_still_at(fd))
		result = -EBADF;
	kqueue_leave(kq);
	trace_call(fd, changes->el_room, room, result);
	errno = saved;
	return kevent_result(result);
}

/*
 * The usual call changes nothing and waits for ever, and is told what report_usual() can tell:
 * it takes a third of the instructions of the long way, which is kevent_either().  Nothing is
 * done twice: what epoll has told before it turns out to be unusual goes on from there.
 */
static inline bool
kevent_is_usual(const struct kqueue *kq)
{
	return atomic_load_explicit(&kq->kq_nready, memory_order_relaxed) == 0 &&
	    atomic_load_explicit(&kq->kq_nlook, memory_order_relaxed) == 0 &&
	    !atomic_load_explicit(&kqueue_blind, memory_order_relaxed) &&
	    !atomic_load_explicit(&trace_on, memory_order_relaxed);
}

/* Apart, since with glibc it is a place to jump back to. */
__attribute__((noinline)) static void
kevent_usual_wait(struct call *call, struct woken *woken)
{
	pthread_cleanup_push(kevent_cancelled, call);
	woken->n = epoll_wait(woken->ep, call->items, call->nitems, -1);
	pthread_cleanup_pop(0);
}

/* How many events were delivered, or -errno. */
static inline int
kevent_usual(struct call *call)
{
	struct kqueue *kq = call->kq;
	struct woken woken = { .ep = kq->kq_ep };
	unsigned silent, results;

	kevent_begin(call, false);
	call->items = call->stack;
	call->nitems = call->out.el_room;
	kevent_mark_items(call);
	silent = sigaction_wait_begins();
	results = aio_results();
	kevent_usual_wait(call, &woken);
	if (woken.n > 0) {
		kqueue_lock(kq);
		if (kqueue_is_open(kq) && woken.ep == kq->kq_ep && kq->kq_ready.kl_first == NULL) {
			kq->kq_call++;
			call->first = report_usual(kq, call->items, woken.n, &call->out);
		}
		kqueue_unlock(kq);
	} else {
		woken.n = kevent_interrupted(silent, results);
	}
	return call->first == woken.n ? call->out.el_count : kevent_wait_on(call, NULL, &woken);
}

/* An array of changes is read only. */
#define KEVENT_UNCONST(p)	((void *)(uintptr_t)(p))

KQ_PUBLIC int
kevent(int fd, const struct kevent *changelist, int nchanges,
    struct kevent *eventlist, int nevents, const struct timespec *timeout)
{
	struct eventlist changes = {
		.el_kevent = KEVENT_UNCONST(changelist), .el_room = nchanges
	};
	struct call call;
	int saved, result;

	call.out = (struct eventlist){ .el_kevent = eventlist, .el_room = nevents };
	call.kq = kqueue_enter(fd);
	if (nchanges != 0 || nevents <= 0 || nevents > KEVENT_STACK || timeout != NULL ||
	    (uintptr_t)eventlist < KEVENT_PAGE || call.kq == NULL || !kevent_is_usual(call.kq))
		return kevent_either(fd, &changes, &call, 0, timeout);
	saved = errno;
	result = kevent_usual(&call);
	kqueue_leave(call.kq);
	if (result <= 0)
		result = kevent_result(result);
	else
		errno = saved;
	return result;
}

KQ_PUBLIC int
kevent64(int fd, const struct kevent64_s *changelist, int nchanges,
    struct kevent64_s *eventlist, int nevents, unsigned int flags,
    const struct timespec *timeout)
{
	struct eventlist changes = {
		.el_kevent64 = KEVENT_UNCONST(changelist), .el_room = nchanges, .el_wide = true
	};
	struct call call;

	call.out = (struct eventlist){
		.el_kevent64 = eventlist, .el_room = nevents, .el_wide = true
	};

	call.kq = kqueue_enter(fd);
	return kevent_either(fd, &changes, &call, flags, timeout);
}
