/* SPDX-License-Identifier: BSD-2-Clause */
/* What epoll says, and whom it concerns. */
#ifndef KQ_REPORT_H
#define KQ_REPORT_H

#include <stdint.h>

struct eventlist;
struct kqueue;

/*
 * Epoll reports an item of a lane: delivers what its knotes have to say, as far
 * as out has room.  An item is reported once in a call.
 */
void	report_watch(struct kqueue *kq, unsigned lane, uint64_t tag, uint32_t revents,
	    struct eventlist *out, int room);

#endif
