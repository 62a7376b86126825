/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/self/fdinfo/N, of a pidfd, of an epoll and of any file; /proc/pressure/memory; names of descriptors, alone and
 * in the entries of a directory, and what /proc calls one that has none.
 */
#include "feed.h"

#include <stdio.h>

/* Of the fuzzer's bytes, too. */
static FILE *
feed_file(const char *path, const char *mode)
{
	(void)path;
	(void)mode;
	return feed.size == 0 ? NULL : fmemopen((void *)(uintptr_t)feed.bytes, feed.size, "r");
}

#define fopen feed_file

#include "number.c"
#include "source/fdkind.c"
#include "source/mounts.c"
#include "source/pidfd.c"
#include "source/procfs.c"
#include "source/psi.c"
#include "source/stray.c"
#include "interpose/close.c"

/* No number from here on is open. */
#define FAR 1000000

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct feed whole = { bytes, size };
	char name[24];
	bool led;

	feed = whole;
	pidfd_number(0);
	feed = whole;
	pidfd_zombie_status(0);
	feed = whole;
	pidfd_veiled(0, &led);
	feed = whole;
	mounts_number(0);
	feed = whole;
	psi_total(0, "some");
	feed = whole;
	kqueue_of_duplicate(FAR);
	feed = whole;
	fdkind_of_anonymous(0);
	feed = whole;
	stray_try_all(-1, 0);
	feed = whole;
	close_listed(FAR);
	feed = whole;
	name[feed_take(name, sizeof(name) - 1)] = '\0';
	if (procfs_number(name) < -1)
		__builtin_trap();
	return 0;
}
