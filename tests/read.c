/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_READ on what is neither a socket nor a regular file: pipes, FIFOs,
 * devices, and Linux's own kinds of descriptor.  Terminals are in read_terminal.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "read.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#endif

static struct kevent
eof_event(int fd)
{
	struct kevent event;

	do
		event = read_event(fd);
	while ((event.flags & EV_EOF) == 0);
	return event;
}

START_TEST(read__pipe_counts_bytes)
{
	int fds[2];

	kq = queue();
	pair(PAIR_PIPE, fds);
	add(fds[0], 0);
	no_event(kq);
	put(fds[1], 10);
	struct kevent event = read_event(fds[0]);
	ck_assert_int_eq(event.data, 10);
	ck_assert_uint_eq(event.flags, 0);
	ck_assert_uint_eq(event.fflags, 0);
	put(fds[1], 20);
	ck_assert_int_eq(read_event(fds[0]).data, 30);
	get(fds[0], 5);
	ck_assert_int_eq(read_event(fds[0]).data, 25);
	get(fds[0], 25);
	no_event(kq);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(read__pipe_without_writers_is_at_its_end)
{
	int fds[2];

	kq = queue();
	pair(PAIR_PIPE, fds);
	add(fds[0], 0);
	put(fds[1], 10);
	close(fds[1]);
	ck_assert_int_eq(eof_event(fds[0]).data, 10);
	get(fds[0], 10);
	struct kevent event = read_event(fds[0]);
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event.fflags, 0);
	close(fds[0]);
	close(kq);
}
END_TEST

START_TEST(read__pipe_with_clear_tells_its_end_once)
{
	int fds[2];

	kq = queue();
	pair(PAIR_PIPE, fds);
	add(fds[0], EV_CLEAR);
	put(fds[1], 1);
	ck_assert_uint_eq(read_event(fds[0]).flags, EV_CLEAR);
	close(fds[1]);
	ck_assert_uint_eq(read_event(fds[0]).flags, EV_CLEAR | EV_EOF);
	no_event(kq);
	close(fds[0]);
	close(kq);
}
END_TEST

START_TEST(read__pipe_wakes_a_waiting_thread)
{
	struct waiter w;
	int fds[2];

	kq = queue();
	pair(PAIR_PIPE, fds);
	add(fds[0], 0);
	waiter_start(&w, kq, -1);
	put(fds[1], 3);
	waiter_join(&w);
	ck_assert_int_eq(w.event.data, 3);
	get(fds[0], 3);
	waiter_start(&w, kq, -1);
	close(fds[1]);
	waiter_join(&w);
	ck_assert_uint_eq(w.event.flags, EV_EOF);
	close(fds[0]);
	close(kq);
}
END_TEST

START_TEST(read__pipe_keeps_its_settings)
{
	int fds[2];

	kq = queue();
	pair(PAIR_PIPE, fds);
	add(fds[0], 0);
	put(fds[1], 1);
	read_event(fds[0]);
	ck_assert_int_eq(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), 0);
	close_pair(fds);
	close(kq);
}
END_TEST

/* FIFOs. */

static char fifo_path[128];

static int
fifo_reader(void)
{
	int fd;

	snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", scratch_dir());
	ck_assert_int_eq(mkfifo(fifo_path, 0600), 0);
	ck_assert_int_ge(fd = open(fifo_path, O_RDONLY | O_NONBLOCK), 0);
	return fd;
}

static int
fifo_writer(void)
{
	int fd = open(fifo_path, O_WRONLY | O_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(read__fifo_without_a_first_writer_is_not_at_its_end)
{
	int reader = fifo_reader();

	kq = queue();
	add(reader, 0);
	check_asleep();
	int writer = fifo_writer();
	no_event(kq);
	put(writer, 4);
	struct kevent event = read_event(reader);
	ck_assert_int_eq(event.data, 4);
	ck_assert_uint_eq(event.flags, 0);
	close(writer);
	close(reader);
	close(kq);
}
END_TEST

START_TEST(read__fifo_is_at_its_end_when_its_writers_left)
{
	int reader = fifo_reader(), writer;

	kq = queue();
	add(reader, 0);
	writer = fifo_writer();
	put(writer, 4);
	close(writer);
	ck_assert_int_eq(eof_event(reader).data, 4);
	get(reader, 4);
	ck_assert_int_eq(eof_event(reader).data, 0);
	close(reader);
	close(kq);
}
END_TEST

START_TEST(read__fifo_end_is_cleared_by_a_new_writer)
{
	int reader = fifo_reader(), writer;

	kq = queue();
	add(reader, 0);
	for (int i = 0; i < 3; i++) {
		writer = fifo_writer();
		no_event(kq);
		put(writer, 2);
		ck_assert_uint_eq(read_event(reader).flags, 0);
		get(reader, 2);
		no_event(kq);
		close(writer);
		ck_assert_uint_eq(read_event(reader).flags, EV_EOF);
		ck_assert_uint_eq(read_event(reader).flags, EV_EOF);
	}
	close(reader);
	close(kq);
}
END_TEST

START_TEST(read__fifo_with_clear_tells_every_end)
{
	int reader = fifo_reader(), writer;

	kq = queue();
	add(reader, EV_CLEAR);
	for (int i = 0; i < 3; i++) {
		writer = fifo_writer();
		no_event(kq);
		close(writer);
		ck_assert_uint_eq(read_event(reader).flags, EV_CLEAR | EV_EOF);
		no_event(kq);
	}
	close(reader);
	close(kq);
}
END_TEST

/* Devices and directories: epoll refuses them, kqueue does not. */

START_TEST(read__dev_null_is_always_ready_with_data_0)
{
	int fd = open("/dev/null", O_RDONLY);

	kq = queue();
	add(fd, 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(kq, 1000));
		struct kevent event = read_event(fd);
		ck_assert_int_eq(event.data, 0);
		ck_assert_uint_eq(event.flags, 0);
	}
	close(fd);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(read__dev_null_with_every_behaviour)
{
	static const unsigned short flags[] = { EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	int fd = open("/dev/null", O_RDONLY);

	kq = queue();
	for (int i = 0; i < 3; i++) {
		add(fd, flags[i] | EV_DISABLE);
		no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
		ck_assert_uint_eq(read_event(fd).flags, flags[i]);
		check_asleep();
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL),
		    flags[i] == EV_ONESHOT ? ENOENT : 0);
	}
	close(fd);
	close(kq);
}
END_TEST

START_TEST(read__dev_zero_is_always_ready)
{
	int fd = open("/dev/zero", O_RDONLY);

	kq = queue();
	add(fd, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(read_event(fd).flags, 0);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(read__directory_is_accepted)
{
	int fd = open(scratch_dir(), O_RDONLY);

	kq = queue();
	add(fd, EV_CLEAR);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

#ifdef __linux__

START_TEST(read__eventfd_has_8_bytes)
{
	uint64_t value = 3;
	int fd = eventfd(0, EFD_CLOEXEC);

	kq = queue();
	add(fd, 0);
	no_event(kq);
	ck_assert_int_eq(write(fd, &value, 8), 8);
	ck_assert_int_eq(read_event(fd).data, 8);
	ck_assert_int_eq(read_event(fd).data, 8);
	get(fd, 8);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(read__eventfd_with_clear_fires_at_every_write)
{
	uint64_t value = 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	kq = queue();
	add(fd, EV_CLEAR);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(write(fd, &value, 8), 8);
		ck_assert_int_eq(read_event(fd).data, 8);
		no_event(kq);
	}
	close(fd);
	close(kq);
}
END_TEST

START_TEST(read__timerfd_has_8_bytes)
{
	struct itimerspec when = { .it_value = { 0, 1000000 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	kq = queue();
	add(fd, 0);
	no_event(kq);
	ck_assert_int_eq(timerfd_settime(fd, 0, &when, NULL), 0);
	ck_assert_int_eq(read_event(fd).data, 8);
	get(fd, 8);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(read__descriptors_without_a_count_have_1)
{
	struct epoll_event event = { .events = EPOLLIN };
	int sfd, ep, fds[2];
	sigset_t set;

	kq = queue();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	ck_assert_int_ge(sfd = signalfd(-1, &set, SFD_CLOEXEC), 0);
	add(sfd, 0);
	no_event(kq);
	ck_assert_int_eq(raise(SIGUSR2), 0);
	ck_assert_int_eq(read_event(sfd).data, 1);
	get(sfd, sizeof(struct signalfd_siginfo));
	no_event(kq);
	close(sfd);

	pair(PAIR_PIPE, fds);
	ck_assert_int_ge(ep = epoll_create1(EPOLL_CLOEXEC), 0);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event), 0);
	add(ep, 0);
	no_event(kq);
	put(fds[1], 5);
	ck_assert_int_eq(read_event(ep).data, 1);
	get(fds[0], 5);
	no_event(kq);
	close(ep);
	close_pair(fds);
	close(kq);
}
END_TEST

#define LINUX_TESTS								\
    , read__eventfd_has_8_bytes							\
    , read__eventfd_with_clear_fires_at_every_write				\
    , read__timerfd_has_8_bytes							\
    , read__descriptors_without_a_count_have_1
#else
#define LINUX_TESTS
#endif

#define ALL_TESTS								\
    read__pipe_counts_bytes,							\
    read__pipe_without_writers_is_at_its_end,					\
    read__pipe_with_clear_tells_its_end_once,					\
    read__pipe_wakes_a_waiting_thread,						\
    read__pipe_keeps_its_settings,						\
    read__fifo_without_a_first_writer_is_not_at_its_end,			\
    read__fifo_is_at_its_end_when_its_writers_left,				\
    read__fifo_end_is_cleared_by_a_new_writer,					\
    read__fifo_with_clear_tells_every_end,					\
    read__dev_null_is_always_ready_with_data_0,					\
    read__dev_null_with_every_behaviour,					\
    read__dev_zero_is_always_ready,						\
    read__directory_is_accepted

HARNESS_MAIN("read", ALL_TESTS LINUX_TESTS)
