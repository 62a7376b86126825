/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands before the C library in a program that is not static, and that
 * libkq.a is part of.  A static program must not have it: see beneath.c.
 *
 * So stream.c, spawn.c and aio.c are in an archive of their own, which the linker is
 * given after the C library, with the order to look for a name that only
 * static C libraries have (kq::static brings both).  If nobody else has it,
 * it is found here, and brings the rest of the archive along.
 */
#if KQ_INTERPOSE && KQ_INTERPOSE_STREAMS

#include "interpose/next.h"

void
before_resolve(void)
{
	stream_resolve();
	spawn_resolve();
	aio_resolve();
}

#ifdef KQ_BEFORE_MARK
void	KQ_BEFORE_MARK(void);

/* Nobody calls it. */
KQ_BENEATH void
KQ_BEFORE_MARK(void)
{
}
#endif

#else
typedef int before_is_nothing;
#endif
