/* SPDX-License-Identifier: BSD-2-Clause */
/* What is executed inherits no descriptor of the library's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES 4096

static int inner;

/* One registration with each filter that works here; which do not, other tests tell. */
static int
use_every_filter(int fds[2])
{
	int kq = queue();

	inner = queue();
	pair(PAIR_TCP, fds);
	change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL);
	change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL);
	change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ADD, NOTE_OOB, 0, NULL);
	change(kq, (uintptr_t)fds[0], EVFILT_EMPTY, EV_ADD, 0, 0, NULL);
	change(kq, (uintptr_t)inner, EVFILT_READ, EV_ADD, 0, 0, NULL);
	change(kq, (uintptr_t)fds[1], EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL);
	change(kq, (uintptr_t)getppid(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
	change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_EXIT | NOTE_FORK | NOTE_TRACK, 0, NULL);
	change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
	change(kq, 1, EVFILT_TIMER, EV_ADD, 0, 1000, NULL);
	change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME, 1000, NULL);
	change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL);
	change(kq, 0, EVFILT_FS, EV_ADD, 0, 0, NULL);
	change(kq, 1, EVFILT_NETDEV, EV_ADD, NOTE_LINKUP, 0, NULL);
	change(kq, 0, EVFILT_MEMORYSTATUS, EV_ADD, NOTE_MEMORYSTATUS_PRESSURE_WARN, 0, NULL);
	return kq;
}

/* How many descriptors a program that is executed now has, of its own and others. */
static int
inherited(void)
{
	char line[LINES];
	int fds[2], n = 0;
	FILE *list;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		execl("/bin/ls", "ls", "/proc/self/fd", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	list = fdopen(fds[0], "r");
	while (fgets(line, sizeof(line), list) != NULL)
		n++;
	fclose(list);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return n;
}

/* The same, executed by this process itself, which has the queue: its exit code. */
static int
listed_by_ourselves(void)
{
	int fds[2], status;
	pid_t pid = fork();

	if (pid == 0) {
		use_every_filter(fds);
		close_pair(fds);
		execl("/bin/sh", "sh", "-c", "set -- /proc/self/fd/*; exit $#", (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
listed_by_others(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "set -- /proc/self/fd/*; exit $#", (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(exec__inherits_no_descriptor_of_a_parent_s)
{
	int before = inherited(), fds[2], kq;

	ck_assert_int_ge(before, 3);
	kq = use_every_filter(fds);
	/* The pair, which is the program's. */
	ck_assert_int_eq(inherited(), before + 2);
	close_pair(fds);
	close(kq);
	close(inner);
}
END_TEST

START_TEST(exec__replaced_program_leaves_none)
{
	ck_assert_int_eq(listed_by_ourselves(), listed_by_others());
}
END_TEST

HARNESS_MAIN("exec",
    exec__inherits_no_descriptor_of_a_parent_s,
    exec__replaced_program_leaves_none)
