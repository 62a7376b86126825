/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of EVFILT_AIO and EVFILT_LIO share. */
#ifndef KQ_TESTS_AIO_H
#define KQ_TESTS_AIO_H

#include "harness.h"
#include "sandbox.h"
#include "sanitizer.h"

#include <aio.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Whether SIGEV_THREAD works at all: the thread sanitizer's malloc() crashes in the C library's threads. */
#define AIO_THREADS (!THREAD_SANITIZER)

/* Whether this process can have an io_uring (the number of the call is the same everywhere). */
static inline bool
aio_has_ring(void)
{
	/* 4 says EFAULT if it may be called at all. */
	return syscall(425, 4, NULL) == -1 && errno == EFAULT;
}

/* Whether it is used for a read of a pipe, too, so that no thread waits for it: since Linux 6.4. */
static inline bool
aio_ring_reads_pipes(void)
{
	struct iovec iov;
	int fds[2];
	bool reads;
	char c;

	ck_assert_int_eq(pipe(fds), 0);
	iov = (struct iovec){ .iov_base = &c, .iov_len = 1 };
	reads = preadv2(fds[0], &iov, 1, -1, 0x8 /* RWF_NOWAIT */) == -1 && errno == EAGAIN;
	close_pair(fds);
	return reads;
}

/* From here on there is none, as in many a container. */
static inline void
aio_refuse_ring(void)
{
	if (!refuse_call(425, EPERM))
		exit(77);
}

/*
 * As HARNESS_MAIN(), with the argument "libc" on the C library's AIO only; there, without
 * SIGEV_THREAD, the first n only, which start nothing; without these, it is skipped.
 */
#define AIO_MAIN(suite, n, ...)							\
	int									\
	main(int argc, char **argv)						\
	{									\
		const TTest *const tests[] = { __VA_ARGS__ };			\
		bool all;							\
										\
		if (argc > 1 && strcmp(argv[1], "libc") == 0)			\
			aio_refuse_ring();					\
		all = AIO_THREADS || aio_has_ring();				\
		if (!all)							\
			fprintf(stderr, "skipped, but %d: SIGEV_THREAD crashes under this sanitizer\n", n); \
		if (!all && (n) == 0)						\
			return 77;						\
		return harness_run((suite), tests, all ? sizeof(tests) / sizeof(tests[0]) : (n)); \
	}

/* Longer than any operation here takes on a loaded machine. */
#define LONG_MS 20000

/* The C library may have made threads, which end by themselves after a while. */
static inline void
rest(void)
{
	for (int tries = 0; AIO_THREADS && threads() > 1 && tries < 500; tries++)
		nap(10);
}

static inline void
set(struct aiocb *cb, int fd, void *buf, size_t n, off_t offset)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_fildes = fd;
	cb->aio_buf = buf;
	cb->aio_nbytes = n;
	cb->aio_offset = offset;
}

static inline void
set_event(struct sigevent *event, int kq, int flags, void *udata)
{
	memset(event, 0, sizeof(*event));
	event->sigev_notify = SIGEV_KEVENT;
	event->sigev_notify_kqueue = kq;
	event->sigev_notify_kevent_flags = flags;
	event->sigev_value.sival_ptr = udata;
}

/* A file of the test's own with these contents. */
static inline int
file_with(const char *contents)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, contents, strlen(contents)), (ssize_t)strlen(contents));
	return fd;
}

/* Nothing tells that an operation has begun to wait; should it not have, there is less to see, and nothing wrong. */
static inline void
begins_to_wait(void)
{
	nap(20);
}

/* The event that must come, of this operation. */
static inline struct kevent
end_of(int kq, const struct aiocb *cb)
{
	struct kevent event;

	ck_assert_int_eq(collect(kq, &event, 1, LONG_MS), 1);
	ck_assert_uint_eq(event.ident, (uintptr_t)cb);
	ck_assert_int_eq(event.filter, EVFILT_AIO);
	return event;
}

#endif
