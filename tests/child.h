/* SPDX-License-Identifier: BSD-2-Clause */
/* Children that test something, and say so by how they end. */
#ifndef KQ_TESTS_CHILD_H
#define KQ_TESTS_CHILD_H

#include "harness.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: what a test's assertions would be there.  Says what fails, and ends it. */
#define CHILD_CHECK(what) do {							\
	if (!(what)) {								\
		static const char text[] = "child: " #what "\n";		\
		(void)!write(2, text, sizeof(text) - 1);			\
		_exit(1);							\
	}									\
} while (0)

static inline void
child_succeeds(pid_t pid)
{
	int status;

	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %#x",
	    (unsigned)status);
}

/*
 * A child that no fork handler sees, which does nothing but to have a copy of every descriptor, the library's own
 * too, until it is killed.
 */
static inline pid_t
child_with_copies(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	while (pid == 0)
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	ck_assert_int_gt(pid, 0);
	return pid;
}

static inline void
child_killed(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

#endif
