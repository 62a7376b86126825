/* SPDX-License-Identifier: BSD-2-Clause */
/* What ends a process ends it with a watch, too; and what does not, does not. */
#include "disposition.h"
#include "signal_watch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;

/* Where a failure is an exit code that nobody expects. */
static void
watch_in_child(int signo)
{
	kq = kqueue();
	if (watch(kq, signo, EV_ADD) != 0)
		_exit(1);
}

static void
jumping_handler(int signo)
{
	siglongjmp(back, signo);
}

/* A page that nobody may touch. */
static volatile int *
forbidden(void)
{
	static volatile int *page;

	if (page == NULL)
		page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page;
}

START_TEST(signal_end__faults_are_handled)
{
	const struct sigaction jump = { .sa_handler = jumping_handler };
	volatile int tries;

	forbidden();
	kq = queue();
	ck_assert_int_eq(watch(kq, SIGSEGV, EV_ADD), 0);
	ck_assert_int_eq(sigaction(SIGSEGV, &jump, NULL), 0);
	for (tries = 0; tries < 3; tries++)
		if (sigsetjmp(back, 1) == 0) {
			*forbidden() = 1;
			ck_abort_msg("no fault");
		}
	ck_assert_int_eq(count(kq, SIGSEGV), 3);
	ck_assert_ptr_ne(signal(SIGSEGV, SIG_DFL), SIG_ERR);
	close(kq);
}
END_TEST

static void
fault(void)
{
	volatile int *page = forbidden();

	watch_in_child(SIGSEGV);
	*page = 1;
}

static void
ignored_fault(void)
{
	signal(SIGSEGV, SIG_IGN);
	fault();
}

static void
default_fault(void)
{
	signal(SIGSEGV, SIG_DFL);
	fault();
}

START_TEST(signal_end__faults_still_end)
{
	ck_assert_int_eq(child(default_fault), SIGSEGV);
	ck_assert_int_eq(child(ignored_fault), SIGSEGV);
	kq = queue();
	ck_assert_int_eq(watch(kq, SIGSEGV, EV_ADD), 0);
	signal(SIGSEGV, SIG_IGN);
	kill(getpid(), SIGSEGV);
	ck_assert_int_eq(count(kq, SIGSEGV), 1);
	signal(SIGSEGV, SIG_DFL);
	close(kq);
}
END_TEST

static void
ignoring_abort(void)
{
	watch_in_child(SIGABRT);
	signal(SIGABRT, SIG_IGN);
	abort();
}

START_TEST(signal_end__abort_still_ends)
{
	ck_assert_int_eq(child(ignoring_abort), SIGABRT);
}
END_TEST

/*
 * What is sent while it is ignored is void, also if another thread is to take
 * it and is slower than the one that ends the ignoring.
 */
static void *
sending_thread(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		signal(SIGUSR1, SIG_IGN);
		kill(getpid(), SIGUSR1);
		signal(SIGUSR1, SIG_DFL);
	}
	return arg;
}

static void
send_while_ignored(void)
{
	pthread_t thread;

	watch_in_child(SIGUSR1);
	if (pthread_create(&thread, NULL, sending_thread, NULL) != 0)
		_exit(1);
	pthread_join(thread, NULL);
}

START_TEST(signal_end__what_is_sent_while_ignored_does_not_end)
{
	ck_assert_int_eq(child(send_while_ignored), 0);
}
END_TEST

HARNESS_MAIN("signal_end",
    signal_end__faults_are_handled,
    signal_end__faults_still_end,
    signal_end__abort_still_ends,
    signal_end__what_is_sent_while_ignored_does_not_end)
