/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time: for each clock a heap of the knotes that wait and one timer descriptor
 * armed for the first of them, or earlier: what leaves a heap is not told to
 * the kernel.  Or it has gone off, and is to be reported.  Both are made with
 * the first knote and kept until the queue ends.  Protected by the queue's lock.
 *
 * A knote's place in its heap is in kn_aux; 0: the heap does not know it.
 * Once a heap knows a knote it has room for it until timerfd_remove(), so
 * waiting again cannot fail.
 */
#ifndef KQ_TIMERFD_H
#define KQ_TIMERFD_H

#include "../knote.h"

#include <stdbool.h>
#include <stdint.h>

struct kqueue;

#define TIMERFD_NEVER	INT64_MAX
#define TIMERFD_IDLE	UINT32_MAX	/* kn_aux: known, but does not wait */

/* The clock now, in nanoseconds.  date: the wall clock, else the monotonic one. */
int64_t	timerfd_now(bool date);

/*
 * Has knote_note(kq, kn, 0) called once, when the clock says when or soon after;
 * TIMERFD_NEVER: not at all, but room is kept.  What kn waited for before is
 * forgotten.  0 or -errno, the latter only if the heap did not know kn.
 */
int	timerfd_add(struct kqueue *kq, struct knote *kn, bool date, int64_t when);

/* Whether it waits. */
static inline bool
timerfd_waits(const struct knote *kn)
{
	return kn->kn_aux != 0 && kn->kn_aux != TIMERFD_IDLE;
}

/* The heap knows it no longer. */
void	timerfd_remove(struct kqueue *kq, struct knote *kn, bool date);

/* Epoll reports a timer descriptor. */
void	timerfd_report(struct kqueue *kq, bool date);

/* The queue ends: frees everything. */
void	timerfd_free(struct kqueue *kq);

#endif
