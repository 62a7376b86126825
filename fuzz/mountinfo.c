/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc/self/mountinfo. */
#include <sys/mman.h>

#include "feed.h"

#include "source/mountinfo.c"

#define SUMS	64

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint64_t sums[SUMS], next[SUMS];
	struct mountinfo mi = { .mi_sums = sums, .mi_next = next, .mi_size = SUMS };
	uint32_t highest;

	memset(sums, 0, sizeof(sums));
	mi.mi_file = memfd_create("mountinfo", MFD_CLOEXEC);
	feed = (struct feed){ bytes, size };
	mountinfo_read(&mi, &highest);
	mountinfo_compare(&mi);
	close(mi.mi_file);
	return 0;
}
