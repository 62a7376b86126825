/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the process knows of each descriptor number: whether it is a queue, who
 * watches it, how often it was closed.  Read without locks by the wrapped libc
 * functions, also in signal handlers; entries are never freed.
 */
#ifndef KQ_FDTABLE_H
#define KQ_FDTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kqueue;

struct fdentry {
	_Atomic(struct kqueue *) fe_queue;	/* the queue this number leads to */
	_Atomic(struct kqueue *) fe_watcher;	/* a queue that watches it, or FDTABLE_MANY */
	_Atomic(_Atomic int *) fe_owner; /* it is the library's own, and who has it (hidden.c) */
	_Atomic int	fe_next;	/* 0: in no kq_closed; else 1 + the kq_closed it was put before */
	_Atomic uint32_t fe_epoch;	/* how often it was closed while watched */
	_Atomic bool	fe_shut;	/* shutdown(2) ended its sending */
	_Atomic bool	fe_vanish;	/* a registration on it has EV_VANISHED */
};

#define FDTABLE_MANY	((struct kqueue *)(uintptr_t)1)

#define FDTABLE_CHUNK_SHIFT 14
#define FDTABLE_CHUNK	(1u << FDTABLE_CHUNK_SHIFT)

extern _Atomic(struct fdentry *) fdtable_chunk[1u << (31 - FDTABLE_CHUNK_SHIFT)];

/* The entry of a number, NULL if nothing was ever noted about it or its neighbours. */
static inline struct fdentry *
fdtable_find(int fd)
{
	struct fdentry *chunk;

	if (fd < 0)
		return NULL;
	chunk = atomic_load_explicit(&fdtable_chunk[(unsigned)fd >> FDTABLE_CHUNK_SHIFT],
	    memory_order_acquire);
	return chunk == NULL ? NULL : &chunk[(unsigned)fd & (FDTABLE_CHUNK - 1)];
}

/* Numbers from here on have no entry. */
unsigned fdtable_end(void);

/* Whether close(fd) has books to do. */
static inline bool
fdtable_noted(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL &&
	    (atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed) != NULL ||
	    atomic_load_explicit(&entry->fe_queue, memory_order_relaxed) != NULL ||
	    atomic_load_explicit(&entry->fe_shut, memory_order_relaxed) ||
	    atomic_load_explicit(&entry->fe_owner, memory_order_relaxed) != NULL);
}

/* The queue that fd is known to lead to, to be used with care: it may be closed meanwhile. */
static inline struct kqueue *
fdtable_queue(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry == NULL ? NULL :
	    atomic_load_explicit(&entry->fe_queue, memory_order_acquire);
}

static inline bool
fdtable_hidden(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL &&
	    atomic_load_explicit(&entry->fe_owner, memory_order_relaxed) != NULL;
}

/* The same, made if need be; NULL: no memory. */
struct fdentry *fdtable_get(int fd);

/* No higher number was ever made an entry. */
int	fdtable_highest(void);

/* This is a forked child: nobody watches the number, it is no queue and not ours. */
static inline void
fdtable_forget(struct fdentry *entry)
{
	/* Written only if need be: most pages stay shared with the parent, or unmapped. */
	if (atomic_load_explicit(&entry->fe_queue, memory_order_relaxed) != NULL)
		atomic_store(&entry->fe_queue, NULL);
	if (atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed) != NULL)
		atomic_store(&entry->fe_watcher, NULL);
	if (atomic_load_explicit(&entry->fe_next, memory_order_relaxed) != 0)
		atomic_store(&entry->fe_next, 0);
	if (atomic_load_explicit(&entry->fe_owner, memory_order_relaxed) != NULL)
		atomic_store(&entry->fe_owner, NULL);
}

/* Queue kq begins to watch fd; 0 or -ENOMEM. */
int	fdtable_watch(struct kqueue *kq, int fd);

/* How often fd was closed while watched. */
static inline uint32_t
fdtable_epoch(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry == NULL ? 0 :
	    atomic_load_explicit(&entry->fe_epoch, memory_order_relaxed);
}

/* Whether this side of the socket fd was seen to shut down its sending. */
static inline bool
fdtable_shut(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL &&
	    atomic_load_explicit(&entry->fe_shut, memory_order_relaxed);
}

#endif
