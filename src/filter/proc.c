/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_PROC.  The end of a process is told by a pidfd, its forks and execs by
 * the process connector.  A child that is tracked gets a knote like its
 * parent's; its end is told by the connector, too, for it may be gone before a
 * pidfd can be had.  Once the end is noted, a registration does not depend on a
 * process any more, or on its number.
 *
 * The status of a process that /proc does not tell us is told by the connector as
 * well, some time after the pidfd has told of the end: that much is waited for.
 *
 * kn_data: the notes to be delivered in the upper half; the parent, for
 * NOTE_CHILD, in the lower.  kn_sdata: in the upper half PROC_... and the
 * status, the lower is the pidfd's.  kn_fd is the pidfd, unless PROC_LATE.
 */
#include "../filter.h"

#include "../source/pidfd.h"
#include "../source/procconn.h"
#include "../source/timerfd.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

#define PROC_EXIT	(NOTE_EXIT | NOTE_EXITSTATUS)

#define PROC_ENDED	0x80000000u
#define PROC_LED	0x40000000u	/* its first thread ended, maybe more */
#define PROC_TRACKED	0x20000000u	/* is somebody's child: the connector tells of its end */
#define PROC_OVER	0x10000000u	/* has ended; what it did before may still be told */
#define PROC_ASKED	0x08000000u	/* the connector is asked for its status */
#define PROC_LATE	0x04000000u	/* has ended, and the status has not come: the timer knows it */
#define PROC_STATUS	0x0000ffffu

/*
 * How long, in nanoseconds.  Who ends wakes us before he sends it, and may lose his processor just then: on a busy
 * machine he has it again when all others have had theirs.  Only a message that was lost is waited for in vain.
 */
#define PROC_PATIENCE	1000000000

/* Tests that have each call fail in turn cannot have it each time. */
#ifdef KQ_LIBC_CALLS
extern int64_t	proc_patience;
int64_t		proc_patience = PROC_PATIENCE;
#else
#define proc_patience	PROC_PATIENCE
#endif

static uint32_t
proc_state(const struct knote *kn)
{
	return (uint32_t)((uint64_t)kn->kn_sdata >> 32);
}

static void
proc_set_state(struct knote *kn, uint32_t state)
{
	kn->kn_sdata = (int64_t)((uint64_t)state << 32 | (uint32_t)kn->kn_sdata);
}

static void
proc_set_status(struct knote *kn, uint32_t state, uint32_t status)
{
	proc_set_state(kn, (proc_state(kn) & ~PROC_STATUS) | state | (status & PROC_STATUS));
}

static bool
proc_ended(const struct knote *kn)
{
	return (proc_state(kn) & PROC_ENDED) != 0;
}

static uint32_t
proc_pending(const struct knote *kn)
{
	return (uint32_t)((uint64_t)kn->kn_data >> 32);
}

static void
proc_set_pending(struct knote *kn, uint32_t notes)
{
	kn->kn_data = (int64_t)((uint64_t)notes << 32 | (uint32_t)kn->kn_data);
}

/* What the connector is asked for. */
static unsigned
proc_scope(const struct knote *kn, uint32_t fflags)
{
	unsigned scope = (proc_state(kn) & PROC_ASKED) != 0 ? PROCCONN_END : 0;

	if ((proc_state(kn) & PROC_TRACKED) != 0 || (fflags & NOTE_TRACK) != 0)
		scope |= PROCCONN_ALL;
	else if ((fflags & (NOTE_FORK | NOTE_EXEC)) != 0)
		scope |= PROCCONN_FORKS;
	return scope;
}

/* Its end is asked for: so must the connector be, unless the status can be had otherwise. */
static inline __attribute__((always_inline)) void
proc_ask(struct kqueue *kq, struct knote *kn, uint32_t fflags)
{
	bool led;

	if ((fflags & PROC_EXIT) != 0 && (proc_state(kn) & (PROC_ASKED | PROC_TRACKED | PROC_LATE)) == 0 &&
	    pidfd_unseen(kn, &led) && procconn_attach(kq, (pid_t)kn->kn_ident, PROCCONN_END) == 0)
		proc_set_state(kn, proc_state(kn) | PROC_ASKED | (led ? PROC_LED : 0));
}

static void
proc_settle(struct kqueue *kq)
{
	if (kq->kq_procconn != NULL)
		procconn_report(kq);
}

static int
proc_attach(struct kqueue *kq, struct knote *kn)
{
	pid_t pid = (pid_t)kn->kn_ident;
	int error, status;

	if (kn->kn_ident == 0 || kn->kn_ident > INT_MAX)
		return -ESRCH;
	error = pidfd_attach(kn, pid);
	kn->kn_data = 0;
	if (error < 0)
		return error;
	/* From here on nothing is missed, unless it has ended already. */
	if (proc_scope(kn, kn->kn_sfflags) != 0)
		error = procconn_attach(kq, pid, proc_scope(kn, kn->kn_sfflags));
	if (error < 0)
		goto pidfd;
	proc_ask(kq, kn, kn->kn_sfflags);
	/* A zombie has nothing to tell but its end. */
	if ((kn->kn_sfflags & PROC_EXIT) == 0 && pidfd_exited(kn, &status))
		error = -ESRCH;
	else if ((kn->kn_status & KN_DISABLED) == 0)
		error = pidfd_watch(kq, kn);
	if (error == 0)
		return 0;
	procconn_detach(kq, pid, proc_scope(kn, kn->kn_sfflags));
pidfd:
	pidfd_detach(kn);
	return error;
}

static void
proc_detach(struct kqueue *kq, struct knote *kn)
{
	if (!proc_ended(kn))
		procconn_detach(kq, (pid_t)kn->kn_ident, proc_scope(kn, kn->kn_sfflags));
	if ((proc_state(kn) & PROC_LATE) == 0) {
		pidfd_detach(kn);
		return;
	}
	timerfd_remove(kq, kn, false);
	proc_set_state(kn, proc_state(kn) & ~PROC_LATE);
	atomic_init(&kn->kn_fd, -1);
}

/* The notes are to be delivered, if there are any. */
static void
proc_tell(struct kqueue *kq, struct knote *kn, uint32_t notes)
{
	if (notes == 0)
		return;
	proc_set_pending(kn, proc_pending(kn) | notes);
	knote_activate(kq, kn);
}

/* It waits for nothing any more. */
static void
proc_ends(struct kqueue *kq, struct knote *kn, uint32_t status)
{
	proc_set_status(kn, PROC_ENDED, status);
	/* As on FreeBSD: nobody asked for the end, and nothing else will come. */
	if ((kn->kn_sfflags & PROC_EXIT) == 0 && proc_pending(kn) == 0)
		knote_remove(kq, kn);
	else
		knote_activate(kq, kn);
}

/* The process has ended: what was the knote's may be gone after this. */
static void
proc_end(struct kqueue *kq, struct knote *kn, uint32_t status)
{
	proc_detach(kq, kn);
	proc_ends(kq, kn, status);
}

/* Has the timer look again, instead of the pidfd; without memory for it there is no waiting. */
static bool
proc_wait(struct kqueue *kq, struct knote *kn)
{
	if ((proc_state(kn) & PROC_LATE) != 0)
		return timerfd_waits(kn);
	pidfd_detach(kn);
	kn->kn_aux = 0;
	if (timerfd_add(kq, kn, false, timerfd_now(false) + proc_patience) < 0) {
		atomic_init(&kn->kn_fd, -1);
		return false;
	}
	proc_set_state(kn, proc_state(kn) | PROC_LATE);
	return true;
}

/* Whether every thread of it has ended, and if so what is known of the status but by the connector. */
static bool
proc_gone(const struct knote *kn, int *status)
{
	*status = 0;
	return (proc_state(kn) & PROC_LATE) != 0 || kn->kn_fd == -1 || pidfd_exited(kn, status);
}

/* If every thread of it has ended, by now, so has it. */
static bool
proc_look(struct kqueue *kq, struct knote *kn)
{
	uint32_t state = proc_state(kn), status = state & PROC_STATUS;
	int better;

	if (!proc_gone(kn, &better))
		return false;
	if (better != 0)
		proc_end(kq, kn, (uint32_t)better);
	/* 0 may be the first thread's, which went before the others. */
	else if ((state & (PROC_ASKED | PROC_OVER)) != PROC_ASKED ||
	    (status != 0 && (state & PROC_LED) != 0) || !proc_wait(kq, kn))
		proc_end(kq, kn, status);
	return true;
}

/* The pidfd has told of the end, and the status; if the connector has nothing to say to it, that is all. */
static void
proc_told(struct kqueue *kq, struct knote *kn, uint32_t status)
{
	if (proc_state(kn) != 0 || proc_scope(kn, kn->kn_sfflags) != 0) {
		proc_look(kq, kn);
		return;
	}
	pidfd_detach_soon(kn);
	proc_ends(kq, kn, status);
}

/*
 * Its first thread has ended.  What is left of it, if anything, the pidfd will
 * tell, unless its number begins anew: then it was another's from the first.
 */
static void
proc_led(struct kqueue *kq, struct knote *kn, uint32_t status)
{
	proc_set_status(kn, PROC_LED, status);
	if (!proc_look(kq, kn) && (kn->kn_status & KN_DISABLED) == 0)
		(void)pidfd_watch(kq, kn);
}

/*
 * The same of one whose status is told by nobody else; what it means is seen when
 * all has been told.  Another thread's status is the process's if the first one
 * has gone before, with 0, as POSIX threads do.
 */
static void
proc_learn(struct knote *kn, bool first, uint32_t status)
{
	if (first)
		proc_set_status(kn, PROC_LED, status);
	else if ((proc_state(kn) & PROC_STATUS) == 0)
		proc_set_status(kn, 0, status);
}

static void
proc_exited(struct kqueue *kq, struct knote *kn, bool first)
{
	if ((proc_state(kn) & (PROC_ASKED | PROC_TRACKED)) == PROC_ASKED)
		proc_learn(kn, first, procconn_status(kq));
	else if (first)
		proc_led(kq, kn, procconn_status(kq));
}

/* The first time it is only noted that it has ended, so that what was told in between counts. */
static void
proc_done(struct kqueue *kq, struct knote *kn)
{
	uint32_t state = proc_state(kn);
	int status;

	if ((state & PROC_OVER) != 0)
		proc_look(kq, kn);
	else if ((state & (PROC_ASKED | PROC_LED)) == PROC_ASKED)
		return;		/* the status is still to come */
	else if ((state & PROC_TRACKED) == 0 && proc_gone(kn, &status))
		proc_set_state(kn, state | PROC_OVER);
}

/* A knote like its parent's for a child. */
static int
proc_track(struct kqueue *kq, const struct knote *kn, pid_t pid)
{
	struct knote *child = knote_copy(kq, kn, (uintptr_t)pid);
	int error;

	if (child == NULL)
		return -ENOMEM;
	error = pidfd_attach(child, pid);
	(void)procconn_attach(kq, pid, PROCCONN_ALL);
	proc_set_state(child, PROC_TRACKED);
	if (error < 0 && error != -ESRCH) {
		knote_remove(kq, child);
		return error;
	}
	child->kn_data = (int64_t)kn->kn_ident;
	proc_tell(kq, child, NOTE_CHILD);
	return 0;
}

/* Whether the child has a registration of its own already: the program was quicker. */
static bool
proc_known(struct kqueue *kq, const struct knote *kn, pid_t child)
{
	const struct knote *own = knote_find(kq, (uintptr_t)child, kn);

	return own != NULL && !proc_ended(own);
}

static void
proc_forked(struct kqueue *kq, struct knote *kn, pid_t child)
{
	uint32_t notes = kn->kn_sfflags & NOTE_FORK;

	if ((kn->kn_sfflags & NOTE_TRACK) != 0 && !proc_known(kq, kn, child) &&
	    proc_track(kq, kn, child) < 0)
		notes |= NOTE_TRACKERR;
	proc_tell(kq, kn, notes);
}

/* Something was not told: it may have been anything. */
static void
proc_lost(struct kqueue *kq, struct knote *kn)
{
	uint32_t notes = kn->kn_sfflags & (NOTE_FORK | NOTE_EXEC);

	if (proc_scope(kn, kn->kn_sfflags) == 0 || proc_look(kq, kn))
		return;
	if ((kn->kn_sfflags & NOTE_TRACK) != 0)
		notes |= NOTE_TRACKERR;
	proc_tell(kq, kn, notes);
}

static void
proc_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	if (proc_ended(kn))
		return;
	if ((hint & PIDFD_TOLD) != 0) {
		proc_told(kq, kn, hint);
		return;
	}
	switch (hint) {
	case PROCCONN_FORK:
		proc_forked(kq, kn, procconn_child(kq));
		break;
	case PROCCONN_EXEC:
		proc_tell(kq, kn, kn->kn_sfflags & NOTE_EXEC);
		break;
	case PROCCONN_EXIT:
		proc_exited(kq, kn, true);
		break;
	case PROCCONN_THREAD:
		proc_exited(kq, kn, false);
		break;
	case PROCCONN_DONE:
		proc_done(kq, kn);
		break;
	case PROCCONN_LOST:
		proc_lost(kq, kn);
		break;
	case PROCCONN_BORN:
		if ((proc_state(kn) & PROC_LED) != 0)
			proc_end(kq, kn, proc_state(kn));
		else
			proc_look(kq, kn);
		break;
	default:
		proc_look(kq, kn);
	}
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
	pid_t pid = (pid_t)kn->kn_ident;
	unsigned before, after;
	int error = 0;

	if (fflags && !proc_ended(kn))
		proc_ask(kq, kn, kev->fflags);
	before = after = proc_scope(kn, kn->kn_sfflags);
	if (fflags && !proc_ended(kn))
		after = proc_scope(kn, kev->fflags);
	if (after != before)
		error = procconn_attach(kq, pid, after);
	if (error < 0)
		return error;
	/* Here, since it may fail. */
	if ((kev->flags & EV_ENABLE) != 0 && (kn->kn_status & KN_DISABLED) != 0 &&
	    !proc_ended(kn) && (proc_state(kn) & PROC_LATE) == 0 &&
	    (proc_state(kn) & (PROC_TRACKED | PROC_LED)) != PROC_TRACKED)
		error = pidfd_watch(kq, kn);
	if (after != before)
		procconn_detach(kq, pid, error < 0 ? after : before);
	if (error == 0 && fflags) {
		kn->kn_sfflags = kev->fflags;
		proc_set_pending(kn, proc_pending(kn) & (kev->fflags | NOTE_CHILD | NOTE_TRACKERR));
	}
	return error;
}

/* NOTE_CHILD comes alone, and first, since its data is another; the end comes with all that is left. */
static bool
proc_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	uint32_t pending = proc_pending(kn), end = kn->kn_sfflags & PROC_EXIT;
	bool ended = proc_ended(kn);

	(void)kq;
	(void)revents;
	if ((pending & NOTE_CHILD) != 0) {
		out->fflags = NOTE_CHILD;
		out->data = (uint32_t)kn->kn_data;
		ended = ended && pending == NOTE_CHILD && end == 0;
	} else {
		out->fflags = ended ? pending | end : pending;
		out->data = ended && end != 0 ? proc_state(kn) & PROC_STATUS : 0;
	}
	if (ended)
		out->flags |= EV_EOF | EV_ONESHOT;
	return ended || pending != 0;
}

static void
proc_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	proc_set_pending(kn, proc_pending(kn) & ~out->fflags);
	if (proc_pending(kn) != 0 || proc_ended(kn))
		knote_activate(kq, kn);
}

/* While it is disabled, an end must not make the queue readable. */
static void
proc_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	if (!enabled && !proc_ended(kn) && (proc_state(kn) & PROC_LATE) == 0)
		pidfd_unwatch(kq, kn);
}

const struct filterops filter_proc = {
	.fo_clear = true,
	.fo_settle = proc_settle,
	.fo_attach = proc_attach,
	.fo_tells = true,	/* what is so already, the pidfd reports */
	.fo_detach = proc_detach,
	.fo_note = proc_note,
	.fo_touch = proc_touch,
	.fo_event = proc_event,
	.fo_again = proc_again,
	.fo_delivered = proc_delivered,
	.fo_enable = proc_enable,
};
