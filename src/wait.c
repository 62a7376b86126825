/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for epoll: timeouts, signals, cancellation. */
#include "asan.h"
#include "call.h"
#include "early.h"
#include "helgrind.h"
#include "kqueue.h"
#include "source/aio.h"
#include "source/sigaction.h"
#include "source/timerfd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

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
		HELGRIND_ALONE(&no_pwait2, sizeof(no_pwait2));
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

int
kevent_interrupted(int error, unsigned results)
{
	return error == -EINTR && (sigaction_only_ignored() ||
	    (aio_interrupted(results) && !sigaction_was_handled())) ? -EAGAIN : error;
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
	unsigned results;

	if (n == 0) {
		sigaction_wait_begins();
		results = aio_results();
		if (call->nap != 0)
			n = kevent_nap(call, timeout, mask);
		if (n == 0)
			n = kevent_wait_for(ep, call->items, call->nitems, timeout, mask);
		if (n < 0)
			n = kevent_interrupted(-errno, results);
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

/*
 * A wait in ep has said n, as kevent_wait_once() says it; again: not the first of this call.  Events out; 0 or
 * -errno, EAGAIN as there.
 */
static inline int
kevent_wait_ended(struct call *call, int ep, int n, bool again, int *astray)
{
	struct kqueue *kq = call->kq;
	int error = n < 0 ? n : 0, bytes = early_count(kq, call->items, n);

	kqueue_lock_inline(kq);
	if (bytes > 0)
		early_begin(kq, call->items->data.u64, bytes);
	if (!kqueue_is_open(kq))
		error = -EBADF;
	else if (ep != kq->kq_ep || (kevent_wait_astray(error) && (*astray)++ < KEVENT_ASTRAY))
		n = kevent_wait_moved(call, n, &error);
	else if (error == -EINTR || error == -EAGAIN)
		n = kqueue_poll(kq->kq_ep, call->items, call->nitems);
	kq->kq_waited = true;
	if (n > 0 && !again)
		kevent_collect(call, n);
	else if (n > 0)
		kevent_collect_again(call, n);
	kq->kq_waited = false;
	if (bytes > 0)
		early_end(kq);
	kqueue_unlock_inline(kq);
	return error;
}

/* woken: not NULL if it has waited once already. */
static int
kevent_wait(struct call *call, const struct timespec *timeout, const struct woken *woken)
{
	struct kqueue *kq = call->kq;
	struct timespec left;
	int64_t deadline = 0;
	bool again = woken != NULL && woken->n == 0;
	int n, error, ep, late = 0, astray = 0;

	if (timeout != NULL && timeout->tv_sec > KEVENT_FOREVER)
		timeout = NULL;
	if (timeout != NULL)
		deadline = timerfd_now(false) + (int64_t)timeout->tv_sec * 1000000000 +
		    timeout->tv_nsec;
	for (;;) {
		if (woken == NULL || again) {
			kevent_place_items(call);
			kevent_mark_items(call->items, call->nitems);
			ep = kq->kq_ep;
			n = kevent_wait_once(call, ep, timeout, again);
		} else {
			ep = woken->ep;
			n = woken->n;
		}
		if (n == 0)
			return 0;
		error = kevent_wait_ended(call, ep, n, again, &astray);
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

/* What epoll gave it is put back.  How many reports there were only epoll_wait() could have said. */
static void
kevent_give_up(struct kqueue *kq, const struct epoll_event *items, int room)
{
	int n = 0;

	while (n < room && n < KEVENT_MARKED && items[n].data.u64 != KEVENT_NO_REPORT)
		n++;
	if (n > 0) {
		kqueue_lock_inline(kq);
		if (!kqueue_is_open(kq))
			;
		else if (n == KEVENT_MARKED && n < room)
			kqueue_rescan(kq);
		else
			for (int i = 0; i < n; i++)
				kqueue_put_back(kq, &items[i]);
		kqueue_unlock_inline(kq);
	}
	kqueue_leave(kq);
}

static void
kevent_cancelled(void *arg)
{
	struct call *call = arg;

	ASAN_LEFT_FRAMES();
	kevent_unguard(call);
	kevent_give_up(call->kq, call->items, call->nitems);
}

int
kevent_wait_on(struct call *call, const struct timespec *timeout, const struct woken *woken)
{
	int result;

	if (single_threaded()) {
		result = kevent_wait(call, timeout, woken);
	} else {
		pthread_cleanup_push(kevent_cancelled, call);
		result = kevent_wait(call, timeout, woken);
		pthread_cleanup_pop(0);
	}
	return result < 0 ? result : call->out.el_count;
}

static void
kevent_usual_cancelled(void *arg)
{
	const struct usual *u = arg;

	ASAN_LEFT_FRAMES();
	kevent_give_up(u->kq, u->items, u->nitems);
}

/* With glibc, this is a place to jump back to. */
int
kevent_usual_wait(const struct usual *u)
{
	int saved = errno, n;

	pthread_cleanup_push(kevent_usual_cancelled, (void *)(uintptr_t)u);
	n = epoll_wait(u->woken.ep, u->items, u->nitems, -1);
	pthread_cleanup_pop(0);
	if (n == -1) {
		n = -errno;
		errno = saved;
	}
	return n;
}
