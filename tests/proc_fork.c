/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: NOTE_FORK and NOTE_EXEC; children that are tracked, in proc_track.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc_fork.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(proc_fork__each_fork)
{
	struct servant s;
	int kq = queue();

	if (!connector_tells(NOTE_FORK))
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

	if (connector_tells(NOTE_FORK)) {
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

	if (connector_tells(NOTE_FORK)) {
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

START_TEST(proc_fork__two_queues)
{
	int kq[2] = { queue(), queue() };
	struct servant s;

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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

	if (!connector_tells(NOTE_FORK))
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
    proc_fork__two_queues,
    proc_fork__waiting_thread_is_told,
    proc_fork__several_registrations_of_one,
    proc_fork__a_thousand_processes)
