/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Beneath the C library.  In a static program nothing can stand before
 * fclose(), freopen(), pclose() and closedir(), since there would be nothing
 * to pass a call on to.  But all of them close through functions of the C
 * library's own, which are in its archive under names of their own; and the
 * linker does not look there for what it has found here.  (What freopen() puts
 * in a number's place comes through __dup3(): see dup.c.  What posix_spawn()
 * does with signals: __libc_sigaction(), see sigaction.c.)
 *
 * They are weak.  A C library that has no such function does not call ours;
 * one that has it in the same object as another one that it needs brings its
 * own.  Then the streams' closing is not seen, but nothing breaks.
 */
#if KQ_INTERPOSE

#include "interpose/next.h"

#include "fdtable.h"
#include "kqueue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __GLIBC__

int
close_bare(int fd)
{
	return (int)syscall(SYS_close, fd);
}

#else

/* musl's aio lets go of a number before it is closed; it is linked only into programs that use it. */
int	__aio_close(int fd) __attribute__((weak));

/* In musl an interrupted close() has closed all the same, and says so. */
int
close_bare(int fd)
{
	int saved = errno, result;

	if (__aio_close != NULL)
		fd = __aio_close(fd);
	result = (int)syscall(SYS_close, fd);
	if (result == 0 || errno != EINTR)
		return result;
	errno = saved;
	return 0;
}

#endif

#if !KQ_INTERPOSE_STREAMS

static int
beneath_close(int fd)
{
	if (fdtable_noted(fd)) {
		if (kqueue_hides(fd)) {
			errno = EBADF;
			return -1;
		}
		kqueue_descriptor_closes(fd);
	}
	return close_bare(fd);
}

#ifdef __GLIBC__

int	__close(int fd);
int	__close_nocancel(int fd);

/* By all streams and directories. */
KQ_BENEATH int
__close_nocancel(int fd)
{
	return beneath_close(fd);
}

/* By freopen() that fails.  Not our close(): a program may have one of its own, which calls this. */
KQ_BENEATH int
__close(int fd)
{
	pthread_testcancel();
	return beneath_close(fd);
}

#else

int	__stdio_close(FILE *stream);

/* By all streams, whose lock is held; closedir() calls close(). */
KQ_BENEATH int
__stdio_close(FILE *stream)
{
	return beneath_close(fileno(stream));
}

#endif
#endif

#else
typedef int beneath_is_not_there;
#endif
