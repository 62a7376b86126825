/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of files: one inotify instance for a queue, made with its first
 * watched file and kept as long as the queue, since closing one is slow.
 * Protected by the queue's lock.
 */
#ifndef KQ_INOTIFY_H
#define KQ_INOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct inotify_watch;
struct knote;
struct kqueue;

/*
 * A knote's interest in a file.  All of an inode's in one queue are on one
 * watch of the kernel's.  Of no use as long as im_watch is NULL.
 */
struct inotify_mark {
	struct inotify_watch *im_watch;
	struct knote	*im_knote;	/* NULL while it is being set */
	struct inotify_mark *im_next;	/* of the same watch */
	struct inotify_mark **im_back;	/* what points to it */
	uint32_t	im_mask;
};

/* Beside the IN_ bits: a directory has more or fewer subdirectories than it had. */
#define INOTIFY_SUBDIRS	0x00010000u

/*
 * Has knote_note(kq, kn, hint) called when events in mask (not 0) befell the
 * file behind fd: hint has those that were seen since the last call, or
 * IN_Q_OVERFLOW: some were lost, look at everything.  What befalls the files
 * in a directory is not told as the directory's.  A mark that is set already
 * gets the new mask.  What happened before is told by the old rules first.
 *
 * 0 or -errno: EBADF, EACCES Linux wants read permission, ENOSPC too many watches,
 * ENOTSUP there is no /proc, ENOENT the mark is on another file than fd's.
 */
int	inotify_set(struct kqueue *kq, struct inotify_mark *mark, struct knote *kn, int fd,
	    uint32_t mask);

/*
 * Linux says nothing of an open directory that is removed, but the watch of
 * its parent does: has knote_note(kq, kn, IN_DELETE_SELF) called when it may
 * be the one behind fd.  To be called again when that was renamed: a parent
 * that must not be read leaves the mark where it is.
 */
int	inotify_set_above(struct kqueue *kq, struct inotify_mark *mark, struct knote *kn, int fd);

void	inotify_unset(struct kqueue *kq, struct inotify_mark *mark);

/* The same with a mark of the source's own, in kn_hook (NULL: none). */
int	inotify_attach(struct kqueue *kq, struct knote *kn, int fd, uint32_t mask);
void	inotify_detach(struct kqueue *kq, struct knote *kn);

/* Whether the name that fd was opened by is gone. */
bool	inotify_unnamed(int fd);

/* Epoll reports the instance: tells of all that it has. */
void	inotify_report(struct kqueue *kq);

/* The queue ends: frees everything. */
void	inotify_free(struct kqueue *kq);

#endif
