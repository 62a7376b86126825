/* SPDX-License-Identifier: BSD-2-Clause */
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct kqueue_thread kqueue_thread;

/*
 * A lock is mostly held for the time of a system call or two, less than it takes
 * to sleep and be woken, so the other processor's work is waited for a moment.
 */
#define LOCK_SPINS	100

static inline void
lock_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ volatile("yield");
#endif
}

static bool
lock_spin(struct lock *lk)
{
	uint32_t unheld;

	for (int i = 0; i < LOCK_SPINS; i++) {
		unheld = 0;
		if (atomic_load_explicit(&lk->lk_word, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_weak_explicit(&lk->lk_word, &unheld, 1,
		    memory_order_acquire, memory_order_relaxed))
			return true;
		lock_pause();
	}
	return false;
}

/* Neither call may disturb errno: the lock is also taken on the way out. */
void
lock_wait(struct lock *lk)
{
	int saved = errno;

	if (lock_spin(lk))
		return;
	while (atomic_exchange_explicit(&lk->lk_word, 2, memory_order_acquire) != 0)
		syscall(SYS_futex, &lk->lk_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
	errno = saved;
}

void
lock_wake(struct lock *lk)
{
	int saved = errno;

	syscall(SYS_futex, &lk->lk_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}
