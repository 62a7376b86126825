/* SPDX-License-Identifier: BSD-2-Clause */
#include "hidden.h"

#include "fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

/*
 * Where ours begin: above what select(2) can name if the limit allows, and not
 * so high that the kernel's table of descriptors grows large for our sake.
 */
#define HIDDEN_HIGHEST	1024

_Atomic int hidden_base;
_Atomic unsigned hidden_moves;

static int
hidden_find_base(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur - limit.rlim_cur / 4 < HIDDEN_HIGHEST)
		return (int)(limit.rlim_cur - limit.rlim_cur / 4);
	return HIDDEN_HIGHEST;
}

/* Not fcntl(): that is one of the functions that our wrappers stand before. */
static int
hidden_fcntl(int fd, int base)
{
	return (int)syscall_direct(SYS_fcntl, fd, F_DUPFD_CLOEXEC, base, 0);
}

/* The number of a duplicate that is no one's yet, or -errno. */
static int
hidden_number(int fd)
{
	int base = atomic_load_explicit(&hidden_base, memory_order_relaxed);
	int copy;

	if (base == 0) {
		base = hidden_find_base();
		atomic_store_explicit(&hidden_base, base, memory_order_relaxed);
	}
	copy = hidden_fcntl(fd, base);
	/* The limit was lowered, perhaps for a moment only; or all above is taken: any number will do. */
	if (copy == -EINVAL)
		copy = hidden_fcntl(fd, hidden_find_base());
	if (copy == -EINVAL || copy == -EMFILE)
		copy = hidden_fcntl(fd, 0);
	if (copy < 0)
		return copy;
	if (fdtable_get(copy) == NULL) {
		hidden_close(copy);
		return -ENOMEM;
	}
	return copy;
}

int
hidden_dup(int fd, _Atomic int *owner)
{
	int copy = hidden_number(fd);

	atomic_store(owner, copy < 0 ? -1 : copy);
	if (copy < 0)
		return copy;
	atomic_store(&fdtable_role(copy)->fr_owner, owner);
	return 0;
}

int
hidden_move(int fd, _Atomic int *owner)
{
	int error = hidden_dup(fd, owner);

	hidden_close(fd);
	return error;
}

void
hidden_close(int fd)
{
	syscall_direct(SYS_close, fd, 0, 0, 0);
}

void
hidden_free(_Atomic int *owner)
{
	hidden_free_here(owner);
}

void
hidden_disown(_Atomic int *owner)
{
	int fd = atomic_load(owner);

	if (fd >= 0 && hidden_claim(fd, owner))
		atomic_store(owner, -1);
}

/* One try.  -EBADF: it was closed meanwhile, and may be another's by now, or ours once more. */
static int
hidden_move_away(int fd, _Atomic int *owner)
{
	int copy = hidden_number(fd);
	struct fdrole *role = copy < 0 ? NULL : fdtable_role(copy);

	if (role == NULL)
		return copy;
	atomic_store(&role->fr_owner, owner);
	if (hidden_claim(fd, owner)) {
		atomic_store(owner, copy);
		return 0;
	}
	atomic_store(&role->fr_owner, NULL);
	hidden_close(copy);
	return -EBADF;
}

/* What the program has closed by a bare system call is open no more, however often it is looked at. */
#define HIDDEN_TRIES	8

int
hidden_yield(int fd)
{
	struct fdrole *role = fdtable_role(fd);
	int error = 0, tries = 0;
	_Atomic int *owner;

	if (role == NULL)
		return 0;
	do {
		owner = atomic_load(&role->fr_owner);
		if (owner == NULL)
			return 0;
		atomic_fetch_add(&hidden_moves, 1);
		error = hidden_move_away(fd, owner);
		atomic_fetch_sub(&hidden_moves, 1);
	} while (error == -EBADF && ++tries < HIDDEN_TRIES);
	return error;
}

void
hidden_fork_child(void)
{
	atomic_store(&hidden_moves, 0);
}
