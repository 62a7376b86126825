/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is left of a registration with EV_DISPATCH2 that has ended, in the place
 * of its filter, until its owner has been told: kn_aux is the filter it had,
 * kn_sfflags says how it ended, EV_DELETE or EV_VANISHED.
 */
#include "../filter.h"

#include <stddef.h>

/* There is nothing to change. */
static int
gone_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	(void)kq;
	(void)kn;
	(void)kev;
	return 0;
}

static bool
gone_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	out->filter = (short)-(int)kn->kn_aux;
	out->flags = (unsigned short)(EV_ONESHOT | kn->kn_sfflags);
	return true;
}

const struct filterops filter_gone = {
	.fo_touch = gone_touch,
	.fo_event = gone_event,
};

const struct filterops filter_gone_fd = {
	.fo_fd = true,
	.fo_touch = gone_touch,
	.fo_event = gone_event,
};
