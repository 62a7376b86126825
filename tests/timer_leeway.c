/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_TIMER with NOTE_LEEWAY: wake-ups that may be late, so that timers share them. */
#include "timer.h"

#include <time.h>
#include <unistd.h>

static int
leeway(int kq, uint64_t ident, unsigned int flags, unsigned int fflags, int64_t data, uint64_t late)
{
	return timer64(kq, ident, flags, NOTE_LEEWAY | fflags, data, late);
}

START_TEST(timer_leeway__is_never_early)
{
	for (int64_t late = 1; late <= 32; late *= 2) {
		int kq = queue();
		int64_t start = now_ns();

		ck_assert_int_eq(leeway(kq, 1, EV_ONESHOT, 0, 10, (uint64_t)late), 0);
		struct kevent event = event_of(kq, 1, EVFILT_TIMER);

		ck_assert_int_ge(now_ns() - start, 10 * MS);
		ck_assert_int_eq(event.data, 1);
		ck_assert_uint_eq(event.fflags, 0);
		close(kq);
	}
}
END_TEST

/*
 * Each window is longer than 2^27 ns, so it has a moment that round; in the 19 ms
 * by which the windows differ one of those goes and one comes at the most.
 */
START_TEST(timer_leeway__neighbours_share_a_wakeup)
{
	struct kevent events[20];
	int kq = queue(), calls = 0;

	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(leeway(kq, (uint64_t)i, EV_ONESHOT, 0, 300 + i, 200), 0);
	for (int count = 0; count < 20; calls++) {
		int n = collect(kq, events, 20, -1);

		ck_assert_int_ge(n, 1);
		count += n;
	}
	ck_assert_int_le(calls, 3);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__is_in_the_timers_unit)
{
	int kq = queue();
	int64_t start = now_ns();

	/* 50 ms: as milliseconds it would exceed the test's time. */
	ck_assert_int_eq(leeway(kq, 1, EV_ONESHOT, NOTE_NSECONDS, 1000000, 50000000), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_ge(now_ns() - start, 1 * MS);
	start = now_ns();
	ck_assert_int_eq(leeway(kq, 1, EV_ONESHOT, NOTE_SECONDS, 1, 1), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_ge(now_ns() - start, 1000 * MS);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__periods_do_not_drift)
{
	int kq = queue();
	int64_t before = now_ns();

	ck_assert_int_eq(leeway(kq, 1, 0, 0, 10, 30), 0);
	no_drift(kq, 10, before, now_ns(), 10 * MS, 30 * MS);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__is_nothing_without_ext)
{
	int kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_LEEWAY, 5, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	/* And ext is nothing without the note. */
	struct kevent64_s kev;

	EV_SET64(&kev, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 5, 0, 0, UINT64_MAX);
	ck_assert_int_eq(kevent64(kq, &kev, 1, NULL, 0, 0, NULL), 0);
	event_of(kq, 2, EVFILT_TIMER);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__does_not_delay_what_is_due)
{
	struct timespec now;
	int kq = queue();

	ck_assert_int_eq(leeway(kq, 1, EV_ONESHOT, 0, 0, UINT64_MAX), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
	ck_assert_int_eq(leeway(kq, 1, 0, NOTE_SECONDS | NOTE_ABSTIME, now.tv_sec, 1000), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(leeway(kq, 2, 0, NOTE_SECONDS | NOTE_ABSTIME, -5, UINT64_MAX), 0);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__too_long_is_the_longest)
{
	int kq = queue();

	ck_assert_int_eq(leeway(kq, 1, 0, NOTE_SECONDS, INT64_MAX, UINT64_MAX), 0);
	ck_assert_int_eq(leeway(kq, 2, 0, NOTE_SECONDS, 1000, UINT64_MAX), 0);
	ck_assert_int_eq(leeway(kq, 3, 0, NOTE_NSECONDS, INT64_MAX / 2, INT64_MAX / 2), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer_leeway__of_a_date)
{
	struct timespec now;
	int64_t date;
	int kq = queue();

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
	date = (int64_t)now.tv_sec * 1000 + now.tv_nsec / MS + 50;
	ck_assert_int_eq(leeway(kq, 1, EV_ONESHOT, NOTE_ABSTIME, date, 20), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
	ck_assert_int_ge((int64_t)now.tv_sec * 1000 + now.tv_nsec / MS, date);
	close(kq);
}
END_TEST

HARNESS_MAIN("timer_leeway",
    timer_leeway__is_never_early,
    timer_leeway__neighbours_share_a_wakeup,
    timer_leeway__is_in_the_timers_unit,
    timer_leeway__periods_do_not_drift,
    timer_leeway__is_nothing_without_ext,
    timer_leeway__does_not_delay_what_is_due,
    timer_leeway__too_long_is_the_longest,
    timer_leeway__of_a_date)
