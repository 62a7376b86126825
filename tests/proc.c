/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: the end of children; of other processes, in proc_foreign.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
watch(int kq, pid_t pid)
{
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), 0);
}

/* Whether the process is still registered. */
static bool
there(int kq, pid_t pid)
{
	int error = proc(kq, pid, EV_DISABLE, 0);

	ck_assert(error == 0 || error == ENOENT);
	return error == 0;
}

/* A child that exits at once. */
static pid_t
quitter(int code)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0)
		_exit(code);
	return pid;
}

/* Waits until the child is a zombie, and leaves it so. */
static void
await_zombie(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void
kill_and_reap(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	reap(pid);
}

/* The event of the end of pid, whose status wait(2) then tells as well. */
static void
check_end(int kq, pid_t pid, int status)
{
	told_end(kq, pid, status);
	ck_assert_int_eq(reap(pid), status);
}

START_TEST(proc__exit_status_of_a_child)
{
	int codes[] = { 0, 1, 7, 127, 128, 255 };
	int kq = queue();

	for (int i = 0; i < 6; i++) {
		int go[2];
		pid_t pid;

		pair(PAIR_UNIX, go);
		if ((pid = fork()) == 0) {
			get(go[0], 1);
			_exit(codes[i]);
		}
		watch(kq, pid);
		no_event(kq);
		put(go[1], 1);
		check_end(kq, pid, W_EXITCODE(codes[i], 0));
		close_pair(go);
	}
	close(kq);
}
END_TEST

START_TEST(proc__signal_that_ended_a_child)
{
	int signals[] = { SIGKILL, SIGHUP, SIGPIPE, SIGUSR1 };
	struct rlimit limit;
	int kq = queue();
	pid_t pid;

	for (int i = 0; i < 4; i++) {
		pid = sleeper();
		watch(kq, pid);
		ck_assert_int_eq(kill(pid, signals[i]), 0);
		check_end(kq, pid, signals[i]);
	}
	/* With or without a core: as wait(2) says. */
	ck_assert_int_eq(chdir(scratch_dir()), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
	for (int i = 0; i < 2; i++) {
		limit.rlim_cur = i == 0 ? limit.rlim_max : 0;
		ck_assert_int_eq(setrlimit(RLIMIT_CORE, &limit), 0);
		pid = sleeper();
		watch(kq, pid);
		ck_assert_int_eq(kill(pid, SIGQUIT), 0);
		await_zombie(pid);
		ck_assert_int_eq(event_of(kq, (uintptr_t)pid, EVFILT_PROC).data, reap(pid));
	}
	ck_assert_int_eq(chdir("/"), 0);
	close(kq);
}
END_TEST

START_TEST(proc__stopping_is_no_end)
{
	int kq = queue(), status;
	pid_t pid = sleeper();

	watch(kq, pid);
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	ck_assert(!readable(kq, 0));
	no_event(kq);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(waitpid(pid, &status, WCONTINUED), pid);
	no_event(kq);
	ck_assert(there(kq, pid));
	ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	/* It may end while it is stopped. */
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	check_end(kq, pid, SIGKILL);
	close(kq);
}
END_TEST

START_TEST(proc__exec_is_no_end)
{
	int kq = queue();
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exec sleep 1000", (char *)NULL);
		_exit(1);
	}
	watch(kq, pid);
	nap(50);
	no_event(kq);
	ck_assert_int_eq(kill(pid, SIGUSR2), 0);
	check_end(kq, pid, SIGUSR2);
	close(kq);
}
END_TEST

START_TEST(proc__zombie_fires_at_once)
{
	pid_t pid = quitter(3);
	struct kevent event;
	int kq = queue();

	await_zombie(pid);
	watch(kq, pid);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
	ck_assert_int_eq(event.data, W_EXITCODE(3, 0));
	no_event(kq);
	/* Again, for as long as it is one. */
	watch(kq, pid);
	check_end(kq, pid, W_EXITCODE(3, 0));
	close(kq);
}
END_TEST

START_TEST(proc__nobody_has_that_number)
{
	pid_t pid = quitter(0);
	int kq = queue();

	reap(pid);
	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT), ESRCH);
	ck_assert_int_eq(proc(kq, 0, EV_ADD, NOTE_EXIT), ESRCH);
	ck_assert_int_eq(proc(kq, -1, EV_ADD, NOTE_EXIT), ESRCH);
	ck_assert_int_eq(proc(kq, INTMAX_MIN, EV_ADD, NOTE_EXIT), ESRCH);
	ck_assert_int_eq(proc(kq, (intmax_t)INT32_MAX, EV_ADD, NOTE_EXIT), ESRCH);
#if UINTPTR_MAX > UINT32_MAX
	/* What is our own number in the lower bits is not our own number. */
	ck_assert_int_eq(proc(kq, INTMAX_C(0x100000000) + getpid(), EV_ADD, NOTE_EXIT), ESRCH);
#endif
	ck_assert_int_eq(proc(kq, getpid(), EV_DELETE, NOTE_EXIT), ENOENT);
	ck_assert_int_eq(proc(kq, getpid(), EV_ENABLE, NOTE_EXIT), ENOENT);
	close(kq);
}
END_TEST

static void *
thread_main(void *arg)
{
	int *pipes = arg;
	pid_t tid = (pid_t)syscall(SYS_gettid);

	ck_assert_int_eq(write(pipes[1], &tid, sizeof(tid)), sizeof(tid));
	get(pipes[2], 1);
	return NULL;
}

START_TEST(proc__thread_is_no_process)
{
	int pipes[4], kq = queue();
	pthread_t thread;
	pid_t tid;

	pair(PAIR_PIPE, pipes);
	pair(PAIR_PIPE, pipes + 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, pipes), 0);
	ck_assert_int_eq(read(pipes[0], &tid, sizeof(tid)), sizeof(tid));
	ck_assert_int_ne(tid, getpid());
	ck_assert_int_eq(proc(kq, tid, EV_ADD, NOTE_EXIT), ESRCH);
	put(pipes[3], 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close_pair(pipes);
	close_pair(pipes + 2);
	close(kq);
}
END_TEST

static void *
thread_that_ends_the_process(void *arg)
{
	get(*(int *)arg, 1);
	_exit(9);
}

START_TEST(proc__process_ends_with_its_last_thread)
{
	int go[2], kq = queue();
	pid_t pid;

	pair(PAIR_PIPE, go);
	if ((pid = fork()) == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, thread_that_ends_the_process, &go[0]) != 0)
			_exit(1);
		/* The first thread alone: pthread_exit() would unwind the test, too. */
		syscall(SYS_exit, 5);
	}
	watch(kq, pid);
	await_state(pid, 'Z');
	no_event(kq);
	put(go[1], 1);
	check_end(kq, pid, W_EXITCODE(9, 0));
	close_pair(go);
	close(kq);
}
END_TEST

START_TEST(proc__two_queues_hear_of_one_end)
{
	int kq[2] = { queue(), queue() };
	pid_t pid = sleeper();

	for (int i = 0; i < 2; i++)
		watch(kq[i], pid);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(event_of(kq[0], (uintptr_t)pid, EVFILT_PROC).data, SIGKILL);
	check_end(kq[1], pid, SIGKILL);
	for (int i = 0; i < 2; i++)
		close(kq[i]);
}
END_TEST

START_TEST(proc__deleted_never_fires)
{
	int kq = queue();
	pid_t pid = sleeper();

	watch(kq, pid);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), 0);
	/* And when it has ended, but was not collected. */
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	await_zombie(pid);
	ck_assert(!readable(kq, 0));
	no_event(kq);
	watch(kq, pid);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), 0);
	no_event(kq);
	reap(pid);
	close(kq);
}
END_TEST

START_TEST(proc__disabled_keeps_the_end_for_enable)
{
	int kq = queue();
	pid_t pid = sleeper();

	watch(kq, pid);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(proc(kq, pid, EV_DISABLE, 0), 0);
		ck_assert_int_eq(proc(kq, pid, EV_DISABLE, 0), 0);
		ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
		ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	}
	ck_assert_int_eq(proc(kq, pid, EV_DISABLE, 0), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	await_zombie(pid);
	ck_assert(!readable(kq, 20));
	no_event(kq);
	/* Adding again does not enable. */
	watch(kq, pid);
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	ck_assert(readable(kq, 0));
	check_end(kq, pid, SIGKILL);
	close(kq);
}
END_TEST

START_TEST(proc__created_disabled_waits_for_enable)
{
	int kq = queue();
	pid_t pid = quitter(4);

	await_zombie(pid);
	ck_assert_int_eq(proc(kq, pid, EV_ADD | EV_DISABLE, NOTE_EXIT), 0);
	ck_assert(!readable(kq, 20));
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_ENABLE, 0), 0);
	check_end(kq, pid, W_EXITCODE(4, 0));
	close(kq);
}
END_TEST

START_TEST(proc__exitstatus_is_accepted)
{
	int kq = queue();
	pid_t pid = quitter(5);
	struct kevent event;

	ck_assert_int_eq(proc(kq, pid, EV_ADD, NOTE_EXIT | NOTE_EXITSTATUS), 0);
	event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT | NOTE_EXITSTATUS);
	ck_assert_int_eq(event.data, W_EXITCODE(5, 0));
	ck_assert_int_eq(reap(pid), W_EXITCODE(5, 0));
	close(kq);
}
END_TEST

START_TEST(proc__bits_that_mean_nothing_are_ignored)
{
	int kq = queue();

	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_EXIT | 0x00f00ff8u), 0);
	ck_assert(there(kq, getpid()));
	close(kq);
}
END_TEST

START_TEST(proc__without_exit_goes_away_in_silence)
{
	int kq = queue();
	pid_t pid = sleeper(), other = sleeper();

	ck_assert_int_eq(proc(kq, pid, EV_ADD, 0), 0);
	ck_assert_int_eq(proc(kq, other, EV_ADD, 0), 0);
	/* Asked for later. */
	ck_assert_int_eq(proc(kq, other, 0, NOTE_EXIT), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	await_zombie(pid);
	no_event(kq);
	ck_assert(!there(kq, pid));
	ck_assert_int_eq(proc(kq, pid, EV_ADD, 0), ESRCH);
	reap(pid);
	ck_assert_int_eq(kill(other, SIGKILL), 0);
	check_end(kq, other, SIGKILL);
	close(kq);
}
END_TEST

START_TEST(proc__reaped_before_it_was_collected)
{
	int kq = queue();
	pid_t pid = sleeper();
	struct kevent event;

	watch(kq, pid);
	kill_and_reap(pid);
	event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);
	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	/* 0 where only the parent could have said. */
	ck_assert(event.data == SIGKILL || event.data == 0);
	ck_assert(!there(kq, pid));
	close(kq);
}
END_TEST

START_TEST(proc__child_that_nobody_waits_for)
{
	int kq = queue();
	pid_t pid;

	ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	pid = sleeper();
	watch(kq, pid);
	ck_assert_int_eq(kill(pid, SIGUSR2), 0);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)pid, EVFILT_PROC).fflags, NOTE_EXIT);
	ck_assert(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
	close(kq);
}
END_TEST

static volatile sig_atomic_t children;

static void
on_sigchld(int signo)
{
	(void)signo;
	children++;
}

START_TEST(proc__sigchld_is_the_programs)
{
	struct sigaction mine = { .sa_handler = on_sigchld }, found;
	int kq = queue();
	pid_t pid;

	ck_assert_int_eq(sigaction(SIGCHLD, &mine, NULL), 0);
	pid = sleeper();
	watch(kq, pid);
	ck_assert_int_eq(sigaction(SIGCHLD, NULL, &found), 0);
	ck_assert(found.sa_handler == on_sigchld);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	check_end(kq, pid, SIGKILL);
	ck_assert_int_eq(children, 1);
	close(kq);
}
END_TEST

START_TEST(proc__waiting_thread_is_told)
{
	int kq = queue();
	pid_t pid = sleeper();
	struct waiter w;

	waiter_start(&w, kq, HARNESS_TIMEOUT * 500);
	watch(kq, pid);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.data, SIGKILL);
	reap(pid);
	close(kq);
}
END_TEST

#define MANY 300

START_TEST(proc__many_processes_at_once)
{
	static pid_t pids[MANY];
	struct kevent event;
	int kq = queue(), before = open_descriptors();

	for (int i = 0; i < MANY; i++) {
		pids[i] = sleeper();
		watch(kq, pids[i]);
	}
	ck_assert_int_le(open_descriptors(), before + MANY);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(kill(pids[i], i % 2 == 0 ? SIGUSR2 : SIGKILL), 0);
	for (int got = 0; got < MANY; got++) {
		int i = 0;

		ck_assert_int_eq(collect(kq, &event, 1, HARNESS_TIMEOUT * 500), 1);
		while (i < MANY && (uintptr_t)pids[i] != event.ident)
			i++;
		ck_assert_int_lt(i, MANY);
		ck_assert_int_eq(event.data, i % 2 == 0 ? SIGUSR2 : SIGKILL);
		ck_assert_int_eq(reap(pids[i]), event.data);
		pids[i] = 0;
	}
	no_event(kq);
	ck_assert_int_eq(open_descriptors(), before);
	close(kq);
}
END_TEST

/*
 * More ends than one are told by a call, each as it is, whatever becomes of the others: some are watched twice,
 * some are reaped, disabled or deleted before they are told, and some nobody asked for.
 */
START_TEST(proc__many_ends_in_one_call)
{
	static struct kevent events[2 * MANY];
	static int seen[MANY], gate[2];
	static pid_t pids[MANY];
	int kq = queue(), before = open_descriptors(), expected = 0, got;
	char byte;

	pair(PAIR_UNIX, gate);
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_ne(pids[i] = fork(), -1);
		if (pids[i] == 0) {
			close(gate[1]);
			_exit(read(gate[0], &byte, 1) == 0 ? i & 0xff : 1);
		}
		ck_assert_int_eq(proc(kq, pids[i], EV_ADD, i % 7 == 1 ? 0 : NOTE_EXIT), 0);
		if (i % 7 == 2)
			ck_assert_int_eq(change(kq, (uintptr_t)pids[i], EVFILT_PROC, EV_ADD | EV_UDATA_SPECIFIC,
			    NOTE_EXIT, 0, &pids[i]), 0);
		if (i % 7 == 3)
			ck_assert_int_eq(proc(kq, pids[i], EV_DISABLE, 0), 0);
	}
	close_pair(gate);
	for (int i = 0; i < MANY; i++) {
		await_zombie(pids[i]);
		if (i % 7 == 4)
			reap(pids[i]);
		if (i % 7 == 5)
			ck_assert_int_eq(proc(kq, pids[i], EV_DELETE, 0), 0);
		expected += i % 7 == 2 ? 2 : i % 7 != 1 && i % 7 != 3 && i % 7 != 5;
	}
	got = collect(kq, events, 2 * MANY, 0);
	ck_assert_int_eq(got, expected);
	for (int n = 0, i; n < got; n++) {
		for (i = 0; i < MANY && (uintptr_t)pids[i] != events[n].ident; i++)
			;
		ck_assert_int_lt(i, MANY);
		seen[i]++;
		ck_assert_uint_eq(events[n].fflags, NOTE_EXIT);
		if (i % 7 != 4 || events[n].data != 0)
			ck_assert_int_eq(events[n].data, W_EXITCODE(i & 0xff, 0));
	}
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(seen[i], i % 7 == 2 ? 2 : i % 7 == 1 || i % 7 == 3 || i % 7 == 5 ? 0 : 1);
		if (i % 7 == 3) {
			ck_assert_int_eq(proc(kq, pids[i], EV_ENABLE, 0), 0);
			told_end(kq, pids[i], W_EXITCODE(i & 0xff, 0));
		}
		ck_assert(!there(kq, pids[i]));
		if (i % 7 != 4)
			reap(pids[i]);
	}
	no_event(kq);
	ck_assert_int_eq(open_descriptors(), before);
	close(kq);
}
END_TEST

HARNESS_MAIN("proc",
    proc__exit_status_of_a_child,
    proc__signal_that_ended_a_child,
    proc__stopping_is_no_end,
    proc__exec_is_no_end,
    proc__zombie_fires_at_once,
    proc__nobody_has_that_number,
    proc__thread_is_no_process,
    proc__process_ends_with_its_last_thread,
    proc__two_queues_hear_of_one_end,
    proc__deleted_never_fires,
    proc__disabled_keeps_the_end_for_enable,
    proc__created_disabled_waits_for_enable,
    proc__exitstatus_is_accepted,
    proc__bits_that_mean_nothing_are_ignored,
    proc__without_exit_goes_away_in_silence,
    proc__reaped_before_it_was_collected,
    proc__child_that_nobody_waits_for,
    proc__sigchld_is_the_programs,
    proc__waiting_thread_is_told,
    proc__many_processes_at_once,
    proc__many_ends_in_one_call)
