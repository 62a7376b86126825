/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inotify(7), and its traps:
 *
 * Descriptors are watched by the name /proc/self/fd/N, which leads to the inode
 * itself, named or not.  When the first thread has ended it leads nowhere, and
 * /proc/thread-self does, which takes a twentieth longer.
 *
 * Asking for an inode again gives the watch it has, so every request adds to
 * its mask (IN_MASK_ADD).  When a mark has left, the mask is made smaller at
 * the watch's next event, if it is too large then.
 *
 * The kernel does not use a watch's number again within an instance (it counts
 * up to INT_MAX first): events of one that was removed are recognised by the
 * number being unknown.
 *
 * A directory's watch also reports what happens to the files in it: those
 * events carry a name.  Only IN_CREATE, IN_DELETE and IN_MOVE with a name are
 * about the directory.
 *
 * Events are gathered until the instance is empty and each watch is told of
 * once.  So a thousand directories watched below one parent are looked at
 * a few times, not a thousand times each, when they are removed together.
 */
#include "source/inotify.h"

#include "hidden.h"
#include "kqueue.h"
#include "mem.h"
#include "source/filestat.h"
#include "source/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A watch of the kernel's: an inode. */
struct inotify_watch {
	struct inotify_watch *iw_chain;	/* next in its bucket */
	struct inotify_watch *iw_next;	/* next in in_due */
	struct inotify_mark *iw_marks;	/* the first */
	int		iw_wd;		/* 0: the kernel has dropped it */
	int		iw_moved;	/* subdirectories that came, less those that went */
	uint32_t	iw_seen;	/* what happened and is to be told */
	uint32_t	iw_spare;	/* what some mark asked for and does no more */
	bool		iw_due;		/* is in in_due, or being told of */
};

struct inotify {
	_Atomic int	in_fd;
	uint32_t	in_watches;	/* in the buckets */
	uint32_t	in_buckets;	/* a power of two, or 0 */
	struct inotify_watch **in_bucket;	/* by watch descriptor */
	struct inotify_watch *in_due;	/* to be told of */
};

/* Of im_mask: the watch is that of the directory above the knote's. */
#define INOTIFY_ABOVE	0x00020000u

#define INOTIFY_ENTRIES	(IN_CREATE | IN_DELETE | IN_MOVE)
#define INOTIFY_BUFFER	4096
#define INOTIFY_LONGEST	(sizeof(struct inotify_event) + NAME_MAX + 1)
#define INOTIFY_READS	256	/* in one report, which is 65,536 events or less */

/* Watches, by their descriptor. */

static struct inotify_watch **
watch_place(const struct inotify *in, int wd)
{
	struct inotify_watch **link = &in->in_bucket[(uint32_t)wd & (in->in_buckets - 1)];

	while (*link != NULL && (*link)->iw_wd != wd)
		link = &(*link)->iw_chain;
	return link;
}

static struct inotify_watch *
watch_find_wd(const struct inotify *in, int wd)
{
	return in->in_buckets == 0 ? NULL : *watch_place(in, wd);
}

/* Doubles the table when there are as many watches as chains. */
static int
watch_reserve(struct inotify *in)
{
	struct inotify larger = *in;
	struct inotify_watch *w, **link;

	if (in->in_watches < in->in_buckets)
		return 0;
	larger.in_buckets = in->in_buckets == 0 ? 16 : in->in_buckets * 2;
	larger.in_bucket = mem_alloc(larger.in_buckets * sizeof(struct inotify_watch *));
	if (larger.in_bucket == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < in->in_buckets; i++)
		while ((w = in->in_bucket[i]) != NULL) {
			in->in_bucket[i] = w->iw_chain;
			w->iw_chain = NULL;
			link = watch_place(&larger, w->iw_wd);
			*link = w;
		}
	mem_free(in->in_bucket);
	*in = larger;
	return 0;
}

static struct inotify_watch *
watch_make(struct inotify *in, int wd)
{
	struct inotify_watch *w;

	if (watch_reserve(in) < 0)
		return NULL;
	w = mem_alloc(sizeof(*w));
	if (w == NULL)
		return NULL;
	w->iw_wd = wd;
	*watch_place(in, wd) = w;
	in->in_watches++;
	return w;
}

/* The kernel has dropped it, or will. */
static void
watch_unhash(struct inotify *in, struct inotify_watch *w)
{
	*watch_place(in, w->iw_wd) = w->iw_chain;
	in->in_watches--;
	w->iw_wd = 0;
}

/* Its last mark has gone. */
static void
watch_drop(struct kqueue *kq, struct inotify *in, struct inotify_watch *w)
{
	int saved = errno;

	if (w->iw_wd != 0) {
		if (!kqueue_ending(kq))
			inotify_rm_watch(in->in_fd, w->iw_wd);
		watch_unhash(in, w);
	}
	if (!w->iw_due)
		mem_free(w);
	errno = saved;
}

/* Asking the kernel. */

/* The instance of a queue. */
static int
inotify_get(struct kqueue *kq, struct inotify **found)
{
	struct inotify *in = kq->kq_inotify;
	int fd, error, saved = errno;

	*found = in;
	if (in != NULL)
		return 0;
	in = mem_alloc(sizeof(*in));
	if (in == NULL)
		return -ENOMEM;
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd == -1) {
		error = errno == ENOSYS ? -ENOTSUP : -errno;
		errno = saved;
		goto free;
	}
	error = hidden_move(fd, &in->in_fd);
	if (error < 0)
		goto free;
	error = kqueue_source_add(kq, in->in_fd, EPOLLIN, SOURCE_TAG(SOURCE_INOTIFY, 0));
	if (error < 0)
		goto close;
	*found = kq->kq_inotify = in;
	return 0;
close:
	hidden_free(&in->in_fd);
free:
	mem_free(in);
	return error;
}

/*
 * The watch of the file behind fd, or of the directory above it (INOTIFY_ABOVE):
 * its mask becomes mask, or gets that added (IN_MASK_ADD).  Its descriptor or -errno.
 */
static int
inotify_ask(const struct inotify *in, int fd, uint32_t mask, uint32_t how)
{
	static const char *const self[] = { "self", "thread-self" };
	bool above = (mask & INOTIFY_ABOVE) != 0;
	int saved = errno, wd = -ENOENT;
	char path[PROCFS_FD];

	for (int i = 0; i < 2 && wd == -ENOENT; i++) {
		procfs_fd(path, self[i], fd, above ? "/.." : "");
		wd = inotify_add_watch(in->in_fd, path,
		    (mask & IN_ALL_EVENTS) | how | (above ? IN_ONLYDIR : 0));
		if (wd == -1)
			wd = -errno;
	}
	/* If the descriptor is open, what was not found is /proc. */
	if (wd == -ENOENT || wd == -ENOTDIR)
		wd = fcntl(fd, F_GETFD) == -1 ? -EBADF : -ENOTSUP;
	errno = saved;
	return wd;
}

/* What was asked for turns out to be a watch of no use. */
static void
inotify_unask(const struct inotify *in, int wd)
{
	int saved = errno;

	if (watch_find_wd(in, wd) == NULL)
		inotify_rm_watch(in->in_fd, wd);
	errno = saved;
}

/* The kernel shall tell no more of a watch than its marks ask for. */
static void
inotify_narrow(const struct inotify *in, struct inotify_watch *w)
{
	const struct inotify_mark *mark = w->iw_marks;
	uint32_t asked = 0, spare = w->iw_spare;
	int fd, wd;

	w->iw_spare = 0;
	for (const struct inotify_mark *each = mark; each != NULL; each = each->im_next)
		asked |= each->im_mask;
	/* The first may be being set. */
	if (mark != NULL && mark->im_knote == NULL)
		mark = mark->im_next;
	if (mark == NULL || (spare & ~asked & IN_ALL_EVENTS) == 0)
		return;
	/* The number may be another file's by now, whose watch is not to be harmed. */
	fd = (int)mark->im_knote->kn_ident;
	wd = inotify_ask(in, fd, mark->im_mask, IN_MASK_ADD);
	if (wd > 0 && wd == w->iw_wd)
		inotify_ask(in, fd,
		    (asked & IN_ALL_EVENTS) | (mark->im_mask & INOTIFY_ABOVE), 0);
	else if (wd > 0)
		inotify_unask(in, wd);
}

/* Marks. */

/* Puts a mark on the watch that the kernel gave, if it did; wd may be -errno. */
static int
inotify_hang(struct inotify *in, struct inotify_mark *mark, int wd, uint32_t mask)
{
	struct inotify_watch *w;

	if (wd < 0)
		return wd;
	w = watch_find_wd(in, wd);
	if (w == NULL)
		w = watch_make(in, wd);
	if (w == NULL) {
		inotify_unask(in, wd);
		return -ENOMEM;
	}
	mark->im_watch = w;
	mark->im_knote = NULL;
	mark->im_mask = mask;
	mark->im_next = w->iw_marks;
	mark->im_back = &w->iw_marks;
	if (mark->im_next != NULL)
		mark->im_next->im_back = &mark->im_next;
	w->iw_marks = mark;
	return 0;
}

void
inotify_unset(struct kqueue *kq, struct inotify_mark *mark)
{
	struct inotify_watch *w = mark->im_watch;

	if (w == NULL)
		return;
	*mark->im_back = mark->im_next;
	if (mark->im_next != NULL)
		mark->im_next->im_back = mark->im_back;
	mark->im_watch = NULL;
	w->iw_spare |= mark->im_mask;
	if (w->iw_marks == NULL)
		watch_drop(kq, kq->kq_inotify, w);
}

/* The kernel is asked only for more: the right to read the file may have been given up. */
static int
inotify_change(struct kqueue *kq, struct inotify_mark *mark, int fd, uint32_t mask)
{
	struct inotify_watch *w = mark->im_watch;
	int wd;

	/* First: a report makes the kernel's mask no larger than the marks ask for until now. */
	inotify_report(kq);
	wd = w->iw_wd;
	if ((mask & ~mark->im_mask & IN_ALL_EVENTS) != 0)
		wd = inotify_ask(kq->kq_inotify, fd, mask, IN_MASK_ADD);
	if (wd < 0)
		return wd;
	if (wd == 0 || wd != w->iw_wd) {
		inotify_unask(kq->kq_inotify, wd);
		return -ENOENT;
	}
	w->iw_spare |= mark->im_mask;
	mark->im_mask = mask;
	return 0;
}

int
inotify_set(struct kqueue *kq, struct inotify_mark *mark, struct knote *kn, int fd,
    uint32_t mask)
{
	struct inotify *in;
	int error;

	if (mark->im_watch != NULL)
		return inotify_change(kq, mark, fd, mask);
	error = inotify_get(kq, &in);
	if (error == 0)
		error = inotify_hang(in, mark, inotify_ask(in, fd, mask, IN_MASK_ADD), mask);
	if (error < 0)
		return error;
	/* A watch that had a mark is older than this one, and so may be what it has to tell. */
	if (mark->im_next != NULL)
		inotify_report(kq);
	mark->im_knote = kn;
	return 0;
}

int
inotify_set_above(struct kqueue *kq, struct inotify_mark *mark, struct knote *kn, int fd)
{
	const uint32_t mask = IN_DELETE | INOTIFY_SUBDIRS | INOTIFY_ABOVE;
	struct inotify *in;
	int wd, error = inotify_get(kq, &in);

	if (error < 0)
		return error;
	wd = inotify_ask(in, fd, mask, IN_MASK_ADD);
	if (wd < 0 || (mark->im_watch != NULL && mark->im_watch->iw_wd == wd))
		return wd < 0 ? wd : 0;
	inotify_unset(kq, mark);
	error = inotify_hang(in, mark, wd, mask);
	if (error == 0)
		mark->im_knote = kn;
	return error;
}

int
inotify_attach(struct kqueue *kq, struct knote *kn, int fd, uint32_t mask)
{
	struct inotify_mark *mark = mem_alloc(sizeof(*mark));
	int error;

	if (mark == NULL)
		return -ENOMEM;
	error = inotify_set(kq, mark, kn, fd, mask);
	if (error < 0)
		mem_free(mark);
	else
		kn->kn_hook = mark;
	return error;
}

void
inotify_detach(struct kqueue *kq, struct knote *kn)
{
	struct inotify_mark *mark = kn->kn_hook;

	inotify_unset(kq, mark);
	mem_free(mark);
}

/* Whether a name is that of the file behind fd. */
static bool
inotify_is_at(const char *name, int fd)
{
	struct stat named, opened;

	return lstat(name, &named) == 0 && filestat(fd, &opened) == 0 && named.st_dev == opened.st_dev &&
	    named.st_ino == opened.st_ino;
}

/* What the kernel appends to a name that is gone anybody may have given to a file. */
bool
inotify_unnamed(int fd)
{
	static const char suffix[] = " (deleted)";
	const size_t length = sizeof(suffix) - 1;
	char path[PROCFS_FD], target[PATH_MAX];
	int saved = errno;
	ssize_t n;
	bool gone;

	procfs_fd(path, "thread-self", fd, "");
	n = readlink(path, target, sizeof(target) - 1);
	gone = n > (ssize_t)length && memcmp(target + (size_t)n - length, suffix, length) == 0;
	if (gone) {
		target[n] = '\0';
		gone = !inotify_is_at(target, fd);
	}
	errno = saved;
	return gone;
}

/* Events. */

static inline void
inotify_due(struct inotify *in, struct inotify_watch *w, uint32_t seen)
{
	w->iw_seen |= seen;
	if (!w->iw_due) {
		w->iw_due = true;
		w->iw_next = in->in_due;
		in->in_due = w;
	}
}

static void
inotify_overflow(struct inotify *in)
{
	for (uint32_t i = 0; i < in->in_buckets; i++)
		for (struct inotify_watch *w = in->in_bucket[i]; w != NULL; w = w->iw_chain)
			inotify_due(in, w, IN_Q_OVERFLOW);
}

/* An event of a watch, neither of what is in the directory only nor of the watch's end. */
static void
inotify_gather(struct inotify *in, struct inotify_watch *w, uint32_t mask)
{
	inotify_due(in, w, mask & (IN_ALL_EVENTS | IN_UNMOUNT));
	if ((mask & IN_ISDIR) == 0)
		return;
	if ((mask & (IN_CREATE | IN_DELETE)) != 0)
		w->iw_seen |= INOTIFY_SUBDIRS;
	else if ((mask & IN_MOVED_FROM) != 0)
		w->iw_moved--;
	else if ((mask & IN_MOVED_TO) != 0)
		w->iw_moved++;
}

/* What is not an event of a file alone. */
static void
inotify_event(struct inotify *in, struct inotify_watch *w, const struct inotify_event *event)
{
	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		inotify_overflow(in);
	} else if (w == NULL) {
		return;
	} else if ((event->mask & IN_IGNORED) != 0) {
		watch_unhash(in, w);
	} else if (event->len == 0 || (event->mask & INOTIFY_ENTRIES) != 0) {
		inotify_gather(in, w, event->mask);
	} else if (w->iw_spare != 0) {
		inotify_due(in, w, 0);
	}
}

/* Reads what the instance has; what is too much for once is reported again. */
static void
inotify_read(struct inotify *in)
{
	_Alignas(struct inotify_event) char buffer[INOTIFY_BUFFER];
	struct inotify_event event;
	struct inotify_watch *w;
	long n;

	for (int reads = 0; reads < INOTIFY_READS; reads++) {
		/* read() would be a cancellation point. */
		n = syscall(SYS_read, in->in_fd, buffer, sizeof(buffer));
		for (long at = 0; n - at >= (long)sizeof(event); at += (long)(sizeof(event) + event.len)) {
			memcpy(&event, buffer + at, sizeof(event));
			if (event.len > (uint32_t)n)
				break;		/* never so far; 32-bit numbers must not overflow */
			w = watch_find_wd(in, event.wd);
			if (w != NULL && event.len == 0 && (event.mask & ~(uint32_t)IN_ALL_EVENTS) == 0)
				inotify_due(in, w, event.mask);
			else
				inotify_event(in, w, &event);
		}
		if (n < (long)(sizeof(buffer) - INOTIFY_LONGEST))
			break;
	}
}

static inline void
inotify_tell_mark(struct kqueue *kq, const struct inotify_mark *mark, uint32_t seen)
{
	uint32_t hint = seen & (mark->im_mask | IN_Q_OVERFLOW | IN_UNMOUNT);

	if (mark->im_knote == NULL)
		return;
	if ((mark->im_mask & INOTIFY_ABOVE) != 0)
		hint = (hint & INOTIFY_SUBDIRS) != 0 ? IN_DELETE_SELF : 0;
	if (hint != 0)
		knote_note(kq, mark->im_knote, hint);
}

/*
 * Tells every mark of a watch.  A filter may meanwhile hang its mark above
 * elsewhere, but no mark of the watch that is being told.
 */
static void
inotify_tell(struct kqueue *kq, struct inotify_watch *w)
{
	uint32_t seen = w->iw_seen | (w->iw_moved != 0 ? INOTIFY_SUBDIRS : 0);

	w->iw_seen = 0;
	w->iw_moved = 0;
	for (const struct inotify_mark *mark = w->iw_marks; mark != NULL; mark = mark->im_next)
		inotify_tell_mark(kq, mark, seen);
	w->iw_due = false;
	if (w->iw_marks == NULL)
		mem_free(w);
	else if (w->iw_spare != 0)
		inotify_narrow(kq->kq_inotify, w);
}

/* While one file is looked at, the next one's mark comes near, and what leads on from there. */
static inline void
inotify_fetch(const struct inotify_watch *w)
{
	const struct inotify_mark *mark = w->iw_marks;

	if (mark != NULL) {
		__builtin_prefetch(mark);
		__builtin_prefetch((const char *)mark + 64);
		__builtin_prefetch(mark->im_knote);
	}
	if (w->iw_next != NULL)
		__builtin_prefetch(w->iw_next->iw_marks);
}

void
inotify_report(struct kqueue *kq)
{
	struct inotify *in = kq->kq_inotify;
	struct inotify_watch *w;
	int saved = errno;

	inotify_read(in);
	while ((w = in->in_due) != NULL) {
		in->in_due = w->iw_next;
		if (w->iw_next != NULL)
			inotify_fetch(w->iw_next);
		inotify_tell(kq, w);
	}
	errno = saved;
}

void
inotify_free(struct kqueue *kq)
{
	struct inotify *in = kq->kq_inotify;

	if (in == NULL)
		return;
	hidden_free(&in->in_fd);
	mem_free(in->in_bucket);
	mem_free(in);
	kq->kq_inotify = NULL;
}
