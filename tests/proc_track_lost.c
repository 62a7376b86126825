/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_PROC: NOTE_TRACK when something goes wrong: what cannot be tracked or is lost, and numbers that come again. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc_track.h"
#include "sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(proc_track_lost__failure_is_told)
{
	struct rlimit few, before;
	int go[2], kq = queue();
	pid_t pid;

	if (!connector_tells(NOTE_TRACK))
		goto close;
	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 0;
	pid = child(go[0], 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	check(kq, getpid(), NOTE_TRACKERR, EV_CLEAR, 0);
	no_event(kq);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), ENOENT);
	put(go[1], 1);
	reap(pid);
	no_event(kq);
	/* And it goes on. */
	pid = child(go[0], 0);
	check(kq, pid, NOTE_CHILD, EV_CLEAR, getpid());
	put(go[1], 1);
	reap(pid);
	no_event(kq);
	close_pair(go);
close:
	close(kq);
}
END_TEST

/* The kernel could not keep all that happened. */
static void
check_overrun(int n)
{
	int kq = queue(), go[2], births = 0, errors = 0, got;
	struct kevent events[64];
	pid_t first, last, shell;
	char loop[80];

	pair(PAIR_UNIX, go);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	first = child(go[0], 1);
	/* By a shell, which forks fast with a sanitizer, too. */
	snprintf(loop, sizeof(loop), "i=0; while [ $i -lt %d ]; do (:); i=$((i+1)); done", n);
	ck_assert_int_ne(shell = fork(), -1);
	if (shell == 0) {
		execl("/bin/sh", "sh", "-c", loop, (char *)NULL);
		_exit(1);
	}
	ck_assert_int_eq(reap(shell), 0);
	/* Only /proc can tell of this one. */
	last = child(go[0], 1);
	for (int i = 0; (births & 3) != 3 && i < 100000; i++) {
		got = collect(kq, events, 64, 5000);
		ck_assert_int_gt(got, 0);
		for (int j = 0; j < got; j++) {
			errors += (events[j].fflags & NOTE_TRACKERR) != 0;
			if (events[j].fflags == NOTE_CHILD && events[j].ident == (uintptr_t)first)
				births |= 1;
			if (events[j].fflags == NOTE_CHILD && events[j].ident == (uintptr_t)last)
				births |= 2;
		}
	}
	while ((got = collect(kq, events, 64, 0)) > 0)
		for (int j = 0; j < got; j++)
			errors += (events[j].fflags & NOTE_TRACKERR) != 0;
	ck_assert_int_gt(errors, 0);
	put(go[1], 2);
	for (int ends = 0; ends < 2;) {
		got = collect(kq, events, 64, 5000);
		ck_assert_int_gt(got, 0);
		for (int j = 0; j < got; j++)
			if (events[j].fflags == NOTE_EXIT) {
				ck_assert_int_eq(events[j].data, W_EXITCODE(1, 0));
				ck_assert_uint_ne(events[j].ident, (uintptr_t)shell);
				ends++;
			}
	}
	reap(first);
	reap(last);
	no_event(kq);
	close_pair(go);
	close(kq);
}

/* The socket of an ordinary user is small, where the system's limit is. */
START_TEST(proc_track_lost__overrun_is_told)
{
	FILE *limit = fopen("/proc/sys/net/core/rmem_max", "r");
	long size = 0;
	pid_t pid;

	ck_assert(limit != NULL && fscanf(limit, "%ld", &size) == 1);
	fclose(limit);
	if (!connector_tells(NOTE_TRACK))
		return;
	if (size > 8 << 20)
		size = 8 << 20;
	pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && !become_nobody())
			_exit(1);
		/* A message takes more than 600 bytes of twice the size, and a child makes two. */
		if (connector_tells(NOTE_TRACK))
			check_overrun((int)(size * 2 / 600 / 2));
		_exit(0);
	}
	ck_assert_int_eq(reap(pid), 0);
}
END_TEST

/* Has the next process that is made get this number; false if it cannot be done. */
static bool
next_pid(pid_t pid)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", (int)pid - 1);
	bool done = fd >= 0 && write(fd, text, (size_t)n) == n;

	if (fd >= 0)
		close(fd);
	if (!done)
		fprintf(stderr, "skipped: process numbers cannot be chosen here\n");
	return done;
}

/* The number of a tracked child that ended comes again, to a stranger and to a tracked child. */
static void
check_reuse(bool tracked)
{
	int go[2], halt[2], kq = queue(), parents = 0, ends = 0, n;
	struct kevent events[16];
	pid_t pid, other, again = -1;

	pair(PAIR_UNIX, go);
	pair(PAIR_UNIX, halt);
	other = child(halt[0], 0);
	ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_TRACK | NOTE_EXIT), 0);
	if ((pid = fork()) == 0)
		_exit(7);
	reap(pid);
	if (!tracked)
		ck_assert_int_eq(proc(kq, getpid(), EV_ADD, NOTE_EXIT), 0);
	for (int tries = 0; again != pid && tries < 50; tries++) {
		if (!next_pid(pid))
			goto end;
		again = child(go[0], 8);
		if (again != pid) {
			put(go[1], 1);
			reap(again);
		}
	}
	for (int i = 0; i < 200 && (n = collect(kq, events, 16, 50)) > 0; i++)
		for (int j = 0; j < n; j++) {
			if (events[j].ident != (uintptr_t)pid)
				continue;
			parents += events[j].fflags == NOTE_CHILD;
			ends += events[j].fflags == NOTE_EXIT;
			if (events[j].fflags == NOTE_EXIT)
				ck_assert_int_eq(events[j].data, W_EXITCODE(7, 0));
		}
	if (again == pid) {
		ck_assert_int_eq(parents, tracked ? 2 : 1);
		ck_assert_int_eq(ends, 1);
		put(go[1], 1);
		if (tracked)
			check(kq, pid, NOTE_EXIT, END, W_EXITCODE(8, 0));
		reap(again);
	}
end:
	no_event(kq);
	put(halt[1], 1);
	reap(other);
	close_pair(halt);
	close_pair(go);
	close(kq);
}

START_TEST(proc_track_lost__number_comes_again)
{
	if (connector_tells(NOTE_TRACK)) {
		check_reuse(true);
		check_reuse(false);
	}
}
END_TEST

HARNESS_MAIN("proc_track_lost",
    proc_track_lost__failure_is_told,
    proc_track_lost__overrun_is_told,
    proc_track_lost__number_comes_again)
