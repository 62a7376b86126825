/* SPDX-License-Identifier: BSD-2-Clause */
/* Events out: what epoll has reported, and what our own sources made ready, as far as there is room. */
#include "call.h"
#include "kqueue.h"
#include "report.h"

/* Room that is left for descriptors: one event is kept for each lane that is still to be asked. */
static int
kevent_left(const struct call *call)
{
	int left = eventlist_left(&call->out) - call->kept;

	for (unsigned lanes = call->lanes; lanes != 0; lanes &= lanes - 1)
		left--;
	return left;
}

void
kevent_place_items(struct call *call)
{
	int left = kevent_left(call);

	call->nitems = left;
	call->items = call->stack;
	if (left > KEVENT_STACK)
		call->items = kevent_items_within(eventlist_at(&call->out, call->out.el_count),
		    call->out.el_wide ? sizeof(struct kevent64_s) : sizeof(struct kevent), left, &call->nitems);
}

/*
 * Hands n reports of a lane to what they are for.  Each leaves room for one
 * event of each behind it, or one with two events would starve the next.
 */
static void
kevent_report(struct call *call, unsigned lane, int n)
{
	bool usual = lane == 0 && !call->out.el_wide && !call->kq->kq_suspect &&
	    !mode_is(MODE_BLIND);
	struct epoll_event item;
	int i = call->first, before, room;

	for (call->first = 0; i < n; i++) {
		if (usual && !SOURCE_IS(call->items[i].data.u64)) {
			struct kevent *events = call->out.el_kevent + call->out.el_count;
			int done = report_usual(call->kq, call->items + i, n - i, events, false);

			report_told(call->kq, events, done);
			call->out.el_count += done;
			i += done;
		}
		if (i == n)
			break;
		item = call->items[i];
		if (SOURCE_IS_KNOTE(item.data.u64)) {
			i += report_processes(call->kq, call->items + i, n - i) - 1;
		} else if (SOURCE_IS(item.data.u64)) {
			call->lanes |= kqueue_report(call->kq, item.data.u64);
		} else {
			before = call->out.el_count;
			room = kevent_left(call) - (n - 1 - i);
			report_watch(call->kq, lane, item.data.u64, item.events, &call->out, room);
			/* There may be more to it, and those behind may not need what is left for them. */
			call->more |= call->out.el_count - before >= room;
		}
	}
}

/* The same, and goes on while epoll has more and there is room. */
static void
kevent_report_all(struct call *call, unsigned lane, int ep, int n)
{
	int before;

	for (;;) {
		before = call->out.el_count;
		kevent_report(call, lane, n);
		if (n < call->nitems || call->items == call->stack ||
		    call->out.el_count == before || kevent_left(call) == 0)
			return;
		kevent_place_items(call);
		n = kqueue_poll(ep, call->items, call->nitems);
	}
}

/*
 * What our own sources made ready, or epoll for knotes that share an item: one
 * with EV_CLEAR is told once of all that epoll has to report until now.
 */
static inline int
kevent_room_for_ready(struct call *call)
{
	struct kqueue *kq = call->kq;
	int room = eventlist_left(&call->out);

	if (kq->kq_edges && kq->kq_ready.kl_first != 0 && room > 0)
		kqueue_drain(kq);
	return room;
}

static void
kevent_collect_ready(struct call *call)
{
	int room = kevent_room_for_ready(call);

	knote_collect(call->kq, &call->out, room);
}

/* n reports of epoll, and those of the lanes they tell of. */
static void
kevent_collect_round(struct call *call, int n)
{
	struct kqueue *kq = call->kq;

	call->more = n == call->nitems;
	kevent_report_all(call, 0, kq->kq_ep, n);
	if (call->lanes == 0 && kq->kq_ready.kl_first == 0) {
		call->kept = 0;
		return;
	}
	for (unsigned lane = 1; call->lanes != 0; lane++) {
		if ((call->lanes & 1u << lane) == 0)
			continue;
		call->lanes &= ~(1u << lane);
		kevent_place_items(call);
		n = kqueue_poll(kq->kq_nested[lane - 1], call->items, call->nitems);
		kevent_report_all(call, lane, kq->kq_nested[lane - 1], n);
	}
}

/* Whether this is the first report again of a row of single ones that came to nothing: then all were seen. */
static bool
kevent_came_round(const struct call *call, int n, uint64_t *first)
{
	/* Among several, one that was put off may have found no room. */
	if (n != 1 || call->nitems != 1)
		return false;
	if (call->items[0].data.u64 == *first)
		return true;
	if (*first == KEVENT_NO_REPORT)
		*first = call->items[0].data.u64;
	return false;
}

/*
 * Our own sources' reports are no events: there may be room for what epoll was not asked for.  What
 * is ready has its turn at epoll, so a level that comes again with nothing in between ends it.
 */
static void
kevent_collect_more(struct call *call, bool keep)
{
	struct kqueue *kq = call->kq;
	uint64_t first = KEVENT_NO_REPORT;

	for (int i = 0; call->more && i < KEVENT_ROUNDS; i++) {
		int before = call->out.el_count, n;
		uint32_t last = kq->kq_ready.kl_last;
		bool round;

		if (keep && call->kept == 0 && kq->kq_ready.kl_first != 0)
			call->kept = 1;
		if (kevent_left(call) <= 0)
			break;
		kevent_place_items(call);
		n = kqueue_poll(kq->kq_ep, call->items, call->nitems);
		round = kevent_came_round(call, n, &first);
		kevent_collect_round(call, n);
		if (call->out.el_count != before || kq->kq_ready.kl_last != last)
			first = KEVENT_NO_REPORT;
		else if (round)
			call->more = false;
	}
}

static void
kevent_collect_late(struct call *call)
{
	uint32_t last = call->kq->kq_ready.kl_last;
	int room;

	kevent_collect_more(call, false);
	room = kevent_room_for_ready(call);
	knote_collect_late(call->kq, &call->out, room, last);
}

/* Whether n reports of epoll are at most the bell. */
static inline bool
kevent_only_bell(const struct call *call, int n)
{
	return n == 0 || (n == 1 && (uint32_t)call->items[0].data.u64 == SOURCE_TAG(SOURCE_BELL, 0));
}

/*
 * The usual case: what there is has kq_ready, and epoll at most the bell and no more than
 * that; or there is room for one only.  False: nothing was delivered.
 */
static inline bool
kevent_collect_own(struct call *call, int n)
{
	struct kqueue *kq = call->kq;

	if (kq->kq_ready.kl_first == 0 || (n == call->nitems && call->out.el_room > 1) ||
	    !kevent_only_bell(call, n))
		return false;
	if (n == 1)
		kqueue_report(kq, call->items[0].data.u64);
	kevent_collect_ready(call);
	return call->out.el_count > 0;
}

int
kevent_collect_bell(struct kqueue *kq, struct epoll_event *item, struct kevent *events, int room)
{
	struct eventlist out = { .el_kevent = events, .el_room = room };
	const struct epoll_event bell = *item;

	if ((uint32_t)item->data.u64 != SOURCE_TAG(SOURCE_BELL, 0) || kq->kq_edges)
		return 0;
	kq->kq_call++;
	kqueue_report(kq, bell.data.u64);
	knote_collect(kq, &out, room);
	/* One that was not to be may have been made where the report is. */
	if (out.el_count == 0)
		*item = bell;
	return out.el_count;
}

/*
 * Events out: n reports of epoll first, then what our own sources made ready.
 * Each kind that has reported left room for one event at least.  What was in
 * kq_ready may be ready no longer; then there is more room for descriptors.
 */
void
kevent_collect_rest(struct call *call, int n)
{
	if (call->first == 0 && kevent_collect_own(call, n))
		return;
	kevent_collect_round(call, n);
	kevent_collect_more(call, true);
	call->kept = 0;
	kevent_collect_ready(call);
	if (call->more)
		kevent_collect_late(call);
}

void
kevent_collect(struct call *call, int n)
{
	call->kq->kq_call++;
	kevent_collect_rest(call, n);
}

void
kevent_collect_again(struct call *call, int n)
{
	struct kqueue *kq = call->kq;

	kq->kq_suspect = ++call->fruitless >= KEVENT_FRUITLESS;
	kq->kq_stuck = false;
	kevent_collect(call, n);
	kq->kq_suspect = false;
	if (!kq->kq_stuck)
		call->nap = 0;
	else if (call->nap < KEVENT_LONGEST_NAP)
		call->nap = call->nap == 0 ? KEVENT_SHORTEST_NAP : call->nap * 2;
}

/*
 * Up to half of the room is kept for what our own sources made ready, the rest
 * is for descriptors.  The ready list comes last; if that left room which epoll
 * had something for, what is new in it comes, too.
 *
 * With room for one event they take turns: of each, while both have some, else
 * epoll is asked every fourth time, since that costs more than to silence the bell.
 */
#define KEVENT_TURNS	3
static int
kevent_share(struct call *call)
{
	uint32_t ready = atomic_load_explicit(&call->kq->kq_nready, memory_order_relaxed);
	int share = call->out.el_room - call->out.el_room / 2;

	if (call->out.el_room == 1) {
		share = call->kq->kq_turns > 0;
		call->kq->kq_turns -= (uint8_t)share;
	}
	return ready < (uint32_t)share ? (int)ready : share;
}

/*
 * What is ready now, without waiting.  A report that came to nothing may have
 * left an edge behind (a parked knote's item is armed anew), and what was ready
 * may be so no longer, so that is asked for again: a call that returns nothing
 * leaves a queue that is not readable.
 */
void
kevent_collect_now(struct call *call)
{
	int n, kept, tries = KEVENT_FRUITLESS + 1;

	do {
		n = 0;
		kept = call->kept = kevent_share(call);
		kevent_place_items(call);
		if (call->nitems > 0)
			n = kqueue_poll(call->kq->kq_ep, call->items, call->nitems);
		if (call->out.el_room == 1 && call->nitems == 1)
			call->kq->kq_turns = kevent_only_bell(call, n) ? KEVENT_TURNS : 1;
		if (tries == KEVENT_FRUITLESS + 1)
			kevent_collect(call, n);
		else
			kevent_collect_again(call, n);
	} while ((n > 0 || kept > 0) && call->out.el_count == 0 && --tries > 0);
}
