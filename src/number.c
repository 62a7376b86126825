/* SPDX-License-Identifier: BSD-2-Clause */
/* The numbers that lead to a queue, and those that it watches: duplicated, found, closed. */
#include "pool.h"

#include "bell.h"
#include "hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Links a number to its queue, in the table. */
bool
kqueue_link(struct fdrole *role, struct kqueue *kq)
{
	struct kqueue *none = NULL;

	return atomic_compare_exchange_strong(&role->fr_queue, &none, kq);
}

/* One number less leads to the queue: the last closes it. */
static void
kqueue_drop_number(struct kqueue *kq)
{
	int open = KQ_OPEN;

	if (atomic_fetch_sub(&kq->kq_numbers, 1) != 1 ||
	    !atomic_compare_exchange_strong(&kq->kq_state, &open, KQ_CLOSED))
		return;
	kqueue_fall_behind(kq);
	/* A level wakes every waiter; without other threads there is none, unless we are a handler's. */
	if (!single_threaded() || atomic_load(&kq->kq_refs) > 1)
		bell_set(kq, EPOLLIN);
	kqueue_drop(kq);
}

void
kqueue_number_closes(struct fdrole *role)
{
	struct kqueue *kq = atomic_exchange(&role->fr_queue, NULL);

	if (kq != NULL)
		kqueue_drop_number(kq);
}

/*
 * EINVAL: it is this epoll, which refuses itself.  If it is something else that was added, it goes again.
 * The bare call, since the program may close the number meanwhile, which is what is to be found out,
 * and ThreadSanitizer would take that for a race.
 */
static int
kqueue_ask_epoll(int ep, int fd)
{
	struct epoll_event item = { .events = 0, .data.u64 = WATCH_NOBODY };

	if (hidden_epoll_ctl(ep, EPOLL_CTL_ADD, fd, &item) == -1)
		return errno;
	hidden_epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
	return 0;
}

/*
 * Whether a number still leads to the queue.  If the program takes the number of
 * our epoll meanwhile, and has it back to us even, who was asked was another.
 */
static bool
kqueue_at(struct kqueue *kq, int fd)
{
	int saved = errno, ep, error, tries = 0;
	bool moved;

	do {
		ep = kq->kq_ep;
		error = kqueue_ask_epoll(ep, fd);
		moved = ep != kq->kq_ep || (error == EBADF && syscall(SYS_fcntl, fd, F_GETFD) != -1);
	} while (moved && ++tries < 8);
	errno = saved;
	return error == EINVAL;
}

/* What this number leads to, if its queue was not closed unseen. */
struct kqueue *
kqueue_verify(int fd, struct fdrole *role)
{
	struct kqueue *kq = atomic_load(&role->fr_queue), *was = kq;

	if (kq == NULL)
		return NULL;
	/* Referred to, it cannot end and begin anew meanwhile. */
	atomic_fetch_add(&kq->kq_refs, 1);
	if (atomic_load(&role->fr_queue) == kq && !kqueue_at(kq, fd) &&
	    atomic_compare_exchange_strong(&role->fr_queue, &was, NULL)) {
		kqueue_drop_number(kq);
		was = NULL;
	}
	kqueue_drop(kq);
	return was;
}

bool
kqueue_still_at(int fd)
{
	struct fdrole *role = fdtable_role(fd);

	return role != NULL && kqueue_verify(fd, role) != NULL;
}

/* Ends the queues that were closed unseen. */
void
kqueue_sweep(void)
{
	struct fdrole *role;

	for (int fd = fdtable_next(0); fd >= 0; fd = fdtable_next((unsigned)fd + 1)) {
		role = fdtable_role(fd);
		if (role != NULL && atomic_load(&role->fr_queue) != NULL)
			kqueue_verify(fd, role);
	}
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

/* The table learns of a duplicate that nobody saw being made. */
struct kqueue *
kqueue_adopt(int fd)
{
	struct fdrole *role;
	struct kqueue *kq;
	int saved = errno, cancel;

	if (fd < 0 || kqueue_first() == NULL || fdtable_hidden(fd))
		return NULL;
	/* Reading a file is a cancellation point, and the number would be counted for ever. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	kq = kqueue_of_duplicate(fd);
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
	if (kq == NULL)
		return NULL;
	role = fdtable_get_role(fd);
	if (role != NULL && kqueue_link(role, kq))
		return kq;
	/* No memory, or another thread was quicker. */
	kqueue_drop_number(kq);
	return fdtable_queue(fd);
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

/* The page tells who was forked and does not know it yet, from who was not: see child.c. */
bool
kqueue_in_vfork_child(void)
{
	pid_t process = atomic_load_explicit(&pool_process, memory_order_relaxed);

	return process != 0 && !pool_is_inherited() && getpid() != process;
}

struct kqueue *
kqueue_duplicate(int fd)
{
	struct kqueue *kq = fdtable_queue(fd);

	/* A child of vfork() runs in our memory but has descriptors of its own. */
	if (kq == NULL || getpid() != atomic_load_explicit(&pool_process, memory_order_relaxed))
		return NULL;
	kqueue_thread.calls++;
	atomic_fetch_add(&kq->kq_refs, 1);
	if (fdtable_queue(fd) == kq && kqueue_number_comes(kq))
		return kq;
	kqueue_drop(kq);
	kqueue_thread.calls--;
	return NULL;
}

void
kqueue_duplicated(struct kqueue *kq, int copy)
{
	struct fdrole *role = copy < 0 ? NULL : fdtable_get_role(copy);
	struct kqueue *left = kq;
	int saved = errno;

	/* A queue closed unseen may still be linked there. */
	if (role == NULL) {
		kqueue_drop_number(kq);
	} else if (!kqueue_link(role, kq)) {
		kqueue_number_closes(role);
		if (!kqueue_link(role, kq))
			kqueue_drop_number(kq);
	}
	/* A handler forked meanwhile, and this is the child. */
	if (role != NULL && atomic_load(&kq->kq_state) == KQ_LEFT)
		atomic_compare_exchange_strong(&role->fr_queue, &left, NULL);
	kqueue_drop(kq);
	kqueue_thread.calls--;
	errno = saved;
}

/* A number that the queue watches is closed: who next takes its lock deals with it. */
static void
kqueue_list_closed(struct kqueue *kq, int fd, struct fdentry *entry, bool alone)
{
	int unlisted = 0, head;

	if (alone && atomic_compare_exchange_strong(&entry->fe_next, &unlisted, 1)) {
		head = atomic_load(&kq->kq_closed);
		do
			atomic_store(&entry->fe_next, 1 + head);
		while (!atomic_compare_exchange_weak(&kq->kq_closed, &head, 1 + fd));
	} else {
		atomic_store(&kq->kq_scan, true);
	}
	kqueue_fall_behind(kq);
}

/* The same; a registration on it may have EV_VANISHED, then who waits must look. */
static void
kqueue_tell_closed(struct kqueue *kq, int fd, struct fdentry *entry, bool alone, bool vanish)
{
	if (!kqueue_is_open(kq))
		return;
	hidden_epoll_ctl_in(&kq->kq_ep, EPOLL_CTL_DEL, fd, NULL);
	for (unsigned lane = 1; lane < WATCH_LANES; lane++)
		if (kq->kq_nested[lane - 1] >= 0)
			hidden_epoll_ctl_in(&kq->kq_nested[lane - 1], EPOLL_CTL_DEL, fd, NULL);
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
	kq = atomic_load_explicit(&entry->fe_watcher, memory_order_acquire);
	if ((kq == NULL && fdtable_queue(fd) == NULL && !fdtable_shut(fd)) || kqueue_in_vfork_child())
		return;
	if (fdtable_shut(fd))
		atomic_fetch_and_explicit(&entry->fe_state, ~FDTABLE_SHUT, memory_order_relaxed);
	if (kq == NULL && fdtable_queue(fd) == NULL)
		return;
	saved = errno;
	kqueue_thread.calls++;
	/* Only what is there is written: of most numbers the table's page is not in memory. */
	vanish = (atomic_load(&entry->fe_state) & FDTABLE_VANISH) != 0 &&
	    (atomic_fetch_and(&entry->fe_state, ~FDTABLE_VANISH) & FDTABLE_VANISH) != 0;
	if (kq != NULL)
		kq = atomic_exchange(&entry->fe_watcher, NULL);
	if (kq != NULL)
		atomic_fetch_add(&entry->fe_state, FDTABLE_EPOCH);
	if (kq == FDTABLE_MANY)
		for (kq = kqueue_first(); kq != NULL; kq = kq->kq_next)
			kqueue_tell_closed(kq, fd, entry, false, vanish);
	else if (kq != NULL)
		kqueue_tell_closed(kq, fd, entry, true, vanish);
	kqueue_number_closes(fdtable_role(fd));
	kqueue_end_unended();
	kqueue_thread.calls--;
	errno = saved;
}
