/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that an event is made of, without a C library's function around them: its
 * variable arguments, its errno and the registers that a function may use up are a sixth of what
 * kevent() is.  None touches errno, and none is a cancellation point.
 *
 * Where somebody is to stand between us and the system, and elsewhere, the C library is called:
 * sanitizers and clang's analyzer, which learn from it what was written and who woke whom; tests, which
 * have calls fail (KQ_LIBC_CALLS).
 */
#ifndef KQ_SYSCALL_H
#define KQ_SYSCALL_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYSCALL_SANITIZED	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SYSCALL_SANITIZED	1
#endif
#endif

#if !defined(SYSCALL_SANITIZED) && !defined(KQ_LIBC_CALLS) && !defined(__clang_analyzer__)
#if defined(__x86_64__) && !defined(__ILP32__)
#define SYSCALL_BARE	1

static inline long
syscall_bare(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
	    : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

/* With a fifth argument that is 0. */
static inline long
syscall_bare_five(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
	    : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__) && !defined(__ILP32__)
#define SYSCALL_BARE	1

static inline long
syscall_bare(long number, long a, long b, long c, long d)
{
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	register long x8 __asm__("x8") = number;

	__asm__ volatile("svc 0" : "+r"(x0)
	    : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8) : "memory");
	return x0;
}

#define syscall_bare_five	syscall_bare

#endif
#endif

/* epoll_wait(2), for ever: how many, or -errno. */
static inline int
syscall_epoll_wait(int ep, struct epoll_event *items, int n)
{
#if !defined(SYSCALL_BARE)
	int saved = errno, result = epoll_wait(ep, items, n, -1);

	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
#elif defined(SYS_epoll_wait)
	return (int)syscall_bare(SYS_epoll_wait, ep, (long)items, n, -1);
#else
	return (int)syscall_bare(SYS_epoll_pwait, ep, (long)items, n, -1);	/* no mask */
#endif
}

/*
 * epoll_ctl(2) on numbers that another thread may move or close meanwhile: 0 or -errno.  Never the C library's
 * function, for ThreadSanitizer knows it and takes the closing for a race.
 */
static inline int
syscall_epoll_ctl(int ep, int op, int fd, struct epoll_event *item)
{
#if defined(SYSCALL_BARE)
	return (int)syscall_bare(SYS_epoll_ctl, ep, op, fd, (long)item);
#else
	int saved = errno, result = (int)syscall(SYS_epoll_ctl, ep, op, fd, item);

	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
#endif
}

/* Bytes that can be read, by FIONREAD, which are written to room; negative: it does not say. */
static inline int
syscall_readable(int fd, void *room)
{
	int bytes;
#if defined(SYSCALL_BARE)
	if (syscall_bare(SYS_ioctl, fd, FIONREAD, (long)room, 0) != 0)
		return -1;
#else
	int saved = errno;

	if (ioctl(fd, FIONREAD, room) != 0) {
		errno = saved;
		return -1;
	}
#endif
	memcpy(&bytes, room, sizeof(bytes));
	return bytes;
}

/*
 * Any other, with up to four arguments and a fifth that is 0: its result, or -errno.
 *
 * What takes several of them in a row makes them in one function, if its speed counts: the first return
 * from a function that was entered before a system call was measured to cost 40 ns after a short one, and
 * 300 and more after one that concerns a process, probably since the kernel's own returns, which it guards
 * on some processors, leave nothing of what was known of ours.
 */
static inline long
syscall_direct(long number, long a, long b, long c, long d)
{
#if defined(SYSCALL_BARE)
	return syscall_bare_five(number, a, b, c, d);
#else
	int saved = errno;
	long result = syscall(number, a, b, c, d, 0L);

	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
#endif
}

#endif
