/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Strays: epoll items of a descriptor whose closing was not seen.  An item is
 * known by file and number; if a duplicate keeps the file open, it reports on
 * under a number that is nobody's by now or another file's, and so cannot be
 * named to be removed.  One that is level-triggered makes the queue readable
 * for ever.
 */
#ifndef KQ_STRAY_H
#define KQ_STRAY_H

#include <stdbool.h>

struct kqueue;

/*
 * Removes the items of lane that have this number, whatever their files; false
 * if it cannot: no duplicate is open in this process, say.  Then kq_stuck is
 * set.  Slow.  With the queue's lock held.
 */
bool	stray_remove(struct kqueue *kq, unsigned lane, int fd);

#endif
