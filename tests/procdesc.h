/* SPDX-License-Identifier: BSD-2-Clause */
/* Children with descriptors. */
#ifndef KQ_TESTS_PROCDESC_H
#define KQ_TESTS_PROCDESC_H

#include "harness.h"

#include <string.h>
#include <sys/procdesc.h>
#include <sys/wait.h>

static inline pid_t
pdfork_of(int *fd, int flags)
{
	pid_t pid = pdfork(fd, flags);

	ck_assert_msg(pid != -1, "pdfork: %s", strerror(errno));
	return pid;
}

static inline void
reap(pid_t pid, int status)
{
	int got;

	ck_assert_int_eq(waitpid(pid, &got, 0), pid);
	ck_assert_int_eq(got, status);
}

#endif
