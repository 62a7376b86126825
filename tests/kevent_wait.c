/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How kevent() waits: timeouts and signals; cancellation is in kevent_cancel.c.
 * What one call returns of what is ready is in kevent_room.c and kevent_turns.c.
 */
#include "kevent_wait.h"

#include <signal.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define USER_END 9999	/* the user event that ends a wait */

static atomic_int stop;
static pthread_t main_thread;

static void
nothing(int signo)
{
	(void)signo;
}

static void
handle(int signo, int flags)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(signo, &action, NULL), 0);
}

/* Threads that do something to the test's own while it waits. */
static void *
trigger_later(void *arg)
{
	await_state(getpid(), 'S');
	change(*(int *)arg, USER_END, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	return NULL;
}

static void *
signal_until_stopped(void *arg)
{
	int pause_ms = *(int *)arg;

	while (!atomic_load(&stop)) {
		pthread_kill(main_thread, SIGUSR1);
		if (pause_ms > 0)
			nap(pause_ms);
		else
			sched_yield();
	}
	return NULL;
}

static pthread_t
start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	main_thread = pthread_self();
	atomic_store(&stop, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, arg), 0);
	return thread;
}

static void
finish(pthread_t thread)
{
	atomic_store(&stop, 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(kevent_wait__null_timeout_waits_for_an_event)
{
	struct kevent event;
	pthread_t thread;
	int kq = queue();

	add(kq, USER_END, EVFILT_USER, 0);
	thread = start(trigger_later, &kq);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, USER_END);
	finish(thread);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__zero_timeout_polls)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int kq = queue();

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 0);
	add(kq, 1, EVFILT_USER, 0);
	trigger(kq, 1);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), 1);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__timeout_is_never_early)
{
	static const long times[] = {
		1, 999, 1000, 1001, 50000, 999999, 1000000, 1000001, 1500001, 1999999, 20000000,
	};
	struct kevent event;
	int kq = queue();

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		for (int again = 0; again < 20; again++) {
			struct timespec ts = { 0, times[i] };
			int64_t began = now_ns(), took;

			ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 0);
			took = now_ns() - began;
			ck_assert_int_ge(took, times[i]);
		}
	close(kq);
}
END_TEST

/* Of many short waits at least one is shorter than a millisecond, however loaded the machine. */
START_TEST(kevent_wait__timeout_is_not_rounded_to_milliseconds)
{
	struct timespec ts = { 0, 100000 };
	int64_t best = INT64_MAX;
	struct kevent event;
	int kq = queue();

	for (int i = 0; i < 1000 && best >= 900000; i++) {
		int64_t began = now_ns(), took;

		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 0);
		took = now_ns() - began;
		if (took < best)
			best = took;
	}
	ck_assert_int_lt(best, 900000);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__huge_timeouts_wait)
{
	/* The most that a signed time_t of this width can hold. */
	const time_t most = (time_t)((UINT64_C(1) << (sizeof(time_t) * 8 - 1)) - 1);
	struct timespec times[] = { { most, 999999999 }, { most / 1000, 0 }, { 3000000, 0 } };
	struct kevent event;
	pthread_t thread;
	int kq = queue();

	add(kq, USER_END, EVFILT_USER, EV_CLEAR);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		thread = start(trigger_later, &kq);
		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &times[i]), 1);
		finish(thread);
	}
	close(kq);
}
END_TEST

/* Bytes that come and go below a mark: each wakes the queue for nothing. */
static int restless[2];

static void *
write_and_read_until_stopped(void *arg)
{
	while (!atomic_load(&stop)) {
		put(restless[1], 1);
		sched_yield();
		get(restless[0], 1);
		sched_yield();
	}
	return arg;
}

START_TEST(kevent_wait__timeout_ends_though_nothing_comes_all_the_time)
{
	struct kevent event;
	pthread_t thread;
	int kq = queue();

	pair(PAIR_UNIX, restless);
	ck_assert_int_eq(change(kq, (uintptr_t)restless[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL), 0);
	thread = start(write_and_read_until_stopped, NULL);
	for (int i = 0; i < 10; i++) {
		int64_t began = now_ns(), took;

		ck_assert_int_eq(collect(kq, &event, 1, 20), 0);
		took = now_ns() - began;
		ck_assert_int_ge(took, 20000000);
		ck_assert_int_lt(took, INT64_C(5000000000));
	}
	finish(thread);
	close_pair(restless);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__handler_interrupts)
{
	int kq = queue(), pause_ms = 1, flags[] = { 0, SA_RESTART };
	struct timespec ts = { 30, 0 };
	struct kevent event;
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		handle(SIGUSR1, flags[i]);
		thread = start(signal_until_stopped, &pause_ms);
		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, i == 0 ? NULL : &ts), -1);
		ck_assert_int_eq(errno, EINTR);
		finish(thread);
	}
	close(kq);
}
END_TEST

START_TEST(kevent_wait__ready_event_beats_a_signal)
{
	int kq = queue(), pause_ms = 0;
	pthread_t thread;

	handle(SIGUSR1, 0);
	add(kq, 1, EVFILT_USER, 0);
	trigger(kq, 1);
	thread = start(signal_until_stopped, &pause_ms);
	for (int i = 0; i < 2000; i++) {
		struct kevent event;

		ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, NULL), 1);
		ck_assert_uint_eq(event.ident, 1);
	}
	finish(thread);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__signal_loses_no_event)
{
	int kq = queue(), pause_ms = 0, fds[2];
	pthread_t thread;

	handle(SIGUSR1, 0);
	pair(PAIR_UNIX, fds);
	add(kq, 1, EVFILT_USER, EV_CLEAR);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, EV_CLEAR);
	thread = start(signal_until_stopped, &pause_ms);
	for (int i = 0; i < 1000; i++) {
		struct kevent events[4];
		int seen = 0;

		trigger(kq, 1);
		put(fds[1], 1);
		while (seen < 2)
			seen += collect(kq, events, 4, 10000);
		ck_assert_int_eq(seen, 2);
		get(fds[0], 1);
	}
	finish(thread);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__interrupted_call_keeps_its_changes)
{
	int kq = queue(), pause_ms = 1;
	struct kevent kev, event;
	pthread_t thread;

	handle(SIGUSR1, 0);
	EV_SET(&kev, 5, EVFILT_USER, EV_ADD, 0, 0, NULL);
	thread = start(signal_until_stopped, &pause_ms);
	ck_assert_int_eq(kevent(kq, &kev, 1, &event, 1, NULL), -1);
	ck_assert_int_eq(errno, EINTR);
	finish(thread);
	trigger(kq, 5);
	event_of(kq, 5, EVFILT_USER);
	close(kq);
}
END_TEST

static void *
kill_and_trigger(void *arg)
{
	for (int i = 0; i < 20; i++) {
		kill(getpid(), SIGUSR1);
		nap(1);
		pthread_kill(main_thread, SIGUSR1);
		nap(1);
	}
	change(*(int *)arg, USER_END, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	return NULL;
}

START_TEST(kevent_wait__watched_ignored_signal_does_not_interrupt)
{
	int watching = queue(), waiting = queue();
	struct kevent event;
	pthread_t thread;

	signal(SIGUSR1, SIG_IGN);
	add(watching, SIGUSR1, EVFILT_SIGNAL, 0);
	add(waiting, USER_END, EVFILT_USER, 0);
	thread = start(kill_and_trigger, &waiting);
	ck_assert_int_eq(kevent(waiting, NULL, 0, &event, 1, NULL), 1);
	ck_assert_uint_eq(event.ident, USER_END);
	finish(thread);
	close(watching);
	close(waiting);
}
END_TEST

START_TEST(kevent_wait__disabled_ignored_signal_does_not_interrupt)
{
	struct timespec ts = { 30, 0 };
	struct kevent event;
	pthread_t thread;
	int kq = queue();

	signal(SIGUSR1, SIG_IGN);
	add(kq, SIGUSR1, EVFILT_SIGNAL, EV_DISABLE);
	add(kq, USER_END, EVFILT_USER, 0);
	thread = start(kill_and_trigger, &kq);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &ts), 1);
	ck_assert_uint_eq(event.ident, USER_END);
	finish(thread);
	close(kq);
}
END_TEST

START_TEST(kevent_wait__watched_ignored_signal_does_not_shorten_the_timeout)
{
	int watching = queue(), waiting = queue(), pause_ms = 2;
	struct timespec ts = { 0, 100000000 };
	int64_t began = now_ns();
	struct kevent event;
	pthread_t thread;

	signal(SIGUSR1, SIG_IGN);
	add(watching, SIGUSR1, EVFILT_SIGNAL, 0);
	thread = start(signal_until_stopped, &pause_ms);
	ck_assert_int_eq(kevent(waiting, NULL, 0, &event, 1, &ts), 0);
	ck_assert_int_ge(now_ns() - began, 100000000);
	finish(thread);
	close(watching);
	close(waiting);
}
END_TEST

START_TEST(kevent_wait__stop_and_continue_interrupts)
{
	int status = 0, sync[2];
	pid_t pid;

	ck_assert_int_eq(pipe(sync), 0);
	if ((pid = fork()) == 0) {
		struct timespec ts = { 30, 0 };
		struct kevent event;
		int kq = kqueue();

		if (write(sync[1], "", 1) != 1)
			_exit(3);
		_exit(kevent(kq, NULL, 0, &event, 1, &ts) == -1 && errno == EINTR ? 0 : 2);
	}
	get(sync[0], 1);
	for (int i = 0; i < 1000; i++) {
		nap(10);
		kill(pid, SIGSTOP);
		waitpid(pid, &status, WUNTRACED);
		if (!WIFSTOPPED(status))
			break;
		kill(pid, SIGCONT);
	}
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	close_pair(sync);
}
END_TEST

HARNESS_MAIN("kevent_wait",
    kevent_wait__null_timeout_waits_for_an_event,
    kevent_wait__zero_timeout_polls,
    kevent_wait__timeout_is_never_early,
    kevent_wait__timeout_is_not_rounded_to_milliseconds,
    kevent_wait__huge_timeouts_wait,
    kevent_wait__timeout_ends_though_nothing_comes_all_the_time,
    kevent_wait__handler_interrupts,
    kevent_wait__ready_event_beats_a_signal,
    kevent_wait__signal_loses_no_event,
    kevent_wait__interrupted_call_keeps_its_changes,
    kevent_wait__watched_ignored_signal_does_not_interrupt,
    kevent_wait__disabled_ignored_signal_does_not_interrupt,
    kevent_wait__watched_ignored_signal_does_not_shorten_the_timeout,
    kevent_wait__stop_and_continue_interrupts)
