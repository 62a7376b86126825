/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signal handlers that close what a queue watches, or the queue, whatever they interrupt.
 *
 * Whoever waits here for a handler sleeps: ThreadSanitizer runs handlers at library calls only,
 * and a loop without any would never see one.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* What the next run of the handler is to close; -1: it has done so. */
static volatile sig_atomic_t victim[2], interruptions;

static void
on_alarm(int signo)
{
	int saved = errno;

	(void)signo;
	interruptions++;
	for (int i = 0; i < 2; i++)
		if (victim[i] != -1) {
			close(victim[i]);
			victim[i] = -1;
		}
	errno = saved;
}

static void
alarms(int us)
{
	struct itimerval every = { { 0, us }, { 0, us } };
	struct sigaction sa = { .sa_handler = on_alarm };

	victim[0] = victim[1] = -1;
	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &every, NULL), 0);
}

/* A queue with something of every kind of memory in it. */
static int
furnished(void)
{
	int kq = queue();

	for (uintptr_t i = 0; i < 20; i++) {
		ck_assert_int_eq(change(kq, i, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, i, EVFILT_TIMER, EV_ADD, 0, 1000, NULL), 0);
	}
	ck_assert_int_eq(change(kq, 0, EVFILT_READ, EV_ADD, 0, 0, NULL) == EBADF, 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	return kq;
}

START_TEST(kqueue_handler__closes_a_queue_in_malloc)
{
	void *block[16] = { NULL };
	unsigned n = 0;

	alarms(1000);
	while (interruptions < 1000) {
		if (victim[0] == -1)
			victim[0] = furnished();
		for (unsigned i = 0; i < 1000; i++, n++) {
			free(block[n % 16]);
			block[n % 16] = malloc(n % 5000);
		}
	}
	while (victim[0] != -1)
		nap(1);
	alarms(0);
	for (unsigned i = 0; i < 16; i++)
		free(block[i]);
}
END_TEST

START_TEST(kqueue_handler__closes_a_queue_in_the_library)
{
	int kq = queue();
	struct timespec zero = { 0, 0 };
	struct kevent event;

	alarms(1000);
	while (interruptions < 1000) {
		if (victim[0] == -1)
			victim[0] = furnished();
		for (uintptr_t i = 0; i < 50; i++) {
			change(kq, i, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL);
			change(kq, i, EVFILT_TIMER, EV_ADD, 0, 1000, NULL);
			ck_assert_int_ge(kevent(kq, NULL, 0, &event, 1, &zero), 0);
			change(kq, i, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
		}
		close(kqueue());
	}
	while (victim[0] != -1)
		nap(1);
	alarms(0);
	/* Whatever was interrupted has ended by now what was closed. */
	close(kq);
}
END_TEST

/* The queue that a call is at work on is closed under its hands. */
START_TEST(kqueue_handler__closes_the_queue_that_it_interrupted)
{
	struct timespec ts = { 0, 100000 };
	struct kevent event;
	int kq, error = 0;

	alarms(1000);
	for (int i = 0; i < 500; i++) {
		kq = furnished();
		victim[0] = kq;
		do {
			error = change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
			if (error == 0 && kevent(kq, NULL, 0, &event, 1, &ts) == -1)
				error = errno;
		} while (error == 0 || error == EINTR);
		ck_assert_int_eq(error, EBADF);
		ck_assert_int_eq(victim[0], -1);
	}
	alarms(0);
}
END_TEST

START_TEST(kqueue_handler__closes_what_is_watched)
{
	struct timespec zero = { 0, 0 };
	struct kevent events[4];
	int kq = queue(), fds[2], n;

	alarms(1000);
	while (interruptions < 1000) {
		if (victim[0] == -1 && victim[1] == -1) {
			pair(PAIR_PIPE, fds);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
			victim[1] = fds[1];
			victim[0] = fds[0];
		}
		n = kevent(kq, NULL, 0, events, 4, &zero);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert(events[i].ident == (uintptr_t)fds[0] || events[i].ident == (uintptr_t)fds[1]);
	}
	while (victim[0] != -1 || victim[1] != -1)
		nap(1);
	alarms(0);
	no_event(kq);
	close(kq);
}
END_TEST

static volatile sig_atomic_t watched_queue;

static void
on_usr2(int signo)
{
	(void)signo;
	close(watched_queue);
}

/* A queue's descriptors are gone when close() returns, in a handler too. */
START_TEST(kqueue_handler__closing_a_queue_frees_its_descriptors_at_once)
{
	int before = open_descriptors();

	watched_queue = furnished();
	ck_assert_int_gt(open_descriptors(), before);
	signal(SIGUSR2, on_usr2);
	raise(SIGUSR2);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

HARNESS_MAIN("kqueue_handler",
    kqueue_handler__closes_a_queue_in_malloc,
    kqueue_handler__closes_a_queue_in_the_library,
    kqueue_handler__closes_the_queue_that_it_interrupted,
    kqueue_handler__closes_what_is_watched,
    kqueue_handler__closing_a_queue_frees_its_descriptors_at_once)
