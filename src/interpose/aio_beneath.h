/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under what other names a static C library has the functions of aio(7): glibc does
 * since 2.34, and its aio_read() and so on are weak.  KQ_AIO_BENEATH says that it was
 * seen to be so when the library was built, with offsets of one width.
 */
#ifndef KQ_AIO_BENEATH_H
#define KQ_AIO_BENEATH_H

#ifdef KQ_AIO_BENEATH

#include <aio.h>

int	__aio_read(struct aiocb *cb);
int	__aio_write(struct aiocb *cb);
int	__aio_fsync(int op, struct aiocb *cb);
int	__aio_error(const struct aiocb *cb);
ssize_t	__aio_return(struct aiocb *cb);
int	__aio_cancel(int fd, struct aiocb *cb);
int	__aio_suspend(const struct aiocb *const list[], int n, const struct timespec *timeout);
int	__lio_listio_24(int mode, struct aiocb *const list[], int n, struct sigevent *event);

#define AIO_BENEATH {								\
	.aio_read = __aio_read, .aio_write = __aio_write, .aio_fsync = __aio_fsync, \
	.aio_read64 = __aio_read, .aio_write64 = __aio_write, .aio_fsync64 = __aio_fsync, \
	.aio_error = __aio_error, .aio_return = __aio_return, .aio_cancel = __aio_cancel, \
	.aio_suspend = __aio_suspend,						\
	.lio_listio = __lio_listio_24, .lio_listio64 = __lio_listio_24		\
}

#define AIO_BENEATH_LIBC(width) {						\
	.read = __aio_read, .write = __aio_write, .fsync = __aio_fsync, .error = __aio_error, \
	.result = __aio_return, .suspend = __aio_suspend, .offset = (width)	\
}

#else

#define AIO_BENEATH		{ .aio_read = NULL }
#define AIO_BENEATH_LIBC(width)	{ .offset = (width) }

#endif
#endif
