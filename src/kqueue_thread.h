/* SPDX-License-Identifier: BSD-2-Clause */
/* What a thread has under way; in one place, since kevent() comes by all of it. */
#ifndef KQ_KQUEUE_THREAD_H
#define KQ_KQUEUE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

struct kqueue_thread {
	/* How many locks it holds: a handler that finds some has interrupted the library, and must not enter it. */
	unsigned	locks;

	/*
	 * How many calls that use queues it is in: if a handler forks, its child goes on with them,
	 * and keeps the parent's memory until then (child.c).
	 */
	unsigned	calls;

	/* Which rings of io_uring, by number, it has used and knows the end of (source/uring.c); 0: none. */
	unsigned	rings;

	/* What ran in it since it began to wait (source/disposition.c). */
	union {
		struct {
			volatile bool silent;	/* our handler alone */
			volatile bool loud;	/* the program's, for a watched signal */
		};
		volatile uint16_t ran;		/* either */
	};
};

extern _Thread_local struct kqueue_thread kqueue_thread;

#endif
