/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_TIMER with periods and delays; dates are in timer_date.c.  No bound is
 * tighter than a loaded machine keeps, but for "never early".
 */
#include "timer.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A timer's life so far: made in this span of the clock. */
struct span {
	int64_t from, to;
};

static int
queue_timed(struct span *made, unsigned int flags, unsigned int fflags, int64_t data)
{
	int kq;

	made->from = now_ns();
	kq = queue_with(flags, fflags, data);
	made->to = now_ns();
	return kq;
}

/* total expirations were told, the last of them by a call that began at asked. */
static void
check_total(int64_t total, int64_t period, struct span made, int64_t asked)
{
	ck_assert_int_le(total, (now_ns() - made.from) / period);
	ck_assert_int_ge(total, (asked - made.to) / period);
}

START_TEST(timer__every_unit_is_kept_and_never_early)
{
	static const struct {
		unsigned int fflags;
		int64_t data, ns;
	} units[] = {
		{ 0, 30, 30 * MS },
		{ NOTE_MSECONDS, 30, 30 * MS },
		{ NOTE_USECONDS, 30000, 30 * MS },
		{ NOTE_NSECONDS, 30000000, 30 * MS },
		{ NOTE_NSECONDS, 1, 1 },
		{ NOTE_SECONDS, 1, SEC },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		int64_t start = now_ns(), elapsed;
		int kq = queue_with(EV_ONESHOT, units[i].fflags, units[i].data);

		ck_assert_int_eq(expiry(kq).data, 1);
		elapsed = now_ns() - start;
		ck_assert_int_ge(elapsed, units[i].ns);
		ck_assert_int_lt(elapsed, units[i].ns + 10 * SEC);
		close(kq);
	}
}
END_TEST

START_TEST(timer__bad_requests_are_invalid)
{
	unsigned int units[] = { NOTE_SECONDS, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS };
	unsigned int known = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS |
	    NOTE_ABSTIME | NOTE_ABSOLUTE | NOTE_LEEWAY | NOTE_CRITICAL | NOTE_BACKGROUND;
	int kq = queue();

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			ck_assert_int_eq(timer(kq, 1, EV_ADD, units[i] | units[j], 1), EINVAL);
	for (int bit = 0; bit < 32; bit++)
		if ((1u << bit & known) == 0)
			ck_assert_int_eq(timer(kq, 1, EV_ADD, 1u << bit, 1), EINVAL);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(timer(kq, 1, EV_ADD, units[i], -1), EINVAL);
		ck_assert_int_eq(timer(kq, 1, EV_ADD | EV_ONESHOT, units[i], INT64_MIN), EINVAL);
	}
	ck_assert(!there(kq));
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer__event_has_flags_of_its_creation)
{
	int mark, kq = queue();
	struct kevent event;

	ck_assert_int_eq(change(kq, UINTPTR_MAX, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS,
	    1, &mark), 0);
	event = event_of(kq, UINTPTR_MAX, EVFILT_TIMER);
	ck_assert_uint_eq(event.flags, EV_ONESHOT | EV_CLEAR);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_ptr_eq(event.udata, &mark);
	ck_assert_int_eq(timer(kq, 0, EV_ADD, 0, 1), 0);
	event = event_of(kq, 0, EVFILT_TIMER);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	close(kq);
}
END_TEST

START_TEST(timer__oneshot_zero_fires_at_once)
{
	unsigned int units[] = { 0, NOTE_SECONDS, NOTE_MSECONDS, NOTE_USECONDS, NOTE_NSECONDS };
	struct kevent event;
	int kq = queue();

	/* Another one that is armed must not stand in the way. */
	ck_assert_int_eq(timer(kq, 2, EV_ADD | EV_ONESHOT, NOTE_SECONDS, 1000), 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(timer(kq, 1, EV_ADD | EV_ONESHOT, units[i], 0), 0);
		ck_assert(readable(kq, 0));
		ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
		ck_assert_uint_eq(event.ident, 1);
		ck_assert_int_eq(event.data, 1);
		ck_assert(!there(kq));
	}
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer__oneshot_fires_once)
{
	int kq = queue_with(EV_ONESHOT, 0, 1);

	ck_assert_int_eq(expiry(kq).data, 1);
	ck_assert(!there(kq));
	nap(5);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer__uncollected_oneshot_counts_one)
{
	int kq = queue_with(EV_ONESHOT, 0, 1);

	nap(20);
	ck_assert_int_eq(expiry(kq).data, 1);
	close(kq);
}
END_TEST

START_TEST(timer__periodic_zero_is_one_unit)
{
	int64_t start = now_ns(), total = 0;
	int kq = queue_with(0, NOTE_MSECONDS, 0);

	while (total < 50)
		total += expiry(kq).data;
	ck_assert_int_ge(now_ns() - start, 50 * MS);
	close(kq);

	start = now_ns();
	kq = queue_with(0, NOTE_SECONDS, 0);
	expiry(kq);
	ck_assert_int_ge(now_ns() - start, SEC);
	close(kq);
}
END_TEST

START_TEST(timer__too_long_is_the_longest)
{
	unsigned int units[] = { 0, NOTE_SECONDS, NOTE_USECONDS, NOTE_NSECONDS };
	unsigned int dates[] = { 0, NOTE_ABSTIME, NOTE_ABSOLUTE };
	int kq = queue();

	for (unsigned int i = 0; i < 12; i++) {
		unsigned int fflags = units[i % 4] | dates[i / 4];

		ck_assert_int_eq(timer(kq, i, EV_ADD, fflags, INT64_MAX), 0);
		ck_assert_int_eq(timer(kq, i, EV_ADD, fflags, INT64_MAX - 1000), 0);
		ck_assert_int_eq(timer(kq, 100 + i, EV_ADD | EV_ONESHOT, fflags, INT64_MAX - 1), 0);
	}
	nap(20);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer__data_counts_expirations_since_the_last_event)
{
	struct span made;
	int64_t asked, total = 0;
	int kq = queue_timed(&made, 0, 0, 10);

	for (int i = 1; i < 5; i++) {
		nap(25 * i);
		asked = now_ns();
		total += expiry(kq).data;
		check_total(total, 10 * MS, made, asked);
	}
	close(kq);
}
END_TEST

START_TEST(timer__periods_do_not_drift)
{
	struct span made;
	int64_t asked, total = 0;
	int kq = queue_timed(&made, 0, NOTE_USECONDS, 100);

	while (total < 10000) {
		asked = now_ns();
		total += expiry(kq).data;
		check_total(total, 100000, made, asked);
	}
	close(kq);
}
END_TEST

START_TEST(timer__shortest_period_is_counted)
{
	struct span made;
	int64_t asked, total = 0;
	int kq = queue_timed(&made, 0, NOTE_NSECONDS, 1);

	for (int i = 0; i < 1000; i++) {
		asked = now_ns();
		total += expiry(kq).data;
		check_total(total, 1, made, asked);
	}
	close(kq);
}
END_TEST

/* Whether such a change starts the timer again, as its flags say or as none do. */
static void
check_restart(unsigned int flags)
{
	struct span made;
	int64_t asked;
	int kq = queue_with(0, 0, 1);

	ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	/* Expired: forgotten. */
	ck_assert_int_eq(timer(kq, 1, flags, NOTE_SECONDS, 3600), 0);
	no_event(kq);
	ck_assert(!readable(kq, 20));
	no_event(kq);
	/* Waiting: sooner now. */
	made.from = now_ns();
	ck_assert_int_eq(timer(kq, 1, flags, NOTE_USECONDS, 30000), 0);
	made.to = asked = now_ns();
	check_total(expiry(kq).data, 30 * MS, made, asked);
	/* Waiting: later. */
	ck_assert_int_eq(timer(kq, 1, flags, NOTE_SECONDS, 3600), 0);
	nap(60);
	no_event(kq);
	close(kq);
}

START_TEST(timer__add_again_restarts_and_forgets)
{
	check_restart(EV_ADD);
	check_restart(EV_ADD | EV_ENABLE);
}
END_TEST

START_TEST(timer__change_without_flags_restarts_and_forgets)
{
	check_restart(0);
}
END_TEST

START_TEST(timer__bad_change_leaves_the_timer_alone)
{
	struct span made;
	int64_t asked, total = 0;
	int kq = queue_timed(&made, 0, 0, 20);

	/* While it waits, and when it has expired. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(timer(kq, 1, EV_ADD, 0, -1), EINVAL);
		ck_assert_int_eq(timer(kq, 1, 0, NOTE_SECONDS | NOTE_USECONDS, 1), EINVAL);
		ck_assert_int_eq(timer(kq, 1, EV_ADD, NOTE_ABSTIME | 0x80000000u, 1), EINVAL);
		nap(45);
	}
	asked = now_ns();
	total += expiry(kq).data;
	check_total(total, 20 * MS, made, asked);
	ck_assert_int_eq(timer(kq, 1, EV_ADD, 0, INT64_MIN), EINVAL);
	total += expiry(kq).data;
	check_total(total, 20 * MS, made, asked);
	close(kq);
}
END_TEST

START_TEST(timer__add_again_keeps_oneshot)
{
	int kq = queue_with(EV_ONESHOT, NOTE_SECONDS, 3600);

	ck_assert_int_eq(timer(kq, 1, EV_ADD, 0, 0), 0);
	ck_assert_uint_eq(expiry(kq).flags & EV_ONESHOT, EV_ONESHOT);
	ck_assert(!there(kq));
	close(kq);
}
END_TEST

START_TEST(timer__deleted_never_fires)
{
	int kq = queue_with(0, 0, 10);

	ck_assert_int_eq(timer(kq, 1, EV_DELETE, 0, 0), 0);
	nap(20);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	/* Nor one that has expired already. */
	ck_assert_int_eq(timer(kq, 1, EV_ADD, 0, 1), 0);
	ck_assert(readable(kq, 5000));
	ck_assert_int_eq(timer(kq, 1, EV_DELETE, 0, 0), 0);
	no_event(kq);
	ck_assert_int_eq(timer(kq, 1, EV_DELETE, 0, 0), ENOENT);
	close(kq);
}
END_TEST

START_TEST(timer__disabled_keeps_counting)
{
	struct span made;
	int64_t asked, total = 0;
	int kq = queue_timed(&made, 0, 0, 10);

	/* Disabled while it waits, then when it has expired. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(timer(kq, 1, EV_DISABLE, 0, 0), 0);
		ck_assert(!readable(kq, 50));
		no_event(kq);
		ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0, 0), 0);
		asked = now_ns();
		total += expiry(kq).data;
		check_total(total, 10 * MS, made, asked);
		ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	}
	close(kq);
}
END_TEST

START_TEST(timer__enable_and_disable_do_not_restart)
{
	int64_t start = now_ns();
	int kq = queue_with(EV_ONESHOT, 0, 60);

	/* fflags and data of such a change are not looked at. */
	ck_assert_int_eq(timer(kq, 1, EV_DISABLE, 0x80000000u, -1), 0);
	ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0x80000000u, -1), 0);
	ck_assert_int_eq(timer(kq, 1, EV_ENABLE, NOTE_SECONDS, 3600), 0);
	expiry(kq);
	ck_assert_int_ge(now_ns() - start, 60 * MS);
	close(kq);
}
END_TEST

START_TEST(timer__created_disabled_waits_for_enable)
{
	int kq = queue_with(EV_DISABLE | EV_ONESHOT, 0, 0);

	ck_assert_int_eq(timer(kq, 2, EV_ADD | EV_DISABLE, 0, 1), 0);
	ck_assert_int_eq(timer(kq, 3, EV_ADD | EV_DISABLE, NOTE_ABSTIME, 1), 0);
	ck_assert(!readable(kq, 20));
	no_event(kq);
	/* Adding again does not enable. */
	ck_assert_int_eq(timer(kq, 1, EV_ADD, 0, 0), 0);
	no_event(kq);
	ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0, 0), 0);
	expiry(kq);
	ck_assert_int_eq(timer(kq, 2, EV_ENABLE, 0, 0), 0);
	ck_assert_int_ge(event_of(kq, 2, EVFILT_TIMER).data, 15);
	ck_assert_int_eq(timer(kq, 3, EV_ENABLE, 0, 0), 0);
	ck_assert_int_eq(timer(kq, 2, EV_DELETE, 0, 0), 0);
	ck_assert_int_eq(event_of(kq, 3, EVFILT_TIMER).data, 1);
	close(kq);
}
END_TEST

START_TEST(timer__dispatch_disables_and_counts_on)
{
	int kq = queue_with(EV_DISPATCH, 0, 5);

	expiry(kq);
	ck_assert(!readable(kq, 30));
	no_event(kq);
	ck_assert_int_eq(timer(kq, 1, EV_ENABLE, 0, 0), 0);
	ck_assert_int_ge(expiry(kq).data, 5);
	ck_assert(!readable(kq, 30));
	close(kq);
}
END_TEST

START_TEST(timer__forced_oneshot_fires_now)
{
	int kq = queue_with(0, NOTE_SECONDS, 3600);
	struct kevent event;

	ck_assert_int_eq(timer(kq, 1, EV_FORCEONESHOT, 0, 0), 0);
	event = event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(event.data, 0);
	ck_assert(!there(kq));
	close(kq);
}
END_TEST

#define MANY 20000

START_TEST(timer__many_timers_need_two_descriptors)
{
	struct kevent *events = calloc(MANY, sizeof(*events));
	int64_t *due = calloc(MANY, sizeof(*due)), now, delay;
	int kq = queue(), before = open_descriptors(), got = 0, count;

	ck_assert(events != NULL && due != NULL);
	srand(1);
	for (uintptr_t i = 0; i < MANY; i++) {
		delay = rand() % 100 * MS;
		due[i] = now_ns() + delay;
		ck_assert_int_eq(i % 2 == 0 ? timer(kq, i, EV_ADD | EV_ONESHOT, 0, delay / MS) :
		    timer(kq, i, EV_ADD | EV_ONESHOT, NOTE_ABSTIME | NOTE_NSECONDS,
		    date_ns() + delay), 0);
	}
	ck_assert_int_le(open_descriptors(), before + 2);
	while (got < MANY) {
		count = collect(kq, events, MANY, HARNESS_TIMEOUT * 500);
		ck_assert_int_ge(count, 1);
		now = now_ns();
		for (int i = 0; i < count; i++) {
			ck_assert_int_ge(due[events[i].ident], 0);
			/* The wall clock may be corrected by a little meanwhile. */
			ck_assert_int_ge(now,
			    due[events[i].ident] - (events[i].ident % 2) * 5 * MS);
			due[events[i].ident] = -1;
		}
		got += count;
	}
	no_event(kq);
	free(events);
	free(due);
	close(kq);
}
END_TEST

START_TEST(timer__many_are_deleted_and_restarted_in_any_order)
{
	static bool want[1000];
	struct kevent event;
	int kq = queue(), left = 0;

	srand(2);
	for (int step = 0; step < 10000; step++) {
		uintptr_t i = (uintptr_t)rand() % 1000;

		if (want[i] && rand() % 2 == 0) {
			ck_assert_int_eq(timer(kq, i, EV_DELETE, 0, 0), 0);
			want[i] = false;
		} else {
			ck_assert_int_eq(timer(kq, i, EV_ADD | EV_ONESHOT, NOTE_SECONDS,
			    1000 + rand() % 1000), 0);
			want[i] = true;
		}
	}
	for (uintptr_t i = 0; i < 1000; i++)
		if (want[i]) {
			ck_assert_int_eq(timer(kq, i, EV_ADD, 0, rand() % 20), 0);
			left++;
		}
	for (; left > 0; left--) {
		ck_assert_int_eq(collect(kq, &event, 1, HARNESS_TIMEOUT * 500), 1);
		ck_assert(want[event.ident]);
		want[event.ident] = false;
	}
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(timer__uncollected_and_disabled_cost_nothing)
{
	int kq = queue_with(0, NOTE_NSECONDS, 1);
	struct kevent event;
	int64_t used = cpu_ns();

	/* Expired, and nobody asks. */
	nap(300);
	ck_assert_int_lt(cpu_ns() - used, 50 * MS);
	/* Disabled, while somebody waits for something else. */
	ck_assert_int_eq(timer(kq, 1, EV_DISABLE, 0, 0), 0);
	used = cpu_ns();
	ck_assert_int_eq(collect(kq, &event, 1, 300), 0);
	ck_assert_int_lt(cpu_ns() - used, 50 * MS);
	close(kq);
}
END_TEST

START_TEST(timer__queue_is_readable_when_one_expires)
{
	int64_t start = now_ns();
	int kq = queue_with(0, 0, 30);

	ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
	ck_assert_int_ge(now_ns() - start, 30 * MS);
	expiry(kq);
	ck_assert_int_eq(timer(kq, 1, EV_DELETE, 0, 0), 0);
	close(kq);
}
END_TEST

#define BURST 1000

/* What comes next is armed before a call returns, however soon it is due. */
START_TEST(timer__each_of_a_burst_makes_the_queue_readable)
{
	const int room[] = { 1, 3, 64 };
	struct kevent events[64];
	int64_t due[BURST];
	int kq = queue(), got, count;

	srand(3);
	for (int round = 0; round < 3; round++) {
		for (uintptr_t i = 0; i < BURST; i++) {
			int64_t delay = 10 * MS + rand() % (5 * MS);

			due[i] = now_ns() + delay;
			ck_assert_int_eq(timer(kq, i, EV_ADD | EV_ONESHOT, NOTE_NSECONDS, delay), 0);
		}
		for (got = 0; got < BURST; got += count) {
			ck_assert(readable(kq, HARNESS_TIMEOUT * 500));
			count = collect(kq, events, room[round], 0);
			ck_assert_int_ge(count, 0);
			for (int i = 0; i < count; i++) {
				ck_assert_int_ge(now_ns(), due[events[i].ident]);
				due[events[i].ident] = INT64_MAX;
			}
		}
		no_event(kq);
	}
	close(kq);
}
END_TEST

START_TEST(timer__earlier_timer_of_another_thread_reaches_the_waiter)
{
	int kq = queue_with(EV_ONESHOT, NOTE_SECONDS, 3600);
	struct waiter w;

	waiter_start(&w, kq, HARNESS_TIMEOUT * 500);
	ck_assert_int_eq(timer(kq, 2, EV_ADD | EV_ONESHOT, 0, 10), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, 2);
	close(kq);
}
END_TEST

HARNESS_MAIN("timer",
    timer__every_unit_is_kept_and_never_early,
    timer__bad_requests_are_invalid,
    timer__event_has_flags_of_its_creation,
    timer__oneshot_zero_fires_at_once,
    timer__oneshot_fires_once,
    timer__uncollected_oneshot_counts_one,
    timer__periodic_zero_is_one_unit,
    timer__too_long_is_the_longest,
    timer__data_counts_expirations_since_the_last_event,
    timer__periods_do_not_drift,
    timer__shortest_period_is_counted,
    timer__add_again_restarts_and_forgets,
    timer__change_without_flags_restarts_and_forgets,
    timer__bad_change_leaves_the_timer_alone,
    timer__add_again_keeps_oneshot,
    timer__deleted_never_fires,
    timer__disabled_keeps_counting,
    timer__enable_and_disable_do_not_restart,
    timer__created_disabled_waits_for_enable,
    timer__dispatch_disables_and_counts_on,
    timer__forced_oneshot_fires_now,
    timer__many_timers_need_two_descriptors,
    timer__many_are_deleted_and_restarted_in_any_order,
    timer__uncollected_and_disabled_cost_nothing,
    timer__queue_is_readable_when_one_expires,
    timer__each_of_a_burst_makes_the_queue_readable,
    timer__earlier_timer_of_another_thread_reaches_the_waiter)
