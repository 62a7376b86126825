/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the functions of aio.c refer to in a static program is not there in others.  They do
 * not call it there (aio_resolve), but the linker wants it.
 */
#if defined(KQ_AIO_BENEATH) && defined(KQ_BEFORE_MARK)

#include "aio_beneath.h"
#include "next.h"

#include <errno.h>

static int
absent(void)
{
	errno = ENOSYS;
	return -1;
}

#define ABSENT(name, arguments)		\
	KQ_BENEATH int			\
	name arguments			\
	{				\
		return absent();	\
	}

/* Their parameters are named for the reader: none of them is used. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

ABSENT(__aio_read, (struct aiocb *cb))
ABSENT(__aio_write, (struct aiocb *cb))
ABSENT(__aio_fsync, (int op, struct aiocb *cb))
ABSENT(__aio_error, (const struct aiocb *cb))
ABSENT(__aio_cancel, (int fd, struct aiocb *cb))
ABSENT(__aio_suspend, (const struct aiocb *const list[], int n, const struct timespec *timeout))
ABSENT(__lio_listio_24, (int mode, struct aiocb *const list[], int n, struct sigevent *event))

KQ_BENEATH ssize_t
__aio_return(struct aiocb *cb)
{
	return absent();
}

#else
typedef int nothing_is_absent;
#endif
