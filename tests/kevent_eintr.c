/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A watched signal that is ignored, and one that has a handler, almost together:
 * the handler ends the wait with EINTR, however narrow the gap.  Doubles of what
 * the library calls there hit it each time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Where the handled signal comes: after the first wait, or right before the second. */
enum when { NEVER, AFTER_FIRST, BEFORE_SECOND, NOT_AT_ALL };

static enum when when;
static _Atomic int waits, handled;
static int kq;

typedef long bare_call(long, ...);
typedef int clock_call(clockid_t, struct timespec *);

static void *
next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	ck_assert_ptr_nonnull(found);
	return found;
}

/* The library is about to wait; true: it shall not, an ignored signal has come. */
static bool
wait_begins(void)
{
	if (when == NEVER)
		return false;
	if (++waits == 1) {
		raise(SIGUSR1);
		errno = EINTR;
		return true;
	}
	if (waits == 2 && when == BEFORE_SECOND)
		raise(SIGUSR2);
	return false;
}

/* It takes as many arguments as there can be, whatever there is: AddressSanitizer would look. */
__attribute__((no_sanitize("address"))) long
syscall(long number, ...)
{
	static bare_call *real;
	long arg[6];
	va_list list;

	if (real == NULL)
		*(void **)(void *)&real = next("syscall");
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_epoll_pwait2 && wait_begins())
		return -1;
	return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

int
epoll_pwait(int ep, struct epoll_event *items, int n, int timeout, const sigset_t *mask)
{
	static int (*real)(int, struct epoll_event *, int, int, const sigset_t *);

	if (real == NULL)
		*(void **)(void *)&real = next("epoll_pwait");
	return wait_begins() ? -1 : real(ep, items, n, timeout, mask);
}

int
epoll_wait(int ep, struct epoll_event *items, int n, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);

	if (real == NULL)
		*(void **)(void *)&real = next("epoll_wait");
	return wait_begins() ? -1 : real(ep, items, n, timeout);
}

/* Between two waits the library looks at how much time is left. */
int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	static clock_call *real;

	if (real == NULL)
		*(void **)(void *)&real = next("clock_gettime");
	if (when == AFTER_FIRST && waits == 1) {
		when = NOT_AT_ALL;
		raise(SIGUSR2);
	}
	return real(clock, ts);
}

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void *
nothing(void *arg)
{
	return arg;
}

static void
begin(void)
{
	struct sigaction sa = { .sa_handler = handler };
	pthread_t thread;

	/* Who is alone does not wait by the C library's functions, which are those here. */
	ck_assert_int_eq(pthread_create(&thread, NULL, nothing, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	kq = queue();
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(sigaction(SIGUSR2, &sa, NULL), 0);
	/* Another queue watches them: nothing is ever ready in ours. */
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR2, EVFILT_SIGNAL, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	no_event(kq);
}

static void
check_unblocked(void)
{
	sigset_t now;

	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	ck_assert_int_eq(sigismember(&now, SIGUSR1), 0);
	ck_assert_int_eq(sigismember(&now, SIGUSR2), 0);
}

static void
check_eintr(enum when at, const struct timespec *timeout)
{
	struct kevent event;
	int result, error;

	begin();
	when = at;
	result = kevent(kq, NULL, 0, &event, 1, timeout);
	error = errno;
	when = NEVER;
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(error, EINTR);
	ck_assert_int_eq(handled, 1);
	check_unblocked();
	close(kq);
}

static const struct timespec patience = { HARNESS_TIMEOUT / 2, 0 };

START_TEST(kevent_eintr__handler_between_two_waits)
{
	check_eintr(AFTER_FIRST, &patience);
}
END_TEST

START_TEST(kevent_eintr__handler_right_before_the_second_wait)
{
	check_eintr(BEFORE_SECOND, &patience);
}
END_TEST

START_TEST(kevent_eintr__handler_before_a_second_wait_for_ever)
{
	check_eintr(BEFORE_SECOND, NULL);
}
END_TEST

/* The ignored one alone does not end it, and all that time is waited for. */
START_TEST(kevent_eintr__ignored_alone_does_not_end_it)
{
	struct kevent event;
	struct timespec ts = { 0, 50000000 };
	int64_t begun;

	begin();
	begun = now_ns();
	when = NOT_AT_ALL;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 0);
	when = NEVER;
	ck_assert_int_ge(now_ns() - begun, 50000000);
	ck_assert_int_eq(waits, 2);
	check_unblocked();
	close(kq);
}
END_TEST

static void
cleaned_up(void *arg)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	*(int *)arg = sigismember(&now, SIGUSR2) + 1;
}

static _Atomic int waiting;	/* which thread */

static void *
wait_for_ever(void *arg)
{
	struct kevent event;

	waiting = (int)syscall(SYS_gettid);
	pthread_cleanup_push(cleaned_up, arg);
	kevent(kq, NULL, 0, &event, 1, NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

/* Who is cancelled in the second wait has no signal blocked when its cleanup runs. */
START_TEST(kevent_eintr__cancelled_with_no_signal_blocked)
{
	pthread_t thread;
	int blocked = 0;

	begin();
	when = NOT_AT_ALL;
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_ever, &blocked), 0);
	while (waits < 2)
		nap(1);
	await_sleep(&waiting);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	when = NEVER;
	ck_assert_int_eq(blocked, 1);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent_eintr",
    kevent_eintr__handler_between_two_waits,
    kevent_eintr__handler_right_before_the_second_wait,
    kevent_eintr__handler_before_a_second_wait_for_ever,
    kevent_eintr__ignored_alone_does_not_end_it,
    kevent_eintr__cancelled_with_no_signal_blocked)
