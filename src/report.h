/* SPDX-License-Identifier: BSD-2-Clause */
/* What epoll says, and whom it concerns. */
#ifndef KQ_REPORT_H
#define KQ_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct eventlist;
struct kevent;
struct kqueue;

/*
 * Epoll reports an item of a lane: delivers what its knotes have to say, as far
 * as out has room.  An item is reported once in a call.
 */
void	report_watch(struct kqueue *kq, unsigned lane, uint64_t tag, uint32_t revents,
	    struct eventlist *out, int room);

/* Of n items, the first of which is a knote's own descriptor, so many were reported. */
int	report_processes(struct kqueue *kq, const struct epoll_event *items, int n);

/*
 * The same for the usual case, which takes a tenth of the instructions: the only knote of a
 * descriptor that is read or written, without EV_CLEAR, with no more to it.  Deals with the
 * reports of lane 0 as long as they are of that kind; how many were dealt with.  There is room
 * for all, and an event may overwrite what was dealt with.  first: none can have come before in
 * this call.
 */
int	report_usual(struct kqueue *kq, struct epoll_event *items, int n, struct kevent *events,
	    bool first);

/* Those first ones that were told before and have not changed; how many.  None can have come before in this call. */
int	report_again(const struct kqueue *kq, const struct epoll_event *items, int n, struct kevent *events);

/* The call goes on, and is to tell none of these twice: report_usual() has made them. */
void	report_told(struct kqueue *kq, const struct kevent *events, int n);

#endif
