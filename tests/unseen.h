/* SPDX-License-Identifier: BSD-2-Clause */
/* Closes that the library does not see. */
#ifndef KQ_TESTS_UNSEEN_H
#define KQ_TESTS_UNSEEN_H

#include "harness.h"

#include <sys/syscall.h>
#include <unistd.h>

#ifdef UNWRAPPED
#define UNSEEN_ALL true		/* no close is seen */
#else
#define UNSEEN_ALL false
#endif

/* The udata of what the number was, and of what it is. */
static int old_mark, new_mark;

static inline void
unseen_close(int fd)
{
	ck_assert_int_eq(syscall(SYS_close, fd), 0);
}

#endif
