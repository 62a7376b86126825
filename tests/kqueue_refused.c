/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Epoll refuses an item, as it does without memory (ENOMEM) or at the limit of
 * items that a user may have (ENOSPC), and descriptors run out (EMFILE).  Linux
 * only: a double stands before epoll_ctl, which the library calls by syscall().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numbers.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refused;		/* what new items are refused with; 0: they are not */
static int old_mark, new_mark;
static int refusals, allowed;	/* how many were; how many may come before */

static long
next(long number, const long a[])
{
	static long (*_Atomic function)(long, ...);

	if (function == NULL)
		function = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return function(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* It takes as many arguments as there can be, whatever there is: AddressSanitizer would look. */
__attribute__((no_sanitize("address"))) long
syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_epoll_ctl && a[1] == EPOLL_CTL_ADD && refused != 0 && allowed-- <= 0) {
		refusals++;
		errno = refused;
		return -1;
	}
	return next(number, a);
}

static void
refuse(int error)
{
	refused = error;
	refusals = allowed = 0;
}

static void
trigger(int kq, uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

/* News of a queue that is readable already ring for the one it is in, whatever epoll has room for. */
START_TEST(kqueue_refused__news_of_a_nested_queue_are_told)
{
	int outer = queue(), inner = queue(), fds[2];
	struct kevent events[8];

	pair(PAIR_UNIX, fds);
	for (uintptr_t i = 1; i <= 5; i++)
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	trigger(inner, 1);
	ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, 2);
	no_event(outer);
	refuse(ENOSPC);
	for (uintptr_t i = 2; i <= 4; i++) {
		trigger(inner, i);
		ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, (int)i + 1);
		no_event(outer);
	}
	ck_assert(readable(inner, 0));
	refuse(0);
	trigger(inner, 5);
	ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, 6);
	ck_assert_int_eq(collect(inner, events, 8, 0), 6);
	for (uintptr_t i = 1; i <= 5; i++)
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(inner);
	ck_assert(!readable(inner, 0));
	close_pair(fds);
	close(inner);
	close(outer);
}
END_TEST

/* The program takes the number of one of ours, and there is no room for the item under its new one. */
START_TEST(kqueue_refused__bell_that_moves_is_added_later)
{
	int kq = queue(), fds[2], taken;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	refuse(ENOMEM);
	ck_assert_int_ge(taken = dup2(fds[0], bell()), 0);
	trigger(kq, 1);
	ck_assert_int_ge(refusals, 2);
	event_of(kq, 1, EVFILT_USER);
	refuse(0);
	trigger(kq, 2);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	event_of(kq, 2, EVFILT_USER);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(taken);
	close_pair(fds);
	close(kq);
}
END_TEST

/* No descriptor more, or as before. */
static void
limit_descriptors(bool on)
{
	static struct rlimit before;
	struct rlimit limit;

	if (on)
		ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	if (on) {
		limit.rlim_cur = (rlim_t)dup(STDERR_FILENO);
		close((int)limit.rlim_cur);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
change_ok(int kq, int fd, short filter, unsigned int flags, unsigned int fflags, int64_t data, void *udata)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, (unsigned short)flags, fflags, data, udata), 0);
}

static void
expect(int kq, int fd, short filter, void *udata)
{
	struct kevent event = event_of(kq, (uintptr_t)fd, filter);

	ck_assert_ptr_eq(event.udata, udata);
	ck_assert_uint_eq(event.flags & (EV_ERROR | EV_ONESHOT), 0);
}

/* Enabling takes what epoll does not have: the registration stays disabled, and what it was. */
START_TEST(kqueue_refused__enabling_that_fails_changes_nothing)
{
	static const int errors[] = { ENOSPC, ENOMEM };

	for (int i = 0; i < 2; i++) {
		int kq = queue(), fds[2];

		pair(PAIR_UNIX, fds);
		change_ok(kq, fds[0], EVFILT_READ, EV_ADD | EV_DISABLE, NOTE_LOWAT, 5, &old_mark);
		refuse(errors[i]);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, NOTE_LOWAT, 1, &new_mark), errors[i]);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ,
		    EV_ADD | EV_ENABLE | EV_FORCEONESHOT, 0, 0, &new_mark), errors[i]);
		refuse(0);
		put(fds[1], 4);
		no_event(kq);
		change_ok(kq, fds[0], EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 0, 0, NULL);
		no_event(kq);
		put(fds[1], 1);
		expect(kq, fds[0], EVFILT_READ, &old_mark);
		expect(kq, fds[0], EVFILT_READ, &old_mark);
		close_pair(fds);
		close(kq);
	}
}
END_TEST

/* The same for the descriptor of a second epoll, and the other direction goes on. */
START_TEST(kqueue_refused__lane_that_fails_changes_nothing)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR | EV_DISABLE, 0, 0, &old_mark);
	change_ok(kq, fds[0], EVFILT_READ, EV_ADD, 0, 0, &old_mark);
	limit_descriptors(true);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, &new_mark), EMFILE);
	no_event(kq);
	put(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, &old_mark);
	limit_descriptors(false);
	get(fds[0], 1);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_ENABLE | EV_KEEPUDATA, 0, 0, NULL);
	expect(kq, fds[0], EVFILT_WRITE, &old_mark);
	no_event(kq);
	put(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, &old_mark);
	expect(kq, fds[0], EVFILT_READ, &old_mark);
	close_pair(fds);
	close(kq);
}
END_TEST

/* An item in the second epoll that is refused takes nothing from the first. */
START_TEST(kqueue_refused__failed_add_leaves_the_other_direction)
{
	static const unsigned int flags[] = { EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 3; i++) {
		int kq = queue(), fds[2];

		pair(PAIR_UNIX, fds);
		change_ok(kq, fds[0], EVFILT_READ, EV_ADD, 0, 0, &old_mark);
		for (int room = 0; room < 2; room++) {
			refuse(ENOSPC);
			allowed = room;		/* for the epoll itself, not for what is in it */
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE,
			    (unsigned short)(EV_ADD | flags[i]), 0, 0, &new_mark), ENOSPC);
			ck_assert_int_eq(refusals, 1);
			refuse(0);
			no_event(kq);
			put(fds[1], 1);
			expect(kq, fds[0], EVFILT_READ, &old_mark);
			expect(kq, fds[0], EVFILT_READ, &old_mark);
			get(fds[0], 1);
			no_event(kq);
		}
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), ENOENT);
		close_pair(fds);
		close(kq);
	}
}
END_TEST

/* One that waits below its mark needs a second epoll beside a level, too: without one it does not spin. */
START_TEST(kqueue_refused__waiting_below_a_mark_does_not_spin)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	change_ok(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 3, &old_mark);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_ADD, 0, 0, &old_mark);
	limit_descriptors(true);
	put(fds[1], 1);
	for (int i = 0; i < 4; i++)
		expect(kq, fds[0], EVFILT_WRITE, &old_mark);
	fill(fds[0]);
	no_event(kq);
	asleep(kq, 300);
	put(fds[1], 2);
	for (int i = 0; i < 4; i++)
		expect(kq, fds[0], EVFILT_READ, &old_mark);
	get(fds[0], 3);
	no_event(kq);
	drain(fds[1]);
	for (int i = 0; i < 4; i++)
		expect(kq, fds[0], EVFILT_WRITE, &old_mark);
	put(fds[1], 3);
	struct kevent both[8];
	ck_assert_int_eq(collect(kq, both, 8, 0), 2);
	limit_descriptors(false);
	ck_assert_int_eq(collect(kq, both, 8, 0), 2);
	get(fds[0], 3);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
	no_event(kq);
	put(fds[1], 3);
	expect(kq, fds[0], EVFILT_READ, &old_mark);
	close_pair(fds);
	close(kq);
}
END_TEST

/* A change that fails must not end the looking of one that waits below its mark. */
START_TEST(kqueue_refused__failed_change_leaves_what_waits_below_a_mark)
{
	int kq = queue(), fd, room;
	struct kevent events[4];
	char path[128];

	snprintf(path, sizeof(path), "%s/fifo", scratch_dir());
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_ge(fd = open(path, O_RDWR | O_NONBLOCK), 0);
	change_ok(kq, fd, EVFILT_WRITE, EV_ADD, 0, 0, &old_mark);
	room = (int)event_of(kq, (uintptr_t)fd, EVFILT_WRITE).data;
	change_ok(kq, fd, EVFILT_WRITE, EV_ADD, NOTE_LOWAT, room * 3 / 4, &old_mark);
	change_ok(kq, fd, EVFILT_READ, EV_ADD, 0, 0, &old_mark);
	limit_descriptors(true);
	put(fd, (size_t)room / 2);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(collect(kq, events, 4, 0), 1);
		ck_assert_int_eq(events[0].filter, EVFILT_READ);
	}
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, NOTE_LOWAT, room * 3 / 4, &new_mark), EMFILE);
	get(fd, (size_t)room / 2);
	for (int i = 0; i < 4; i++)
		expect(kq, fd, EVFILT_WRITE, &old_mark);
	limit_descriptors(false);
	close(fd);
	close(kq);
}
END_TEST

/* What may need a timer later has it from the first, or is refused: it is never accepted and then not told. */
START_TEST(kqueue_refused__timer_that_may_be_needed_is_there)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_ADD, 0, 0, &old_mark);
	limit_descriptors(true);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, 1 << 30, &new_mark), EMFILE);
	expect(kq, fds[0], EVFILT_WRITE, &old_mark);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, 1, NULL), EMFILE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EMPTY, EV_ADD, 0, 0, NULL), EMFILE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EMPTY, EV_ENABLE, 0, 0, NULL), ENOENT);
	limit_descriptors(false);
	change_ok(kq, fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
	change_ok(kq, fds[0], EVFILT_EMPTY, EV_ADD, 0, 0, &old_mark);
	limit_descriptors(true);
	fill(fds[0]);
	no_event(kq);
	drain(fds[1]);
	expect(kq, fds[0], EVFILT_EMPTY, &old_mark);
	limit_descriptors(false);
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_refused",
    kqueue_refused__news_of_a_nested_queue_are_told,
    kqueue_refused__bell_that_moves_is_added_later,
    kqueue_refused__enabling_that_fails_changes_nothing,
    kqueue_refused__lane_that_fails_changes_nothing,
    kqueue_refused__failed_add_leaves_the_other_direction,
    kqueue_refused__waiting_below_a_mark_does_not_spin,
    kqueue_refused__failed_change_leaves_what_waits_below_a_mark,
    kqueue_refused__timer_that_may_be_needed_is_there)
