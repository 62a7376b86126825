/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRACE_PREFIX	"KQ"	/* trace_prefix at first, too */
#define TRACE_LINE	256

/* Letter by letter: who changes it while a line is written mixes two prefixes, no more. */
static _Atomic char trace_prefix[32] = { 'K', 'Q' };
static _Atomic(trace_print *) trace_printer;

/* The program's function may call kevent() itself. */
static _Thread_local bool trace_writing;

bool
trace_switch(bool on)
{
	return mode_set(MODE_TRACED, on);
}

void
trace_set_prefix(const char *prefix)
{
	size_t i = 0;

	if (prefix == NULL)
		prefix = TRACE_PREFIX;
	for (; i < sizeof(trace_prefix) - 1 && prefix[i] != '\0'; i++)
		atomic_store_explicit(&trace_prefix[i], prefix[i], memory_order_relaxed);
	atomic_store_explicit(&trace_prefix[i], '\0', memory_order_relaxed);
}

void
trace_set_print(trace_print *print)
{
	atomic_store(&trace_printer, print);
}

/* One write(2) a line, so that lines of several threads stay whole. */
__attribute__((format(printf, 1, 2))) static void
trace_to_stderr(const char *format, ...)
{
	char line[TRACE_LINE];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		n = sizeof(line) - 1;
	if (write(STDERR_FILENO, line, (size_t)n) == -1)
		return;		/* nobody to tell */
}

void
trace_write(int fd, int nchanges, int nevents, int result)
{
	trace_print *print = atomic_load(&trace_printer);
	char prefix[sizeof(trace_prefix)];
	int state;

	if (trace_writing)
		return;
	for (size_t i = 0; i < sizeof(prefix); i++)
		prefix[i] = atomic_load_explicit(&trace_prefix[i], memory_order_relaxed);
	if (print == NULL)
		print = trace_to_stderr;
	/* The events are out: a thread cancelled here would lose them. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	trace_writing = true;
	print("%s: kevent(%d, %d changes, room for %d) = %d%s%s\n", prefix, fd, nchanges, nevents,
	    result < 0 ? -1 : result, result < 0 ? " " : "", result < 0 ? strerror(-result) : "");
	trace_writing = false;
	pthread_setcancelstate(state, NULL);
}
