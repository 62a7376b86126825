/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue's life: made, entered, rung, ended. */
#include "pool.h"

#include "bell.h"
#include "enter.h"
#include "hidden.h"
#include "interpose/next.h"
#include "mem.h"
#include "public.h"
#include "source/aio.h"
#include "source/inotify.h"
#include "source/mounts.h"
#include "source/rtnetlink.h"
#include "source/procconn.h"
#include "source/psi.h"
#include "source/sigaction.h"
#include "source/timerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct lock pool_lock;
static _Atomic(struct kqueue *) pool_all;	/* grows at its head only */
static _Atomic(struct kqueue *) pool_free;	/* anyone adds; taken from with pool_lock */
static uint32_t pool_last_id;			/* pool_lock */
_Atomic int pool_eventfd = -1;
_Atomic pid_t pool_process;
_Atomic bool pool_unended;

_Atomic unsigned mode_bits;

static void kqueue_end(struct kqueue *kq);
static void kqueue_reap(struct kqueue *kq);

struct kqueue *
kqueue_first(void)
{
	return atomic_load_explicit(&pool_all, memory_order_acquire);
}

/* pool_lock is held. */
static struct kqueue *
pool_take(void)
{
	struct kqueue *kq = atomic_load(&pool_free);

	/* As in mem.c: the first cannot go and come back meanwhile. */
	while (kq != NULL)
		if (atomic_compare_exchange_weak(&pool_free, &kq, kq->kq_next_free)) {
			if (atomic_load(&kq->kq_state) == KQ_FREE)
				return kq;
			kq = atomic_load(&pool_free);	/* that one was the parent's */
		}
	kq = mem_alloc(sizeof(*kq));
	if (kq == NULL)
		return NULL;
	atomic_init(&kq->kq_ep, -1);
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		atomic_init(&kq->kq_nested[lane - 1], -1);
	HELGRIND_ALONE(&kq->kq_nready, sizeof(kq->kq_nready));
	HELGRIND_ALONE(&kq->kq_nlook, sizeof(kq->kq_nlook));
	HELGRIND_ALONE(&kq->kq_early, sizeof(kq->kq_early));
	kq->kq_next = atomic_load_explicit(&pool_all, memory_order_relaxed);
	atomic_store_explicit(&pool_all, kq, memory_order_release);
	return kq;
}

static void
pool_give(struct kqueue *kq)
{
	int state = KQ_ENDING;

	/* A handler may have forked meanwhile, and this be the child: then it is the parent's. */
	if (!atomic_compare_exchange_strong(&kq->kq_state, &state, KQ_FREE) && state == KQ_LEFT)
		return;
	kq->kq_next_free = atomic_load(&pool_free);
	while (!atomic_compare_exchange_weak(&pool_free, &kq->kq_next_free, kq))
		;
}

/*
 * Threads that the C library's AIO starts come here (source/aio.c).  ThreadSanitizer does not know
 * them, and keeps no record of what they do; what is read here is atomic.
 */
__attribute__((no_sanitize("thread"))) int
kqueue_eventfd(void)
{
	return pool_eventfd;
}

/* pool_lock is held. */
static int
pool_open_eventfd(void)
{
	int fd;

	if (pool_eventfd >= 0)
		return 0;
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd == -1 ? -errno : hidden_move(fd, &pool_eventfd);
}

int
kqueue_source_add(struct kqueue *kq, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event item = { .events = events, .data.u64 = tag };

	if (hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_ADD, fd, &item) == 0)
		return 0;
	return errno == ELOOP ? -EINVAL : -errno;	/* nested too deep */
}

int
kqueue_get_nested(struct kqueue *kq, unsigned lane)
{
	int fd = kq->kq_nested[lane - 1];
	int error;

	if (fd >= 0)
		return fd;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd == -1)
		return -errno;
	error = hidden_move(fd, &kq->kq_nested[lane - 1]);
	if (error < 0)
		return error;
	error = kqueue_source_add(kq, kq->kq_nested[lane - 1], EPOLLIN,
	    SOURCE_TAG(SOURCE_NESTED, lane));
	if (error < 0) {
		hidden_free(&kq->kq_nested[lane - 1]);
		return error;
	}
	return kq->kq_nested[lane - 1];
}

/* The epoll behind the program's number gets one of our own, and the bell. */
static int
kqueue_equip(struct kqueue *kq, int number)
{
	int error = pool_open_eventfd();
	int bell;

	if (error == 0)
		error = hidden_dup(number, &kq->kq_ep);
	if (error < 0)
		return error;
	bell = pool_eventfd;
	error = kqueue_source_add(kq, bell, 0, bell_tag(kq));
	if (error < 0)
		hidden_free(&kq->kq_ep);
	else if (bell != pool_eventfd)
		bell_follow(kq, bell);
	return error;
}

/* Ends the queues that were closed by a handler that had interrupted the library. */
void
kqueue_end_unended(void)
{
	struct kqueue *kq;
	int closed;

	while (kqueue_thread.locks == 0 && atomic_load_explicit(&pool_unended, memory_order_relaxed)) {
		atomic_store(&pool_unended, false);
		for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
			closed = KQ_CLOSED;
			if (atomic_load(&kq->kq_refs) == 0 &&
			    atomic_compare_exchange_strong(&kq->kq_state, &closed, KQ_ENDING))
				kqueue_end(kq);
		}
	}
}

/* What the first queue of a process needs, and its children have from it; the pool's lock is held. */
static int
pool_begin(void)
{
	int error;

	/* First: who takes a number of ours for himself looks whether it is this process's. */
	atomic_store(&pool_process, getpid());
	error = pool_open_eventfd();
	if (error < 0)
		return error;
	/* The eventfd is nobody's bell yet. */
	if (!next_in_effect(pool_eventfd)) {
		hidden_disown(&pool_eventfd);
		mode_set(MODE_BLIND, true);
	}
	return 0;
}

/* The pool's lock is held; *made gets the struct, which is to be given back if this fails. */
static int
kqueue_make_at(int number, struct fdrole *role, struct kqueue **made)
{
	struct kqueue *kq;
	int error = pool_last_id == 0 ? pool_begin() : 0;

	if (error < 0)
		return error;
	if (kqueue_drop_inherited())
		atomic_store(&pool_free, NULL);
	kq = *made = role == NULL ? NULL : pool_take();
	if (kq == NULL)
		return -ENOMEM;
	kq->kq_id = ++pool_last_id;
	kq->kq_number = number;
	error = kqueue_equip(kq, number);
	if (error < 0)
		return error;
	kq->kq_bell = BELL_OFF;
	kq->kq_counted = false;
	kq->kq_edges = false;
	kq->kq_suspect = kq->kq_stuck = false;
	kq->kq_hunted = 0;
	kq->kq_behind = kq->kq_bell_moved = kq->kq_overtaken = false;
	atomic_store(&kq->kq_numbers, 1);
	atomic_fetch_add(&kq->kq_refs, 1);
	atomic_store(&kq->kq_state, KQ_OPEN);
	/* A queue closed unseen may still be linked there. */
	if (!kqueue_link(role, kq)) {
		kqueue_number_closes(role);
		kqueue_link(role, kq);
	}
	return 0;
}

/* One try; what it lacks may be held by queues that were closed unseen. */
static int
kqueue_try(void)
{
	struct kqueue *kq = NULL;
	int number, error;

	number = epoll_create1(EPOLL_CLOEXEC);
	if (number == -1)
		return -errno;
	lock_take(&pool_lock);
	error = kqueue_make_at(number, fdtable_get_role(number), &kq);
	lock_drop(&pool_lock);
	kqueue_end_unended();		/* that one */
	if (error < 0) {
		if (kq != NULL)
			pool_give(kq);
		hidden_close(number);
	}
	kqueue_end_unended();
	return error < 0 ? error : number;
}

/* A new queue's number, or -errno. */
static int
kqueue_make(void)
{
	bool blind = mode_is(MODE_BLIND);
	int number;

	/* Before any lock is taken: a child that is made meanwhile must see that it is one. */
	number = pool_make_page();
	if (number < 0)
		return number;
	if (pool_is_inherited())
		kqueue_take_over();
	if (blind)
		kqueue_sweep();
	number = kqueue_try();
	if (number >= 0 || blind)
		return number;
	kqueue_sweep();
	return kqueue_try();
}

KQ_PUBLIC int
kqueue(void)
{
	return kqueuex(0);
}

KQ_PUBLIC int
kqueuex(unsigned int flags)
{
	int saved = errno, fd = (flags & ~KQUEUE_CLOEXEC) != 0 ? -EINVAL : kqueue_make();

	errno = fd < 0 ? -fd : saved;
	return fd < 0 ? -1 : fd;
}

KQ_PUBLIC int
kqueue1(int flags)
{
	int fd;

	if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0)
		return public_result(-EINVAL);
	fd = kqueue();
	if (fd >= 0 && (flags & O_NONBLOCK) != 0)
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* The queue behind a number, if that is not known to be one, or not to be still the same. */
__attribute__((noinline)) static struct kqueue *
kqueue_enter_slowly(int fd)
{
	struct fdrole *role = fdtable_role(fd);
	struct kqueue *kq = NULL;

	if (role != NULL && mode_is(MODE_BLIND))
		kq = kqueue_verify(fd, role);
	else if (role != NULL)
		kq = atomic_load_explicit(&role->fr_queue, memory_order_acquire);
	if (pool_is_inherited()) {
		kqueue_take_over();
		return NULL;
	}
	while (kq != NULL || (kq = kqueue_adopt(fd)) != NULL) {
		struct kqueue *still;

		atomic_fetch_add(&kq->kq_refs, 1);
		still = atomic_load(&fdtable_role(fd)->fr_queue);
		if (still == kq) {
			kqueue_thread.calls++;
			break;
		}
		/* Closed meanwhile; the number may lead to another by now. */
		kqueue_drop(kq);
		kq = still;
	}
	return kq;
}

struct kqueue *
kqueue_enter(int fd)
{
	struct kqueue *kq = mode_is(MODE_BLIND) ? NULL : kqueue_enter_inline(fd);

	return kq != NULL ? kq : kqueue_enter_slowly(fd);
}

void
kqueue_leave(struct kqueue *kq)
{
	kqueue_leave_inline(kq);
}

void
kqueue_dropped(struct kqueue *kq)
{
	int closed = KQ_CLOSED;

	if (atomic_load(&kq->kq_state) != KQ_CLOSED)
		return;
	if (kqueue_thread.locks > 0)
		atomic_store(&pool_unended, true);
	else if (atomic_compare_exchange_strong(&kq->kq_state, &closed, KQ_ENDING))
		kqueue_end(kq);
}

/* All that registrations have made. */
static void
kqueue_end_knotes(struct kqueue *kq)
{
	knote_free_all(kq);
	aio_free(kq);
	watch_free_all(kq);
	timerfd_free(kq);
	inotify_free(kq);
	mounts_free(kq);
	rtnetlink_free(kq);
	procconn_free(kq);
	psi_free(kq);
	sigaction_free(kq);
}

/* Nobody can find the queue, nobody is in it. */
static void
kqueue_end(struct kqueue *kq)
{
	lock_take(&kq->kq_lock);
	kqueue_reap(kq);
	if (kq->kq_pool.kp_chunk != NULL)
		kqueue_end_knotes(kq);
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		hidden_free(&kq->kq_nested[lane - 1]);
	hidden_free(&kq->kq_ep);
	kq->kq_signalled = false;
	lock_drop(&kq->kq_lock);
	HELGRIND_GONE(&kq->kq_lock);
	pool_give(kq);
}

/*
 * A bell is the process's, and an item of every queue.  What a handler of this
 * thread closes meanwhile is ended later, as if we had interrupted the library.
 */
int
kqueue_yield(int fd)
{
	bool bell = fd == pool_eventfd, signals = sigaction_is_bell(fd);
	int saved = errno, error;

	/* A child of vfork() runs in our memory but has descriptors of its own. */
	if (getpid() != atomic_load_explicit(&pool_process, memory_order_relaxed))
		return 0;
	kqueue_thread.locks++;
	kqueue_thread.calls++;
	error = hidden_yield(fd);
	if (error == 0 && (bell || signals))
		for (struct kqueue *kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
			atomic_fetch_add(&kq->kq_refs, 1);
			if (bell)
				bell_follow(kq, fd);
			else
				sigaction_follow_bell(kq, fd);
			kqueue_drop(kq);
		}
	kqueue_thread.calls--;
	kqueue_thread.locks--;
	errno = saved;
	return error;
}

/* Removes what is registered on numbers that were closed. */
static void
kqueue_reap(struct kqueue *kq)
{
	int fd, next;

	for (next = atomic_exchange(&kq->kq_closed, 0); next != 0;) {
		fd = next - 1;
		next = atomic_exchange(&fdtable_find(fd)->fe_next, 0) - 1;
		watch_check(kq, fd);
	}
	if (atomic_exchange(&kq->kq_scan, false))
		watch_scan(kq);
}

void
kqueue_catch_up(struct kqueue *kq)
{
	int saved = errno;

	/* First: what comes meanwhile says so again. */
	atomic_store(&kq->kq_behind, false);
	if (atomic_load(&kq->kq_closed) != 0 || atomic_load(&kq->kq_scan))
		kqueue_reap(kq);
	if (atomic_load(&kq->kq_aio) != NULL)
		aio_report(kq);
	if (atomic_load(&kq->kq_bell_moved))
		bell_put_right(kq);
	if (!kqueue_is_open(kq))
		kqueue_fall_behind(kq);
	errno = saved;
}

void
kqueue_lock(struct kqueue *kq)
{
	kqueue_lock_inline(kq);
}

void
kqueue_unlock(struct kqueue *kq)
{
	kqueue_unlock_inline(kq);
}

/* A forked child: no other thread is making or ending any. */
void
pool_fork_child(void)
{
	struct kqueue *kq;

	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
		atomic_store(&kq->kq_state, KQ_LEFT);
		kqueue_fall_behind(kq);
		atomic_store(&kq->kq_lock.lk_word, 0);
		atomic_store(&kq->kq_ep, -1);
		for (unsigned lane = 1; lane < WATCH_LANES; lane++)
			atomic_store(&kq->kq_nested[lane - 1], -1);
	}
	atomic_store(&pool_all, NULL);
	atomic_store(&pool_free, NULL);
	atomic_store(&pool_unended, false);
	atomic_store(&pool_eventfd, -1);
	atomic_store(&pool_lock.lk_word, 0);
	atomic_store(&pool_process, getpid());
}

/* Before other constructors, as far as can be; it also links the wrappers into static programs. */
__attribute__((constructor(101))) static void
kqueue_at_load(void)
{
	next_resolve_all();
	pthread_atfork(NULL, NULL, kqueue_fork_child);
}
