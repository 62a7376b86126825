/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libc functions that close descriptors, and shutdown().  On the BSDs
 * closing a descriptor removes its registrations; epoll forgets a file only
 * when its last duplicate is closed, and never tells.  So these do the books
 * first, by kqueue_descriptor_closes(), and then the real thing.
 *
 * They take no lock and may be called in signal handlers and vfork() children.
 * The library's own descriptors are not open as far as they show.
 */
#if KQ_INTERPOSE

#include "fdtable.h"
#include "interpose/next.h"
#include "kqueue.h"
#include "source/fdkind.h"
#include "source/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* musl declares neither, and knows of neither. */
int	close_range(unsigned first, unsigned last, int flags);
void	closefrom(int first);

/* CLOSE_RANGE_UNSHARE of <linux/close_range.h>, which may be older. */
#define CLOSE_UNSHARE	2

static struct {
	int	(*close)(int);
	int	(*close_range)(unsigned, unsigned, int);
	int	(*shutdown)(int, int);
} next;

void
close_resolve(void)
{
	NEXT_RESOLVE(next, close);
	NEXT_RESOLVE(next, close_range);
	NEXT_RESOLVE(next, shutdown);
}

KQ_WRAPPER int
close(int fd)
{
	if (fdtable_noted(fd)) {
		if (kqueue_hides(fd)) {
			errno = EBADF;
			return -1;
		}
		/* A cancelled close() closes nothing: the books must not say it did. */
		pthread_testcancel();
		kqueue_descriptor_closes(fd);
	} else if (next.close == NULL) {
		pthread_testcancel();
	}
	return next.close != NULL ? next.close(fd) : close_bare(fd);
}

static int
close_range_next(unsigned first, unsigned last, int flags)
{
	if (first > last)
		return 0;
	return next.close_range != NULL ? next.close_range(first, last, flags) :
	    (int)syscall(SYS_close_range, first, last, flags);
}

/* Whether the kernel has the call (Linux 5.9, and no sandbox in between): nobody has this number. */
static bool
close_range_works(void)
{
	return close_range_next(~0u, ~0u, 0) == 0;
}

/* Whether other threads have the same table of descriptors; a link of a directory is its subdirectory. */
static bool
close_shares_table(void)
{
	int saved = errno;
	struct stat tasks;
	bool shares = stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3;

	errno = saved;
	return shares;
}

/*
 * Closes what lies between the library's own, books first: if the kernel cannot, they stay as
 * they are.  No books if this thread gets a table of its own: what it closes in that is open in
 * the others'.
 */
KQ_WRAPPER int
close_range(unsigned first, unsigned last, int flags)
{
	unsigned from = first;
	bool books = flags != CLOSE_UNSHARE || !close_shares_table();

	/* CLOSE_RANGE_CLOEXEC closes nothing yet; other flags are for the kernel to judge. */
	if (first > last || (flags & ~CLOSE_UNSHARE) != 0)
		return next.close_range != NULL ? next.close_range(first, last, flags) :
		    (int)syscall(SYS_close_range, first, last, flags);
	if (!close_range_works())
		return -1;
	for (int fd = fdtable_next(first); fd >= 0 && (unsigned)fd <= last; fd = fdtable_next((unsigned)fd + 1)) {
		if (!kqueue_hides(fd)) {
			if (books)
				kqueue_descriptor_closes(fd);
		} else {
			if ((unsigned)fd > from && close_range_next(from, (unsigned)fd - 1, flags) == -1)
				return -1;
			from = (unsigned)fd + 1;
		}
	}
	return close_range_next(from, last, flags);
}

/* Closes what /proc lists from first on; false: it cannot be read.  Fit for signal handlers. */
static bool
close_listed(int first)
{
	int dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	_Alignas(struct procfs_entry) char buffer[1024];
	long n = 0, at;
	int fd;

	while (dir >= 0 && (n = syscall(SYS_getdents64, dir, buffer, sizeof(buffer))) > 0)
		for (at = 0; (fd = procfs_next(buffer, n, &at)) >= 0;)
			if (fd >= first && fd != dir)
				close(fd);
	if (dir >= 0)
		syscall(SYS_close, dir);
	return dir >= 0 && n == 0;
}

KQ_WRAPPER void
closefrom(int first)
{
	int limit = (int)sysconf(_SC_OPEN_MAX), saved = errno;

	if (first < 0)
		first = 0;
	/* Linux before 5.9; where there is no /proc, what lies above a lowered limit stays open. */
	if (close_range((unsigned)first, ~0u, 0) == -1 && !close_listed(first))
		for (int fd = first; fd < limit; fd++)
			close(fd);
	errno = saved;
}

/* Where it is noted of fd; NULL: not open, as far as can be told.  The table is not to grow for what is not. */
static struct fdentry *
shutdown_entry(int fd)
{
	bool noted = fdtable_find(fd) != NULL || syscall(SYS_fcntl, fd, F_GETFD) != -1;

	return noted ? fdtable_get(fd) : NULL;
}

/* It is shut down: what it was before. */
static uint32_t
shutdown_note(struct fdentry *entry, int fd)
{
	uint32_t before = atomic_load_explicit(&entry->fe_state, memory_order_relaxed), after;
	const uint32_t socket = fdtable_socket(fdkind_inode(fd));

	do
		after = (before & ~FDTABLE_SOCKET) | socket | FDTABLE_SHUT;
	while (!atomic_compare_exchange_weak_explicit(&entry->fe_state, &before, after, memory_order_relaxed,
	    memory_order_relaxed));
	return before;
}

/*
 * Poll shows nothing of the program's own SHUT_WR, so EVFILT_WRITE is told
 * here, and before it happens: the kernel wakes the queue while it does.
 */
KQ_WRAPPER int
shutdown(int fd, int how)
{
	struct fdentry *entry = NULL;
	uint32_t before = FDTABLE_SHUT;
	int result;

	if (kqueue_hides(fd)) {
		errno = EBADF;
		return -1;
	}
	if ((how == SHUT_WR || how == SHUT_RDWR) && !kqueue_in_vfork_child())
		entry = shutdown_entry(fd);
	if (entry != NULL)
		before = shutdown_note(entry, fd);
	result = next.shutdown != NULL ? next.shutdown(fd, how) :
	    (int)syscall(SYS_shutdown, fd, how);
	if (result == -1 && (before & FDTABLE_SHUT) == 0)
		atomic_fetch_and_explicit(&entry->fe_state, ~FDTABLE_SHUT, memory_order_relaxed);
	return result;
}

#else
typedef int close_is_not_wrapped;
#endif
