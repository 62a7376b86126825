/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_TIMER with dates: NOTE_ABSTIME and NOTE_ABSOLUTE. */
#include "timer.h"

#include <time.h>
#include <unistd.h>

START_TEST(timer_date__in_the_past_stays_until_deleted)
{
	int64_t past[] = { date_ns() / MS - 1000, 1, 0, -1, INT64_MIN };
	struct kevent event;

	for (int i = 0; i < 5; i++) {
		int kq = queue_with(0, NOTE_ABSTIME, past[i]);

		for (int j = 0; j < 3; j++) {
			ck_assert(readable(kq, 0));
			ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
			ck_assert_int_eq(event.data, 1);
			ck_assert_uint_eq(event.flags, 0);
			ck_assert_uint_eq(event.fflags, 0);
		}
		ck_assert_int_eq(timer(kq, 1, EV_DISABLE, 0, 0), 0);
		ck_assert(!readable(kq, 0));
		ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0, 0), 0);
		ck_assert_int_eq(expiry(kq).data, 1);
		ck_assert_int_eq(timer(kq, 1, EV_DELETE, 0, 0), 0);
		no_event(kq);
		close(kq);
	}
}
END_TEST

START_TEST(timer_date__in_the_future_is_waited_for)
{
	static const struct { unsigned int fflags; int64_t ns; } units[] = {
		{ 0, MS }, { NOTE_SECONDS, SEC }, { NOTE_USECONDS, 1000 }, { NOTE_NSECONDS, 1 },
	};
	unsigned int dates[] = { NOTE_ABSTIME, NOTE_ABSOLUTE };

	for (int i = 0; i < 8; i++) {
		int64_t unit = units[i % 4].ns, when = (date_ns() + 50 * MS) / unit + 1;
		int kq = queue_with(0, units[i % 4].fflags | dates[i / 4], when);

		ck_assert_int_eq(expiry(kq).data, 1);
		ck_assert_int_ge(date_ns(), when * unit);
		close(kq);
	}
}
END_TEST

START_TEST(timer_date__with_clear_fires_once)
{
	int kq = queue_with(EV_CLEAR, NOTE_ABSTIME, 1);

	ck_assert_uint_eq(expiry(kq).flags, EV_CLEAR);
	no_event(kq);
	ck_assert_int_eq(timer(kq, 1, EV_DISABLE, 0, 0), 0);
	ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0, 0), 0);
	no_event(kq);
	ck_assert(there(kq));
	close(kq);
	kq = queue_with(EV_ONESHOT, NOTE_ABSTIME, 1);
	expiry(kq);
	ck_assert(!there(kq));
	close(kq);
}
END_TEST

START_TEST(timer_date__absolute_is_oneshot)
{
	int64_t dates[] = { -5, 0, date_ns() / MS + 20 };

	for (int i = 0; i < 3; i++) {
		int kq = queue_with(0, NOTE_ABSOLUTE, dates[i]);
		struct kevent event = expiry(kq);

		ck_assert_int_eq(event.data, 1);
		ck_assert_uint_eq(event.flags, EV_ONESHOT | EV_CLEAR);
		ck_assert(!there(kq));
		no_event(kq);
		close(kq);
	}
}
END_TEST

START_TEST(timer_date__change_of_clock)
{
	int64_t when = date_ns() / MS + 40;
	int kq = queue_with(0, NOTE_SECONDS, 3600);
	struct kevent event;

	/* A date, which stays. */
	ck_assert_int_eq(timer(kq, 1, EV_ADD, NOTE_ABSTIME, when), 0);
	ck_assert_uint_eq(expiry(kq).flags, 0);
	ck_assert_int_ge(date_ns(), when * MS);
	expiry(kq);
	/* Back again: a period, and EV_CLEAR with it. */
	ck_assert_int_eq(timer(kq, 1, EV_ADD, NOTE_SECONDS, 1), 0);
	event = expiry(kq);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_int_eq(timer(kq, 1, EV_ADD, NOTE_SECONDS, 3600), 0);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("timer_date",
    timer_date__in_the_past_stays_until_deleted,
    timer_date__in_the_future_is_waited_for,
    timer_date__with_clear_fires_once,
    timer_date__absolute_is_oneshot,
    timer_date__change_of_clock)
