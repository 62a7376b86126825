/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_READ on sockets: byte counts, datagrams, listening sockets, ends of
 * file.  Errors are in socket_error.c, NOTE_LOWAT in lowat.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const enum pair streams[] = { PAIR_TCP, PAIR_TCP6, PAIR_UNIX };
static const enum pair packets[] = { PAIR_UDP, PAIR_DGRAM, PAIR_SEQPACKET };

static int kq, fds[2];

static void
begin(enum pair kind, unsigned int flags)
{
	kq = queue();
	if (kind == PAIR_TCP6 && !have_ipv6())
		kind = PAIR_TCP;
	pair(kind, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, (unsigned short)(EV_ADD | flags), 0, 0, NULL), 0);
}

static void
end(void)
{
	close_pair(fds);
	close(kq);
}

static struct kevent
read_event(void)
{
	return event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
}

/* The first event with EV_EOF; others before it are of data that came first. */
static struct kevent
eof_event(void)
{
	struct kevent event;

	do
		event = read_event();
	while ((event.flags & EV_EOF) == 0);
	return event;
}

START_TEST(read_socket__data_is_the_number_of_bytes)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		no_event(kq);
		pass(fds[1], fds[0], 7);
		struct kevent event = read_event();
		ck_assert_int_eq(event.data, 7);
		ck_assert_uint_eq(event.flags, 0);
		ck_assert_uint_eq(event.fflags, 0);
		pass(fds[1], fds[0], 5);
		ck_assert_int_eq(read_event().data, 12);
		get(fds[0], 4);
		ck_assert_int_eq(read_event().data, 8);
		get(fds[0], 8);
		no_event(kq);
		pass(fds[1], fds[0], 50000);
		ck_assert_int_eq(read_event().data, 50000);
		end();
	}
}
END_TEST

START_TEST(read_socket__data_from_before_the_registration)
{
	for (int i = 0; i < 3; i++) {
		kq = queue();
		pair(streams[i] == PAIR_TCP6 && !have_ipv6() ? PAIR_TCP : streams[i], fds);
		pass(fds[1], fds[0], 3);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		ck_assert_int_eq(read_event().data, 3);
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(read_socket__wakes_a_waiting_thread)
{
	for (int i = 0; i < 3; i++) {
		struct waiter w;

		begin(streams[i], EV_CLEAR);
		waiter_start(&w, kq, -1);
		put(fds[1], 9);
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_int_eq(w.event.data, 9);
		end();
	}
}
END_TEST

START_TEST(read_socket__data_counts_at_least_the_first_datagram)
{
	for (int i = 0; i < 3; i++) {
		begin(packets[i], 0);
		no_event(kq);
		put(fds[1], 5);
		put(fds[1], 70);
		ck_assert_int_ge(read_event().data, 5);
		ck_assert_int_eq(drain(fds[0]), 75);
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(read_socket__empty_datagram_fires_with_data_0)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	char c;

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 4; j++) {
			begin(packets[i], flags[j]);
			ck_assert_int_eq(send(fds[1], "", 0, 0), 0);
			struct kevent event = read_event();
			ck_assert_int_eq(event.data, 0);
			ck_assert_uint_eq(event.flags, flags[j]);
			ck_assert_int_eq(recv(fds[0], &c, 1, MSG_DONTWAIT), 0);
			no_event(kq);
			end();
		}
}
END_TEST

START_TEST(read_socket__every_empty_datagram_fires_anew)
{
	for (int i = 0; i < 2; i++) {
		begin(packets[i], EV_CLEAR);
		for (int j = 0; j < 5; j++) {
			ck_assert_int_eq(send(fds[1], "", 0, 0), 0);
			read_event();
			no_event(kq);
		}
		end();
	}
}
END_TEST

START_TEST(read_socket__empty_datagram_before_a_full_one)
{
	char buffer[16];

	for (int i = 0; i < 2; i++) {
		begin(packets[i], 0);
		ck_assert_int_eq(send(fds[1], "", 0, 0), 0);
		put(fds[1], 6);
		ck_assert_int_ge(read_event().data, 0);
		ck_assert_int_eq(recv(fds[0], buffer, sizeof(buffer), 0), 0);
		ck_assert_int_eq(read_event().data, 6);
		ck_assert_int_eq(recv(fds[0], buffer, sizeof(buffer), 0), 6);
		no_event(kq);
		end();
	}
}
END_TEST

/* A datagram socket has no end: its peer may go and another come. */
START_TEST(read_socket__closed_datagram_peer_is_no_event)
{
	for (int i = 0; i < 2; i++) {
		begin(packets[i], 0);
		close(fds[1]);
		no_event(kq);
		ck_assert(!readable(kq, 20));
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__peers_close_is_end_of_file)
{
	static const enum pair all[] = { PAIR_TCP, PAIR_TCP6, PAIR_UNIX, PAIR_SEQPACKET };

	for (int i = 0; i < 4; i++) {
		begin(all[i], 0);
		no_event(kq);
		close(fds[1]);
		for (int j = 0; j < 3; j++) {
			struct kevent event = read_event();

			ck_assert_uint_eq(event.flags, EV_EOF);
			ck_assert_uint_eq(event.fflags, 0);
			ck_assert_int_eq(event.data, 0);
		}
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__end_of_file_counts_what_is_left)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		pass(fds[1], fds[0], 8);
		close(fds[1]);
		ck_assert_int_eq(eof_event().data, 8);
		get(fds[0], 3);
		ck_assert_int_eq(eof_event().data, 5);
		get(fds[0], 5);
		ck_assert_int_eq(eof_event().data, 0);
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__end_of_file_from_before_the_registration)
{
	for (int i = 0; i < 3; i++) {
		struct pollfd pfd;

		kq = queue();
		pair(streams[i] == PAIR_TCP6 && !have_ipv6() ? PAIR_TCP : streams[i], fds);
		ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		pfd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
		ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		ck_assert_uint_eq(read_event().flags, EV_CLEAR | EV_EOF);
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(read_socket__clear_tells_the_end_of_file_once)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], EV_CLEAR);
		pass(fds[1], fds[0], 4);
		ck_assert_uint_eq(read_event().flags, EV_CLEAR);
		ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		struct kevent event = read_event();
		ck_assert_uint_eq(event.flags, EV_CLEAR | EV_EOF);
		ck_assert_int_eq(event.data, 4);
		no_event(kq);
		get(fds[0], 4);
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(read_socket__peers_half_close_is_end_of_file)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		pass(fds[1], fds[0], 2);
		ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		struct kevent event = eof_event();
		ck_assert_int_eq(event.data, 2);
		ck_assert_uint_eq(event.fflags, 0);
		/* The other direction still works. */
		pass(fds[0], fds[1], 5);
		end();
	}
}
END_TEST

START_TEST(read_socket__own_shutdown_of_reading_is_end_of_file)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		ck_assert_int_eq(shutdown(fds[0], SHUT_RD), 0);
		ck_assert_uint_eq(read_event().flags, EV_EOF);
		end();
	}
}
END_TEST

START_TEST(read_socket__own_shutdown_of_writing_is_no_event)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		ck_assert_int_eq(shutdown(fds[0], SHUT_WR), 0);
		no_event(kq);
		pass(fds[1], fds[0], 3);
		struct kevent event = read_event();
		ck_assert_uint_eq(event.flags, 0);
		ck_assert_int_eq(event.data, 3);
		end();
	}
}
END_TEST

START_TEST(read_socket__both_directions_shut_is_end_of_file)
{
	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		ck_assert_int_eq(shutdown(fds[0], SHUT_RDWR), 0);
		ck_assert_uint_eq(read_event().flags, EV_EOF);
		end();
	}
}
END_TEST

/* A socket that is not connected has nothing to say, and costs nothing. */
START_TEST(read_socket__unconnected_socket_is_silent)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

	for (int f = 0; f < 2; f++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		kq = queue();
		ck_assert_int_eq(change(kq, (uintptr_t)fd, filters[f], EV_ADD, 0, 0, NULL), 0);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		asleep(kq, 200);
		close(fd);
		close(kq);
	}
}
END_TEST

/* Listening sockets. */

static union {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
} address;
static socklen_t address_len;

/* A bound socket, not yet listening; its address is left in `address`. */
static int
bound_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	memset(&address, 0, sizeof(address));
	address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address_len = sizeof(address.in);
	} else if (family == AF_INET6) {
		address.in6.sin6_addr = in6addr_loopback;
		address_len = sizeof(address.in6);
	} else {
		snprintf(address.un.sun_path, sizeof(address.un.sun_path), "%s/socket", scratch_dir());
		unlink(address.un.sun_path);
		address_len = sizeof(address.un);
	}
	ck_assert_int_eq(bind(fd, &address.any, address_len), 0);
	if (family != AF_UNIX)
		ck_assert_int_eq(getsockname(fd, &address.any, &address_len), 0);
	return fd;
}

static int
connected_client(void)
{
	int fd = socket(address.any.sa_family, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, &address.any, address_len), 0);
	return fd;
}

/* The event of a listener once n connections wait; it may take a moment for the last. */
static void
check_waiting(int listener, int n)
{
	struct kevent event = { .data = -1 };

	for (int tries = 0; tries < 5000 && event.data != n; tries++) {
		event = event_of(kq, (uintptr_t)listener, EVFILT_READ);
		if (event.data != n)
			nap(1);
	}
	ck_assert_int_eq(event.data, n);
	ck_assert_uint_eq(event.flags, 0);
	ck_assert_uint_eq(event.fflags, 0);
}

START_TEST(read_socket__listener_counts_waiting_connections)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (int f = 0; f < 2; f++) {
		int listener, client[5], accepted;

		if (families[f] == AF_INET6 && !have_ipv6())
			continue;
		kq = queue();
		listener = bound_socket(families[f]);
		ck_assert_int_eq(listen(listener, 10), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)listener, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		no_event(kq);
		for (int i = 0; i < 5; i++) {
			client[i] = connected_client();
			check_waiting(listener, i + 1);
		}
		for (int i = 4; i >= 0; i--) {
			ck_assert_int_ge(accepted = accept(listener, NULL, NULL), 0);
			close(accepted);
			if (i > 0)
				check_waiting(listener, i);
		}
		no_event(kq);
		for (int i = 0; i < 5; i++)
			close(client[i]);
		close(listener);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__unix_listener_counts_at_least_1)
{
	int listener, client[3], accepted;

	kq = queue();
	listener = bound_socket(AF_UNIX);
	ck_assert_int_eq(listen(listener, 10), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)listener, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	for (int i = 0; i < 3; i++) {
		client[i] = connected_client();
		struct kevent event = event_of(kq, (uintptr_t)listener, EVFILT_READ);
		ck_assert_int_ge(event.data, 1);
		ck_assert_int_le(event.data, i + 1);
		ck_assert_uint_eq(event.flags, 0);
	}
	for (int i = 0; i < 3; i++) {
		event_of(kq, (uintptr_t)listener, EVFILT_READ);
		ck_assert_int_ge(accepted = accept(listener, NULL, NULL), 0);
		close(accepted);
		close(client[i]);
	}
	no_event(kq);
	close(listener);
	close(kq);
}
END_TEST

START_TEST(read_socket__listener_with_clear_fires_for_every_connection)
{
	static const int families[] = { AF_INET, AF_UNIX };

	for (int f = 0; f < 2; f++) {
		int listener, client[4];

		kq = queue();
		listener = bound_socket(families[f]);
		ck_assert_int_eq(listen(listener, 10), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)listener, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		for (int i = 0; i < 4; i++) {
			client[i] = connected_client();
			event_of(kq, (uintptr_t)listener, EVFILT_READ);
			no_event(kq);
		}
		for (int i = 0; i < 4; i++)
			close(client[i]);
		close(listener);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__listen_may_come_after_the_registration)
{
	static const int families[] = { AF_INET, AF_UNIX };

	for (int f = 0; f < 2; f++) {
		int listener, client;

		kq = queue();
		listener = bound_socket(families[f]);
		ck_assert_int_eq(change(kq, (uintptr_t)listener, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		no_event(kq);
		ck_assert_int_eq(listen(listener, 10), 0);
		no_event(kq);
		client = connected_client();
		check_waiting(listener, 1);
		close(client);
		close(listener);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__connect_may_come_after_the_registration)
{
	static const int families[] = { AF_INET, AF_UNIX };

	for (int f = 0; f < 2; f++) {
		int listener, client, accepted;

		kq = queue();
		listener = bound_socket(families[f]);
		ck_assert_int_eq(listen(listener, 10), 0);
		ck_assert_int_ge(client = socket(families[f], SOCK_STREAM, 0), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)client, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)client, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		if (families[f] == AF_INET)
			no_event(kq);
		ck_assert_int_eq(connect(client, &address.any, address_len), 0);
		struct kevent event = event_of(kq, (uintptr_t)client, EVFILT_WRITE);
		ck_assert_uint_eq(event.flags & EV_EOF, 0);
		no_event(kq);
		ck_assert_int_ge(accepted = accept(listener, NULL, NULL), 0);
		pass(accepted, client, 6);
		event = event_of(kq, (uintptr_t)client, EVFILT_READ);
		ck_assert_int_eq(event.data, 6);
		ck_assert_uint_eq(event.flags, 0);
		close(accepted);
		close(client);
		close(listener);
		close(kq);
	}
}
END_TEST

START_TEST(read_socket__watching_changes_no_setting)
{
	int lowat = 7, got;
	socklen_t len = sizeof(got);

	for (int i = 0; i < 3; i++) {
		begin(streams[i], 0);
		ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)), 0);
		for (int f = 0; f < 2; f++) {
			ck_assert_int_eq(change(kq, (uintptr_t)fds[f], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[f], EVFILT_READ, EV_ADD | EV_CLEAR, NOTE_LOWAT, 3, NULL), 0);
		}
		pass(fds[1], fds[0], 10);
		struct kevent events[4];
		collect(kq, events, 4, 1000);
		ck_assert_int_eq(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_eq(getsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &got, &len), 0);
		ck_assert_int_eq(got, 7);
		end();
	}
}
END_TEST

HARNESS_MAIN("read_socket",
    read_socket__data_is_the_number_of_bytes,
    read_socket__data_from_before_the_registration,
    read_socket__wakes_a_waiting_thread,
    read_socket__data_counts_at_least_the_first_datagram,
    read_socket__empty_datagram_fires_with_data_0,
    read_socket__every_empty_datagram_fires_anew,
    read_socket__empty_datagram_before_a_full_one,
    read_socket__closed_datagram_peer_is_no_event,
    read_socket__peers_close_is_end_of_file,
    read_socket__end_of_file_counts_what_is_left,
    read_socket__end_of_file_from_before_the_registration,
    read_socket__clear_tells_the_end_of_file_once,
    read_socket__peers_half_close_is_end_of_file,
    read_socket__own_shutdown_of_reading_is_end_of_file,
    read_socket__own_shutdown_of_writing_is_no_event,
    read_socket__both_directions_shut_is_end_of_file,
    read_socket__unconnected_socket_is_silent,
    read_socket__listener_counts_waiting_connections,
    read_socket__unix_listener_counts_at_least_1,
    read_socket__listener_with_clear_fires_for_every_connection,
    read_socket__listen_may_come_after_the_registration,
    read_socket__connect_may_come_after_the_registration,
    read_socket__watching_changes_no_setting)
