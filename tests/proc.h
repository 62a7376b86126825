/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations of EVFILT_PROC, and children to watch. */
#ifndef KQ_TESTS_PROC_H
#define KQ_TESTS_PROC_H

#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef W_EXITCODE	/* musl has none */
#define W_EXITCODE(status, signal)	((status) << 8 | (signal))
#endif

static inline int
proc(int kq, intmax_t pid, unsigned int flags, unsigned int fflags)
{
	return change(kq, (uintptr_t)pid, EVFILT_PROC, (unsigned short)flags, fflags, 0, NULL);
}

/* Whether the kernel tells us of forks: of NOTE_FORK, or of NOTE_TRACK. */
static inline bool
connector_tells(unsigned int notes)
{
	int kq = queue(), error = proc(kq, getpid(), EV_ADD, notes);

	close(kq);
	ck_assert(error == 0 || error == ENOTSUP);
	if (error != 0)
		fprintf(stderr, "skipped: the process connector does not answer here\n");
	return error == 0;
}

/* A child that waits for signals (not TERM, INT, ALRM: Check handles these). */
static inline pid_t
sleeper(void)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

/* The event of the end of pid, with which the registration is gone. */
static inline void
told_end(int kq, pid_t pid, int status)
{
	struct kevent event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);

	ck_assert_uint_eq(event.fflags, NOTE_EXIT);
	ck_assert_uint_eq(event.flags, EV_EOF | EV_ONESHOT | EV_CLEAR);
	ck_assert_int_eq(event.data, status);
	no_event(kq);
	ck_assert_int_eq(proc(kq, pid, EV_DELETE, 0), ENOENT);
}

static inline int
reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#endif
