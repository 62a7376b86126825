/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of aio(7).  What does not ask for SIGEV_KEVENT is passed on; an
 * operation that does is the business of source/aio.c.
 *
 * In a static program they can stand before the C library's only where that has the
 * functions under other names, too (aio_beneath.h).  There an archive of their own, which
 * comes after libkq.a, has them with KQ_AIO_BENEATH; in a program that is not static
 * the same objects find the C library's as the shared library does, since before.c
 * has aio_resolve() called.
 */
#if KQ_INTERPOSE && KQ_INTERPOSE_STREAMS

#include "../asan.h"
#include "../mem.h"
#include "../source/aio.h"
#include "aio_beneath.h"
#include "next.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/event.h>
#include <time.h>

/* How many aio_suspend() takes without allocating. */
#define SUSPEND_STACK	128

/* musl names these only as macros, and not at all in later versions. */
#undef aio_read64
#undef aio_write64
#undef aio_fsync64
#undef aio_error64
#undef aio_return64
#undef aio_cancel64
#undef aio_suspend64
#undef lio_listio64

static struct functions {
	int	(*aio_read)(struct aiocb *);
	int	(*aio_write)(struct aiocb *);
	int	(*aio_fsync)(int, struct aiocb *);
	int	(*aio_read64)(struct aiocb *);
	int	(*aio_write64)(struct aiocb *);
	int	(*aio_fsync64)(int, struct aiocb *);
	int	(*aio_error)(const struct aiocb *);
	ssize_t	(*aio_return)(struct aiocb *);
	int	(*aio_cancel)(int, struct aiocb *);
	int	(*aio_suspend)(const struct aiocb *const *, int, const struct timespec *);
	int	(*lio_listio)(int, struct aiocb *const *, int, struct sigevent *);
	int	(*lio_listio64)(int, struct aiocb *const *, int, struct sigevent *);
} next = AIO_BENEATH;

static int64_t
offset(const struct aiocb *cb)
{
	return cb->aio_offset;
}

#ifdef __GLIBC__
static int64_t
offset64(const struct aiocb *cb)
{
	return ((const struct aiocb64 *)(const void *)cb)->aio_offset;
}
#else
#define offset64	offset
#endif

static struct aio_libc aio_next = AIO_BENEATH_LIBC(offset), aio_next64 = AIO_BENEATH_LIBC(offset64);

void
aio_resolve(void)
{
	NEXT_RESOLVE(next, aio_read);
	NEXT_RESOLVE(next, aio_write);
	NEXT_RESOLVE(next, aio_fsync);
	NEXT_RESOLVE(next, aio_read64);
	NEXT_RESOLVE(next, aio_write64);
	NEXT_RESOLVE(next, aio_fsync64);
	NEXT_RESOLVE(next, aio_error);
	NEXT_RESOLVE(next, aio_return);
	NEXT_RESOLVE(next, aio_cancel);
	NEXT_RESOLVE(next, aio_suspend);
	NEXT_RESOLVE(next, lio_listio);
	NEXT_RESOLVE(next, lio_listio64);
	aio_next = aio_next64 = (struct aio_libc){
		.read = next.aio_read,
		.write = next.aio_write,
		.fsync = next.aio_fsync,
		.error = next.aio_error,
		.result = next.aio_return,
		.suspend = next.aio_suspend,
		.offset = offset,
	};
	aio_next64.read = next.aio_read64;
	aio_next64.write = next.aio_write64;
	aio_next64.fsync = next.aio_fsync64;
	aio_next64.offset = offset64;
}

/* Other libraries' constructors may come here before ours. */
static const struct functions *
theirs(void)
{
	if (next.aio_read == NULL)
		aio_resolve();
	return &next;
}

static int
result_of(int error)
{
	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

static bool
asks_for_event(const struct aiocb *cb)
{
	return cb != NULL && cb->aio_sigevent.sigev_notify == SIGEV_KEVENT;
}

static int
start(const struct aio_libc *libc, enum aio_op op, struct aiocb *cb)
{
	int saved = errno, error;

	(void)theirs();		/* libc is filled in */
	error = aio_start(libc, op, cb);
	if (error == 0)
		errno = saved;
	return result_of(error);
}

/* What is not ours goes to the C library, in the order that it must have. */
static struct aiocb *
passes(enum aio_op op, struct aiocb *cb)
{
	aio_passes(op, cb->aio_fildes);
	return cb;
}

KQ_WRAPPER int
aio_read(struct aiocb *cb)
{
	return asks_for_event(cb) ? start(&aio_next, AIO_READ, cb) : theirs()->aio_read(passes(AIO_READ, cb));
}

KQ_WRAPPER int
aio_write(struct aiocb *cb)
{
	return asks_for_event(cb) ? start(&aio_next, AIO_WRITE, cb) : theirs()->aio_write(passes(AIO_WRITE, cb));
}

KQ_WRAPPER int
aio_fsync(int op, struct aiocb *cb)
{
	if (!asks_for_event(cb) || (op != O_SYNC && op != O_DSYNC))
		return theirs()->aio_fsync(op, passes(AIO_SYNC, cb));
	return start(&aio_next, op == O_SYNC ? AIO_SYNC : AIO_DSYNC, cb);
}

KQ_WRAPPER int
aio_error(const struct aiocb *cb)
{
	struct aio_job *job = aio_find(cb);

	return job == NULL ? theirs()->aio_error(cb) : aio_status(job);
}

KQ_WRAPPER ssize_t
aio_return(struct aiocb *cb)
{
	struct aio_job *job = aio_find(cb);
	ssize_t result;
	int saved = errno;

	if (job == NULL)
		return theirs()->aio_return(cb);
	result = aio_take_result(job);
	errno = saved;
	return result < 0 ? result_of((int)result) : result;
}

/* All of a descriptor's, the C library's and those it does not know: the worst of both. */
static int
cancel_all(int fd)
{
	int result = theirs()->aio_cancel(fd, NULL), ours;

	if (result == -1)
		return -1;
	ours = aio_cancel_ours(fd, NULL);
	if (result == AIO_ALLDONE || ours == AIO_NOTCANCELED)
		return ours;
	return result;
}

/* Its end, if that was it, is told at once. */
KQ_WRAPPER int
aio_cancel(int fd, struct aiocb *cb)
{
	struct aio_job *job = aio_find(cb);
	int result;

	if (job == NULL)
		return cb == NULL ? cancel_all(fd) : theirs()->aio_cancel(fd, cb);
	/* In case it could not be started the C library does not know it. */
	if (aio_status(job) != EINPROGRESS)
		return AIO_ALLDONE;
	if (aio_copy(job) == NULL)
		return cb->aio_fildes == fd ? aio_cancel_ours(fd, job) : result_of(-EINVAL);
	result = theirs()->aio_cancel(fd, aio_copy(job));
	if (result == AIO_CANCELED)
		aio_status(job);
	return result;
}

/* Also of a thread that is cancelled. */
static void
free_list(void *list)
{
	ASAN_LEFT_FRAMES();
	mem_free(list);
}

/*
 * The list with the C library's own aiocbs in place of the program's.  Which kinds are
 * under way, or 0: one has ended.
 */
#define SUSPEND_OURS	1
#define SUSPEND_THEIRS	2

static int
suspend_copies(const struct aiocb *const list[], const struct aiocb **copies, int n)
{
	struct aio_job *job;
	int kinds = 0;

	for (int i = 0; i < n; i++) {
		copies[i] = list[i];
		job = aio_find(list[i]);
		if (job != NULL && aio_status(job) != EINPROGRESS)
			return 0;
		if (job != NULL)
			copies[i] = aio_copy(job);
		if (copies[i] != NULL)
			kinds |= SUSPEND_THEIRS;
		else if (job != NULL)
			kinds |= SUSPEND_OURS;
	}
	return kinds;
}

static int64_t
nanoseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/*
 * What io_uring does is waited for a while at a time: another thread may take its
 * result.  (1 ms, later up to 16; where both kinds are waited for, each in its turn.)
 */
static int
suspend_ours(const struct aiocb *const list[], const struct aiocb **copies, int n, int kinds,
    const struct timespec *timeout)
{
	int64_t until = INT64_MAX, left = INT64_MAX, now = nanoseconds();
	struct timespec slice = { 0, 1000000 };
	int error;

	if (timeout != NULL && timeout->tv_sec < INT32_MAX)
		until = now + (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec;
	for (; kinds != 0; kinds = suspend_copies(list, copies, n)) {
		left = until - nanoseconds();
		if (left <= 0)
			return result_of(-EAGAIN);
		if (left < slice.tv_nsec)
			slice.tv_nsec = (long)left;
		if ((kinds & SUSPEND_THEIRS) == 0)
			error = aio_wait_ours(&slice);
		else if (theirs()->aio_suspend(copies, n, &slice) == 0)
			return 0;
		else
			error = errno == EAGAIN ? 0 : -errno;
		if (error < 0)
			return result_of(error);
		if (slice.tv_nsec < 16000000)
			slice.tv_nsec *= 2;
	}
	return 0;
}

static int
suspend(const struct aiocb *const list[], const struct aiocb **copies, int n,
    const struct timespec *timeout)
{
	int kinds = suspend_copies(list, copies, n);

	if (kinds == 0)
		return 0;
	if ((kinds & SUSPEND_OURS) == 0)
		return theirs()->aio_suspend(copies, n, timeout);
	return suspend_ours(list, copies, n, kinds, timeout);
}

KQ_WRAPPER int
aio_suspend(const struct aiocb *const list[], int n, const struct timespec *timeout)
{
	const struct aiocb *few[SUSPEND_STACK], **many;
	bool ours = false;
	int result;

	for (int i = 0; i < n && !ours; i++)
		ours = aio_find(list[i]) != NULL;
	if (!ours)
		return theirs()->aio_suspend(list, n, timeout);
	if (n <= SUSPEND_STACK)
		return suspend(list, few, n, timeout);
	many = mem_alloc((size_t)n * sizeof(*many));
	if (many == NULL)
		return result_of(-EAGAIN);
	pthread_cleanup_push(free_list, many);
	result = suspend(list, many, n, timeout);
	pthread_cleanup_pop(1);
	return result;
}

static int
list_start(const struct aio_libc *libc, int mode, struct aiocb *const list[], int n,
    struct sigevent *event, int (*otherwise)(int, struct aiocb *const *, int, struct sigevent *))
{
	bool ours = mode == LIO_NOWAIT && event != NULL && event->sigev_notify == SIGEV_KEVENT;
	int saved = errno, error;

	for (int i = 0; i < n && !ours; i++)
		ours = asks_for_event(list[i]);
	if (!ours || (mode != LIO_WAIT && mode != LIO_NOWAIT)) {
		for (int i = 0; i < n; i++)
			if (list[i] != NULL)
				passes(list[i]->aio_lio_opcode == LIO_WRITE ? AIO_WRITE : AIO_READ, list[i]);
		return otherwise(mode, list, n, event);
	}
	error = lio_start(libc, mode, list, n, event);
	if (error == 0)
		errno = saved;
	return result_of(error);
}

/* POSIX and glibc have it one way, musl the other. */
#ifdef __GLIBC__
#define MEMBER		*const
#else
#define MEMBER		*const restrict
#endif

KQ_WRAPPER int
lio_listio(int mode, struct aiocb MEMBER list[restrict], int n, struct sigevent *restrict event)
{
	return list_start(&aio_next, mode, (const void *)(uintptr_t)list, n, event, theirs()->lio_listio);
}

/* The same under their other names; an aiocb64 differs at the most in how wide its offset is. */

#ifdef __GLIBC__
#define OTHER(cb)	((struct aiocb *)(void *)(cb))
#define OTHER_CONST(cb)	((const struct aiocb *)(const void *)(cb))
#define OTHERS(list)	((const void *)(list))
#define AIOCB64		struct aiocb64

KQ_WRAPPER int
aio_read64(AIOCB64 *cb)
{
	return asks_for_event(OTHER(cb)) ? start(&aio_next64, AIO_READ, OTHER(cb)) :
	    theirs()->aio_read64(passes(AIO_READ, OTHER(cb)));
}

KQ_WRAPPER int
aio_write64(AIOCB64 *cb)
{
	return asks_for_event(OTHER(cb)) ? start(&aio_next64, AIO_WRITE, OTHER(cb)) :
	    theirs()->aio_write64(passes(AIO_WRITE, OTHER(cb)));
}

KQ_WRAPPER int
aio_fsync64(int op, AIOCB64 *cb)
{
	if (!asks_for_event(OTHER(cb)) || (op != O_SYNC && op != O_DSYNC))
		return theirs()->aio_fsync64(op, passes(AIO_SYNC, OTHER(cb)));
	return start(&aio_next64, op == O_SYNC ? AIO_SYNC : AIO_DSYNC, OTHER(cb));
}

KQ_WRAPPER int
aio_error64(const AIOCB64 *cb)
{
	return aio_error(OTHER_CONST(cb));
}

KQ_WRAPPER ssize_t
aio_return64(AIOCB64 *cb)
{
	return aio_return(OTHER(cb));
}

KQ_WRAPPER int
aio_cancel64(int fd, AIOCB64 *cb)
{
	return aio_cancel(fd, OTHER(cb));
}

KQ_WRAPPER int
aio_suspend64(const AIOCB64 *const list[], int n, const struct timespec *timeout)
{
	return aio_suspend(OTHERS(list), n, timeout);
}

KQ_WRAPPER int
lio_listio64(int mode, AIOCB64 MEMBER list[restrict], int n, struct sigevent *restrict event)
{
	return list_start(&aio_next64, mode, OTHERS(list), n, event, theirs()->lio_listio64);
}
#endif

#else
typedef int aio_is_not_wrapped;
#endif
