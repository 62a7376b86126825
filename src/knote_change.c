/* SPDX-License-Identifier: BSD-2-Clause */
/* A change of a changelist: a registration is made, changed or told to go. */
#include "fdtable.h"
#include "filter.h"
#include "knote.h"
#include "kqueue.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

/*
 * Bits of a change that say what to do now, not how the knote shall be.  EV_FLAG1
 * comes from within only, for fo_attach (filter/aio.c).
 */
#define KNOTE_ACTIONS	(EV_ADD | EV_DELETE | EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT | \
			EV_KEEPUDATA | (EV_SYSFLAGS & ~EV_FLAG1))

/* The number turns out to be another descriptor's: what was registered before kn is void. */
static void
knote_remove_others(struct kqueue *kq, struct knote *kn)
{
	struct watch *w = watch_at(&kq->kq_watches, (uint32_t)kn->kn_ident);
	struct knote *other;

	w->w_kind = FD_UNKNOWN;
	while (w->w_knotes != kn->kn_slot || kn->kn_next != 0) {
		other = knote_at(&kq->kq_pool,
		    w->w_knotes != kn->kn_slot ? w->w_knotes : kn->kn_next);
		other->kn_status |= KN_FILE;	/* nothing to disarm */
		knote_shut(kq, other);
	}
}

/*
 * Epoll does not do files like this one: what was known of the number, its items and whatever
 * epoll does, was another file's.  What epoll does not watch may be this one's.
 */
static void
knote_refused(struct kqueue *kq, struct knote *kn)
{
	struct watch *w = watch_at(&kq->kq_watches, (uint32_t)kn->kn_ident);
	struct knote *other;

	watch_void(kq, (int)kn->kn_ident, w);
	for (uint32_t slot = w->w_knotes, next; slot != 0; slot = next) {
		other = knote_at(&kq->kq_pool, slot);
		next = other->kn_next;
		if (other != kn && knote_polled(filter_of(other), other)) {
			other->kn_status |= KN_FILE;	/* nothing to disarm */
			knote_shut(kq, other);
		}
	}
}

/*
 * Has epoll watch what a new or enabled knote needs, or the filter if epoll
 * does not do files.  One that is added disabled is armed for a moment, too:
 * only epoll can tell whether it could be.
 */
static int
knote_arm(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	int fd = (int)kn->kn_ident;
	uint8_t disabled = kn->kn_status & KN_DISABLED;
	int error;

	kn->kn_status &= (uint8_t)~KN_DISABLED;
	error = disabled != 0 ? watch_update(kq, fd, NULL) : knote_poll(kq, fo, kn);
	if (error == -ENOENT) {
		knote_remove_others(kq, kn);
		error = watch_update(kq, fd, NULL);
	}
	kn->kn_status |= disabled;
	if (error == 0 && disabled != 0)
		error = watch_update(kq, fd, NULL);
	if (error == -EPERM) {
		knote_refused(kq, kn);
		kn->kn_status |= KN_FILE;
		error = fo->fo_file == NULL ? -EINVAL : fo->fo_file(kq, kn);
	}
	return error;
}

static int
knote_add(struct kqueue *kq, const struct filterops *fo, const struct kevent *kev,
    const struct ext *ext)
{
	struct knote *kn;
	int error;

	/* A queue can be read, nothing else. */
	if (fo->fo_fd && fdtable_queue((int)kev->ident) != NULL &&
	    kqueue_still_at((int)kev->ident) && fo != &filter_read)
		return -EINVAL;
	kn = registry_take(kq);
	if (kn == NULL)
		return -ENOMEM;
	kn->kn_ident = kev->ident;
	kn->kn_filter = (uint8_t)-kev->filter;
	kn->kn_flags = (uint16_t)((kev->flags & ~KNOTE_ACTIONS) | (fo->fo_clear ? EV_CLEAR : 0));
	kn->kn_status = (kev->flags & EV_DISABLE) != 0 ? KN_DISABLED : 0;
	kn->kn_sfflags = kev->fflags;
	kn->kn_sdata = kev->data;
	kn->kn_udata = kev->udata;
	error = ext == NULL ? 0 : ext_set(&kq->kq_pool.kp_ext, kn->kn_slot, ext);
	if (error == 0)
		error = registry_link(kq, fo, kn);
	if (error < 0)
		goto give;
	error = fo->fo_attach == NULL ? 0 : fo->fo_attach(kq, kn);
	if (error < 0)
		goto unlink;
	error = fo->fo_poll == 0 ? 0 : knote_arm(kq, fo, kn);
	if (error < 0)
		goto detach;
	if (!fo->fo_tells)
		knote_look(kq, fo, kn);
	return 0;
detach:
	if (fo->fo_detach != NULL)
		fo->fo_detach(kq, kn);
unlink:
	registry_unlink(kq, fo, kn);
give:
	registry_give(kq, kn);
	return error;
}

static inline int
knote_touch(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev)
{
	if (fo->fo_touch != NULL)
		return fo->fo_touch(kq, kn, kev);
	if ((kev->flags & EV_ADD) != 0 || kev->fflags != 0) {
		kn->kn_sfflags = kev->fflags;
		kn->kn_sdata = kev->data;
	}
	return 0;
}

/* The same with ext, which the filter may look at: if it fails, the old one stays. */
__attribute__((noinline)) static int
knote_touch_ext(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	struct ext_table *table = &kq->kq_pool.kp_ext;
	struct ext before;
	int error;

	before = *ext_get(table, kn->kn_slot);
	error = ext_set(table, kn->kn_slot, ext);
	if (error < 0)
		return error;
	error = knote_touch(kq, fo, kn, kev);
	if (error < 0)
		ext_set(table, kn->kn_slot, &before);
	return error;
}

static inline int
knote_touch_either(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	return ext == NULL || (kev->flags & EV_KEEPUDATA) != 0 ? knote_touch(kq, fo, kn, kev) :
	    knote_touch_ext(kq, fo, kn, kev, ext);
}

/* Has the knote's source look at the condition again, after a change with these flags. */
static int
knote_again(struct kqueue *kq, const struct filterops *fo, struct knote *kn, unsigned flags)
{
	int error;

	if (!knote_polled(fo, kn)) {
		if ((flags & EV_DISABLE) == 0)
			knote_look(kq, fo, kn);
		return 0;
	}
	error = (kn->kn_status & KN_DISABLED) == 0 ? knote_poll(kq, fo, kn) :
	    watch_update(kq, (int)kn->kn_ident, NULL);
	/* What is added once more may be added to another descriptor. */
	return error == 0 && (flags & EV_ADD) != 0 ? watch_confirm(kq, kn) : error;
}

/* Epoll has refused a change: the knote is as it was before. */
static void
knote_restore(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct knote *before, const struct ext *ext)
{
	const uint8_t lists = KN_QUEUED | KN_LOOKED;

	knote_enable(kq, fo, kn, (before->kn_status & KN_DISABLED) == 0);
	kn->kn_udata = before->kn_udata;
	kn->kn_sdata = before->kn_sdata;
	kn->kn_sfflags = before->kn_sfflags;
	kn->kn_flags = before->kn_flags;
	kn->kn_status = (uint8_t)((before->kn_status & ~lists) | (kn->kn_status & lists));
	knote_relist(kq, kn);
	ext_set(&kq->kq_pool.kp_ext, kn->kn_slot, ext);
	/* The filter has ended what it waited for, as the change would have had it. */
	if ((kn->kn_status & (KN_PARKED | KN_DISABLED)) == KN_PARKED)
		knote_note(kq, kn, 0);
}

/* The filter has had its part of a change: the rest of it. */
static inline int
knote_change_rest(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev)
{
	if ((kev->flags & EV_KEEPUDATA) == 0)
		kn->kn_udata = kev->udata;
	if ((kev->flags & EV_FORCEONESHOT) != 0) {
		kn->kn_flags |= EV_ONESHOT;
		kn->kn_status |= KN_FORCED;
	}
	/* The filter may have taken back what was forced before. */
	if ((kn->kn_status & KN_FORCED) != 0)
		knote_activate(kq, kn);
	if ((kev->flags & (EV_ENABLE | EV_DISABLE)) != 0)
		knote_enable(kq, fo, kn, (kev->flags & EV_ENABLE) != 0);
	kn->kn_status &= (uint8_t)~KN_PARKED;
	return knote_again(kq, fo, kn, kev->flags);
}

/* The same where epoll has a say. */
__attribute__((noinline)) static int
knote_update_polled(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	struct ext ext_before = *knote_ext(kq, kn);
	struct knote before = *kn;
	int error = knote_touch_either(kq, fo, kn, kev, ext);

	if (error < 0)
		return error;
	error = knote_change_rest(kq, fo, kn, kev);
	if (error < 0)
		knote_restore(kq, fo, kn, &before, &ext_before);
	return error;
}

static inline int
knote_update(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	int error;

	if (fo->fo_poll != 0)
		return knote_update_polled(kq, fo, kn, kev, ext);
	error = knote_touch_either(kq, fo, kn, kev, ext);
	return error < 0 ? error : knote_change_rest(kq, fo, kn, kev);
}

/* A change needs a registration that is not there. */
static int
knote_missing(const struct filterops *fo, uintptr_t ident)
{
	if (fo->fo_fd && fcntl((int)ident, F_GETFD) == -1)
		return -EBADF;
	return -ENOENT;
}

/* An answer is an entry with EV_RECEIPT and without EV_ERROR, as libkqueue's are. */
static int
knote_answer(const struct filterops *fo, struct kevent *kev)
{
	int error = (kev->flags & EV_ADD) == 0 ? -ENOENT : fo->fo_answer(kev);

	if (error < 0)
		return error;
	kev->flags |= EV_RECEIPT;
	return KNOTE_ANSWERED;
}

/* There is a new one: nobody can enable those of a closed descriptor any more. */
static void
knote_replace(struct kqueue *kq, const struct kevent *kev)
{
	struct knote *kn, *next;

	for (kn = registry_next_gone(kq, FILTER_GONE, kev, NULL); kn != NULL; kn = next) {
		next = registry_next_gone(kq, FILTER_GONE, kev, kn);
		if ((kn->kn_status & KN_DISABLED) != 0)
			knote_remove(kq, kn);
	}
}

/* Whether what is gone was on a descriptor that was closed: the number is another's. */
static bool
knote_orphan(const struct filterops *fo, const struct knote *gone)
{
	return fo->fo_fd && gone->kn_filter == FILTER_GONE;
}

/* EV_DELETE.  Who is handling an event of EV_DISPATCH2 is to say first that it is done. */
static int
knote_delete(struct kqueue *kq, struct knote *kn, unsigned flags)
{
	if ((kn->kn_flags & EV_DISPATCH2) != EV_DISPATCH2 || (flags & EV_ENABLE) != 0 ||
	    (kn->kn_status & KN_DISABLED) == 0) {
		knote_remove(kq, kn);
		return 0;
	}
	knote_end(kq, kn, filter_of(kn)->fo_fd, EV_DELETE);
	return -EINPROGRESS;
}

/* The usual change, without any flag, of what is there and on no descriptor: a trigger. */
static inline struct knote *
knote_usual(struct kqueue *kq, const struct filterops *fo, const struct kevent *kev)
{
	if (fo == NULL || kev->flags != 0 || fo->fo_fd || fo->fo_poll != 0 || fo->fo_answer != NULL ||
	    fo->fo_settle != NULL)
		return NULL;
	return registry_find(kq, fo, kev->ident, (unsigned)-kev->filter, 0, NULL);
}

int
knote_change(struct kqueue *kq, struct kevent *kev, const struct ext *ext)
{
	const struct filterops *fo = filter_find(kev->filter);
	struct knote *kn = knote_usual(kq, fo, kev), *gone = NULL;
	int error;

	if (kn != NULL)
		return knote_update(kq, fo, kn, kev, ext);
	if (fo == NULL || (kev->flags & (EV_ENABLE | EV_DISABLE)) == (EV_ENABLE | EV_DISABLE) ||
	    (kev->flags & (EV_ADD | EV_KEEPUDATA)) == (EV_ADD | EV_KEEPUDATA) ||
	    ((kev->flags & EV_VANISHED) != 0 &&
	    (kev->flags & (EV_ADD | EV_DISPATCH2)) != (EV_ADD | EV_DISPATCH2)))
		return -EINVAL;
	if (fo->fo_answer != NULL)
		return knote_answer(fo, kev);
	if (fo->fo_fd && (kev->ident > INT_MAX || fdtable_hidden((int)kev->ident)))
		return -EBADF;
	if (fo->fo_fd)
		watch_check(kq, (int)kev->ident);
	if (fo->fo_settle != NULL)
		fo->fo_settle(kq);
	kn = registry_find(kq, fo, kev->ident, (unsigned)-kev->filter, kev->flags, kev->udata);
	if (kn == NULL && (kev->flags & EV_UDATA_SPECIFIC) != 0)
		gone = registry_find_gone(kq, kev);
	if (gone != NULL && (!knote_orphan(fo, gone) || (kev->flags & EV_ADD) == 0)) {
		kn = gone;
		fo = filter_of(kn);
	}
	if (kn != NULL && (kev->flags & EV_DELETE) != 0)
		return knote_delete(kq, kn, kev->flags);
	if (kn != NULL) {
		error = knote_update(kq, fo, kn, kev, ext);
		if (!fo->fo_fd || (error != -ENOENT && error != -EBADF && error != -EPERM))
			return error;
		/* The descriptor was closed unseen; its number may be another's by now. */
		knote_remove_all(kq, (int)kev->ident);
	}
	if ((kev->flags & EV_ADD) == 0)
		return knote_missing(fo, kev->ident);
	error = knote_add(kq, fo, kev, ext);
	if (error == 0 && (kev->flags & EV_UDATA_SPECIFIC) != 0)
		knote_replace(kq, kev);
	return error;
}
