/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue.  Its struct comes from a pool that is never given back to the
 * system, so that a thread may look at one that is being closed: it takes a
 * reference, and looks again whether the number still leads there.
 *
 * What protects a member: (k) kq_lock, (a) atomic, (i) set before the queue
 * can be found and not changed until nobody can find it, (p) the pool's lock.
 */
#ifndef KQ_KQUEUE_H
#define KQ_KQUEUE_H

#include "bell.h"
#include "fdtable.h"
#include "knote.h"
#include "lock.h"
#include "mode.h"
#include "source/watch.h"

#include <sys/epoll.h>

struct aio_job;
struct timers;
struct inotify;
struct mounts;
struct rtnetlink;
struct watcher;
struct procconn;
struct psi;

/* KQ_LEFT: this is a forked child, and it was its parent's. */
enum kqueue_state { KQ_FREE, KQ_OPEN, KQ_CLOSED, KQ_ENDING, KQ_LEFT };

/* Whether the queue's item of the shared, always readable eventfd is armed. */
enum kqueue_bell {
	BELL_OFF,
	BELL_EDGE,	/* will be reported once */
	BELL_SPENT,	/* has been, in the call under way */
	BELL_LEVEL,	/* is reported until kq_ready is empty */
	BELL_UNKNOWN	/* was reported, in the call under way, though it was off */
};

struct kqueue {
	/* What every call of several threads writes is apart from what it only reads. */
	struct lock	kq_lock;
	uint8_t		kq_bell;	/* (k) enum kqueue_bell */
	bool		kq_news;	/* (k) kq_ready has a knote that the bell has not told */
	uint16_t	kq_call;	/* (k) numbers the calls that collect */
	bool		kq_suspect;	/* (k) reports come to nothing: look for strays (source/stray.h) */
	bool		kq_edges;	/* (k) epoll's edges are to be taken before kq_ready is */
	bool		kq_waited;	/* (k) the call that collects has waited for what epoll reports */
	uint8_t		kq_turns;	/* (k) with room for one event: how often kq_ready is to go first */
	bool		kq_rung_twice;	/* (k) one is to ring after another did, for what that has told */
	struct knote_list kq_ready;	/* (k) */
	struct knote_list kq_look;	/* (k) files to look at in every call */
	int		kq_early_bytes;	/* (k) what was counted early, or 0 ... */
	uint64_t	kq_early_tag;	/* (k) ... of the item with this */
	char		kq_apart_1[64];
	_Atomic uint32_t kq_refs;	/* (a) calls inside, and 1 while open */
	_Atomic uint32_t kq_ringing;	/* (a) threads that are in bell_ring(), or about to be ... */
	_Atomic bool	kq_overtaken;	/* (a) ... and may have undone what another has done to it */
	_Atomic uint32_t kq_nready;	/* (k); read without it as a hint */
	char		kq_apart_2[48];
	_Atomic int	kq_state;	/* (a) enum kqueue_state */
	_Atomic uint32_t kq_nlook;	/* (k); how many are in kq_look; read as a hint */
	_Atomic bool	kq_behind;	/* (a) there is something in one of the next four, or it is not open */
	_Atomic bool	kq_bell_moved;	/* (a) the bell has another number: kq_bell is void */
	_Atomic bool	kq_scan;	/* (a) some number watched by several queues was closed */
	_Atomic int	kq_closed;	/* (a) 1 + a watched number that was closed; chained */
	_Atomic(struct aio_job *) kq_aio; /* (a) asynchronous operations that have ended; chained */
	_Atomic bool	kq_signalled;	/* (a) a watched signal arrived */
	_Atomic int	kq_ep;		/* (i) the epoll, by a number of our own (hidden.h) */
	_Atomic int	kq_nested[WATCH_LANES - 1]; /* (k) of lane 1 and up, or -1; read by close() */
	_Atomic bool	kq_counted;	/* (a) it is in another queue */
	_Atomic bool	kq_early;	/* (k) what is told once is counted early (early.h); read as a hint */
	bool		kq_ring;	/* (k) is told of io_uring's results (source/aio_uring.c) */
	bool		kq_stuck;	/* (k) one was found that cannot be removed */
	int64_t		kq_hunted;	/* (k) when one was last found to be so, or 0 */
	_Atomic uint32_t kq_id;		/* (a) tells it from its predecessors in this struct */
	int		kq_number;	/* (i) the number kqueue() returned */
	_Atomic uint32_t kq_numbers;	/* (a) how many numbers lead here */
	struct knote_pool kq_pool;	/* (k) */
	struct knote_hash kq_hash;	/* (k) */
	struct watch_table kq_watches;	/* (k) */
	struct timers	*kq_timers;	/* (k) NULL until the first timer */
	struct inotify	*kq_inotify;	/* (k) NULL until the first watched file */
	struct mounts	*kq_mounts;	/* (k) NULL while none are watched */
	struct rtnetlink *kq_rtnetlink;	/* (k) NULL while no interface is watched */
	_Atomic(struct watcher *) kq_watcher; /* (a); NULL until the first watched signal */
	struct procconn	*kq_procconn;	/* (k) NULL while nobody asks for it */
	struct psi	*kq_psi;	/* (k) NULL unless memory is watched */
	struct kqueue	*kq_next;	/* (i) every queue there is or was */
	struct kqueue	*kq_next_free;	/* if KQ_FREE */
};

/*
 * What the epoll item of a source of our own carries (u64): kind and slot in
 * the lower half, with the top bit set that no descriptor has; a generation in
 * the upper half where the source can go while its event is under way.
 */
enum source_kind {
	SOURCE_BELL,		/* kq_ready is not empty, or the queue is closed */
	SOURCE_NESTED,		/* the epoll of a lane, which is the slot */
	SOURCE_SIGNAL,		/* kq_signalled (0), or the signalfd (1) */
	SOURCE_TIMER,		/* the monotonic clock's timer descriptor */
	SOURCE_DATE,		/* the wall clock's */
	SOURCE_INOTIFY,
	SOURCE_KNOTE,		/* a knote's own descriptor: kn_slot */
	SOURCE_MOUNTS,
	SOURCE_RTNETLINK,
	SOURCE_PROCCONN,
	SOURCE_PSI,		/* a trigger for pressure on memory: its kind */
	SOURCE_AIO		/* io_uring's results */
};

#define SOURCE_TAG(kind, slot) \
	(UINT64_C(0x80000000) | (uint64_t)(kind) << 27 | (uint64_t)(slot))
#define SOURCE_IS(u64)		(((u64) & UINT64_C(0x80000000)) != 0)
#define SOURCE_KIND(u64)	((enum source_kind)((u64) >> 27 & 15))
#define SOURCE_SLOT(u64)	((uint32_t)((u64) & 0x07ffffff))
#define SOURCE_IS_KNOTE(u64)	(((u64) >> 27 & 31) == (16 | SOURCE_KNOTE))

/* The queue behind a number, with a reference; NULL: EBADF. */
struct kqueue *kqueue_enter(int fd);
void	kqueue_leave(struct kqueue *kq);

/* Deals with what was closed, and done, since the lock was last held. */
void	kqueue_catch_up(struct kqueue *kq);

/* To be called when there is something of that kind, before anybody is woken for it. */
static inline void
kqueue_fall_behind(struct kqueue *kq)
{
	atomic_store(&kq->kq_behind, true);
}

/*
 * kq_lock.  The inline ones are for the wait path; a file that no sanitizer looks into must
 * take the others, or ThreadSanitizer does not see that a lock was held.
 */
void	kqueue_lock(struct kqueue *kq);
void	kqueue_unlock(struct kqueue *kq);

static inline void
kqueue_lock_inline(struct kqueue *kq)
{
	lock_take(&kq->kq_lock);
	if (atomic_load_explicit(&kq->kq_behind, memory_order_acquire))
		kqueue_catch_up(kq);
}

static inline void
kqueue_unlock_inline(struct kqueue *kq)
{
	bool ring = (kq->kq_ready.kl_first != 0 || kq->kq_bell != BELL_OFF) && bell_settle(kq);

	kq->kq_news = false;
	lock_drop(&kq->kq_lock);
	if (ring)
		bell_ring(kq);
}

static inline bool
kqueue_is_open(const struct kqueue *kq)
{
	return atomic_load_explicit(&kq->kq_state, memory_order_acquire) == KQ_OPEN;
}

/*
 * Whether fd, which was a queue's, still is, as far as is known.  Costs a system
 * call, to find out if it was closed unseen, and then its registrations end.
 */
bool	kqueue_still_at(int fd);

/* Whether the queue is being taken apart. */
static inline bool
kqueue_ending(const struct kqueue *kq)
{
	return atomic_load_explicit(&kq->kq_state, memory_order_relaxed) == KQ_ENDING;
}

/* The nested epoll of a lane, made if need be; -errno if it cannot. */
int	kqueue_get_nested(struct kqueue *kq, unsigned lane);

/* What epoll ep has now: at most n items.  No cancellation point, never fails. */
int	kqueue_poll(int ep, struct epoll_event *items, int n);

/*
 * Epoll reports a source of our own.  If it is a nested epoll, which is to be
 * polled, 1 << its lane; else 0.
 */
unsigned kqueue_report(struct kqueue *kq, uint64_t tag);

/* A report of epoll is not going to be delivered now: what would be lost becomes active. */
void	kqueue_put_back(struct kqueue *kq, const struct epoll_event *item);

/* Takes every edge that epoll has to report: whom it concerns becomes active. */
void	kqueue_drain(struct kqueue *kq);

/* Reports of epoll were lost: has everything reported again that may have been among them. */
void	kqueue_rescan(struct kqueue *kq);

/* The queue at this number is put into another. */
void	kqueue_will_be_counted(int fd);

/* How many registrations of the queue at this number are ready, for a queue it is nested in. */
int	kqueue_count(int fd);

/* Adds a source's own descriptor to kq_ep; 0 or -errno. */
int	kqueue_source_add(struct kqueue *kq, int fd, uint32_t events, uint64_t tag);

/*
 * The process's shared eventfd, always readable, never read: as an item of a
 * queue's epoll, armed and disarmed with EPOLL_CTL_MOD, it is a bell that
 * costs no descriptor and that a signal handler may ring.
 */
int	kqueue_eventfd(void);

/*
 * The program takes this number for itself: if it is one of the library's own,
 * that moves.  0 or -errno.  Takes no lock, fit for signal handlers.
 */
int	kqueue_yield(int fd);

/*
 * The program is about to close this number (interpose/close.c): registrations
 * on it go, a queue whose last number it is ends.  Takes no lock, fit for
 * signal handlers.
 */
void	kqueue_descriptor_closes(int fd);

/* A child of vfork(), who runs in our memory but has descriptors of its own: ours are no business of its. */
bool	kqueue_in_vfork_child(void);

/* Whether the number is the library's own and the program, which does not know of it, is to find it closed. */
static inline bool
kqueue_hides(int fd)
{
	return fdtable_hidden(fd) && !kqueue_in_vfork_child();
}

/*
 * Whether a forked child closes its copies of the queues.  If not, they are none
 * of its queues all the same.  What was set before.
 */
bool	kqueue_set_fork_cleanup(bool on);

/*
 * The program duplicates a number (interpose/dup.c): before it does, a queue's
 * gets one more in advance, so that closing the others meanwhile ends nothing;
 * NULL if it leads to no queue.  Afterwards the number is known, -1 if there is
 * none.  Takes no lock, fit for signal handlers.
 */
struct kqueue *kqueue_duplicate(int fd);
void	kqueue_duplicated(struct kqueue *kq, int copy);

/* The first of all queues there are or were, in any state, linked by kq_next. */
struct kqueue *kqueue_first(void);

#endif
