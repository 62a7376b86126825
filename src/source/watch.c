/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll(7), and what it does to the unwary:
 *  - EPOLLERR and EPOLLHUP are reported whether asked for or not, so an item
 *    nobody wants must go: with events 0 it would spin at end of file.
 *  - An item belongs to (file, number).  close() removes it only with the last
 *    descriptor of the file; a duplicate keeps it reporting under a number
 *    that is no longer the program's.  interpose/close.c removes items at
 *    close(); the generation in the data word voids what was under way.
 *  - EPOLL_CTL_MOD looks at the condition again and reports it, edge or not.
 *    Where close() is not seen (MODE_BLIND), a level-triggered item is
 *    one-shot for the kernel, so that one that was left behind, and cannot be
 *    named any more, does not report for ever; arming it again shows if it was.
 *  - EPOLLONESHOT, once fired, is silent at EPOLLHUP too, and MOD re-arms it.
 *  - Files and directories are refused with EPERM.
 */
#include "source/watch_item.h"

#include "fdtable.h"
#include "filter.h"
#include "hidden.h"
#include "kqueue.h"
#include "mem.h"
#include "source/stray.h"

#include <errno.h>
#include <string.h>

struct watch *
watch_get(struct kqueue *kq, int fd)
{
	struct watch_table *table = &kq->kq_watches;
	uint32_t i = (uint32_t)fd >> WATCH_CHUNK_SHIFT;
	struct watch **chunks, *w;
	uint32_t n = table->wt_chunks;

	if (i >= n) {
		while (n <= i)
			n = n == 0 ? 8 : n * 2;
		chunks = mem_grow(table->wt_chunk, n, sizeof(*chunks));
		if (chunks == NULL)
			return NULL;
		memset(chunks + table->wt_chunks, 0, (n - table->wt_chunks) * sizeof(*chunks));
		table->wt_chunk = chunks;
		table->wt_chunks = n;
	}
	if (table->wt_chunk[i] == NULL) {
		table->wt_chunk[i] = mem_alloc(WATCH_CHUNK * sizeof(*w));
		if (table->wt_chunk[i] == NULL)
			return NULL;
	}
	w = watch_find(table, (uint32_t)fd);
	if (w->w_knotes == 0) {
		w->w_epoch = fdtable_epoch(fd);
		/* No item tells whether the number is another file by now, if it was closed unseen. */
		if (((w->w_armed[0] | w->w_armed[1] | w->w_armed[2]) & WATCH_PRESENT) == 0)
			w->w_kind = FD_UNKNOWN;
	}
	return w;
}

void
watch_uncounted(struct kqueue *kq, uint32_t fd)
{
	struct watch_table *table = &kq->kq_watches;
	uint32_t i = fd >> WATCH_CHUNK_SHIFT, n = table->wt_tolds;
	struct watch_told **tolds;

	if (i >= n) {
		while (n <= i)
			n = n == 0 ? 8 : n * 2;
		tolds = mem_grow(table->wt_told, n, sizeof(*tolds));
		if (tolds == NULL)
			return;
		memset(tolds + table->wt_tolds, 0, (n - table->wt_tolds) * sizeof(*tolds));
		table->wt_told = tolds;
		table->wt_tolds = n;
	}
	if (table->wt_told[i] != NULL)
		return;
	table->wt_told[i] = mem_alloc(sizeof(**tolds));
	for (uint32_t j = 0; table->wt_told[i] != NULL && j < WATCH_CHUNK; j++)
		table->wt_told[i]->to_tag[j] = WATCH_UNTOLD;
}

/* What is told of an item may be otherwise from now on. */
static inline void
watch_untell(const struct watch_table *table, int fd)
{
	struct watch_told *told = watch_told_of(table, (uint32_t)fd);

	if (told != NULL)
		told->to_tag[(uint32_t)fd & (WATCH_CHUNK - 1)] = WATCH_UNTOLD;
}

/* The number was closed. */
__attribute__((noinline)) static void
watch_new(struct kqueue *kq, int fd, struct watch *w)
{
	knote_remove_all(kq, fd);
	watch_void(kq, fd, w);
	w->w_epoch = fdtable_epoch(fd);
}

struct watch *
watch_check(struct kqueue *kq, int fd)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)fd);

	if (w != NULL && w->w_epoch != fdtable_epoch(fd))
		watch_new(kq, fd, w);
	return w == NULL || w->w_knotes == 0 ? NULL : w;
}

void
watch_scan(struct kqueue *kq)
{
	for (uint32_t i = 0; i < kq->kq_watches.wt_chunks; i++)
		for (uint32_t j = 0; kq->kq_watches.wt_chunk[i] != NULL && j < WATCH_CHUNK; j++)
			watch_check(kq, (int)(i << WATCH_CHUNK_SHIFT | j));
}

void
watch_free_all(struct kqueue *kq)
{
	for (uint32_t i = 0; i < kq->kq_watches.wt_chunks; i++)
		mem_free(kq->kq_watches.wt_chunk[i]);
	for (uint32_t i = 0; i < kq->kq_watches.wt_tolds; i++)
		mem_free(kq->kq_watches.wt_told[i]);
	mem_free(kq->kq_watches.wt_chunk);
	mem_free(kq->kq_watches.wt_told);
	memset(&kq->kq_watches, 0, sizeof(kq->kq_watches));
}

void
watch_void(struct kqueue *kq, int fd, struct watch *w)
{
	watch_untell(&kq->kq_watches, fd);
	memset(w->w_armed, 0, sizeof(w->w_armed));
	for (unsigned lane = 0; lane < WATCH_LANES; lane++)
		w->w_gen[lane]++;
	w->w_lane = 0;
	w->w_kind = 0;
}

bool
watch_shared(struct kqueue *kq, const struct knote *kn)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)kn->kn_ident);

	return (w->w_lane & WATCH_SHARED(watch_direction(kn))) != 0;
}

/* How many knotes, enabled or not, epoll watches the descriptor for. */
static unsigned
watch_sharers(struct kqueue *kq, const struct watch *w, unsigned direction)
{
	unsigned count = 0;
	struct knote *kn;

	for (uint32_t slot = w->w_knotes; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		count += filter_of(kn)->fo_poll != 0 && (kn->kn_status & KN_FILE) == 0 &&
		    watch_direction(kn) == direction;
	}
	return count;
}

void
watch_forget(struct kqueue *kq, int fd, struct knote *kn)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)fd);
	unsigned direction = watch_direction(kn);
	unsigned lane = watch_lane(w, direction);

	/* What is under way is for the others, too. */
	if ((w->w_lane & WATCH_SHARED(direction)) != 0 && watch_sharers(kq, w, direction) > 0)
		return;
	w->w_lane &= (uint8_t)~WATCH_SHARED(direction);
	/* Only an item that watch_update() is about to change may change its generation. */
	if ((w->w_armed[lane] & 1u << direction) != 0)
		w->w_gen[lane]++;
	w->w_lane &= (uint8_t)~(1u << direction);
}

static uint32_t
watch_events(unsigned bits)
{
	if (mode_is(MODE_BLIND) && (bits & WATCH_MODE) == 0)
		bits |= WATCH_ONESHOT;
	if (bits == WATCH_IN)
		return EPOLLIN | EPOLLRDHUP;
	return ((bits & WATCH_IN) != 0 ? EPOLLIN | EPOLLRDHUP : 0) |
	    ((bits & WATCH_OUT) != 0 ? EPOLLOUT : 0) |
	    ((bits & WATCH_PRI) != 0 ? EPOLLPRI | EPOLLRDHUP : 0) |
	    ((bits & WATCH_EDGE) != 0 ? EPOLLET : 0) |
	    ((bits & WATCH_ONESHOT) != 0 ? EPOLLONESHOT : 0);
}

/*
 * The number may be closed while we hold the queue's lock, and opened again:
 * then the item that was just made is its new owner's, and nobody would come
 * for it.  The close was counted before anything else.
 */
static bool
watch_overtaken(const _Atomic int *ep, int fd, const struct watch *w)
{
	if (w->w_epoch == fdtable_epoch(fd))
		return false;
	hidden_epoll_ctl_in(ep, EPOLL_CTL_DEL, fd, NULL);
	return true;
}

/* Makes the item of one lane what bits say. */
__attribute__((noinline)) static int
watch_make(struct kqueue *kq, int fd, struct watch *w, unsigned lane, unsigned bits)
{
	unsigned armed = w->w_armed[lane];
	int saved = errno, error = lane == 0 ? 0 : kqueue_get_nested(kq, lane);
	const _Atomic int *ep = lane == 0 ? &kq->kq_ep : &kq->kq_nested[lane - 1];
	uint32_t gen = w->w_gen[lane];
	struct epoll_event item = { .events = watch_events(bits) };

	if (error < 0)
		return error;
	error = 0;
	/* It is told of anew: what is under way is void, and its count with it (early.h). */
	if (((bits | armed) & WATCH_ONESHOT) != 0 && (armed & WATCH_PRESENT) != 0)
		w->w_gen[lane]++;
	item.data.u64 = (uint64_t)w->w_gen[lane] << 32 | (uint32_t)fd;
	if (bits == 0) {
		w->w_armed[lane] = 0;
		hidden_epoll_ctl_in(ep, EPOLL_CTL_DEL, fd, NULL);
	} else if (hidden_epoll_ctl_in(ep, (armed & WATCH_PRESENT) != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
	    fd, &item) == 0 || (errno == EEXIST && hidden_epoll_ctl_in(ep, EPOLL_CTL_MOD, fd, &item) == 0)) {
		w->w_armed[lane] = (uint8_t)(bits | WATCH_PRESENT);
		if (watch_overtaken(ep, fd, w)) {
			w->w_armed[lane] = 0;
			error = -EBADF;
		}
	} else {
		error = errno == ELOOP ? -EINVAL : -errno;
		if (error == -ENOENT && w->w_epoch != fdtable_epoch(fd))
			error = -EBADF;		/* and opened again meanwhile */
		w->w_armed[lane] = 0;
		w->w_gen[lane] = gen;
	}
	errno = saved;
	return error;
}

/* The same, unless it is so already; again: in any case. */
static inline int
watch_set(struct kqueue *kq, int fd, struct watch *w, unsigned lane, unsigned bits, bool again)
{
	if ((w->w_armed[lane] & ~WATCH_PRESENT) == bits && !again) {
		/* What has fired once may stay, silent; but a queue's would make cycles that are none. */
		if (w->w_armed[lane] != WATCH_PRESENT || w->w_knotes != 0 || fdtable_queue(fd) == NULL)
			return 0;
	}
	return watch_make(kq, fd, w, lane, bits);
}

/* What is read and what is written must both be level-triggered in one item. */
static bool
watch_conflict(const struct watch *w, const unsigned want[])
{
	return want[WATCH_READ] != 0 && want[WATCH_WRITE] != 0 &&
	    ((want[WATCH_READ] | want[WATCH_WRITE]) & WATCH_MODE) != 0 &&
	    watch_lane(w, WATCH_READ) == watch_lane(w, WATCH_WRITE);
}

/* If they are not, the newcomer moves to the other lane; of two old ones, the parked one. */
static void
watch_separate(struct watch *w, const unsigned want[])
{
	unsigned armed = w->w_armed[watch_lane(w, WATCH_READ)];
	bool writer;		/* which of the two leaves */

	if ((armed & WATCH_EVENTS) == WATCH_EVENTS)
		writer = (want[WATCH_WRITE] & WATCH_MODE) != 0;
	else
		writer = (armed & WATCH_IN) != 0;
	w->w_lane ^= (uint8_t)(1u << (writer ? WATCH_WRITE : WATCH_READ));
}

/* What the enabled knotes of each direction want; from the second one on, it is shared. */
static void
watch_wants(struct kqueue *kq, struct watch *w, unsigned want[])
{
	uint8_t seen = 0, bit;
	bool clear = false;
	struct knote *kn;

	memset(want, 0, WATCH_DIRECTIONS * sizeof(want[0]));
	for (uint32_t slot = w->w_knotes; slot != 0; slot = kn->kn_next) {
		kn = knote_at(&kq->kq_pool, slot);
		if (filter_of(kn)->fo_poll == 0 || (kn->kn_status & KN_FILE) != 0)
			continue;
		bit = WATCH_SHARED(watch_direction(kn));
		w->w_lane |= seen & bit;
		seen |= bit;
		clear |= (kn->kn_flags & EV_CLEAR) != 0;
		if ((kn->kn_status & KN_DISABLED) == 0)
			want[watch_direction(kn)] |= watch_want(kn);
	}
	kq->kq_edges |= clear &&
	    (w->w_lane & (WATCH_SHARED(0) | WATCH_SHARED(1) | WATCH_SHARED(2))) != 0;
	for (unsigned d = 0; d < WATCH_DIRECTIONS; d++)
		if (want[d] != 0 && (w->w_lane & WATCH_SHARED(d)) != 0)
			want[d] = (want[d] & ~WATCH_MODE) | WATCH_EDGE;
}

/* Whether the item that epoll has is this descriptor's: adding it again changes nothing. */
static int
watch_probe(struct kqueue *kq, int fd, struct watch *w, unsigned lane)
{
	struct epoll_event item = { .events = 0, .data.u64 = WATCH_NOBODY };
	const _Atomic int *ep = lane == 0 ? &kq->kq_ep : &kq->kq_nested[lane - 1];
	int saved = errno, error = 0;

	if (hidden_epoll_ctl_in(ep, EPOLL_CTL_ADD, fd, &item) == 0) {
		hidden_epoll_ctl_in(ep, EPOLL_CTL_DEL, fd, NULL);
		error = -ENOENT;
	} else if (errno != EEXIST) {
		error = -errno;
	}
	if (error < 0)
		w->w_armed[lane] = 0;
	errno = saved;
	return error;
}

/*
 * Looked up at the first event.  What has no count would never show that it is
 * another file than the one that epoll reports, so that is found out now.
 */
enum fdkind
watch_find_kind(struct kqueue *kq, int fd, struct watch *w)
{
	enum fdkind kind;
	int error = fdkind_find(fd, &kind);
	uint8_t armed;

	if (error < 0)
		return error == -EBADF ? FD_UNKNOWN : FD_FAILED;
	if (kind == FD_STREAM || kind == FD_DATAGRAM || kind == FD_PIPE)
		return kind;
	for (unsigned lane = 0; lane < WATCH_LANES; lane++) {
		armed = w->w_armed[lane];
		if ((armed & WATCH_PRESENT) == 0 || watch_probe(kq, fd, w, lane) == 0)
			continue;
		w->w_armed[lane] = armed;	/* what is there still reports */
		return FD_UNKNOWN;
	}
	return kind;
}

int
watch_confirm(struct kqueue *kq, struct knote *kn)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)kn->kn_ident);
	unsigned lane = watch_lane(w, watch_direction(kn));

	if ((w->w_armed[lane] & WATCH_PRESENT) == 0)
		return 0;
	/* Any other item was just armed anew, which tells as much, unless it is to be silent. */
	if ((kn->kn_status & KN_DISABLED) == 0 && ((w->w_armed[lane] & WATCH_MODE) != 0 ||
	    (w->w_armed[lane] & 1u << watch_direction(kn)) == 0 || mode_is(MODE_BLIND)))
		return 0;
	return watch_probe(kq, (int)kn->kn_ident, w, lane);
}

/*
 * Makes the items what bits say.  What is new comes first: only that can be
 * refused, and then it is undone before anything else has changed.
 */
static int
watch_apply(struct kqueue *kq, int fd, struct watch *w, const unsigned bits[], unsigned repeat)
{
	unsigned added = 0;
	int error = 0;

	for (unsigned lane = 0; lane < WATCH_LANES && error == 0; lane++)
		if (bits[lane] != 0 && (w->w_armed[lane] & WATCH_PRESENT) == 0) {
			error = watch_set(kq, fd, w, lane, bits[lane], false);
			added |= 1u << lane;
		}
	if (error < 0) {
		for (unsigned lane = 0; added >> lane != 0; lane++)
			if ((added & 1u << lane) != 0 && w->w_armed[lane] != 0)
				watch_set(kq, fd, w, lane, 0, false);
		return error;
	}
	for (unsigned lane = 0; lane < WATCH_LANES && error == 0; lane++)
		if ((added & 1u << lane) == 0)
			error = watch_set(kq, fd, w, lane, bits[lane], lane == repeat);
	return error;
}

/*
 * READ and WRITE need a lane each.  Without a descriptor for the second, a level
 * that is only parked need not fail: both are shared, and look for themselves.
 */
static int
watch_part(struct kqueue *kq, struct watch *w, unsigned want[], bool must)
{
	int error = kqueue_get_nested(kq, 1);

	if (error >= 0) {
		watch_separate(w, want);
		return 0;
	}
	if (must)
		return error;
	for (unsigned d = WATCH_READ; d <= WATCH_WRITE; d++) {
		w->w_lane |= WATCH_SHARED(d);
		want[d] = (want[d] & ~WATCH_MODE) | WATCH_EDGE;
	}
	return 0;
}

/* Whether there is one knote at the most and no more than the first item, and it has no need of another. */
static inline bool
watch_is_simple(struct kqueue *kq, const struct watch *w)
{
	const struct knote *kn = w->w_knotes == 0 ? NULL : knote_at(&kq->kq_pool, w->w_knotes);

	return w->w_lane == 0 && (w->w_armed[1] | w->w_armed[2]) == 0 &&
	    (kn == NULL || (kn->kn_next == 0 && filter_of(kn)->fo_poll != 0 &&
	    watch_direction(kn) != WATCH_EXCEPT));
}

/* What watch_update() does then. */
static inline __attribute__((always_inline)) int
watch_update_simple(struct kqueue *kq, int fd, struct watch *w, const struct knote *again)
{
	const struct knote *kn = w->w_knotes == 0 ? NULL : knote_at(&kq->kq_pool, w->w_knotes);
	unsigned bits = kn == NULL || (kn->kn_status & (KN_FILE | KN_DISABLED)) != 0 ? 0 : watch_want(kn);

	return watch_set(kq, fd, w, 0, bits,
	    again != NULL && (mode_is(MODE_BLIND) || (watch_want(again) & WATCH_MODE) != 0));
}

/* And otherwise. */
__attribute__((noinline)) static int
watch_update_all(struct kqueue *kq, int fd, struct watch *w, struct knote *again)
{
	unsigned want[WATCH_DIRECTIONS], bits[WATCH_LANES] = { 0 };
	unsigned armed = 0, repeat = WATCH_LANES;
	uint8_t before = w->w_lane;
	bool shared;
	int error = 0;

	watch_wants(kq, w, want);
	if (watch_conflict(w, want))
		error = watch_part(kq, w, want, again != NULL);
	for (unsigned direction = 0; direction < WATCH_DIRECTIONS; direction++)
		bits[watch_lane(w, direction)] |= want[direction];
	shared = again != NULL && (w->w_lane & WATCH_SHARED(watch_direction(again))) != 0;
	if (shared)
		armed = w->w_armed[watch_lane(w, watch_direction(again))];
	else if (again != NULL && (mode_is(MODE_BLIND) || (watch_want(again) & WATCH_MODE) != 0))
		repeat = watch_lane(w, watch_direction(again));
	if (error == 0)
		error = watch_apply(kq, fd, w, bits, repeat);
	if (error < 0)
		w->w_lane = before;
	if (!shared || error < 0)
		return error;
	if (armed != w->w_armed[watch_lane(w, watch_direction(again))])
		return WATCH_TOLD;
	error = watch_probe(kq, fd, w, watch_lane(w, watch_direction(again)));
	return error < 0 ? error : WATCH_ASK;
}

static inline int
watch_update_either(struct kqueue *kq, int fd, struct knote *again)
{
	struct watch *w = watch_at(&kq->kq_watches, (uint32_t)fd);

	return watch_is_simple(kq, w) ? watch_update_simple(kq, fd, w, again) :
	    watch_update_all(kq, fd, w, again);
}

__attribute__((noinline)) static int
watch_update_untold(struct kqueue *kq, int fd, struct knote *again)
{
	watch_untell(&kq->kq_watches, fd);
	return watch_update_either(kq, fd, again);
}

int
watch_update(struct kqueue *kq, int fd, struct knote *again)
{
	return kq->kq_watches.wt_tolds != 0 ? watch_update_untold(kq, fd, again) : watch_update_either(kq, fd, again);
}

void
watch_remove_stray(struct kqueue *kq, int fd, unsigned lane)
{
	struct watch *w = watch_find(&kq->kq_watches, (uint32_t)fd);
	unsigned bits;

	if (!stray_remove(kq, lane, fd) || w == NULL)
		return;
	bits = w->w_armed[lane] & ~WATCH_PRESENT;
	w->w_armed[lane] = 0;
	if (bits != 0)
		(void)watch_set(kq, fd, w, lane, bits, false);
}

bool
watch_verify_unseen(struct kqueue *kq, int fd, struct watch *w, unsigned lane)
{
	unsigned bits = w->w_armed[lane] & ~WATCH_PRESENT;
	const _Atomic int *ep = lane == 0 ? &kq->kq_ep : &kq->kq_nested[lane - 1];
	int saved = errno;
	struct epoll_event item = {
		.events = watch_events(bits),
		.data.u64 = (uint64_t)w->w_gen[lane] << 32 | (uint32_t)fd
	};
	bool there;

	if ((bits & WATCH_MODE) == 0) {
		there = hidden_epoll_ctl_in(ep, EPOLL_CTL_MOD, fd, &item) == 0;
	} else if (hidden_epoll_ctl_in(ep, EPOLL_CTL_ADD, fd, &item) == 0) {
		hidden_epoll_ctl_in(ep, EPOLL_CTL_DEL, fd, NULL);
		there = false;
	} else {
		there = errno == EEXIST;
	}
	errno = saved;
	if (!there) {
		knote_remove_all(kq, fd);
		if (kq->kq_suspect)
			watch_remove_stray(kq, fd, lane);
	}
	return there;
}
