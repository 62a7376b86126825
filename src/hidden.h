/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of the library's own, kept at high numbers out of the program's way.
 *
 * Whoever has one keeps its number in an atomic variable, the owner, and reads
 * it there whenever it is used: if the program wants that very number, for
 * dup2(), ours moves to another and the owner is told, without a lock.  An epoll
 * item keeps reporting after the move, but cannot be named any more; who must
 * name it (EPOLL_CTL_MOD) adds another.
 */
#ifndef KQ_HIDDEN_H
#define KQ_HIDDEN_H

#include "fdtable.h"
#include "syscall.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * epoll_ctl(2) on numbers that another thread may move or close meanwhile, who is
 * asked only what is true afterwards.  The bare call, since ThreadSanitizer knows
 * the function and takes the closing for a race.  Fit for signal handlers.
 */
static inline int
hidden_epoll_ctl(int ep, int op, int fd, struct epoll_event *item)
{
	return (int)syscall(SYS_epoll_ctl, ep, op, fd, item);
}

/*
 * The same in an epoll of our own.  If the program takes its number meanwhile, who was asked may have been
 * another, or ours by its old name: what was added is taken back, and it is done once more.
 */
static inline int
hidden_epoll_ctl_in(const _Atomic int *owner, int op, int fd, struct epoll_event *item)
{
	int ep = *owner, result = hidden_epoll_ctl(ep, op, fd, item);

	while (ep != *owner) {
		if (op == EPOLL_CTL_ADD && result == 0)
			hidden_epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
		ep = *owner;
		result = hidden_epoll_ctl(ep, op, fd, item);
	}
	return result;
}

/* Moves fd to a high number, close-on-exec, for *owner: 0, or -errno (fd is closed, *owner is -1). */
int	hidden_move(int fd, _Atomic int *owner);

/* A duplicate of fd at a high number, close-on-exec, for *owner: 0, or -errno (*owner is -1). */
int	hidden_dup(int fd, _Atomic int *owner);

/* Closes what *owner has, if anything; *owner is -1. */
void	hidden_free(_Atomic int *owner);

/* *owner has a number that is closed already: it is -1, and the number no one's. */
void	hidden_disown(_Atomic int *owner);

/* Closes a descriptor that nobody owns yet: no wrapper looks. */
void	hidden_close(int fd);

/*
 * The program takes this number for itself: if it is one of ours, ours moves.
 * 0 or -errno (EMFILE).  Takes no lock; but what a signal handler of this thread
 * closes meanwhile must not be ended by it (kqueue_thread.locks), for that might wait for us.
 */
int	hidden_yield(int fd);

#pragma GCC visibility push(hidden)
extern _Atomic int hidden_base;		/* where ours begin, or 0 */
extern _Atomic unsigned hidden_moves;	/* how many are being moved */
#pragma GCC visibility pop

/* hidden_move() for an owner that nobody knows yet, in the function that calls it (syscall.h). */
static inline __attribute__((always_inline)) int
hidden_move_new(int fd, _Atomic int *owner)
{
	int base = atomic_load_explicit(&hidden_base, memory_order_relaxed);
	int copy = base == 0 ? -1 : (int)syscall_direct(SYS_fcntl, fd, F_DUPFD_CLOEXEC, base, 0);

	if (copy < 0 || !fdtable_used(copy)) {
		if (copy >= 0)
			syscall_direct(SYS_close, copy, 0, 0, 0);
		return hidden_move(fd, owner);
	}
	atomic_store_explicit(owner, copy, memory_order_relaxed);
	atomic_store_explicit(&fdtable_role(copy)->fr_owner, owner, memory_order_release);
	syscall_direct(SYS_close, fd, 0, 0, 0);
	return 0;
}

/* Who takes the owner out of the entry may do away with the number. */
static inline bool
hidden_claim(int fd, _Atomic int *owner)
{
	return atomic_compare_exchange_strong(&fdtable_role(fd)->fr_owner, &owner, NULL);
}

/* hidden_free(), likewise.  If the number is being moved, that is waited for: it takes a few instructions. */
static inline __attribute__((always_inline)) void
hidden_free_here(_Atomic int *owner)
{
	int fd;

	do {
		fd = atomic_load(owner);
		if (fd >= 0 && hidden_claim(fd, owner)) {
			syscall_direct(SYS_close, fd, 0, 0, 0);
			break;
		}
		/* Whoever was quicker is still moving it, or the owner has been told. */
	} while (atomic_load(&hidden_moves) > 0 || atomic_load(owner) != fd);
	atomic_store(owner, -1);
}

/* A forked child: no other thread is moving anything. */
void	hidden_fork_child(void);

#endif
