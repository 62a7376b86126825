/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounts that come and go, in the mount name space of the thread that registered
 * the queue's first interest in them.  Protected by the queue's lock.
 */
#ifndef KQ_MOUNTS_H
#define KQ_MOUNTS_H

#include <stdint.h>

struct knote;
struct kqueue;

/* What knote_note() is told; a filter that listens to inotify, too, tells them apart. */
#define MOUNTS_CAME	0x00040000u
#define MOUNTS_WENT	0x00080000u
#define MOUNTS_LOST	0x00100000u	/* the file's own, see mounts_set() */

/* A knote's interest in the mount that a file was opened in.  Of no use while mm_knote is NULL. */
struct mounts_mark {
	struct knote	*mm_knote;
	struct mounts_mark *mm_next;
	struct mounts_mark **mm_back;	/* what points to it */
	uint32_t	mm_id;		/* the mount's number */
};

/*
 * Has knote_note(kq, kn, MOUNTS_...) called for what happens from now on.  Uses
 * kn_aux.  0 or -errno: ENOTSUP there is no /proc.
 */
int	mounts_attach(struct kqueue *kq, struct knote *kn);

/* When the last one goes, so does the name space, unless there are marks. */
void	mounts_detach(struct kqueue *kq, struct knote *kn);

/*
 * Has knote_note(kq, kn, MOUNTS_LOST) called when the file behind fd, which stays
 * open, is no longer below any mount: it was detached.  Does nothing if the mark
 * is set already, or if the file is in no mount of the name space, as memory files
 * are.  0 or -errno.
 */
int	mounts_set(struct kqueue *kq, struct mounts_mark *mark, struct knote *kn, int fd);
void	mounts_unset(struct kqueue *kq, struct mounts_mark *mark);

/* A knote is going to be enabled: epoll shall tell; 0 or -errno. */
int	mounts_watch(struct kqueue *kq);

/* One was disabled: epoll need not tell if that was the last. */
void	mounts_unwatch(struct kqueue *kq);

/* Tells what has happened until now.  There may be nothing to tell of. */
void	mounts_report(struct kqueue *kq);

/* The queue ends: frees everything. */
void	mounts_free(struct kqueue *kq);

#endif
