/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shortest way of EVFILT_USER, which threads wake each other with: NOTE_TRIGGER without any
 * flag, and its event if it is all that is ready.  What there is to know of them is in filter/user.c.
 * With the queue's lock held.
 */
#ifndef KQ_TRIGGER_H
#define KQ_TRIGGER_H

#include "kqueue.h"
#include "registry.h"

#include <sys/event.h>

/* Whether a change, which need not be aligned, is but a trigger, and stored fflags stay what they are. */
static inline bool
trigger_is(const struct kevent *kev)
{
	return (uintptr_t)kev % _Alignof(struct kevent) == 0 && kev->filter == EVFILT_USER && kev->flags == 0 &&
	    (kev->fflags & (NOTE_TRIGGER | NOTE_FFCTRLMASK)) == (NOTE_TRIGGER | NOTE_FFNOP);
}

static inline struct knote *
trigger_find(struct kqueue *kq, uintptr_t ident)
{
	struct knote *kn;
	uint32_t slot;

	if (kq->kq_hash.kh_size == 0)
		return NULL;
	for (slot = *registry_bucket(&kq->kq_hash, ident, -EVFILT_USER); slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_ident == ident && kn->kn_filter == -EVFILT_USER &&
		    (kn->kn_flags & EV_UDATA_SPECIFIC) == 0)
			return kn;
	}
	return NULL;
}

/* What knote_change() does with such a change.  False, and nothing is done: there is no such registration. */
static inline bool
trigger_make(struct kqueue *kq, const struct kevent *kev)
{
	struct knote *kn = trigger_find(kq, kev->ident);

	if (kn == NULL)
		return false;
	kn->kn_fflags = NOTE_TRIGGER;
	kn->kn_sdata = kev->data;
	kn->kn_udata = kev->udata;
	knote_activate(kq, kn);
	return true;
}

/* What a registration is that is told once (EV_CLEAR) and stays as it is; other flags make no difference here. */
#define TRIGGER_FLAGS	(EV_CLEAR | EV_ONESHOT | EV_DISPATCH | EV_VANISHED)

/* What knote_collect() does if kq_ready is but one of these.  False, and nothing is done: it is not. */
static inline bool
trigger_tell(struct kqueue *kq, struct kevent *event)
{
	const uint32_t slot = kq->kq_ready.kl_first;
	struct knote *kn;

	if (slot == 0 || slot != kq->kq_ready.kl_last)
		return false;
	kn = knote_at(&kq->kq_pool, slot);
	if ((kn->kn_kind & KNOTE_KIND(TRIGGER_FLAGS, 0xff, 0xff)) !=
	    KNOTE_KIND(EV_CLEAR, -EVFILT_USER, KN_ACTIVE | KN_QUEUED) || kn->kn_fflags == 0)
		return false;
	event->ident = kn->kn_ident;
	event->filter = EVFILT_USER;
	event->flags = kn->kn_flags;
	event->fflags = kn->kn_sfflags;
	event->data = kn->kn_sdata;
	event->udata = kn->kn_udata;
	kq->kq_ready = (struct knote_list){ 0, 0 };
	atomic_store_explicit(&kq->kq_nready, 0, memory_order_relaxed);
	kn->kn_status = 0;
	kn->kn_fflags = 0;
	return true;
}

/* The same for who was told of the bell alone: its edge is spent, and nothing is left to be told. */
static inline bool
trigger_tell_rung(struct kqueue *kq, struct kevent *event)
{
	if (kq->kq_bell != BELL_EDGE || (kq->kq_rung_twice | kq->kq_edges | kq->kq_counted) != 0 ||
	    !trigger_tell(kq, event))
		return false;
	kq->kq_bell = BELL_OFF;
	kq->kq_news = false;
	return true;
}

#endif
