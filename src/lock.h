/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mutex in one word, on futex(2).  Taking and dropping a free one costs two
 * atomic instructions, and with one thread none, which is why it is not
 * pthread's: kevent() takes one lock for each call.  A forked child may simply
 * overwrite it.
 *
 * kqueue_thread.locks counts those that this thread holds.
 *
 * Lock order, outermost first:
 *	pool		kqueue.c: making queues
 *	kq_lock		one queue; of two nested queues the outer first
 *	watchers	source/sigaction.c: who watches signals, and their bell
 *	signals		source/disposition.c: what the program wants done with each
 *	operations	source/aio.c: taking a free job
 *	ring		source/aio_uring.c: io_uring's, with all signals blocked
 *	memory		mem.c: taking a block; giving one back needs no lock
 */
#ifndef KQ_LOCK_H
#define KQ_LOCK_H

#include "helgrind.h"
#include "single.h"
#include "kqueue_thread.h"

#include <stdatomic.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t lk_word;	/* 0 free, 1 held, 2 held and wanted */
};

void	lock_wait(struct lock *lk);
void	lock_wake(struct lock *lk);

static inline void
lock_take(struct lock *lk)
{
	uint32_t unheld = 0;

	kqueue_thread.locks++;
	atomic_signal_fence(memory_order_seq_cst);
	if (single_threaded() && atomic_load_explicit(&lk->lk_word, memory_order_relaxed) == 0)
		atomic_store_explicit(&lk->lk_word, 1, memory_order_relaxed);
	else if (!atomic_compare_exchange_strong_explicit(&lk->lk_word, &unheld, 1,
	    memory_order_acquire, memory_order_relaxed))
		lock_wait(lk);
	HELGRIND_TAKEN(lk);
}

/* The same for who is single_threaded() and has found it free. */
static inline void
lock_take_alone(struct lock *lk)
{
	kqueue_thread.locks++;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&lk->lk_word, 1, memory_order_relaxed);
	HELGRIND_TAKEN(lk);
}

static inline void
lock_drop_alone(struct lock *lk)
{
	HELGRIND_DROPPED(lk);
	atomic_store_explicit(&lk->lk_word, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	kqueue_thread.locks--;
}

/* A forked child: who held it is not here.  Written only if need be: most pages stay its parent's. */
static inline void
lock_fork_child(struct lock *lk)
{
	if (atomic_load_explicit(&lk->lk_word, memory_order_relaxed) != 0)
		atomic_store(&lk->lk_word, 0);
}

static inline void
lock_drop(struct lock *lk)
{
	HELGRIND_DROPPED(lk);
	if (single_threaded() && atomic_load_explicit(&lk->lk_word, memory_order_relaxed) == 1)
		atomic_store_explicit(&lk->lk_word, 0, memory_order_release);
	else if (atomic_exchange_explicit(&lk->lk_word, 0, memory_order_release) == 2)
		lock_wake(lk);
	atomic_signal_fence(memory_order_seq_cst);
	kqueue_thread.locks--;
}

#endif
