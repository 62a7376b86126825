/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_MEMORYSTATUS: the pressure on memory has changed.  Each registration
 * has a level of its own, in kn_data, which begins with no pressure; a change to
 * a level that was asked for is an event, and the latest replaces one that was
 * not delivered, in kn_fflags.
 *
 * Linux reports pressure again as long as it lasts, but not its end.  So a level
 * is left when its reports have not come for a while, by a timer.
 */
#include "../filter.h"

#include "../source/psi.h"
#include "../source/timerfd.h"

#include <errno.h>

#define MEMORYSTATUS_NORMAL	NOTE_MEMORYSTATUS_PRESSURE_NORMAL
#define MEMORYSTATUS_WARN	NOTE_MEMORYSTATUS_PRESSURE_WARN
#define MEMORYSTATUS_CRITICAL	NOTE_MEMORYSTATUS_PRESSURE_CRITICAL

/* LOW_SWAP, PROC_LIMIT_WARN and PROC_LIMIT_CRITICAL of macOS: nothing tells of these. */
#define MEMORYSTATUS_REFUSED	0x00000038u

static unsigned
memorystatus_level(struct kqueue *kq)
{
	return psi_lasts(kq, PSI_FULL) ? MEMORYSTATUS_CRITICAL :
	    psi_lasts(kq, PSI_SOME) ? MEMORYSTATUS_WARN : MEMORYSTATUS_NORMAL;
}

static int
memorystatus_attach(struct kqueue *kq, struct knote *kn)
{
	int error;

	if ((kn->kn_sfflags & MEMORYSTATUS_REFUSED) != 0)
		return -ENOTSUP;
	kn->kn_data = MEMORYSTATUS_NORMAL;
	error = timerfd_add(kq, kn, false, TIMERFD_NEVER);	/* from here on it cannot fail */
	if (error < 0)
		return error;
	error = psi_attach(kq, kn);
	if (error < 0)
		timerfd_remove(kq, kn, false);
	return error;
}

static void
memorystatus_detach(struct kqueue *kq, struct knote *kn)
{
	timerfd_remove(kq, kn, false);
	psi_detach(kq, kn);
}

/* There is a new level, or the same still: it is to be looked at again when it may be over. */
static void
memorystatus_set(struct kqueue *kq, struct knote *kn, unsigned level)
{
	if (level != kn->kn_data && (kn->kn_sfflags & level) != 0)
		kn->kn_fflags = level;
	kn->kn_data = level;
	if (level != MEMORYSTATUS_NORMAL)
		timerfd_add(kq, kn, false, PSI_LINGER +
		    psi_last(kq, level == MEMORYSTATUS_CRITICAL ? PSI_FULL : PSI_SOME));
}

/*
 * hint: the pressure that was reported, which never lowers the level; or 0 from
 * the timer.  Then a report may be there as well, not taken yet, so it is judged
 * when the event is to be made.
 */
static void
memorystatus_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	unsigned level = hint == PSI_FULL ? MEMORYSTATUS_CRITICAL : MEMORYSTATUS_WARN;

	if ((kn->kn_status & KN_DISABLED) != 0)
		return;
	if (hint != 0 && level >= kn->kn_data)
		memorystatus_set(kq, kn, level);
	if (hint == 0 || kn->kn_fflags != 0)
		knote_activate(kq, kn);
}

static int
memorystatus_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	bool fflags = (kev->flags & EV_ADD) != 0 || kev->fflags != 0;
	int error = 0;

	if (fflags && (kev->fflags & MEMORYSTATUS_REFUSED) != 0)
		return -ENOTSUP;
	/* Here, since it may fail. */
	if ((kev->flags & EV_ENABLE) != 0)
		error = psi_watch(kq);
	if (error == 0 && fflags)
		kn->kn_sfflags = kev->fflags;
	return error;
}

static bool
memorystatus_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)revents;
	if (kn->kn_data != MEMORYSTATUS_NORMAL && !timerfd_waits(kn) &&
	    (kn->kn_status & KN_DISABLED) == 0)
		memorystatus_set(kq, kn, memorystatus_level(kq));
	out->fflags = kn->kn_fflags & kn->kn_sfflags;
	return out->fflags != 0;
}

/*
 * While it is disabled nothing is reported, or the queue would be readable for
 * nothing.  If there is pressure when it is enabled that is soon reported anew;
 * what is not is over.
 */
static void
memorystatus_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	bool wait = enabled && kn->kn_data != MEMORYSTATUS_NORMAL;

	timerfd_add(kq, kn, false, wait ? timerfd_now(false) + PSI_LINGER : TIMERFD_NEVER);
	if (!enabled)
		psi_rest(kq);
}

const struct filterops filter_memorystatus = {
	.fo_clear = true,
	.fo_attach = memorystatus_attach,
	.fo_detach = memorystatus_detach,
	.fo_note = memorystatus_note,
	.fo_touch = memorystatus_touch,
	.fo_event = memorystatus_event,
	.fo_enable = memorystatus_enable,
};
