/* SPDX-License-Identifier: BSD-2-Clause */
#include "retry.h"

#define RETRY_FIRST	1000000

void
retry_wait_at_most(struct kqueue *kq, struct knote *kn, int64_t most)
{
	if ((kn->kn_status & KN_DISABLED) != 0 || retry_waits(kn))
		return;
	kn->kn_data = kn->kn_data == 0 ? RETRY_FIRST : kn->kn_data * 2;
	if (kn->kn_data > most)
		kn->kn_data = most;
	/* If it was not reserved, the next look by another cause will have to do. */
	(void)timerfd_add(kq, kn, false, timerfd_now(false) + kn->kn_data);
}

int
retry_reserve(struct kqueue *kq, struct knote *kn)
{
	return kn->kn_aux != 0 ? 0 : timerfd_add(kq, kn, false, TIMERFD_NEVER);
}

void
retry_rest(struct kqueue *kq, struct knote *kn)
{
	if (retry_waits(kn))
		(void)timerfd_add(kq, kn, false, TIMERFD_NEVER);
	kn->kn_data = 0;
}

void
retry_stop(struct kqueue *kq, struct knote *kn)
{
	if (kn->kn_aux != 0)
		timerfd_remove(kq, kn, false);
	kn->kn_data = 0;
}
