/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The call itself: how changes are applied, what arguments it refuses, and what
 * a returned event looks like.  What changes answer is in kevent_answers.c, how
 * it waits in kevent_wait.c, its errnos in kevent_errors.c.
 */
#include "kevent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int mark[3];	/* for udata: addresses to tell apart */

START_TEST(kevent__changes_are_applied_in_order)
{
	struct kevent changes[4], event;
	int kq = queue();

	user(&changes[0], 1, EV_ADD, 0, &mark[0]);
	user(&changes[1], 1, 0, NOTE_TRIGGER, &mark[1]);
	user(&changes[2], 1, EV_DELETE, 0, NULL);
	user(&changes[3], 1, EV_ADD, 0, &mark[2]);
	ck_assert_int_eq(kevent(kq, changes, 4, NULL, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(kevent(kq, changes, 2, NULL, 0, NULL), 0);
	event = event_of(kq, 1, EVFILT_USER);
	ck_assert_ptr_eq(event.udata, &mark[1]);
	close(kq);
}
END_TEST

START_TEST(kevent__changes_come_before_events_of_the_same_call)
{
	struct kevent changes[2], event;
	int kq = queue();

	user(&changes[0], 1, EV_ADD, 0, &mark[0]);
	user(&changes[1], 1, 0, NOTE_TRIGGER, &mark[0]);
	ck_assert_int_eq(kevent(kq, changes, 2, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, 1);
	ck_assert_int_eq(event.filter, EVFILT_USER);
	ck_assert_ptr_eq(event.udata, &mark[0]);
	close(kq);
}
END_TEST

START_TEST(kevent__one_array_serves_both_sides)
{
	struct kevent both[100];
	int kq = queue();

	for (uintptr_t i = 0; i < 100; i++)
		user(&both[i], i, i % 2 == 0 ? EV_DELETE : EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, both, 100, both, 100, NULL), 50);
	for (uintptr_t i = 0; i < 50; i++) {
		ck_assert_uint_eq(both[i].ident, 2 * i);
		ck_assert_int_eq(both[i].data, ENOENT);
	}
	for (uintptr_t i = 0; i < 100; i++)
		ck_assert_int_eq(registered(kq, i), i % 2 != 0);
	close(kq);
}
END_TEST

START_TEST(kevent__no_room_returns_at_once)
{
	struct kevent event;
	int kq = queue();

	ck_assert_int_eq(kevent(kq, NULL, 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 0, NULL), 0);
	make_ready(kq, 1);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}
END_TEST

START_TEST(kevent__no_room_loses_no_event)
{
	struct kevent trigger;
	int kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	user(&trigger, 1, 0, NOTE_TRIGGER, NULL);
	ck_assert_int_eq(kevent(kq, &trigger, 1, NULL, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(kevent__negative_counts_are_refused_before_any_change)
{
	struct timespec zero = { 0, 0 };
	struct kevent good, event;
	int kq = queue();

	user(&good, 1, EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, &good, -1, &event, 1, &zero), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(kevent(kq, &good, 1, &event, -1, &zero), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(kevent(kq, NULL, -1, NULL, 0, &zero), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert(!registered(kq, 1));
	close(kq);
}
END_TEST

START_TEST(kevent__bad_timeouts_are_refused_before_any_change)
{
	static const struct timespec bad[] = {
		{ -1, 0 }, { 0, -1 }, { 0, 1000000000 }, { 5, 2000000000 }, { -1, 999999999 },
	};
	struct kevent good, event;
	int kq = queue();

	user(&good, 1, EV_ADD, 0, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (int room = 0; room < 2; room++) {
			errno = 0;
			ck_assert_int_eq(kevent(kq, &good, 1, &event, room, &bad[i]), -1);
			ck_assert_int_eq(errno, EINVAL);
			ck_assert(!registered(kq, 1));
		}
	close(kq);
}
END_TEST

/* Page-zero pointers come from a null array plus an index, or a null struct's member. */
START_TEST(kevent__page_zero_changelist_is_efault)
{
	uintptr_t bad[] = { 0, 32, 4080 };
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int kq = queue();

	make_ready(kq, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(kevent(kq, (const struct kevent *)bad[i], 1, &event, 1, &zero), -1);
		ck_assert_int_eq(errno, EFAULT);
	}
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}
END_TEST

START_TEST(kevent__page_zero_eventlist_is_efault_and_applies_nothing)
{
	uintptr_t bad[] = { 0, 32, 4080 };
	struct timespec zero = { 0, 0 };
	struct kevent good;
	int kq = queue();

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	user(&good, 2, EV_ADD, 0, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(kevent(kq, &good, 1, (struct kevent *)bad[i], 1, &zero), -1);
		ck_assert_int_eq(errno, EFAULT);
		ck_assert(!registered(kq, 2));
	}
	event_of(kq, 1, EVFILT_USER);
	close(kq);
}
END_TEST

START_TEST(kevent__null_arrays_without_a_count_are_fine)
{
	struct timespec zero = { 0, 0 };
	struct kevent good, event;
	int kq = queue();

	user(&good, 1, EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, &good, 1, NULL, 0, &zero), 0);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(kevent(kq, NULL, 0, NULL, 0, &zero), 0);
	close(kq);
}
END_TEST

START_TEST(kevent__changelist_is_left_alone)
{
	struct kevent changes[3], copy[3], events[3];
	int kq = queue();

	memset(changes, 0, sizeof(changes));
	user(&changes[0], 1, EV_ADD | EV_RECEIPT | EV_SYSFLAGS, 0, &mark[0]);
	user(&changes[1], 2, EV_DELETE, 7, &mark[1]);
	EV_SET(&changes[2], 3, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 100, &mark[2]);
	memcpy(copy, changes, sizeof(copy));
	ck_assert_int_eq(kevent(kq, changes, 3, events, 3, NULL), 2);
	ck_assert_mem_eq(changes, copy, sizeof(copy));
	close(kq);
}
END_TEST

START_TEST(kevent__thousands_of_changes_in_one_call)
{
	enum { N = 20000 };
	struct kevent *changes = calloc(N, sizeof(*changes));
	int kq = queue();

	ck_assert_ptr_nonnull(changes);
	for (uintptr_t i = 0; i < N; i++)
		user(&changes[i], i, EV_ADD, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, N, NULL, 0, NULL), 0);
	for (uintptr_t i = 0; i < N; i++)
		user(&changes[i], i, EV_DELETE, 0, NULL);
	ck_assert_int_eq(kevent(kq, changes, N, NULL, 0, NULL), 0);
	ck_assert(!registered(kq, 0));
	free(changes);
	close(kq);
}
END_TEST

START_TEST(kevent__event_flags_are_those_of_the_creation)
{
	static const struct { unsigned short given, expected; } cases[] = {
		{ EV_ADD, 0 },
		{ EV_ADD | EV_ENABLE, 0 },
		{ EV_ADD | EV_CLEAR, EV_CLEAR },
		{ EV_ADD | EV_ONESHOT, EV_ONESHOT },
		{ EV_ADD | EV_DISPATCH, EV_DISPATCH },
		{ EV_ADD | EV_CLEAR | EV_DISPATCH | EV_ENABLE, EV_CLEAR | EV_DISPATCH },
		{ EV_ADD | EV_RECEIPT, EV_RECEIPT },
	};
	int fds[2], kq = queue();

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, cases[i].given, 0, 0, NULL), 0);
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).flags, cases[i].expected);
		change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
	}
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent__some_filters_set_ev_clear_by_themselves)
{
	int kq = queue(), status;
	pid_t pid;

	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL), 0);
	ck_assert_uint_eq(event_of(kq, 1, EVFILT_TIMER).flags, EV_CLEAR);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), 0);

	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	raise(SIGUSR1);
	ck_assert_uint_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).flags, EV_CLEAR);

	if ((pid = fork()) == 0) {
		pause();
		_exit(0);
	}
	ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	kill(pid, SIGKILL);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)pid, EVFILT_PROC).flags, EV_CLEAR | EV_ONESHOT | EV_EOF);
	waitpid(pid, &status, 0);
	close(kq);
}
END_TEST

START_TEST(kevent__system_bits_are_not_echoed)
{
	struct kevent given, event;
	int kq = queue();

	user(&given, 1, EV_ADD | EV_RECEIPT | EV_SYSFLAGS, NOTE_TRIGGER, NULL);
	ck_assert_int_eq(kevent(kq, &given, 1, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.flags, EV_ADD | EV_RECEIPT | EV_ERROR);
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event_of(kq, 1, EVFILT_USER).flags, EV_RECEIPT);
	close(kq);
}
END_TEST

START_TEST(kevent__udata_comes_back_as_given)
{
	void *given[] = { NULL, &mark[0], (void *)UINTPTR_MAX, (void *)1 };
	int kq = queue();

	for (uintptr_t i = 0; i < 4; i++) {
		ck_assert_int_eq(change(kq, i, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, given[i]), 0);
		ck_assert_ptr_eq(event_of(kq, i, EVFILT_USER).udata, given[i]);
		ck_assert_int_eq(change(kq, i, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	}
	close(kq);
}
END_TEST

START_TEST(kevent__success_leaves_errno_alone)
{
	struct timespec ts = { 0, 1000000 }, zero = { 0, 0 };
	struct kevent kev, event;
	int kq, fds[2];

	errno = 4242;
	kq = kqueue();
	ck_assert_int_eq(errno, 4242);
	pair(PAIR_TCP, fds);
	errno = 4242;
	EV_SET(&kev, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
	ck_assert_int_eq(kevent(kq, &kev, 1, NULL, 0, NULL), 0);
	ck_assert_int_eq(errno, 4242);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	ck_assert_int_eq(errno, 4242);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 0);
	ck_assert_int_eq(errno, 4242);
	put(fds[1], 1);
	errno = 4242;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, NULL), 1);
	ck_assert_int_eq(errno, 4242);
	EV_SET(&kev, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL);
	ck_assert_int_eq(kevent(kq, &kev, 1, &event, 1, NULL), 1);
	ck_assert_int_eq(errno, 4242);
	ck_assert_int_eq(close(fds[0]), 0);
	ck_assert_int_eq(close(kq), 0);
	ck_assert_int_eq(errno, 4242);
	close(fds[1]);
}
END_TEST

START_TEST(kevent__ev_set_takes_any_name_and_evaluates_once)
{
	struct kevent a[2], *kevp = a;
	int ident = 3, filter = 0, flags = 0, fflags = 0, data = 0;
	void *udata = mark;

	EV_SET(kevp++, (uintptr_t)ident++, (short)(EVFILT_USER + filter++), (unsigned short)(EV_ADD + flags++),
	    (unsigned int)fflags++, data++, udata);
	ck_assert_ptr_eq(kevp, &a[1]);
	ck_assert_int_eq(ident + filter + flags + fflags + data, 3 + 5);
	ck_assert_uint_eq(a[0].ident, 3);
	ck_assert_int_eq(a[0].filter, EVFILT_USER);
	ck_assert_uint_eq(a[0].flags, EV_ADD);
	ck_assert_ptr_eq(a[0].udata, mark);
}
END_TEST

HARNESS_MAIN("kevent",
    kevent__changes_are_applied_in_order,
    kevent__changes_come_before_events_of_the_same_call,
    kevent__one_array_serves_both_sides,
    kevent__no_room_returns_at_once,
    kevent__no_room_loses_no_event,
    kevent__negative_counts_are_refused_before_any_change,
    kevent__bad_timeouts_are_refused_before_any_change,
    kevent__page_zero_changelist_is_efault,
    kevent__page_zero_eventlist_is_efault_and_applies_nothing,
    kevent__null_arrays_without_a_count_are_fine,
    kevent__changelist_is_left_alone,
    kevent__thousands_of_changes_in_one_call,
    kevent__event_flags_are_those_of_the_creation,
    kevent__some_filters_set_ev_clear_by_themselves,
    kevent__system_bits_are_not_echoed,
    kevent__udata_comes_back_as_given,
    kevent__success_leaves_errno_alone,
    kevent__ev_set_takes_any_name_and_evaluates_once)
