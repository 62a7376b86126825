/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_WRITE: there is room to write. */
#include "filter.h"

#include "fdtable.h"
#include "source/fdkind.h"
#include "source/retry.h"
#include "source/watch_item.h"

#include <errno.h>
#include <poll.h>

/* A mark may need the timer, which must not be lacking then. */
static int
write_reserve(struct kqueue *kq, struct knote *kn, uint32_t fflags)
{
	return (fflags & NOTE_LOWAT) == 0 ? 0 : retry_reserve(kq, kn);
}

static int
write_attach(struct kqueue *kq, struct knote *kn)
{
	if (fdtable_shut((int)kn->kn_ident))
		fdtable_is_socket((int)kn->kn_ident, fdkind_inode((int)kn->kn_ident));
	return write_reserve(kq, kn, kn->kn_sfflags);
}

/* Regular files and devices that epoll refuses can always be written. */
static int
write_attach_file(struct kqueue *kq, struct knote *kn)
{
	return watch_kind(kq, (int)kn->kn_ident) == FD_DIRECTORY ? -EINVAL : 0;
}

/* The mark lies above the kernel's own, and nobody tells when it is reached. */
static bool
write_wait(struct kqueue *kq, struct knote *kn)
{
	kn->kn_status |= KN_PARKED;
	retry_wait(kq, kn);
	return false;
}

/* Whether there is a count of free space that a mark can be compared with. */
static bool
write_counts(int fd, enum fdkind kind)
{
	return kind == FD_PIPE || ((kind == FD_STREAM || kind == FD_DATAGRAM) && fdkind_unsent(fd) >= 0);
}

/* Whether this side can send no more. */
static bool
write_is_end(int fd, enum fdkind kind, uint32_t revents)
{
	if (kind == FD_STREAM || kind == FD_DATAGRAM)
		return fdtable_shut(fd) || (revents & (POLLHUP | POLLRDHUP)) == (POLLHUP | POLLRDHUP);
	return (revents & (POLLHUP | (kind == FD_PIPE ? POLLERR : 0))) != 0;
}

static bool
write_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int fd = (int)kn->kn_ident;
	enum fdkind kind = watch_kind(kq, fd);

	if ((kn->kn_status & KN_FILE) != 0)
		return true;
	if (kind == FD_UNKNOWN)
		return false;		/* closed unseen, and a duplicate reports */
	/* Epoll does not tell POLLRDHUP here, but POLLHUP means nothing without it. */
	if (revents == 0 || (revents & POLLHUP) != 0)
		revents = fdkind_poll(fd);
	if (write_is_end(fd, kind, revents)) {
		out->flags |= EV_EOF;
		out->fflags = (unsigned)fdkind_socket_error(fd, revents);
		out->data = fdkind_space(fd, kind);
		return out->data > 0;	/* else closed unseen, and a duplicate reports */
	}
	if ((revents & (POLLOUT | POLLERR)) == 0 || fdkind_unconnected(revents)) {
		kn->kn_status |= KN_PARKED;
		return false;
	}
	out->data = (kn->kn_sfflags & (NOTE_NOCOUNT | NOTE_LOWAT)) == NOTE_NOCOUNT ? 1 :
	    fdkind_space(fd, kind);
	if (out->data == 0)
		return false;
	if ((kn->kn_sfflags & NOTE_LOWAT) != 0 && out->data < kn->kn_sdata && write_counts(fd, kind))
		return write_wait(kq, kn);
	return true;
}

/* A change has epoll look again: the look that was due would tell the same twice. */
static int
write_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	bool new = (kev->flags & EV_ADD) != 0 || kev->fflags != 0;
	int error = new ? write_reserve(kq, kn, kev->fflags) : 0;

	if (error < 0)
		return error;
	if (new) {
		kn->kn_sfflags = kev->fflags;
		kn->kn_sdata = kev->data;
	}
	retry_rest(kq, kn);
	return 0;
}

static void
write_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	(void)out;
	retry_rest(kq, kn);
}

static void
write_enable(struct kqueue *kq, struct knote *kn, bool enabled)
{
	if (!enabled)
		retry_rest(kq, kn);
}

const struct filterops filter_write = {
	.fo_poll = POLLOUT,
	.fo_fd = true,
	.fo_attach = write_attach,
	.fo_file = write_attach_file,
	.fo_detach = retry_stop,
	.fo_touch = write_touch,
	.fo_event = write_event,
	.fo_delivered = write_delivered,
	.fo_enable = write_enable,
};
