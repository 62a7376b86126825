/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: NOTE_TRACK, NOTE_CHILD and NOTE_TRACKERR. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc_track.h"
#include "sandbox.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(proc_track__child_and_its_end)
{
	int go[2], tag, kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	ck_assert_int_eq(change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD,
	    NOTE_TRACK | NOTE_EXIT, 0, &tag), 0);
	pid = child(go[0], 3);
	ck_assert(readable(kq, 1000));
	ck_assert_ptr_eq(check(kq, pid, NOTE_CHILD, EV_CLEAR, getpid()).udata, &tag);
	no_event(kq);
	put(go[1], 1);
	ck_assert_ptr_eq(check(kq, pid, NOTE_EXIT, END, W_EXITCODE(3, 0)).udata, &tag);
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), ENOENT);
	ck_assert_int_eq(reap(pid), W_EXITCODE(3, 0));
	close_pair(go);
close:
	close(kq);
}
END_TEST

/* Both are there before anybody looks. */
START_TEST(proc_track__ended_before_it_was_seen)
{
	int kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_FORK | NOTE_EXIT), 0);
	if ((pid = fork()) == 0)
		_exit(9);
	reap(pid);
	for (int seen = 0; seen != 3;) {
		struct kevent events[4];
		int n = collect(kq, events, 4, 1000);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			if (events[i].ident == (uintptr_t)getpid()) {
				ck_assert_uint_eq(events[i].fflags, NOTE_FORK);
			} else if (events[i].fflags == NOTE_CHILD) {
				ck_assert_int_eq(seen, 0);
				ck_assert_int_eq(events[i].data, getpid());
				seen |= 1;
			} else {
				ck_assert_int_eq(seen, 1);
				ck_assert_uint_eq(events[i].fflags, NOTE_EXIT);
				ck_assert_int_eq(events[i].data, W_EXITCODE(9, 0));
				seen |= 2;
			}
	}
	no_event(kq);
close:
	close(kq);
}
END_TEST

START_TEST(proc_track__only_what_was_asked_for)
{
	int go[2], kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXEC), 0);
	pid = fork();
	if (pid == 0) {
		get(go[0], 1);
		if (fork() == 0)
			execl("/bin/true", "true", (char *)NULL);
		wait(NULL);
		put(go[0], 1);
		pause();
	}
	check(kq, pid, NOTE_CHILD, EV_CLEAR, getpid());
	no_event(kq);
	put(go[1], 1);
	/* Its child: is there, becomes another program, and goes without a word. */
	for (int seen = 0; seen != 3;) {
		struct kevent event;

		ck_assert_int_eq(collect(kq, &event, 1, 1000), 1);
		ck_assert_uint_ne(event.ident, (uintptr_t)pid);
		if (event.fflags == NOTE_CHILD)
			ck_assert_int_eq(event.data, pid);
		else
			ck_assert_uint_eq(event.fflags, NOTE_EXEC);
		seen |= event.fflags == NOTE_CHILD ? 1 : 2;
	}
	get(go[1], 1);
	no_event(kq);
	kill(pid, SIGKILL);
	reap(pid);
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), ENOENT);
	close_pair(go);
close:
	close(kq);
}
END_TEST

/* Generations of a family: each forks the next and goes, before anybody looks. */
static void
check_generations(int n)
{
	static pid_t next_parent;
	static bool ended[4 * 1024 * 1024];
	pid_t pid, last = getpid();
	int kq = queue(), births = 0, ends = 0, talk[2];
	struct kevent events[7];

	memset(ended, 0, sizeof(ended));
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	pair(PAIR_PIPE, talk);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	next_parent = last;
	if ((pid = fork()) == 0) {
		for (int i = 1; i < n; i++)
			if (fork() != 0)
				_exit(i);
		_exit(n);
	}
	close(talk[1]);
	/* Until none has the pipe any more; all have been reaped by then, or will be. */
	ck_assert_int_eq(read(talk[0], &(char){ 0 }, 1), 0);
	close(talk[0]);
	while (ends < n) {
		int got = collect(kq, events, 7, 5000);

		ck_assert_msg(got > 0, "%d born, %d ended", births, ends);
		for (int i = 0; i < got; i++) {
			pid = (pid_t)events[i].ident;
			if (events[i].fflags == NOTE_CHILD) {
				ck_assert_int_eq(events[i].data, next_parent);
				next_parent = pid;
				births++;
			} else {
				ck_assert_uint_eq(events[i].fflags, NOTE_EXIT);
				ck_assert(!ended[pid]);
				ended[pid] = true;
				ck_assert(WIFEXITED(events[i].data));
				ck_assert_int_ge(WEXITSTATUS(events[i].data), 1);
				ends++;
			}
		}
	}
	ck_assert_int_eq(births, n);
	while (wait(NULL) > 0)
		;
	no_event(kq);
	close(kq);
}

START_TEST(proc_track__hundred_generations)
{
	if (connector_tells(NOTE_TRACK))
		check_generations(100);
}
END_TEST

/* Reaped by the time anybody looks, since nobody waits for them. */
START_TEST(proc_track__generations_that_leave_nothing)
{
	ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	if (connector_tells(NOTE_TRACK))
		check_generations(100);
}
END_TEST

START_TEST(proc_track__ordinary_user)
{
	pid_t pid;

	if (getuid() != 0 || !connector_tells(NOTE_TRACK))
		return;
	pid = fork();
	if (pid == 0) {
		if (!become_nobody())
			_exit(1);
		if (connector_tells(NOTE_TRACK))
			check_generations(100);
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* Collects births for so long; how many. */
static int
collect_births(int kq, struct kevent *events, int n, int ms)
{
	n = collect(kq, events, n, ms);
	for (int i = 0; i < n; i++)
		ck_assert_uint_eq(events[i].fflags, NOTE_CHILD);
	return n;
}

START_TEST(proc_track__a_thousand_at_once)
{
	enum { N = 1000 };
	static pid_t pid[N];
	static struct kevent events[N];
	int go[2], births = 0, ends = 0, kq = queue();

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_PIPE, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	for (int i = 0; i < N; i++) {
		ck_assert_int_ne(pid[i] = fork(), -1);
		if (pid[i] == 0) {
			close(go[1]);
			_exit(read(go[0], &(char){ 0 }, 1) == 0 ? i % 256 : 255);
		}
		/* Now and then, lest a busy machine overrun us. */
		if (i % 16 == 0)
			births += collect_births(kq, events, N, 0);
	}
	for (int n; births < N; births += n) {
		n = collect_births(kq, events, N, 5000);
		ck_assert_int_gt(n, 0);
	}
	close(go[1]);
	while (ends < N) {
		int n = collect(kq, events, N, 5000);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			ck_assert_uint_eq(events[i].fflags, NOTE_EXIT);
			for (int j = 0; j < N; j++)
				if ((uintptr_t)pid[j] == events[i].ident)
					ck_assert_int_eq(events[i].data, W_EXITCODE(j % 256, 0));
		}
		ends += n;
	}
	for (int i = 0; i < N; i++)
		reap(pid[i]);
	no_event(kq);
	close(go[0]);
close:
	close(kq);
}
END_TEST

/* Another's children are another's. */
START_TEST(proc_track__strangers_are_no_event)
{
	int go[2], kq = queue();
	pid_t pid, other;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	other = child(go[0], 0);
	ck_assert_int_eq(proc(kq, other, EV_ADD, NOTE_TRACK | NOTE_EXIT | NOTE_FORK), 0);
	for (int i = 0; i < 20; i++) {
		if ((pid = fork()) == 0)
			_exit(0);
		reap(pid);
	}
	no_event(kq);
	put(go[1], 1);
	check(kq, other, NOTE_EXIT, END, 0);
	reap(other);
	close_pair(go);
close:
	close(kq);
}
END_TEST

static void *
thread_that_ends_the_process(void *arg)
{
	get(*(int *)arg, 1);
	_exit(6);
}

static void *
thread_that_execs(void *arg)
{
	get(*(int *)arg, 1);
	execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
	_exit(1);
}

/* The first thread of a tracked child goes, the process stays. */
static void
check_first_thread(void *(*main)(void *))
{
	int go[2], kq = queue();
	pthread_t thread;
	pid_t pid;

	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	if ((pid = fork()) == 0) {
		if (pthread_create(&thread, NULL, main, &go[0]) != 0)
			_exit(1);
		syscall(SYS_exit, 5);
	}
	check(kq, pid, NOTE_CHILD, EV_CLEAR, getpid());
	await_state(pid, 'Z');
	no_event(kq);
	put(go[1], 1);
	check(kq, pid, NOTE_EXIT, END, W_EXITCODE(6, 0));
	ck_assert_int_eq(reap(pid), W_EXITCODE(6, 0));
	close_pair(go);
	close(kq);
}

START_TEST(proc_track__ends_with_its_last_thread)
{
	if (connector_tells(NOTE_TRACK))
		check_first_thread(thread_that_ends_the_process);
}
END_TEST

START_TEST(proc_track__another_thread_execs)
{
	if (connector_tells(NOTE_TRACK))
		check_first_thread(thread_that_execs);
}
END_TEST

START_TEST(proc_track__notes_can_be_changed)
{
	int go[2], kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_EXIT), 0);
	ck_assert_int_eq(proc(kq, getpid(), 0, NOTE_EXIT | NOTE_TRACK), 0);
	pid = child(go[0], 2);
	check(kq, pid, NOTE_CHILD, EV_CLEAR, getpid());
	/* The parent is not tracked any more, the child still is. */
	ck_assert_int_eq(proc(kq, getpid(), EV_DELETE, 0), 0);
	ck_assert_int_eq(proc(kq, pid, EV_DISABLE, 0), 0);
	put(go[1], 1);
	reap(pid);
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	check(kq, pid, NOTE_EXIT, END, W_EXITCODE(2, 0));
	no_event(kq);
	close_pair(go);
close:
	close(kq);
}
END_TEST

START_TEST(proc_track__deleted_child)
{
	int go[2], kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	pid = child(go[0], 2);
	/* Before its NOTE_CHILD was collected. */
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), 0);
	no_event(kq);
	put(go[1], 1);
	reap(pid);
	no_event(kq);
	close_pair(go);
close:
	close(kq);
}
END_TEST

HARNESS_MAIN("proc_track",
    proc_track__child_and_its_end,
    proc_track__ended_before_it_was_seen,
    proc_track__only_what_was_asked_for,
    proc_track__hundred_generations,
    proc_track__generations_that_leave_nothing,
    proc_track__ordinary_user,
    proc_track__a_thousand_at_once,
    proc_track__strangers_are_no_event,
    proc_track__ends_with_its_last_thread,
    proc_track__another_thread_execs,
    proc_track__notes_can_be_changed,
    proc_track__deleted_child)
