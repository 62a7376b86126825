/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A watched signal does what the program set, and sigaction() and its relatives show just that.  What cannot be
 * seen under ThreadSanitizer, which puts a handler of its own before the program's, with other flags, is left out.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* sigset() */
#endif
#include "disposition.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* sigset(), siginterrupt() and their like are old, and old programs call them: so must this. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int kq;
static _Atomic int handled, nested, deepest, blocked, on_stack, sent;

static void
watch(int signo)
{
	kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)signo, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

static int64_t
count(int signo)
{
	return event_of(kq, (uintptr_t)signo, EVFILT_SIGNAL).data;
}

static void
handler(int signo)
{
	sigset_t set;

	(void)signo;
	handled++;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	blocked = sigismember(&set, SIGUSR1) | sigismember(&set, SIGUSR2) << 1;
}

static void
other_handler(int signo)
{
	(void)signo;
}

static void
handler_with_info(int signo, siginfo_t *info, void *context)
{
	handled = signo;
	sent = info->si_code == SI_QUEUE && info->si_pid == getpid() ? info->si_value.sival_int : -1;
	on_stack = context != NULL;
}

static struct sigaction
action(void (*disposition)(int), int flags, int masked)
{
	struct sigaction sa = { .sa_handler = disposition, .sa_flags = flags };

	sigemptyset(&sa.sa_mask);
	if (masked != 0)
		sigaddset(&sa.sa_mask, masked);
	return sa;
}

static void
set(int signo, void (*disposition)(int), int flags, int masked)
{
	struct sigaction sa = action(disposition, flags, masked);

	handled = blocked = 0;
	ck_assert_int_eq(sigaction(signo, &sa, NULL), 0);
}

START_TEST(disposition__is_shown_as_it_was_set)
{
	const int signals[] = { SIGUSR1, SIGTERM, SIGCHLD, SIGWINCH, SIGTSTP, SIGSEGV, SIGRTMIN + 2 };
	void (*const handlers[])(int) = { SIG_DFL, SIG_IGN, handler };
	const int flags[] = {
		0, SA_RESTART, SA_SIGINFO, SA_NODEFER | SA_ONSTACK, (int)SA_RESETHAND,
		SA_NOCLDSTOP | SA_NOCLDWAIT, SA_SIGINFO | SA_RESTART | SA_ONSTACK | (int)SA_RESETHAND,
	};
	struct sigaction sa, alone, watched, old;

	for (size_t s = 0; s < 7; s++)
		for (size_t h = 0; h < 3; h++)
			for (size_t f = 0; f < 7; f++) {
				sa = action(handlers[h], flags[f], SIGUSR2);
				sigaddset(&sa.sa_mask, SIGKILL);
				ck_assert_int_eq(sigaction(signals[s], &sa, NULL), 0);
				alone = shown(signals[s]);
				/* Set before the watch begins ... */
				watch(signals[s]);
				watched = shown(signals[s]);
				ck_assert(same(&watched, &alone));
				/* ... and after. */
				set(signals[s], other_handler, SA_SIGINFO, 0);
				ck_assert_int_eq(sigaction(signals[s], &sa, &old), 0);
				ck_assert_ptr_eq(old.sa_handler, other_handler);
				watched = shown(signals[s]);
				ck_assert(same(&watched, &alone));
				close(kq);
				watched = shown(signals[s]);
				ck_assert(same(&watched, &alone));
				ck_assert(THREAD_SANITIZER || kernels(signals[s]) == handlers[h]);
			}
}
END_TEST

START_TEST(disposition__is_the_kernels_again_when_the_last_watch_ends)
{
	int first = queue();

	ck_assert_int_eq(change(first, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	watch(SIGUSR1);
	ck_assert(kernels(SIGUSR1) == SIG_DFL);
	signal(SIGUSR1, SIG_IGN);
	ck_assert(kernels(SIGUSR1) != SIG_IGN);
	close(first);
	ck_assert(kernels(SIGUSR1) != SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
	ck_assert(kernels(SIGUSR1) == SIG_IGN);
	raise(SIGUSR1);
	close(kq);
}
END_TEST

START_TEST(disposition__old_ways_to_set_it)
{
	if (THREAD_SANITIZER)
		return;
	watch(SIGUSR1);
	ck_assert_ptr_eq(signal(SIGUSR1, handler), SIG_DFL);
	ck_assert_int_ne(shown(SIGUSR1).sa_flags & SA_RESTART, 0);
	raise(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 2);
	ck_assert_ptr_eq(signal(SIGUSR1, SIG_IGN), handler);
	ck_assert_ptr_eq(signal(SIGUSR1, SIG_ERR), SIG_ERR);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_eq(signal(0, SIG_IGN), SIG_ERR);
	ck_assert_ptr_eq(signal(SIGKILL, SIG_IGN), SIG_ERR);
	ck_assert_ptr_eq(signal(1000, SIG_IGN), SIG_ERR);

	ck_assert_int_eq(siginterrupt(SIGUSR1, 1), 0);
	ck_assert_int_eq(shown(SIGUSR1).sa_flags & SA_RESTART, 0);
	ck_assert_ptr_eq(signal(SIGUSR1, handler), SIG_IGN);
	ck_assert_int_eq(shown(SIGUSR1).sa_flags & SA_RESTART, 0);
	ck_assert_int_eq(siginterrupt(SIGUSR1, 0), 0);
	ck_assert_int_ne(shown(SIGUSR1).sa_flags & SA_RESTART, 0);
	ck_assert_ptr_eq(signal(SIGUSR1, handler), handler);
	ck_assert_int_ne(shown(SIGUSR1).sa_flags & SA_RESTART, 0);
	ck_assert_int_eq(count(SIGUSR1), 2);
	close(kq);
}
END_TEST

START_TEST(disposition__system_v_ways_to_set_it)
{
	sigset_t pending;

	if (THREAD_SANITIZER)
		return;
	watch(SIGUSR1);
	ck_assert_ptr_eq(sigset(SIGUSR1, handler), SIG_DFL);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 1);
	ck_assert_ptr_eq(sigset(SIGUSR1, SIG_HOLD), handler);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 1);
	sigpending(&pending);
	ck_assert_int_eq(sigismember(&pending, SIGUSR1), 1);
	ck_assert_ptr_eq(sigset(SIGUSR1, handler), SIG_HOLD);
	ck_assert_int_eq(handled, 2);
	ck_assert_int_eq(sigignore(SIGUSR1), 0);
	ck_assert_ptr_eq(shown(SIGUSR1).sa_handler, SIG_IGN);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 2);
	ck_assert_int_eq(count(SIGUSR1), 3);
	close(kq);
}
END_TEST

START_TEST(disposition__siginfo_is_handed_on)
{
	struct sigaction sa = { .sa_sigaction = handler_with_info, .sa_flags = SA_SIGINFO };

	watch(SIGRTMIN);
	ck_assert_int_eq(sigaction(SIGRTMIN, &sa, NULL), 0);
	ck_assert_int_eq(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 42 }), 0);
	ck_assert_int_eq(handled, SIGRTMIN);
	ck_assert_int_eq(sent, 42);
	ck_assert_int_eq(on_stack, 1);
	ck_assert_int_eq(count(SIGRTMIN), 1);
	close(kq);
}
END_TEST

START_TEST(disposition__mask_and_nodefer_are_kept)
{
	if (THREAD_SANITIZER)
		return;
	watch(SIGUSR1);
	set(SIGUSR1, handler, 0, SIGUSR2);
	raise(SIGUSR1);
	ck_assert_int_eq(blocked, 3);
	set(SIGUSR1, handler, 0, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(blocked, 1);
	set(SIGUSR1, handler, SA_NODEFER, SIGUSR2);
	raise(SIGUSR1);
	ck_assert_int_eq(blocked, 2);
	set(SIGUSR1, handler, SA_NODEFER, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(blocked, 0);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(count(SIGUSR1), 4);
	close(kq);
}
END_TEST

static void
nesting_handler(int signo)
{
	int level = ++nested;

	if (level > deepest)
		deepest = level;
	if (level < 3 && ++handled < 10)
		raise(signo);
	nested--;
}

START_TEST(disposition__handlers_nest_with_nodefer_only)
{
	if (THREAD_SANITIZER)
		return;
	watch(SIGUSR1);
	set(SIGUSR1, nesting_handler, SA_NODEFER, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(deepest, 3);
	ck_assert_int_eq(count(SIGUSR1), 3);
	deepest = 0;
	set(SIGUSR1, nesting_handler, 0, 0);
	handled = 8;
	raise(SIGUSR1);
	ck_assert_int_eq(deepest, 1);
	ck_assert_int_eq(count(SIGUSR1), 2);
	close(kq);
}
END_TEST

static char *stack_begin, *stack_end;

static void
stack_handler(int signo)
{
	char here;

	(void)signo;
	on_stack = &here >= stack_begin && &here < stack_end;
}

START_TEST(disposition__alternate_stack_is_used_if_asked_for)
{
	stack_t stack = { .ss_size = 65536 };

	stack.ss_sp = stack_begin = malloc(stack.ss_size);
	stack_end = stack_begin + stack.ss_size;
	ck_assert_int_eq(sigaltstack(&stack, NULL), 0);
	watch(SIGUSR1);
	set(SIGUSR1, stack_handler, SA_ONSTACK, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(on_stack, 1);
	set(SIGUSR1, stack_handler, 0, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(on_stack, 0);
	ck_assert_int_eq(count(SIGUSR1), 2);
	close(kq);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	free(stack_begin);
}
END_TEST

/* A thread that reads from a pipe, and is sent signals there until it returns, or for a while. */
static _Atomic bool returned;

static void *
reading_thread(void *arg)
{
	const int *fds = arg;
	char byte;
	ssize_t n = read(fds[0], &byte, 1);

	returned = true;
	return n == 1 ? arg : NULL;
}

static bool
restarts(int fds[2], void (*disposition)(int), int flags, int naps)
{
	struct kevent event;
	pthread_t thread;
	void *result;

	set(SIGUSR1, disposition, flags, 0);
	returned = false;
	ck_assert_int_eq(pthread_create(&thread, NULL, reading_thread, fds), 0);
	for (int i = 0; i < naps && !returned; i++) {
		pthread_kill(thread, SIGUSR1);
		nap(5);
	}
	put(fds[1], 1);
	pthread_join(thread, &result);
	if (result == NULL)
		get(fds[0], 1);
	collect(kq, &event, 1, 0);
	return result != NULL;
}

START_TEST(disposition__calls_restart_as_asked_for)
{
	int fds[2];

	pair(PAIR_PIPE, fds);
	watch(SIGUSR1);
	ck_assert(restarts(fds, handler, SA_RESTART, 20));
	ck_assert(!restarts(fds, handler, 0, 5000));
	ck_assert(restarts(fds, SIG_IGN, 0, 20));
	ck_assert(restarts(fds, SIG_IGN, SA_RESTART, 20));
	close_pair(fds);
	close(kq);
}
END_TEST

static void
twice_with_resethand(void)
{
	if (kevent(kq, &(struct kevent){ .ident = SIGUSR1, .filter = EVFILT_SIGNAL,
	    .flags = EV_ADD }, 1, NULL, 0, NULL) == -1)
		_exit(1);
	signal(SIGUSR1, SIG_IGN);
	set(SIGUSR1, handler, (int)SA_RESETHAND, 0);
	raise(SIGUSR1);
	if (handled != 1 || shown(SIGUSR1).sa_handler != SIG_DFL)
		_exit(2);
	raise(SIGUSR1);
}

static void
twice_with_resethand_in_a_child(void)
{
	kq = kqueue();
	twice_with_resethand();
}

START_TEST(disposition__resethand_runs_the_handler_once)
{
	ck_assert_int_eq(child(twice_with_resethand_in_a_child), SIGUSR1);
	watch(SIGWINCH);
	set(SIGWINCH, handler, (int)SA_RESETHAND | SA_NODEFER, SIGUSR2);
	raise(SIGWINCH);
	raise(SIGWINCH);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(count(SIGWINCH), 2);
	ck_assert_ptr_eq(shown(SIGWINCH).sa_handler, SIG_DFL);
	close(kq);
}
END_TEST

static void
reinstalling_handler(int signo)
{
	handled++;
	signal(signo, reinstalling_handler);
}

START_TEST(disposition__may_be_set_in_a_handler)
{
	watch(SIGUSR1);
	set(SIGUSR1, reinstalling_handler, (int)SA_RESETHAND, 0);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	ck_assert_int_eq(handled, 3);
	ck_assert_int_eq(count(SIGUSR1), 3);
	close(kq);
}
END_TEST

/* One thread sets, one watches and forgets, a third sends: nobody is lost, nothing is mixed up. */
static _Atomic bool done;

static void *
setting_thread(void *arg)
{
	struct sigaction old;

	(void)arg;
	while (!done) {
		struct sigaction sa = action(handled % 2 == 0 ? handler : SIG_IGN, 0, 0);

		ck_assert_int_eq(sigaction(SIGUSR1, &sa, &old), 0);
		ck_assert(old.sa_handler == handler || old.sa_handler == SIG_IGN);
		old = shown(SIGUSR1);
		ck_assert(old.sa_handler == sa.sa_handler);
	}
	return NULL;
}

static void *
watching_thread(void *arg)
{
	struct kevent kev;

	EV_SET(&kev, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
	while (!done) {
		kev.flags = EV_ADD;
		ck_assert_int_eq(kevent(*(int *)arg, &kev, 1, NULL, 0, NULL), 0);
		kev.flags = EV_DELETE;
		ck_assert_int_eq(kevent(*(int *)arg, &kev, 1, NULL, 0, NULL), 0);
	}
	return NULL;
}

START_TEST(disposition__storm)
{
	pthread_t setting, watching;
	int other = queue();

	signal(SIGUSR1, SIG_IGN);
	pthread_create(&setting, NULL, setting_thread, NULL);
	pthread_create(&watching, NULL, watching_thread, &other);
	for (int64_t end = now_ns() + 500000000; now_ns() < end;)
		kill(getpid(), SIGUSR1);
	done = true;
	pthread_join(setting, NULL);
	pthread_join(watching, NULL);
	close(other);
	ck_assert(THREAD_SANITIZER || kernels(SIGUSR1) == handler || kernels(SIGUSR1) == SIG_IGN);
}
END_TEST

HARNESS_MAIN("signal_disposition",
    disposition__is_shown_as_it_was_set,
    disposition__is_the_kernels_again_when_the_last_watch_ends,
    disposition__old_ways_to_set_it,
    disposition__system_v_ways_to_set_it,
    disposition__siginfo_is_handed_on,
    disposition__mask_and_nodefer_are_kept,
    disposition__handlers_nest_with_nodefer_only,
    disposition__alternate_stack_is_used_if_asked_for,
    disposition__calls_restart_as_asked_for,
    disposition__resethand_runs_the_handler_once,
    disposition__may_be_set_in_a_handler,
    disposition__storm)
