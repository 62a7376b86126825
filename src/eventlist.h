/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arrays of a call, of struct kevent or of struct kevent64_s.  Inside there
 * is struct kevent only; ext is carried beside it.
 */
#ifndef KQ_EVENTLIST_H
#define KQ_EVENTLIST_H

#include "ext.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/event.h>

struct eventlist {
	union {
		struct kevent		*el_kevent;
		struct kevent64_s	*el_kevent64;
	};
	int	el_room;	/* entries there are ... */
	int	el_count;	/* ... and of which are filled */
	bool	el_wide;	/* they are struct kevent64_s */
};

static inline int
eventlist_left(const struct eventlist *list)
{
	return list->el_room - list->el_count;
}

/* Where entry i begins. */
static inline void *
eventlist_at(const struct eventlist *list, int i)
{
	return list->el_wide ? (void *)(list->el_kevent64 + i) : (void *)(list->el_kevent + i);
}

/* Entry i, which need not be aligned; -EINVAL if it is too wide for this machine. */
static inline int
eventlist_get(const struct eventlist *list, int i, struct kevent *kev, struct ext *ext)
{
	struct kevent64_s wide;

	if (!list->el_wide) {
		memcpy(kev, list->el_kevent + i, sizeof(*kev));
		return 0;
	}
	memcpy(&wide, list->el_kevent64 + i, sizeof(wide));
	EV_SET(kev, (uintptr_t)wide.ident, wide.filter, wide.flags, wide.fflags, wide.data,
	    (void *)(uintptr_t)wide.udata);
	memcpy(ext, wide.ext, sizeof(*ext));
	return kev->ident == wide.ident && (uintptr_t)kev->udata == wide.udata ? 0 : -EINVAL;
}

/* Appends one; there is room. */
static inline void
eventlist_put(struct eventlist *list, const struct kevent *kev, const struct ext *ext)
{
	struct kevent64_s wide;
	int i = list->el_count++;

	if (!list->el_wide) {
		memcpy(list->el_kevent + i, kev, sizeof(*kev));
		return;
	}
	EV_SET64(&wide, kev->ident, kev->filter, kev->flags, kev->fflags, kev->data,
	    (uintptr_t)kev->udata, ext->x_value[0], ext->x_value[1]);
	memcpy(list->el_kevent64 + i, &wide, sizeof(wide));
}

#endif
