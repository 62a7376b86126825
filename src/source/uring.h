/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of io_uring(7), one for the process.  It is for aio_uring.c, which locks:
 * everything but uring_fd() is called with its lock held and signals blocked, and
 * not in a child.
 */
#ifndef KQ_URING_H
#define KQ_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can be asked of it. */
enum uring_op {
	URING_READ,	/* of a file at an offset, or of a FIFO */
	URING_WRITE,	/* of a file at an offset */
	URING_RECV,	/* of a socket: waits, also if it is non-blocking */
	URING_SEND,	/* the same; if the kernel can, until all is sent; no SIGPIPE */
	URING_FSYNC,
	URING_FDATASYNC,
	URING_CANCEL	/* what has the tag that is in ur_offset */
};

struct uring_request {
	enum uring_op	ur_op;
	bool		ur_aside;	/* by a thread of the kernel's, if it is not to be waited for */
	int		ur_fd;
	void		*ur_buf;
	size_t		ur_size;
	uint64_t	ur_offset;
	uint64_t	ur_tag;		/* comes back with the result */
};

/*
 * Makes it, there is none yet: 0 or -errno.  ENOSYS: io_uring is not to be had, by this kernel (5.12 at
 * the least), its settings or a sandbox; then that stays so.
 */
int	uring_open(void);

/* Nothing may be under way. */
void	uring_close(void);

/*
 * Whether a ring that this thread has used was closed a moment ago, and it was not told so far: the
 * kernel interrupts what such a thread waits in, once, when the ring has come to its end.
 */
bool	uring_ended(void);

/* Its descriptor (hidden.h), readable while there are results; or -1. */
int	uring_fd(void);

/*
 * Has it done.  0 or -errno: nothing was started.  ENOSYS: the ring is not to be had
 * any more, because the program closed it unseen or has shut itself in a sandbox.
 */
int	uring_submit(const struct uring_request *request);

/* Takes the next result, if there is one: what the system call would return, or -errno. */
bool	uring_take(uint64_t *tag, int32_t *result);

/* This is a forked child, which has not even the ring's memory. */
void	uring_fork_child(void);

#endif
