/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stubborn host port [reset]: a client of an echo server that talks and talks
 * and does not listen.  When the server has taken nothing for half a second it
 * prints "stuck at N", and waits for standard input to end.  Then it reads
 * everything, prints "all N came back" or "only N came back", all unchanged,
 * and "goodbye" if the server's followed.
 *
 * With reset it hangs up instead, with all of the answer unread.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOODBYE		"Server shutting down\n"

/* The byte at a place of the stream: never text, and the period is a prime. */
static char
byte_at(size_t pos)
{
	return ((char)(128 + pos % 113));
}

int
main(int argc, char *argv[])
{
	struct addrinfo hints, *ai;
	struct pollfd pfd;
	char buf[8192], rest[64];
	size_t back = 0, i, nrest = 0, sent = 0;
	ssize_t n;
	const int small = 16384;	/* so that it is over soon */
	int error, fd;

	if (argc != 3 && argc != 4)
		errx(1, "usage: stubborn host port [reset]");
	alarm(120);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	if ((error = getaddrinfo(argv[1], argv[2], &hints, &ai)) != 0)
		errx(1, "%s: %s", argv[1], gai_strerror(error));
	if ((fd = socket(ai->ai_family, ai->ai_socktype, 0)) == -1)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == -1)
		err(1, "connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);

	pfd.fd = fd;
	pfd.events = POLLOUT;
	while (poll(&pfd, 1, 500) == 1) {
		for (i = 0; i < sizeof(buf); i++)
			buf[i] = byte_at(sent + i);
		if ((n = write(fd, buf, sizeof(buf))) > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN)
			err(1, "write");
	}
	printf("stuck at %zu\n", sent);
	if (argc == 4)
		return (0);		/* unread input makes this a reset */

	while (read(STDIN_FILENO, buf, sizeof(buf)) > 0)
		continue;
	shutdown(fd, SHUT_WR);
	fcntl(fd, F_SETFL, 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < (size_t)n; i++)
			if (nrest == 0 && buf[i] == byte_at(back))
				back++;
			else if (nrest < sizeof(rest))
				rest[nrest++] = buf[i];
	if (n == -1)
		err(1, "read after %zu", back);
	printf("%s %zu came back\n", back == sent ? "all" : "only", back);
	if (nrest == strlen(GOODBYE) && memcmp(rest, GOODBYE, nrest) == 0)
		printf("goodbye\n");
	else if (nrest > 0)
		errx(1, "byte %zu came back wrong", back);
	return (0);
}
