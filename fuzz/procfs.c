/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc/PID/stat, and the names in /proc. */
#include "feed.h"

#include "source/procfs.c"

static void
found(void *arg, const struct procfs_process *p)
{
	(void)arg;
	if (p->pp_pid <= 0)
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct procfs_process process;
	char text[512];

	feed = (struct feed){ bytes, size };
	procfs_process(1, &process);
	feed = (struct feed){ bytes, size };
	procfs_processes(found, NULL);
	feed = (struct feed){ bytes, size };
	if (procfs_read("/proc/1/stat", text, sizeof(text)))
		for (int field = 3; field < 60; field++) {
			const char *at = procfs_field(text, field);

			if (at != NULL && (at < text || at >= text + sizeof(text)))
				__builtin_trap();
		}
	return 0;
}
