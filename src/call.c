/* SPDX-License-Identifier: BSD-2-Clause */
/* A call whatever it asks for: arguments, changes in, wait, events out.  See call.h. */
#include "call.h"
#include "enter.h"
#include "kqueue.h"
#include "public.h"
#include "trace.h"
#include "trigger.h"

#include <errno.h>
#include <pthread.h>

/* Changes in.  0 or -errno; out is filled with answers. */
__attribute__((always_inline)) static inline int
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

/*
 * The part of a call that needs the lock before it can wait: changes, and what
 * is ready without asking epoll.  1: done, the result is in call->out; 0: wait.
 */
static int
kevent_before_wait(struct call *call, const struct eventlist *changes, bool wait)
{
	struct kqueue *kq = call->kq;
	int error, done = 1;

	kqueue_lock_inline(kq);
	error = kqueue_is_open(kq) ? kevent_apply(kq, changes, &call->out) : -EBADF;
	if (error == 0 && call->out.el_count == 0 && call->out.el_room > 0 &&
	    !call->errors_only) {
		knote_look_all(kq);
		if (!wait || kq->kq_ready.kl_first != 0)
			kevent_collect_now(call);
		done = call->out.el_count > 0 || !wait;
	}
	kqueue_unlock_inline(kq);
	return error < 0 ? error : done;
}

static bool
kevent_waits(const struct timespec *timeout)
{
	return timeout == NULL || timeout->tv_sec != 0 || timeout->tv_nsec != 0;
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

static inline bool
kevent_bad_timeout(const struct timespec *timeout)
{
	return timeout != NULL && ((uintptr_t)timeout < KEVENT_PAGE || timeout->tv_sec < 0 ||
	    timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999);
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
	return kevent_bad_timeout(timeout) ? -EINVAL : 0;
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
		return public_result(-EBADF);
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
	return public_result(result);
}

/* An array of changes is read only. */
#define KEVENT_UNCONST(p)	((void *)(uintptr_t)(p))

/* The short way of a call that changes only: 0 or -errno. */
static inline int
kevent_change_only(struct kqueue *kq, const struct kevent *changelist, int nchanges)
{
	struct eventlist changes = {
		.el_kevent = KEVENT_UNCONST(changelist), .el_room = nchanges
	}, none = { .el_room = 0 };
	int error;

	kqueue_lock_inline(kq);
	error = kqueue_is_open(kq) ? kevent_apply(kq, &changes, &none) : -EBADF;
	kqueue_unlock_inline(kq);
	return error;
}

/* The queue is open and its lock is held: how many events there are now. */
__attribute__((noinline)) static int
kevent_collect_any(struct kqueue *kq, struct kevent *events, int room)
{
	struct call call;

	call.out = (struct eventlist){ .el_kevent = events, .el_room = room };
	call.kq = kq;
	kevent_begin(&call, false);
	if (kq->kq_nlook != 0)
		knote_look_all(kq);
	kevent_collect_now(&call);
	return call.out.el_count;
}

/* The same if there is room for one, kq_ready is to go first, and that is but a trigger. */
static inline bool
kevent_collect_trigger(struct kqueue *kq, struct kevent *event)
{
	if (kq->kq_turns == 0 || kq->kq_edges || kq->kq_nlook != 0 || !trigger_tell(kq, event))
		return false;
	kq->kq_turns--;
	return true;
}

/* The short way of a call that changes nothing while kq_ready has something: how many events, perhaps none. */
static inline int
kevent_collect_only(struct kqueue *kq, struct kevent *events, int room)
{
	int n = 0;

	kqueue_lock_inline(kq);
	if (kqueue_is_open(kq))
		n = room == 1 && kevent_collect_trigger(kq, events) ? 1 : kevent_collect_any(kq, events, room);
	kqueue_unlock_inline(kq);
	return n;
}

__attribute__((noinline)) static int
kevent_long_way(int fd, struct kqueue *kq, const struct kevent *changelist, int nchanges,
    struct kevent *events, int room, const struct timespec *timeout)
{
	struct eventlist changes = {
		.el_kevent = KEVENT_UNCONST(changelist), .el_room = nchanges
	};
	struct call call;

	call.out = (struct eventlist){ .el_kevent = events, .el_room = room };
	call.kq = kq;
	return kevent_either(fd, &changes, &call, 0, timeout);
}

int
kevent_unusual(int fd, struct kqueue *kq, const struct kevent *changelist, int nchanges,
    struct kevent *events, int room, const struct timespec *timeout)
{
	int saved = errno, result = 0;

	if (kq == NULL)
		kq = kqueue_enter(fd);
	if (kq == NULL || kevent_bad_timeout(timeout) || mode_is(MODE_TRACED))
		return kevent_long_way(fd, kq, changelist, nchanges, events, room, timeout);
	if (room == 0 && nchanges > 0 && (uintptr_t)changelist >= KEVENT_PAGE)
		result = kevent_change_only(kq, changelist, nchanges);
	else if (nchanges != 0 || room <= 0 || (uintptr_t)events < KEVENT_PAGE ||
	    atomic_load_explicit(&kq->kq_nready, memory_order_relaxed) == 0 ||
	    (result = kevent_collect_only(kq, events, room)) == 0)
		return kevent_long_way(fd, kq, changelist, nchanges, events, room, timeout);
	kqueue_leave(kq);
	errno = saved;
	return public_result(result);
}

/*
 * A call that waits is a cancellation point.  Who is alone can be cancelled by
 * himself only, before, so that no wait of his needs to be ready for it.
 */
static inline void
kevent_testcancel(int nevents)
{
	if (nevents > 0 && single_threaded())
		pthread_testcancel();
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
	kevent_testcancel(nevents);
	call.kq = kqueue_enter(fd);
	return kevent_either(fd, &changes, &call, flags, timeout);
}
