/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls that give the fuzzer's bytes: included before the source that makes them. */
#ifndef KQ_FUZZ_FEED_H
#define KQ_FUZZ_FEED_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <sys/syscall.h>
#include <unistd.h>

int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct feed {
	const uint8_t	*bytes;
	size_t		size;
} feed;

static size_t
feed_take(void *to, size_t most)
{
	size_t n = feed.size < most ? feed.size : most;

	if (n == 0)
		return 0;
	memcpy(to, feed.bytes, n);
	feed.bytes += n;
	feed.size -= n;
	return n;
}

/* Where a link leads, with no null byte behind it. */
__attribute__((unused)) static ssize_t
feed_readlink(const char *path, char *to, size_t most)
{
	(void)path;
	return feed.size == 0 ? -1 : (ssize_t)feed_take(to, most);
}

#define readlink(path, to, most) feed_readlink(path, to, most)

/* So that something is left for what is read of each entry. */
#define FEED_ENTRIES	48

/* read(), getdents64() and recvfrom() take bytes, open() succeeds, the rest does nothing. */
__attribute__((unused)) static long
feed_syscall(long number, ...)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	long result = 0;
	socklen_t *size;
	void *buffer;
	size_t most;
	va_list ap;

	va_start(ap, number);
	(void)va_arg(ap, int);
	if (number == SYS_read || number == SYS_getdents64 || number == SYS_recvfrom) {
		buffer = va_arg(ap, void *);
		most = va_arg(ap, size_t);
		result = (long)feed_take(buffer, number == SYS_getdents64 && most > FEED_ENTRIES ? FEED_ENTRIES : most);
	}
	if (number == SYS_recvfrom) {
		(void)va_arg(ap, int);
		memcpy(va_arg(ap, void *), &from, sizeof(from));
		size = va_arg(ap, socklen_t *);
		*size = sizeof(from);
		if (result == 0) {
			errno = EAGAIN;
			result = -1;
		}
	}
	va_end(ap);
	return number == SYS_openat ? 1000000 : result;
}

#define syscall feed_syscall

#endif
