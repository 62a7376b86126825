/* SPDX-License-Identifier: BSD-2-Clause */
#include "lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <errno.h>

_Thread_local unsigned lock_depth;

/* Neither call may disturb errno: the lock is also taken on the way out. */
void
lock_wait(struct lock *lk)
{
	int saved = errno;

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
