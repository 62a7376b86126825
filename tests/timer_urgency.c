/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_TIMER with NOTE_CRITICAL and NOTE_BACKGROUND: how much a wake-up of its own matters. */
#include "timer.h"

#include <time.h>
#include <unistd.h>

/*
 * How many calls it takes to collect 20 timers with these notes, 1 ms apart from
 * each other; what comes of having been slow to make them is not counted.
 */
static int
wakeups(unsigned int fflags, int64_t first, uint64_t late)
{
	struct kevent events[20];
	int kq = queue(), calls = 0;
	int64_t start = now_ns();

	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(timer64(kq, (uint64_t)i, EV_ONESHOT, fflags, first + i, late), 0);
	calls -= (int)((now_ns() - start) / (50 * MS));
	for (int count = 0; count < 20; calls++) {
		int n = collect(kq, events, 20, -1);

		ck_assert_int_ge(n, 1);
		for (int i = 0; i < n; i++) {
			ck_assert_int_ge(now_ns() - start, (first + (int64_t)events[i].ident) * MS);
			ck_assert_uint_eq(events[i].fflags, 0);
			ck_assert_int_eq(events[i].data, 1);
		}
		count += n;
	}
	no_event(kq);
	close(kq);
	return calls;
}

/*
 * A tenth of two seconds: each window is longer than 2^27 ns, and those of all
 * begin within 20 ms, so three such moments serve them.
 */
START_TEST(timer_urgency__background_timers_share_a_wakeup)
{
	ck_assert_int_le(wakeups(NOTE_BACKGROUND, 2000, 0), 3);
}
END_TEST

/* More leeway than that may be given, but less means nothing. */
START_TEST(timer_urgency__background_with_leeway)
{
	ck_assert_int_le(wakeups(NOTE_BACKGROUND | NOTE_LEEWAY, 200, 200), 3);
	ck_assert_int_le(wakeups(NOTE_BACKGROUND | NOTE_LEEWAY, 2000, 1), 3);
}
END_TEST

/* However the machine is loaded, some of twenty tries are woken for in time. */
static int64_t
least_delay(unsigned int fflags, uint64_t late)
{
	int64_t least = INT64_MAX;

	for (int i = 0; i < 20; i++) {
		int kq = queue();
		int64_t start = now_ns(), delay;

		/* Leeway goes to moments that are round: be after one of those. */
		ck_assert_int_eq(timer64(kq, 1, EV_ONESHOT, fflags, 20, late), 0);
		event_of(kq, 1, EVFILT_TIMER);
		delay = now_ns() - start;
		ck_assert_int_ge(delay, 20 * MS);
		least = delay < least ? delay : least;
		close(kq);
	}
	return least;
}

START_TEST(timer_urgency__critical_is_on_time)
{
	/* An hour would be felt. */
	ck_assert_int_lt(least_delay(NOTE_CRITICAL | NOTE_LEEWAY, 3600000), 500 * MS);
	ck_assert_int_lt(least_delay(NOTE_CRITICAL | NOTE_BACKGROUND | NOTE_LEEWAY, 3600000), 500 * MS);
	ck_assert_int_lt(least_delay(NOTE_CRITICAL, 0), 500 * MS);
}
END_TEST

START_TEST(timer_urgency__background_is_late_by_a_tenth_at_most)
{
	ck_assert_int_lt(least_delay(NOTE_BACKGROUND, 0), 22 * MS + 30 * MS);
}
END_TEST

START_TEST(timer_urgency__background_periods_do_not_drift)
{
	int kq = queue();
	int64_t before = now_ns();

	ck_assert_int_eq(timer64(kq, 1, 0, NOTE_BACKGROUND, 10, 0), 0);
	no_drift(kq, 30, before, now_ns(), 10 * MS, 1 * MS);
	close(kq);
}
END_TEST

START_TEST(timer_urgency__is_accepted_with_every_unit_and_date)
{
	const unsigned int urgency[] = { NOTE_CRITICAL, NOTE_BACKGROUND, NOTE_CRITICAL | NOTE_BACKGROUND };
	const unsigned int units[] = { 0, NOTE_SECONDS, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS };
	const unsigned int dates[] = { 0, NOTE_ABSTIME, NOTE_ABSOLUTE };
	int kq = queue();

	for (int u = 0; u < 3; u++)
		for (int i = 0; i < 15; i++) {
			unsigned int fflags = urgency[u] | units[i % 5] | dates[i / 5];

			/* Far away; at once; as late as there is. */
			ck_assert_int_eq(timer64(kq, 1, 0, fflags, INT64_MAX, 0), 0);
			no_event(kq);
			ck_assert_int_eq(timer64(kq, 1, EV_DELETE, 0, 0, 0), 0);
			ck_assert_int_eq(timer64(kq, 2, EV_ONESHOT, fflags, 0, 0), 0);
			ck_assert_int_eq(event_of(kq, 2, EVFILT_TIMER).data, 1);
			ck_assert_int_eq(change(kq, 3, EVFILT_TIMER, EV_ADD, fflags,
			    dates[i / 5] == 0 ? -1 : -5, NULL), dates[i / 5] == 0 ? EINVAL : 0);
			change(kq, 3, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
		}
	close(kq);
}
END_TEST

/* Of a date, what is left until then counts, also after it was disabled. */
START_TEST(timer_urgency__background_date)
{
	struct timespec now;
	int64_t date;
	int kq = queue();

	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
	date = (int64_t)now.tv_sec * 1000 + now.tv_nsec / MS + 300;
	ck_assert_int_eq(timer64(kq, 1, EV_ONESHOT, NOTE_ABSTIME | NOTE_BACKGROUND, date, 0), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_DISABLE, 0, 0, NULL), 0);
	nap(50);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
	ck_assert_int_ge((int64_t)now.tv_sec * 1000 + now.tv_nsec / MS, date);
	close(kq);
}
END_TEST

HARNESS_MAIN("timer_urgency",
    timer_urgency__background_timers_share_a_wakeup,
    timer_urgency__background_with_leeway,
    timer_urgency__critical_is_on_time,
    timer_urgency__background_is_late_by_a_tenth_at_most,
    timer_urgency__background_periods_do_not_drift,
    timer_urgency__is_accepted_with_every_unit_and_date,
    timer_urgency__background_date)
