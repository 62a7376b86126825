/* SPDX-License-Identifier: BSD-2-Clause */
#include "fdtable.h"

#include <errno.h>
#include <sys/mman.h>

_Atomic(struct fdchunk *) fdtable_chunk[1u << (31 - FDTABLE_CHUNK_SHIFT)];

static _Atomic unsigned fdtable_chunks;		/* none at or above this index */

int
fdtable_next(unsigned from)
{
	unsigned end = atomic_load_explicit(&fdtable_chunks, memory_order_acquire) << FDTABLE_CHUNK_SHIFT;
	const struct fdchunk *chunk;
	uint64_t used;

	while (from < end) {
		chunk = fdtable_chunk_of((int)from);
		if (chunk == NULL) {
			from = (from | (FDTABLE_CHUNK - 1)) + 1;
			continue;
		}
		used = atomic_load(&chunk->fc_used[from % FDTABLE_CHUNK / FDTABLE_BLOCK / 64]);
		used >>= from / FDTABLE_BLOCK % 64;
		if ((used & 1) != 0)
			return (int)from;
		from = (from | (used == 0 ? FDTABLE_BLOCK * 64 - 1 : FDTABLE_BLOCK - 1)) + 1;
	}
	return -1;
}

/* What has no bit is not looked at in a forked child, so it is set before anything is noted. */
static void
fdtable_use(int fd)
{
	_Atomic uint64_t *word =
	    &fdtable_chunk_of(fd)->fc_used[(unsigned)fd % FDTABLE_CHUNK / FDTABLE_BLOCK / 64];
	uint64_t bit = UINT64_C(1) << (unsigned)fd / FDTABLE_BLOCK % 64;

	if ((atomic_load_explicit(word, memory_order_relaxed) & bit) == 0)
		atomic_fetch_or(word, bit);
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
	if (fdtable_find(fd) == NULL && (fd < 0 || fdtable_make_chunk(fd) == NULL))
		return NULL;
	fdtable_use(fd);
	return fdtable_find(fd);
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
