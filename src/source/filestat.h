/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fstat(2) itself.  Some versions of glibc make fstat() of newfstatat(2) with an empty
 * name, which has to be fetched and looked at: a twelfth of what an event of a file costs.
 */
#ifndef KQ_FILESTAT_H
#define KQ_FILESTAT_H

#include <assert.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__LP64__)

/* The C library's structure is the kernel's. */
static_assert(sizeof(struct stat) == 144 && offsetof(struct stat, st_nlink) == 16 &&
    offsetof(struct stat, st_mode) == 24 && offsetof(struct stat, st_gid) == 32 &&
    offsetof(struct stat, st_size) == 48 && offsetof(struct stat, st_mtim) == 88 &&
    offsetof(struct stat, st_ctim) == 104, "struct stat is not what Linux fills in");

/* A sandbox may know the new call only. */
static inline int
filestat(int fd, struct stat *st)
{
	return syscall(SYS_fstat, fd, st) == 0 ? 0 : fstat(fd, st);
}

#else

static inline int
filestat(int fd, struct stat *st)
{
	return fstat(fd, st);
}

#endif

#endif
