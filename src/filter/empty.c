/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_EMPTY: everything that was sent through a socket has left.  As on
 * FreeBSD there is no EV_EOF: a connection that ended, by shutdown or by an
 * error, is empty once nothing is queued or what was queued was thrown away.
 *
 * Linux wakes nobody when a send queue drains, nor when it fills.  While it is
 * not empty a timer looks again (source/retry.h).  An EV_CLEAR knote that has
 * told of an empty queue waits for it to fill and drain once more, so each call
 * looks at it (KN_LOOK).  kn_fflags: what TCP's peer had acknowledged when that
 * was told, to see what came and went between two looks.  No epoll item goes
 * with a socket whose closing was not seen, so kn_sdata remembers its inode.
 */
#include "filter.h"

#include "source/fdkind.h"
#include "source/retry.h"

#include <errno.h>

static int
empty_attach(struct kqueue *kq, struct knote *kn)
{
	enum fdkind kind;
	int error = fdkind_find((int)kn->kn_ident, &kind);
	int64_t inode;

	if (error < 0)
		return error;
	if (kind != FD_STREAM && kind != FD_DATAGRAM)
		return -EINVAL;
	if (fdkind_unsent((int)kn->kn_ident) < 0)
		return -ENOTSUP;
	inode = fdkind_inode((int)kn->kn_ident);
	if (inode < 0)
		return (int)inode;
	kn->kn_sdata = inode;
	return retry_reserve(kq, kn);
}

/* Of a change only EV_ADD matters: it is for the socket that is there now. */
static int
empty_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	return (kev->flags & EV_ADD) != 0 ? empty_attach(kq, kn) : 0;
}

static bool
empty_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int64_t unsent = -1, inode = fdkind_inode((int)kn->kn_ident);
	bool there = inode == kn->kn_sdata;

	(void)revents;
	if (there)
		unsent = fdkind_unsent((int)kn->kn_ident);
	/* Not empty; or the kernel does not say at the moment. */
	if (there ? unsent != 0 : inode < 0 && inode != -EBADF)
		retry_wait(kq, kn);
	out->data = unsent < 0 ? 0 : unsent;	/* EV_FORCEONESHOT tells it, too */
	return unsent == 0;
}

/* It is empty once more: it was not when last looked at, or something came and went since. */
static bool
empty_look(struct kqueue *kq, struct knote *kn)
{
	bool filled = retry_waits(kn);
	struct kevent scratch;

	return empty_event(kq, kn, 0, &scratch) &&
	    (filled || fdkind_acknowledged((int)kn->kn_ident) != kn->kn_fflags);
}

/* The timer, for one that was not empty. */
static void
empty_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	struct kevent scratch;

	(void)hint;
	if (empty_event(kq, kn, 0, &scratch))
		knote_activate(kq, kn);
}

static void
empty_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	(void)out;
	retry_rest(kq, kn);
	if ((kn->kn_flags & EV_CLEAR) == 0)
		return;
	kn->kn_fflags = fdkind_acknowledged((int)kn->kn_ident);
	kn->kn_status |= KN_LOOK;
	knote_deactivate(kq, kn);	/* puts it where it is looked at */
}

static void
empty_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	if (!enabled)
		retry_rest(kq, kn);
}

const struct filterops filter_empty = {
	.fo_fd = true,
	.fo_attach = empty_attach,
	.fo_detach = retry_stop,
	.fo_note = empty_note,
	.fo_touch = empty_touch,
	.fo_event = empty_event,
	.fo_look = empty_look,
	.fo_delivered = empty_delivered,
	.fo_enable = empty_enable,
};
