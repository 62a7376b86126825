/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring's descriptor is an item of every queue that has operations, so that
 * an end wakes a waiter without a thread in between; who comes first takes the
 * results, and reports them to the queues they are for (aio_post).
 *
 * What must go one after the other is kept here until it may start: io_uring's
 * own way (IOSQE_IO_DRAIN) would have a sync of a file wait for a socket, too.
 * Streams are read in the order of the calls, and written so, but reading and writing
 * do not wait for each other; O_APPEND is a stream in that respect.
 *
 * An operation belongs to the thread that started it: when that exits, the kernel
 * cancels what it has not begun, and it is started again by who takes the result.
 *
 * Signals are blocked while the lock is held.  So a handler finds it free, or held
 * by another thread that will not be held up; and the child of a fork() in a handler never
 * goes on in here, where it has no ring.
 */
#include "aio_uring.h"

#include "../hidden.h"
#include "../kqueue.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Of a file, what is larger is done aside, lest the call itself take long. */
#define RING_LARGE	((size_t)1 << 16)

/* How often what was cancelled by nobody we know is started again. */
#define RING_TRIES	100

#define RING_NOWAIT	0x8	/* RWF_NOWAIT of <linux/fs.h> */

#define RING_THREADS	64	/* a power of two; several may share a counter */

#define RING_CANCEL	UINT64_C(1)	/* the tag of a request to cancel: no job's address */

static struct {
	struct lock	lock;
	sigset_t	mask;		/* lock: of the thread that holds it */
	pid_t		process;	/* lock: whose the ring is */
	struct aio_job	*first, *last;	/* lock: what has not ended */
	uint32_t	waiting;	/* lock: how many of them have not started */
	uint32_t	queues;		/* lock: how many have the ring as an item */
	int32_t		cancelled;	/* lock: what came of the last request to cancel */
	_Atomic uint32_t unended;	/* (a) how many there are; read as a hint */
	_Atomic unsigned results[RING_THREADS]; /* (a) taken so far, by the thread that started it */
	_Atomic bool	mixed;		/* (a) the C library has been given something to do, too */
} ring;

static void
ring_lock(void)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	lock_take(&ring.lock);
	ring.mask = before;
}

static void
ring_unlock(void)
{
	sigset_t before = ring.mask;

	lock_drop(&ring.lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A child of vfork() has its parent's ring, but is not to touch it. */
static bool
ring_is_ours(void)
{
	return uring_fd() >= 0 && ring.process == getpid();
}

static int
ring_open(void)
{
	int error;

	if (uring_fd() >= 0)
		return 0;
	error = uring_open();
	if (error == 0) {
		ring.process = getpid();
		mode_set(MODE_RINGED, true);
	}
	return error;
}

/* It goes when it is of no more use. */
static void
ring_close_idle(void)
{
	if (ring.queues == 0 && ring.first == NULL && ring_is_ours())
		uring_close();
}

static bool
ring_syncs(const struct aio_uring *u)
{
	return u->u_op == AIO_SYNC || u->u_op == AIO_DSYNC;
}

/* Whether a later operation must wait for an earlier one. */
static bool
ring_orders(const struct aio_uring *later, const struct aio_uring *earlier)
{
	if (later->u_fd != earlier->u_fd || ring_syncs(earlier))
		return false;
	return ring_syncs(later) || (later->u_serial && later->u_op == earlier->u_op);
}

static void
ring_append(struct aio_job *job)
{
	struct aio_uring *u = &job->j_uring;

	u->u_waits = 0;
	for (struct aio_job *other = ring.first; other != NULL; other = other->j_uring.u_after)
		u->u_waits += ring_orders(u, &other->j_uring);
	u->u_after = NULL;
	u->u_before = ring.last;
	if (ring.last != NULL)
		ring.last->j_uring.u_after = job;
	else
		ring.first = job;
	ring.last = job;
	ring.waiting++;
	atomic_fetch_add(&ring.unended, 1);
}

static void
ring_remove(struct aio_job *job)
{
	struct aio_uring *u = &job->j_uring;

	for (struct aio_job *other = u->u_after; other != NULL && ring.waiting > 0;
	    other = other->j_uring.u_after)
		other->j_uring.u_waits -= ring_orders(&other->j_uring, u);
	if (u->u_before != NULL)
		u->u_before->j_uring.u_after = u->u_after;
	else
		ring.first = u->u_after;
	if (u->u_after != NULL)
		u->u_after->j_uring.u_before = u->u_before;
	else
		ring.last = u->u_before;
	if (!u->u_started)
		ring.waiting--;
	atomic_fetch_sub(&ring.unended, 1);
}

static enum uring_op
ring_request_of(const struct aio_uring *u)
{
	if (u->u_op == AIO_SYNC)
		return URING_FSYNC;
	if (u->u_op == AIO_DSYNC)
		return URING_FDATASYNC;
	if (u->u_op == AIO_READ)
		return u->u_socket ? URING_RECV : URING_READ;
	return u->u_socket ? URING_SEND : URING_WRITE;
}

/* A number of this thread's. */
static uint8_t
ring_thread(void)
{
	return (uint8_t)(((uintptr_t)&kqueue_thread.locks >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 58);
}

static int
ring_submit(struct aio_job *job)
{
	struct aio_uring *u = &job->j_uring;
	struct uring_request request = {
		.ur_op = ring_request_of(u),
		.ur_aside = !u->u_socket && u->u_size - u->u_done > RING_LARGE,
		.ur_fd = u->u_fd,
		.ur_offset = (uint64_t)u->u_offset,
		.ur_tag = (uintptr_t)job,
	};
	int error;

	if (!ring_syncs(u)) {
		request.ur_buf = (char *)(uintptr_t)job->j_cb.aio_buf + u->u_done;
		request.ur_size = u->u_size - u->u_done;
	}
	u->u_thread = ring_thread();
	error = uring_submit(&request);
	if (error == 0) {
		u->u_started = true;
		ring.waiting--;
	}
	return error;
}

static void
ring_end(struct aio_job *job, int64_t result)
{
	struct aio_uring *u = &job->j_uring;

	ring_remove(job);
	atomic_store(&u->u_result, u->u_done > 0 ? (int64_t)u->u_done : result);
	aio_end(job);
	aio_release(job, AIO_CALLING);
}

/* It has to be gone on with: it waits for that in its place. */
static void
ring_suspend(struct aio_job *job)
{
	job->j_uring.u_started = false;
	ring.waiting++;
}

static void
ring_result(struct aio_job *job, int32_t result)
{
	struct aio_uring *u = &job->j_uring;

	if ((result == -ECANCELED || result == -EINTR) && !u->u_cancelled && u->u_tries < RING_TRIES) {
		u->u_tries++;
		ring_suspend(job);
		return;
	}
	if (result > 0)
		u->u_done += (size_t)result;
	/* As a blocking write does, which is what the C library's is. */
	if (result > 0 && u->u_socket && u->u_op == AIO_WRITE && u->u_done < u->u_size && !u->u_cancelled)
		ring_suspend(job);
	else
		ring_end(job, result);
}

/* Starts what no longer has to wait. */
static void
ring_start_waiting(void)
{
	struct aio_job *job, *next;
	int error;

	for (job = ring.first; job != NULL && ring.waiting > 0; job = next) {
		next = job->j_uring.u_after;
		if (job->j_uring.u_started || job->j_uring.u_waits > 0)
			continue;
		error = ring_submit(job);
		if (error < 0)
			ring_end(job, error == -ENOSYS ? -ECANCELED : error);
	}
}

static void
ring_reap(void)
{
	struct aio_job *job;
	uint64_t tag;
	int32_t result;

	while (uring_take(&tag, &result)) {
		if (tag == RING_CANCEL) {
			ring.cancelled = result;
			continue;
		}
		job = (struct aio_job *)(uintptr_t)tag;
		atomic_fetch_add(&ring.results[job->j_uring.u_thread], 1);
		ring_result(job, result);
	}
	if (ring.waiting > 0)
		ring_start_waiting();
}

void
aio_uring_reap(void)
{
	if (atomic_load(&ring.unended) == 0)
		return;
	ring_lock();
	if (ring_is_ours())
		ring_reap();
	ring_close_idle();
	ring_unlock();
}

void
aio_uring_rest(void)
{
	if (uring_fd() < 0)
		return;
	ring_lock();
	ring_close_idle();
	ring_unlock();
}

unsigned
aio_uring_results(void)
{
	if (atomic_load(&ring.unended) != 0)
		aio_uring_reap();
	return atomic_load(&ring.results[ring_thread()]);
}

bool
aio_uring_works(void)
{
	int error;

	ring_lock();
	error = ring_open();
	ring_unlock();
	return error == 0;
}

/* Moments, since what is waited for is a file's. */
static void
ring_settle(int fd)
{
	const struct timespec moment = { 0, 1000000 };
	const struct aio_job *job;
	bool busy = true;

	while (busy && atomic_load(&ring.unended) > 0) {
		busy = false;
		ring_lock();
		if (ring_is_ours())
			ring_reap();
		for (job = ring.first; job != NULL; job = job->j_uring.u_after)
			if (job->j_uring.u_fd == fd && job->j_uring.u_op == AIO_WRITE &&
			    !job->j_uring.u_socket)
				busy = true;
		ring_unlock();
		if (busy)
			syscall(SYS_nanosleep, &moment, NULL);
	}
}

static bool
ring_appends(enum aio_op op, int fd)
{
	return op == AIO_WRITE && (fcntl(fd, F_GETFL) & O_APPEND) != 0;
}

void
aio_uring_passes(enum aio_op op, int fd)
{
	int saved = errno;

	atomic_store_explicit(&ring.mixed, true, memory_order_relaxed);
	if (atomic_load(&ring.unended) > 0 && (op == AIO_SYNC || op == AIO_DSYNC || ring_appends(op, fd)))
		ring_settle(fd);
	errno = saved;
}

/*
 * Before Linux 6.4 a pipe cannot be read without the risk to wait.  Then the ring interrupts the
 * thread that started the read as soon as there are bytes, to hand it on to a thread of the
 * kernel's, and a kevent() that waits for something else would end with EINTR long before there
 * is a result by which to know why.
 */
static bool
ring_reads_pipes(void)
{
	static _Atomic int reads;	/* (a) 0: not known yet, or 1, or -1 */
	struct iovec iov;
	int fds[2];
	char c;

	if (atomic_load_explicit(&reads, memory_order_relaxed) == 0 && syscall(SYS_pipe2, fds, O_CLOEXEC) == 0) {
		iov = (struct iovec){ .iov_base = &c, .iov_len = 1 };
		atomic_store_explicit(&reads, syscall(SYS_preadv2, fds[0], &iov, 1, -1L, -1L, RING_NOWAIT) == -1 &&
		    errno == EAGAIN ? 1 : -1, memory_order_relaxed);
		hidden_close(fds[0]);
		hidden_close(fds[1]);
	}
	return atomic_load_explicit(&reads, memory_order_relaxed) > 0;
}

/*
 * Pipes are written by the C library: here the thread that starts it would get
 * SIGPIPE, and what does not fit would have to wait for the next call.  What else
 * is no file, as a terminal, is left to it, too.
 */
static bool
ring_kind_suits(struct aio_uring *u, const struct stat *st)
{
	bool file = S_ISREG(st->st_mode) || S_ISBLK(st->st_mode) || S_ISDIR(st->st_mode);

	u->u_socket = S_ISSOCK(st->st_mode);
	u->u_serial = !file || ring_appends(u->u_op, u->u_fd);
	if (file)
		return ring_syncs(u) || u->u_offset >= 0;
	u->u_offset = 0;
	/* To receive nothing is not the same as to read nothing. */
	return (u->u_socket && !ring_syncs(u) && u->u_size > 0) ||
	    (S_ISFIFO(st->st_mode) && u->u_op == AIO_READ && ring_reads_pipes());
}

bool
aio_uring_suits(struct aio_job *job, enum aio_op op, const struct aiocb *cb)
{
	struct aio_uring *u = &job->j_uring;
	struct stat st;
	bool ordered;

	memset(u, 0, sizeof(*u));
	atomic_store(&u->u_result, AIO_UNENDED);
	u->u_fd = cb->aio_fildes;
	u->u_op = (uint8_t)op;
	u->u_offset = aio_libc->offset(cb);
	u->u_size = cb->aio_nbytes;
	ordered = ring_syncs(u) || ring_appends(op, u->u_fd);
	if (cb->aio_reqprio == 0 && fstat(u->u_fd, &st) == 0 && ring_kind_suits(u, &st) &&
	    !(ordered && atomic_load_explicit(&ring.mixed, memory_order_relaxed)) && aio_uring_works())
		return true;
	aio_uring_passes(op, u->u_fd);
	return false;
}

/* The ring's number may be given up for the program's sake meanwhile; then the item stays all the same. */
int
aio_uring_join(struct kqueue *kq)
{
	int error, fd;

	if (kq->kq_ring)
		return 0;
	ring_lock();
	error = ring_open();
	while (error == 0) {
		fd = uring_fd();
		error = kqueue_source_add(kq, fd, EPOLLIN, SOURCE_TAG(SOURCE_AIO, 0));
		if (error == 0) {
			kq->kq_ring = true;
			ring.queues++;
			break;
		}
		if (fd != uring_fd())
			error = 0;
	}
	ring_unlock();
	return error;
}

void
aio_uring_leave(struct kqueue *kq)
{
	if (!kq->kq_ring)
		return;
	kq->kq_ring = false;
	ring_lock();
	ring.queues--;
	ring_close_idle();
	ring_unlock();
}

int
aio_uring_start(struct aio_job *job)
{
	int error;

	ring_lock();
	error = ring_open();
	if (error == 0) {
		ring_reap();
		ring_append(job);
		if (job->j_uring.u_waits == 0)
			error = ring_submit(job);
		if (error < 0)
			ring_remove(job);
	}
	ring_unlock();
	return error;
}

int
aio_uring_status(const struct aio_job *job)
{
	int64_t result = atomic_load(&job->j_uring.u_result);

	return result == AIO_UNENDED ? EINPROGRESS : result < 0 ? (int)-result : 0;
}

ssize_t
aio_uring_result(const struct aio_job *job)
{
	int64_t result = atomic_load(&job->j_uring.u_result);

	return result < 0 ? -1 : (ssize_t)result;
}

/* With the lock held.  Whether it is on its way out. */
static bool
ring_cancel(struct aio_job *job)
{
	struct uring_request request = {
		.ur_op = URING_CANCEL,
		.ur_fd = -1,
		.ur_offset = (uintptr_t)job,
		.ur_tag = RING_CANCEL,
	};

	job->j_uring.u_cancelled = true;
	if (!job->j_uring.u_started) {
		ring_end(job, -ECANCELED);
		ring_start_waiting();
		return true;
	}
	ring.cancelled = -ENOENT;
	if (uring_submit(&request) < 0)
		return false;
	ring_reap();
	return ring.cancelled == 0 || aio_uring_status(job) != EINPROGRESS;
}

/* The thread that started it may have to be told first; then the kernel says so in a moment. */
static int
ring_cancelled(const struct aio_job *job, bool going)
{
	const struct timespec moment = { 0, 1000000 };
	int error;

	for (int i = 0; going && aio_uring_status(job) == EINPROGRESS && i < 1000; i++) {
		syscall(SYS_nanosleep, &moment, NULL);
		aio_uring_reap();
	}
	error = aio_uring_status(job);
	return error == ECANCELED ? AIO_CANCELED : error == EINPROGRESS ? AIO_NOTCANCELED : AIO_ALLDONE;
}

int
aio_uring_cancel(struct aio_job *job)
{
	bool ended, going;

	ring_lock();
	if (ring_is_ours())
		ring_reap();
	ended = aio_uring_status(job) != EINPROGRESS;
	going = !ended && ring_is_ours() && ring_cancel(job);
	ring_unlock();
	return ended ? AIO_ALLDONE : ring_cancelled(job, going);
}

static struct aio_job *
ring_last_of(int fd)
{
	struct aio_job *job;

	for (job = ring.last; job != NULL; job = job->j_uring.u_before)
		if (job->j_uring.u_fd == fd && !job->j_uring.u_cancelled)
			break;
	return job;
}

/* The newest first, so that none starts because an older one has gone. */
int
aio_uring_cancel_all(int fd)
{
	int result = AIO_ALLDONE, one;
	struct aio_job *job;
	bool going;

	do {
		ring_lock();
		if (ring_is_ours())
			ring_reap();
		job = ring_is_ours() ? ring_last_of(fd) : NULL;
		going = job != NULL && ring_cancel(job);
		ring_unlock();
		one = job == NULL ? AIO_ALLDONE : ring_cancelled(job, going);
		if (one == AIO_NOTCANCELED || (one == AIO_CANCELED && result == AIO_ALLDONE))
			result = one;
	} while (job != NULL);
	return result;
}

int
aio_uring_wait(const struct timespec *timeout)
{
	struct pollfd pfd = { .fd = uring_fd(), .events = POLLIN };
	int result = ppoll(&pfd, 1, timeout, NULL);

	aio_uring_reap();
	return result == -1 ? -errno : 0;
}

void
aio_uring_fork_child(void)
{
	uring_fork_child();
	atomic_store(&ring.lock.lk_word, 0);
	ring.first = ring.last = NULL;
	ring.waiting = ring.queues = 0;
	atomic_store(&ring.unended, 0);
	atomic_store(&ring.mixed, false);
}
