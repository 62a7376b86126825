/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd host port count: count clients of an echo server, all connected at the
 * same time.  First all connect, then all speak, then all listen: each says
 * its number and must hear just that.  Prints "all echoed", reads what comes
 * until the server hangs up, and prints how many heard it say goodbye.
 *
 * Exit codes: 0, 1 if anything went wrong, 77 if so many descriptors cannot
 * be had.
 */
#include <sys/types.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <err.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOODBYE		"Server shutting down\n"

static void
fits(rlim_t count)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "getrlimit");
	if (rl.rlim_max < count + 50) {
		printf("only %llu descriptors are allowed\n", (unsigned long long)rl.rlim_max);
		exit(77);
	}
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "setrlimit");
}

int
main(int argc, char *argv[])
{
	struct addrinfo hints, *ai;
	char heard[64], said[64];
	int *fd, count, error, i, len, goodbyes = 0;
	size_t got;
	ssize_t n;

	if (argc != 4 || (count = atoi(argv[3])) < 1)
		errx(1, "usage: crowd host port count");
	alarm(120);
	fits((rlim_t)count);
	setvbuf(stdout, NULL, _IOLBF, 0);
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	if ((error = getaddrinfo(argv[1], argv[2], &hints, &ai)) != 0)
		errx(1, "%s: %s", argv[1], gai_strerror(error));
	if ((fd = calloc((size_t)count, sizeof(*fd))) == NULL)
		err(1, NULL);

	for (i = 0; i < count; i++) {
		fd[i] = socket(ai->ai_family, ai->ai_socktype, 0);
		if (fd[i] == -1)
			err(1, "socket %d", i);
		if (connect(fd[i], ai->ai_addr, ai->ai_addrlen) == -1)
			err(1, "connect %d", i);
	}
	for (i = 0; i < count; i++) {
		len = snprintf(said, sizeof(said), "this is %d\n", i);
		if (write(fd[i], said, (size_t)len) != len)
			err(1, "write %d", i);
	}
	for (i = 0; i < count; i++) {
		len = snprintf(said, sizeof(said), "this is %d\n", i);
		for (got = 0; got < (size_t)len; got += (size_t)n) {
			n = read(fd[i], heard + got, (size_t)len - got);
			if (n == -1)
				err(1, "read %d", i);
			if (n == 0)
				errx(1, "client %d: hung up on", i);
		}
		if (memcmp(heard, said, got) != 0)
			errx(1, "client %d heard something else", i);
	}
	printf("all echoed\n");

	for (i = 0; i < count; i++) {
		for (got = 0; got < sizeof(heard); got += (size_t)n)
			if ((n = read(fd[i], heard + got, sizeof(heard) - got)) <= 0)
				break;
		if (got == strlen(GOODBYE) && memcmp(heard, GOODBYE, got) == 0)
			goodbyes++;
		close(fd[i]);
	}
	printf("goodbyes: %d\n", goodbyes);
	return (0);
}
