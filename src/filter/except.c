/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_EXCEPT: urgent data, if NOTE_OOB asks for it, and the end of what is
 * received, as READ tells it.  poll(2)'s POLLPRI means urgent data on a socket
 * and something of the kind elsewhere: a state of the slave for a pty in
 * packet mode, a changed attribute in sysfs.
 *
 * Linux does not count what lies behind the urgent mark; of urgent data itself
 * there is one byte, and data says so.
 */
#include "filter.h"

#include "kqueue.h"
#include "source/fdkind.h"

#include <poll.h>

static enum fdkind
except_kind(struct kqueue *kq, int fd)
{
	struct watch *w = watch_at(&kq->kq_watches, (uint32_t)fd);

	if (w->w_kind == FD_UNKNOWN)
		w->w_kind = (uint8_t)watch_find_kind(kq, fd, w);
	return (enum fdkind)w->w_kind;
}

/* Whether nothing more will come. */
static bool
except_is_end(enum fdkind kind, uint32_t revents)
{
	if (kind == FD_STREAM || kind == FD_DATAGRAM)
		return (revents & POLLRDHUP) != 0;
	return (revents & POLLHUP) != 0;
}

static bool
except_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	int fd = (int)kn->kn_ident;
	enum fdkind kind = except_kind(kq, fd);

	if (kind == FD_UNKNOWN)
		return false;		/* closed unseen, and a duplicate reports */
	if (revents == 0)
		revents = fdkind_poll(fd);
	if ((revents & POLLPRI) != 0 && (kn->kn_sfflags & NOTE_OOB) != 0) {
		out->fflags = NOTE_OOB;
		out->data = 1;
	}
	if (except_is_end(kind, revents)) {
		int error = fdkind_socket_error(fd, revents);

		out->flags |= EV_EOF;
		/* An error number has no room for a note beside it. */
		if (error != 0)
			out->fflags = (unsigned)error;
		return true;
	}
	if (out->fflags == 0)
		kn->kn_status |= KN_PARKED;	/* an error, or urgent data nobody asked for */
	return out->fflags != 0;
}

const struct filterops filter_except = {
	.fo_poll = POLLPRI | POLLRDHUP,
	.fo_fd = true,
	.fo_event = except_event,
};
