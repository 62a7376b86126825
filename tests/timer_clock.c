/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_TIMER while the wall clock is set.  The machine's is left alone: this
 * program stands in for the calls that read it and wait for it, and does what
 * the kernel does when it is set.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SEC INT64_C(1000000000)
#define HOUR 3600

static _Atomic int64_t clock_ahead;	/* seconds */
static struct itimerspec armed;		/* the timer descriptor that waits for a date */
static int armed_fd = -1;

/* Only a date is that large. */
static bool
is_date(const struct timespec *ts)
{
	return ts->tv_sec > 1000000000;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += clock_ahead;
	return result;
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *old)
{
	struct itimerspec real = *spec;

	if (is_date(&spec->it_value)) {
		armed = *spec;
		armed_fd = fd;
		real.it_value.tv_sec -= clock_ahead;
	} else if (fd == armed_fd) {
		armed_fd = -1;
	}
	return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}

static void
set_clock(int64_t ahead)
{
	clock_ahead = ahead;
	ck_assert_int_ne(armed_fd, -1);		/* else the library does not call us */
	ck_assert_int_eq(timerfd_settime(armed_fd, TFD_TIMER_ABSTIME, &armed, NULL), 0);
}

/* A queue with timer 1, due in so many milliseconds by the wall clock. */
static int
queue_due_in(int64_t ms, unsigned int fflags)
{
	struct timespec ts;
	int kq = queue();

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &ts), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, fflags,
	    (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ms, NULL), 0);
	return kq;
}

START_TEST(timer_clock__set_forward_it_fires)
{
	int kq = queue_due_in(HOUR * 1000, NOTE_ABSTIME);
	struct waiter w;

	waiter_start(&w, kq, HARNESS_TIMEOUT * 500);
	set_clock(HOUR - 1);
	nap(20);
	set_clock(HOUR + 1);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.data, 1);
	close(kq);
}
END_TEST

START_TEST(timer_clock__set_back_it_waits_on)
{
	int kq = queue_due_in(100, NOTE_ABSTIME);
	struct kevent event;

	set_clock(-HOUR);
	ck_assert_int_eq(collect(kq, &event, 1, 300), 0);
	/* Another one meanwhile, for the new time, leaves the first to come later. */
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, 1,
	    NULL), 0);
	event_of(kq, 2, EVFILT_TIMER);
	no_event(kq);
	set_clock(0);
	event_of(kq, 1, EVFILT_TIMER);
	close(kq);
}
END_TEST

START_TEST(timer_clock__set_back_what_has_expired_stays)
{
	int kq = queue_due_in(20, NOTE_ABSTIME);

	/* Not collected yet; then collected; then disabled for a while. */
	ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	event_of(kq, 1, EVFILT_TIMER);
	clock_ahead = -HOUR;
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_DISABLE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, 1, EVFILT_TIMER).data, 1);
	close(kq);
}
END_TEST

START_TEST(timer_clock__absolute_and_periods_do_not_follow)
{
	int kq = queue_due_in(HOUR * 1000, NOTE_ABSOLUTE), soon;
	int64_t start = now_ns();

	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, HOUR, NULL), 0);
	clock_ahead = 2 * HOUR;
	nap(50);
	no_event(kq);
	close(kq);
	soon = queue_due_in(1000, NOTE_ABSOLUTE);
	clock_ahead = 0;
	event_of(soon, 1, EVFILT_TIMER);
	/* Its date was told in whole milliseconds. */
	ck_assert_int_ge(now_ns() - start, SEC - 1000000);
	close(soon);
}
END_TEST

HARNESS_MAIN("timer_clock",
    timer_clock__set_forward_it_fires,
    timer_clock__set_back_it_waits_on,
    timer_clock__set_back_what_has_expired_stays,
    timer_clock__absolute_and_periods_do_not_follow)
