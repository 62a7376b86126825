/* SPDX-License-Identifier: BSD-2-Clause */
/* How many system calls something takes, counted by tracing a child that does it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What PTRACE_GET_SYSCALL_INFO fills in (Linux 5.3), as far as it matters here. */
#define GET_SYSCALL_INFO	0x420e
struct call {
	uint8_t		op;		/* 1: a call begins */
	uint8_t		rest[23];
	uint64_t	number;
	uint64_t	arguments[6];
};

/* A traced child counts only what it does between two of these. */
static void
mark(void)
{
	syscall(SYS_getppid);
}

/* The test is about the library: what a sanitizer does is its own business. */
static bool
is_call(long number)
{
	return number != SYS_sched_yield && number != SYS_madvise;
}

static pid_t
start(void (*run)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
			_exit(99);
		raise(SIGSTOP);
		run();
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

/*
 * Runs a child; counts[i] becomes how many system calls there were between its
 * mark() number i and the next, those with number only unless that is -1.  How
 * many counts there are, or -1 if there is no tracing here.
 */
static int
trace(void (*run)(void), long number, int counts[], int n)
{
	pid_t pid = start(run);
	int status, marks = 0;
	struct call call;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		return -1;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	memset(counts, 0, (size_t)n * sizeof(counts[0]));
	for (int sent = 0;;) {
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)sent), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		sent = 0;
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			sent = WSTOPSIG(status);
			continue;
		}
		memset(&call, 0, sizeof(call));
		if (ptrace(GET_SYSCALL_INFO, pid, (void *)sizeof(call), &call) == -1) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return -1;
		}
		if (call.op != 1)
			continue;
		if (call.number == SYS_getppid)
			marks++;
		else if (marks > 0 && marks <= n && is_call((long)call.number))
			counts[marks - 1] += number == -1 || (long)call.number == number;
	}
	ck_assert_int_eq(status, 0);
	return marks - 1;
}

static int
no_tracing(void)
{
	fprintf(stderr, "system_calls: skipped, since processes cannot be traced here\n");
	return 0;
}

/* In the child. */
static void
require(bool condition)
{
	if (!condition)
		_exit(1);
}

static const struct timespec zero;

static void
user(int kq, unsigned int flags, unsigned int fflags)
{
	struct kevent kev;

	EV_SET(&kev, 1, EVFILT_USER, (unsigned short)flags, fflags, 0, NULL);
	require(kevent(kq, &kev, 1, NULL, 0, NULL) == 0);
}

enum { TRIGGERS = 10 };

static void
run_triggers(void)
{
	struct kevent kev, event;
	int kq = kqueue();

	user(kq, EV_ADD | EV_CLEAR, 0);
	/* 0, 1, ...: a trigger, and another one before it is collected. */
	for (int i = 0; i < TRIGGERS; i++) {
		mark();
		user(kq, 0, NOTE_TRIGGER);
		mark();
		user(kq, 0, NOTE_TRIGGER);
		mark();
		require(kevent(kq, NULL, 0, &event, 1, &zero) == 1);
	}
	/* Triggered and collected by the same call. */
	EV_SET(&kev, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	mark();
	require(kevent(kq, &kev, 1, &event, 1, &zero) == 1);
	mark();
	/* Nobody is told of a disabled one. */
	user(kq, EV_DISABLE, 0);
	mark();
	user(kq, 0, NOTE_TRIGGER);
	mark();
}

START_TEST(calls__a_trigger_takes_one_at_the_most)
{
	int counts[3 * TRIGGERS + 3], n = trace(run_triggers, -1, counts, 3 * TRIGGERS + 3);

	if (n == -1) {
		no_tracing();
		return;
	}
	ck_assert_int_eq(n, 3 * TRIGGERS + 3);
	for (int i = 0; i < TRIGGERS; i++) {
		ck_assert_int_le(counts[3 * i], 1);
		ck_assert_int_eq(counts[3 * i + 1], 0);
	}
	ck_assert_int_le(counts[3 * TRIGGERS], 1);
	ck_assert_int_eq(counts[3 * TRIGGERS + 2], 0);
}
END_TEST

/*
 * A mark above the kernel's own is looked at after 1, 2, 4 ... ms, then every
 * 100 ms: 15 times in a second, and each look but the last sets the timer.
 */
static void
run_looks(unsigned int flags, int64_t lowat)
{
	const struct timespec second = { 1, 0 };
	struct kevent kev, event;
	int kq = kqueue(), fds[2];

	require(pipe(fds) == 0);
	require(write(fds[1], "x", 1) == 1);
	EV_SET(&kev, (uintptr_t)fds[1], EVFILT_WRITE, (unsigned short)(EV_ADD | flags), NOTE_LOWAT, lowat, NULL);
	require(kevent(kq, &kev, 1, NULL, 0, NULL) == 0);
	mark();
	require(kevent(kq, NULL, 0, &event, 1, &second) == (lowat == 1 && flags == 0));
	mark();
}

static void
run_unmet(void)
{
	run_looks(0, 1000000);
}

static void
run_disabled(void)
{
	run_looks(EV_DISABLE, 1000000);
}

static void
run_met(void)
{
	run_looks(0, 1);
}

/* Disabled only after it was looked at for a while; and deleted, and met at last. */
static void
run_ended(void)
{
	const struct timespec some = { 0, 50000000 }, second = { 1, 0 };
	struct kevent kev, event;
	int kq = kqueue(), fds[2];

	require(pipe(fds) == 0);
	require(write(fds[1], "x", 1) == 1);
	for (int i = 0; i < 3; i++) {
		EV_SET(&kev, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_ENABLE | EV_CLEAR,
		    NOTE_LOWAT, 1000000, NULL);
		require(kevent(kq, &kev, 1, &event, 1, &some) == 0);
		kev.flags = i == 0 ? EV_DISABLE : i == 1 ? EV_DELETE : EV_ADD;
		kev.data = 1;
		require(kevent(kq, &kev, 1, &event, i == 2, &zero) == (i == 2));
		mark();
		require(kevent(kq, NULL, 0, &event, 1, &second) == 0);
		mark();
	}
}

START_TEST(calls__an_unmet_mark_is_looked_at_now_and_then)
{
	int count, n = trace(run_unmet, SYS_timerfd_settime, &count, 1);

	if (n == -1) {
		no_tracing();
		return;
	}
	ck_assert_int_ge(count, 5);
	ck_assert_int_le(count, 17);
}
END_TEST

START_TEST(calls__a_mark_is_not_looked_at_without_need)
{
	int counts[6], n = trace(run_disabled, SYS_timerfd_settime, counts, 1);

	if (n == -1) {
		no_tracing();
		return;
	}
	ck_assert_int_eq(counts[0], 0);
	trace(run_met, SYS_timerfd_settime, counts, 1);
	ck_assert_int_eq(counts[0], 0);
	ck_assert_int_eq(trace(run_ended, SYS_timerfd_settime, counts, 6), 5);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(counts[2 * i], 0);
}
END_TEST

static void
run_levels(void)
{
	struct kevent kev, events[3];
	int kq = kqueue(), fds[2];

	require(pipe(fds) == 0);
	EV_SET(&kev, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL);
	require(kevent(kq, &kev, 1, NULL, 0, NULL) == 0);
	user(kq, EV_ADD, NOTE_TRIGGER);
	require(kevent(kq, NULL, 0, events, 3, &zero) == 2);
	for (int i = 0; i < TRIGGERS; i++) {
		mark();
		require(kevent(kq, NULL, 0, events, 3, &zero) == 2);
	}
	mark();
}

/* What is ready for long and all there is leaves room: epoll is not asked again and again what there may be for it. */
START_TEST(calls__room_that_nothing_fills_is_found_out_soon)
{
	int counts[TRIGGERS], n = trace(run_levels, SYS_epoll_pwait, counts, TRIGGERS);

	if (n == -1) {
		no_tracing();
		return;
	}
	ck_assert_int_eq(n, TRIGGERS);
	for (int i = 0; i < n; i++)
		ck_assert_int_le(counts[i], 6);
}
END_TEST

HARNESS_MAIN("system_calls",
    calls__a_trigger_takes_one_at_the_most,
    calls__room_that_nothing_fills_is_found_out_soon,
    calls__an_unmet_mark_is_looked_at_now_and_then,
    calls__a_mark_is_not_looked_at_without_need)
