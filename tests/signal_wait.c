/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits in kevent() while watched signals come. */
#include "signal_watch.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(signal_wait__waiter_is_woken)
{
	struct waiter waiter;

	begin(SIGUSR1);
	waiter_start(&waiter, kq, HARNESS_TIMEOUT * 500);
	kill(getpid(), SIGUSR1);
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 1);
	ck_assert_int_eq(waiter.event.data, 1);
	close(kq);
}
END_TEST

START_TEST(signal_wait__ignored_does_not_interrupt_kevent)
{
	struct waiter waiter;
	int other = queue();

	begin(SIGRTMIN);
	waiter_start(&waiter, other, 300);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(pthread_kill(waiter.thread, SIGRTMIN), 0);
		nap(10);
	}
	waiter_join(&waiter);
	ck_assert_int_eq(waiter.count, 0);
	ck_assert_int_eq(count(kq, SIGRTMIN), 5);
	close(other);
	close(kq);
}
END_TEST

/* A thread that waits for ever at a queue where nothing happens. */
static _Atomic int wait_error;

static void *
waiting_thread(void *arg)
{
	struct kevent event;

	if (kevent(*(int *)arg, NULL, 0, &event, 1, NULL) == -1)
		wait_error = errno;
	return NULL;
}

START_TEST(signal_wait__handler_interrupts_kevent)
{
	int other = queue();
	pthread_t thread;

	begin(SIGUSR1);
	handle(SIGUSR1, SA_RESTART);
	ck_assert_int_eq(pthread_create(&thread, NULL, waiting_thread, &other), 0);
	/* More than once, should the first come before it waits. */
	do {
		pthread_kill(thread, SIGUSR1);
		nap(5);
	} while (wait_error == 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(wait_error, EINTR);
	ck_assert_int_ge(handled, 1);
	close(other);
	close(kq);
}
END_TEST

/* In a child: stops the parent, so that it finds two signals at once when it goes on. */
static _Noreturn void
send_both(void)
{
	pid_t parent = getppid();

	await_state(parent, 'S');
	kill(parent, SIGSTOP);
	await_state(parent, 'T');
	kill(parent, SIGUSR1);
	kill(parent, SIGUSR2);
	kill(parent, SIGCONT);
	_exit(0);
}

START_TEST(signal_wait__handler_beside_an_ignored_one_interrupts_kevent)
{
	const struct timespec limit = { HARNESS_TIMEOUT / 2, 0 };
	struct kevent event;
	int other = queue();
	pid_t pid;

	begin(SIGUSR1);
	handle(SIGUSR2, 0);
	ck_assert_int_eq(watch(kq, SIGUSR2, EV_ADD), 0);
	if ((pid = fork()) == 0)
		send_both();
	ck_assert_int_eq(kevent(other, NULL, 0, &event, 1, &limit), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(handled, 1);
	close(other);
	close(kq);
}
END_TEST

HARNESS_MAIN("signal_wait",
    signal_wait__waiter_is_woken,
    signal_wait__ignored_does_not_interrupt_kevent,
    signal_wait__handler_interrupts_kevent,
    signal_wait__handler_beside_an_ignored_one_interrupts_kevent)
