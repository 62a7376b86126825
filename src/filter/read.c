/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_READ: bytes, messages, connections or events wait to be read. */
#include "filter.h"
#include "fdtable.h"
#include "kqueue.h"
#include "source/fdkind.h"
#include "source/inotify.h"
#include "source/watch_item.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>

/* Not yet: the kernel's own mark is lower than ours, so wait for more to come. */
static bool
read_park(struct knote *kn)
{
	kn->kn_status |= KN_PARKED;
	return false;
}

/* The end, or an error: what revents say beside POLLIN. */
static bool
read_is_end(enum fdkind kind, uint32_t revents)
{
	if (kind == FD_STREAM || kind == FD_DATAGRAM)
		return (revents & POLLRDHUP) != 0;
	return (revents & (POLLHUP | (kind == FD_PIPE ? POLLERR : 0))) != 0;
}

/*
 * Epoll woke us, but there is no byte.  Somebody may have been faster; or it is
 * an empty datagram, an end of file typed at a terminal, a byte behind the
 * urgent mark, a message about an error.
 */
static bool
read_nothing(int fd, enum fdkind kind, struct kevent *out)
{
	uint32_t revents = fdkind_poll(fd);

	if ((revents & (POLLIN | POLLERR)) == 0)
		return false;
	out->data = kind == FD_STREAM && (revents & POLLIN) != 0;
	return true;
}

/* What FIONREAD counts: sockets, pipes, terminals, inotify. */
static bool
read_counted(struct knote *kn, enum fdkind kind, uint32_t revents, struct kevent *out)
{
	int fd = (int)kn->kn_ident;
	int64_t count = fdkind_readable(fd);

	if (count == -EBADF)
		return false;		/* closed unseen, and a duplicate reports */
	if (count > 0)
		out->data = count;
	if ((revents & ~(uint32_t)POLLIN) != 0 && read_is_end(kind, revents)) {
		out->flags |= EV_EOF;
		out->fflags = (unsigned)fdkind_socket_error(fd, revents);
		return true;
	}
	if (count < 0 && (kind == FD_STREAM || kind == FD_DATAGRAM) && (revents & POLLIN) != 0) {
		out->data = fdkind_backlog(fd);
		return out->data > 0;
	}
	if ((revents & (POLLIN | POLLERR)) == 0)
		return read_park(kn);	/* never connected, never had a writer */
	if ((kn->kn_sfflags & NOTE_LOWAT) != 0 && count < kn->kn_sdata && kind != FD_DATAGRAM)
		return read_park(kn);
	return count > 0 || read_nothing(fd, kind, out);
}

/* A regular file is ready while its offset is not at its end. */
static bool
read_file(struct knote *kn, struct kevent *out)
{
	out->data = fdkind_file_left((int)kn->kn_ident);
	/* Going back from here is news: see read_look(). */
	if (out->data == 0 && (kn->kn_flags & EV_CLEAR) != 0)
		kn->kn_data = fdkind_offset((int)kn->kn_ident);
	return out->data != 0 || (kn->kn_sfflags & NOTE_FILE_POLL) != 0;
}

static bool
read_uncounted(int64_t data, uint32_t revents, struct kevent *out)
{
	out->data = (revents & POLLIN) != 0 ? data : 0;
	if ((revents & POLLHUP) != 0)
		out->flags |= EV_EOF;
	return (revents & (POLLIN | POLLHUP | POLLERR)) != 0;
}

/* The program wants no count, and nothing else needs one. */
static bool
read_not_counted(const struct knote *kn, enum fdkind kind, uint32_t revents)
{
	return (kn->kn_sfflags & (NOTE_NOCOUNT | NOTE_LOWAT)) == NOTE_NOCOUNT && kind >= FD_STREAM &&
	    kind <= FD_COUNTER && (revents & ~(uint32_t)(POLLOUT | POLLPRI)) == POLLIN;
}

static bool
read_event(struct kqueue *kq, struct knote *kn, uint32_t revents, struct kevent *out)
{
	enum fdkind kind = watch_kind(kq, (int)kn->kn_ident);

	if (revents == 0 && (kn->kn_status & KN_FILE) == 0)
		revents = fdkind_poll((int)kn->kn_ident);
	if (read_not_counted(kn, kind, revents)) {
		out->data = 1;
		return true;
	}
	switch (kind) {
	case FD_STREAM:
	case FD_DATAGRAM:
	case FD_PIPE:
	case FD_BYTES:
		return read_counted(kn, kind, revents, out);
	case FD_COUNTER:
		return read_uncounted(8, revents, out);
	case FD_QUEUE:
		out->data = kqueue_count((int)kn->kn_ident);
		return out->data > 0;
	case FD_REGULAR:
		if ((kn->kn_status & KN_FILE) != 0)
			return read_file(kn, out);
		break;			/* a message queue, or of /proc: it can be polled */
	case FD_DIRECTORY:
		out->data = 1;
		return true;
	case FD_DEVICE:
		if ((kn->kn_status & KN_FILE) != 0)
			return true;	/* /dev/null: always, and nothing */
		return read_uncounted(1, revents, out);
	case FD_UNKNOWN:
		return false;		/* closed unseen, and a duplicate reports */
	case FD_FAILED:
		if ((kn->kn_status & KN_FILE) != 0)
			revents = POLLIN;	/* a read is to say what is wrong */
		break;
	case FD_OTHER:
		break;
	}
	return read_uncounted(1, revents, out);
}

__attribute__((noinline)) static int
read_attach_uncounted(struct kqueue *kq, const struct knote *kn)
{
	if (fdtable_queue((int)kn->kn_ident) != NULL)
		kqueue_will_be_counted((int)kn->kn_ident);
	else
		watch_uncounted(kq, (uint32_t)kn->kn_ident);
	return 0;
}

static int
read_attach(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_sfflags & NOTE_NOCOUNT) != 0)
		return read_attach_uncounted(kq, kn);
	if (fdtable_queue((int)kn->kn_ident) != NULL)
		kqueue_will_be_counted((int)kn->kn_ident);
	return 0;
}

/* Growth is told by inotify; an offset moved by lseek() by nobody, hence KN_LOOK. */
static int
read_attach_file(struct kqueue *kq, struct knote *kn)
{
	enum fdkind kind = watch_kind(kq, (int)kn->kn_ident);
	int error;

	if (kind == FD_FAILED) {
		error = fdkind_find((int)kn->kn_ident, &kind);
		if (error < 0)
			return error;
	}
	if (kind != FD_REGULAR)
		return 0;
	error = inotify_attach(kq, kn, (int)kn->kn_ident, IN_MODIFY);
	if (error == 0) {
		kn->kn_status |= KN_LOOK;
		kn->kn_data = fdkind_offset((int)kn->kn_ident);
	}
	return error;
}

static void
read_detach(struct kqueue *kq, struct knote *kn)
{
	if ((kn->kn_status & KN_LOOK) != 0)
		inotify_detach(kq, kn);
}

/* Growth is told by read_note(); with EV_CLEAR, only what a seek has done to the offset is news here. */
static bool
read_look(struct kqueue *kq, struct knote *kn)
{
	struct kevent now = { .data = 0 };
	int64_t offset, before = kn->kn_data;

	if ((kn->kn_flags & EV_CLEAR) != 0) {
		offset = fdkind_offset((int)kn->kn_ident);
		kn->kn_data = offset;
		/* Nobody reads beyond the end. */
		if (offset == before || (offset > before && fdkind_file_left((int)kn->kn_ident) >= 0))
			return false;
	}
	return read_event(kq, kn, 0, &now);
}

/* The file changed. */
static void
read_note(struct kqueue *kq, struct knote *kn, uint32_t hint)
{
	struct kevent now = { .data = 0 };

	(void)hint;
	if (read_event(kq, kn, 0, &now))
		knote_activate(kq, kn);
}

static void
read_delivered(struct kqueue *kq, struct knote *kn, const struct kevent *out)
{
	(void)kq;
	(void)out;
	if ((kn->kn_status & KN_LOOK) != 0 && (kn->kn_flags & EV_CLEAR) != 0)
		kn->kn_data = fdkind_offset((int)kn->kn_ident);
}

/* kn_sdata of a file is the source's: a file has no mark. */
static int
read_touch(struct kqueue *kq, struct knote *kn, const struct kevent *kev)
{
	if ((kev->flags & EV_ADD) == 0 && kev->fflags == 0)
		return 0;
	kn->kn_sfflags = kev->fflags;
	if ((kn->kn_status & KN_FILE) == 0)
		kn->kn_sdata = kev->data;
	return (kn->kn_sfflags & NOTE_NOCOUNT) != 0 ? read_attach_uncounted(kq, kn) : 0;
}

const struct filterops filter_read = {
	.fo_poll = POLLIN | POLLRDHUP,
	.fo_fd = true,
	.fo_attach = read_attach,
	.fo_file = read_attach_file,
	.fo_detach = read_detach,
	.fo_note = read_note,
	.fo_touch = read_touch,
	.fo_event = read_event,
	.fo_look = read_look,
	.fo_delivered = read_delivered,
};
