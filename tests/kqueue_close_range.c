/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux before 5.9, or a sandbox, refuses close_range(2): what it did not close stays registered. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sandbox.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* musl declares neither. */
int	close_range(unsigned int first, unsigned int last, int flags);
void	closefrom(int first);

static int kq, fds[2];

static void
begin(void)
{
	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
}

static void
check_refused(int error)
{
	begin();
	ck_assert(refuse_call(SYS_close_range, (unsigned int)error));
	errno = 0;
	ck_assert_int_eq(close_range((unsigned int)fds[0], ~0u, 0), -1);
	ck_assert_int_eq(errno, error);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	close_pair(fds);
	close(kq);
}

START_TEST(kqueue_close_range__refused_it_leaves_the_registrations)
{
	check_refused(ENOSYS);
}
END_TEST

START_TEST(kqueue_close_range__forbidden_it_leaves_the_registrations)
{
	check_refused(EPERM);
}
END_TEST

/* A queue in the range is one as before, too. */
START_TEST(kqueue_close_range__refused_it_leaves_the_queue)
{
	begin();
	ck_assert(refuse_call(SYS_close_range, ENOSYS));
	ck_assert_int_eq(close_range((unsigned int)kq, (unsigned int)kq, 0), -1);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
}
END_TEST

/* closefrom() does without, and knows of what is open above a limit that was lowered. */
START_TEST(kqueue_close_range__closefrom_closes_all_the_same)
{
	struct rlimit limit;
	int first, high;

	begin();
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	first = fcntl(fds[0], F_DUPFD, 400);
	high = fcntl(fds[0], F_DUPFD, 700);
	ck_assert_int_eq(first, 400);
	ck_assert_int_eq(high, 700);
	ck_assert_int_eq(change(kq, (uintptr_t)high, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)high, EVFILT_WRITE);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 500;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(refuse_call(SYS_close_range, ENOSYS));
	errno = EDOM;
	closefrom(first);
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(fcntl(first, F_GETFD), -1);
	ck_assert_int_eq(fcntl(high, F_GETFD), -1);
	no_event(kq);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	event_of(kq, 2, EVFILT_TIMER);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
}
END_TEST

static void
close_high(void)
{
	if (close_range(300, 1000, 0) == -1) {
		ck_assert_int_eq(errno, ENOSYS);	/* before Linux 5.9 */
		closefrom(300);
	}
}

/* Numbers far from each other, at both sides of where the table of numbers is divided, and one that is only shut. */
START_TEST(kqueue_close_range__finds_what_was_noted_anywhere)
{
	static const int number[] = { 319, 320, 383, 384, 500, 511, 512, 900 };
	const int n = sizeof(number) / sizeof(number[0]), shut = 700;
	int other[2];

	begin();
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(dup2(fds[0], number[i]), number[i]);
		ck_assert_int_eq(change(kq, (uintptr_t)number[i], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	}
	pair(PAIR_UNIX, other);
	ck_assert_int_eq(dup2(other[0], shut), shut);
	ck_assert_int_eq(shutdown(shut, SHUT_WR), 0);
	close_high();
	/* The bare call, since a wrapped one would do the books that may be missing. */
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(syscall(SYS_dup3, fds[0], number[i], 0), number[i]);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)number[i], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	/* Another socket has the number of the one that was shut. */
	ck_assert_int_eq(syscall(SYS_dup3, fds[1], shut, 0), shut);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)shut, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)shut, EVFILT_WRITE).flags & EV_EOF, 0);
	close_pair(other);
	close_high();
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_close_range",
    kqueue_close_range__finds_what_was_noted_anywhere,
    kqueue_close_range__refused_it_leaves_the_registrations,
    kqueue_close_range__forbidden_it_leaves_the_registrations,
    kqueue_close_range__refused_it_leaves_the_queue,
    kqueue_close_range__closefrom_closes_all_the_same)
