/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_WRITE; errors of sockets are in socket_error.c, NOTE_LOWAT in lowat.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* In these tests fds[1] is watched and fds[0] reads, so that a pipe is like any other. */
static int kq, fds[2];

static const enum pair streams[] = { PAIR_TCP, PAIR_TCP6, PAIR_UNIX, PAIR_PIPE };
enum { STREAMS = 4 };

static void
begin(enum pair kind, unsigned int flags)
{
	kq = queue();
	if (kind == PAIR_TCP6 && !have_ipv6())
		kind = PAIR_TCP;
	pair(kind, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, (unsigned short)(EV_ADD | flags), 0, 0, NULL), 0);
}

static void
end(void)
{
	close_pair(fds);
	close(kq);
}

static struct kevent
write_event(void)
{
	return event_of(kq, (uintptr_t)fds[1], EVFILT_WRITE);
}

static struct kevent
eof_event(void)
{
	struct kevent event;

	do
		event = write_event();
	while ((event.flags & EV_EOF) == 0);
	return event;
}

static void
check_asleep(void)
{
	asleep(kq, 200);
	ck_assert(!readable(kq, 0));
}

START_TEST(write__empty_buffer_has_room)
{
	static const enum pair all[] = {
		PAIR_TCP, PAIR_TCP6, PAIR_UNIX, PAIR_SEQPACKET, PAIR_UDP, PAIR_DGRAM, PAIR_PIPE,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin(all[i], 0);
		for (int j = 0; j < 3; j++) {
			struct kevent event = write_event();

			ck_assert_int_ge(event.data, 1);
			ck_assert_uint_eq(event.flags, 0);
			ck_assert_uint_eq(event.fflags, 0);
		}
		ck_assert(readable(kq, 0));
		end();
	}
}
END_TEST

START_TEST(write__full_buffer_is_silent)
{
	for (int i = 0; i < STREAMS; i++) {
		begin(streams[i], 0);
		write_event();
		fill(fds[1]);
		no_event(kq);
		check_asleep();
		drain(fds[0]);
		ck_assert_int_ge(write_event().data, 1);
		end();
	}
}
END_TEST

START_TEST(write__pipe_data_is_its_free_space)
{
	size_t capacity;

	begin(PAIR_PIPE, 0);
	capacity = (size_t)write_event().data;
	ck_assert_int_eq(fill(fds[1]), capacity);
	drain(fds[0]);
	put(fds[1], 10000);
	/* An estimate: pages that are partly used may count as full. */
	ck_assert_int_le(write_event().data, (intmax_t)capacity - 8192);
	ck_assert_int_ge(write_event().data, 1);
	end();
}
END_TEST

START_TEST(write__clear_fires_when_there_is_room_again)
{
	for (int i = 0; i < STREAMS; i++) {
		begin(streams[i], EV_CLEAR);
		write_event();
		no_event(kq);
		for (int j = 0; j < 3; j++) {
			fill(fds[1]);
			no_event(kq);
			drain(fds[0]);
			write_event();
			no_event(kq);
		}
		end();
	}
}
END_TEST

START_TEST(write__room_wakes_a_waiting_thread)
{
	for (int i = 0; i < STREAMS; i++) {
		struct waiter w;

		begin(streams[i], EV_CLEAR);
		fill(fds[1]);
		no_event(kq);
		waiter_start(&w, kq, -1);
		drain(fds[0]);
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_int_eq(w.event.filter, EVFILT_WRITE);
		end();
	}
}
END_TEST

START_TEST(write__oneshot_and_dispatch)
{
	for (int i = 0; i < STREAMS; i++) {
		begin(streams[i], EV_ONESHOT);
		ck_assert_uint_eq(write_event().flags, EV_ONESHOT);
		no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
		ck_assert_uint_eq(write_event().flags, EV_DISPATCH);
		no_event(kq);
		fill(fds[1]);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
		no_event(kq);
		drain(fds[0]);
		write_event();
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(write__peers_half_close_is_not_the_end)
{
	static const enum pair sockets[] = { PAIR_TCP, PAIR_TCP6, PAIR_UNIX };

	for (int i = 0; i < 3; i++) {
		struct pollfd pfd;

		begin(sockets[i], 0);
		ck_assert_int_eq(shutdown(fds[0], SHUT_WR), 0);
		pfd = (struct pollfd){ .fd = fds[1], .events = POLLIN };
		ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
		ck_assert_uint_eq(write_event().flags, 0);
		pass(fds[1], fds[0], 5);
		ck_assert_uint_eq(write_event().flags, 0);
		end();
	}
}
END_TEST

START_TEST(write__own_shutdown_of_writing_is_the_end)
{
	static const enum pair sockets[] = { PAIR_TCP, PAIR_TCP6, PAIR_UNIX };

	for (int i = 0; i < 3; i++) {
		begin(sockets[i], 0);
		ck_assert_uint_eq(write_event().flags, 0);
		ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		struct kevent event = eof_event();
		ck_assert_uint_eq(event.flags, EV_EOF);
		ck_assert_uint_eq(event.fflags, 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
		/* Also when it is registered only now. */
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		ck_assert_uint_eq(write_event().flags, EV_EOF | EV_CLEAR);
		end();
	}
}
END_TEST

START_TEST(write__own_shutdown_of_both_is_the_end)
{
	static const enum pair sockets[] = { PAIR_TCP, PAIR_UNIX };

	for (int i = 0; i < 2; i++) {
		begin(sockets[i], EV_CLEAR);
		write_event();
		no_event(kq);
		ck_assert_int_eq(shutdown(fds[1], SHUT_RDWR), 0);
		ck_assert_uint_eq(write_event().flags, EV_EOF | EV_CLEAR);
		end();
	}
}
END_TEST

START_TEST(write__own_shutdown_of_reading_is_not_the_end)
{
	static const enum pair sockets[] = { PAIR_TCP, PAIR_UNIX };

	for (int i = 0; i < 2; i++) {
		begin(sockets[i], 0);
		ck_assert_int_eq(shutdown(fds[1], SHUT_RD), 0);
		ck_assert_uint_eq(write_event().flags, 0);
		end();
	}
}
END_TEST

START_TEST(write__full_and_shut_is_the_end)
{
	begin(PAIR_TCP, 0);
	fill(fds[1]);
	no_event(kq);
	ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
	ck_assert_uint_eq(write_event().flags, EV_EOF);
	end();
}
END_TEST

START_TEST(write__unix_peer_that_left_is_the_end)
{
	static const enum pair sockets[] = { PAIR_UNIX, PAIR_SEQPACKET };

	for (int i = 0; i < 2; i++) {
		begin(sockets[i], 0);
		write_event();
		close(fds[0]);
		ck_assert_uint_eq(write_event().flags, EV_EOF);
		close(fds[1]);
		close(kq);
	}
}
END_TEST

START_TEST(write__pipe_without_readers_is_at_its_end)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 4; i++) {
		begin(PAIR_PIPE, flags[i]);
		fill(fds[1]);
		no_event(kq);
		close(fds[0]);
		ck_assert_uint_eq(write_event().flags, EV_EOF | flags[i]);
		if (flags[i] == 0)
			write_event();
		else
			check_asleep();
		close(fds[1]);
		close(kq);
	}
}
END_TEST

START_TEST(write__pipe_whose_readers_left_before_the_registration)
{
	kq = queue();
	pair(PAIR_PIPE, fds);
	close(fds[0]);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	ck_assert_uint_eq(write_event().flags, EV_EOF);
	close(fds[1]);
	close(kq);
}
END_TEST

START_TEST(write__fifo_reader_may_come_back)
{
	char path[128];

	kq = queue();
	snprintf(path, sizeof(path), "%s/fifo", scratch_dir());
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_ge(fds[0] = open(path, O_RDONLY | O_NONBLOCK), 0);
	ck_assert_int_ge(fds[1] = open(path, O_WRONLY | O_NONBLOCK), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	ck_assert_uint_eq(write_event().flags, 0);
	close(fds[0]);
	ck_assert_uint_eq(write_event().flags, EV_EOF);
	ck_assert_int_ge(fds[0] = open(path, O_RDONLY | O_NONBLOCK), 0);
	ck_assert_uint_eq(write_event().flags, 0);
	end();
}
END_TEST

/* What epoll refuses is always ready: no more than that is known of it. */
static void
check_always_ready(int fd)
{
	kq = queue();
	fds[1] = fd;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(kq, 1000));
		struct kevent event = write_event();
		ck_assert_int_eq(event.data, 0);
		ck_assert_uint_eq(event.flags, 0);
		ck_assert_uint_eq(event.fflags, 0);
	}
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DISABLE, 0, 0, NULL), 0);
	no_event(kq);
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	write_event();
	no_event(kq);
	check_asleep();
	close(fd);
	close(kq);
}

START_TEST(write__regular_file_is_always_ready)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	check_always_ready(open(path, O_RDWR | O_CREAT, 0600));
	check_always_ready(open(path, O_WRONLY | O_APPEND));
}
END_TEST

START_TEST(write__devices_are_always_ready)
{
	check_always_ready(open("/dev/null", O_WRONLY));
	check_always_ready(open("/dev/zero", O_RDWR));
}
END_TEST

START_TEST(write__read_and_write_of_one_file)
{
	struct kevent events[4];
	char path[128];
	int fd, n;

	kq = queue();
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	n = collect(kq, events, 4, 1000);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(events[0].filter, EVFILT_WRITE);
	ck_assert_int_eq(pwrite(fd, "abc", 3, 0), 3);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 2);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_READ);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(write__terminal_has_room)
{
	int master, terminal;

	ck_assert_int_ge(master = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_ge(terminal = open(ptsname(master), O_RDWR | O_NOCTTY), 0);
	for (int i = 0; i < 2; i++) {
		kq = queue();
		fds[1] = i == 0 ? terminal : master;
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		struct kevent event = write_event();
		ck_assert_int_ge(event.data, 1);
		ck_assert_uint_eq(event.flags, 0);
		close(kq);
	}
	close(terminal);
	close(master);
}
END_TEST

START_TEST(write__terminal_that_is_full_is_silent)
{
	int master, terminal;

	ck_assert_int_ge(master = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_ge(terminal = open(ptsname(master), O_RDWR | O_NOCTTY), 0);
	kq = queue();
	fds[1] = terminal;
	fill(terminal);
	ck_assert_int_eq(change(kq, (uintptr_t)terminal, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	check_asleep();
	while (drain(master) > 0)
		continue;
	write_event();
	close(terminal);
	close(master);
	close(kq);
}
END_TEST

START_TEST(write__eventfd_has_room_unless_full)
{
#ifdef __linux__
	uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	kq = queue();
	fds[1] = fd;
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_ge(write_event().data, 1);
	ck_assert_int_eq(write(fd, &most, 8), 8);
	no_event(kq);
	get(fd, 8);
	ck_assert_int_ge(write_event().data, 1);
	close(fd);
	close(kq);
#endif
}
END_TEST

START_TEST(write__disabled_pipe_without_readers_sleeps)
{
	begin(PAIR_PIPE, EV_DISABLE);
	close(fds[0]);
	check_asleep();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_uint_eq(write_event().flags, EV_EOF);
	close(fds[1]);
	close(kq);
}
END_TEST

HARNESS_MAIN("write",
    write__empty_buffer_has_room,
    write__full_buffer_is_silent,
    write__pipe_data_is_its_free_space,
    write__clear_fires_when_there_is_room_again,
    write__room_wakes_a_waiting_thread,
    write__oneshot_and_dispatch,
    write__peers_half_close_is_not_the_end,
    write__own_shutdown_of_writing_is_the_end,
    write__own_shutdown_of_both_is_the_end,
    write__own_shutdown_of_reading_is_not_the_end,
    write__full_and_shut_is_the_end,
    write__unix_peer_that_left_is_the_end,
    write__pipe_without_readers_is_at_its_end,
    write__pipe_whose_readers_left_before_the_registration,
    write__fifo_reader_may_come_back,
    write__regular_file_is_always_ready,
    write__devices_are_always_ready,
    write__read_and_write_of_one_file,
    write__terminal_has_room,
    write__terminal_that_is_full_is_silent,
    write__eventfd_has_room_unless_full,
    write__disabled_pipe_without_readers_sleeps)
