/* SPDX-License-Identifier: BSD-2-Clause */
/* A forked child leaves its parent's queues behind. */
#include "pool.h"

#include "hidden.h"
#include "mem.h"
#include "source/aio.h"
#include "source/sigaction.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic(_Atomic uint32_t *) pool_page;

static _Atomic bool pool_inherited;	/* the parent's memory is still to be given back */
static _Atomic bool fork_cleanup = true;

/*
 * The page is among the library's variables that begin as zero, which are anonymous memory like
 * any other, and cost less than a mapping of its own.  There is none larger than this, nor are all
 * loaders able to align so much.
 */
#define POOL_PAGE	65536

static char pool_room[2 * POOL_PAGE];

int
pool_make_page(void)
{
	void *room = (void *)(((uintptr_t)pool_room + POOL_PAGE - 1) & ~(uintptr_t)(POOL_PAGE - 1)), *page = room;
	_Atomic uint32_t *none = NULL;

	if (atomic_load(&pool_page) != NULL)
		return 0;
	if (madvise(page, POOL_PAGE, MADV_WIPEONFORK) == -1) {
		page = mmap(NULL, POOL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED)
			return -errno;
		(void)madvise(page, POOL_PAGE, MADV_WIPEONFORK);
	}
	atomic_store((_Atomic uint32_t *)page, PAGE_OWN);
	/* Another thread may have been quicker. */
	if (!atomic_compare_exchange_strong(&pool_page, &none, (_Atomic uint32_t *)page) && page != room)
		munmap(page, POOL_PAGE);
	return 0;
}

bool
kqueue_set_fork_cleanup(bool on)
{
	return atomic_exchange(&fork_cleanup, on);
}

/* KCMP_FILES of <linux/kcmp.h>. */
#define SAME_FILES	2

/*
 * A child of clone() may have the very descriptors of its parent, CLONE_FILES: then there are no copies.
 * If the kernel does not say, there are.
 */
static bool
kqueue_shares_descriptors(void)
{
	pid_t parent = atomic_load(&pool_process);

	return parent != 0 && syscall(SYS_kcmp, getpid(), parent, SAME_FILES, 0, 0) == 0;
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
	bool cleanup = atomic_load(&fork_cleanup) && !kqueue_shares_descriptors();
	int bell = atomic_load(&pool_eventfd);

	for (int fd = fdtable_next(0); fd >= 0; fd = fdtable_next((unsigned)fd + 1)) {
		if (cleanup && fdtable_queue(fd) != NULL &&
		    hidden_epoll_ctl(fd, EPOLL_CTL_ADD, bell, &item) == -1 && errno == EEXIST)
			hidden_close(fd);
		if (cleanup && fdtable_hidden(fd) && fd != bell)
			hidden_close(fd);
		fdtable_forget(fd);
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
	hidden_fork_child();
	sigaction_fork_child();
	aio_fork_child();
	kqueue_close_inherited();
	pool_fork_child();
	mem_fork_child();
	atomic_store(&pool_inherited, true);
}

/* The first thread of a child to come here does that; a handler must not come in between. */
void
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
void
kqueue_fork_child(void)
{
	_Atomic uint32_t *page = atomic_load(&pool_page);

	if (page == NULL)
		return;
	atomic_store(page, PAGE_INHERITED);
	kqueue_take_over();
}

/*
 * The child has left what it had of its parent's behind, unless it is still in a
 * call that its parent began: then the memory stays, now that it gets a queue of
 * this child's, too.
 */
bool
kqueue_drop_inherited(void)
{
	if (!atomic_exchange(&pool_inherited, false) || kqueue_thread.calls != 0)
		return false;
	mem_reset();
	return true;
}
