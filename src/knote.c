/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations: listed, looked at, delivered, ended; knote_change.c makes and changes them. */
#include "knote.h"

#include "eventlist.h"
#include "filter.h"
#include "kqueue.h"
#include "registry.h"
#include "source/watch_item.h"

#include <fcntl.h>

/*
 * The lists.  A knote is in kq_ready while it is active and enabled; one on a
 * file is in kq_look while it is enabled and not active, since no source tells
 * of lseek().
 */

/* Changed with the lock held only, so no other writer comes between. */
static inline void
knote_count(_Atomic uint32_t *count, uint32_t more)
{
	uint32_t now = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, now + more, memory_order_relaxed);
}

#define KNOTE_ONE_LESS	UINT32_MAX

static inline void
knote_list_ready(struct kqueue *kq, struct knote *kn)
{
	knote_list_add(&kq->kq_pool, &kq->kq_ready, kn);
	knote_count(&kq->kq_nready, 1);
	kq->kq_news = true;
	kn->kn_status |= KN_QUEUED;
}

static inline void
knote_unlist_ready(struct kqueue *kq, struct knote *kn)
{
	knote_list_remove(&kq->kq_pool, &kq->kq_ready, kn);
	knote_count(&kq->kq_nready, KNOTE_ONE_LESS);
	kn->kn_status &= (uint8_t)~KN_QUEUED;
}

static inline void
knote_relist_inline(struct kqueue *kq, struct knote *kn)
{
	bool enabled = (kn->kn_status & KN_DISABLED) == 0;
	bool ready = enabled && (kn->kn_status & KN_ACTIVE) != 0;
	bool look = enabled && !ready && (kn->kn_status & KN_LOOK) != 0;

	if ((kn->kn_status & KN_QUEUED) != 0 && !ready)
		knote_unlist_ready(kq, kn);
	if ((kn->kn_status & KN_LOOKED) != 0 && !look) {
		knote_list_remove(&kq->kq_pool, &kq->kq_look, kn);
		knote_count(&kq->kq_nlook, KNOTE_ONE_LESS);
		kn->kn_status &= (uint8_t)~KN_LOOKED;
	}
	if ((kn->kn_status & KN_QUEUED) == 0 && ready)
		knote_list_ready(kq, kn);
	if ((kn->kn_status & KN_LOOKED) == 0 && look) {
		knote_list_add(&kq->kq_pool, &kq->kq_look, kn);
		knote_count(&kq->kq_nlook, 1);
		kn->kn_status |= KN_LOOKED;
	}
}

void
knote_relist(struct kqueue *kq, struct knote *kn)
{
	knote_relist_inline(kq, kn);
}

void
knote_activate(struct kqueue *kq, struct knote *kn)
{
	if (kn->kn_status == 0) {
		kn->kn_status = KN_ACTIVE;
		knote_list_ready(kq, kn);
		return;
	}
	kn->kn_status |= KN_ACTIVE;
	knote_relist(kq, kn);
}

/* What looks for itself while it is not ready, goes on to do so. */
static inline void
knote_deactivate_inline(struct kqueue *kq, struct knote *kn)
{
	kn->kn_status &= (uint8_t)~KN_ACTIVE;
	if ((kn->kn_status & (KN_QUEUED | KN_LOOK | KN_LOOKED)) == KN_QUEUED)
		knote_unlist_ready(kq, kn);
	else
		knote_relist(kq, kn);
}

void
knote_deactivate(struct kqueue *kq, struct knote *kn)
{
	knote_deactivate_inline(kq, kn);
}

const struct ext *
knote_ext(const struct kqueue *kq, const struct knote *kn)
{
	return ext_get(&kq->kq_pool.kp_ext, kn->kn_slot);
}

/*
 * Where the knote shares its item and that stays as it is, only this knote is to be
 * told, so it looks itself, and what epoll has to report already must not tell it a
 * second time.
 */
int
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

/*
 * The filter has no judgement.  A level that waited beside epoll (KN_PARKED) is epoll's again once
 * its condition holds.
 */
__attribute__((noinline)) static void
knote_note_any(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	struct kevent scratch = { .flags = 0 };

	if (!knote_polled(fo, kn) || (kn->kn_flags & EV_CLEAR) != 0) {
		knote_activate(kq, kn);
	} else if (fo->fo_event(kq, kn, 0, &scratch)) {
		kn->kn_status &= (uint8_t)~KN_PARKED;
		if (knote_poll(kq, fo, kn) < 0)
			knote_activate(kq, kn);
	}
}

void
knote_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	const struct filterops *fo = filter_of(kn);

	if (fo->fo_note != NULL)
		fo->fo_note(kq, kn, hint);
	else
		knote_note_any(kq, fo, kn);
}

void
knote_look(struct kqueue *kq, const struct filterops *fo, struct knote *kn)
{
	struct kevent scratch = { .flags = 0 };

	if (!knote_polled(fo, kn) && (kn->kn_status & KN_ACTIVE) == 0 &&
	    fo->fo_event(kq, kn, 0, &scratch))
		kn->kn_status |= KN_ACTIVE;
	knote_relist_inline(kq, kn);
}

void
knote_look_all(struct kqueue *kq)
{
	struct knote *kn;

	for (uint32_t slot = kq->kq_look.kl_first, next; slot != 0; slot = next) {
		kn = knote_at(&kq->kq_pool, slot);
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

void
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

/* It is in one of the lists. */
__attribute__((noinline)) static void
knote_unlist(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_status & KN_QUEUED) != 0)
		knote_unlist_ready(kq, kn);
	else
		knote_relist(kq, kn);
}

/* Off the lists, out of its chain; its source forgets it. */
static void
knote_retire(struct kqueue *kq, struct knote *kn)
{
	const struct filterops *fo = filter_of(kn);
	bool polled = knote_polled(fo, kn);
	int fd = (int)kn->kn_ident;

	kn->kn_status |= KN_DISABLED;
	if ((kn->kn_status & (KN_QUEUED | KN_LOOKED)) != 0)
		knote_unlist(kq, kn);
	if (fo->fo_detach != NULL)
		fo->fo_detach(kq, kn);
	registry_unlink(kq, fo, kn);
	if (polled && !kqueue_ending(kq)) {
		watch_forget(kq, fd, kn);
		watch_update(kq, fd, NULL);
	}
}

/*
 * Nothing else is left of it.  fd: its descriptor is open, so it stays in the
 * watch, which is told of the closing; the others are in the hash.
 */
void
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

void
knote_shut(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_flags & EV_VANISHED) == 0) {
		knote_remove(kq, kn);
		return;
	}
	knote_end(kq, kn, false, kn->kn_filter == FILTER_GONE_FD ? kn->kn_sfflags : EV_VANISHED);
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
		knote_deactivate_inline(kq, kn);
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
	return mode_is(MODE_BLIND) && filter_of(kn)->fo_fd && fcntl((int)kn->kn_ident, F_GETFD) == -1;
}

/* Whether out has the knote's event.  So many knotes and entries at the most are compared in a call. */
#define KNOTE_COMPARISONS	65536

static bool
knote_is_in(const struct knote *kn, const struct eventlist *out, int *comparisons)
{
	struct kevent event;
	struct ext ext;

	if (out->el_count > *comparisons)
		return true;
	*comparisons -= out->el_count;
	for (int i = 0; i < out->el_count; i++) {
		eventlist_get(out, i, &event, &ext);
		if (event.ident == kn->kn_ident && event.filter == -kn->kn_filter &&
		    ((event.flags ^ kn->kn_flags) & EV_UDATA_SPECIFIC) == 0 &&
		    ((event.flags & EV_UDATA_SPECIFIC) == 0 || event.udata == kn->kn_udata))
			return true;
	}
	return false;
}

/* Whether its item may have had it delivered in this call already: what came since waits for the next. */
static bool
knote_reported(struct kqueue *kq, const struct knote *kn)
{
	return knote_polled(filter_of(kn), kn) && !watch_shared(kq, kn) &&
	    watch_at(&kq->kq_watches, (uint32_t)kn->kn_ident)->w_call == kq->kq_call;
}

void
knote_relapse(struct kqueue *kq, struct knote *kn)
{
	knote_deactivate(kq, kn);
	if (knote_polled(filter_of(kn), kn) && !watch_shared(kq, kn))
		watch_update(kq, (int)kn->kn_ident, (watch_want(kn) & WATCH_ONESHOT) != 0 ? kn : NULL);
}

/* One of the ready list. */
__attribute__((noinline)) static void
knote_take_any(struct kqueue *kq, struct knote *kn, struct eventlist *out)
{
	if (knote_closed_unseen(kn)) {
		knote_remove(kq, kn);
		return;
	}
	if (!knote_deliver(kq, kn, 0, out)) {
		knote_relapse(kq, kn);
		return;
	}
	/* A freed one has no filter. */
	if (kn->kn_filter == 0)
		return;
	/* A level that waited for an edge is epoll's again. */
	if ((kn->kn_status & KN_PARKED) != 0 && (kn->kn_flags & EV_CLEAR) == 0) {
		kn->kn_status &= (uint8_t)~KN_PARKED;
		watch_update(kq, (int)kn->kn_ident, NULL);
	}
	/* Still ready: the others have their turn in the next call. */
	if ((kn->kn_status & KN_QUEUED) != 0 && kn->kn_after != 0) {
		knote_list_remove(&kq->kq_pool, &kq->kq_ready, kn);
		knote_list_add(&kq->kq_pool, &kq->kq_ready, kn);
	}
}

/*
 * The usual one is of a source of our own, is told once (EV_CLEAR), and there is no more to it: its
 * event is made where it goes.
 */
static inline bool
knote_is_usual(const struct filterops *fo, const struct knote *kn, const struct eventlist *out)
{
	return kn->kn_status == (KN_ACTIVE | KN_QUEUED) && fo->fo_poll == 0 &&
	    (kn->kn_flags & (EV_CLEAR | EV_DISPATCH | EV_VANISHED)) == EV_CLEAR && !out->el_wide &&
	    !mode_is(MODE_BLIND);
}

/* One of the ready list; *slot becomes the next. */
static inline void
knote_take(struct kqueue *kq, uint32_t *slot, struct eventlist *out)
{
	struct knote *kn = knote_at(&kq->kq_pool, *slot);
	const struct filterops *fo = filter_of(kn);
	struct kevent *event;

	*slot = kn->kn_after;
	if (!knote_is_usual(fo, kn, out)) {
		knote_take_any(kq, kn, out);
		return;
	}
	event = out->el_kevent + out->el_count;
	*event = (struct kevent){
		.ident = kn->kn_ident, .filter = (short)-kn->kn_filter, .udata = kn->kn_udata,
	};
	if (!fo->fo_event(kq, kn, 0, event)) {
		knote_relapse(kq, kn);
		return;
	}
	event->flags |= kn->kn_flags;
	out->el_count++;
	if ((event->flags & EV_ONESHOT) != 0) {
		knote_finish(kq, kn, event->flags);
		return;
	}
	knote_unlist_ready(kq, kn);
	kn->kn_status = 0;
	kn->kn_fflags = 0;
	if (fo->fo_delivered != NULL)
		fo->fo_delivered(kq, kn, event);
}

void
knote_collect(struct kqueue *kq, struct eventlist *out, int n)
{
	uint32_t slot = kq->kq_ready.kl_first, until = kq->kq_ready.kl_last, now;
	int end = out->el_count + n, comparisons = KNOTE_COMPARISONS;
	bool reports = out->el_count > 0;

	for (now = 0; now != until && out->el_count < end;) {
		struct knote *kn = knote_at(&kq->kq_pool, now = slot);

		if (reports && knote_reported(kq, kn) && knote_is_in(kn, out, &comparisons))
			slot = kn->kn_after;
		else
			knote_take(kq, &slot, out);
	}
}

void
knote_collect_late(struct kqueue *kq, struct eventlist *out, int n, uint32_t last)
{
	int end = out->el_count + n, comparisons = KNOTE_COMPARISONS;
	uint32_t slot = kq->kq_ready.kl_last, first = 0, now, until = slot;

	for (; slot != 0 && slot != last; slot = knote_at(&kq->kq_pool, slot)->kn_before)
		first = slot;
	if (first == 0)
		return;
	for (slot = first, now = 0; now != until && out->el_count < end;) {
		struct knote *kn = knote_at(&kq->kq_pool, now = slot);

		if (knote_is_in(kn, out, &comparisons))
			slot = kn->kn_after;
		else
			knote_take(kq, &slot, out);
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
	watch_void(kq, fd, w);
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
