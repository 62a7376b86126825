/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_AIO and EVFILT_LIO: an asynchronous operation, or a list of them, has
 * ended.  Nobody but source/aio.c registers them, which sets EV_FLAG1 as FreeBSD
 * does.  The operation is in kn_hook; kn_aux is 1 once its end was reported,
 * which happens in several ways but counts once.
 */
#include "../filter.h"

#include "../source/aio.h"

#include <errno.h>

static int
job_attach(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_flags & EV_FLAG1) == 0)
		return -EPERM;
	kn->kn_flags &= (uint16_t)~EV_FLAG1;
	kn->kn_hook = (void *)(uintptr_t)kn->kn_sdata;
	kn->kn_aux = 0;
	kn->kn_status |= KN_LOOK;
	aio_attach(kq, kn);
	return 0;
}

static void
job_detach(struct kqueue *kq, struct knote *kn)
{
	(void)kq;
	aio_detach(kn);
}

/* Nothing of it can be changed but udata. */
static int
job_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	(void)kq;
	(void)kn;
	(void)kev;
	return 0;
}

static bool
job_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int error;

	(void)kq;
	(void)revents;
	if (!aio_ended(kn, &error))
		return false;
	if (kn->kn_filter == -EVFILT_AIO) {
		out->data = error;
		out->flags |= EV_EOF;
	}
	return true;
}

static void
job_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	(void)hint;
	if (kn->kn_aux != 0)
		return;
	kn->kn_aux = 1;
	knote_activate(kq, kn);
}

/* What the C library was late to tell, or a signal handler could not do. */
static bool
job_look(struct kqueue *kq, struct knote *kn)
{
	int error;

	if (aio_taken(kn)) {
		knote_remove(kq, kn);
		return false;
	}
	if (kn->kn_aux != 0 || !aio_ended(kn, &error))
		return false;
	kn->kn_aux = 1;
	return true;
}

static void
job_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	(void)kq;
	(void)out;
	kn->kn_aux = 1;
}

const struct filterops filter_aio = {
	.fo_attach = job_attach,
	.fo_detach = job_detach,
	.fo_note = job_note,
	.fo_touch = job_touch,
	.fo_event = job_event,
	.fo_look = job_look,
	.fo_delivered = job_delivered,
};
