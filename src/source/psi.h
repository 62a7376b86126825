/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pressure on memory, by the kernel's pressure-stall information: two triggers
 * for a queue, made with its first knote and closed with its last.  The knotes
 * are chained by kn_sdata.  Protected by the queue's lock.
 */
#ifndef KQ_PSI_H
#define KQ_PSI_H

#include <stdbool.h>
#include <stdint.h>

struct knote;
struct kqueue;

/* Who stalls for want of memory, for more than a part of the time; the hint of knote_note(). */
enum psi_kind {
	PSI_SOME = 1,	/* some task, for 10 percent of it */
	PSI_FULL	/* every task that has something to do, for 20 percent of it */
};

/* While it lasts it is reported every two to four seconds; after so many nanoseconds it is over. */
#define PSI_LINGER	INT64_C(6000000000)

/*
 * Has knote_note(kq, kn, kind) called when there is such pressure.  0 or -errno;
 * ENOTSUP: the kernel has no such information, or does not let us watch it.
 */
int	psi_attach(struct kqueue *kq, struct knote *kn);
void	psi_detach(struct kqueue *kq, struct knote *kn);

/* A knote was disabled: if none is enabled nothing is reported. */
void	psi_rest(struct kqueue *kq);

/* One is to be enabled: 0 or -errno. */
int	psi_watch(struct kqueue *kq);

/* Whether there was such pressure within PSI_LINGER. */
bool	psi_lasts(struct kqueue *kq, enum psi_kind kind);

/* When it was last seen, by the monotonic clock in nanoseconds; INT64_MIN: never. */
int64_t	psi_last(const struct kqueue *kq, enum psi_kind kind);

/* Epoll reports a trigger. */
void	psi_report(struct kqueue *kq, enum psi_kind kind);

/* The queue ends: frees everything. */
void	psi_free(struct kqueue *kq);

#endif
