/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_NETDEV, as FreeBSD had it, but for ident: kn_fflags has the states that
 * were passed through since the knote was last delivered, of those asked for, and
 * kn_data the state now.
 */
#include "../filter.h"

#include "../source/rtnetlink.h"

#include <stddef.h>

/* In kn_fflags: there is no such interface any more. */
#define NETDEV_GONE	0x80000000u

static uint32_t
netdev_notes(uint32_t states)
{
	uint32_t notes = 0;

	if ((states & RTNETLINK_UP) != 0)
		notes |= NOTE_LINKUP;
	if ((states & RTNETLINK_DOWN) != 0)
		notes |= NOTE_LINKDOWN;
	if ((states & (RTNETLINK_UNKNOWN | RTNETLINK_GONE)) != 0)
		notes |= NOTE_LINKINV;
	return notes;
}

/* The end is told whatever was asked for. */
static void
netdev_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	kn->kn_fflags |= netdev_notes(hint) & kn->kn_sfflags;
	kn->kn_data = netdev_notes(RTNETLINK_NOW(hint));
	if ((hint & RTNETLINK_GONE) != 0)
		kn->kn_fflags |= NETDEV_GONE;
	if (kn->kn_fflags != 0)
		knote_activate(kq, kn);
}

static int
netdev_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	int error = 0;

	/* Here, since it may fail. */
	if ((kev->flags & EV_ENABLE) != 0 && (kn->kn_status & KN_DISABLED) != 0)
		error = rtnetlink_watch(kq);
	if (error < 0 || ((kev->flags & EV_ADD) == 0 && kev->fflags == 0))
		return error;
	/* What has happened goes by the old rules. */
	rtnetlink_report(kq);
	kn->kn_sfflags = kev->fflags;
	kn->kn_fflags &= kev->fflags | NETDEV_GONE;
	if (kn->kn_fflags == 0)
		knote_deactivate(kq, kn);
	return 0;
}

static bool
netdev_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	if (kn->kn_fflags == 0)
		return false;
	out->fflags = kn->kn_fflags & ~NETDEV_GONE;
	out->data = kn->kn_data;
	if ((kn->kn_fflags & NETDEV_GONE) != 0) {
		out->flags |= EV_EOF;
		kn->kn_flags |= EV_ONESHOT;
	}
	return true;
}

static void
netdev_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	(void)kn;
	if (!enabled)
		rtnetlink_unwatch(kq);
}

const struct filterops filter_netdev = {
	.fo_clear = true,
	.fo_attach = rtnetlink_attach,
	.fo_detach = rtnetlink_detach,
	.fo_note = netdev_note,
	.fo_touch = netdev_touch,
	.fo_event = netdev_event,
	.fo_enable = netdev_enable,
};
