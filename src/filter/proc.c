/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_PROC.  When the process has ended, kn_fflags gets the notes of that
 * which were asked for, kn_data the status, and the pidfd is closed: from then
 * on the registration does not depend on a process, or on its number.
 */
#include "../filter.h"

#include "../source/pidfd.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

#define PROC_EXIT	(NOTE_EXIT | NOTE_EXITSTATUS)

/*
 * NOTE_FORK, NOTE_EXEC and NOTE_TRACK as libkqueue and the BSDs have them:
 * accepting one would promise events that never come.
 */
#define PROC_REFUSED	(0x40000000u | 0x20000000u | 0x00000001u)

static int
proc_attach(struct kqueue *kq, struct knote *kn)
{
	int error, status;

	if ((kn->kn_sfflags & PROC_REFUSED) != 0)
		return -ENOTSUP;
	if (kn->kn_ident == 0 || kn->kn_ident > INT_MAX)
		return -ESRCH;
	error = pidfd_attach(kn, (pid_t)kn->kn_ident);
	if (error < 0)
		return error;
	/* A zombie has nothing to tell but its end. */
	if ((kn->kn_sfflags & PROC_EXIT) == 0 && pidfd_exited(kn, &status))
		error = -ESRCH;
	else if ((kn->kn_status & KN_DISABLED) == 0)
		error = pidfd_watch(kq, kn);
	if (error < 0)
		pidfd_detach(kn);
	return error;
}

static void
proc_detach(struct kqueue *kq, struct knote *kn)
{
	(void)kq;
	pidfd_detach(kn);
}

/* Whether the end was noted. */
static bool
proc_ended(const struct knote *kn)
{
	return kn->kn_fflags != 0;
}

static void
proc_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	int status;

	(void)hint;
	if (proc_ended(kn) || !pidfd_exited(kn, &status))
		return;
	/* As on FreeBSD: nobody asked for the end, and nothing else will come. */
	if ((kn->kn_sfflags & PROC_EXIT) == 0) {
		knote_remove(kq, kn);
		return;
	}
	kn->kn_fflags = kn->kn_sfflags & PROC_EXIT;
	kn->kn_data = status;
	pidfd_detach(kn);
	knote_activate(kq, kn);
}

/* The end is reported once. */
static void
proc_again(struct kqueue *kq, struct knote *kn)
{
	proc_note(kq, kn, 0);
}

static int
proc_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	bool fflags = (kev->flags & EV_ADD) != 0 || kev->fflags != 0;
	int error = 0;

	if (fflags && (kev->fflags & PROC_REFUSED) != 0)
		return -ENOTSUP;
	/* Here, since it may fail. */
	if ((kev->flags & EV_ENABLE) != 0 && (kn->kn_status & KN_DISABLED) != 0 && !proc_ended(kn))
		error = pidfd_watch(kq, kn);
	if (error == 0 && fflags)
		kn->kn_sfflags = kev->fflags;
	return error;
}

static bool
proc_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	if (!proc_ended(kn))
		return false;
	out->fflags = kn->kn_fflags;
	out->data = kn->kn_data;
	out->flags |= EV_EOF;
	kn->kn_flags |= EV_ONESHOT;
	return true;
}

/* While it is disabled, an end must not make the queue readable. */
static void
proc_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	if (!enabled && !proc_ended(kn))
		pidfd_unwatch(kq, kn);
}

const struct filterops filter_proc = {
	.fo_clear = true,
	.fo_attach = proc_attach,
	.fo_detach = proc_detach,
	.fo_note = proc_note,
	.fo_touch = proc_touch,
	.fo_event = proc_event,
	.fo_again = proc_again,
	.fo_enable = proc_enable,
};
