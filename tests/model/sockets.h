/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program does with TCP, and when the kernel has done it; a failed program that is printed as C does the same. */
#ifndef KQ_TESTS_SOCKETS_H
#define KQ_TESTS_SOCKETS_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_TRIES	200000	/* looks, 50 us apart at least */

/* Not blocking, and what is written goes at once; -1: none. */
__attribute__((unused)) static int
tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return fd;
}

/* Bound to a port of an address that few others use, since a port may have to be waited for. */
static int
tcp_bound(void)
{
	static uint32_t address;
	struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = tcp_socket();

	if (address == 0)
		address = (uint32_t)getpid() << 6;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK | (++address & 0xffff) << 8);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
		return fd;
	close(fd);
	return -1;
}

__attribute__((unused)) static int
tcp_listener(void)
{
	int fd = tcp_bound();

	if (fd >= 0 && listen(fd, 16) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Begins to connect to where another socket is bound. */
__attribute__((unused)) static bool
tcp_connect(int fd, int to)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	return getsockname(to, (struct sockaddr *)&in, &len) == 0 &&
	    (connect(fd, (struct sockaddr *)&in, len) == 0 || errno == EINPROGRESS);
}

/* The same, where nobody listens. */
__attribute__((unused)) static bool
tcp_refused(int fd)
{
	int to = tcp_bound();
	bool begun = to >= 0 && tcp_connect(fd, to);

	while (begun && poll(&(struct pollfd){ .fd = fd }, 1, 1000) == 0)
		;
	close(to);
	return begun;
}

/* Both ends of a connection. */
__attribute__((unused)) static bool
tcp_pair(int fds[2])
{
	int listener = tcp_listener();

	fds[0] = tcp_socket();
	fds[1] = -1;
	if (listener >= 0 && fds[0] >= 0 && tcp_connect(fds[0], listener)) {
		while (poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 1000) == 0)
			;
		fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	}
	close(listener);
	return fds[1] >= 0;
}

/* Closed, and the other end is not told politely. */
__attribute__((unused)) static int
tcp_reset(int fd)
{
	struct linger hard = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	return close(fd);
}

/* Once so many bytes have come, if that is not negative, and poll(2) says this of the end. */
__attribute__((unused)) static bool
tcp_settled(int fd, int bytes, int revents)
{
	for (int tries = 0; tries < TCP_TRIES; tries++) {
		struct pollfd pfd = { .fd = fd, .events = POLLRDHUP | POLLPRI };
		int waiting = -1;

		if (poll(&pfd, 1, 0) >= 0 && pfd.revents == revents && ioctl(fd, FIONREAD, &waiting) == 0 &&
		    (waiting == bytes || bytes < 0)) {
			/* What it has to acknowledge it does now, and not when it sees fit. */
			setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
			return true;
		}
		usleep(50);
	}
	return false;
}

/* Once all that it sent is acknowledged, its end, too: till then its state may change. */
__attribute__((unused)) static bool
tcp_acked(int fd)
{
	for (int tries = 0; tries < TCP_TRIES; tries++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);
		int unsent = -1;

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && (info.tcpi_state == TCP_CLOSE ||
		    (ioctl(fd, TIOCOUTQ, &unsent) == 0 && unsent == 0 && info.tcpi_state != TCP_FIN_WAIT1 &&
		    info.tcpi_state != TCP_CLOSING && info.tcpi_state != TCP_LAST_ACK)))
			return true;
		usleep(50);
	}
	return false;
}

/* Once so many wait to be accepted. */
__attribute__((unused)) static bool
tcp_waiting(int fd, int count)
{
	for (int tries = 0; tries < TCP_TRIES; tries++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && (int)info.tcpi_unacked == count)
			return true;
		usleep(50);
	}
	return false;
}

#endif
