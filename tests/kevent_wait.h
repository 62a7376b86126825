/* SPDX-License-Identifier: BSD-2-Clause */
/* What a thread waits for. */
#ifndef KQ_TESTS_KEVENT_WAIT_H
#define KQ_TESTS_KEVENT_WAIT_H

#include "harness.h"

static inline void
add(int kq, uintptr_t ident, short filter, unsigned short flags)
{
	ck_assert_int_eq(change(kq, ident, filter, EV_ADD | flags, 0, 0, NULL), 0);
}

static inline void
trigger(int kq, uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

#endif
