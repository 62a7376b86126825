/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer descriptors are absolute, so the kernel itself follows a wall
 * clock that is set, in either direction.  They are in the epoll set with an
 * edge and never read: timerfd_settime(2) forgets expirations, and an edge once
 * collected does not come back.
 */
#include "timerfd.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define NSEC	INT64_C(1000000000)

struct entry {
	int64_t		e_when;
	struct knote	*e_kn;
};

/* Four children to a node, in an array whose places begin at FIRST. */
#define FIRST		1u
#define PARENT(place)	(((place) + 2) / 4)
#define CHILD(place)	((place) * 4 - 2)

#define HEAP_LARGE	1024u

struct heap {
	struct entry	*h_entry;
	uint32_t	h_end;		/* one past the last place in use */
	uint32_t	h_known;	/* knotes that room is kept for */
	uint32_t	h_room;		/* places in h_entry */
	_Atomic int	h_fd;
	int64_t		h_armed;	/* when h_fd goes off, or went off unreported */
	int64_t		h_cost;		/* how long it takes to arm it, as far as is known */
};

/* Its item in the queue's epoll. */
#define TIMERFD_EVENTS		(EPOLLIN | EPOLLET)
#define TIMERFD_TAG(date)	SOURCE_TAG((date) ? SOURCE_DATE : SOURCE_TIMER, 0)

struct timers {
	struct heap	t_heap[2];	/* monotonic, date */
};

int64_t
timerfd_now(bool date)
{
	struct timespec ts;

	clock_gettime(date ? CLOCK_REALTIME : CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NSEC + ts.tv_nsec;
}

static void
heap_put(struct heap *h, uint32_t place, struct entry e)
{
	h->h_entry[place] = e;
	e.e_kn->kn_aux = place;
}

/* Puts e where it belongs between place and the top. */
static void
heap_up(struct heap *h, uint32_t place, struct entry e)
{
	while (place > FIRST && h->h_entry[PARENT(place)].e_when > e.e_when) {
		heap_put(h, place, h->h_entry[PARENT(place)]);
		place = PARENT(place);
	}
	heap_put(h, place, e);
}

/* Puts e where it belongs between place and the bottom. */
static void
heap_down(struct heap *h, uint32_t place, struct entry e)
{
	uint32_t child, least, end;

	while ((child = CHILD(place)) < h->h_end) {
		least = child;
		end = h->h_end - child < 4 ? h->h_end : child + 4;
		while (++child < end)
			if (h->h_entry[child].e_when < h->h_entry[least].e_when)
				least = child;
		if (h->h_entry[least].e_when >= e.e_when)
			break;
		heap_put(h, place, h->h_entry[least]);
		place = least;
	}
	heap_put(h, place, e);
}

/* Takes kn out; its room is kept. */
static void
heap_take(struct heap *h, struct knote *kn)
{
	struct entry last = h->h_entry[--h->h_end];
	uint32_t place = kn->kn_aux;

	kn->kn_aux = TIMERFD_IDLE;
	if (place == h->h_end)
		return;
	if (place > FIRST && h->h_entry[PARENT(place)].e_when > last.e_when)
		heap_up(h, place, last);
	else
		heap_down(h, place, last);
}

/* Makes room for one knote more. */
static int
heap_reserve(struct heap *h)
{
	struct entry *larger;
	uint32_t room;

	if (h->h_known + FIRST >= h->h_room) {
		/*
		 * Large ones grow in small steps: memory counts, and what is left behind goes back to the system.
		 * There are fewer knotes than numbers (registry.c).
		 */
		room = h->h_room + (h->h_room < HEAP_LARGE ? h->h_room : h->h_room / 32) + 64;
		larger = mem_grow(h->h_entry, room, sizeof(*larger));
		if (larger == NULL)
			return -ENOMEM;
		h->h_entry = larger;
		h->h_room = room;
	}
	h->h_known++;
	return 0;
}

static int
heap_open(struct kqueue *kq, struct heap *h, bool date)
{
	int error;
	int fd = timerfd_create(date ? CLOCK_REALTIME : CLOCK_MONOTONIC,
	    TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd == -1)
		return -errno;
	error = hidden_move(fd, &h->h_fd);
	if (error < 0)
		return error;
	error = kqueue_source_add(kq, h->h_fd, TIMERFD_EVENTS, TIMERFD_TAG(date));
	if (error < 0)
		hidden_free(&h->h_fd);
	return error;
}

static int
timerfd_know(struct kqueue *kq, struct knote *kn, bool date)
{
	struct timers *t = kq->kq_timers;
	int error;

	if (t == NULL) {
		t = mem_alloc(sizeof(*t));
		if (t == NULL)
			return -ENOMEM;
		for (int i = 0; i < 2; i++)
			t->t_heap[i] = (struct heap){
				.h_end = FIRST, .h_fd = -1, .h_armed = TIMERFD_NEVER
			};
		kq->kq_timers = t;
	}
	if (t->t_heap[date].h_fd == -1) {
		error = heap_open(kq, &t->t_heap[date], date);
		if (error < 0)
			return error;
	}
	error = heap_reserve(&t->t_heap[date]);
	if (error == 0)
		kn->kn_aux = TIMERFD_IDLE;
	return error;
}

/* Goes off at once if when is past, and whenever the clock is set beyond it.  What is before the epoch never waits. */
static void
heap_arm(struct heap *h, int64_t when)
{
	struct itimerspec spec = { .it_value = { .tv_nsec = (long)(when % NSEC) } };
	int64_t seconds = when / NSEC;
	int fd;

	/* As late as time_t can tell; the report will find nothing due. */
	spec.it_value.tv_sec = (time_t)seconds == seconds ? (time_t)seconds : INT32_MAX;
	if (when == TIMERFD_NEVER)
		spec.it_value = (struct timespec){ .tv_nsec = 0 };
	do {
		fd = h->h_fd;
		timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
	} while (fd != h->h_fd);	/* the program took that number meanwhile */
	h->h_armed = when;
}

static int64_t
heap_first(const struct heap *h)
{
	return h->h_end > FIRST ? h->h_entry[FIRST].e_when : TIMERFD_NEVER;
}

int
timerfd_add(struct kqueue *kq, struct knote *kn, bool date, int64_t when)
{
	int64_t before = INT64_MIN;
	struct heap *h;
	int error;

	if (kn->kn_aux == 0) {
		error = timerfd_know(kq, kn, date);
		if (error < 0)
			return error;
	}
	h = &kq->kq_timers->t_heap[date];
	if (timerfd_waits(kn)) {
		before = h->h_entry[kn->kn_aux].e_when;
		heap_take(h, kn);
	}
	if (when != TIMERFD_NEVER)
		heap_up(h, h->h_end++, (struct entry){ .e_when = when, .e_kn = kn });
	/* What waits no longer, but stays, must not wake anybody. */
	if (when < h->h_armed || (when == TIMERFD_NEVER && before == h->h_armed))
		heap_arm(h, heap_first(h));
	return 0;
}

void
timerfd_remove(struct kqueue *kq, struct knote *kn, bool date)
{
	struct heap *h = &kq->kq_timers->t_heap[date];

	if (kn->kn_aux == 0 || kqueue_ending(kq))
		return;
	if (timerfd_waits(kn))
		heap_take(h, kn);
	h->h_known--;
	kn->kn_aux = 0;
}

/*
 * A timer that is due in a moment comes along: to arm the descriptor for it, sleep and be woken takes
 * longer.  The clock may stand still or be set back, so it is not read for ever.
 */
#define TIMERFD_MOMENT	2000
#define TIMERFD_READS	100

static bool
heap_due(const struct heap *h, bool date, int64_t *now, int64_t until)
{
	int64_t first = heap_first(h);
	int reads = 0;

	if (first <= *now)
		return true;
	do {
		*now = timerfd_now(date);
	} while (*now < first && first <= until && ++reads < TIMERFD_READS);
	return first <= *now;
}

/* Tells those that are due, but none from end on; when there were no more. */
static int64_t
heap_tell(struct kqueue *kq, struct heap *h, bool date, int64_t end)
{
	int64_t now = timerfd_now(date), until = now + TIMERFD_MOMENT;
	struct knote *kn;

	while (heap_first(h) < end && heap_due(h, date, &now, until)) {
		kn = h->h_entry[FIRST].e_kn;
		heap_take(h, kn);
		knote_note(kq, kn, 0);
	}
	return now;
}

/* The first after a moment.  Those until then are a tree at the top; if it is a large one, the first of all. */
#define HEAP_LOOKS	16

static int64_t
heap_first_after(const struct heap *h, int64_t moment)
{
	uint32_t node[HEAP_LOOKS], nodes = 0, child;
	int64_t first = TIMERFD_NEVER;

	if (heap_first(h) > moment)
		return heap_first(h);
	for (node[nodes++] = FIRST; nodes > 0;) {
		child = CHILD(node[--nodes]);
		for (uint32_t end = child + 4; child < end && child < h->h_end; child++) {
			int64_t when = h->h_entry[child].e_when;

			if (when > moment)
				first = when < first ? when : first;
			else if (nodes == HEAP_LOOKS)
				return heap_first(h);
			else
				node[nodes++] = child;
		}
	}
	return first;
}

/* It took so long this time, or the clock was set, or another thread ran meanwhile. */
#define HEAP_COST_MOST	30000

static void
heap_learn(struct heap *h, int64_t cost)
{
	if (cost > HEAP_COST_MOST)
		cost = HEAP_COST_MOST;
	if (cost >= 0)
		h->h_cost += (cost - h->h_cost) / 4;
}

/* How soon, in times that it takes to arm, the next one is to be due for that to be put off. */
#define HEAP_SOON	4

/*
 * Who has waited is told without delay: the descriptor is armed when he comes to wait again.  Until then the queue
 * is readable, since the descriptor has gone off and epoll is to look at it again.  Others than he may be woken
 * by that, so nobody else is in a call, and who does not wait in kevent(), but polls the queue, is told exactly.
 */
static bool
heap_put_off(struct kqueue *kq, const struct heap *h, bool date)
{
	struct epoll_event item = { .events = TIMERFD_EVENTS, .data.u64 = TIMERFD_TAG(date) };

	return kq->kq_waited && atomic_load_explicit(&kq->kq_refs, memory_order_relaxed) <= 2 &&
	    !atomic_load_explicit(&kq->kq_counted, memory_order_relaxed) &&
	    hidden_epoll_ctl(kq->kq_ep, EPOLL_CTL_MOD, h->h_fd, &item) == 0;
}

/*
 * To arm the descriptor may take ten microseconds and more.  What is due by the end of that needs no arming:
 * the next one after it is armed, and then all that is due comes along.  If it did not take so long, it is armed
 * once more: the queue may be polled next.
 */
void
timerfd_report(struct kqueue *kq, bool date)
{
	struct heap *h = &kq->kq_timers->t_heap[date];
	uint32_t end = h->h_end;
	int64_t now = heap_tell(kq, h, date, INT64_MAX), first = heap_first(h), next;

	if (first == TIMERFD_NEVER) {
		h->h_armed = TIMERFD_NEVER;
		return;
	}
	if (h->h_end < end && first - now < HEAP_SOON * h->h_cost && heap_put_off(kq, h, date))
		return;
	next = heap_first_after(h, now + h->h_cost);
	heap_arm(h, next);
	if (first - now < HEAP_COST_MOST)
		heap_learn(h, timerfd_now(date) - now);
	if (next == first)
		return;
	heap_tell(kq, h, date, next);
	if (heap_first(h) < next)
		heap_arm(h, heap_first(h));
}

void
timerfd_free(struct kqueue *kq)
{
	struct timers *t = kq->kq_timers;

	if (t == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		mem_free(t->t_heap[i].h_entry);
		hidden_free(&t->t_heap[i].h_fd);
	}
	mem_free(t);
	kq->kq_timers = NULL;
}
