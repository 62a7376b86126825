/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue that watches what can be read. */
#ifndef KQ_TESTS_READ_H
#define KQ_TESTS_READ_H

#include "harness.h"

static int kq;

static inline void
add(int fd, unsigned int flags)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, (unsigned short)(EV_ADD | flags), 0, 0, NULL), 0);
}

static inline struct kevent
read_event(int fd)
{
	return event_of(kq, (uintptr_t)fd, EVFILT_READ);
}

/* Nothing happens, and waiting for it costs no processor time. */
static inline void
check_asleep(void)
{
	asleep(kq, 200);
	ck_assert(!readable(kq, 0));
}

#endif
