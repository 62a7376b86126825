/* SPDX-License-Identifier: BSD-2-Clause */
/* A call of kevent() under way: call.c takes changes, wait.c waits, collect.c gives events out. */
#ifndef KQ_CALL_H
#define KQ_CALL_H

#include "eventlist.h"
#include "knote.h"

#include <signal.h>
#include <sys/epoll.h>

struct kqueue;

/* Addresses below this are nobody's: a null pointer, perhaps with an index. */
#define KEVENT_PAGE	4096

/* A call that does not wait for epoll first.  kq: entered; NULL: to be entered, if it is one. */
int	kevent_unusual(int fd, struct kqueue *kq, const struct kevent *changelist, int nchanges,
	    struct kevent *events, int room, const struct timespec *timeout);

/*
 * epoll's reports are read into a small array on the stack or, for a call that
 * has room for more, into the end of the caller's own array, which is filled
 * with events from its start meanwhile: an epoll_event is smaller than a kevent.
 */
#define KEVENT_STACK	256

/* At most so many at a time: nobody's array is touched far beyond what is put into it. */
#define KEVENT_MOST	8192

/* How many reports epoll is asked for, in the array of a caller who has room for left events. */
static inline int
kevent_items_most(int left)
{
	return left < 2 * KEVENT_MOST ? left / 2 : KEVENT_MOST;
}

/*
 * In the caller's array, which has room for left more events from its first one on, they have the
 * second half of what of it is used: each may be good for two events, which must not reach the
 * reports that are still to be read.  size: of an event.  *n: kevent_items_most().
 */
static inline struct epoll_event *
kevent_items_within(void *first, size_t size, int left, int *n)
{
	if (left > 2 * KEVENT_MOST)
		left = 2 * KEVENT_MOST;
	*n = kevent_items_most(left);
	return (struct epoll_event *)(void *)((char *)first + (size_t)left * size) - *n;
}

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

/* A wait has ended: in which epoll, and what it said; 0: that came to nothing. */
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
	bool		guarded;	/* all signals are blocked ... */
	sigset_t	mask;		/* ... that are not blocked here */
	struct epoll_event stack[KEVENT_STACK];
};

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
	call->guarded = false;
}

/* A thread that is cancelled while it waits finds these where epoll has written nothing. */
static inline void
kevent_mark_items(struct epoll_event *items, int n)
{
	for (int i = 0; i < n && i < KEVENT_MARKED; i++)
		items[i].data.u64 = KEVENT_NO_REPORT;
}

/* n reports of epoll: events out.  The queue's lock is held. */
void	kevent_collect(struct call *call, int n);

/* The same from the first on that was not dealt with, for a call that has begun to collect (kq_call). */
void	kevent_collect_rest(struct call *call, int n);

/* The same when that has come to nothing before: each report is checked now. */
void	kevent_collect_again(struct call *call, int n);

/*
 * The usual report of our own sources: the bell alone, for a usual call.  How many events were delivered;
 * 0: that takes a closer look, as does an array that may have no room for all.
 */
int	kevent_collect_bell(struct kqueue *kq, struct epoll_event *item, struct kevent *events, int room);

/* What is ready now, without waiting. */
void	kevent_collect_now(struct call *call);

/* Where epoll shall put its reports, for what room is left. */
void	kevent_place_items(struct call *call);

/*
 * Waits, and may be cancelled; woken: not NULL if it has waited once already.  How many events
 * were delivered, or -errno.
 */
int	kevent_wait_on(struct call *call, const struct timespec *timeout, const struct woken *woken);

/* The usual call, as far as it needs to be known while it waits. */
struct usual {
	struct kqueue	*kq;
	struct kevent	*events;
	int		room;
	struct epoll_event *items;
	int		nitems;
	struct woken	woken;
};

/* Waits in u->woken.ep, and may be cancelled, u->items being marked; how many reports, or -errno. */
int	kevent_usual_wait(const struct usual *u);

/*
 * A wait that began with results ended with error (-errno): that, or -EAGAIN if no handler of the
 * program's did it, but an ignored signal or a result of io_uring.
 */
int	kevent_interrupted(int error, unsigned results);

#endif
