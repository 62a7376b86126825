/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libc functions that duplicate descriptors.  A duplicate of a queue's
 * number is the same queue, which ends with its last number: so each must be
 * known from the start.  dup2() and dup3() also close the number they are given;
 * if that is one of the library's own, the program gets it, and ours moves.
 *
 * They take no lock and may be called in signal handlers and vfork() children.
 */
#if KQ_INTERPOSE

/* They would give fcntl() the name of fcntl64(). */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include "fdtable.h"
#include "interpose/next.h"
#include "kqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A static program keeps musl's own fcntl(), which has nothing beneath it that could be called. */
#if defined(__GLIBC__) || KQ_INTERPOSE_STREAMS
#define DUP_WRAPS_FCNTL 1
#endif

/* What fcntl() is called in programs for 32-bit glibc that are compiled with _TIME_BITS=64. */
#if defined(__GLIBC__) && defined(__TIMESIZE) && __TIMESIZE == 32
#define DUP_HAS_TIME64 1
int	__fcntl_time64(int fd, int command, ...);
#endif

/* musl names it only as a macro, and not at all in later versions. */
#undef fcntl64
int	fcntl64(int fd, int command, ...);

static struct {
	int	(*dup)(int);
	int	(*dup2)(int, int);
	int	(*dup3)(int, int, int);
	int	(*fcntl)(int, int, ...);
	int	(*fcntl64)(int, int, ...);
#ifdef DUP_HAS_TIME64
	int	(*__fcntl_time64)(int, int, ...);
#endif
} next;

void
dup_resolve(void)
{
	NEXT_RESOLVE(next, dup);
	NEXT_RESOLVE(next, dup2);
	NEXT_RESOLVE(next, dup3);
#ifdef DUP_WRAPS_FCNTL
	NEXT_RESOLVE(next, fcntl);
	NEXT_RESOLVE(next, fcntl64);
#ifdef DUP_HAS_TIME64
	NEXT_RESOLVE(next, __fcntl_time64);
#endif
#endif
}

/* Something is to be duplicated: our own are not open as far as the program can tell. */
static int
dup_begin(int from, struct kqueue **kq)
{
	*kq = NULL;
	if (kqueue_hides(from)) {
		errno = EBADF;
		return -1;
	}
	*kq = kqueue_duplicate(from);
	return 0;
}

static int
dup_end(struct kqueue *kq, int copy)
{
	if (kq != NULL)
		kqueue_duplicated(kq, copy);
	return copy;
}

KQ_WRAPPER int
dup(int from)
{
	struct kqueue *kq;

	if (dup_begin(from, &kq) == -1)
		return -1;
	return dup_end(kq, next.dup != NULL ? next.dup(from) : (int)syscall(SYS_dup, from));
}

/* Whether the call is going to work: the limit may have been lowered since the number was opened. */
static bool
dup_works(int from, int to)
{
	struct rlimit limit;

	return syscall(SYS_fcntl, from, F_GETFD) != -1 &&
	    (getrlimit(RLIMIT_NOFILE, &limit) == -1 || (rlim_t)to < limit.rlim_cur);
}

/* The books of the number that is going to be replaced; not if the call is going to fail. */
static int
dup_replace(int from, int to)
{
	int error;

	if (!fdtable_noted(to) || !dup_works(from, to))
		return 0;
	error = fdtable_hidden(to) ? kqueue_yield(to) : 0;
	if (error < 0) {
		errno = -error;
		return -1;
	}
	kqueue_descriptor_closes(to);
	return 0;
}

static int
dup2_next(int from, int to)
{
	return next.dup2 != NULL ? next.dup2(from, to) : (int)syscall(SYS_dup3, from, to, 0);
}

KQ_WRAPPER int
dup2(int from, int to)
{
	struct kqueue *kq;

	/* Nothing happens, unless it is not open. */
	if (from == to && next.dup2 == NULL)
		return fcntl(from, F_GETFD) == -1 ? -1 : to;
	if (from == to)
		return next.dup2(from, to);
	if (dup_begin(from, &kq) == -1)
		return -1;
	return dup_end(kq, dup_replace(from, to) == -1 ? -1 : dup2_next(from, to));
}

static int
dup3_next(int from, int to, int flags)
{
	return next.dup3 != NULL ? next.dup3(from, to, flags) :
	    (int)syscall(SYS_dup3, from, to, flags);
}

KQ_WRAPPER int
dup3(int from, int to, int flags)
{
	struct kqueue *kq;

	/* It fails. */
	if (from == to || (flags & ~O_CLOEXEC) != 0)
		return dup3_next(from, to, flags);
	if (dup_begin(from, &kq) == -1)
		return -1;
	return dup_end(kq, dup_replace(from, to) == -1 ? -1 : dup3_next(from, to, flags));
}

#if !KQ_INTERPOSE_STREAMS
/* What freopen() opens it puts in the stream's number by this: see beneath.c. */
KQ_BENEATH int __dup3(int, int, int) __attribute__((alias("dup3"), nothrow, leaf));
#endif

#ifdef DUP_WRAPS_FCNTL

/* In a static program, and early in others, there is no next one. */
#ifdef __GLIBC__
int	__fcntl(int fd, int command, ...);
#define fcntl_bare(fd, command, arg) __fcntl((fd), (command), (arg))
#else
#define fcntl_bare(fd, command, arg) (int)syscall(SYS_fcntl, (fd), (command), (arg))
#endif

/* The third argument, if there is one, is an int or a pointer: passed on as the C libraries do. */
static int
fcntl_wrapped(int (*real)(int, int, ...), int fd, int command, void *arg)
{
	bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
	struct kqueue *kq = NULL;
	int result;

	if (duplicates && dup_begin(fd, &kq) == -1)
		return -1;
	result = real != NULL ? real(fd, command, arg) : fcntl_bare(fd, command, arg);
	return duplicates ? dup_end(kq, result) : result;
}

#define DUP_FCNTL(name, real)							\
	KQ_WRAPPER int								\
	name(int fd, int command, ...)						\
	{									\
		va_list args;							\
		void *arg;							\
										\
		va_start(args, command);					\
		arg = va_arg(args, void *);					\
		va_end(args);							\
		return fcntl_wrapped(real, fd, command, arg);			\
	}

DUP_FCNTL(fcntl, next.fcntl)
DUP_FCNTL(fcntl64, next.fcntl64 != NULL ? next.fcntl64 : next.fcntl)
#ifdef DUP_HAS_TIME64
DUP_FCNTL(__fcntl_time64, next.__fcntl_time64 != NULL ? next.__fcntl_time64 : next.fcntl64)
#endif

#endif

#else
typedef int dup_is_not_wrapped;
#endif
