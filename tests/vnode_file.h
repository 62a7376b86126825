/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file, and a queue that watches it. */
#ifndef KQ_TESTS_VNODE_FILE_H
#define KQ_TESTS_VNODE_FILE_H

#include "vnode.h"

#include <unistd.h>

#define SIZE	10	/* of the file when it is begun with */

static int kq, fd;			/* fd: the file, in which the offset is at the end */
static char path[128], path2[128];	/* its name, and one that is free */

/* Another file takes the place of the one before. */
static inline void
renew(void)
{
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	snprintf(path2, sizeof(path2), "%s/other", scratch_dir());
	unlink(path);
	unlink(path2);
	close(fd);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
	ck_assert_int_ge(fd, 0);
	put(fd, SIZE);
}

static inline void
begin(void)
{
	fd = -1;
	renew();
	kq = queue();
}

static inline void
end(void)
{
	close(kq);
	close(fd);
}

static inline void
watch(unsigned int flags, unsigned int notes)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, (unsigned short)(EV_ADD | flags),
	    notes, 0, NULL), 0);
}

/* What is told now; 0: nothing. */
static inline unsigned int
told(void)
{
	return told_of(kq, fd);
}

#endif
