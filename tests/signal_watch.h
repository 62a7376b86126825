/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue that watches signals, and a handler of the program's own. */
#ifndef KQ_TESTS_SIGNAL_WATCH_H
#define KQ_TESTS_SIGNAL_WATCH_H

#include "harness.h"

#include <signal.h>

static int kq;
static _Atomic int handled, ready_in_handler;

static inline int
watch(int queue, int signo, unsigned int flags)
{
	return change(queue, (uintptr_t)signo, EVFILT_SIGNAL, (unsigned short)flags, 0, 0, NULL);
}

/* A queue that watches a signal which is ignored. */
static inline void
begin(int signo)
{
	kq = queue();
	ck_assert_ptr_ne(signal(signo, SIG_IGN), SIG_ERR);
	ck_assert_int_eq(watch(kq, signo, EV_ADD), 0);
}

static inline int64_t
count(int queue, int signo)
{
	return event_of(queue, (uintptr_t)signo, EVFILT_SIGNAL).data;
}

static inline void
handler(int signo)
{
	int saved = errno;

	(void)signo;
	handled++;
	ready_in_handler = readable(kq, 0);
	errno = saved;
}

static inline void
handle(int signo, int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	handled = ready_in_handler = 0;
	ck_assert_int_eq(sigaction(signo, &sa, NULL), 0);
}

#endif
