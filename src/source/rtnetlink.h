/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of network interfaces, in the network name space of the thread that
 * registered the queue's first interest in one.  Protected by the queue's lock.
 */
#ifndef KQ_RTNETLINK_H
#define KQ_RTNETLINK_H

struct knote;
struct kqueue;

/*
 * What knote_note() is told: the states that were seen since it was told last,
 * and which it is now.
 */
#define RTNETLINK_UP		0x1u
#define RTNETLINK_DOWN		0x2u
#define RTNETLINK_UNKNOWN	0x4u	/* the device is not present, as when it is suspended */
#define RTNETLINK_GONE		0x8u	/* no such interface any more: nothing else will be told */
#define RTNETLINK_NOW(hint)	((hint) >> 8)

/*
 * Has knote_note() called when the interface with the knote's ident changes its
 * state.  Uses kn_sdata and kn_aux.  0 or -errno: ENXIO there is none.
 */
int	rtnetlink_attach(struct kqueue *kq, struct knote *kn);

/* When the last one goes, so does the name space. */
void	rtnetlink_detach(struct kqueue *kq, struct knote *kn);

/* A knote is going to be enabled: epoll shall tell; 0 or -errno. */
int	rtnetlink_watch(struct kqueue *kq);

/* One was disabled: epoll need not tell if that was the last. */
void	rtnetlink_unwatch(struct kqueue *kq);

/* Tells what has happened until now.  There may be nothing to tell of. */
void	rtnetlink_report(struct kqueue *kq);

/* The queue ends: frees everything. */
void	rtnetlink_free(struct kqueue *kq);

#endif
