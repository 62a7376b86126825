/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a filter must provide, and the table of all filters.
 *
 * The queue's lock is held during every call.  No function may block.
 * A filter uses sources (source/...h) and knote_activate(); it knows nothing of
 * epoll, of flags in struct kevent but those named here, or of other filters.
 */
#ifndef KQ_FILTER_H
#define KQ_FILTER_H

#include "knote.h"

struct filterops {
	/*
	 * fo_poll != 0: ident is a descriptor whose readiness is watched with
	 * these poll(2) bits by source/watch.c; the other functions are then
	 * called for what goes beyond that.
	 */
	uint32_t	fo_poll;
	bool		fo_fd;		/* ident is a descriptor */
	bool		fo_clear;	/* sets EV_CLEAR by itself */

	/*
	 * Not NULL: the filter registers nothing, it answers each change with
	 * EV_ADD.  *kev is the change and becomes the answer.  0 or -errno.
	 * The other functions are never called.
	 */
	int	(*fo_answer)(struct kevent *kev);

	/* A change is about to be made: what sources have to tell comes first.  May be NULL. */
	void	(*fo_settle)(struct kqueue *);

	/*
	 * A new knote, filled in from the change: arm the source.  0, or
	 * -errno with nothing left behind.  A condition that holds already is
	 * told by fo_event, which is asked next, unless fo_attach has told it
	 * itself (fo_tells).  May be NULL.
	 */
	int	(*fo_attach)(struct kqueue *, struct knote *);
	bool	fo_tells;

	/*
	 * Epoll refuses the descriptor of the knote (KN_FILE is set): arrange
	 * for it otherwise.  0 or -errno.  NULL: EINVAL.
	 */
	int	(*fo_file)(struct kqueue *, struct knote *);

	/*
	 * The knote goes: forget it.  May be NULL.  While the queue ends
	 * (kqueue_ending()), only memory and descriptors of the knote's own are
	 * given back: epoll and inotify may be shared with a forking parent.
	 */
	void	(*fo_detach)(struct kqueue *, struct knote *);

	/*
	 * The source reports (knote_note): note what it means, and activate
	 * the knote if it is something that was asked for.  hint: the
	 * source's own word for it.  NULL: any report activates, but that
	 * of a level that epoll watches, which epoll tells once fo_event does.
	 */
	void	(*fo_note)(struct kqueue *, struct knote *, uint32_t hint);

	/*
	 * A change to an existing knote (never EV_DELETE).  NULL: sfflags and
	 * sdata are replaced as contract section 3 says.  udata, EV_ENABLE and
	 * EV_DISABLE are the caller's business, before and after.  0 or -errno
	 * with the knote as it was.
	 */
	int	(*fo_touch)(struct kqueue *, struct knote *, const struct kevent *);

	/*
	 * Does the condition hold now?  If so, set data, fflags and EV_EOF in
	 * *out, which has all else, and change nothing in the knote (but
	 * EV_ONESHOT in kn_flags for a filter that ends by itself, and
	 * KN_PARKED: the kernel will go on saying ready, so wait for an edge;
	 * or, in kn_data, what it looked like).
	 * revents: what epoll reported, or 0.
	 */
	bool	(*fo_event)(struct kqueue *, struct knote *, uint32_t revents,
		    struct kevent *out);

	/* For knotes with KN_LOOK: did something happen that no source tells? */
	bool	(*fo_look)(struct kqueue *, struct knote *);

	/* What the source reported may have been lost with a cancelled thread.  May be NULL. */
	void	(*fo_again)(struct kqueue *, struct knote *);

	/* *out was delivered and the knote stays: go on from there.  May be NULL. */
	void	(*fo_delivered)(struct kqueue *, struct knote *, const struct kevent *out);

	/* EV_ENABLE or EV_DISABLE (EV_DISPATCH too) took effect.  May be NULL. */
	void	(*fo_enable)(struct kqueue *, struct knote *, bool enabled);
};

/* The filter with this number (EVFILT_...), or NULL. */
const struct filterops *filter_find(int filter);

/* The same of a knote, whose filter is known to exist. */
extern const struct filterops *const filter_table[EVFILT_SYSCOUNT + 3];

/* In the place of filters that nobody can name: what is left of a registration that has ended. */
#define FILTER_GONE	(EVFILT_SYSCOUNT + 1)
#define FILTER_GONE_FD	(EVFILT_SYSCOUNT + 2)	/* its descriptor is open */

static inline const struct filterops *
filter_of(const struct knote *kn)
{
	return filter_table[kn->kn_filter];
}

/* Whether epoll watches the knote's descriptor for it. */
static inline bool
knote_polled(const struct filterops *fo, const struct knote *kn)
{
	return fo->fo_poll != 0 && (kn->kn_status & KN_FILE) == 0;
}

extern const struct filterops filter_read, filter_write, filter_vnode,
    filter_proc, filter_signal, filter_timer, filter_user, filter_empty, filter_except,
    filter_procdesc, filter_memorystatus, filter_libkqueue, filter_fs, filter_netdev,
    filter_aio, filter_gone, filter_gone_fd;

#endif
