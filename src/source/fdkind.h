/* SPDX-License-Identifier: BSD-2-Clause */
/* What lies behind a descriptor, and what can be asked of it without touching it. */
#ifndef KQ_FDKIND_H
#define KQ_FDKIND_H

#include <stdbool.h>
#include <stdint.h>

enum fdkind {
	FD_UNKNOWN,
	FD_FAILED,	/* what it is cannot be told at the moment */
	FD_STREAM = 4,	/* connected or listening socket; first of the four that FD_HAS_BYTES() */
	FD_DATAGRAM,	/* socket that keeps the borders of messages */
	FD_PIPE,	/* pipe, FIFO */
	FD_BYTES,	/* terminal, inotify: counted as well */
	FD_COUNTER,	/* eventfd, timerfd: reads give 8 bytes */
	FD_QUEUE,	/* a queue of ours */
	FD_REGULAR,
	FD_DIRECTORY,
	FD_DEVICE,	/* another character or block device */
	FD_OTHER	/* something readable that has no count */
};

/* What can be read of it is bytes, which FIONREAD counts. */
#define FD_HAS_BYTES(kind)	(((unsigned)(kind) & ~3u) == FD_STREAM)

/* What it is: 0, or -errno (EBADF: nothing is open there), with FD_UNKNOWN. */
int	fdkind_find(int fd, enum fdkind *kind);

/* Poll bits (with POLLRDHUP) that stand now. */
uint32_t fdkind_poll(int fd);

/* Bytes that can be read, by FIONREAD; -EBADF: nothing is open there; else -errno: it does not say. */
int64_t	fdkind_readable(int fd);

/* The offset of a regular file. */
int64_t	fdkind_offset(int fd);

/* Size less offset of a regular file; may be negative.  1: it cannot be told, so a read is to say what is wrong. */
int64_t	fdkind_file_left(int fd);

/* Free space, an estimate, at least 1; 0: nothing is open there. */
int64_t	fdkind_space(int fd, enum fdkind kind);

/* The inode of what is open, which tells a socket from the next at its number; or -errno. */
int64_t	fdkind_inode(int fd);

/* Bytes of a socket's that have not left; -1: the kernel does not say. */
int64_t	fdkind_unsent(int fd);

/* How much a TCP peer has acknowledged so far, counted modulo 2^32; 0: no TCP. */
uint32_t fdkind_acknowledged(int fd);

/* Connections that wait on a listening socket, at least 1; 0: it is no socket (any more). */
int64_t	fdkind_backlog(int fd);

/* A stream socket that was never connected: poll says POLLHUP, but nothing ended. */
bool	fdkind_unconnected(uint32_t revents);

/* The pending error of a socket at its end, inferred, not taken; 0: none or not known. */
int	fdkind_socket_error(int fd, uint32_t revents);

#endif
