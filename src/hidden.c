/* SPDX-License-Identifier: BSD-2-Clause */
#include "hidden.h"

#include "fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Where ours begin: above what select(2) can name if the limit allows, and not
 * so high that the kernel's table of descriptors grows large for our sake.
 */
#define HIDDEN_HIGHEST	4096

static _Atomic int hidden_base;

static int
hidden_find_base(void)
{
	struct rlimit limit;
	int base = HIDDEN_HIGHEST;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur - limit.rlim_cur / 4 < HIDDEN_HIGHEST)
		base = (int)(limit.rlim_cur - limit.rlim_cur / 4);
	atomic_store_explicit(&hidden_base, base, memory_order_relaxed);
	return base;
}

int
hidden_dup(int fd)
{
	int base = atomic_load_explicit(&hidden_base, memory_order_relaxed);
	struct fdentry *entry;
	int copy;

	if (base == 0)
		base = hidden_find_base();
	copy = fcntl(fd, F_DUPFD_CLOEXEC, base);
	if (copy == -1 && (errno == EINVAL || errno == EMFILE)) {
		/* The limit was lowered, or all above is taken: any number will do. */
		hidden_find_base();
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	if (copy == -1)
		return -errno;
	entry = fdtable_get(copy);
	if (entry == NULL) {
		hidden_close(copy);
		return -ENOMEM;
	}
	atomic_store_explicit(&entry->fe_hidden, true, memory_order_relaxed);
	return copy;
}

int
hidden_move(int fd)
{
	int copy = hidden_dup(fd);

	hidden_close(fd);
	return copy;
}

void
hidden_close(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	int saved = errno;

	if (entry != NULL)
		atomic_store_explicit(&entry->fe_hidden, false, memory_order_relaxed);
	syscall(SYS_close, fd);
	errno = saved;
}
