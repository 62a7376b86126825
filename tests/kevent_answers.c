/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changes answer: an entry for each that fails, or asks for a receipt, while there is room; an errno, or nothing,
 * where there is none.
 */
#include "kevent.h"

#include <unistd.h>

#define KEEP	(EV_ADD | EV_CLEAR)	/* a good change's flags, where they do not matter */

static int mark[4];	/* for udata: addresses to tell apart */

START_TEST(kevent_answers__failing_change_writes_an_entry)
{
	struct kevent bad, event;
	int kq = queue();

	EV_SET(&bad, 77, EVFILT_USER, EV_DELETE, 0, 0, &mark[3]);
	ck_assert_int_eq(kevent(kq, &bad, 1, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, 77);
	ck_assert_int_eq(event.filter, EVFILT_USER);
	ck_assert_uint_eq(event.flags, EV_DELETE | EV_ERROR);
	ck_assert_int_eq(event.data, ENOENT);
	ck_assert_ptr_eq(event.udata, &mark[3]);
	close(kq);
}
END_TEST

START_TEST(kevent_answers__failing_change_with_room_does_not_stop_the_others)
{
	struct kevent changes[5], events[5];
	int kq = queue();

	user(&changes[0], 1, EV_DELETE, 0, NULL);
	user(&changes[1], 2, EV_ADD, 0, NULL);
	user(&changes[2], 3, EV_DELETE, 0, NULL);
	user(&changes[3], 4, EV_ADD, 0, NULL);
	EV_SET(&changes[4], 5, -100, EV_ADD, 0, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 5, events, 5, NULL), 3);
	ck_assert_uint_eq(events[0].ident, 1);
	ck_assert_int_eq(events[0].data, ENOENT);
	ck_assert_uint_eq(events[1].ident, 3);
	ck_assert_int_eq(events[1].data, ENOENT);
	ck_assert_uint_eq(events[2].ident, 5);
	ck_assert_int_eq(events[2].filter, -100);
	ck_assert_int_eq(events[2].data, EINVAL);
	ck_assert(registered(kq, 2));
	ck_assert(registered(kq, 4));
	close(kq);
}
END_TEST

/* The timeout is for ever: a call that waits fails by the test's time limit. */
START_TEST(kevent_answers__failing_change_with_room_returns_at_once)
{
	struct kevent bad, events[8];
	int kq = queue();

	user(&bad, 1, EV_DELETE, 0, NULL);
	ck_assert_int_eq(kevent(kq, &bad, 1, events, 8, NULL), 1);
	close(kq);
}
END_TEST

START_TEST(kevent_answers__failing_change_with_room_collects_no_events)
{
	struct kevent bad, events[8];
	int kq = queue();

	make_ready(kq, 1);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	user(&bad, 3, EV_DELETE, 0, NULL);
	ck_assert_int_eq(kevent(kq, &bad, 1, events, 8, NULL), 1);
	ck_assert_uint_eq(events[0].ident, 3);
	ck_assert_uint_eq(events[0].flags & EV_ERROR, EV_ERROR);
	ck_assert_int_eq(collect(kq, events, 8, 0), 2);
	close(kq);
}
END_TEST

START_TEST(kevent_answers__failing_change_without_room_is_an_errno)
{
	struct kevent changes[3];
	int kq = queue();

	user(&changes[0], 1, EV_ADD, 0, NULL);
	user(&changes[1], 2, EV_DELETE, 0, NULL);
	user(&changes[2], 3, EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 3, NULL, 0, NULL), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(registered(kq, 1));
	ck_assert(!registered(kq, 3));
	close(kq);
}
END_TEST

START_TEST(kevent_answers__failing_change_after_the_room_is_used_up_is_an_errno)
{
	struct kevent changes[4], event;
	int kq = queue();

	user(&changes[0], 1, EV_DELETE, 0, NULL);
	user(&changes[1], 2, EV_ADD, 0, NULL);
	EV_SET(&changes[2], 3, -100, EV_ADD, 0, 0, NULL);
	user(&changes[3], 4, EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 4, &event, 1, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert(registered(kq, 2));
	ck_assert(!registered(kq, 4));
	close(kq);
}
END_TEST

START_TEST(kevent_answers__receipt_of_a_good_change_has_data_0)
{
	struct kevent good, event;
	int kq = queue();

	user(&good, 1, EV_ADD | EV_RECEIPT, 0, &mark[1]);
	good.data = 5;
	ck_assert_int_eq(kevent(kq, &good, 1, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, 1);
	ck_assert_int_eq(event.filter, EVFILT_USER);
	ck_assert_uint_eq(event.flags, EV_ADD | EV_RECEIPT | EV_ERROR);
	ck_assert_int_eq(event.data, 0);
	ck_assert_ptr_eq(event.udata, &mark[1]);
	ck_assert(registered(kq, 1));
	close(kq);
}
END_TEST

START_TEST(kevent_answers__receipts_and_errors_come_in_order)
{
	struct kevent changes[3], events[3];
	int kq = queue();

	user(&changes[0], 1, EV_ADD | EV_RECEIPT, 0, NULL);
	user(&changes[1], 2, EV_DELETE | EV_RECEIPT, 0, NULL);
	user(&changes[2], 3, EV_ADD | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 3, events, 3, NULL), 3);
	ck_assert_int_eq(events[0].data, 0);
	ck_assert_int_eq(events[1].data, ENOENT);
	ck_assert_uint_eq(events[1].flags, EV_DELETE | EV_RECEIPT | EV_ERROR);
	ck_assert_int_eq(events[2].data, 0);
	for (uintptr_t i = 0; i < 3; i++)
		ck_assert_uint_eq(events[i].ident, i + 1);
	close(kq);
}
END_TEST

START_TEST(kevent_answers__receipt_collects_no_events)
{
	struct kevent good, events[4];
	int kq = queue();

	make_ready(kq, 1);
	user(&good, 2, EV_ADD | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, &good, 1, events, 4, NULL), 1);
	ck_assert_uint_eq(events[0].ident, 2);
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}
END_TEST

START_TEST(kevent_answers__receipt_without_room_is_dropped_and_the_rest_applied)
{
	struct kevent changes[3], event;
	int kq = queue();

	for (uintptr_t i = 0; i < 3; i++)
		user(&changes[i], i, EV_ADD | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 3, NULL, 0, NULL), 0);
	for (uintptr_t i = 0; i < 3; i++)
		ck_assert(registered(kq, i));
	for (uintptr_t i = 0; i < 3; i++)
		user(&changes[i], i + 10, EV_ADD | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 3, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, 10);
	for (uintptr_t i = 0; i < 3; i++)
		ck_assert(registered(kq, i + 10));
	close(kq);
}
END_TEST

START_TEST(kevent_answers__error_after_a_dropped_receipt_is_an_errno)
{
	struct kevent changes[2];
	int kq = queue();

	user(&changes[0], 1, EV_ADD | EV_RECEIPT, 0, NULL);
	user(&changes[1], 2, EV_DELETE | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, 2, NULL, 0, NULL), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(registered(kq, 1));
	close(kq);
}
END_TEST

START_TEST(kevent_answers__one_array_takes_receipts_and_then_events)
{
	struct kevent both[64];
	int kq = queue();

	for (uintptr_t i = 0; i < 64; i++)
		user(&both[i], i, KEEP | EV_RECEIPT, 0, NULL);
	ck_assert_int_eq(kevent(kq, both, 64, both, 64, NULL), 64);
	for (uintptr_t i = 0; i < 64; i++) {
		ck_assert_uint_eq(both[i].ident, i);
		ck_assert_int_eq(both[i].data, 0);
		user(&both[i], i, 0, NOTE_TRIGGER, NULL);
	}
	ck_assert_int_eq(kevent(kq, both, 64, both, 64, NULL), 64);
	for (uintptr_t i = 0; i < 64; i++)
		ck_assert_uint_eq(both[i].flags & EV_ERROR, 0);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent_answers",
    kevent_answers__failing_change_writes_an_entry,
    kevent_answers__failing_change_with_room_does_not_stop_the_others,
    kevent_answers__failing_change_with_room_returns_at_once,
    kevent_answers__failing_change_with_room_collects_no_events,
    kevent_answers__failing_change_without_room_is_an_errno,
    kevent_answers__failing_change_after_the_room_is_used_up_is_an_errno,
    kevent_answers__receipt_of_a_good_change_has_data_0,
    kevent_answers__receipts_and_errors_come_in_order,
    kevent_answers__receipt_collects_no_events,
    kevent_answers__receipt_without_room_is_dropped_and_the_rest_applied,
    kevent_answers__error_after_a_dropped_receipt_is_an_errno,
    kevent_answers__one_array_takes_receipts_and_then_events)
