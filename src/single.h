/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether this process has one thread, as far as the C library knows, whose own
 * locks rely on it, too: then nobody else holds a lock, and nobody cancels us.
 * It changes in calls of the C library only: not while we hold a lock or wait,
 * but for the better (a fork) or by a handler's doing what no handler may.
 */
#ifndef KQ_SINGLE_H
#define KQ_SINGLE_H

#include <stdbool.h>

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)	/* glibc 2.32 */
#include <sys/single_threaded.h>
#define SINGLE_THREADED	(__libc_single_threaded != 0)
#endif
#endif
#ifndef SINGLE_THREADED
#define SINGLE_THREADED	false
#endif

static inline bool
single_threaded(void)
{
	return SINGLE_THREADED;
}

#endif
