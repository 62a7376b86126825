/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of the library's own, from mmap(2).  malloc() would not do: close()
 * ends a queue, perhaps in a signal handler that has interrupted malloc(), and
 * the child of _Fork() or clone() has malloc() as some other thread left it.
 *
 * A block's room is of a class of sizes, four to each power of two, so that arrays
 * of small powers of two fit; a header comes before it.  A block goes back
 * to the free list of its class: a stack that anyone may push onto at any
 * moment.  Only who holds the lock takes from it, so what is first cannot go
 * and come back while it is being taken.
 */
#include "mem.h"

#include "asan.h"
#include "helgrind.h"
#include "lock.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A leak checker is to look here, too: udata may be all that leads to the program's memory. */
#pragma weak __lsan_register_root_region
void	__lsan_register_root_region(const void *p, size_t size);

struct block {
	alignas(16) struct block *b_next;	/* if it is free */
	size_t		b_class;
};

struct region {
	alignas(16) struct region *r_next;
	size_t		r_size;
};

static_assert(sizeof(struct region) + sizeof(struct block) <= 64, "a region's first block begins a cache line");

#define MEM_LINE	((size_t)64)		/* of a cache: where larger blocks' room begins */
#define MEM_ALIGNED	((size_t)1024)		/* from here on */
#define MEM_REGION	((size_t)1 << 18)
#define MEM_LARGE	(MEM_REGION / 4)	/* has a region of its own */
#define MEM_RETURNED	((size_t)1 << 14)	/* is worth a system call when it is freed */
#define MEM_CLASSES	((sizeof(size_t) * 8 - 8) * 4)

static struct lock mem_lock;
static _Atomic(struct block *) mem_free_list[MEM_CLASSES];	/* taken from with mem_lock */
static struct region *mem_regions;		/* mem_lock */
static char *mem_next;				/* mem_lock: the last region's unused part ... */
static size_t mem_left;				/* ... and its size */

/* What comes first needs no mapping.  Used once, so that what is carved is always zero. */
static alignas(64) char mem_first[1 << 16];
static bool mem_begun;				/* mem_lock */

static size_t
class_room(size_t class)
{
	return (4 + class % 4) << (class / 4 + 4);
}

/* Of a block with its header. */
static size_t
class_size(size_t class)
{
	return class_room(class) + sizeof(struct block);
}

/* The class of blocks that have this much room. */
static size_t
class_of(size_t size)
{
	size_t class = 0;

	while (class_room(class + 3) < size)
		class += 4;
	while (class_room(class) < size)
		class++;
	return class;
}

static size_t
block_room(const struct block *b)
{
	return class_room(b->b_class);
}

static struct region *
region_map(size_t size)
{
	int saved = errno;
	struct region *r = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
	if (r == MAP_FAILED)
		return NULL;
	if (__lsan_register_root_region != NULL)
		__lsan_register_root_region(r, size);
	r->r_size = size;
	r->r_next = mem_regions;
	mem_regions = r;
	return r;
}

/* Its room begins a line. */
static struct block *
region_first(struct region *r)
{
	return (struct block *)(void *)((char *)r + MEM_LINE) - 1;
}

/* Another region to carve from; the lock is held. */
static bool
region_begin(size_t size)
{
	struct region *r;

	if (!mem_begun && size <= sizeof(mem_first) - MEM_LINE) {
		mem_begun = true;
		mem_next = mem_first + MEM_LINE - sizeof(struct block);
		mem_left = (size_t)(mem_first + sizeof(mem_first) - mem_next);
		return true;
	}
	r = region_map(MEM_REGION);
	if (r == NULL)
		return false;
	mem_next = (char *)region_first(r);
	mem_left = MEM_REGION - (size_t)(mem_next - (char *)r);
	return true;
}

/* A new block, all zero; the lock is held. */
static struct block *
block_carve(size_t size)
{
	struct region *r;
	struct block *b;
	size_t pad;

	if (size >= MEM_LARGE) {
		r = region_map(size + MEM_LINE);
		return r == NULL ? NULL : region_first(r);
	}
	pad = size < MEM_ALIGNED ? 0 : -((uintptr_t)mem_next + sizeof(*b)) % MEM_LINE;
	if (mem_left < size + pad) {
		if (!region_begin(size))
			return NULL;
		pad = 0;
	}
	b = (struct block *)(void *)(mem_next + pad);
	mem_next += size + pad;
	mem_left -= size + pad;
	return b;
}

/* A block with this much room, whatever is in it; *zero: nothing yet. */
static struct block *
block_take(size_t size, bool *zero)
{
	struct block *b, *next;
	size_t class;

	if (size > SIZE_MAX / 16)
		return NULL;
	class = class_of(size);
	lock_take(&mem_lock);
	b = atomic_load(&mem_free_list[class]);
	do
		next = b == NULL ? NULL : b->b_next;
	while (b != NULL && !atomic_compare_exchange_weak(&mem_free_list[class], &b, next));
	*zero = b == NULL;
	if (b == NULL)
		b = block_carve(class_size(class));
	lock_drop(&mem_lock);
	if (b == NULL)
		return NULL;
	b->b_class = class;
	ASAN_UNPOISON_MEMORY_REGION(b + 1, block_room(b));
	HELGRIND_FRESH(b + 1, block_room(b));
	return b;
}

void *
mem_alloc(size_t size)
{
	bool zero;
	struct block *b = block_take(size, &zero);

	if (b != NULL && !zero)
		memset(b + 1, 0, size);
	return b == NULL ? NULL : b + 1;
}

void *
mem_grow(void *p, size_t count, size_t size)
{
	struct block *old = p == NULL ? NULL : (struct block *)p - 1, *b;
	bool zero;

	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	if (old != NULL && count * size <= block_room(old))
		return p;
	b = block_take(count * size, &zero);
	if (b == NULL)
		return NULL;
	if (old != NULL)
		memcpy(b + 1, p, block_room(old));
	mem_free(p);
	return b + 1;
}

/*
 * The whole pages from one place to another go back to the system at once.  Of one that is not
 * whole the kernel would take the rest, too.
 */
static void
mem_empty(const char *from, const char *end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)from + page - 1) & ~(page - 1);
	uintptr_t last = (uintptr_t)end & ~(page - 1);
	int saved = errno;

	if (first < last)
		madvise((void *)first, last - first, MADV_DONTNEED);
	errno = saved;
}

void
mem_free(void *p)
{
	struct block *b = p == NULL ? NULL : (struct block *)p - 1;

	if (b == NULL)
		return;
	if (class_room(b->b_class) >= MEM_RETURNED)
		mem_empty((char *)(b + 1), (char *)b + class_size(b->b_class));
	ASAN_POISON_MEMORY_REGION(p, block_room(b));
	b->b_next = atomic_load(&mem_free_list[b->b_class]);
	while (!atomic_compare_exchange_weak(&mem_free_list[b->b_class], &b->b_next, b))
		;
}

void
mem_fork_child(void)
{
	atomic_store(&mem_lock.lk_word, 0);
}

void
mem_reset(void)
{
	struct region *r, *next;
	int saved = errno;

	lock_take(&mem_lock);
	for (size_t class = 0; class < MEM_CLASSES; class++)
		atomic_store(&mem_free_list[class], NULL);
	mem_left = 0;
	for (r = mem_regions, mem_regions = NULL; r != NULL; r = next) {
		next = r->r_next;
		ASAN_UNPOISON_MEMORY_REGION(r, r->r_size);
		munmap(r, r->r_size);
	}
	mem_empty(mem_first, mem_first + sizeof(mem_first));	/* and is not used again */
	lock_drop(&mem_lock);
	errno = saved;
}
