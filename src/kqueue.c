/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue's life: made, found by its number, rung, closed, left behind by fork. */
#include "kqueue.h"

#include "fdtable.h"
#include "hidden.h"
#include "interpose/next.h"
#include "mem.h"
#include "source/inotify.h"
#include "source/sigaction.h"
#include "source/timerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct lock pool_lock;
static _Atomic(struct kqueue *) pool_all;	/* grows at its head only */
static struct kqueue *pool_free;		/* pool_lock */
static uint32_t pool_last_id;			/* pool_lock */
static _Atomic int pool_highest;		/* no queue had a higher number */
static _Atomic int pool_eventfd = -1;
static _Atomic pid_t pool_process;		/* whose memory this is */
static _Atomic bool pool_unended;		/* some queue waits to be ended in a safe place */

static void kqueue_end(struct kqueue *kq);
static void kqueue_number_closes(struct fdentry *entry);
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
	struct kqueue *kq = pool_free;

	if (kq != NULL) {
		pool_free = kq->kq_next_free;
		return kq;
	}
	kq = mem_alloc(sizeof(*kq));
	if (kq == NULL)
		return NULL;
	kq->kq_ep = -1;
	atomic_init(&kq->kq_nested, -1);
	kq->kq_next = atomic_load_explicit(&pool_all, memory_order_relaxed);
	atomic_store_explicit(&pool_all, kq, memory_order_release);
	return kq;
}

static void
pool_give(struct kqueue *kq)
{
	lock_take(&pool_lock);
	atomic_store_explicit(&kq->kq_state, KQ_FREE, memory_order_release);
	kq->kq_next_free = pool_free;
	pool_free = kq;
	lock_drop(&pool_lock);
}

int
kqueue_eventfd(void)
{
	int fd = atomic_load_explicit(&pool_eventfd, memory_order_acquire);
	int none = -1;

	if (fd >= 0)
		return fd;
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd == -1)
		return -errno;
	fd = hidden_move(fd);
	if (fd >= 0 && !atomic_compare_exchange_strong(&pool_eventfd, &none, fd)) {
		hidden_close(fd);
		fd = none;
	}
	return fd;
}

/* Links a number to its queue, in the table. */
static bool
pool_link(struct fdentry *entry, int fd, struct kqueue *kq)
{
	struct kqueue *none = NULL;
	int highest = atomic_load(&pool_highest);

	while (fd > highest && !atomic_compare_exchange_weak(&pool_highest, &highest, fd))
		;
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

static uint64_t
bell_tag(const struct kqueue *kq)
{
	return SOURCE_TAG(SOURCE_BELL, 0) | (uint64_t)kq->kq_id << 32;
}

/* Arms the bell: events 0 silences it. */
static void
bell_set(struct kqueue *kq, uint32_t events)
{
	struct epoll_event item = { .events = events, .data.u64 = bell_tag(kq) };
	int saved = errno;

	epoll_ctl(kq->kq_ep, EPOLL_CTL_MOD, pool_eventfd, &item);
	errno = saved;
}

/* The same with the lock held; what a closing says meanwhile, which takes no lock, is not lost. */
static void
bell_arm(struct kqueue *kq, uint32_t events)
{
	bell_set(kq, events);
	if (!kqueue_is_open(kq) || atomic_load(&kq->kq_closed) != 0 || atomic_load(&kq->kq_scan))
		bell_set(kq, EPOLLIN);
}

/* Rings an armed bell again: epoll wakes nobody for an item that it has listed already. */
static void
bell_ring_again(struct kqueue *kq)
{
	int saved = errno;

	epoll_ctl(kq->kq_ep, EPOLL_CTL_DEL, pool_eventfd, NULL);
	kqueue_source_add(kq, pool_eventfd, EPOLLIN, bell_tag(kq));
	errno = saved;
}

/*
 * An edge wakes one waiter and needs no silencing once it is reported; what a
 * call leaves in kq_ready is told by a level, until the list is empty.
 *
 * A queue that is in another one is told by levels only, since kqueue_count()
 * must not use an edge up; there all news ring, so that the outer queue may
 * have EV_CLEAR.
 */
void
kqueue_settle(struct kqueue *kq)
{
	bool ready = kq->kq_ready.kl_first != NULL;
	bool counted = atomic_load_explicit(&kq->kq_counted, memory_order_relaxed);
	bool level = kq->kq_bell == BELL_SPENT || counted;

	if (ready && counted && kq->kq_news && kq->kq_bell == BELL_LEVEL) {
		bell_ring_again(kq);
	} else if (ready && (kq->kq_bell == BELL_OFF || kq->kq_bell == BELL_SPENT)) {
		bell_arm(kq, level ? EPOLLIN : EPOLLIN | EPOLLET);
		kq->kq_bell = level ? BELL_LEVEL : BELL_EDGE;
	} else if (!ready && kq->kq_bell != BELL_OFF) {
		if (kq->kq_bell != BELL_SPENT)
			bell_arm(kq, 0);
		kq->kq_bell = BELL_OFF;
	}
	kq->kq_news = false;
}

int
kqueue_get_nested(struct kqueue *kq)
{
	int fd = kq->kq_nested;
	int error;

	if (fd >= 0)
		return fd;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd == -1)
		return -errno;
	fd = hidden_move(fd);
	if (fd < 0)
		return fd;
	error = kqueue_source_add(kq, fd, EPOLLIN, SOURCE_TAG(SOURCE_NESTED, 0));
	if (error < 0) {
		hidden_close(fd);
		return error;
	}
	kq->kq_nested = fd;
	return fd;
}

/* The epoll behind number U gets a number of our own, and the bell. */
static int
kqueue_equip(struct kqueue *kq, int number)
{
	int bell = kqueue_eventfd();
	int error;

	if (bell < 0)
		return bell;
	kq->kq_ep = hidden_dup(number);
	if (kq->kq_ep < 0)
		return kq->kq_ep;
	error = kqueue_source_add(kq, bell, 0, bell_tag(kq));
	if (error < 0)
		hidden_close(kq->kq_ep);
	return error;
}

/* Before a queue is made is a safe place to end those closed in a bad one. */
static void
kqueue_end_unended(void)
{
	struct kqueue *kq;
	int closed;

	if (lock_depth > 0 || !atomic_exchange(&pool_unended, false))
		return;
	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
		closed = KQ_CLOSED;
		if (atomic_load(&kq->kq_refs) == 0 &&
		    atomic_compare_exchange_strong(&kq->kq_state, &closed, KQ_ENDING))
			kqueue_end(kq);
	}
}

int
kqueue_make(void)
{
	struct fdentry *entry;
	struct kqueue *kq;
	int number, error = -ENOMEM;

	kqueue_end_unended();
	number = epoll_create1(EPOLL_CLOEXEC);
	if (number == -1)
		return -errno;
	lock_take(&pool_lock);
	if (atomic_load_explicit(&pool_process, memory_order_relaxed) == 0)
		atomic_store_explicit(&pool_process, getpid(), memory_order_relaxed);
	entry = fdtable_get(number);
	kq = entry == NULL ? NULL : pool_take();
	if (kq != NULL) {
		kq->kq_id = ++pool_last_id;
		kq->kq_number = number;
		error = kqueue_equip(kq, number);
	}
	if (error == 0) {
		kq->kq_bell = BELL_OFF;
		kq->kq_counted = false;
		kq->kq_edges = false;
		atomic_store(&kq->kq_numbers, 1);
		atomic_fetch_add(&kq->kq_refs, 1);
		atomic_store(&kq->kq_state, KQ_OPEN);
		/* A queue closed unseen may still be linked there. */
		if (!pool_link(entry, number, kq)) {
			kqueue_number_closes(entry);
			pool_link(entry, number, kq);
		}
	}
	lock_drop(&pool_lock);
	if (error < 0) {
		if (kq != NULL)
			pool_give(kq);
		hidden_close(number);
		return error;
	}
	return number;
}

/*
 * A number not seen before may be a duplicate of a queue's: the epoll items of
 * a descriptor are listed in /proc, and the bell's says whose queue it is.
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
			if (kqueue_is_open(kq) && kq->kq_id == data >> 32)
				break;
	}
	fclose(info);
	return kq;
}

/* The table learns of a duplicate; it counts like the number kqueue() gave. */
static struct kqueue *
kqueue_adopt(int fd)
{
	struct kqueue *kq;
	struct fdentry *entry;
	int saved = errno;

	if (fd < 0 || kqueue_first() == NULL)
		return NULL;
	kq = kqueue_of_duplicate(fd);
	entry = kq == NULL ? NULL : fdtable_get(fd);
	errno = saved;
	if (entry == NULL)
		return NULL;
	atomic_fetch_add(&kq->kq_numbers, 1);
	if (!kqueue_is_open(kq) || !pool_link(entry, fd, kq)) {
		atomic_fetch_sub(&kq->kq_numbers, 1);
		return NULL;
	}
	return kq;
}

struct kqueue *
kqueue_enter(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct kqueue *kq = NULL;

	if (entry != NULL)
		kq = atomic_load_explicit(&entry->fe_queue, memory_order_acquire);
	while (kq != NULL || (kq = kqueue_adopt(fd)) != NULL) {
		struct kqueue *still;

		atomic_fetch_add(&kq->kq_refs, 1);
		still = atomic_load(&fdtable_find(fd)->fe_queue);
		if (still == kq)
			break;
		/* Closed meanwhile; the number may lead to another by now. */
		kqueue_leave(kq);
		kq = still;
	}
	return kq;
}

void
kqueue_leave(struct kqueue *kq)
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
	watch_free_all(kq);
	timerfd_free(kq);
	inotify_free(kq);
	sigaction_free(kq);
	if (kq->kq_nested >= 0)
		hidden_close(kq->kq_nested);
	hidden_close(kq->kq_ep);
	kq->kq_nested = kq->kq_ep = -1;
	kq->kq_signalled = false;
	lock_drop(&kq->kq_lock);
	pool_give(kq);
}

static void
kqueue_number_closes(struct fdentry *entry)
{
	struct kqueue *kq = atomic_exchange(&entry->fe_queue, NULL);
	int open = KQ_OPEN;

	if (kq == NULL || atomic_fetch_sub(&kq->kq_numbers, 1) != 1 ||
	    !atomic_compare_exchange_strong(&kq->kq_state, &open, KQ_CLOSED))
		return;
	bell_set(kq, EPOLLIN);		/* a level wakes every waiter */
	kqueue_leave(kq);
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
	int nested = kq->kq_nested;

	if (!kqueue_is_open(kq))
		return;
	epoll_ctl(kq->kq_ep, EPOLL_CTL_DEL, fd, NULL);
	if (nested >= 0)
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

	if (entry == NULL || fdtable_hidden(fd))
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
	errno = saved;
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
}

void
kqueue_unlock(struct kqueue *kq)
{
	kqueue_settle(kq);
	lock_drop(&kq->kq_lock);
}

/* fork() finds every lock free, unless it is called by a handler that interrupted us. */
static bool fork_locked;			/* written with pool_lock held, or alone */

static void
kqueue_fork_prepare(void)
{
	struct kqueue *kq;

	if (lock_depth > 0)
		return;
	lock_take(&pool_lock);
	sigaction_fork_prepare();
	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next)
		lock_take(&kq->kq_lock);
	fork_locked = true;
}

static void
kqueue_fork_parent(void)
{
	struct kqueue *kq;

	if (!fork_locked)
		return;
	fork_locked = false;
	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next)
		lock_drop(&kq->kq_lock);
	sigaction_fork_parent();
	lock_drop(&pool_lock);
}

/*
 * The child closes its copies of the queues' numbers.  ADD shows whether a
 * number is still the queue's without touching the epoll, which is the parent's.
 */
static void
kqueue_fork_close_numbers(void)
{
	struct epoll_event item = { .events = 0 };
	struct fdentry *entry;

	for (int fd = 0; fd <= pool_highest; fd++) {
		entry = fdtable_find(fd);
		if (entry == NULL || atomic_exchange(&entry->fe_queue, NULL) == NULL)
			continue;
		if (epoll_ctl(fd, EPOLL_CTL_ADD, pool_eventfd, &item) == -1 && errno == EEXIST)
			hidden_close(fd);
	}
}

static void
kqueue_fork_child(void)
{
	struct kqueue *kq;
	int state;

	fork_locked = false;
	lock_depth = 0;
	atomic_store(&pool_lock.lk_word, 0);
	atomic_store(&pool_process, getpid());
	sigaction_fork_child();
	kqueue_fork_close_numbers();
	for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next) {
		atomic_store(&kq->kq_lock.lk_word, 0);
		atomic_store(&kq->kq_refs, 0);
		state = atomic_load(&kq->kq_state);
		if (state != KQ_OPEN && state != KQ_CLOSED)
			continue;
		atomic_store(&kq->kq_state, KQ_ENDING);
		kqueue_end(kq);
	}
}

/* Before other constructors, as far as can be; it also links the wrappers into static programs. */
__attribute__((constructor(101))) static void
kqueue_at_load(void)
{
	next_resolve_all();
	pthread_atfork(kqueue_fork_prepare, kqueue_fork_parent, kqueue_fork_child);
}
