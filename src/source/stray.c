/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child with a table of descriptors of its own may put any file at any number
 * without disturbing anybody, while epoll is still the same: so a child names a
 * stray by trying the number with every file there is.  It is made by the bare
 * system call, without a signal at its end: the program need not know of it.
 */
#include "source/stray.h"

#include "hidden.h"
#include "kqueue.h"
#include "source/procfs.h"
#include "source/timerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nanoseconds from one try to the next: it costs a fork. */
#define STRAY_PAUSE	INT64_C(100000000)

/* In the child: whether file d had an item of that number, which is no more. */
static bool
stray_try(int ep, int fd, int d)
{
	return d != fd && syscall(SYS_dup3, d, fd, O_CLOEXEC) == fd &&
	    hidden_epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0;
}

/* In the child, whose memory is a copy: system calls only.  Its exit status, 0 if one was found. */
static int
stray_try_all(int ep, int fd)
{
	_Alignas(struct procfs_entry) char buffer[2048];
	int dir, d, found = 0;
	long n, at;

	/* A number out of the way of the one that is tried. */
	dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY);
	if (dir == fd)
		dir = (int)syscall(SYS_dup, dir);
	while ((n = syscall(SYS_getdents64, dir, buffer, sizeof(buffer))) > 0)
		for (at = 0; (d = procfs_next(buffer, n, &at)) >= 0;)
			found |= stray_try(ep, fd, d);
	return found ? 0 : 1;
}

/* 0 or -errno: -ENOENT if no file in this process has the item. */
static int
stray_name(struct kqueue *kq, int ep, int fd)
{
	sigset_t all, before;
	int status = -1;
	long pid, ended;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0) {
		HELGRIND_DROPPED(&kq->kq_lock);	/* it takes a thread's end with a lock for a fault */
		syscall(SYS_exit_group, stray_try_all(ep, fd));
	}
	do
		ended = pid < 0 ? -1 : syscall(SYS_wait4, pid, &status, __WALL, NULL);
	while (ended == -1 && pid > 0 && errno == EINTR);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 || ended == -1 ? -ECHILD : status == 0 ? 0 : -ENOENT;
}

bool
stray_remove(struct kqueue *kq, unsigned lane, int fd)
{
	int ep = lane == 0 ? kq->kq_ep : kq->kq_nested[lane - 1];
	int64_t now = timerfd_now(false);
	int saved = errno, error = -EAGAIN;

	if (kq->kq_hunted == 0 || now - kq->kq_hunted >= STRAY_PAUSE) {
		error = stray_name(kq, ep, fd);
		kq->kq_hunted = error == 0 ? 0 : now;
	}
	errno = saved;
	if (error < 0)
		kq->kq_stuck = true;
	return error == 0;
}
