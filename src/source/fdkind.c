/* SPDX-License-Identifier: BSD-2-Clause */
#include "source/fdkind.h"

#include "fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SIOCOUTQ
#define SIOCOUTQ	TIOCOUTQ
#endif

/* enum in the kernel's tcp_states.h, which is not for programs. */
#define TCP_STATE_CLOSE	7

/* How often data are sent again at least before a connection times out, and surely not yet. */
#define RETRANSMITS_MANY	8
#define RETRANSMITS_FEW		3

#define CLOCK_SLACK	50	/* milliseconds: the kernel rounds to its ticks */

static int
fdkind_of_socket(int fd, enum fdkind *kind)
{
	socklen_t size = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == -1)
		return -errno;
	*kind = type == SOCK_STREAM ? FD_STREAM : FD_DATAGRAM;
	return 0;
}

/* eventfd and its like have no type of their own; their link in /proc says what they are. */
static enum fdkind
fdkind_of_anonymous(int fd)
{
	char path[32], name[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return FD_OTHER;
	name[n] = '\0';
	if (strcmp(name, "anon_inode:[eventfd]") == 0 || strcmp(name, "anon_inode:[timerfd]") == 0)
		return FD_COUNTER;
	return strcmp(name, "anon_inode:inotify") == 0 ? FD_BYTES : FD_OTHER;
}

/* One that was hung up knows no more than that it fails. */
static bool
fdkind_is_terminal(int fd)
{
	return isatty(fd) || errno == EIO;
}

int
fdkind_find(int fd, enum fdkind *kind)
{
	int saved = errno, error = 0;
	struct stat st;

	*kind = FD_UNKNOWN;
	if (fdtable_queue(fd) != NULL)
		*kind = FD_QUEUE;
	else if (fstat(fd, &st) == -1)
		error = -errno;
	else if (S_ISSOCK(st.st_mode))
		error = fdkind_of_socket(fd, kind);
	else if (S_ISFIFO(st.st_mode))
		*kind = FD_PIPE;
	else if (S_ISREG(st.st_mode))
		*kind = FD_REGULAR;
	else if (S_ISDIR(st.st_mode))
		*kind = FD_DIRECTORY;
	else if (S_ISCHR(st.st_mode) && fdkind_is_terminal(fd))
		*kind = FD_BYTES;
	else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		*kind = FD_DEVICE;
	else
		*kind = fdkind_of_anonymous(fd);
	errno = saved;
	return error;
}

uint32_t
fdkind_poll(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };
	int saved = errno;
	long n;

	/* poll() would be a cancellation point, and a lock is held.  A handler interrupts what does not wait, too. */
	do
		n = syscall(SYS_ppoll, &pfd, 1, &(struct timespec){ 0 }, NULL, 0);
	while (n == -1 && errno == EINTR);
	if (n != 1)
		pfd.revents = 0;
	errno = saved;
	return (uint16_t)pfd.revents;
}

int64_t
fdkind_readable(int fd)
{
	int saved = errno, n;

	if (ioctl(fd, FIONREAD, &n) == -1) {
		n = -errno;
		errno = saved;
	}
	return n;
}

int64_t
fdkind_offset(int fd)
{
	int saved = errno;
	int64_t offset = lseek(fd, 0, SEEK_CUR);

	errno = saved;
	return offset;
}

/* FIONREAD would tell it in one call, but as an int: wrong from 2 GiB on, and 0 at 4 GiB. */
int64_t
fdkind_file_left(int fd)
{
	off_t offset = lseek(fd, 0, SEEK_CUR);
	struct stat st;

	if (offset == -1 || fstat(fd, &st) == -1)
		return errno != EBADF;
	return (int64_t)st.st_size - offset;
}

static int64_t
fdkind_pipe_space(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ);
	int64_t used = fdkind_readable(fd);

	if (used == -EBADF)
		return 0;
	return size == -1 || used < 0 || used >= size ? 1 : size - used;
}

static int64_t
fdkind_socket_space(int fd)
{
	socklen_t size = sizeof(int);
	int buffer, used;

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &size) == -1 ||
	    ioctl(fd, SIOCOUTQ, &used) == -1)
		return errno == EBADF ? 0 : 1;
	return used >= buffer ? 1 : (int64_t)buffer - used;
}

int64_t
fdkind_space(int fd, enum fdkind kind)
{
	int saved = errno;
	int64_t space = 1;

	if (kind == FD_PIPE)
		space = fdkind_pipe_space(fd);
	else if (kind == FD_STREAM || kind == FD_DATAGRAM)
		space = fdkind_socket_space(fd);
	errno = saved;
	return space;
}

/* How much it tells, or -errno; what it does not is 0. */
static int
fdkind_ask_tcp(int fd, struct tcp_info *info)
{
	socklen_t size = sizeof(*info);
	int saved = errno, result;

	memset(info, 0, sizeof(*info));
	result = getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == -1 ? -errno : (int)size;
	errno = saved;
	return result;
}

static bool
fdkind_tcp_info(int fd, struct tcp_info *info)
{
	return fdkind_ask_tcp(fd, info) >= 0;
}

/* Of a listening socket tcpi_unacked is the length of its queue. */
int64_t
fdkind_backlog(int fd)
{
	struct tcp_info info;
	int error = fdkind_ask_tcp(fd, &info);

	if (error == -ENOTSOCK || error == -EBADF)
		return 0;
	return error < 0 || info.tcpi_unacked == 0 ? 1 : info.tcpi_unacked;
}

int64_t
fdkind_inode(int fd)
{
	int saved = errno, error;
	struct stat st;

	if (fstat(fd, &st) == 0)
		return (int64_t)st.st_ino;
	error = -errno;
	errno = saved;
	return error;
}

/*
 * TCP refuses to tell of a listening socket, which has nothing to send.  A
 * connection that failed still counts what nobody will ever acknowledge.
 */
int64_t
fdkind_unsent(int fd)
{
	struct tcp_info info;
	int saved = errno, used;

	if (ioctl(fd, SIOCOUTQ, &used) == -1)
		used = errno == EINVAL ? 0 : -1;
	else if (used > 0 && fdkind_tcp_info(fd, &info) && info.tcpi_state == TCP_STATE_CLOSE)
		used = 0;
	errno = saved;
	return used;
}

uint32_t
fdkind_acknowledged(int fd)
{
	struct tcp_info info;

	return fdkind_tcp_info(fd, &info) ? (uint32_t)info.tcpi_bytes_acked : 0;
}

/* A connection that ended has its receiving side shut, which POLLRDHUP tells. */
bool
fdkind_unconnected(uint32_t revents)
{
	return (revents & (POLLHUP | POLLRDHUP | POLLERR)) == POLLHUP;
}

static int64_t
fdkind_option(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &size) == -1 ? 0 : value;
}

/*
 * What was asked of an idle or full peer had no answer, or a reset.  It timed out
 * if it was asked as often, or waited for as long, as the socket allows.
 */
static bool
fdkind_probed_in_vain(int fd, const struct tcp_info *info)
{
	int64_t limit = fdkind_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), due = limit, alive;

	if (limit == 0 && info->tcpi_probes < fdkind_option(fd, IPPROTO_TCP, TCP_KEEPCNT))
		return false;
	if (fdkind_option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0) {
		alive = 1000 * (fdkind_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
		    info->tcpi_probes * fdkind_option(fd, IPPROTO_TCP, TCP_KEEPINTVL));
		due = alive > due ? alive : due;
	}
	return (int64_t)info->tcpi_last_ack_recv + CLOCK_SLACK >= due;
}

/*
 * A connection broke: how?  When data have been sent again, each time after twice
 * as long as before, a limit of the socket's own must be in sight.  The
 * system's limit is 15 times or, where it is set so, a few: then it is not told.
 */
static int
fdkind_broken(int fd, const struct tcp_info *info)
{
	int64_t limit;

	if (info->tcpi_retransmits == 0 && info->tcpi_probes == 0)
		return ECONNRESET;
	if (info->tcpi_retransmits == 0)
		return fdkind_probed_in_vain(fd, info) ? ETIMEDOUT : ECONNRESET;
	limit = fdkind_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	if (limit != 0)
		return (int64_t)info->tcpi_rto * 2 / 1000 >= limit ? ETIMEDOUT : ECONNRESET;
	if (info->tcpi_retransmits >= RETRANSMITS_MANY)
		return ETIMEDOUT;
	return info->tcpi_retransmits < RETRANSMITS_FEW ? ECONNRESET : 0;
}

/*
 * SO_ERROR would take the error from the program, and so would a read.  What
 * the connection went through tells it as well: an error that nobody has taken
 * shows as POLLERR on a socket in state CLOSE.
 */
static int
fdkind_tcp_error(int fd, const struct tcp_info *info)
{
	bool connected = info->tcpi_rtt != 0 || info->tcpi_bytes_acked != 0 ||
	    info->tcpi_bytes_received != 0;

	if (info->tcpi_state != TCP_STATE_CLOSE)
		return 0;
	if (connected)
		return fdkind_broken(fd, info);
	if (info->tcpi_segs_in != 0)
		return ECONNREFUSED;
	return info->tcpi_total_retrans != 0 ? ETIMEDOUT : EHOSTUNREACH;
}

int
fdkind_socket_error(int fd, uint32_t revents)
{
	socklen_t size = sizeof(int);
	struct tcp_info info;
	int saved = errno, domain = 0, error = 0, told;

	if ((revents & (POLLERR | POLLHUP)) != (POLLERR | POLLHUP))
		return 0;
	told = fdkind_ask_tcp(fd, &info);
	/* An emulator may tell the first word only. */
	if (told >= (int)(offsetof(struct tcp_info, tcpi_segs_in) + sizeof(info.tcpi_segs_in)))
		error = fdkind_tcp_error(fd, &info);
	else if (told < 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX)
		error = ECONNRESET;
	errno = saved;
	return error;
}
