# SPDX-License-Identifier: BSD-2-Clause
# KQ_AIO_BENEATH: whether the static C library has the functions of aio(7) under names that
# src/interpose/aio_beneath.h knows, so that a static program can have ours before them.

include(CheckCSourceCompiles)

block()
	set(CMAKE_REQUIRED_FLAGS -static)
	set(CMAKE_REQUIRED_DEFINITIONS -D_GNU_SOURCE)
	set(CMAKE_REQUIRED_LIBRARIES Threads::Threads)
	check_c_source_compiles("
		#include <aio.h>
		_Static_assert(sizeof(off_t) == sizeof(long long) && sizeof(long) == 8, \"two widths\");
		int __aio_read(struct aiocb *), __aio_write(struct aiocb *), __aio_fsync(int, struct aiocb *);
		int __aio_error(const struct aiocb *), __aio_cancel(int, struct aiocb *);
		ssize_t __aio_return(struct aiocb *);
		int __aio_suspend(const struct aiocb *const *, int, const struct timespec *);
		int __lio_listio_24(int, struct aiocb *const *, int, struct sigevent *);
		int aio_read(struct aiocb *cb) { return __aio_read(cb); }
		int aio_write(struct aiocb *cb) { return __aio_write(cb); }
		int aio_fsync(int op, struct aiocb *cb) { return __aio_fsync(op, cb); }
		int aio_error(const struct aiocb *cb) { return __aio_error(cb); }
		int aio_cancel(int fd, struct aiocb *cb) { return __aio_cancel(fd, cb); }
		ssize_t aio_return(struct aiocb *cb) { return __aio_return(cb); }
		int aio_suspend(const struct aiocb *const l[], int n, const struct timespec *t)
		    { return __aio_suspend(l, n, t); }
		int lio_listio(int m, struct aiocb *const l[], int n, struct sigevent *e)
		    { return __lio_listio_24(m, l, n, e); }
		int main(void)
		{
			return aio_read(0) + aio_write(0) + aio_fsync(0, 0) + aio_error(0) + aio_cancel(0, 0) +
			    (int)aio_return(0) + aio_suspend(0, 0, 0) + lio_listio(0, 0, 0, 0);
		}" KQ_AIO_BENEATH)
endblock()
