/* SPDX-License-Identifier: BSD-2-Clause */
#include "fdtable.h"

#include <errno.h>
#include <sys/mman.h>

_Atomic(struct fdchunk *) fdtable_chunk[1u << (31 - FDTABLE_CHUNK_SHIFT)];

static _Atomic unsigned fdtable_chunks;		/* none at or above this index */
static _Atomic int fdtable_top = -1;		/* the highest number asked for */

int
fdtable_highest(void)
{
	return atomic_load_explicit(&fdtable_top, memory_order_relaxed);
}

unsigned
fdtable_end(void)
{
	return atomic_load_explicit(&fdtable_chunks, memory_order_acquire) << FDTABLE_CHUNK_SHIFT;
}

/* A chunk is mapped, not allocated: most of its pages are never touched.  All need the first. */
static struct fdchunk fdtable_first;

static struct fdchunk *
fdtable_map_chunk(void)
{
	int saved = errno;
	struct fdchunk *chunk = mmap(NULL, sizeof(*chunk), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	errno = saved;
	return chunk == MAP_FAILED ? NULL : chunk;
}

static struct fdchunk *
fdtable_make_chunk(int fd)
{
	unsigned i = (unsigned)fd >> FDTABLE_CHUNK_SHIFT, end = fdtable_chunks;
	struct fdchunk *chunk = i == 0 ? &fdtable_first : fdtable_map_chunk(), *other = NULL;

	if (chunk == NULL)
		return NULL;
	while (end <= i && !atomic_compare_exchange_weak(&fdtable_chunks, &end, i + 1))
		;
	if (!atomic_compare_exchange_strong(&fdtable_chunk[i], &other, chunk) && i != 0)
		munmap(chunk, sizeof(*chunk));
	return fdtable_chunk[i];
}

struct fdentry *
fdtable_get(int fd)
{
	struct fdentry *entry = fdtable_find(fd);
	int highest = atomic_load_explicit(&fdtable_top, memory_order_relaxed);

	while (fd > highest && !atomic_compare_exchange_weak(&fdtable_top, &highest, fd))
		;
	if (entry == NULL && fdtable_make_chunk(fd) != NULL)
		entry = fdtable_find(fd);
	return entry;
}

int
fdtable_watch_first(struct kqueue *kq, int fd)
{
	struct fdentry *entry = fdtable_get(fd);
	struct kqueue *watcher;

	if (entry == NULL)
		return -ENOMEM;
	watcher = atomic_load_explicit(&entry->fe_watcher, memory_order_relaxed);
	while (watcher != kq && watcher != FDTABLE_MANY)
		if (atomic_compare_exchange_weak(&entry->fe_watcher, &watcher,
		    watcher == NULL ? kq : FDTABLE_MANY))
			break;
	return 0;
}
