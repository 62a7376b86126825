/* SPDX-License-Identifier: BSD-2-Clause */
/* Children that are tracked. */
#ifndef KQ_TESTS_PROC_TRACK_H
#define KQ_TESTS_PROC_TRACK_H

#include "proc.h"

#include <unistd.h>

#define END	(EV_CLEAR | EV_EOF | EV_ONESHOT)

/* A child that ends with this code once it is let go. */
static inline pid_t
child(int go, int code)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		get(go, 1);
		_exit(code);
	}
	return pid;
}

static inline struct kevent
check(int kq, pid_t pid, unsigned int fflags, unsigned int flags, int64_t data)
{
	struct kevent event = event_of(kq, (uintptr_t)pid, EVFILT_PROC);

	ck_assert_uint_eq(event.fflags, fflags);
	ck_assert_uint_eq(event.flags, flags);
	ck_assert_int_eq(event.data, data);
	return event;
}

#endif
