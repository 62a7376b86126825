/* SPDX-License-Identifier: BSD-2-Clause */
/* Files, and what EVFILT_VNODE tells of them. */
#ifndef KQ_TESTS_VNODE_H
#define KQ_TESTS_VNODE_H

#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static inline void
ok(long result)
{
	ck_assert_msg(result != -1, "%s", strerror(errno));
}

/* The path of a name in the test's own directory; good for three calls more. */
static inline const char *
scratch_name(const char *name)
{
	static char names[4][128];
	static unsigned next;
	char *full = names[next++ % 4];

	snprintf(full, sizeof(names[0]), "%s/%s", scratch_dir(), name);
	return full;
}

static inline int
scratch_file(const char *name)
{
	int file = open(scratch_name(name), O_RDWR | O_CREAT | O_EXCL, 0644);

	ok(file);
	return file;
}

/* What is told now, which has to be of this file; EV_EOF goes with NOTE_REVOKE.  0: nothing. */
static inline unsigned int
told_of(int kq, int fd)
{
	struct kevent event;

	if (collect(kq, &event, 1, 0) == 0)
		return 0;
	ck_assert_uint_eq(event.ident, (uintptr_t)fd);
	ck_assert_int_eq(event.filter, EVFILT_VNODE);
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event.flags & (EV_EOF | EV_ERROR), (event.fflags & NOTE_REVOKE) != 0 ? EV_EOF : 0);
	return event.fflags;
}

#endif
