/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations: find, make, change, activate, deliver, remove. */
#include "knote.h"

#include "eventlist.h"
#include "fdtable.h"
#include "filter.h"
#include "kqueue.h"
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/*
 * Bits of a change that say what to do now, not how the knote shall be.  EV_FLAG1
 * comes from within only, for fo_attach (filter/aio.c).
 */
#define KNOTE_ACTIONS	(EV_ADD | EV_DELETE | EV_ENABLE | EV_DISABLE | EV_FORCEONESHOT | \
			EV_KEEPUDATA | (EV_SYSFLAGS & ~EV_FLAG1))

/*
 * The lists.  A knote is in kq_ready while it is active and enabled; one on a
 * file is in kq_look while it is enabled and not active, since no source tells
 * of lseek().
 */

static void
knote_relist(struct kqueue *kq, struct knote *kn)
{
	bool enabled = (kn->kn_status & KN_DISABLED) == 0;
	bool ready = enabled && (kn->kn_status & KN_ACTIVE) != 0;
	bool look = enabled && !ready && (kn->kn_status & KN_LOOK) != 0;

	if ((kn->kn_status & KN_QUEUED) != 0 && !ready) {
		knote_list_remove(&kq->kq_ready, kn);
		kq->kq_nready--;
		kn->kn_status &= (uint8_t)~KN_QUEUED;
	}
	if ((kn->kn_status & KN_LOOKED) != 0 && !look) {
		knote_list_remove(&kq->kq_look, kn);
		kq->kq_nlook--;
		kn->kn_status &= (uint8_t)~KN_LOOKED;
	}
	if ((kn->kn_status & KN_QUEUED) == 0 && ready) {
		knote_list_add(&kq->kq_ready, kn);
		kq->kq_nready++;
		kq->kq_news = true;
		kn->kn_status |= KN_QUEUED;
	}
	if ((kn->kn_status & KN_LOOKED) == 0 && look) {
		knote_list_add(&kq->kq_look, kn);
		kq->kq_nlook++;
		kn->kn_status |= KN_LOOKED;
	}
}

void
knote_activate(struct kqueue *kq, struct knote *kn)
{
	kn->kn_status |= KN_ACTIVE;
	knote_relist(kq, kn);
}

void
knote_deactivate(struct kqueue *kq, struct knote *kn)
{
	kn->kn_status &= (uint8_t)~KN_ACTIVE;
	knote_relist(kq, kn);
}

const struct ext *
knote_ext(const struct kqueue *kq, const struct knote *kn)
{
	return ext_get(&kq->kq_pool.kp_ext, kn->kn_slot);
}

void
knote_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	const struct filterops *fo = filter_of(kn);

	if (fo->fo_note != NULL)
		fo->fo_note(kq, kn, hint);
	else
		knote_activate(kq, kn);
}

/* Whether epoll watches the knote's descriptor for it. */
static bool
knote_polled(const struct filterops *fo, const struct knote *kn)
{
	return fo->fo_poll != 0 && (kn->kn_status & KN_FILE) == 0;
}

/*
 * Has epoll look at the condition of a knote again.  Where it shares its item
 * and that stays as it is, only this knote is to be told, so it looks itself,
 * and what epoll has to report already must not tell it a second time.
 */
static int
knote_poll(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	int result = watch_update(kq, (int)kn->kn_ident, kn);
	struct kevent scratch = { .flags = 0 };

	if (result <= 0)
		return result;
	if (result == WATCH_ASK)
		kqueue_drain(kq);
	if (result == WATCH_ASK && fo->fo_event(kq, kn, 0, &scratch))
		knote_activate(kq, kn);
	else if ((kn->kn_status & KN_FORCED) == 0)
		knote_deactivate(kq, kn);
	return 0;
}

/* Looks at the condition of a knote that epoll does not watch. */
static void
knote_look(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	struct kevent scratch = { .flags = 0 };

	if (!knote_polled(fo, kn) && (kn->kn_status & KN_ACTIVE) == 0 &&
	    fo->fo_event(kq, kn, 0, &scratch))
		kn->kn_status |= KN_ACTIVE;
	knote_relist(kq, kn);
}

void
knote_look_all(struct kqueue *kq)
{
	struct knote *kn, *next;

	for (kn = kq->kq_look.kl_first; kn != NULL; kn = next) {
		next = kn->kn_after;
		if (filter_of(kn)->fo_look(kq, kn))
			knote_activate(kq, kn);
	}
}

void
knote_rescan(struct kqueue *kq)
{
	struct knote *kn;

	for (uint32_t slot = 1; slot < kq->kq_pool.kp_used; slot++) {
		kn = knote_at(&kq->kq_pool, slot);
		if (kn->kn_filter == 0 || (kn->kn_status & KN_DISABLED) != 0)
			continue;
		if (filter_of(kn)->fo_again != NULL)
			filter_of(kn)->fo_again(kq, kn);
		else if (knote_polled(filter_of(kn), kn))
			knote_poll(kq, filter_of(kn), kn);
		else
			knote_look(kq, filter_of(kn), kn);
	}
}

/* Changes. */

static void
knote_enable(struct kqueue *kq, const struct filterops *fo, struct knote *kn, bool enabled)
{
	if (enabled == ((kn->kn_status & KN_DISABLED) == 0))
		return;
	if (enabled)
		kn->kn_status &= (uint8_t)~KN_DISABLED;
	else
		kn->kn_status |= KN_DISABLED;
	knote_relist(kq, kn);
	if (fo->fo_enable != NULL)
		fo->fo_enable(kq, kn, enabled);
}

/* Off the lists, out of its chain; its source forgets it. */
static void
knote_retire(struct kqueue *kq, struct knote *kn)
{
	const struct filterops *fo = filter_of(kn);
	bool polled = knote_polled(fo, kn);
	int fd = (int)kn->kn_ident;

	kn->kn_status |= KN_DISABLED;	/* off the lists */
	knote_relist(kq, kn);
	if (fo->fo_detach != NULL)
		fo->fo_detach(kq, kn);
	registry_unlink(kq, fo, kn);
	if (polled && !kqueue_ending(kq)) {
		watch_forget(kq, fd, kn);
		watch_update(kq, fd, NULL);
	}
}

/*
 * A registration with EV_DISPATCH2 has ended, which its owner is still to be
 * told, by an event with how (EV_DELETE or EV_VANISHED), once it is enabled.
 * Nothing else is left of it.  fd: its descriptor is open, so it stays in the
 * watch, which is told of the closing; the others are in the hash.
 */
static void
knote_end(struct kqueue *kq, struct knote *kn, bool fd, unsigned how)
{
	uint8_t disabled = kn->kn_status & KN_DISABLED;
	unsigned filter = kn->kn_filter;

	knote_retire(kq, kn);
	if (filter != FILTER_GONE && filter != FILTER_GONE_FD)
		kn->kn_aux = filter;
	kn->kn_filter = fd ? FILTER_GONE_FD : FILTER_GONE;
	kn->kn_sfflags = how;
	kn->kn_flags = (kn->kn_flags & EV_VANISHED) | EV_DISPATCH2;
	kn->kn_status = disabled | KN_ACTIVE;
	registry_relink(kq, kn);
	knote_relist(kq, kn);
}

/* The descriptor of a knote is closed. */
static void
knote_shut(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_flags & EV_VANISHED) == 0) {
		knote_remove(kq, kn);
		return;
	}
	knote_end(kq, kn, false, kn->kn_filter == FILTER_GONE_FD ? kn->kn_sfflags : EV_VANISHED);
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

/* The last event of a registration was delivered. */
static void
knote_finish(struct kqueue *kq, struct knote *kn, unsigned flags)
{
	bool told = (kn->kn_flags & EV_DISPATCH2) != EV_DISPATCH2 || (flags & EV_DELETE) != 0;

	/* Of a descriptor that is closed: the number may have a registration like it again. */
	if (!told && kn->kn_filter == FILTER_GONE)
		told = registry_find(kq, filter_table[kn->kn_aux], kn->kn_ident, kn->kn_aux,
		    EV_UDATA_SPECIFIC, kn->kn_udata) != NULL;
	if (told) {
		knote_remove(kq, kn);
		return;
	}
	kn->kn_status |= KN_DISABLED;
	knote_end(kq, kn, filter_of(kn)->fo_fd, EV_DELETE);
}

/* The number turns out to be another descriptor's: what was registered before kn is void. */
static void
knote_remove_others(struct kqueue *kq, struct knote *kn)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)kn->kn_ident);
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

struct knote *
knote_find(struct kqueue *kq, uintptr_t ident, const struct knote *kn)
{
	return registry_find(kq, filter_of(kn), ident, kn->kn_filter, kn->kn_flags, kn->kn_udata);
}

struct knote *
knote_copy(struct kqueue *kq, const struct knote *kn, uintptr_t ident)
{
	struct knote *copy = registry_take(kq);
	struct ext ext = *knote_ext(kq, kn);

	if (copy == NULL)
		return NULL;
	copy->kn_ident = ident;
	copy->kn_filter = kn->kn_filter;
	copy->kn_flags = kn->kn_flags;
	copy->kn_sfflags = kn->kn_sfflags;
	copy->kn_udata = kn->kn_udata;
	if (ext_set(&kq->kq_pool.kp_ext, copy->kn_slot, &ext) == 0 &&
	    registry_link(kq, filter_of(copy), copy) == 0)
		return copy;
	registry_give(kq, copy);
	return NULL;
}

static int
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
static int
knote_touch_ext(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	struct ext_table *table = &kq->kq_pool.kp_ext;
	struct ext before;
	int error;

	if (ext == NULL || (kev->flags & EV_KEEPUDATA) != 0)
		return knote_touch(kq, fo, kn, kev);
	before = *ext_get(table, kn->kn_slot);
	error = ext_set(table, kn->kn_slot, ext);
	if (error < 0)
		return error;
	error = knote_touch(kq, fo, kn, kev);
	if (error < 0)
		ext_set(table, kn->kn_slot, &before);
	return error;
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
}

static int
knote_update(struct kqueue *kq, const struct filterops *fo, struct knote *kn,
    const struct kevent *kev, const struct ext *ext)
{
	struct ext ext_before = *knote_ext(kq, kn);
	struct knote before = *kn;
	int error = knote_touch_ext(kq, fo, kn, kev, ext);

	if (error < 0)
		return error;
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
	error = knote_again(kq, fo, kn, kev->flags);
	if (error < 0)
		knote_restore(kq, fo, kn, &before, &ext_before);
	return error;
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

int
knote_change(struct kqueue *kq, struct kevent *kev, const struct ext *ext)
{
	const struct filterops *fo = filter_find(kev->filter);
	struct knote *kn, *gone = NULL;
	int error;

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

/* Delivery. */

bool
knote_deliver(struct kqueue *kq, struct knote *kn, uint32_t revents, struct eventlist *out)
{
	const struct filterops *fo = filter_of(kn);
	struct kevent event = {
		.ident = kn->kn_ident,
		.filter = (short)-kn->kn_filter,
		.udata = kn->kn_udata,
	};

	if (!fo->fo_event(kq, kn, revents, &event) && (kn->kn_status & KN_FORCED) == 0)
		return false;
	event.flags |= (unsigned short)(kn->kn_flags & ~EV_VANISHED);
	eventlist_put(out, &event, knote_ext(kq, kn));
	if ((event.flags & EV_ONESHOT) != 0) {
		knote_finish(kq, kn, event.flags);
		return true;
	}
	/* Epoll itself goes on to tell of what it watches for one. */
	if ((kn->kn_status & KN_ACTIVE) != 0 && ((kn->kn_flags & EV_CLEAR) != 0 ||
	    (knote_polled(fo, kn) && !watch_shared(kq, kn))))
		knote_deactivate(kq, kn);
	if ((kn->kn_flags & EV_CLEAR) != 0)
		kn->kn_fflags = 0;
	if (fo->fo_delivered != NULL)
		fo->fo_delivered(kq, kn, &event);
	if ((kn->kn_flags & EV_DISPATCH) != 0) {
		knote_enable(kq, fo, kn, false);
		if (knote_polled(fo, kn))
			watch_update(kq, (int)kn->kn_ident, NULL);
	}
	return true;
}

/* Where closes are not seen: whether nothing is open at the knote's number. */
static bool
knote_closed_unseen(const struct knote *kn)
{
	return atomic_load_explicit(&kqueue_blind, memory_order_relaxed) &&
	    filter_of(kn)->fo_fd && fcntl((int)kn->kn_ident, F_GETFD) == -1;
}

void
knote_collect(struct kqueue *kq, struct eventlist *out, int n, struct knote_list *done)
{
	int end = out->el_count + n;
	struct knote *kn;

	while (out->el_count < end && (kn = kq->kq_ready.kl_first) != NULL) {
		if (knote_closed_unseen(kn)) {
			knote_remove(kq, kn);
			continue;
		}
		if (!knote_deliver(kq, kn, 0, out)) {
			knote_deactivate(kq, kn);
			continue;
		}
		/* Still there (a freed one has no filter) and ready: for the next call. */
		if (kn->kn_filter != 0 && (kn->kn_status & KN_QUEUED) != 0) {
			knote_list_remove(&kq->kq_ready, kn);
			knote_list_add(done, kn);
		}
	}
}

/* Removal. */

void
knote_remove(struct kqueue *kq, struct knote *kn)
{
	knote_retire(kq, kn);
	registry_give(kq, kn);
}

void
knote_remove_all(struct kqueue *kq, int fd)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)fd);
	struct knote *kn;

	if (w == NULL)
		return;
	/* Its items left epoll with the file: nothing is to be disarmed. */
	watch_void(w);
	for (uint32_t slot = w->w_knotes; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		kn->kn_status |= KN_FILE;
	}
	while (w->w_knotes != 0)
		knote_shut(kq, knote_at(&kq->kq_pool, w->w_knotes));
}

void
knote_free_all(struct kqueue *kq)
{
	struct knote_pool *pool = &kq->kq_pool;
	struct knote *kn;

	for (uint32_t slot = 1; slot < pool->kp_used; slot++) {
		kn = knote_at(pool, slot);
		if (kn->kn_filter != 0)
			knote_remove(kq, kn);
	}
	registry_free(kq);
}
