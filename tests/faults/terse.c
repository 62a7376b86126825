/* SPDX-License-Identifier: BSD-2-Clause */
/* An emulator of Linux may tell of a connection no more than the first word of what was asked for. */
#include "../harness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

int	__real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int	__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	if (level == IPPROTO_TCP && name == TCP_INFO && *size > 4)
		*size = 4;
	return __real_getsockopt(fd, level, name, value, size);
}

/* What cannot be told is not guessed: the program has the error, as if nobody had looked. */
START_TEST(terse__error_that_is_not_known_is_not_told)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int kq = queue(), closed = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(sin);
	struct kevent event;
	char byte;

	ck_assert_int_eq(bind(closed, (struct sockaddr *)&sin, size), 0);
	ck_assert_int_eq(getsockname(closed, (struct sockaddr *)&sin, &size), 0);
	ck_assert(connect(fd, (struct sockaddr *)&sin, size) == -1 && errno == EINPROGRESS);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event = event_of(kq, (uintptr_t)fd, EVFILT_READ);
	ck_assert_uint_eq(event.flags & EV_EOF, EV_EOF);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert(read(fd, &byte, 1) == -1 && errno == ECONNREFUSED);
	close(fd);
	close(closed);
	close(kq);
}
END_TEST

HARNESS_MAIN("terse",
    terse__error_that_is_not_known_is_not_told)
