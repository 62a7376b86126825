/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc/self/mountinfo. */
#include <sys/mman.h>

#include "feed.h"

#include "source/mounts.c"

#define SUMS	64

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint64_t sums[SUMS], next[SUMS];
	struct mounts m = { .m_sums = sums, .m_next = next, .m_size = SUMS };
	uint32_t highest;

	memset(sums, 0, sizeof(sums));
	m.m_file = memfd_create("mountinfo", MFD_CLOEXEC);
	feed = (struct feed){ bytes, size };
	mounts_read(&m, &highest);
	mounts_compare(&m);
	close(m.m_file);
	return 0;
}
