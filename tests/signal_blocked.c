/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_SIGNAL for signals that are blocked: told once, and left pending. */
#include "harness.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int kq;
static _Atomic int handled;

static void
handler(int signo)
{
	(void)signo;
	handled++;
}

static void
mask(int how, int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	ck_assert_int_eq(pthread_sigmask(how, &set, NULL), 0);
}

static bool
pending(int signo)
{
	sigset_t set;

	ck_assert_int_eq(sigpending(&set), 0);
	return sigismember(&set, signo) == 1;
}

static int
take(int signo)
{
	sigset_t set;
	int taken;

	sigemptyset(&set);
	sigaddset(&set, signo);
	ck_assert_int_eq(sigwait(&set, &taken), 0);
	return taken;
}

/* A queue that watches a signal which this thread blocks. */
static void
begin(int signo, void (*disposition)(int))
{
	kq = queue();
	mask(SIG_BLOCK, signo);
	signal(signo, disposition);
	ck_assert_int_eq(change(kq, (uintptr_t)signo, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

static int64_t
count(int signo)
{
	return event_of(kq, (uintptr_t)signo, EVFILT_SIGNAL).data;
}

START_TEST(signal_blocked__is_told_once_and_stays_pending)
{
	void (*const dispositions[])(int) = { SIG_DFL, SIG_IGN, handler };

	for (int i = 0; i < 3; i++) {
		begin(SIGUSR1, dispositions[i]);
		no_event(kq);
		kill(getpid(), SIGUSR1);
		ck_assert(readable(kq, 0));
		ck_assert_int_eq(count(SIGUSR1), 1);
		ck_assert(pending(SIGUSR1));
		no_event(kq);
		ck_assert(!readable(kq, 0));
		kill(getpid(), SIGUSR1);
		no_event(kq);
		ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
		ck_assert(!pending(SIGUSR1));
		no_event(kq);
		close(kq);
	}
	ck_assert_int_eq(handled, 0);
}
END_TEST

START_TEST(signal_blocked__wakes_a_waiter)
{
	struct waiter waiter;

	begin(SIGTERM, SIG_DFL);
	waiter_start(&waiter, kq, HARNESS_TIMEOUT * 500);
	kill(getpid(), SIGTERM);
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 1);
	ck_assert_int_eq(waiter.event.data, 1);
	ck_assert(pending(SIGTERM));
	close(kq);
	ck_assert_int_eq(take(SIGTERM), SIGTERM);
}
END_TEST

START_TEST(signal_blocked__does_not_count_again_when_delivered)
{
	begin(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	mask(SIG_UNBLOCK, SIGUSR1);
	ck_assert_int_eq(handled, 1);
	no_event(kq);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(handled, 2);
	ck_assert_int_eq(count(SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__counts_when_delivered_if_not_seen_before)
{
	begin(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	mask(SIG_UNBLOCK, SIGUSR1);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(handled, 2);
	ck_assert_int_eq(count(SIGUSR1), 2);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__the_next_is_told_after_one_was_taken)
{
	begin(SIGUSR1, SIG_DFL);
	for (int i = 0; i < 5; i++) {
		kill(getpid(), SIGUSR1);
		ck_assert_int_eq(count(SIGUSR1), 1);
		ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	}
	no_event(kq);

	/* Taken before anybody looked. */
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 2);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__every_way_of_taking_one_is_seen)
{
	const struct timespec zero = { 0, 0 };
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	begin(SIGUSR1, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		kill(getpid(), SIGUSR1);
		ck_assert_int_eq(count(SIGUSR1), 1);
		ck_assert_int_eq(sigtimedwait(&set, &info, &zero), SIGUSR1);
		ck_assert_int_eq(info.si_pid, getpid());
		ck_assert_int_eq(sigtimedwait(&set, NULL, &zero), -1);
		ck_assert_int_eq(errno, EAGAIN);
		kill(getpid(), SIGUSR1);
		ck_assert_int_eq(count(SIGUSR1), 1);
		ck_assert_int_eq(sigwaitinfo(&set, &info), SIGUSR1);
	}
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__taken_by_a_signalfd_the_next_is_told)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	begin(SIGUSR1, SIG_DFL);
	ck_assert_int_ge(fd = signalfd(-1, &set, SFD_NONBLOCK), 0);
	for (int i = 0; i < 3; i++) {
		kill(getpid(), SIGUSR1);
		ck_assert_int_eq(count(SIGUSR1), 1);
		ck_assert_int_eq(read(fd, &info, sizeof(info)), sizeof(info));
		/* Any other signal has the queue look again. */
		ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
		raise(SIGWINCH);
		event_of(kq, SIGWINCH, EVFILT_SIGNAL);
	}
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__pending_before_is_not_counted)
{
	mask(SIG_BLOCK, SIGUSR1);
	signal(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	begin(SIGUSR1, handler);
	no_event(kq);
	ck_assert(pending(SIGUSR1));
	mask(SIG_UNBLOCK, SIGUSR1);
	ck_assert_int_eq(handled, 1);
	no_event(kq);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__other_signals_do_not_repeat_it)
{
	begin(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, handler);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	for (int i = 0; i < 3; i++) {
		kill(getpid(), SIGUSR2);
		no_event(kq);
	}
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__every_queue_is_told_once)
{
	int first = queue();

	ck_assert_int_eq(change(first, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	begin(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	mask(SIG_UNBLOCK, SIGUSR1);
	no_event(kq);
	ck_assert_int_eq(event_of(first, SIGUSR1, EVFILT_SIGNAL).data, 1);
	no_event(first);
	close(first);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__directed_at_the_waiting_thread)
{
	begin(SIGUSR1, SIG_IGN);
	pthread_kill(pthread_self(), SIGUSR1);
	ck_assert_int_eq(count(SIGUSR1), 1);
	ck_assert(pending(SIGUSR1));
	no_event(kq);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	close(kq);
}
END_TEST

/* A thread that blocks a signal until it is told to take it. */
static _Atomic bool ready, go;

static void *
blocking_thread(void *arg)
{
	mask(SIG_BLOCK, SIGUSR1);
	ready = true;
	while (!go)
		nap(1);
	if (arg != NULL)
		take(SIGUSR1);
	else
		mask(SIG_UNBLOCK, SIGUSR1);
	return NULL;
}

static void
directed_at_another(bool waits)
{
	pthread_t thread;

	ready = go = false;
	kq = queue();
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	pthread_create(&thread, NULL, blocking_thread, waits ? &kq : NULL);
	while (!ready)
		nap(1);
	pthread_kill(thread, SIGUSR1);
	no_event(kq);
	go = true;
	ck_assert_int_eq(count(SIGUSR1), 1);
	pthread_join(thread, NULL);
	no_event(kq);
	close(kq);
}

START_TEST(signal_blocked__directed_at_another_thread_is_seen_when_taken)
{
	directed_at_another(false);
	directed_at_another(true);
}
END_TEST

/* A thread that collects what another, which does not block the signal, is sent. */
static _Atomic int collected;

static void *
collecting_thread(void *arg)
{
	struct kevent event;

	(void)arg;
	mask(SIG_BLOCK, SIGUSR1);
	ready = true;
	while (!go)
		if (collect(kq, &event, 1, 10) == 1)
			collected += (int)event.data;
	return NULL;
}

START_TEST(signal_blocked__in_the_waiting_thread_only_counts_once)
{
	pthread_t thread;

	kq = queue();
	signal(SIGUSR1, handler);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	pthread_create(&thread, NULL, collecting_thread, NULL);
	while (!ready)
		nap(1);
	for (int i = 0; i < 1000; i++)
		kill(getpid(), SIGUSR1);
	while (collected < handled)
		nap(1);
	nap(50);
	go = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(handled, 1000);
	ck_assert_int_eq(collected, 1000);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__disabled_is_silent)
{
	begin(SIGUSR1, SIG_DFL);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_DISABLE, 0, 0, NULL), 0);
	kill(getpid(), SIGUSR1);
	ck_assert(!readable(kq, 0));
	no_event(kq);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(count(SIGUSR1), 1);
	no_event(kq);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	close(kq);
}
END_TEST

START_TEST(signal_blocked__stays_pending_when_the_watch_ends)
{
	void (*const dispositions[])(int) = { SIG_DFL, SIG_IGN, handler };

	for (int i = 0; i < 3; i++) {
		begin(SIGUSR1, dispositions[i]);
		kill(getpid(), SIGUSR1);
		close(kq);
		ck_assert(pending(SIGUSR1));
		ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	}
}
END_TEST

/* As POSIX has it: what is pending is dropped when it is set to be ignored, and only then. */
START_TEST(signal_blocked__is_dropped_by_ignoring_it)
{
	begin(SIGUSR1, handler);
	kill(getpid(), SIGUSR1);
	ck_assert(pending(SIGUSR1));
	signal(SIGUSR1, SIG_IGN);
	ck_assert(!pending(SIGUSR1));
	kill(getpid(), SIGUSR1);
	signal(SIGUSR1, handler);
	ck_assert(pending(SIGUSR1));
	ck_assert_int_eq(count(SIGUSR1), 2);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	signal(SIGUSR1, SIG_IGN);
	kill(getpid(), SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	ck_assert(pending(SIGUSR1));
	ck_assert_int_eq(count(SIGUSR1), 1);
	ck_assert_int_eq(take(SIGUSR1), SIGUSR1);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("signal_blocked",
    signal_blocked__is_told_once_and_stays_pending,
    signal_blocked__wakes_a_waiter,
    signal_blocked__does_not_count_again_when_delivered,
    signal_blocked__counts_when_delivered_if_not_seen_before,
    signal_blocked__the_next_is_told_after_one_was_taken,
    signal_blocked__every_way_of_taking_one_is_seen,
    signal_blocked__taken_by_a_signalfd_the_next_is_told,
    signal_blocked__pending_before_is_not_counted,
    signal_blocked__other_signals_do_not_repeat_it,
    signal_blocked__every_queue_is_told_once,
    signal_blocked__directed_at_the_waiting_thread,
    signal_blocked__directed_at_another_thread_is_seen_when_taken,
    signal_blocked__in_the_waiting_thread_only_counts_once,
    signal_blocked__disabled_is_silent,
    signal_blocked__stays_pending_when_the_watch_ends,
    signal_blocked__is_dropped_by_ignoring_it)
