/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that loads the library late: its calls do not reach our wrappers. */
#include "harness.h"
#include "loader.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct timespec at_once = { 0, 0 };
static volatile sig_atomic_t handled;

static void
handle(int signo)
{
	(void)signo;
	handled++;
}

static int
errno_of(int kq)
{
	struct kevent event;

	return kevent(kq, NULL, 0, &event, 1, &at_once) == -1 ? errno : 0;
}

START_TEST(dlopen__duplicate_of_a_queue_is_the_queue)
{
	int kq = queue(), copy;

	ck_assert_int_eq(change(kq, 7, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_ge(copy = dup(kq), 0);
	ck_assert_int_eq(change(copy, 7, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 7, EVFILT_USER);
	close(kq);
	ck_assert_int_eq(errno_of(kq), EBADF);
	ck_assert_int_eq(change(copy, 7, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(copy, 7, EVFILT_USER);
	close(copy);
	ck_assert_int_eq(errno_of(copy), EBADF);
	close(queue());
}
END_TEST

START_TEST(dlopen__number_opened_again_is_new)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	static int old, new;

	for (int i = 0; i < 4; i++) {
		int kq = queue(), fds[2], again[2], copy;

		pair(PAIR_UNIX, fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[i], 0, 0, &old), 0);
		put(fds[1], 3);
		ck_assert_int_ge(copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 60), 0);
		close(fds[0]);
		pair(PAIR_UNIX, again);
		ck_assert_int_eq(again[0], fds[0]);
		no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)again[0], EVFILT_READ, EV_ADD | flags[i], 0, 0, &new), 0);
		no_event(kq);
		put(again[1], 1);
		struct kevent event = event_of(kq, (uintptr_t)again[0], EVFILT_READ);
		ck_assert_ptr_eq(event.udata, &new);
		ck_assert_int_eq(event.data, 1);
		close(copy);
		close(fds[1]);
		close_pair(again);
		close(kq);
	}
	close(queue());
}
END_TEST

START_TEST(dlopen__forked_child_has_no_queue_and_makes_its_own)
{
	int kq = queue(), fds[2], status;
	pid_t pid;

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	pid = fork();
	if (pid == 0) {
		int own;

		if (errno_of(kq) != EBADF)
			_exit(1);
		close(fds[0]);
		own = kqueue();
		if (own == -1 || errno_of(own) != 0)
			_exit(2);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
	close(queue());
}
END_TEST

START_TEST(dlopen__nested_queue_is_readable)
{
	int outer = queue(), inner = queue();

	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(outer);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, 1);
	close(inner);
	no_event(outer);
	close(outer);
	close(queue());
}
END_TEST

START_TEST(dlopen__signal_with_an_earlier_disposition_is_counted)
{
	int kq = queue();

	signal(SIGUSR1, handle);
	signal(SIGUSR2, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	raise(SIGUSR1);
	nap(1);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	raise(SIGUSR2);
	nap(1);
	ck_assert_int_eq(event_of(kq, SIGUSR2, EVFILT_SIGNAL).data, 1);
	close(kq);
	close(queue());
}
END_TEST

/* It stands in the library's place, until a change shows that the library is to stand in again. */
START_TEST(dlopen__disposition_set_later_is_the_programs)
{
	struct sigaction now;
	int kq = queue();

	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	signal(SIGUSR1, handle);
	raise(SIGUSR1);
	nap(1);
	ck_assert_int_eq(handled, 1);
	no_event(kq);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	raise(SIGUSR1);
	nap(1);
	ck_assert_int_eq(handled, 2);
	ck_assert_int_eq(event_of(kq, SIGUSR1, EVFILT_SIGNAL).data, 1);
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(sigaction(SIGUSR1, NULL, &now), 0);
	ck_assert(now.sa_handler == SIG_IGN);
	close(kq);
	close(queue());
}
END_TEST

static void *
come_and_go(void *arg)
{
	return arg;
}

/* Signal handlers, fork handlers and queues outlive the handle. */
START_TEST(dlopen__dlclose_takes_nothing_away)
{
	int kq = queue(), status, told = 0;
	struct kevent event;
	pthread_t thread;
	pid_t pid;

	signal(SIGUSR1, handle);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	ck_assert_int_eq(dlclose(loader_library), 0);
	raise(SIGUSR1);
	nap(1);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, come_and_go, NULL), 0);
	pthread_join(thread, NULL);
	pid = fork();
	if (pid == 0)
		_exit(errno_of(kq) != EBADF);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(readable(kq, 1000));
	/* Loaded again, it is what it was.  Which of the two was first, the machine decides. */
	loader_library = dlopen(LOADER_LIBRARY, RTLD_NOW);
	ck_assert_ptr_nonnull(loader_library);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(collect(kq, &event, 1, -1), 1);
		told += event.filter;
	}
	ck_assert_int_eq(told, EVFILT_SIGNAL + EVFILT_TIMER);
	close(kq);
	close(queue());
}
END_TEST

HARNESS_MAIN("dlopen",
    dlopen__duplicate_of_a_queue_is_the_queue,
    dlopen__number_opened_again_is_new,
    dlopen__forked_child_has_no_queue_and_makes_its_own,
    dlopen__nested_queue_is_readable,
    dlopen__signal_with_an_earlier_disposition_is_counted,
    dlopen__disposition_set_later_is_the_programs,
    dlopen__dlclose_takes_nothing_away)
