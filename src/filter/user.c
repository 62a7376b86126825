/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_USER.  kn_sfflags and kn_sdata are what events carry; NOTE_TRIGGER in
 * kn_fflags is set while the event happens; with EV_CLEAR, delivery makes it 0.
 * The most frequent change and event do not come by here: trigger.h.
 */
#include "../filter.h"

#include <stddef.h>

static int
user_attach(struct kqueue *kq, struct knote *kn)
{
	(void)kq;
	kn->kn_fflags = kn->kn_sfflags & NOTE_TRIGGER;
	kn->kn_sfflags &= NOTE_FFLAGSMASK;
	return 0;
}

static uint32_t
user_fflags(uint32_t stored, uint32_t asked)
{
	uint32_t given = asked & NOTE_FFLAGSMASK;

	switch (asked & NOTE_FFCTRLMASK) {
	case NOTE_FFAND:
		return stored & given;
	case NOTE_FFOR:
		return stored | given;
	case NOTE_FFCOPY:
		return given;
	default:
		return stored;
	}
}

/* The caller looks at the condition next: a trigger need not activate. */
static int
user_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	kn->kn_sfflags = user_fflags(kn->kn_sfflags, kev->fflags);
	kn->kn_sdata = kev->data;
	if ((kev->fflags & NOTE_TRIGGER) != 0) {
		kn->kn_fflags = NOTE_TRIGGER;
	} else if ((kev->flags & EV_CLEAR) != 0) {
		kn->kn_fflags = 0;
		knote_deactivate(kq, kn);
	}
	return 0;
}

static bool
user_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	out->fflags = kn->kn_sfflags;
	out->data = kn->kn_sdata;
	return kn->kn_fflags != 0;
}

const struct filterops filter_user = {
	.fo_attach = user_attach,
	.fo_touch = user_touch,
	.fo_event = user_event,
};
