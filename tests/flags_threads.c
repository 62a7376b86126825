/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EV_ONESHOT, EV_DISPATCH and EV_CLEAR deliver to exactly one of the threads
 * that wait; a level-triggered event is for all of them.
 */
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS	4
#define END	99999	/* a level-triggered user event that ends every thread */

static int kq;
static atomic_int delivered, wrong;
static pthread_t thread[THREADS];
static _Atomic int tid[THREADS];

/* Counts what it is given until the end; reads nothing, changes nothing. */
static void *
count_events(void *arg)
{
	struct kevent event;

	*(_Atomic int *)arg = (int)syscall(SYS_gettid);
	while (kevent(kq, NULL, 0, &event, 1, NULL) == 1 && event.ident != END)
		atomic_fetch_add(&delivered, 1);
	return NULL;
}

static void
threads_start(void)
{
	kq = queue();
	ck_assert_int_eq(change(kq, END, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, count_events, &tid[i]), 0);
	for (int i = 0; i < THREADS; i++)
		await_sleep(&tid[i]);
}

static void
threads_end(void)
{
	ck_assert_int_eq(change(kq, END, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	close(kq);
	int went_wrong = atomic_load(&wrong);
	ck_assert_int_eq(went_wrong, 0);
}

/* Waits until n events were delivered in all, and a little to see that no more are. */
static void
check_delivered(int n, int quiet_ms)
{
	for (int i = 0; i < 10000 && atomic_load(&delivered) < n; i++)
		nap(1);
	if (quiet_ms > 0)
		nap(quiet_ms);
	int seen = atomic_load(&delivered);
	ck_assert_int_eq(seen, n);
}

/* As soon as n events were delivered; more are too many. */
static void
wait_delivered(int n)
{
	int seen;

	while ((seen = atomic_load(&delivered)) < n)
		sched_yield();
	ck_assert_int_eq(seen, n);
}

/* Until there is another one. */
static void
wait_more_than(int n)
{
	while (atomic_load(&delivered) <= n)
		sched_yield();
}

/* One registration, made ready for the first time while all threads wait. */
static void
deliver_to_one(unsigned short flags)
{
	int fds[2];

	threads_start();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags, 0, 0, NULL), 0);
	put(fds[1], 1);
	check_delivered(1, 50);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | flags, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	check_delivered(2, 50);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT | flags, 0, 1, NULL), 0);
	check_delivered(3, 50);
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD | flags, 0, 0, NULL), 0);
	raise(SIGUSR1);
	check_delivered(4, 50);
	threads_end();
	close_pair(fds);
}

START_TEST(flags_threads__oneshot_goes_to_one)
{
	deliver_to_one(EV_ONESHOT);
}
END_TEST

START_TEST(flags_threads__dispatch_goes_to_one)
{
	deliver_to_one(EV_DISPATCH);
}
END_TEST

START_TEST(flags_threads__clear_goes_to_one)
{
	deliver_to_one(EV_CLEAR);
}
END_TEST

START_TEST(flags_threads__level_goes_to_all)
{
	struct waiter w[THREADS];
	int fds[2];

	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		waiter_start(&w[i], kq, 30000);
	put(fds[1], 1);
	for (int i = 0; i < THREADS; i++) {
		waiter_join(&w[i]);
		ck_assert_int_eq(w[i].count, 1);
		ck_assert_uint_eq(w[i].event.ident, (uintptr_t)fds[0]);
	}
	close_pair(fds);
	close(kq);
}
END_TEST

/* Again and again, as fast as it goes. */
START_TEST(flags_threads__dispatch_goes_to_one_every_time)
{
	enum { ROUNDS = 2000 };
	int fds[2];

	threads_start();
	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		wait_delivered(round);
		if (round < ROUNDS)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	}
	check_delivered(ROUNDS, 20);
	threads_end();
	close_pair(fds);
}
END_TEST

START_TEST(flags_threads__oneshot_goes_to_one_every_time)
{
	enum { ROUNDS = 2000 };
	int fds[2];

	threads_start();
	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	for (int round = 1; round <= ROUNDS; round++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
		wait_delivered(round);
	}
	check_delivered(ROUNDS, 20);
	threads_end();
	close_pair(fds);
}
END_TEST

START_TEST(flags_threads__user_clear_goes_to_one_every_time)
{
	enum { ROUNDS = 2000 };

	threads_start();
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	for (int round = 1; round <= ROUNDS; round++) {
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		wait_delivered(round);
	}
	check_delivered(ROUNDS, 20);
	threads_end();
}
END_TEST

/* Many one-shot events at once are spread over the threads, none lost and none doubled. */
START_TEST(flags_threads__many_oneshots_are_delivered_once_each)
{
	enum { N = 5000 };

	threads_start();
	for (uintptr_t i = 0; i < N; i++)
		ck_assert_int_eq(change(kq, i, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL), 0);
	check_delivered(N, 20);
	threads_end();
}
END_TEST

/* The receiver owns the bytes that it was told of: nobody else may be told of them. */
static void *
read_and_enable(void *arg)
{
	static atomic_int inside;
	struct kevent event;

	(void)arg;
	while (kevent(kq, NULL, 0, &event, 1, NULL) == 1 && event.ident != END) {
		char buffer[64];
		ssize_t n;

		if (atomic_fetch_add(&inside, 1) != 0)
			atomic_store(&wrong, 1);
		n = read((int)event.ident, buffer, sizeof(buffer));
		if (n < 1)
			atomic_store(&wrong, 1);
		atomic_fetch_add(&delivered, (int)n);
		atomic_fetch_sub(&inside, 1);
		if (change(kq, event.ident, EVFILT_READ, EV_ENABLE, 0, 0, NULL) != 0)
			atomic_store(&wrong, 1);
	}
	return NULL;
}

START_TEST(flags_threads__dispatch_gives_one_thread_the_descriptor)
{
	enum { BYTES = 5000 };
	int fds[2];

	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, END, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, read_and_enable, NULL), 0);
	for (int i = 0; i < BYTES; i++)
		put(fds[1], 1);
	check_delivered(BYTES, 0);
	threads_end();
	close_pair(fds);
}
END_TEST

/* Between what was read and what is written next, nothing is there to be told of. */
static char nothing, something;

static void *
take_and_enable(void *arg)
{
	struct kevent event;
	int changes = 0;

	(void)arg;
	while (kevent(kq, &event, changes, &event, 1, NULL) == 1 && event.ident != END) {
		if (event.udata != &something || event.data != 5)
			atomic_store(&wrong, 1);
		atomic_fetch_add(&delivered, 1);
		event.flags = EV_ENABLE | EV_KEEPUDATA;
		changes = 1;
	}
	return NULL;
}

/* Who waits is told of what there is after the last change, though epoll told of it before. */
START_TEST(flags_threads__dispatch_is_of_the_last_change)
{
	enum { ROUNDS = 5000 };
	int fds[2];
	char buffer[8];

	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, END, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, &something), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, take_and_enable, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		int before = atomic_load(&delivered);

		put(fds[1], 5);
		if (i % 100 == 0)
			wait_more_than(before);
		ck_assert_int_eq(read(fds[0], buffer, sizeof(buffer)), 5);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &nothing), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &something), 0);
	}
	threads_end();
	close_pair(fds);
}
END_TEST

HARNESS_MAIN("flags_threads",
    flags_threads__oneshot_goes_to_one,
    flags_threads__dispatch_goes_to_one,
    flags_threads__clear_goes_to_one,
    flags_threads__level_goes_to_all,
    flags_threads__dispatch_goes_to_one_every_time,
    flags_threads__oneshot_goes_to_one_every_time,
    flags_threads__user_clear_goes_to_one_every_time,
    flags_threads__many_oneshots_are_delivered_once_each,
    flags_threads__dispatch_gives_one_thread_the_descriptor,
    flags_threads__dispatch_is_of_the_last_change)
