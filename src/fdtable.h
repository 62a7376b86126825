/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the process knows of each descriptor number: whether it is a queue, who
 * watches it, how often it was closed.  Read without locks by the wrapped libc
 * functions, also in signal handlers; entries are never freed.
 *
 * Registrations are many and queues are few, so what a number has for being
 * watched and what it has for being ours are apart: only what is used is in memory.
 */
#ifndef KQ_FDTABLE_H
#define KQ_FDTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kqueue;

struct fdentry {
	_Atomic(struct kqueue *) fe_watcher;	/* a queue that watches it, or FDTABLE_MANY */
	_Atomic int	fe_next;	/* 0: in no kq_closed; else 1 + the kq_closed it was put before */
	_Atomic uint32_t fe_state;	/* FDTABLE_SHUT, ..., and how often it was closed while watched */
};

/* What a number is besides: at most one of these. */
struct fdrole {
	_Atomic(struct kqueue *) fr_queue;	/* the queue it leads to */
	_Atomic(_Atomic int *) fr_owner; /* it is the library's own, and who has it (hidden.c) */
};

#define FDTABLE_MANY	((struct kqueue *)(uintptr_t)1)

/* fe_state */
#define FDTABLE_SHUT	1u	/* shutdown(2) ended its sending */
#define FDTABLE_VANISH	2u	/* a registration on it has EV_VANISHED */
#define FDTABLE_SOCKET	0x3fcu	/* what is left of the inode of the socket that was shut down */
#define FDTABLE_EPOCH	0x400u	/* it was closed once; the rest of the word counts that */

#define FDTABLE_CHUNK_SHIFT 14
#define FDTABLE_CHUNK	(1u << FDTABLE_CHUNK_SHIFT)

/* Numbers that one bit of fc_used stands for. */
#define FDTABLE_BLOCK	64u

struct fdchunk {
	_Atomic uint64_t fc_used[FDTABLE_CHUNK / FDTABLE_BLOCK / 64];	/* where anything was ever noted */
	struct fdrole	fc_role[FDTABLE_CHUNK];
	struct fdentry	fc_entry[FDTABLE_CHUNK];
};

extern _Atomic(struct fdchunk *) fdtable_chunk[1u << (31 - FDTABLE_CHUNK_SHIFT)];

static inline struct fdchunk *
fdtable_chunk_of(int fd)
{
	return fd < 0 ? NULL : atomic_load_explicit(
	    &fdtable_chunk[(unsigned)fd >> FDTABLE_CHUNK_SHIFT], memory_order_acquire);
}

/* The entry of a number, NULL if nothing was ever noted about it or its neighbours. */
static inline struct fdentry *
fdtable_find(int fd)
{
	struct fdchunk *chunk = fdtable_chunk_of(fd);

	return chunk == NULL ? NULL : &chunk->fc_entry[(unsigned)fd & (FDTABLE_CHUNK - 1)];
}

/* Its role: there is one if there is an entry. */
static inline struct fdrole *
fdtable_role(int fd)
{
	struct fdchunk *chunk = fdtable_chunk_of(fd);

	return chunk == NULL ? NULL : &chunk->fc_role[(unsigned)fd & (FDTABLE_CHUNK - 1)];
}

/* Whether something may be noted of it: its bit is set. */
static inline bool
fdtable_used(int fd)
{
	struct fdchunk *chunk = fdtable_chunk_of(fd);
	unsigned block = (unsigned)fd % FDTABLE_CHUNK / FDTABLE_BLOCK;

	return chunk != NULL &&
	    (atomic_load_explicit(&chunk->fc_used[block / 64], memory_order_relaxed) >> block % 64 & 1) != 0;
}

/* The first number from this one on that something may have been noted of, or -1. */
int	fdtable_next(unsigned from);

/* Whether close(fd) has books to do. */
static inline bool
fdtable_noted(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct fdrole *role = fdtable_role(fd);

	return role != NULL &&
	    (atomic_load_explicit(&role->fr_queue, memory_order_relaxed) != NULL ||
	    atomic_load_explicit(&role->fr_owner, memory_order_relaxed) != NULL ||
	    atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed) != NULL ||
	    (atomic_load_explicit(&entry->fe_state, memory_order_relaxed) & FDTABLE_SHUT) != 0);
}

/* The queue that fd is known to lead to, to be used with care: it may be closed meanwhile. */
static inline struct kqueue *
fdtable_queue(int fd)
{
	struct fdrole *role = fdtable_role(fd);

	return role == NULL ? NULL : atomic_load_explicit(&role->fr_queue, memory_order_acquire);
}

static inline bool
fdtable_hidden(int fd)
{
	struct fdrole *role = fdtable_role(fd);

	return role != NULL && atomic_load_explicit(&role->fr_owner, memory_order_acquire) != NULL;
}

/* The same, made if need be; NULL: no memory. */
struct fdentry *fdtable_get(int fd);

static inline struct fdrole *
fdtable_get_role(int fd)
{
	return fdtable_get(fd) == NULL ? NULL : fdtable_role(fd);
}

/* This is a forked child: nobody watches the number, it is no queue and not ours. */
static inline void
fdtable_forget(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	struct fdrole *role = fdtable_role(fd);

	/* Written only if need be: most pages stay shared with the parent, or unmapped. */
	if (atomic_load_explicit(&role->fr_queue, memory_order_relaxed) != NULL)
		atomic_store(&role->fr_queue, NULL);
	if (atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed) != NULL)
		atomic_store(&entry->fe_watcher, NULL);
	if (atomic_load_explicit(&entry->fe_next, memory_order_relaxed) != 0)
		atomic_store(&entry->fe_next, 0);
	if (atomic_load_explicit(&role->fr_owner, memory_order_relaxed) != NULL)
		atomic_store(&role->fr_owner, NULL);
}

int	fdtable_watch_first(struct kqueue *kq, int fd);

/* Queue kq begins to watch fd, or does so already; 0 or -ENOMEM. */
static inline int
fdtable_watch(struct kqueue *kq, int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL && atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed) == kq ?
	    0 : fdtable_watch_first(kq, fd);
}

/*
 * How often fd was closed while watched.  Acquires: who finds a closing counted, and then looks who
 * watches the number, must not find the watcher of before it, which went first.
 */
static inline uint32_t
fdtable_epoch(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry == NULL ? 0 :
	    atomic_load_explicit(&entry->fe_state, memory_order_acquire) / FDTABLE_EPOCH;
}

/* What fe_state has room for: of one socket and the next it is not the same. */
static inline uint32_t
fdtable_socket(int64_t inode)
{
	return (uint32_t)((uint64_t)inode * UINT64_C(0x9e3779b97f4a7c15) >> 56) << 2;
}

/* Whether this side of the socket fd was seen to shut down its sending. */
static inline bool
fdtable_shut(int fd)
{
	struct fdentry *entry = fdtable_find(fd);

	return entry != NULL &&
	    (atomic_load_explicit(&entry->fe_state, memory_order_relaxed) & FDTABLE_SHUT) != 0;
}

/* The number's socket has this inode: if another was shut down there, that was closed unseen. */
static inline void
fdtable_is_socket(int fd, int64_t inode)
{
	struct fdentry *entry = fdtable_find(fd);
	uint32_t state = atomic_load_explicit(&entry->fe_state, memory_order_relaxed);

	if ((state & FDTABLE_SHUT) != 0 && (state & FDTABLE_SOCKET) != fdtable_socket(inode))
		atomic_fetch_and_explicit(&entry->fe_state, ~FDTABLE_SHUT, memory_order_relaxed);
}

#endif
