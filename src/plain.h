/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plain report: READ, level-triggered, of something that has bytes, and the only registration
 * on it.  Most events are such, so this is what an event costs beside its system calls.
 */
#ifndef KQ_PLAIN_H
#define KQ_PLAIN_H

#include "kqueue.h"
#include "source/watch_item.h"

#include "syscall.h"

#include <sys/event.h>

/* Flags that a knote of the usual kind has not (report_usual()), and of this kind. */
#define USUAL_NOT	(EV_CLEAR | EV_UDATA_SPECIFIC | EV_VANISHED)
#define PLAIN_NOT	(USUAL_NOT | EV_ONESHOT | EV_DISPATCH)

/* With a count, or without, or either; what its knote (KNOTE_KIND()) and its watch are is a word of each. */
enum plain { PLAIN_COUNTED, PLAIN_UNCOUNTED, PLAIN_ANY };

#define PLAIN_FORM(lane, kind) (((struct watch) { .w_lane = (lane), .w_kind = (kind) }).w_form)

static inline __attribute__((always_inline)) bool
plain_kind(const struct knote *kn, const enum plain counted)
{
	const uint32_t either = counted == PLAIN_ANY ? NOTE_NOCOUNT : 0;

	return (kn->kn_kind & KNOTE_KIND(PLAIN_NOT, 0xff, 0xff)) == KNOTE_KIND(0, -EVFILT_READ, 0) &&
	    (kn->kn_sfflags & ~either) == (counted == PLAIN_UNCOUNTED ? NOTE_NOCOUNT : 0) && kn->kn_next == 0;
}

static inline __attribute__((always_inline)) bool
plain_form(uint16_t form)
{
	return (form & PLAIN_FORM(0xff, 0xfc)) == PLAIN_FORM(0, FD_STREAM);	/* FD_HAS_BYTES() */
}

/* The first half of an event, in two words: EVFILT_READ, no fflags.  The compiler is kept from packing them into one. */
static inline __attribute__((always_inline)) void
plain_begin(struct kevent *event, uint32_t fd, uint16_t flags)
{
	const struct { int16_t filter; uint16_t flags; uint32_t fflags; } head = { EVFILT_READ, flags, 0 };
	uint64_t word;

	memcpy(&word, &head, sizeof(word));
	__asm__("" : "+r"(word));
	event->ident = fd;
	memcpy((char *)event + offsetof(struct kevent, filter), &word, sizeof(word));
}

/* The count that was asked for in vain may have been written over the end of a report. */
static inline __attribute__((always_inline)) void
plain_restore(struct epoll_event *item)
{
	if (sizeof(*item) + sizeof(int) > sizeof(struct kevent) - offsetof(struct kevent, data))
		item->events = EPOLLIN;
}

/*
 * Tells an event if a report of lane 0 is plain; else nothing is done.  With the lock of the queue
 * held whose tables these are; it cannot have come before in this call.  The report may be where
 * the event or one after it will be: it is read first.
 */
static inline __attribute__((always_inline)) bool
report_plain(const struct watch_table *table, struct knote *const *knotes, struct epoll_event *item,
    struct kevent *event, const enum plain counted)
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
	if (!plain_kind(kn, counted) || !plain_form(w->w_form) || item->events != EPOLLIN)
		return false;
	if (counted == PLAIN_COUNTED || (counted == PLAIN_ANY && kn->kn_sfflags == 0)) {
		bytes = syscall_readable((int)fd, &event->data);
		if (bytes <= 0) {
			plain_restore(item);
			return false;
		}
	}
	plain_begin(event, fd, kn->kn_flags);
	event->data = bytes;
	event->udata = kn->kn_udata;
	if (counted == PLAIN_UNCOUNTED && kn->kn_flags == 0)
		watch_tell(table, tag, kn->kn_udata);
	return true;
}

/* The same if it was so before, and nothing has changed. */
static inline __attribute__((always_inline)) bool
report_plain_again(const struct watch_table *table, const struct epoll_event *item, struct kevent *event)
{
	const uint64_t tag = item->data.u64;
	const uint32_t fd = (uint32_t)tag, i = fd & (WATCH_CHUNK - 1);
	const struct watch_told *told = watch_told_of(table, fd);

	if (told == NULL || told->to_tag[i] != tag || item->events != EPOLLIN)
		return false;
	plain_begin(event, fd, 0);
	event->data = 1;
	event->udata = told->to_udata[i];
	return true;
}

#endif
