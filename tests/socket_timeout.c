/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that time out, and those that are reset when that was near:
 * fflags tells one from the other, and takes neither from the program.
 *
 * A filter that drops all that comes in makes a socket as silent as a machine
 * that is gone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int kq, fds[2];

static void
set(int fd, int level, int name, int value)
{
	ck_assert_int_eq(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

static void
mute(int fd)
{
	struct sock_filter drop = { .code = BPF_RET | BPF_K };
	struct sock_fprog program = { .len = 1, .filter = &drop };

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

static void
unmute(int fd)
{
	set(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

static void
close_hard(int fd)
{
	struct linger hard = { 1, 0 };

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fd);
}

/* Both filters tell it, twice, and then the program finds it. */
static void
check_error(int fd, int error)
{
	struct kevent events[2];
	struct pollfd pfd = { .fd = fd };
	socklen_t size = sizeof(int);
	int got = -1;

	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(collect(kq, events, 1, HARNESS_TIMEOUT * 500), 1);
	ck_assert_int_eq(poll(&pfd, 1, 0), 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(collect(kq, events + 1, 1, 1000), 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(events[i].flags, EV_EOF);
		ck_assert_uint_eq(events[i].fflags, (unsigned)error);
	}
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &got, &size), 0);
	ck_assert_int_eq(got, error);
	close(fd);
}

static void
begin(void)
{
	kq = queue();
	pair(PAIR_TCP, fds);
}

/* What was sent is never acknowledged. */
START_TEST(timeout__of_what_was_sent)
{
	begin();
	mute(fds[0]);
	set(fds[1], IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
	put(fds[1], 1);
	check_error(fds[1], ETIMEDOUT);
	close(fds[0]);
	close(kq);
}
END_TEST

static void
keep_alive(int fd)
{
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

START_TEST(timeout__of_an_idle_connection)
{
	begin();
	mute(fds[0]);
	keep_alive(fds[1]);
	check_error(fds[1], ETIMEDOUT);
	close(fds[0]);
	/* The same with a limit in time, not in number. */
	pair(PAIR_TCP, fds);
	mute(fds[0]);
	keep_alive(fds[1]);
	set(fds[1], IPPROTO_TCP, TCP_KEEPCNT, 9);
	set(fds[1], IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
	check_error(fds[1], ETIMEDOUT);
	close(fds[0]);
	close(kq);
}
END_TEST

/* A machine that was started anew answers what is sent again with a reset. */
START_TEST(timeout__reset_after_retransmissions)
{
	static const int limits[] = { 0, 60000 };
	int64_t start;

	kq = queue();
	for (int i = 0; i < 2; i++) {
		pair(PAIR_TCP, fds);
		set(fds[1], IPPROTO_TCP, TCP_USER_TIMEOUT, limits[i]);
		mute(fds[0]);
		start = now_ns();
		put(fds[1], 1);
		nap(800);	/* twice, by then */
		close_hard(fds[0]);
		if (now_ns() - start < 1200000000)
			check_error(fds[1], ECONNRESET);
		else
			close(fds[1]);
	}
	close(kq);
}
END_TEST

/* And so it does the question whether it is alive. */
START_TEST(timeout__reset_of_an_idle_connection)
{
	begin();
	mute(fds[1]);
	close_hard(fds[0]);
	nap(20);
	unmute(fds[1]);
	keep_alive(fds[1]);
	check_error(fds[1], ECONNRESET);
	close(kq);
}
END_TEST

static union { struct sockaddr any; struct sockaddr_in in; } address;

static int
silent_listener(void)
{
	socklen_t size = sizeof(address.in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memset(&address, 0, sizeof(address));
	address.in.sin_family = AF_INET;
	address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, &address.any, size), 0);
	ck_assert_int_eq(getsockname(fd, &address.any, &size), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	mute(fd);
	return fd;
}

static int
connecting(int limit)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, limit);
	ck_assert_int_eq(connect(fd, &address.any, sizeof(address.in)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

START_TEST(timeout__of_connecting)
{
	int listener = silent_listener();

	kq = queue();
	check_error(connecting(300), ETIMEDOUT);
	close(listener);
	close(kq);
}
END_TEST

/* The first attempt is lost, the second one refused. */
START_TEST(timeout__refused_after_retransmissions)
{
	int listener = silent_listener(), fd;

	kq = queue();
	fd = connecting(0);
	nap(100);
	close(listener);
	check_error(fd, ECONNREFUSED);
	close(kq);
}
END_TEST

HARNESS_MAIN("socket_timeout",
    timeout__of_what_was_sent,
    timeout__of_an_idle_connection,
    timeout__reset_after_retransmissions,
    timeout__reset_of_an_idle_connection,
    timeout__of_connecting,
    timeout__refused_after_retransmissions)
