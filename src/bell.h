/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue's bell: the process's shared eventfd as an item of the queue's epoll,
 * armed while kq_ready has knotes, so that waiters wake and the queue's
 * descriptor can be polled.  With the queue's lock held, but for what takes no lock.
 */
#ifndef KQ_BELL_H
#define KQ_BELL_H

#include <stdbool.h>
#include <stdint.h>

struct kqueue;

/* What the bell's item carries. */
uint64_t bell_tag(const struct kqueue *kq);

/* Arms it: EPOLLIN, EPOLLIN | EPOLLET, or 0 to silence it.  Takes no lock. */
void	bell_set(struct kqueue *kq, uint32_t events);

/* The same; what a closing says meanwhile, which takes no lock, is not lost. */
void	bell_arm(struct kqueue *kq, uint32_t events);

/*
 * Makes the bell say what kq_ready says.  To be called before the lock is dropped, and
 * if it says so, bell_ring() after that.
 */
bool	bell_settle(struct kqueue *kq);
void	bell_ring(struct kqueue *kq);

/* The eventfd had the number old and has another.  Takes no lock. */
void	bell_follow(struct kqueue *kq, int old);

/* That has happened (kq_bell_moved). */
void	bell_put_right(struct kqueue *kq);

#endif
