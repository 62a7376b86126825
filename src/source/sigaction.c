/* SPDX-License-Identifier: BSD-2-Clause */
/* Who watches which signals, and how they are told. */
#include "sigaction.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "../mem.h"
#include "disposition.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGACTION_BELL	SOURCE_TAG(SOURCE_SIGNAL, 0)
#define SIGACTION_FD	SOURCE_TAG(SOURCE_SIGNAL, 1)

/*
 * What a queue has for signals, made with its first.  The handler may be
 * looking at any time, so a record is never freed, and belongs to one struct
 * kqueue for ever (kq_watcher): to each of the queues that live there in turn.
 *
 * It is in the list while it has knotes, so that the handler walks past no
 * others.  One that leaves keeps its w_next, and one that comes is put first:
 * so from wherever the handler stands, it comes past all that stay.
 *
 * (i) never changes, (a) atomic, (k) the queue's lock, (l) list_lock.
 */
struct watcher {
	struct kqueue	*w_kq;		/* (i) */
	_Atomic(struct watcher *) w_next; /* (a); written with (l) */
	struct watcher	*w_before;	/* (l) */
	_Atomic uint64_t w_signals;	/* (a) disposition_bit() of those to ring for */
	_Atomic bool	w_belled;	/* (a) the bell is in its epoll */
	_Atomic int	w_signalfd;	/* (k) or -1 */
	uint32_t	w_knotes;	/* (k) slot of the first knote, chained by kn_aux */
};

static _Atomic(struct watcher *) watchers;	/* (a); written with (l) */
static struct lock list_lock;		/* taken inside a queue's */

/*
 * The bell: a second number of the shared eventfd, since epoll tells items
 * apart by number, and the first is every queue's own bell.
 */
static _Atomic int bell = -1;
static struct lock bell_lock;		/* making it; taken inside a queue's */

static struct watcher *
watcher_of(const struct kqueue *kq)
{
	return atomic_load_explicit(&kq->kq_watcher, memory_order_acquire);
}

/* The queue's lock is held. */
static struct watcher *
watcher_get(struct kqueue *kq)
{
	struct watcher *w = watcher_of(kq);

	if (w != NULL)
		return w;
	w = mem_alloc(sizeof(*w));
	if (w == NULL)
		return NULL;
	w->w_kq = kq;
	atomic_init(&w->w_signalfd, -1);
	atomic_store_explicit(&kq->kq_watcher, w, memory_order_release);
	return w;
}

static void
watcher_list(struct watcher *w)
{
	struct watcher *first;

	lock_take(&list_lock);
	first = atomic_load(&watchers);
	w->w_before = NULL;
	atomic_store(&w->w_next, first);
	if (first != NULL)
		first->w_before = w;
	atomic_store(&watchers, w);
	lock_drop(&list_lock);
}

static void
watcher_unlist(struct watcher *w)
{
	struct watcher *after;

	lock_take(&list_lock);
	after = atomic_load(&w->w_next);
	if (after != NULL)
		after->w_before = w->w_before;
	atomic_store(w->w_before != NULL ? &w->w_before->w_next : &watchers, after);
	lock_drop(&list_lock);
}

static int
bell_get(void)
{
	int error = 0;

	lock_take(&bell_lock);
	if (atomic_load(&bell) == -1)
		error = hidden_dup(kqueue_eventfd(), &bell);
	lock_drop(&bell_lock);
	return error;
}

bool
sigaction_is_bell(int fd)
{
	return fd == atomic_load(&bell);
}

/* It rings once, for what the old one may have missed. */
void
sigaction_follow_bell(struct kqueue *kq, int old)
{
	const struct watcher *w = watcher_of(kq);
	int saved = errno;

	if (w != NULL && atomic_load(&w->w_belled)) {
		kqueue_source_add(kq, atomic_load(&bell), EPOLLIN | EPOLLET, SIGACTION_BELL);
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, old, NULL);
	}
	errno = saved;
}

/*
 * Puts the bell into the queue's epoll.  Only then may the handler see kq_ep:
 * what it has set in kq_signalled before is void, since nothing was rung.
 */
static int
watcher_add_bell(struct kqueue *kq, struct watcher *w)
{
	int error = bell_get(), fd;

	if (error < 0 || atomic_load(&w->w_belled))
		return error;
	fd = atomic_load(&bell);
	error = kqueue_source_add(kq, fd, 0, SIGACTION_BELL);
	if (error < 0)
		return error;
	atomic_store(&w->w_belled, true);
	atomic_store(&kq->kq_signalled, false);
	if (fd != atomic_load(&bell))
		sigaction_follow_bell(kq, fd);
	return 0;
}

/* What the handler and the signalfd shall tell of: the signals of enabled knotes. */
static uint64_t
watcher_signals(const struct kqueue *kq, const struct watcher *w)
{
	const struct knote *kn;
	uint64_t signals = 0;

	for (uint32_t slot = w->w_knotes; slot != 0; slot = kn->kn_aux) {
		kn = knote_at(&kq->kq_pool, slot);
		if ((kn->kn_status & KN_DISABLED) == 0)
			signals |= disposition_bit((int)kn->kn_ident);
	}
	return signals;
}

/* A new signalfd (fd -1), or another set for one.  The bare call takes the kernel's own set. */
static int
signalfd_set(int fd, uint64_t signals)
{
	return (int)syscall(SYS_signalfd4, fd, &signals, sizeof(signals),
	    SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * The signalfd is edge-triggered: it tells that a signal becomes pending, and
 * goes on to be ready while it stays so.
 */
static int
watcher_add_signalfd(struct kqueue *kq, struct watcher *w)
{
	int fd, error;

	if (w->w_signalfd >= 0)
		return 0;
	fd = signalfd_set(-1, 0);
	if (fd == -1)
		return -errno;
	error = hidden_move(fd, &w->w_signalfd);
	if (error < 0)
		return error;
	error = kqueue_source_add(kq, w->w_signalfd, EPOLLIN | EPOLLET, SIGACTION_FD);
	if (error < 0)
		hidden_free(&w->w_signalfd);
	return error;
}

static void
watcher_update(struct kqueue *kq, struct watcher *w)
{
	uint64_t signals = watcher_signals(kq, w);
	int saved = errno;

	atomic_store(&w->w_signals, signals);
	signalfd_set(w->w_signalfd, signals);
	errno = saved;
}

int
sigaction_attach(struct kqueue *kq, struct knote *kn, int signo)
{
	struct watcher *w = watcher_get(kq);
	int error;

	if (w == NULL)
		return -ENOMEM;
	error = watcher_add_bell(kq, w);
	if (error == 0)
		error = watcher_add_signalfd(kq, w);
	if (error < 0)
		return error;
	if (w->w_knotes == 0)
		watcher_list(w);
	kn->kn_aux = w->w_knotes;
	w->w_knotes = kn->kn_slot;
	watcher_update(kq, w);
	disposition_hold(signo);
	return 0;
}

void
sigaction_detach(struct kqueue *kq, struct knote *kn, int signo)
{
	struct watcher *w = watcher_of(kq);
	uint32_t *link = &w->w_knotes;

	while (*link != 0 && *link != kn->kn_slot)
		link = &knote_at(&kq->kq_pool, *link)->kn_aux;
	/* In a forked child all is forgotten before the queues end. */
	if (*link == 0)
		return;
	*link = kn->kn_aux;
	disposition_release(signo);
	if (w->w_knotes != 0) {
		if (!kqueue_ending(kq))
			watcher_update(kq, w);
		return;
	}
	/* The kernel, too, walks past every signalfd that somebody waits for. */
	watcher_unlist(w);
	atomic_store(&w->w_signals, 0);
	hidden_free(&w->w_signalfd);
}

void
sigaction_update(struct kqueue *kq)
{
	watcher_update(kq, watcher_of(kq));
}

bool
sigaction_pending(int signo)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, signo) == 1;
}

/* A signal that comes from here on rings again. */
void
sigaction_report(struct kqueue *kq)
{
	struct watcher *w = watcher_of(kq);
	sigset_t pending;
	struct knote *kn;
	uint32_t next;

	if (w == NULL)
		return;
	atomic_store(&kq->kq_signalled, false);
	sigpending(&pending);
	for (uint32_t slot = w->w_knotes; slot != 0; slot = next) {
		kn = knote_at(&kq->kq_pool, slot);
		next = kn->kn_aux;
		knote_note(kq, kn, sigismember(&pending, (int)kn->kn_ident) == 1 ?
		    SIGACTION_PENDING : 0);
	}
}

/*
 * A signal that interrupts a wait is told twice: by the signalfd, since it was
 * pending for a moment, and by the handler, which rings.  One will do.  Who finds
 * it rung by then does not ring, and has counted: so it is silenced first.
 */
void
sigaction_report_fd(struct kqueue *kq)
{
	struct epoll_event item = { .events = 0, .data.u64 = SIGACTION_BELL };
	int saved = errno;

	if (atomic_load(&kq->kq_signalled))
		hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_MOD, atomic_load(&bell), &item);
	errno = saved;
	sigaction_report(kq);
}

void
sigaction_free(struct kqueue *kq)
{
	struct watcher *w = watcher_of(kq);

	if (w == NULL)
		return;
	atomic_store(&w->w_signals, 0);
	atomic_store(&w->w_belled, false);
	hidden_free(&w->w_signalfd);
}

/*
 * The queue may end under our hands, and another begin in its struct.  Then one
 * of them is rung for nothing, or an epoll that knows no bell: no harm is done.
 */
void
sigaction_ring(int signo)
{
	struct epoll_event item = { .events = EPOLLIN | EPOLLET, .data.u64 = SIGACTION_BELL };
	struct watcher *w;
	int fd;

	for (w = atomic_load(&watchers); w != NULL; w = atomic_load(&w->w_next)) {
		if ((atomic_load(&w->w_signals) & disposition_bit(signo)) == 0 ||
		    atomic_exchange(&w->w_kq->kq_signalled, true))
			continue;
		do {
			fd = atomic_load(&bell);
			hidden_epoll_ctl_in(&w->w_kq->kq_ep, EPOLL_CTL_MOD, fd, &item);
		} while (fd != atomic_load(&bell));
	}
}

void
sigaction_fork_child(void)
{
	struct watcher *w;

	disposition_fork_child();
	for (w = atomic_load(&watchers); w != NULL; w = atomic_load(&w->w_next)) {
		atomic_store(&w->w_signals, 0);
		atomic_store(&w->w_belled, false);
		w->w_signalfd = -1;
		w->w_knotes = 0;
	}
	if (atomic_load(&watchers) != NULL)
		atomic_store(&watchers, NULL);
	if (atomic_load(&bell) != -1)
		atomic_store(&bell, -1);
	lock_fork_child(&list_lock);
	lock_fork_child(&bell_lock);
}
