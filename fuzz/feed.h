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

/* One name, with its length before it: the kernel's records are whole, and a name ends. */
static long
feed_entry(void *to, size_t most)
{
	struct { uint64_t ino; int64_t off; unsigned short size; unsigned char type; char name[37]; } entry = { .ino = 1 };
	uint8_t length = 0;

	if (feed_take(&length, 1) == 0 || sizeof(entry) > most)
		return 0;
	feed_take(entry.name, length % sizeof(entry.name));
	entry.size = sizeof(entry);
	memcpy(to, &entry, sizeof(entry));
	return sizeof(entry);
}

/* read() and recvfrom() take bytes, getdents64() makes names of them, open() succeeds, the rest does nothing. */
__attribute__((unused)) static long
feed_syscall(long number, ...)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	long result = 0;
	socklen_t *size;
	void *buffer;
	va_list ap;

	va_start(ap, number);
	(void)va_arg(ap, int);
	if (number == SYS_read || number == SYS_recvfrom) {
		buffer = va_arg(ap, void *);
		result = (long)feed_take(buffer, va_arg(ap, size_t));
	}
	if (number == SYS_getdents64) {
		buffer = va_arg(ap, void *);
		result = feed_entry(buffer, va_arg(ap, size_t));
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
