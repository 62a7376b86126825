/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With prog.c: a program, or another version of the C library, that has the names which the
 * static library takes beneath the C library.  Then it sees no stream closed, but all is well.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int	__close(int fd);
int	__close_nocancel(int fd);
int	__dup3(int from, int to, int flags);
int	__stdio_close(FILE *stream);

int
__close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

int
__close_nocancel(int fd)
{
	return (int)syscall(SYS_close, fd);
}

int
__dup3(int from, int to, int flags)
{
	return (int)syscall(SYS_dup3, from, to, flags);
}

int
__stdio_close(FILE *stream)
{
	return (int)syscall(SYS_close, fileno(stream));
}
