/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounts that come and go, in the mount name space of the thread that registered
 * the queue's first interest in them.  Protected by the queue's lock.
 */
#ifndef KQ_MOUNTS_H
#define KQ_MOUNTS_H

struct knote;
struct kqueue;

/* What knote_note() is told. */
#define MOUNTS_CAME	0x1u
#define MOUNTS_WENT	0x2u

/*
 * Has knote_note(kq, kn, MOUNTS_...) called for what happens from now on.  Uses
 * kn_aux.  0 or -errno: ENOTSUP there is no /proc.
 */
int	mounts_attach(struct kqueue *kq, struct knote *kn);

/* When the last one goes, so does the name space. */
void	mounts_detach(struct kqueue *kq, struct knote *kn);

/* A knote is going to be enabled: epoll shall tell; 0 or -errno. */
int	mounts_watch(struct kqueue *kq);

/* One was disabled: epoll need not tell if that was the last. */
void	mounts_unwatch(struct kqueue *kq);

/* Tells what has happened until now.  There may be nothing to tell of. */
void	mounts_report(struct kqueue *kq);

/* The queue ends: frees everything. */
void	mounts_free(struct kqueue *kq);

#endif
