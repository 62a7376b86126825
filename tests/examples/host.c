/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host [-6] sink file	reads one connection to its end, then says "got N"
 * host [-6] slow file	the same, but takes its time
 * host [-6] early file	says nothing, and says so first; then reads on
 * host [-6] source file	sends a file, then waits for the other to finish
 * host [-6] reset	reads a little and hangs up hard
 * host [-6] nobody	closes its port before anyone comes
 *
 * The other end for a TCP client.  It listens on a port of the system's choice
 * at the loopback address, and prints "port N".
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char	 buf[65536];

static int
listen_somewhere(int v6)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;
	socklen_t len;
	int fd;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(&sin6, 0, sizeof(sin6));
	sin6.sin6_family = AF_INET6;
	sin6.sin6_addr = in6addr_loopback;

	if ((fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0)) == -1)
		err(1, "socket");
	if (v6) {
		len = sizeof(sin6);
		if (bind(fd, (struct sockaddr *)&sin6, len) == -1 ||
		    getsockname(fd, (struct sockaddr *)&sin6, &len) == -1)
			err(1, "bind");
	} else {
		len = sizeof(sin);
		if (bind(fd, (struct sockaddr *)&sin, len) == -1 ||
		    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
			err(1, "bind");
	}
	if (listen(fd, 8) == -1)
		err(1, "listen");
	printf("port %d\n", ntohs(v6 ? sin6.sin6_port : sin.sin_port));
	return (fd);
}

static void
send_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n)
		if ((n = write(fd, p, len)) == -1)
			err(1, "write");
}

/* A host that is slow, which is about time. */
static void
pause_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

int
main(int argc, char *argv[])
{
	const struct linger hard = { 1, 0 };
	const char *mode;
	size_t total = 0;
	ssize_t n;
	int fd, file = -1, listener, small = 8192, v6;

	v6 = argc > 1 && strcmp(argv[1], "-6") == 0;
	argv += v6;
	argc -= v6;
	if (argc < 2)
		errx(1, "usage: see the source");
	mode = argv[1];
	alarm(120);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2) {
		file = strcmp(mode, "source") == 0 ? open(argv[2], O_RDONLY) :
		    open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (file == -1)
			err(1, "%s", argv[2]);
	}

	listener = listen_somewhere(v6);
	if (strcmp(mode, "nobody") == 0)
		return (0);
	if (strcmp(mode, "slow") == 0)
		setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if ((fd = accept(listener, NULL, NULL)) == -1)
		err(1, "accept");

	if (strcmp(mode, "reset") == 0) {
		if (read(fd, buf, 1) == -1)
			err(1, "read");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		return (0);
	}
	if (strcmp(mode, "source") == 0) {
		while ((n = read(file, buf, sizeof(buf))) > 0)
			send_all(fd, buf, (size_t)n);
		shutdown(fd, SHUT_WR);
	}
	if (strcmp(mode, "early") == 0)
		shutdown(fd, SHUT_WR);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		total += (size_t)n;
		if (file != -1 && strcmp(mode, "source") != 0)
			send_all(file, buf, (size_t)n);
		if (strcmp(mode, "slow") == 0)
			pause_ms(1);
	}
	if (n == -1)
		err(1, "read");
	n = snprintf(buf, sizeof(buf), "got %zu\n", total);
	if (strcmp(mode, "sink") == 0 || strcmp(mode, "slow") == 0)
		send_all(fd, buf, (size_t)n);
	printf("%s", buf);
	return (0);
}
