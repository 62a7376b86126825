/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a watch's items are armed for: for watch.c, which makes them, and for
 * report.c, which reads what they say; and what is at their end, for the filters.
 * Inline, since every event comes by here.
 */
#ifndef KQ_WATCH_ITEM_H
#define KQ_WATCH_ITEM_H

#include "filter.h"
#include "kqueue.h"
#include "source/watch.h"

/* Directions: what is read, what is written, what is exceptional. */
enum { WATCH_READ, WATCH_WRITE, WATCH_EXCEPT, WATCH_DIRECTIONS };

/* w_armed: what an item is armed for. */
#define WATCH_IN	(1u << WATCH_READ)
#define WATCH_OUT	(1u << WATCH_WRITE)
#define WATCH_PRI	(1u << WATCH_EXCEPT)
#define WATCH_EDGE	0x08u
#define WATCH_ONESHOT	0x10u
#define WATCH_PRESENT	0x80u	/* epoll has the item, armed or not */
#define WATCH_EVENTS	(WATCH_IN | WATCH_OUT)
#define WATCH_MODE	(WATCH_EDGE | WATCH_ONESHOT)

/* w_lane: direction d is shared. */
#define WATCH_SHARED(d)	((uint8_t)(4u << (d)))

/* What a watched descriptor is; FD_UNKNOWN: it was closed unseen; FD_FAILED: it is to be asked again. */
static inline enum fdkind
watch_kind(struct kqueue *kq, int fd)
{
	struct watch *w = watch_at(&kq->kq_watches, (uint32_t)fd);
	enum fdkind kind = (enum fdkind)w->w_kind;

	if (kind == FD_UNKNOWN) {
		kind = watch_find_kind(kq, fd, w);
		w->w_kind = kind == FD_FAILED ? FD_UNKNOWN : (uint8_t)kind;
	}
	return kind;
}

static inline unsigned
watch_direction(const struct knote *kn)
{
	uint32_t poll = filter_of(kn)->fo_poll;

	return (poll & EPOLLIN) != 0 ? WATCH_READ : (poll & EPOLLOUT) != 0 ? WATCH_WRITE :
	    WATCH_EXCEPT;
}

static inline unsigned
watch_lane(const struct watch *w, unsigned direction)
{
	return direction == WATCH_EXCEPT ? 2 : (unsigned)w->w_lane >> direction & 1;
}

/* What an enabled knote wants to be told, and how. */
static inline unsigned
watch_want(const struct knote *kn)
{
	unsigned bits = 1u << watch_direction(kn);

	if ((kn->kn_flags & EV_CLEAR) != 0 || (kn->kn_status & KN_PARKED) != 0)
		return bits | WATCH_EDGE;
	if ((kn->kn_flags & (EV_ONESHOT | EV_DISPATCH)) != 0)
		return bits | WATCH_ONESHOT;
	return bits;
}

/*
 * Strays of this number go.  What else goes with them is the item of its owner
 * of today, if there is a duplicate of that: it is made again.
 */
void	watch_remove_stray(struct kqueue *kq, int fd, unsigned lane);

/* The watch whose item epoll reports; NULL if it is void. */
static inline struct watch *
watch_reported(struct kqueue *kq, unsigned lane, uint64_t tag)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)tag);

	if (w != NULL && w->w_gen[lane] == tag >> 32)
		return w;
	if (kq->kq_suspect)
		watch_remove_stray(kq, (int)(uint32_t)tag, lane);
	return NULL;
}

/*
 * Where closes are not seen: whether the item that reports is still that of the
 * descriptor at this number; if not, its registrations go.  A level is armed
 * again (MOD), an edge must not be (ADD finds it there).
 */
bool	watch_verify_unseen(struct kqueue *kq, int fd, struct watch *w, unsigned lane);

static inline bool
watch_verify(struct kqueue *kq, int fd, struct watch *w, unsigned lane)
{
	return (!mode_is(MODE_BLIND) && !kq->kq_suspect) || watch_verify_unseen(kq, fd, w, lane);
}

#endif
