/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_SIGNAL.  A signal is counted when it is delivered, or taken by
 * sigwait(2); one that is blocked, once ahead of that, when it is first seen
 * pending.  kn_sdata says which delivery was counted ahead: 1 + the count of
 * those before it; negative if it was last seen pending no longer.  kn_data:
 * how many of all there were when the knote was made or last delivered.
 */
#include "../filter.h"

#include "../source/disposition.h"
#include "../source/sigaction.h"

#include <errno.h>
#include <stddef.h>

/* The C library keeps what lies between the standard and the real-time signals. */
static bool
signal_valid(uintptr_t ident)
{
	return ident > 0 && ident <= (uintptr_t)SIGRTMAX && ident <= DISPOSITION_SIGNALS &&
	    (ident <= 31 || ident >= (uintptr_t)SIGRTMIN) &&
	    ident != SIGKILL && ident != SIGSTOP;
}

/* Whether one was counted ahead that is yet to be delivered. */
static bool
signal_ahead(const struct knote *kn, int64_t count)
{
	return kn->kn_sdata == 1 + count || kn->kn_sdata == -(1 + count);
}

static int64_t
signal_total(const struct knote *kn)
{
	int64_t count = disposition_count((int)kn->kn_ident);

	return count + signal_ahead(kn, count);
}

/*
 * Counts a pending signal ahead of its delivery.  count is older than the look
 * at what is pending, so it cannot have that delivery in it.
 */
static void
signal_look_ahead(struct knote *kn, int64_t count)
{
	if (sigaction_pending((int)kn->kn_ident))
		kn->kn_sdata = 1 + count;
}

static int
signal_attach(struct kqueue *kq, struct knote *kn)
{
	int64_t count;
	int error;

	if (!signal_valid(kn->kn_ident))
		return -EINVAL;
	error = sigaction_attach(kq, kn, (int)kn->kn_ident);
	if (error < 0)
		return error;
	/* What came before does not count, not even when it is delivered. */
	count = disposition_count((int)kn->kn_ident);
	kn->kn_sdata = 0;
	signal_look_ahead(kn, count);
	kn->kn_data = count + signal_ahead(kn, count);
	return 0;
}

static void
signal_detach(struct kqueue *kq, struct knote *kn)
{
	sigaction_detach(kq, kn, (int)kn->kn_ident);
}

/*
 * What was counted ahead and is not pending now has been taken, and will be
 * counted as delivered in a moment; or it never will, since it was read from a
 * signalfd, say.  Then the next look knows: one that is pending is another.
 */
static void
signal_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	int64_t count = disposition_count((int)kn->kn_ident);
	bool pending = (hint & SIGACTION_PENDING) != 0;

	disposition_return((int)kn->kn_ident);
	if (!signal_ahead(kn, count)) {
		if (pending)
			signal_look_ahead(kn, count);
	} else if (kn->kn_sdata > 0) {
		if (!pending)
			kn->kn_sdata = -kn->kn_sdata;
	} else {
		kn->kn_sdata = pending ? -kn->kn_sdata : 0;
		kn->kn_data--;
	}
	if (signal_total(kn) > kn->kn_data)
		knote_activate(kq, kn);
}

/* fflags and data of a change mean nothing here. */
static int
signal_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	(void)kq;
	(void)kev;
	disposition_refresh((int)kn->kn_ident);
	return 0;
}

static bool
signal_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	(void)kq;
	(void)revents;
	out->data = signal_total(kn) - kn->kn_data;
	return out->data > 0;
}

static void
signal_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	(void)kq;
	kn->kn_data += out->data;
}

static void
signal_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	(void)enabled;
	disposition_return((int)kn->kn_ident);
	sigaction_update(kq);
}

const struct filterops filter_signal = {
	.fo_clear = true,
	.fo_attach = signal_attach,
	.fo_detach = signal_detach,
	.fo_note = signal_note,
	.fo_touch = signal_touch,
	.fo_event = signal_event,
	.fo_delivered = signal_delivered,
	.fo_enable = signal_enable,
};
