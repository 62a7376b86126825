/* SPDX-License-Identifier: BSD-2-Clause */
/* User events, which changes of any sort can be tried with. */
#ifndef KQ_TESTS_KEVENT_H
#define KQ_TESTS_KEVENT_H

#include "harness.h"

/* A change to a user event. */
static inline void
user(struct kevent *kev, uintptr_t ident, unsigned short flags, unsigned int fflags, void *udata)
{
	EV_SET(kev, ident, EVFILT_USER, flags, fflags, 0, udata);
}

/* Whether there is such a user event; enables it. */
static inline bool
registered(int kq, uintptr_t ident)
{
	return change(kq, ident, EVFILT_USER, EV_ENABLE, 0, 0, NULL) == 0;
}

/* A level-triggered user event that is ready from the start. */
static inline void
make_ready(int kq, uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

#endif
