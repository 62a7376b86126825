/* SPDX-License-Identifier: BSD-2-Clause */
#include "doubles.h"

#include "../../src/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* Errors pass by themselves: what is interrupted three times will not be a fourth time. */
#define PASSING 3

/* Shared with the child that looks for strays: its calls count, too. */
static struct {
	struct fault	plan;
	int		left, hit;
	const char	*hit_name;
	struct {
		const char	*name;
		int		calls;
	} points[MOST_NAMES];
	int		names;
} *f;
static _Thread_local bool armed;
static _Atomic int blocks;
static _Atomic long mapped;

void	*__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int	__real_munmap(void *at, size_t size);
void	*__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int	__wrap_munmap(void *at, size_t size);

void
faults_plan(struct fault fault)
{
	if (f == NULL)
		f = __real_mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f == MAP_FAILED)
		abort();
	memset(f, 0, sizeof(*f));
	f->plan = fault;
	f->hit_name = "nothing";
}

void
faults_arm(void)
{
	armed = true;
}

void
faults_disarm(void)
{
	armed = false;
	f->left = 0;
}

int
faults_names(void)
{
	return f->names;
}

int
faults_points(int i, const char **name)
{
	*name = f->points[i].name;
	return f->points[i].calls;
}

int
faults_error(void)
{
	return f->hit;
}

const char *
faults_name(void)
{
	return f->hit_name;
}

int
faults_blocks(void)
{
	return blocks;
}

long
faults_mapped(void)
{
	return mapped;
}

/* Which call of this function that is, beginning with 1. */
static int
count(const char *name)
{
	int i = 0;

	while (i < f->names && strcmp(f->points[i].name, name) != 0)
		i++;
	if (i == MOST_NAMES)
		abort();
	if (i == f->names) {
		f->points[f->names++].name = name;
		f->points[i].calls = 0;
	}
	return ++f->points[i].calls;
}

/* Whether that is over after a while, if it lasts. */
static bool
passes(int error)
{
	return error == EINTR || error == EAGAIN || error == ENOBUFS;
}

/* Whether a call that can fail with these errors, up to a 0, is to fail; then errno is set. */
static bool
fails(const char *name, const int errors[])
{
	int n = 0, point;

	if (!armed)
		return false;
	point = count(name);
	if (f->left > 0) {
		while (errors[n] != 0 && errors[n] != f->hit)
			n++;
		if (errors[n] == 0)
			return false;
		f->left--;
		errno = f->hit;
		return true;
	}
	if (point != f->plan.f_point || strcmp(name, f->plan.f_name) != 0)
		return false;
	while (errors[n] != 0)
		n++;
	if (f->plan.f_which >= n)
		return false;
	f->hit = errno = errors[f->plan.f_which];
	f->hit_name = name;
	if (f->plan.f_lasts)
		f->left = passes(f->hit) ? PASSING - 1 : 1000000;
	return true;
}

#define FAILS(name, ...) fails((name), (const int[MOST_ERRORS + 1]){ __VA_ARGS__ })

/* Memory. */

void	*__real_mem_alloc(size_t size);
void	*__real_mem_grow(void *p, size_t count, size_t size);
void	__real_mem_free(void *p);
void	*__wrap_mem_alloc(size_t size);
void	*__wrap_mem_grow(void *p, size_t count, size_t size);
void	__wrap_mem_free(void *p);

void *
__wrap_mem_alloc(size_t size)
{
	int saved = errno;
	void *p = NULL;

	if (!FAILS("mem_alloc", ENOMEM))
		p = __real_mem_alloc(size);
	blocks += p != NULL;
	errno = saved;
	return p;
}

void *
__wrap_mem_grow(void *old, size_t count, size_t size)
{
	int saved = errno;
	void *p = NULL;

	if (!FAILS("mem_grow", ENOMEM))
		p = __real_mem_grow(old, count, size);
	blocks += p != NULL && old == NULL;
	errno = saved;
	return p;
}

void
__wrap_mem_free(void *p)
{
	blocks -= p != NULL;
	__real_mem_free(p);
}

void *
__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (FAILS("mmap", ENOMEM))
		return MAP_FAILED;
	p = __real_mmap(at, size, prot, flags, fd, offset);
	if (p != MAP_FAILED)
		mapped += (long)size;
	return p;
}

int
__wrap_munmap(void *at, size_t size)
{
	mapped -= (long)size;
	return __real_munmap(at, size);
}

long	__real_syscall(long number, ...);
long	__wrap_syscall(long number, ...);

/* Descriptors.  Each double has the prototype of the function, which has its name without __wrap_. */

#define DOUBLE(type, failed, name, parameters, arguments, ...)	\
	type	__real_##name parameters;			\
	type	__wrap_##name parameters;			\
								\
	type							\
	__wrap_##name parameters				\
	{							\
		if (FAILS(#name, __VA_ARGS__))			\
			return (failed);			\
		return __real_##name arguments;			\
	}

/* The same of what an open descriptor is asked: that it is open has been seen to by then. */
#define DOUBLE_OPEN(type, name, parameters, arguments, ...)	\
	type	__real_##name parameters;			\
	type	__wrap_##name parameters;			\
								\
	type							\
	__wrap_##name parameters				\
	{							\
		type result = __real_##name arguments;		\
								\
		return result == -1 || !FAILS(#name, __VA_ARGS__) ? result : -1;	\
	}

#define NO_DESCRIPTOR EMFILE, ENFILE, ENOMEM

DOUBLE(int, -1, epoll_create1, (int flags), (flags), NO_DESCRIPTOR)
DOUBLE(int, -1, eventfd, (unsigned count, int flags), (count, flags), NO_DESCRIPTOR)
DOUBLE(int, -1, timerfd_create, (int clock, int flags), (clock, flags), NO_DESCRIPTOR)
DOUBLE(int, -1, inotify_init1, (int flags), (flags), NO_DESCRIPTOR)
DOUBLE(int, -1, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), ENOSPC, ENOMEM)
DOUBLE(int, -1, socket, (int family, int type, int protocol), (family, type, protocol), NO_DESCRIPTOR, ENOBUFS)
DOUBLE(int, -1, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), ENOMEM)
DOUBLE(int, -1, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
    (fd, level, name, value, size), ENOMEM, ENOBUFS)
DOUBLE(int, -1, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size), ENOBUFS)
DOUBLE(int, -1, stat, (const char *path, struct stat *st), (path, st), ENOMEM)
DOUBLE_OPEN(int, fstat, (int fd, struct stat *st), (fd, st), EIO, ESTALE)
DOUBLE_OPEN(int, fstatfs, (int fd, struct statfs *fs), (fd, fs), EIO, ENOMEM)
DOUBLE_OPEN(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence), EOVERFLOW, EIO)
DOUBLE_OPEN(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
    (fd, level, name, value, size), ENOBUFS, ENOMEM)
DOUBLE(pid_t, -1, fork, (void), (), EAGAIN, ENOMEM)
DOUBLE(char *, NULL, fgets, (char *line, int size, FILE *file), (line, size, file), EIO)
DOUBLE(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode), NO_DESCRIPTOR)
DOUBLE(ssize_t, -1, readlink, (const char *path, char *target, size_t size), (path, target, size), ENOMEM)
DOUBLE(int, -1, madvise, (void *at, size_t size, int advice), (at, size, advice), ENOMEM, EAGAIN)
DOUBLE(int, -1, epoll_wait, (int ep, struct epoll_event *items, int n, int ms), (ep, items, n, ms), EINTR)
DOUBLE(int, -1, epoll_pwait, (int ep, struct epoll_event *items, int n, int ms, const sigset_t *mask),
    (ep, items, n, ms, mask), EINTR)
DOUBLE(int, -1, ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
    (fds, n, timeout, mask), EINTR)

int	__real_ioctl(int fd, unsigned long request, ...);
int	__wrap_ioctl(int fd, unsigned long request, ...);
int	__real_fcntl(int fd, int command, ...);
int	__wrap_fcntl(int fd, int command, ...);
int	__real_inotify_rm_watch(int fd, int wd);
int	__wrap_inotify_rm_watch(int fd, int wd);

/* What is asked for here is told by the address of an int, or by nothing else. */
int
__wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *answer;
	int result;

	va_start(list, request);
	answer = va_arg(list, void *);
	va_end(list);
	result = __real_ioctl(fd, request, answer);
	return result == -1 || !FAILS("ioctl", EIO) ? result : -1;
}

/*
 * F_GETFD and F_GETFL fail if nothing is open there, and else not.  It takes an argument, whether there
 * is one or not: AddressSanitizer would look.
 */
__attribute__((no_sanitize("address"))) int
__wrap_fcntl(int fd, int command, ...)
{
	va_list list;
	long arg;

	if (command != F_GETFD && command != F_GETFL && FAILS("libc's fcntl", EINVAL))
		return -1;
	va_start(list, command);
	arg = va_arg(list, long);
	va_end(list);
	return __real_fcntl(fd, command, arg);
}

/* The kernel may have dropped it by then. */
int
__wrap_inotify_rm_watch(int fd, int wd)
{
	int result = __real_inotify_rm_watch(fd, wd);

	return FAILS("inotify_rm_watch", EINVAL) ? -1 : result;
}

/* Calls that the library makes without the C library. */

/*
 * What is not here cannot fail when it is asked for what is right: changing an item, asking for a state.
 */
static bool
bare_fails(long number, const long a[])
{
	switch (number) {
	case SYS_fcntl:
		return a[1] == F_DUPFD_CLOEXEC && FAILS("fcntl", EMFILE, ENOMEM);
	case SYS_dup:
	case SYS_pidfd_open:
	case SYS_openat:
	case SYS_signalfd4:
		return (number != SYS_signalfd4 || a[0] == -1) && FAILS("open", NO_DESCRIPTOR);
	case SYS_epoll_pwait:
		return a[3] != 0 && FAILS("bare epoll_pwait", EINTR);
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
		return FAILS("epoll_pwait2", EINTR);
#endif
	case SYS_read:
		return FAILS("read", EINTR, ENOMEM);
	case SYS_write:
		return FAILS("write", ENOMEM);
	case SYS_recvfrom:
	case SYS_recvmmsg:
		return FAILS("receive", EINTR, EAGAIN, ENOBUFS);
	case SYS_sendto:
		return FAILS("send", ENOBUFS, ENOMEM);
	case SYS_ppoll:
		return FAILS("bare ppoll", EINTR);
	case SYS_statx:
		return FAILS("statx", ENOMEM);
	case SYS_getdents64:
		return FAILS("getdents64", ENOMEM);
#ifdef SYS_io_uring_setup
	case SYS_io_uring_setup:
		return FAILS("io_uring_setup", NO_DESCRIPTOR, EPERM);
	case SYS_io_uring_register:
		return FAILS("io_uring_register", ENOMEM);
	case SYS_io_uring_enter:
		return FAILS("io_uring_enter", EINTR, EAGAIN, ENOMEM);
#endif
	case SYS_clone:
		return FAILS("clone", EAGAIN, ENOMEM);
	case SYS_dup3:
		return FAILS("dup3", EBUSY, ENOMEM);
	case SYS_wait4:
		return FAILS("wait4", EINTR);
	case SYS_waitid:
		return FAILS("waitid", ECHILD);
	case SYS_ioctl:
		return FAILS("PIDFD_GET_INFO", ENOTTY);
	case SYS_get_robust_list:
		return FAILS("get_robust_list", EPERM);
	case SYS_lseek:
		return FAILS("bare lseek", EINVAL);
	default:
		return false;
	}
}

/*
 * An item that is there is changed or removed in any case: that takes no memory.
 * What is wrong with a new one is found out before there is none for it.
 */
static bool
add_fails(int ep, int fd)
{
	int saved;

	if (!FAILS("epoll_ctl", ENOMEM, ENOSPC))
		return false;
	saved = errno;
	__real_syscall(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, fd, NULL);
	errno = saved;
	return true;
}

/* What has worked: a descriptor is closed whatever close() says, and a child may be somebody else's catch. */
static bool
failed_after(long number)
{
	switch (number) {
	case SYS_close:
		return FAILS("close", EINTR);
	case SYS_wait4:
		return FAILS("wait4, too late", ECHILD);
#ifdef SYS_fstat
	case SYS_fstat:
		return FAILS("bare fstat", EIO, ESTALE);
#endif
	default:
		return false;
	}
}

/* It takes as many arguments as there can be, whatever there is: AddressSanitizer would look. */
__attribute__((no_sanitize("address"))) long
__wrap_syscall(long number, ...)
{
	va_list list;
	long a[6], result;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (bare_fails(number, a))
		return -1;
	result = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_epoll_ctl && a[1] == EPOLL_CTL_ADD && result == 0 && add_fails((int)a[0], (int)a[2]))
		return -1;
	return result == -1 || failed_after(number) ? -1 : result;
}
