/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_FS.  ident means nothing, as on FreeBSD and macOS.  kn_fflags has what
 * has happened, of what was asked for, since the knote was last delivered.
 */
#include "../filter.h"

#include "../source/mounts.h"

#include <stddef.h>

/* Without notes everything is asked for, as on macOS: nothing at all would help nobody. */
static uint32_t
fs_asked(const struct knote *kn, uint32_t notes)
{
	return kn->kn_sfflags == 0 ? notes : notes & kn->kn_sfflags;
}

static void
fs_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	uint32_t notes = 0;

	if ((hint & MOUNTS_CAME) != 0)
		notes |= VQ_MOUNT;
	if ((hint & MOUNTS_WENT) != 0)
		notes |= VQ_UNMOUNT;
	notes = fs_asked(kn, notes);
	if (notes != 0) {
		kn->kn_fflags |= notes;
		knote_activate(kq, kn);
	}
}

static int
fs_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	int error = 0;

	/* Here, since it may fail. */
	if ((kev->flags & EV_ENABLE) != 0 && (kn->kn_status & KN_DISABLED) != 0)
		error = mounts_watch(kq);
	if (error < 0 || ((kev->flags & EV_ADD) == 0 && kev->fflags == 0))
		return error;
	/* What has happened goes by the old rules. */
	mounts_report(kq);
	kn->kn_sfflags = kev->fflags;
	kn->kn_fflags = fs_asked(kn, kn->kn_fflags);
	if (kn->kn_fflags == 0)
		knote_deactivate(kq, kn);
	return 0;
}

static bool
fs_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	out->fflags = kn->kn_fflags;
	return kn->kn_fflags != 0;
}

static void
fs_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	(void)kn;
	if (!enabled)
		mounts_unwatch(kq);
}

const struct filterops filter_fs = {
	.fo_clear = true,
	.fo_attach = mounts_attach,
	.fo_detach = mounts_detach,
	.fo_note = fs_note,
	.fo_touch = fs_touch,
	.fo_event = fs_event,
	.fo_enable = fs_enable,
};
