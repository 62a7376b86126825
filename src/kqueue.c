/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue's life: made, found by its number, rung, closed, left behind by fork. */
#include "kqueue.h"

#include "bell.h"
#include "fdtable.h"
#include "hidden.h"
#include "interpose/next.h"
#include "mem.h"
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
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static struct lock pool_lock;
static _Atomic(struct kqueue *) pool_all;	/* grows at its head only */
static _Atomic(struct kqueue *) pool_free;	/* anyone adds; taken from with pool_lock */
static uint32_t pool_last_id;			/* pool_lock */
static _Atomic int pool_eventfd = -1;
static _Atomic pid_t pool_process;		/* whose memory this is */
static _Atomic bool pool_unended;		/* some queue waits to be ended in a safe place */
static _Atomic bool pool_inherited;		/* the parent's memory is still to be given back */

_Thread_local unsigned kqueue_calls;

/*
 * A page that is zero in every child but one of vfork(), however it was made:
 * what it holds tells whose memory this is.
 */
enum pool_page { PAGE_INHERITED, PAGE_TAKEN_OVER, PAGE_OWN };

static _Atomic(_Atomic uint32_t *) pool_page;

static void kqueue_drop(struct kqueue *kq);
static void kqueue_drop_number(struct kqueue *kq);
_Atomic bool kqueue_blind;

static void kqueue_end(struct kqueue *kq);
static void kqueue_number_closes(struct fdentry *entry);
static void kqueue_drop_number(struct kqueue *kq);
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
		if (atomic_compare_exchange_weak(&pool_free, &kq, kq->kq_next_free))
			return kq;
	kq = mem_alloc(sizeof(*kq));
	if (kq == NULL)
		return NULL;
	atomic_init(&kq->kq_ep, -1);
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		atomic_init(&kq->kq_nested[lane - 1], -1);
	kq->kq_next = atomic_load_explicit(&pool_all, memory_order_relaxed);
	atomic_store_explicit(&pool_all, kq, memory_order_release);
	return kq;
}

static void
pool_give(struct kqueue *kq)
{
	atomic_store_explicit(&kq->kq_state, KQ_FREE, memory_order_release);
	kq->kq_next_free = atomic_load(&pool_free);
	while (!atomic_compare_exchange_weak(&pool_free, &kq->kq_next_free, kq))
		;
}

static int
pool_make_page(void)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page;

	if (atomic_load(&pool_page) != NULL)
		return 0;
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	(void)madvise(page, size, MADV_WIPEONFORK);
	*(_Atomic uint32_t *)page = PAGE_OWN;
	atomic_store(&pool_page, (_Atomic uint32_t *)page);
	return 0;
}

/* Whether this is a child that has not yet been seen to be one. */
static inline bool
pool_is_inherited(void)
{
	_Atomic uint32_t *page = atomic_load_explicit(&pool_page, memory_order_acquire);

	return page != NULL && atomic_load_explicit(page, memory_order_acquire) != PAGE_OWN;
}

static void kqueue_take_over(void);

/* Threads that the sanitizer does not know come here (source/aio.c). */
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

/* Links a number to its queue, in the table. */
static bool
pool_link(struct fdentry *entry, struct kqueue *kq)
{
	struct kqueue *none = NULL;

	return atomic_compare_exchange_strong(&entry->fe_queue, &none, kq);
}

int
kqueue_source_add(struct kqueue *kq, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event item = { .events = events, .data.u64 = tag };

	if (epoll_ctl(kq->kq_ep, EPOLL_CTL_ADD, fd, &item) == 0)
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

/* The epoll behind number U gets a number of our own, and the bell. */
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
static void
kqueue_end_unended(void)
{
	struct kqueue *kq;
	int closed;

	while (lock_depth == 0 && atomic_load_explicit(&pool_unended, memory_order_relaxed)) {
		atomic_store(&pool_unended, false);
		for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
			closed = KQ_CLOSED;
			if (atomic_load(&kq->kq_refs) == 0 &&
			    atomic_compare_exchange_strong(&kq->kq_state, &closed, KQ_ENDING))
				kqueue_end(kq);
		}
	}
}

/* The child has left what it had of its parent's behind: nothing in it is in use any more. */
static void
kqueue_drop_inherited(void)
{
	if (atomic_load(&pool_inherited) && kqueue_calls == 0) {
		mem_reset();
		atomic_store(&pool_inherited, false);
	}
}

/* The pool's lock is held; *made gets the struct, which is to be given back if this fails. */
static int
kqueue_make_at(int number, struct fdentry *entry, struct kqueue **made)
{
	struct kqueue *kq;
	int error = pool_make_page();

	if (error < 0)
		return error;
	kqueue_drop_inherited();
	if (pool_last_id == 0)
		atomic_store_explicit(&kqueue_blind, !next_in_effect(), memory_order_relaxed);
	atomic_store_explicit(&pool_process, getpid(), memory_order_relaxed);
	kq = *made = entry == NULL ? NULL : pool_take();
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
	kq->kq_bell_moved = false;
	atomic_store(&kq->kq_numbers, 1);
	atomic_fetch_add(&kq->kq_refs, 1);
	atomic_store(&kq->kq_state, KQ_OPEN);
	/* A queue closed unseen may still be linked there. */
	if (!pool_link(entry, kq)) {
		kqueue_number_closes(entry);
		pool_link(entry, kq);
	}
	return 0;
}

/*
 * Whether an open number still leads to the queue.  An epoll refuses itself; if
 * it is something else that was added, it goes again.
 */
static bool
kqueue_at(struct kqueue *kq, int fd)
{
	struct epoll_event item = { .events = 0, .data.u64 = WATCH_NOBODY };
	int saved = errno;
	bool there;

	if (epoll_ctl(kq->kq_ep, EPOLL_CTL_ADD, fd, &item) == 0) {
		epoll_ctl(kq->kq_ep, EPOLL_CTL_DEL, fd, NULL);
		there = false;
	} else {
		there = errno == EINVAL;
	}
	errno = saved;
	return there;
}

/* What this number leads to, if its queue was not closed unseen. */
static struct kqueue *
kqueue_verify(int fd, struct fdentry *entry)
{
	struct kqueue *kq = atomic_load(&entry->fe_queue), *was = kq;

	if (kq == NULL)
		return NULL;
	/* Referred to, it cannot end and begin anew meanwhile. */
	atomic_fetch_add(&kq->kq_refs, 1);
	if (atomic_load(&entry->fe_queue) == kq && !kqueue_at(kq, fd) &&
	    atomic_compare_exchange_strong(&entry->fe_queue, &was, NULL)) {
		kqueue_drop_number(kq);
		was = NULL;
	}
	kqueue_drop(kq);
	return was;
}

bool
kqueue_still_at(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL && kqueue_verify(fd, entry) != NULL;
}

/* Ends the queues that were closed unseen. */
static void
kqueue_sweep(void)
{
	struct fdentry *entry;

	for (int fd = 0; fd <= fdtable_highest(); fd++) {
		entry = fdtable_find(fd);
		if (entry != NULL && atomic_load(&entry->fe_queue) != NULL)
			kqueue_verify(fd, entry);
	}
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
	error = kqueue_make_at(number, fdtable_get(number), &kq);
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

int
kqueue_make(void)
{
	bool blind = atomic_load_explicit(&kqueue_blind, memory_order_relaxed);
	int number;

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

/* One number more for queue id, if it is this one and has some: one that closes stays closed. */
static bool
kqueue_hold_number(struct kqueue *kq, uint32_t id)
{
	uint32_t numbers = atomic_load(&kq->kq_numbers);

	do
		if (numbers == 0 || atomic_load(&kq->kq_id) != id)
			return false;
	while (!atomic_compare_exchange_weak(&kq->kq_numbers, &numbers, numbers + 1));
	/* It may have ended, and another begun in its struct. */
	if (atomic_load(&kq->kq_id) == id)
		return true;
	kqueue_drop_number(kq);
	return false;
}

/*
 * A number not seen before may be a duplicate of a queue's: the epoll items of
 * a descriptor are listed in /proc, and the bell's says whose queue it is.  The
 * number is counted already.
 */
static struct kqueue *
kqueue_of_duplicate(int fd)
{
	char path[48], line[256];
	struct kqueue *kq = NULL;
	uint64_t data;
	FILE *info;
	int tfd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (info == NULL)
		return NULL;
	while (kq == NULL && fgets(line, sizeof(line), info) != NULL) {
		if (sscanf(line, "tfd: %d events: %*x data: %" SCNx64, &tfd, &data) != 2 ||
		    tfd != pool_eventfd || !SOURCE_IS(data) ||
		    SOURCE_KIND(data) != SOURCE_BELL)
			continue;
		for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next)
			if (kqueue_hold_number(kq, (uint32_t)(data >> 32)))
				break;
	}
	fclose(info);
	/* Another process's queue may look the same. */
	if (kq != NULL && !kqueue_at(kq, fd)) {
		kqueue_drop_number(kq);
		kq = NULL;
	}
	return kq;
}

/* One number more leads to the queue, unless the last one is gone.  The caller has a reference. */
static bool
kqueue_number_comes(struct kqueue *kq)
{
	uint32_t numbers = atomic_load(&kq->kq_numbers);

	while (numbers != 0)
		if (atomic_compare_exchange_weak(&kq->kq_numbers, &numbers, numbers + 1))
			return true;
	return false;
}

struct kqueue *
kqueue_duplicate(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct kqueue *kq = fdtable_queue(fd);

	/* A child of vfork() runs in our memory but has descriptors of its own. */
	if (kq == NULL || getpid() != atomic_load_explicit(&pool_process, memory_order_relaxed))
		return NULL;
	atomic_fetch_add(&kq->kq_refs, 1);
	if (atomic_load(&entry->fe_queue) == kq && kqueue_number_comes(kq))
		return kq;
	kqueue_drop(kq);
	return NULL;
}

void
kqueue_duplicated(struct kqueue *kq, int copy)
{
	struct fdentry *entry = copy < 0 ? NULL : fdtable_get(copy);
	int saved = errno;

	/* A queue closed unseen may still be linked there. */
	if (entry == NULL) {
		kqueue_drop_number(kq);
	} else if (!pool_link(entry, kq)) {
		kqueue_number_closes(entry);
		if (!pool_link(entry, kq))
			kqueue_drop_number(kq);
	}
	kqueue_drop(kq);
	errno = saved;
}

/* The table learns of a duplicate that nobody saw being made. */
static struct kqueue *
kqueue_adopt(int fd)
{
	struct kqueue *kq;
	struct fdentry *entry;
	int saved = errno, cancel;

	if (fd < 0 || kqueue_first() == NULL || fdtable_hidden(fd))
		return NULL;
	/* Reading a file is a cancellation point, and the number would be counted for ever. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	kq = kqueue_of_duplicate(fd);
	pthread_setcancelstate(cancel, NULL);
	entry = kq == NULL ? NULL : fdtable_get(fd);
	errno = saved;
	if (kq == NULL)
		return NULL;
	if (entry != NULL && pool_link(entry, kq))
		return kq;
	/* No memory, or another thread was quicker. */
	kqueue_drop_number(kq);
	return fdtable_queue(fd);
}

struct kqueue *
kqueue_enter(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct kqueue *kq = NULL;

	if (entry != NULL && atomic_load_explicit(&kqueue_blind, memory_order_relaxed))
		kq = kqueue_verify(fd, entry);
	else if (entry != NULL)
		kq = atomic_load_explicit(&entry->fe_queue, memory_order_acquire);
	if (pool_is_inherited()) {
		kqueue_take_over();
		return NULL;
	}
	while (kq != NULL || (kq = kqueue_adopt(fd)) != NULL) {
		struct kqueue *still;

		atomic_fetch_add(&kq->kq_refs, 1);
		still = atomic_load(&fdtable_find(fd)->fe_queue);
		if (still == kq) {
			kqueue_calls++;
			break;
		}
		/* Closed meanwhile; the number may lead to another by now. */
		kqueue_drop(kq);
		kq = still;
	}
	return kq;
}

void
kqueue_leave(struct kqueue *kq)
{
	kqueue_drop(kq);
	kqueue_calls--;
	if (atomic_load_explicit(&pool_unended, memory_order_relaxed))
		kqueue_end_unended();
}

/* A reference less: the last one of a closed queue ends it. */
static void
kqueue_drop(struct kqueue *kq)
{
	int closed = KQ_CLOSED;

	if (atomic_fetch_sub(&kq->kq_refs, 1) != 1)
		return;
	if (atomic_load(&kq->kq_state) != KQ_CLOSED)
		return;
	if (lock_depth > 0)
		atomic_store(&pool_unended, true);
	else if (atomic_compare_exchange_strong(&kq->kq_state, &closed, KQ_ENDING))
		kqueue_end(kq);
}

/* Nobody can find the queue, nobody is in it. */
static void
kqueue_end(struct kqueue *kq)
{
	lock_take(&kq->kq_lock);
	kqueue_reap(kq);
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
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		hidden_free(&kq->kq_nested[lane - 1]);
	hidden_free(&kq->kq_ep);
	kq->kq_signalled = false;
	lock_drop(&kq->kq_lock);
	pool_give(kq);
}

/* One number less leads to the queue: the last closes it. */
static void
kqueue_drop_number(struct kqueue *kq)
{
	int open = KQ_OPEN;

	if (atomic_fetch_sub(&kq->kq_numbers, 1) != 1 ||
	    !atomic_compare_exchange_strong(&kq->kq_state, &open, KQ_CLOSED))
		return;
	bell_arm(kq, EPOLLIN);		/* a level wakes every waiter */
	kqueue_drop(kq);
}

static void
kqueue_number_closes(struct fdentry *entry)
{
	struct kqueue *kq = atomic_exchange(&entry->fe_queue, NULL);

	if (kq != NULL)
		kqueue_drop_number(kq);
}

/* A number that the queue watches is closed: who next takes its lock deals with it. */
static void
kqueue_list_closed(struct kqueue *kq, int fd, struct fdentry *entry, bool alone)
{
	int unlisted = 0, head;

	if (!alone || !atomic_compare_exchange_strong(&entry->fe_next, &unlisted, 1)) {
		atomic_store(&kq->kq_scan, true);
		return;
	}
	head = atomic_load(&kq->kq_closed);
	do
		atomic_store(&entry->fe_next, 1 + head);
	while (!atomic_compare_exchange_weak(&kq->kq_closed, &head, 1 + fd));
}

/* The same; a registration on it may have EV_VANISHED, then who waits must look. */
static void
kqueue_tell_closed(struct kqueue *kq, int fd, struct fdentry *entry, bool alone, bool vanish)
{
	int nested;

	if (!kqueue_is_open(kq))
		return;
	epoll_ctl(kq->kq_ep, EPOLL_CTL_DEL, fd, NULL);
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		if ((nested = kq->kq_nested[lane - 1]) >= 0)
			epoll_ctl(nested, EPOLL_CTL_DEL, fd, NULL);
	kqueue_list_closed(kq, fd, entry, alone);
	if (vanish)
		bell_set(kq, EPOLLIN);	/* kq_bell does not know: kqueue_report() finds out */
}

void
kqueue_descriptor_closes(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct kqueue *kq;
	bool vanish;
	int saved;

	if (entry == NULL)
		return;
	if (pool_is_inherited())
		kqueue_take_over();
	if (fdtable_hidden(fd))
		return;
	if (atomic_load_explicit(&entry->fe_shut, memory_order_relaxed))
		atomic_store_explicit(&entry->fe_shut, false, memory_order_relaxed);
	kq = atomic_load_explicit(&entry->fe_watcher, memory_order_acquire);
	if (kq == NULL && atomic_load_explicit(&entry->fe_queue, memory_order_acquire) == NULL)
		return;
	/* A child of vfork() runs in our memory but closes its own descriptors. */
	if (getpid() != atomic_load_explicit(&pool_process, memory_order_relaxed))
		return;
	saved = errno;
	vanish = atomic_exchange(&entry->fe_vanish, false);
	kq = atomic_exchange(&entry->fe_watcher, NULL);
	if (kq != NULL)
		atomic_fetch_add(&entry->fe_epoch, 1);
	if (kq == FDTABLE_MANY)
		for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next)
			kqueue_tell_closed(kq, fd, entry, false, vanish);
	else if (kq != NULL)
		kqueue_tell_closed(kq, fd, entry, true, vanish);
	kqueue_number_closes(entry);
	kqueue_end_unended();
	errno = saved;
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
	lock_depth++;
	error = hidden_yield(fd);
	if (error == 0 && (bell || signals))
		for (struct kqueue *kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
			atomic_fetch_add(&kq->kq_refs, 1);
			if (bell)
				bell_follow(kq, fd);
			else
				sigaction_follow_bell(kq, fd);
			kqueue_leave(kq);
		}
	lock_depth--;
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
kqueue_lock(struct kqueue *kq)
{
	lock_take(&kq->kq_lock);
	if (atomic_load_explicit(&kq->kq_closed, memory_order_acquire) != 0 ||
	    atomic_load_explicit(&kq->kq_scan, memory_order_acquire))
		kqueue_reap(kq);
	if (atomic_load_explicit(&kq->kq_aio, memory_order_acquire) != NULL)
		aio_report(kq);
	if (atomic_load_explicit(&kq->kq_bell_moved, memory_order_acquire))
		bell_put_right(kq);
}

void
kqueue_unlock(struct kqueue *kq)
{
	bell_settle(kq);
	lock_drop(&kq->kq_lock);
}

static _Atomic bool fork_cleanup = true;

bool
kqueue_set_fork_cleanup(bool on)
{
	return atomic_exchange(&fork_cleanup, on);
}

/*
 * The child closes its copies of what was the queues', if it cleans up.  ADD
 * shows whether a number is still a queue's without touching the epoll, which
 * is the parent's.
 */
static void
kqueue_close_inherited(void)
{
	struct epoll_event item = { .events = 0 };
	struct fdentry *entry;
	bool cleanup = atomic_load(&fork_cleanup);
	int bell = atomic_load(&pool_eventfd);

	for (int fd = 0; fd <= fdtable_highest(); fd++) {
		entry = fdtable_find(fd);
		if (entry == NULL) {
			fd |= (int)FDTABLE_CHUNK - 1;
			continue;
		}
		if (cleanup && atomic_load_explicit(&entry->fe_queue, memory_order_relaxed) != NULL &&
		    epoll_ctl(fd, EPOLL_CTL_ADD, bell, &item) == -1 && errno == EEXIST)
			hidden_close(fd);
		if (cleanup && fdtable_hidden(fd) && fd != bell)
			hidden_close(fd);
		fdtable_forget(entry);
	}
	if (cleanup && bell >= 0)
		hidden_close(bell);
}

/*
 * This process begins as a child that has its parent's memory as some moment
 * left it.  Whatever the other threads were doing, nothing of it is looked at:
 * the descriptors are found in the table of numbers, and the memory stays until
 * the next queue is made, since fork() may have been called by a handler that
 * interrupted this very thread in a call.
 */
static void
kqueue_forget_parent(void)
{
	struct kqueue *kq;

	hidden_fork_child();
	sigaction_fork_child();
	aio_fork_child();
	kqueue_close_inherited();
	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
		atomic_store(&kq->kq_state, KQ_LEFT);
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
	mem_fork_child();
	atomic_store(&pool_inherited, true);
	atomic_store(&pool_process, getpid());
}

/* The first thread of a child to come here does that; a handler must not come in between. */
static void
kqueue_take_over(void)
{
	_Atomic uint32_t *page = atomic_load(&pool_page);
	uint32_t inherited = PAGE_INHERITED;
	sigset_t all, before;
	int saved = errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (atomic_compare_exchange_strong(page, &inherited, PAGE_TAKEN_OVER)) {
		kqueue_forget_parent();
		atomic_store(page, PAGE_OWN);
	}
	while (atomic_load(page) != PAGE_OWN)
		sched_yield();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
}

/* Where the kernel does not wipe the page, this does. */
static void
kqueue_fork_child(void)
{
	_Atomic uint32_t *page = atomic_load(&pool_page);

	if (page == NULL)
		return;
	atomic_store(page, PAGE_INHERITED);
	kqueue_take_over();
}

/* Before other constructors, as far as can be; it also links the wrappers into static programs. */
__attribute__((constructor(101))) static void
kqueue_at_load(void)
{
	next_resolve_all();
	pthread_atfork(NULL, NULL, kqueue_fork_child);
}
