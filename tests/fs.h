/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations of EVFILT_FS, and a mount name space of the test's own. */
#ifndef KQ_TESTS_FS_H
#define KQ_TESTS_FS_H

#include "sandbox.h"

#include <string.h>
#include <sys/mount.h>

#define ALL	(VQ_MOUNT | VQ_UNMOUNT)

static char one[128], two[128];

static inline int
fs(int kq, uintptr_t ident, unsigned flags, unsigned fflags)
{
	return change(kq, ident, EVFILT_FS, (unsigned short)flags, fflags, 0, NULL);
}

static inline void
ok(int result)
{
	ck_assert_msg(result >= 0, "%s", strerror(errno));
}

static inline bool
begin(void)
{
	return mounts_of_our_own(one, two);
}

static inline void
mount_on(const char *where)
{
	ok(mount("none", where, "tmpfs", 0, NULL));
}

static inline void
unmount(const char *where)
{
	ok(umount2(where, MNT_DETACH));
}

static inline int
watch_all(void)
{
	int kq = queue();

	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	return kq;
}

static inline void
expect(int kq, uintptr_t ident, unsigned notes)
{
	struct kevent event = event_of(kq, ident, EVFILT_FS);

	ck_assert_uint_eq(event.fflags, notes);
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
}

#endif
