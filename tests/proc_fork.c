/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: NOTE_FORK and NOTE_EXEC; children that are tracked, in proc_track.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc.h"
#include "sandbox.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether the kernel tells us of forks. */
static bool
connected(void)
{
	int kq = queue(), error = proc(kq, getpid(), EV_ADD, NOTE_FORK);

	close(kq);
	ck_assert(error == 0 || error == ENOTSUP);
	if (error != 0)
		fprintf(stderr, "skipped: the process connector does not answer here\n");
	return error == 0;
}

static void
watch(int kq, pid_t pid, unsigned int fflags)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, fflags), 0);
}

/* A child of this process that came and went. */
static void
fork_once(void)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		_exit(0);
	reap(pid);
}

static void
check(int kq, pid_t pid, unsigned int fflags, unsigned int flags, int64_t data)
{
	struct kevent event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);

	ck_assert_uint_eq(event.fflags, fflags);
	ck_assert_uint_eq(event.flags, flags);
	ck_assert_int_eq(event.data, data);
	no_event(kq);
}

/* A child that does what it is told, letter by letter: fork, exec, ... */
struct servant {
	pid_t	pid;
	int	talk[2];
};

static void
servant_work(struct servant *s)
{
	char order;

	for (;;) {
		if (read(s->talk[1], &order, 1) != 1)
			_exit(0);
		if (order == 'f')
			fork_once();
		if (order == 'e')
			execl("/bin/sh", "sh", "-c", "echo x >&0; read x; exit 5", (char *)NULL);
		if (order == 'q')
			_exit(7);
		put(s->talk[1], 1);
	}
}

static void
servant_start(struct servant *s)
{
	pair(PAIR_UNIX, s->talk);
	s->pid = fork();
	ck_assert_int_ne(s->pid, -1);
	if (s->pid == 0) {
		close(s->talk[0]);
		dup2(s->talk[1], 0);
		servant_work(s);
	}
}

static void
servant_tell(struct servant *s, char order)
{
	ck_assert_int_eq(write(s->talk[0], &order, 1), 1);
}

/* It says when it is done, which for 'e' the new program does. */
static void
servant_do(struct servant *s, char order)
{
	char line[2];

	servant_tell(s, order);
	ck_assert_int_eq(read(s->talk[0], line, order == 'e' ? 2 : 1), order == 'e' ? 2 : 1);
}

static int
servant_end(struct servant *s)
{
	int status;

	close_pair(s->talk);
	kill(s->pid, SIGKILL);
	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	return status;
}

START_TEST(proc_fork__each_fork)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	watch(kq, s.pid, NOTE_FORK);
	ck_assert(!readable(kq, 0));
	for (int i = 0; i < 3; i++) {
		servant_do(&s, 'f');
		ck_assert(readable(kq, 1000));
		check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
		ck_assert(!readable(kq, 0));
	}
	/* Several are one event. */
	for (int i = 0; i < 3; i++)
		servant_do(&s, 'f');
	check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
	/* Another program is none. */
	servant_do(&s, 'e');
	no_event(kq);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__own_forks)
{
	int kq = queue();

	if (connected()) {
		watch(kq, getpid(), NOTE_FORK);
		no_event(kq);
		fork_once();
		check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
	}
	close(kq);
}
END_TEST

static void *
thread_main(void *arg)
{
	return arg;
}

START_TEST(proc_fork__thread_is_no_fork)
{
	pthread_t thread;
	int kq = queue();

	if (connected()) {
		watch(kq, getpid(), NOTE_FORK);
		for (int i = 0; i < 10; i++) {
			ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, NULL), 0);
			ck_assert_int_eq(pthread_join(thread, NULL), 0);
		}
		ck_assert(!readable(kq, 20));
		no_event(kq);
	}
	close(kq);
}
END_TEST

START_TEST(proc_fork__exec)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	watch(kq, s.pid, NOTE_EXEC);
	servant_do(&s, 'f');
	no_event(kq);
	servant_do(&s, 'e');
	check(kq, s.pid, NOTE_EXEC, EV_CLEAR, 0);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__all_in_one)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	watch(kq, s.pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
	servant_do(&s, 'f');
	servant_do(&s, 'e');
	check(kq, s.pid, NOTE_FORK | NOTE_EXEC, EV_CLEAR, 0);
	servant_tell(&s, '\n');
	check(kq, s.pid, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, W_EXITCODE(5, 0));
	servant_end(&s);

	servant_start(&s);
	watch(kq, s.pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
	servant_do(&s, 'f');
	servant_tell(&s, 'q');
	ck_assert_int_eq(waitid(P_PID, (id_t)s.pid, &(siginfo_t){ .si_pid = 0 },
	    WEXITED | WNOWAIT), 0);
	check(kq, s.pid, NOTE_FORK | NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, W_EXITCODE(7, 0));
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), ENOENT);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__end_not_asked_for)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	watch(kq, s.pid, NOTE_FORK);
	servant_do(&s, 'f');
	servant_tell(&s, 'q');
	reap(s.pid);
	check(kq, s.pid, NOTE_FORK, EV_CLEAR | EV_EOF | EV_ONESHOT, 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), ENOENT);
	close_pair(s.talk);

	servant_start(&s);
	watch(kq, s.pid, NOTE_FORK);
	servant_tell(&s, 'q');
	reap(s.pid);
	ck_assert(!readable(kq, 0) || collect(kq, &(struct kevent){ .flags = 0 }, 1, 0) == 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), ENOENT);
	close_pair(s.talk);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__disabled_keeps_recording)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	ck_assert_int_eq(proc(kq, s.pid, EV_ADD | EV_DISABLE, NOTE_FORK), 0);
	servant_do(&s, 'f');
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(proc(kq, s.pid, EV_ENABLE, 0), 0);
	ck_assert(readable(kq, 0));
	check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
	/* To one only, then it is disabled; then deleted. */
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_ADD | EV_DISPATCH, NOTE_FORK), 0);
	servant_do(&s, 'f');
	check(kq, s.pid, NOTE_FORK, EV_CLEAR | EV_DISPATCH, 0);
	servant_do(&s, 'f');
	no_event(kq);
	ck_assert_int_eq(proc(kq, s.pid, EV_ENABLE, 0), 0);
	check(kq, s.pid, NOTE_FORK, EV_CLEAR | EV_DISPATCH, 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_ADD | EV_ONESHOT, NOTE_FORK), 0);
	servant_do(&s, 'f');
	check(kq, s.pid, NOTE_FORK, EV_CLEAR | EV_ONESHOT, 0);
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), ENOENT);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__notes_asked_for_later)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	watch(kq, s.pid, NOTE_EXIT);
	servant_do(&s, 'f');
	watch(kq, s.pid, NOTE_EXIT | NOTE_FORK);
	no_event(kq);
	servant_do(&s, 'f');
	check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
	ck_assert_int_eq(proc(kq, s.pid, 0, NOTE_EXIT | NOTE_EXEC), 0);
	servant_do(&s, 'f');
	no_event(kq);
	/* What was seen and is not asked for any more is forgotten. */
	servant_do(&s, 'e');
	watch(kq, s.pid, NOTE_EXIT);
	no_event(kq);
	watch(kq, s.pid, NOTE_EXIT | NOTE_EXEC | NOTE_FORK);
	no_event(kq);
	/* Deleted: never. */
	ck_assert_int_eq(proc(kq, s.pid, EV_DELETE, 0), 0);
	servant_tell(&s, '\n');
	reap(s.pid);
	ck_assert(!readable(kq, 20));
	close_pair(s.talk);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__what_was_before_is_no_event)
{
	struct servant s;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	/* A queue that is told of every process. */
	watch(kq, getpid(), NOTE_TRACK);
	servant_do(&s, 'f');
	watch(kq, s.pid, NOTE_FORK);
	no_event(kq);
	servant_do(&s, 'f');
	check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__others_wake_nobody)
{
	struct servant s[2];
	int kq = queue();

	if (!connected())
		goto close;
	for (int i = 0; i < 2; i++)
		servant_start(&s[i]);
	watch(kq, s[0].pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
	for (int i = 0; i < 10; i++) {
		servant_do(&s[1], 'f');
		fork_once();
		ck_assert(!readable(kq, 0));
	}
	servant_do(&s[1], 'e');
	ck_assert(!readable(kq, 0));
	no_event(kq);
	for (int i = 0; i < 2; i++)
		servant_end(&s[i]);
	check(kq, s[0].pid, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, SIGKILL);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__two_queues)
{
	int kq[2] = { queue(), queue() };
	struct servant s;

	if (!connected())
		goto close;
	servant_start(&s);
	for (int i = 0; i < 2; i++)
		watch(kq[i], s.pid, NOTE_FORK);
	servant_do(&s, 'f');
	for (int i = 0; i < 2; i++)
		check(kq[i], s.pid, NOTE_FORK, EV_CLEAR, 0);
	servant_end(&s);
close:
	close(kq[0]);
	close(kq[1]);
}
END_TEST

START_TEST(proc_fork__waiting_thread_is_told)
{
	struct servant s;
	struct waiter w;
	int kq = queue();

	if (!connected())
		goto close;
	servant_start(&s);
	waiter_start(&w, kq, HARNESS_TIMEOUT * 500);
	watch(kq, s.pid, NOTE_FORK);
	servant_tell(&s, 'f');
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.fflags, NOTE_FORK);
	servant_end(&s);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__several_registrations_of_one)
{
	struct kevent events[8];
	int tags[3], kq = queue(), seen = 0;
	struct servant s;

	if (!connected())
		goto close;
	servant_start(&s);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)s.pid, EVFILT_PROC,
		    EV_ADD | EV_UDATA_SPECIFIC, NOTE_FORK, 0, &tags[i]), 0);
	servant_do(&s, 'f');
	ck_assert_int_eq(collect(kq, events, 8, 1000), 3);
	for (int i = 0; i < 3; i++)
		seen |= 1 << ((int *)events[i].udata - tags);
	ck_assert_int_eq(seen, 7);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)s.pid, EVFILT_PROC,
		    EV_DELETE | EV_UDATA_SPECIFIC, 0, 0, &tags[i]), 0);
	servant_do(&s, 'f');
	ck_assert(!readable(kq, 20));
	servant_end(&s);
close:
	close(kq);
}
END_TEST

/* More than the kernel's filter takes by number. */
START_TEST(proc_fork__a_thousand_processes)
{
	enum { N = 1000 };
	static pid_t pid[N];
	static struct kevent events[N];
	int kq = queue(), go[2], got = 0;

	if (!connected())
		goto close;
	pair(PAIR_PIPE, go);
	for (int i = 0; i < N; i++) {
		ck_assert_int_ne(pid[i] = fork(), -1);
		if (pid[i] == 0) {
			close(go[1]);
			(void)!read(go[0], &(char){ 0 }, 1);
			fork_once();
			_exit(i % 256);
		}
		watch(kq, pid[i], NOTE_FORK | NOTE_EXIT);
	}
	close(go[1]);
	while (got < N) {
		int n = collect(kq, events, N, HARNESS_TIMEOUT * 500);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			got += (events[i].fflags & NOTE_EXIT) != 0;
	}
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(reap(pid[i]), W_EXITCODE(i % 256, 0));
	no_event(kq);
	close(go[0]);
close:
	close(kq);
}
END_TEST

START_TEST(proc_fork__fork_child_has_nothing_of_it)
{
	int kq = queue();
	pid_t pid;

	if (!connected())
		goto close;
	watch(kq, getpid(), NOTE_FORK);
	pid = fork();
	if (pid == 0) {
		int own;

		ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_FORK), EBADF);
		own = queue();
		watch(own, getpid(), NOTE_FORK);
		fork_once();
		check(own, getpid(), NOTE_FORK, EV_CLEAR, 0);
		close(own);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
	check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
	/* And it goes on. */
	fork_once();
	check(kq, getpid(), NOTE_FORK, EV_CLEAR, 0);
close:
	close(kq);
}
END_TEST

/* Whether all works for an ordinary user, who is asked by a child. */
START_TEST(proc_fork__ordinary_user)
{
	pid_t pid;

	if (getuid() != 0 || !connected())
		return;		/* then every other test was one */
	pid = fork();
	if (pid == 0) {
		struct servant s;
		int kq;

		if (!become_nobody())
			_exit(1);
		if (!connected())
			_exit(0);
		kq = queue();
		servant_start(&s);
		watch(kq, s.pid, NOTE_FORK | NOTE_EXEC | NOTE_EXIT);
		servant_do(&s, 'f');
		check(kq, s.pid, NOTE_FORK, EV_CLEAR, 0);
		servant_do(&s, 'e');
		check(kq, s.pid, NOTE_EXEC, EV_CLEAR, 0);
		servant_tell(&s, '\n');
		check(kq, s.pid, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, W_EXITCODE(5, 0));
		servant_end(&s);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* In a child with name spaces of its own, of which the connector does not speak. */
static void
check_apart(int spaces)
{
	unsigned int notes[] = { NOTE_FORK, NOTE_EXEC, NOTE_TRACK };
	pid_t pid = fork(), inner;
	int kq;

	ck_assert_int_ne(pid, -1);
	if (pid > 0) {
		ck_assert_int_eq(reap(pid), 0);
		return;
	}
	if (unshare(spaces) == -1) {
		fprintf(stderr, "skipped: unshare(%#x): %s\n", (unsigned)spaces, strerror(errno));
		_exit(0);
	}
	if ((spaces & CLONE_NEWPID) != 0 && (inner = fork()) != 0)
		_exit(inner > 0 && reap(inner) == 0 ? 0 : 1);
	kq = queue();
	inner = fork();
	if (inner == 0) {
		pause();
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(proc(kq, inner, EV_ADD, notes[i]), ENOTSUP);
		ck_assert_int_eq(proc(kq, inner, EV_ADD, NOTE_EXIT | notes[i]), ENOTSUP);
		ck_assert_int_eq(proc(kq, inner, EV_DELETE, 0), ENOENT);
	}
	watch(kq, inner, NOTE_EXIT);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(proc(kq, inner, 0, NOTE_EXIT | notes[i]), ENOTSUP);
	ck_assert_int_eq(kill(inner, SIGKILL), 0);
	check(kq, inner, NOTE_EXIT, EV_CLEAR | EV_EOF | EV_ONESHOT, SIGKILL);
	reap(inner);
	_exit(0);
}

START_TEST(proc_fork__other_name_spaces)
{
	check_apart(CLONE_NEWNET);
	check_apart(CLONE_NEWPID);
	check_apart(CLONE_NEWPID | CLONE_NEWNET);
	check_apart(CLONE_NEWUSER);
	check_apart(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET);
}
END_TEST

START_TEST(proc_fork__nobody_has_that_number)
{
	int kq = queue();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	reap(pid);
	if (connected()) {
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_FORK), ESRCH);
		ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_TRACK), ESRCH);
		ck_assert_int_eq(proc(kq, 0, EV_ADD, NOTE_FORK), ESRCH);
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("proc_fork",
    proc_fork__each_fork,
    proc_fork__own_forks,
    proc_fork__thread_is_no_fork,
    proc_fork__exec,
    proc_fork__all_in_one,
    proc_fork__end_not_asked_for,
    proc_fork__disabled_keeps_recording,
    proc_fork__notes_asked_for_later,
    proc_fork__what_was_before_is_no_event,
    proc_fork__others_wake_nobody,
    proc_fork__two_queues,
    proc_fork__waiting_thread_is_told,
    proc_fork__several_registrations_of_one,
    proc_fork__a_thousand_processes,
    proc_fork__fork_child_has_nothing_of_it,
    proc_fork__ordinary_user,
    proc_fork__other_name_spaces,
    proc_fork__nobody_has_that_number)
