/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children that no fork handler sees: of _Fork(), of the bare system call, of
 * vfork() and posix_spawn(); and of fork() in a signal handler.
 */
#include "child.h"
#include "sanitizer.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* The thread sanitizer's runtime has locks of its own, which only fork() puts right. */
static pid_t
bare_fork(void)
{
	if (THREAD_SANITIZER)
		return fork();
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static int kq, fds[2];

static void
begin(void)
{
	kq = queue();
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD | EV_DISABLE, 0, 1000, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
}

/* All of it still works in the parent. */
static void
end(void)
{
	struct kevent event;

	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD | EV_ENABLE | EV_ONESHOT, 0, 1, NULL), 0);
	event_of(kq, 2, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	kill(getpid(), SIGWINCH);
	event = event_of(kq, SIGWINCH, EVFILT_SIGNAL);
	ck_assert_int_eq(event.data, 1);
	no_event(kq);
	close_pair(fds);
	close(kq);
}

static void
child_finds_ebadf(void)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;

	CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, &zero) == -1 && errno == EBADF);
	CHILD_CHECK(kevent(kq, NULL, 0, &event, 1, NULL) == -1 && errno == EBADF);
	CHILD_CHECK(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) == EBADF);
	CHILD_CHECK(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL) == EBADF);
}

static void
child_uses_its_own_queue(void)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int own, p[2];

	CHILD_CHECK((own = kqueue()) >= 0 && pipe(p) == 0);
	CHILD_CHECK(change(own, (uintptr_t)p[0], EVFILT_READ, EV_ADD, 0, 0, NULL) == 0);
	CHILD_CHECK(write(p[1], "x", 1) == 1);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_READ);
	close(p[0]);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, &zero) == 0);
	CHILD_CHECK(change(own, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL) == 0);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.filter == EVFILT_TIMER);
	CHILD_CHECK(change(own, SIGWINCH, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL) == 0);
	kill(getpid(), SIGWINCH);
	CHILD_CHECK(kevent(own, NULL, 0, &event, 1, NULL) == 1 && event.data == 1);
	close(p[1]);
	CHILD_CHECK(close(own) == 0);
}

START_TEST(kqueue_child__of_the_system_call_finds_ebadf)
{
	pid_t pid;

	begin();
	if ((pid = bare_fork()) == 0) {
		child_finds_ebadf();
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__of_the_system_call_makes_its_own_queue)
{
	pid_t pid;

	begin();
	if ((pid = bare_fork()) == 0) {
		child_uses_its_own_queue();
		child_finds_ebadf();
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__of_the_system_call_closes_its_own_descriptors_only)
{
	pid_t pid;

	begin();
	if ((pid = bare_fork()) == 0) {
		close(fds[0]);
		dup2(fds[1], fds[0]);
		close(fds[1]);
		close(kq);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__of_the_system_call_closes_everything)
{
	pid_t pid;

	begin();
	if ((pid = bare_fork()) == 0) {
		for (int fd = 3; fd < 5000; fd++)
			close(fd);
		CHILD_CHECK(open_descriptors() == 3);
		child_uses_its_own_queue();
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__of_the_system_call_keeps_no_descriptor_of_ours)
{
	pid_t pid;
	int count = open_descriptors();	/* with what the process itself keeps */

	begin();
	if ((pid = bare_fork()) == 0) {
		struct timespec zero = { 0, 0 };

		CHILD_CHECK(kevent(kq, NULL, 0, NULL, 0, &zero) == -1 && errno == EBADF);
		CHILD_CHECK(open_descriptors() <= count + 2);	/* the pair */
		CHILD_CHECK(fcntl(kq, F_GETFD) == -1);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__signal_in_it_is_not_the_parents)
{
	pid_t pid;

	begin();
	if ((pid = bare_fork()) == 0) {
		kill(getpid(), SIGWINCH);
		_exit(0);
	}
	child_succeeds(pid);
	no_event(kq);
	end();
}
END_TEST

static atomic_bool stop;

static void *
change_and_collect(void *arg)
{
	uintptr_t ident = (uintptr_t)arg;
	struct timespec ts = { 0, 100000 };
	struct kevent event;

	while (!atomic_load(&stop)) {
		change(kq, ident, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL);
		change(kq, ident, EVFILT_TIMER, EV_ADD, NOTE_USECONDS, 100, NULL);
		kevent(kq, NULL, 0, &event, 1, &ts);
		change(kq, ident, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
		free(malloc(100));
		close(kqueue());
	}
	return NULL;
}

START_TEST(kqueue_child__of_the_system_call_while_threads_use_the_queue)
{
	pthread_t thread[8];

	kq = queue();
	for (uintptr_t i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, change_and_collect, (void *)(i + 100)), 0);
	for (int i = 0; i < 200; i++) {
		pid_t pid = bare_fork();

		if (pid == 0) {
			alarm(HARNESS_TIMEOUT / 2);
			child_finds_ebadf();
			child_uses_its_own_queue();
			_exit(0);
		}
		child_succeeds(pid);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	close(kq);
}
END_TEST

START_TEST(kqueue_child__grandchild)
{
	pid_t pid;
	int status;

	begin();
	if ((pid = bare_fork()) == 0) {
		int own = kqueue();
		struct timespec zero = { 0, 0 };

		CHILD_CHECK(own >= 0);
		CHILD_CHECK(change(own, 5, EVFILT_USER, EV_ADD, 0, 0, NULL) == 0);
		if ((pid = bare_fork()) == 0) {
			CHILD_CHECK(kevent(own, NULL, 0, NULL, 0, &zero) == -1 && errno == EBADF);
			child_uses_its_own_queue();
			_exit(0);
		}
		CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHILD_CHECK(change(own, 5, EVFILT_USER, EV_DELETE, 0, 0, NULL) == 0);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* A handler forks while this thread waits, or is anywhere in the library. */

static volatile sig_atomic_t forked, failed, handler_forks;
static volatile pid_t fork_parent;

static void
on_alarm(int signo)
{
	int status;
	pid_t pid;

	(void)signo;
	if (getpid() != fork_parent || !handler_forks)
		return;
	pid = fork();
	if (pid == 0)
		return;
	while (waitpid(pid, &status, 0) == -1)
		;
	failed += status != 0;
	forked++;
}

static int handlers_queue = -1;

/* The handler's child makes a queue before the call that was interrupted goes on. */
static void
on_alarm_with_queue(int signo)
{
	bool parent = getpid() == fork_parent;

	on_alarm(signo);
	if (!parent || getpid() == fork_parent)
		return;
	/* At a number that nobody else closes. */
	CHILD_CHECK((handlers_queue = fcntl(kqueue(), F_DUPFD, 100)) >= 100);
	CHILD_CHECK(change(handlers_queue, 9, EVFILT_USER, EV_ADD, 0, 0, NULL) == 0);
}

static void
use_handlers_queue(void)
{
	struct kevent event;

	if (handlers_queue == -1)
		return;
	CHILD_CHECK(change(handlers_queue, 9, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) == 0);
	CHILD_CHECK(kevent(handlers_queue, NULL, 0, &event, 1, NULL) == 1 && event.ident == 9);
}

static void (*fork_handler)(int) = on_alarm;

/* Until handlers have forked 200 times. */
static void
forks_in_handler(void (*interrupted)(void))
{
	struct itimerval soon = { { 0, 0 }, { 0, 0 } };

	fork_parent = getpid();
	forked = 0;
	handler_forks = 1;
	signal(SIGALRM, fork_handler);
	for (int i = 0; forked < 200; i++) {
		/* One alarm at a time: a slow machine is to get on between them. */
		soon.it_value.tv_usec = 1 + i * 7 % 200;
		setitimer(ITIMER_REAL, &soon, NULL);
		interrupted();
		if (getpid() == fork_parent)
			continue;
		/* The child goes on where its parent was, which may have been about to set the alarm. */
		signal(SIGALRM, SIG_IGN);
		child_uses_its_own_queue();
		use_handlers_queue();
		_exit(0);
	}
	if (getpid() != fork_parent)
		_exit(0);
	handler_forks = 0;
	soon.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	ck_assert_int_eq(failed, 0);
}

static void
call_kevent(void)
{
	struct timespec ts = { 0, 2000000 };
	struct kevent event;
	int error = 0;

	change(kq, 7, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL);
	change(kq, 8, EVFILT_TIMER, EV_ADD, 0, 1000, NULL);
	if (kevent(kq, NULL, 0, &event, 1, &ts) == -1)
		error = errno;
	change(kq, 8, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
	if (getpid() != fork_parent) {
		CHILD_CHECK(error == 0 || error == EINTR || error == EBADF);
		child_finds_ebadf();
	}
}

START_TEST(kqueue_child__fork_in_a_handler)
{
	struct kevent event;

	begin();
	forks_in_handler(call_kevent);
	while (collect(kq, &event, 1, 0) == 1)
		;
	end();
}
END_TEST

/* Numbers close, and come and go for queues, until an alarm has come. */
static void
close_and_duplicate(void)
{
	sigset_t alarm, before;
	int copy, other;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	for (int i = 0; i < 20 && getpid() == fork_parent; i++) {
		sigprocmask(SIG_BLOCK, &alarm, &before);
		other = kqueue();
		copy = dup(fds[0]);
		change(kq, (uintptr_t)copy, EVFILT_READ, EV_ADD, 0, 0, NULL);
		change(other, (uintptr_t)copy, EVFILT_READ, EV_ADD, 0, 0, NULL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		close(copy);
		copy = dup(kq);
		dup2(other, copy);
		close(copy);
		close(other);
	}
}

START_TEST(kqueue_child__fork_in_a_handler_that_interrupts_a_close)
{
	begin();
	forks_in_handler(close_and_duplicate);
	end();
}
END_TEST

START_TEST(kqueue_child__fork_in_a_handler_that_makes_a_queue)
{
	begin();
	fork_handler = on_alarm_with_queue;
	forks_in_handler(close_and_duplicate);
	end();
}
END_TEST

/* Whether the kernel says so of this process and itself. */
static bool
tells_of_sharing(void)
{
	return syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0) == 0;
}

/* What it would close of its parent's is not a copy. */
START_TEST(kqueue_child__that_shares_its_parents_descriptors)
{
	pid_t pid;

	if (THREAD_SANITIZER || !tells_of_sharing())
		return;
	begin();
	if ((pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL)) == 0) {
		struct kevent event;

		_exit(kevent(kq, NULL, 0, &event, 1, &(struct timespec){ 0 }) == -1 && errno == EBADF ? 0 : 1);
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* vfork() and its relatives.  Some systems advise against vfork(); what it does is tested here. */

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

START_TEST(kqueue_child__of_vfork_closes_its_own_descriptors_only)
{
	pid_t pid;

	begin();
	if ((pid = vfork()) == 0) {
		close(fds[0]);
		dup2(fds[1], fds[0]);
		close(kq);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

START_TEST(kqueue_child__of_vfork_closes_a_range)
{
	pid_t pid;

	begin();
	if ((pid = vfork()) == 0) {
		close_range(3, ~0u, 0);
		_exit(0);
	}
	child_succeeds(pid);
	end();
}
END_TEST

/* Whether writing to the first of the pair is at its end, for EVFILT_WRITE. */
static bool
at_end(void)
{
	struct kevent event;

	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	event = event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DISABLE, 0, 0, NULL), 0);
	return (event.flags & EV_EOF) != 0;
}

START_TEST(kqueue_child__of_vfork_closes_what_was_shut_down)
{
	pid_t pid;

	begin();
	ck_assert_int_eq(shutdown(fds[0], SHUT_WR), 0);
	ck_assert(at_end());
	if ((pid = vfork()) == 0) {
		close(fds[0]);
		_exit(0);
	}
	child_succeeds(pid);
	ck_assert(at_end());
	end();
}
END_TEST

/* Another socket, at the same number of its own. */
START_TEST(kqueue_child__of_vfork_shuts_down_what_is_its_own)
{
	int others[2];
	pid_t pid;

	begin();
	pair(PAIR_UNIX, others);
	if ((pid = vfork()) == 0)
		_exit(dup2(others[0], fds[0]) == fds[0] && shutdown(fds[0], SHUT_WR) == 0 ? 0 : 1);
	child_succeeds(pid);
	ck_assert(!at_end());
	close_pair(others);
	end();
}
END_TEST

START_TEST(kqueue_child__of_posix_spawn_closes_its_own_descriptors_only)
{
	extern char **environ;
	char *const argv[] = { (char *)(uintptr_t)"true", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	begin();
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, fds[0]);
	posix_spawn_file_actions_adddup2(&actions, 1, fds[1]);
	posix_spawn_file_actions_addclose(&actions, kq);
	ck_assert_int_eq(posix_spawnp(&pid, "true", &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	child_succeeds(pid);
	end();
}
END_TEST

HARNESS_MAIN("kqueue_child",
    kqueue_child__of_the_system_call_finds_ebadf,
    kqueue_child__of_the_system_call_makes_its_own_queue,
    kqueue_child__of_the_system_call_closes_its_own_descriptors_only,
    kqueue_child__of_the_system_call_closes_everything,
    kqueue_child__of_the_system_call_keeps_no_descriptor_of_ours,
    kqueue_child__of_the_system_call_while_threads_use_the_queue,
    kqueue_child__signal_in_it_is_not_the_parents,
    kqueue_child__grandchild,
    kqueue_child__that_shares_its_parents_descriptors,
    kqueue_child__fork_in_a_handler,
    kqueue_child__fork_in_a_handler_that_interrupts_a_close,
    kqueue_child__fork_in_a_handler_that_makes_a_queue,
    kqueue_child__of_vfork_closes_its_own_descriptors_only,
    kqueue_child__of_vfork_closes_a_range,
    kqueue_child__of_vfork_closes_what_was_shut_down,
    kqueue_child__of_vfork_shuts_down_what_is_its_own,
    kqueue_child__of_posix_spawn_closes_its_own_descriptors_only)
