/* SPDX-License-Identifier: BSD-2-Clause */
/* What EVFILT_VNODE tells. */
#ifndef KQ_TESTS_VNODE_H
#define KQ_TESTS_VNODE_H

#include "harness.h"

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
