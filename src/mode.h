/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is unusual in this process.  In one word, since kevent() looks at it in
 * each call; which bit it is matters to the few that do something about it.
 */
#ifndef KQ_MODE_H
#define KQ_MODE_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * The program's closes are not seen, since its calls do not go to our wrappers
 * (interpose/next.h): what a number leads to is looked at whenever it counts.
 */
#define MODE_BLIND	0x1u
#define MODE_TRACED	0x2u	/* calls are told of (trace.h) */
#define MODE_RINGED	0x4u	/* io_uring is used, or was (source/aio_uring.h): its results end waits with EINTR */

#pragma GCC visibility push(hidden)
extern _Atomic unsigned mode_bits;
#pragma GCC visibility pop

static inline bool
mode_is(unsigned mode)
{
	return (atomic_load_explicit(&mode_bits, memory_order_relaxed) & mode) != 0;
}

static inline bool
mode_is_usual(void)
{
	return atomic_load_explicit(&mode_bits, memory_order_relaxed) == 0;
}

/* Whether it was on. */
static inline bool
mode_set(unsigned mode, bool on)
{
	return ((on ? atomic_fetch_or(&mode_bits, mode) : atomic_fetch_and(&mode_bits, ~mode)) & mode) != 0;
}

#endif
