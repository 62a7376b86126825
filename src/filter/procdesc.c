/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_PROCDESC: the end of the process behind a pidfd of the program's.  It
 * is polled like any descriptor; what poll says is no more than a hint, since
 * the end of a process stands once and for all.
 */
#include "../filter.h"

#include "../source/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

/* NOTE_FORK, NOTE_EXEC and NOTE_TRACK as the BSDs have them: no pidfd tells of these. */
#define PROCDESC_REFUSED	(0x40000000u | 0x20000000u | 0x00000001u)

static int
procdesc_attach(struct kqueue *kq, struct knote *kn)
{
	int fd = (int)kn->kn_ident;

	(void)kq;
	if (fcntl(fd, F_GETFD) == -1)
		return -EBADF;
	if (pidfd_check(fd) < 0)
		return -EINVAL;
	return (kn->kn_sfflags & PROCDESC_REFUSED) != 0 ? -ENOTSUP : 0;
}

static int
procdesc_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	(void)kq;
	if ((kev->flags & EV_ADD) == 0 && kev->fflags == 0)
		return 0;
	if ((kev->fflags & PROCDESC_REFUSED) != 0)
		return -ENOTSUP;
	kn->kn_sfflags = kev->fflags;
	return 0;
}

static bool
procdesc_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int status;

	(void)kq;
	(void)revents;
	if ((kn->kn_sfflags & NOTE_EXIT) == 0 || !pidfd_ended((int)kn->kn_ident, &status))
		return false;
	out->fflags = NOTE_EXIT;
	out->data = status;
	out->flags |= EV_EOF;
	kn->kn_flags |= EV_ONESHOT;
	return true;
}

const struct filterops filter_procdesc = {
	.fo_poll = POLLIN,
	.fo_fd = true,
	.fo_clear = true,
	.fo_attach = procdesc_attach,
	.fo_touch = procdesc_touch,
	.fo_event = procdesc_event,
};
