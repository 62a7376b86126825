/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls and the memory of io_uring(7), without liburing.
 *
 * No thread of the kernel polls for us (IORING_SETUP_SQPOLL), which would use up
 * a processor: each request is handed over by a system call, one at a time.
 * Results are taken from shared memory; a program that has more of them than the
 * ring has room for has the rest put there by another system call.
 *
 * A child does not get the memory (MADV_DONTFORK): it would share it with its parent.
 */
#include "uring.h"

#include "../hidden.h"
#include "../kqueue_thread.h"
#include "timerfd.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#if defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
#endif

#if defined(IORING_FEAT_NATIVE_WORKERS) && defined(SYS_io_uring_setup)

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* How many threads the kernel may use for files goes by the first. */
#define URING_REQUESTS	64
#define URING_RESULTS	512

/* A read or write does no more, as the system calls. */
#define URING_MOST	((size_t)0x7ffff000)

/*
 * Results are never dropped, what a request says is read at once, sockets and FIFOs
 * are waited for without a thread, and threads of the kernel's are the process's own.
 */
#define URING_FEATURES	(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | \
			IORING_FEAT_FAST_POLL | IORING_FEAT_NATIVE_WORKERS)

static struct {
	_Atomic int	fd;
	char		*memory;	/* both rings */
	size_t		size;
	struct io_uring_sqe *requests;
	size_t		requests_size;
	struct io_uring_params params;
	unsigned	taken;		/* since the ring was last seen empty */
	_Atomic unsigned number;	/* of the ring that is there or comes next, from 1 on */
	_Atomic unsigned closed;	/* when the one before was, in milliseconds */
} uring = { .fd = -1, .number = 1 };

static _Atomic bool uring_refused;

int
uring_fd(void)
{
	return atomic_load(&uring.fd);
}

/* Milliseconds from the closing of a ring until the kernel has told all threads, as far as can be known. */
#define URING_END	1000

static unsigned
uring_clock(void)
{
	return (unsigned)(timerfd_now(false) / 1000000);
}

/* This thread has to do with the ring that is there. */
static void
uring_used(void)
{
	if (kqueue_thread.rings == 0)
		kqueue_thread.rings = atomic_load(&uring.number);
}

/* That has been closed. */
static void
uring_over(void)
{
	atomic_store(&uring.closed, uring_clock());
	atomic_fetch_add(&uring.number, 1);
}

bool
uring_ended(void)
{
	unsigned number = atomic_load(&uring.number);

	if (kqueue_thread.rings == 0 || kqueue_thread.rings == number)
		return false;
	if (uring_clock() - atomic_load(&uring.closed) > URING_END) {
		kqueue_thread.rings = number;
		return false;
	}
	kqueue_thread.rings++;
	return true;
}

static _Atomic uint32_t *
uring_word(uint32_t offset)
{
	return (_Atomic uint32_t *)(void *)(uring.memory + offset);
}

/* Whether the kernel knows all that we ask for. */
static bool
uring_probe(int fd)
{
	static const uint8_t needed[] = {
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_RECV, IORING_OP_SEND,
		IORING_OP_FSYNC, IORING_OP_ASYNC_CANCEL
	};
	alignas(struct io_uring_probe) char answer[sizeof(struct io_uring_probe) +
	    IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
	const struct io_uring_probe *probe = (const void *)answer;

	memset(answer, 0, sizeof(answer));
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, answer, IORING_OP_LAST) == -1)
		return false;
	for (size_t i = 0; i < sizeof(needed); i++)
		if (needed[i] > probe->last_op ||
		    (probe->ops[needed[i]].flags & IO_URING_OP_SUPPORTED) == 0)
			return false;
	return true;
}

static void
uring_unmap(void)
{
	if (uring.memory != NULL)
		munmap(uring.memory, uring.size);
	if (uring.requests != NULL)
		munmap(uring.requests, uring.requests_size);
	uring.memory = NULL;
	uring.requests = NULL;
}

static void *
uring_map_part(int fd, size_t size, uint64_t offset)
{
	void *part = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	if (part == MAP_FAILED)
		return NULL;
	if (madvise(part, size, MADV_DONTFORK) == 0)
		return part;
	munmap(part, size);
	return NULL;
}

static int
uring_map(int fd)
{
	const struct io_uring_params *p = &uring.params;
	size_t results = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

	uring.size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	if (uring.size < results)
		uring.size = results;
	uring.requests_size = p->sq_entries * sizeof(struct io_uring_sqe);
	uring.memory = uring_map_part(fd, uring.size, IORING_OFF_SQ_RING);
	uring.requests = uring_map_part(fd, uring.requests_size, IORING_OFF_SQES);
	if (uring.memory != NULL && uring.requests != NULL)
		return 0;
	uring_unmap();
	return -ENOMEM;
}

/* What is wrong for a moment, or for ever (ENOSYS). */
static int
uring_error(int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN)
		return -error;
	atomic_store(&uring_refused, true);
	return -ENOSYS;
}

int
uring_open(void)
{
	int fd, error;

	if (atomic_load(&uring_refused))
		return -ENOSYS;
	memset(&uring.params, 0, sizeof(uring.params));
	uring.params.flags = IORING_SETUP_CQSIZE;
	uring.params.cq_entries = URING_RESULTS;
	uring.taken = 0;
	fd = (int)syscall(SYS_io_uring_setup, URING_REQUESTS, &uring.params);
	if (fd == -1)
		return uring_error(errno);
	uring_used();
	if ((uring.params.features & URING_FEATURES) != URING_FEATURES || !uring_probe(fd))
		error = uring_error(ENOSYS);
	else
		error = uring_map(fd);
	if (error < 0) {
		hidden_close(fd);
		uring_over();
		return error;
	}
	error = hidden_move(fd, &uring.fd);
	if (error < 0) {
		uring_unmap();
		uring_over();
	}
	return error;
}

void
uring_close(void)
{
	int saved = errno;

	uring_unmap();
	hidden_free(&uring.fd);
	uring_over();
	errno = saved;
}

/* Our number may be moved elsewhere meanwhile, because the program wants it. */
static int
uring_enter(unsigned requests, unsigned flags)
{
	int fd, result;

	uring_used();
	do {
		fd = uring_fd();
		result = (int)syscall(SYS_io_uring_enter, fd, requests, 0, flags, NULL, 0);
	} while (result == -1 && (errno == EINTR || fd != uring_fd()));
	return result == -1 ? -errno : result;
}

static void
uring_fill(struct io_uring_sqe *sqe, const struct uring_request *request)
{
	static const uint8_t opcode[] = {
		[URING_READ] = IORING_OP_READ,
		[URING_WRITE] = IORING_OP_WRITE,
		[URING_RECV] = IORING_OP_RECV,
		[URING_SEND] = IORING_OP_SEND,
		[URING_FSYNC] = IORING_OP_FSYNC,
		[URING_FDATASYNC] = IORING_OP_FSYNC,
		[URING_CANCEL] = IORING_OP_ASYNC_CANCEL,
	};

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode[request->ur_op];
	sqe->fd = request->ur_fd;
	sqe->user_data = request->ur_tag;
	sqe->addr = (uint64_t)(uintptr_t)request->ur_buf;
	sqe->len = (uint32_t)(request->ur_size < URING_MOST ? request->ur_size : URING_MOST);
	if (request->ur_aside)
		sqe->flags = IOSQE_ASYNC;
	if (request->ur_op == URING_READ || request->ur_op == URING_WRITE)
		sqe->off = request->ur_offset;
	else if (request->ur_op == URING_SEND)
		sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
	else if (request->ur_op == URING_FDATASYNC)
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	else if (request->ur_op == URING_CANCEL)
		sqe->addr = request->ur_offset;
}

int
uring_submit(const struct uring_request *request)
{
	const struct io_sqring_offsets *off = &uring.params.sq_off;
	uint32_t tail, mask, slot;
	int saved = errno, result;

	/* Nobody else writes it, and the kernel reads it when told. */
	tail = atomic_load_explicit(uring_word(off->tail), memory_order_relaxed);
	mask = atomic_load_explicit(uring_word(off->ring_mask), memory_order_relaxed);
	slot = tail & mask;
	uring_fill(&uring.requests[slot], request);
	atomic_store_explicit(&uring_word(off->array)[slot], slot, memory_order_relaxed);
	atomic_store_explicit(uring_word(off->tail), tail + 1, memory_order_release);
	result = uring_enter(1, 0);
	errno = saved;
	if (result == 1)
		return 0;
	atomic_store_explicit(uring_word(off->tail), tail, memory_order_release);
	if (result == 0 || result == -EAGAIN || result == -EBUSY || result == -ENOMEM)
		return -EAGAIN;
	return uring_error(-result);
}

/* Whether results did not find room may be seen only after a system call. */
static bool
uring_refill(void)
{
	uint32_t flags = atomic_load(uring_word(uring.params.sq_off.flags));
	bool more = uring.taken >= uring.params.cq_entries || (flags & IORING_SQ_CQ_OVERFLOW) != 0;
	int saved = errno;

	uring.taken = 0;
	if (more)
		uring_enter(0, IORING_ENTER_GETEVENTS);
	errno = saved;
	return more;
}

bool
uring_take(uint64_t *tag, int32_t *result)
{
	const struct io_cqring_offsets *off = &uring.params.cq_off;
	const struct io_uring_cqe *cqe;
	uint32_t head, mask;

	head = atomic_load_explicit(uring_word(off->head), memory_order_relaxed);
	if (head == atomic_load_explicit(uring_word(off->tail), memory_order_acquire) &&
	    (!uring_refill() || head == atomic_load_explicit(uring_word(off->tail), memory_order_acquire)))
		return false;
	mask = atomic_load_explicit(uring_word(off->ring_mask), memory_order_relaxed);
	cqe = (const struct io_uring_cqe *)(void *)(uring.memory + off->cqes) + (head & mask);
	*tag = cqe->user_data;
	*result = cqe->res;
	uring.taken++;
	atomic_store_explicit(uring_word(off->head), head + 1, memory_order_release);
	return true;
}

void
uring_fork_child(void)
{
	uring.memory = NULL;
	uring.requests = NULL;
	atomic_store(&uring.fd, -1);
}

#else

/* Made where nobody knew of it. */
int
uring_open(void)
{
	return -ENOSYS;
}

void
uring_close(void)
{
}

bool
uring_ended(void)
{
	return false;
}

int
uring_fd(void)
{
	return -1;
}

int
uring_submit(const struct uring_request *request)
{
	(void)request;
	return -ENOSYS;
}

bool
uring_take(uint64_t *tag, int32_t *result)
{
	(void)tag;
	(void)result;
	return false;
}

void
uring_fork_child(void)
{
}

#endif
