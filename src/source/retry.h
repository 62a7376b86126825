/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux tells nobody: a timer has it looked at again, less and less often,
 * while it is not so.  Of a knote that waits kn_data and kn_aux are in use here.
 * Protected by the queue's lock.
 */
#ifndef KQ_RETRY_H
#define KQ_RETRY_H

#include "timerfd.h"

#define RETRY_LAST	100000000

/*
 * Not so yet: has knote_note() called after a while, unless the knote is disabled.  kn_data says how long that is,
 * in nanoseconds: each time twice as long as before, but not longer than most.
 */
void	retry_wait_at_most(struct kqueue *kq, struct knote *kn, int64_t most);

static inline void
retry_wait(struct kqueue *kq, struct knote *kn)
{
	retry_wait_at_most(kq, kn, RETRY_LAST);
}

static inline bool
retry_waits(const struct knote *kn)
{
	return timerfd_waits(kn);
}

/* So that the next wait cannot fail: 0 or -errno, for lack of memory or of the timer's descriptor. */
int	retry_reserve(struct kqueue *kq, struct knote *kn);

/* Nothing to wait for now.  The next wait begins with a short delay. */
void	retry_rest(struct kqueue *kq, struct knote *kn);

/* The same, and for good: what was reserved is given back. */
void	retry_stop(struct kqueue *kq, struct knote *kn);

#endif
