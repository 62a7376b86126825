/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations of EVFILT_TIMER. */
#ifndef KQ_TESTS_TIMER_H
#define KQ_TESTS_TIMER_H

#include "harness.h"

#include <time.h>

#define MS INT64_C(1000000)
#define SEC INT64_C(1000000000)

static inline int
timer(int kq, uintptr_t ident, unsigned int flags, unsigned int fflags, int64_t data)
{
	return change(kq, ident, EVFILT_TIMER, (unsigned short)flags, fflags, data, NULL);
}

/* Adds one that may be late. */
static inline int
timer64(int kq, uint64_t ident, unsigned int flags, unsigned int fflags, int64_t data, uint64_t late)
{
	struct kevent64_s kev;

	EV_SET64(&kev, ident, EVFILT_TIMER, (unsigned short)(EV_ADD | flags), fflags, data, 0, 0, late);
	return kevent64(kq, &kev, 1, NULL, 0, 0, NULL) == 0 ? 0 : errno;
}

/* A queue with one timer, number 1. */
static inline int
queue_with(unsigned int flags, unsigned int fflags, int64_t data)
{
	int kq = queue();

	ck_assert_int_eq(timer(kq, 1, EV_ADD | flags, fflags, data), 0);
	return kq;
}

/* What it has to tell: there must be something within the time limit. */
static inline struct kevent
expiry(int kq)
{
	struct kevent event = event_of(kq, 1, EVFILT_TIMER);

	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_ge(event.data, 1);
	return event;
}

/* Whether timer 1 is still registered. */
static inline bool
there(int kq)
{
	int error = timer(kq, 1, EV_DISABLE, 0, 0);

	ck_assert(error == 0 || error == ENOENT);
	return error == 0;
}

/* Of timer 1, which began between `before` and `after`, n events: no period is late by more than the leeway. */
static inline void
no_drift(int kq, int n, int64_t before, int64_t after, int64_t period, int64_t leeway)
{
	int64_t count = 0;

	for (int i = 0; i < n; i++) {
		int64_t asked = now_ns();

		count += event_of(kq, 1, EVFILT_TIMER).data;
		/* What had passed when it was asked for is counted by now, but for the leeway. */
		ck_assert_int_ge(count, (asked - after - leeway) / period);
		ck_assert_int_le(count, (now_ns() - before) / period);
	}
}

static inline int64_t
date_ns(void)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &ts), 0);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

#endif
