/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A socket's error is told in fflags at EV_EOF, and is still the program's to
 * take: read, write, connect, poll and SO_ERROR say what they would have said
 * had nobody looked.
 */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

/* An address that nobody listens on; who holds it keeps it free of others. */
static union { struct sockaddr any; struct sockaddr_in in; struct sockaddr_in6 in6; } nobody;
static socklen_t nobody_len;

static int
nobody_listens(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	memset(&nobody, 0, sizeof(nobody));
	nobody.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		nobody.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		nobody.in6.sin6_addr = in6addr_loopback;
	nobody_len = family == AF_INET ? sizeof(nobody.in) : sizeof(nobody.in6);
	ck_assert_int_eq(bind(fd, &nobody.any, nobody_len), 0);
	ck_assert_int_eq(getsockname(fd, &nobody.any, &nobody_len), 0);
	return fd;
}

/* A socket whose connection was or is being refused. */
static int
refused(void)
{
	int fd = socket(nobody.any.sa_family, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(connect(fd, &nobody.any, nobody_len), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

/* A socket whose peer left with a reset; fds[0] of a pair. */
static int
reset(enum pair kind, size_t unread)
{
	struct linger hard = { 1, 0 };
	int fds[2];

	pair(kind, fds);
	if (unread > 0)
		pass(fds[1], fds[0], unread);
	ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	ck_assert_int_eq(close(fds[1]), 0);
	return fds[0];
}

static void
wait_hangup(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = 0 };

	ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
}

/* What the program may do afterwards; each returns the errno, or minus the result. */
static int
by_so_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

static int
by_read(int fd)
{
	char buffer[64];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	return n == -1 ? errno : (int)-n;
}

static int
by_write(int fd)
{
	ssize_t n = send(fd, "x", 1, MSG_NOSIGNAL);

	return n == -1 ? errno : (int)-n;
}

static int
by_connect(int fd)
{
	return connect(fd, &nobody.any, nobody_len) == -1 ? errno : 0;
}

static int
by_poll(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&pfd, 1, 0) == 1 ? pfd.revents : 0;
}

static int (*const ways[])(int) = { by_so_error, by_read, by_write, by_connect, by_poll };
static const char *const way_name[] = { "SO_ERROR", "read", "write", "connect", "poll" };
enum { WAYS = 5 };

/* A watched socket whose events were collected answers like one that nobody watched, twice. */
static void
check_not_taken(int watched, int control, int way, const char *what)
{
	wait_hangup(control);
	for (int again = 0; again < 2; again++) {
		int expected = ways[way](control), got = ways[way](watched);

		ck_assert_msg(got == expected, "%s, %s%s: %d where %d was expected", what,
		    way_name[way], again ? " again" : "", got, expected);
	}
	close(watched);
	close(control);
}

static void
check_error_event(int kq, int fd, short filter, unsigned int flags, unsigned int error)
{
	struct kevent event = event_of(kq, (uintptr_t)fd, filter);

	ck_assert_uint_eq(event.flags, flags | EV_EOF);
	ck_assert_uint_eq(event.fflags, error);
}

START_TEST(socket_error__refused_connect_is_told)
{
	static const int families[] = { AF_INET, AF_INET6 };
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 2; i++) {
		if (families[i] == AF_INET6 && !have_ipv6())
			continue;
		int holder = nobody_listens(families[i]);
		for (int f = 0; f < 2; f++)
			for (int j = 0; j < 4; j++) {
				int kq = queue(), fd = refused();

				ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD | flags[j], 0, 0, NULL), 0);
				check_error_event(kq, fd, filters[f], flags[j], ECONNREFUSED);
				if (flags[j] == 0)	/* told again: it was not taken */
					check_error_event(kq, fd, filters[f], flags[j], ECONNREFUSED);
				else
					no_event(kq);
				close(fd);
				close(kq);
			}
		close(holder);
	}
}
END_TEST

START_TEST(socket_error__refused_connect_is_told_to_both_filters)
{
	int holder = nobody_listens(AF_INET), kq = queue(), fd = refused();
	struct kevent events[2];

	for (int f = 0; f < 2; f++)
		ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD, 0, 0, NULL), 0);
	wait_hangup(fd);
	ck_assert_int_eq(collect(kq, events, 2, 10000), 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(events[i].flags, EV_EOF);
		ck_assert_uint_eq(events[i].fflags, ECONNREFUSED);
	}
	close(fd);
	close(kq);
	close(holder);
}
END_TEST

/*
 * A program that takes EV_EOF with room and an error for a lost connection looks for why it
 * was refused when it is asked to read, as kqueue on FreeBSD tells it to first.
 */
START_TEST(socket_error__refused_connect_is_told_to_read_first)
{
	int holder = nobody_listens(AF_INET);
	struct kevent events[2];

	for (int room = 1; room <= 2; room++)
		for (int first = 0; first < 2; first++) {
			int kq = queue(), fd = refused();

			for (int f = 0; f < 2; f++)
				ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f ^ first], EV_ADD, 0, 0, NULL), 0);
			wait_hangup(fd);
			ck_assert_int_eq(collect(kq, events, room, 10000), room);
			ck_assert_int_eq(events[0].filter, EVFILT_READ);
			if (room == 1) {	/* and then it is the other's turn */
				ck_assert_int_eq(collect(kq, events, room, 10000), room);
				ck_assert_int_eq(events[0].filter, EVFILT_WRITE);
			}
			close(fd);
			close(kq);
		}
	close(holder);
}
END_TEST

START_TEST(socket_error__refused_connect_is_not_taken)
{
	int holder = nobody_listens(AF_INET);

	for (int way = 0; way < WAYS; way++)
		for (int f = 0; f < 2; f++) {
			int kq = queue(), control = refused(), fd = refused();

			ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD, 0, 0, NULL), 0);
			for (int i = 0; i < 3; i++)
				check_error_event(kq, fd, filters[f], 0, ECONNREFUSED);
			check_not_taken(fd, control, way, "refused");
			close(kq);
		}
	close(holder);
}
END_TEST

START_TEST(socket_error__reset_is_told)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_TCP6 };

	for (int i = 0; i < 2; i++)
		for (int f = 0; f < 2; f++) {
			if (kinds[i] == PAIR_TCP6 && !have_ipv6())
				continue;
			int kq = queue(), fd = reset(kinds[i], 0);

			wait_hangup(fd);
			ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD, 0, 0, NULL), 0);
			for (int again = 0; again < 2; again++)
				check_error_event(kq, fd, filters[f], 0, ECONNRESET);
			close(fd);
			close(kq);
		}
}
END_TEST

START_TEST(socket_error__reset_wakes_who_waits)
{
	struct linger hard = { 1, 0 };
	int kq = queue(), fds[2];
	struct waiter w;

	for (int side = 0; side < 2; side++) {	/* the one that connected, the one that accepted */
		pair(PAIR_TCP, fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[side], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		waiter_start(&w, kq, -1);
		ck_assert_int_eq(setsockopt(fds[1 - side], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
		close(fds[1 - side]);
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_uint_eq(w.event.flags, EV_CLEAR | EV_EOF);
		ck_assert_uint_eq(w.event.fflags, ECONNRESET);
		close(fds[side]);
	}
	close(kq);
}
END_TEST

START_TEST(socket_error__reset_is_not_taken)
{
	for (int way = 0; way < WAYS; way++)
		for (int f = 0; f < 2; f++) {
			int kq, control, fd;

			if (ways[way] == by_connect)
				continue;
			kq = queue();
			control = reset(PAIR_TCP, 0);
			fd = reset(PAIR_TCP, 0);
			wait_hangup(fd);
			ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD, 0, 0, NULL), 0);
			for (int i = 0; i < 3; i++)
				check_error_event(kq, fd, filters[f], 0, ECONNRESET);
			check_not_taken(fd, control, way, "reset");
			close(kq);
		}
}
END_TEST

/* What the peer wrote before the reset may or may not be left; the count never exceeds it. */
START_TEST(socket_error__reset_with_unread_data)
{
	int kq = queue(), fd = reset(PAIR_TCP, 5);
	struct kevent event;

	wait_hangup(fd);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event = event_of(kq, (uintptr_t)fd, EVFILT_READ);
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_uint_eq(event.fflags, ECONNRESET);
	ck_assert_int_le(event.data, 5);
	close(fd);
	close(kq);
}
END_TEST

/* An AF_UNIX peer that leaves bytes unread resets the connection. */
START_TEST(socket_error__unix_reset_is_not_taken)
{
	for (int way = 0; way < WAYS; way++) {
		int kq, both[2][2];

		if (ways[way] == by_connect)
			continue;
		kq = queue();
		for (int i = 0; i < 2; i++) {
			pair(PAIR_UNIX, both[i]);
			put(both[i][0], 3);
		}
		ck_assert_int_eq(change(kq, (uintptr_t)both[0][0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		for (int i = 0; i < 2; i++)
			close(both[i][1]);
		for (int i = 0; i < 2; i++) {
			struct kevent event = event_of(kq, (uintptr_t)both[0][0], EVFILT_READ);

			ck_assert_uint_eq(event.flags, EV_EOF);
			ck_assert(event.fflags == 0 || event.fflags == ECONNRESET);
		}
		check_not_taken(both[0][0], both[1][0], way, "AF_UNIX");
		close(kq);
	}
}
END_TEST

START_TEST(socket_error__orderly_end_has_none)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX };

	for (int i = 0; i < 2; i++) {
		int kq = queue(), fds[2];

		pair(kinds[i], fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		close(fds[1]);
		check_error_event(kq, fds[0], EVFILT_READ, 0, 0);
		ck_assert_int_eq(by_so_error(fds[0]), 0);
		ck_assert_int_eq(by_read(fds[0]), 0);
		close(fds[0]);
		close(kq);
	}
}
END_TEST

/* The program took it itself: nothing is left to tell. */
START_TEST(socket_error__taken_error_is_told_no_more)
{
	int holder = nobody_listens(AF_INET), kq = queue(), fd = refused();
	struct kevent event;

	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	check_error_event(kq, fd, EVFILT_WRITE, 0, ECONNREFUSED);
	ck_assert_int_eq(by_so_error(fd), ECONNREFUSED);
	if (collect(kq, &event, 1, 0) == 1)
		ck_assert_uint_eq(event.fflags, 0);
	close(fd);
	close(kq);
	close(holder);
}
END_TEST

/* An ICMP error on UDP is not the end of anything; the program's next call tells it. */
START_TEST(socket_error__udp_error_is_no_end)
{
	for (int way = 0; way < 3; way++) {
		int kq = queue(), fds[2];
		struct kevent event;

		pair(PAIR_UDP, fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		close(fds[1]);
		put(fds[0], 1);
		wait_hangup(fds[0]);
		event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_uint_eq(event.flags, 0);
		ck_assert_int_eq(ways[way](fds[0]), ECONNREFUSED);
		no_event(kq);
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(socket_error__connect_that_succeeds_has_none)
{
	int kq = queue(), listener = nobody_listens(AF_INET), fd;

	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_ge(fd = socket(AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	connect(fd, &nobody.any, nobody_len);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
	struct kevent event = event_of(kq, (uintptr_t)fd, EVFILT_WRITE);
	ck_assert_uint_eq(event.flags, EV_ONESHOT);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(by_so_error(fd), 0);
	close(fd);
	close(listener);
	close(kq);
}
END_TEST

HARNESS_MAIN("socket_error",
    socket_error__refused_connect_is_told,
    socket_error__refused_connect_is_told_to_both_filters,
    socket_error__refused_connect_is_told_to_read_first,
    socket_error__refused_connect_is_not_taken,
    socket_error__reset_is_told,
    socket_error__reset_wakes_who_waits,
    socket_error__reset_is_not_taken,
    socket_error__reset_with_unread_data,
    socket_error__unix_reset_is_not_taken,
    socket_error__orderly_end_has_none,
    socket_error__taken_error_is_told_no_more,
    socket_error__udp_error_is_no_end,
    socket_error__connect_that_succeeds_has_none)
