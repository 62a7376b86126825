/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Part of the library where it is built to count what the tests reach (KQ_COVERAGE), and
 * nowhere else: gcc's counters are written by exit(), and a process that ends by _exit(),
 * or by a call of the library's own, or becomes another program, would not be counted.
 */
#include "single.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

void	__gcov_dump(void);
void	__gcov_reset(void);

long	__real_syscall(long number, ...);
long	__wrap_syscall(long number, ...);
#pragma weak __real_dlsym
void	*__real_dlsym(void *handle, const char *name);
void	*__wrap_dlsym(void *handle, const char *name);

static int (*next_execve)(const char *, char *const [], char *const []);

/*
 * Whose memory this is, as far as exec() and fork() tell.  In a child of vfork() the counters are its parent's;
 * one of clone() or _Fork() has its own, but may have malloc()'s locks as another thread of its parent held them.
 */
static _Atomic pid_t process;

static void
coverage_begins(void)
{
	process = getpid();
}

__attribute__((constructor)) static void
coverage_loaded(void)
{
	coverage_begins();
	pthread_atfork(NULL, NULL, coverage_begins);
}

/* It takes a descriptor and memory, even where a test has left none.  What follows, if anything does, counts anew. */
static void
coverage_write(void)
{
	static const int scarce[] = { RLIMIT_NOFILE, RLIMIT_AS };
	struct rlimit limits[2], most;
	int saved = errno;

	if (getpid() != process && !single_threaded())
		return;
	for (int i = 0; i < 2; i++)
		if (getrlimit(scarce[i], &limits[i]) == 0) {
			most = (struct rlimit){ limits[i].rlim_max, limits[i].rlim_max };
			setrlimit(scarce[i], &most);
		}
	__gcov_dump();
	__gcov_reset();
	for (int i = 0; i < 2; i++)
		setrlimit(scarce[i], &limits[i]);
	errno = saved;
}

EXPORTED void
_exit(int status)
{
	coverage_write();
	for (;;)
		__real_syscall(SYS_exit_group, status);
}

EXPORTED void
_Exit(int status)
{
	_exit(status);
}

/* The library's bare calls, which may take as many arguments as there can be. */
long
__wrap_syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_exit_group || number == SYS_execve || number == SYS_execveat)
		coverage_write();
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int
coverage_execve(const char *path, char *const argv[], char *const envp[])
{
	coverage_write();
	return next_execve(path, argv, envp);
}

/* What comes after the library's own execve(), it looks up. */
void *
__wrap_dlsym(void *handle, const char *name)
{
	void *found = __real_dlsym(handle, name);

	if (handle != RTLD_NEXT || found == NULL || strcmp(name, "execve") != 0)
		return found;
	*(void **)(void *)&next_execve = found;
	*(int (**)(const char *, char *const [], char *const []))(void *)&found = coverage_execve;
	return found;
}
