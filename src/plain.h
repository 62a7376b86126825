/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plain report: READ, level-triggered, of something that has bytes, and the only registration
 * on it.  Most events are such, so this is what an event costs beside its system calls.
 */
#ifndef KQ_PLAIN_H
#define KQ_PLAIN_H

#include "kqueue.h"
#include "source/watch_item.h"

#include <sys/event.h>
#include <sys/ioctl.h>

/* Flags that a knote of the usual kind has not (report_usual()), and of this kind. */
#define USUAL_NOT	(EV_CLEAR | EV_UDATA_SPECIFIC | EV_VANISHED)
#define PLAIN_NOT	(USUAL_NOT | EV_ONESHOT | EV_DISPATCH)

/*
 * Tells an event if a report of lane 0 is plain; else nothing is done.  With the lock of the queue
 * held whose tables these are; it cannot have come before in this call.  counted: one with a
 * count, or one without.
 */
static inline __attribute__((always_inline)) bool
report_plain(const struct watch_table *table, struct knote *const *knotes, const struct epoll_event *item,
    struct kevent *event, const bool counted)
{
	const uint64_t tag = item->data.u64;
	const uint32_t fd = (uint32_t)tag;
	const struct watch *w = watch_find(table, fd);
	const struct knote *kn;
	int bytes = 1;

	/* What is a source's own has the top bit, and no watch. */
	if (w == NULL || w->w_gen[0] != tag >> 32)
		return false;
	kn = &knotes[w->w_knotes >> KNOTE_CHUNK_SHIFT][w->w_knotes & (KNOTE_CHUNK - 1)];
	if (kn->kn_next != 0 || kn->kn_status != 0 || kn->kn_filter != -EVFILT_READ ||
	    (kn->kn_flags & PLAIN_NOT) != 0 || kn->kn_sfflags != (counted ? 0 : NOTE_NOCOUNT) ||
	    w->w_lane != 0 || !FD_HAS_BYTES(w->w_kind) ||
	    item->events != EPOLLIN)
		return false;
	if (counted && (ioctl((int)fd, FIONREAD, &bytes) != 0 || bytes <= 0))
		return false;
	event->ident = fd;
	event->filter = EVFILT_READ;
	event->flags = kn->kn_flags;
	event->fflags = 0;
	event->data = bytes;
	event->udata = kn->kn_udata;
	return true;
}

#endif
