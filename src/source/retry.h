/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux tells nobody: a timer has it looked at again, less and less often,
 * while it is not so.  Of a knote that waits kn_data and kn_aux are in use here.
 * Protected by the queue's lock.
 */
#ifndef KQ_RETRY_H
#define KQ_RETRY_H

#include "timerfd.h"

/* Not so yet: has knote_note() called after a while, unless the knote is disabled. */
void	retry_wait(struct kqueue *kq, struct knote *kn);

static inline bool
retry_waits(const struct knote *kn)
{
	return timerfd_waits(kn);
}

/* Nothing to wait for, or not now.  The next wait begins with a short delay. */
void	retry_stop(struct kqueue *kq, struct knote *kn);

#endif
