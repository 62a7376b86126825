/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace: a line for each kevent() call, if the program asks for it with
 * EVFILT_LIBKQUEUE.  Off, it costs one relaxed load.
 */
#ifndef KQ_TRACE_H
#define KQ_TRACE_H

#include "mode.h"

typedef void trace_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Switches it; whether it was on. */
bool	trace_switch(bool on);

/* What lines begin with, copied as far as there is room; NULL: "KQ". */
void	trace_set_prefix(const char *prefix);

/* Who prints; NULL: standard error. */
void	trace_set_print(trace_print *print);

/* A call of kevent() returns a count or -errno.  No lock is held. */
void	trace_write(int fd, int nchanges, int nevents, int result);

static inline void
trace_call(int fd, int nchanges, int nevents, int result)
{
	if (mode_is(MODE_TRACED))
		trace_write(fd, nchanges, nevents, result);
}

#endif
