/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_SIGNAL: what counts, and who is told. */
#include "signal_watch.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static int mark;

static void
wait_for(const _Atomic int *what, int value)
{
	for (int tries = 0; *what != value; tries++) {
		ck_assert_int_lt(tries, 10000);
		nap(1);
	}
}

START_TEST(signal__ignored_is_counted)
{
	begin(SIGUSR1);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	raise(SIGUSR1);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(signal__event_has_its_fields)
{
	struct kevent event;

	kq = queue();
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0x1234, 99, &mark), 0);
	raise(SIGUSR1);
	event = event_of(kq, SIGUSR1, EVFILT_SIGNAL);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 1);
	ck_assert_ptr_eq(event.udata, &mark);
	close(kq);
}
END_TEST

START_TEST(signal__data_counts_since_the_last_event)
{
	begin(SIGUSR1);
	for (int i = 0; i < 5; i++)
		kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 5);
	no_event(kq);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal__realtime_counts_one_by_one)
{
	pid_t pid;

	begin(SIGRTMIN);
	if ((pid = fork()) == 0) {
		for (int i = 0; i < 50; i++)
			sigqueue(getppid(), SIGRTMIN, (union sigval){ .sival_int = i });
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) == -1)
		ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(count(kq, SIGRTMIN), 50);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(signal__sent_by_another_process_wakes)
{
	pid_t pid;

	begin(SIGUSR1);
	if ((pid = fork()) == 0) {
		await_state(getppid(), 'S');
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	while (waitpid(pid, NULL, 0) == -1)
		ck_assert_int_eq(errno, EINTR);
	close(kq);
}
END_TEST

START_TEST(signal__handler_runs_after_the_count)
{
	kq = queue();
	handle(SIGUSR1, 0);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD), 0);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 1);
	ck_assert(ready_in_handler);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal__disposition_may_come_later)
{
	kq = queue();
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD), 0);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	close(kq);
}
END_TEST

/* How a child ends that watches a signal and sends it to itself. */
static int
ends(int signo, void (*before)(int), void (*after)(int))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(signo, before);
		kq = kqueue();
		if (kq == -1 || watch(kq, signo, EV_ADD) != 0)
			_exit(1);
		signal(signo, after);
		raise(signo);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(signal__default_still_ends)
{
	const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGALRM, SIGRTMIN + 1 };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		ck_assert_int_eq(ends(signals[i], SIG_DFL, SIG_DFL), signals[i]);
		ck_assert_int_eq(ends(signals[i], SIG_IGN, SIG_DFL), signals[i]);
		ck_assert_int_eq(ends(signals[i], handler, SIG_DFL), signals[i]);
		ck_assert_int_eq(ends(signals[i], SIG_DFL, SIG_IGN), 0);
	}
}
END_TEST

START_TEST(signal__ignored_by_default_is_counted)
{
	const int signals[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };

	kq = queue();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		ck_assert_int_eq(watch(kq, signals[i], EV_ADD), 0);
		raise(signals[i]);
		ck_assert_int_eq(count(kq, signals[i]), 1);
	}
	no_event(kq);
	close(kq);
}
END_TEST

/* Stops itself, goes on, and says whether that was counted. */
static void
stop_and_count(int signo)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;

	setpgid(0, 0);
	signal(signo, SIG_DFL);
	kq = kqueue();
	if (kq == -1 || watch(kq, signo, EV_ADD) != 0)
		_exit(1);
	for (int i = 0; i < 2; i++) {
		raise(signo);
		if (kevent(kq, NULL, 0, &event, 1, &zero) != 1 || event.data != 1)
			_exit(2);
	}
	_exit(0);
}

START_TEST(signal__default_still_stops)
{
	const int signals[] = { SIGTSTP, SIGTTIN, SIGTTOU };
	int status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if ((pid = fork()) == 0)
			stop_and_count(signals[i]);
		for (int stop = 0; stop < 2; stop++) {
			ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
			ck_assert(WIFSTOPPED(status));
			ck_assert_int_eq(WSTOPSIG(status), signals[i]);
			kill(pid, SIGCONT);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
}
END_TEST

START_TEST(signal__child_is_counted_and_left_to_be_reaped)
{
	int status;
	pid_t pid;

	kq = queue();
	ck_assert_int_eq(watch(kq, SIGCHLD, EV_ADD), 0);
	if ((pid = fork()) == 0)
		_exit(7);
	ck_assert_int_eq(count(kq, SIGCHLD), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	close(kq);
}
END_TEST

/* FreeBSD does not count it either. */
START_TEST(signal__ignored_child_is_reaped_by_the_kernel)
{
	pid_t pid;

	begin(SIGCHLD);
	if ((pid = fork()) == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
	no_event(kq);
	signal(SIGCHLD, SIG_DFL);
	if ((pid = fork()) == 0)
		_exit(0);
	ck_assert_int_eq(count(kq, SIGCHLD), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(kq);
}
END_TEST

static _Atomic bool thread_stop;

static void *
thread_run(void *arg)
{
	(void)arg;
	while (!thread_stop)
		nap(1);
	return NULL;
}

START_TEST(signal__threads_older_than_the_registration_count)
{
	sigset_t set;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, thread_run, NULL), 0);
	begin(SIGUSR1);
	ck_assert_int_eq(pthread_kill(thread, SIGUSR1), 0);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	handle(SIGUSR1, 0);
	ck_assert_int_eq(pthread_kill(thread, SIGUSR1), 0);
	wait_for(&handled, 1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);

	/* For the process, and only that thread can take it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	wait_for(&handled, 2);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	no_event(kq);
	thread_stop = true;
	pthread_join(thread, NULL);
	close(kq);
}
END_TEST

START_TEST(signal__every_queue_that_watches_is_told)
{
	int other = queue(), third = queue();

	begin(SIGUSR1);
	ck_assert_int_eq(watch(other, SIGUSR1, EV_ADD), 0);
	ck_assert_int_eq(watch(third, SIGUSR2, EV_ADD), 0);
	raise(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 2);
	ck_assert_int_eq(count(other, SIGUSR1), 2);
	no_event(third);
	close(kq);
	raise(SIGUSR1);
	ck_assert_int_eq(count(other, SIGUSR1), 1);
	close(other);
	close(third);
}
END_TEST

START_TEST(signal__registration_begins_at_nothing)
{
	begin(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_DELETE), 0);
	no_event(kq);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_DELETE), ENOENT);
	raise(SIGUSR1);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD), 0);
	no_event(kq);
	raise(SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal__update_keeps_the_count)
{
	struct kevent event;

	begin(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0xffff, -5, &mark), 0);
	raise(SIGUSR1);
	event = event_of(kq, SIGUSR1, EVFILT_SIGNAL);
	ck_assert_int_eq(event.data, 2);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_ptr_eq(event.udata, &mark);
	close(kq);
}
END_TEST

START_TEST(signal__oneshot_and_dispatch)
{
	kq = queue();
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD | EV_ONESHOT), 0);
	ck_assert_int_eq(watch(kq, SIGUSR2, EV_ADD | EV_DISPATCH), 0);
	raise(SIGUSR1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_DELETE), ENOENT);
	raise(SIGUSR2);
	ck_assert_int_eq(count(kq, SIGUSR2), 1);
	raise(SIGUSR2);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(watch(kq, SIGUSR2, EV_ENABLE), 0);
	ck_assert_int_eq(count(kq, SIGUSR2), 1);
	close(kq);
}
END_TEST

START_TEST(signal__disabled_counts_on_in_silence)
{
	begin(SIGUSR1);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_DISABLE), 0);
	raise(SIGUSR1);
	raise(SIGUSR1);
	ck_assert(!readable(kq, 0));
	no_event(kq);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ENABLE), 0);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(count(kq, SIGUSR1), 2);
	no_event(kq);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_DELETE), 0);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ADD | EV_DISABLE), 0);
	raise(SIGUSR1);
	ck_assert(!readable(kq, 0));
	no_event(kq);
	ck_assert_int_eq(watch(kq, SIGUSR1, EV_ENABLE), 0);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	close(kq);
}
END_TEST

START_TEST(signal__nested_queue_is_readable)
{
	int outer = queue();

	begin(SIGUSR1);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(outer);
	raise(SIGUSR1);
	ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
	ck_assert_int_eq(count(kq, SIGUSR1), 1);
	no_event(outer);
	close(outer);
	close(kq);
}
END_TEST

START_TEST(signal__ignored_keeps_errno)
{
	begin(SIGUSR1);
	errno = E2BIG;
	raise(SIGUSR1);
	ck_assert_int_eq(errno, E2BIG);
	close(kq);
}
END_TEST

START_TEST(signal__what_is_no_signal_is_einval)
{
	const uintptr_t bad[] = {
		0, SIGKILL, SIGSTOP, 32, 33, (uintptr_t)SIGRTMIN - 1, (uintptr_t)SIGRTMAX + 1,
		65, 1000, (uintptr_t)-1, (uintptr_t)1 << 31, UINTPTR_MAX / 2,
	};

	kq = queue();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(change(kq, bad[i], EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), EINVAL);
		ck_assert_int_eq(change(kq, bad[i], EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), ENOENT);
	}
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		if ((signo < 32 || signo >= SIGRTMIN) && signo != SIGKILL && signo != SIGSTOP)
			ck_assert_int_eq(watch(kq, signo, EV_ADD), 0);
	close(kq);
}
END_TEST

/* A real-time signal is sent all the while: none is lost, none comes twice. */
START_TEST(signal__storm_loses_nothing)
{
	enum { SENT = 2000 };
	struct kevent event;
	int64_t counted = 0;
	pid_t pid;

	begin(SIGRTMIN);
	if ((pid = fork()) == 0) {
		for (int i = 0; i < SENT; i++)
			while (sigqueue(getppid(), SIGRTMIN, (union sigval){ .sival_int = i }) == -1)
				nap(1);
		_exit(0);
	}
	while (counted < SENT) {
		ck_assert_int_eq(collect(kq, &event, 1, HARNESS_TIMEOUT * 500), 1);
		ck_assert_int_gt(event.data, 0);
		counted += event.data;
	}
	while (waitpid(pid, NULL, 0) == -1)
		ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(counted, SENT);
	no_event(kq);
	close(kq);
}
END_TEST

HARNESS_MAIN("signal",
    signal__ignored_is_counted,
    signal__event_has_its_fields,
    signal__data_counts_since_the_last_event,
    signal__realtime_counts_one_by_one,
    signal__sent_by_another_process_wakes,
    signal__handler_runs_after_the_count,
    signal__disposition_may_come_later,
    signal__default_still_ends,
    signal__ignored_by_default_is_counted,
    signal__default_still_stops,
    signal__child_is_counted_and_left_to_be_reaped,
    signal__ignored_child_is_reaped_by_the_kernel,
    signal__threads_older_than_the_registration_count,
    signal__every_queue_that_watches_is_told,
    signal__registration_begins_at_nothing,
    signal__update_keeps_the_count,
    signal__oneshot_and_dispatch,
    signal__disabled_counts_on_in_silence,
    signal__nested_queue_is_readable,
    signal__ignored_keeps_errno,
    signal__what_is_no_signal_is_einval,
    signal__storm_loses_nothing)
