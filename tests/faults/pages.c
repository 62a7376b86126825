/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where pages are larger than usual, the system is asked for whole ones only when memory is given
 * back: it would take what is left of the last page, too, whosever that is.
 */
#include "../harness.h"
#include "../../src/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE 65536u		/* the largest page that there is */
#define BLOCKS 200

int	__real_madvise(void *p, size_t size, int advice);
int	__wrap_madvise(void *p, size_t size, int advice);
long	__real_sysconf(int name);
long	__wrap_sysconf(int name);

static int given_back;

/* What a kernel does that has such pages. */
int
__wrap_madvise(void *p, size_t size, int advice)
{
	if ((uintptr_t)p % LARGE != 0) {
		errno = EINVAL;
		return -1;
	}
	given_back += advice == MADV_DONTNEED && size > 0;
	return __real_madvise(p, (size + LARGE - 1) / LARGE * LARGE, advice);
}

long
__wrap_sysconf(int name)
{
	return name == _SC_PAGESIZE ? (long)LARGE : __real_sysconf(name);
}

START_TEST(pages__of_a_neighbour_stay)
{
	static unsigned char *block[BLOCKS];
	static size_t size[BLOCKS];
	size_t changed = 0;

	for (int i = 0; i < BLOCKS; i++) {
		size[i] = 9000u + (size_t)(i % 13) * 3800;
		block[i] = mem_alloc(size[i]);
		ck_assert_ptr_nonnull(block[i]);
		memset(block[i], 1 + i % 255, size[i]);
	}
	for (int i = 0; i < BLOCKS; i += 2)
		mem_free(block[i]);
	for (int i = 1; i < BLOCKS; i += 2) {
		for (size_t at = 0; at < size[i]; at++)
			changed += block[i][at] != 1 + i % 255;
		mem_free(block[i]);
	}
	ck_assert_uint_eq(changed, 0);
}
END_TEST

START_TEST(pages__that_are_whole_are_given_back)
{
	void *block = mem_alloc(4 * LARGE);

	ck_assert_ptr_nonnull(block);
	given_back = 0;
	mem_free(block);
	ck_assert_int_eq(given_back, 1);
}
END_TEST

HARNESS_MAIN("pages",
    pages__of_a_neighbour_stay,
    pages__that_are_whole_are_given_back)
