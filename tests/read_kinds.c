/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_READ and EVFILT_WRITE on Linux's own kinds of descriptor, and on the rarer of the others. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* The C library's own may be in another library. */
#ifdef SYS_mq_timedsend
#define MQ_SEND		SYS_mq_timedsend
#define MQ_RECEIVE	SYS_mq_timedreceive
#else
#define MQ_SEND		SYS_mq_timedsend_time64
#define MQ_RECEIVE	SYS_mq_timedreceive_time64
#endif

static int kq;

static void
add(int fd, short filter, unsigned int flags)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, (unsigned short)(EV_ADD | flags), 0, 0, NULL), 0);
}

static struct kevent
read_event(int fd)
{
	return event_of(kq, (uintptr_t)fd, EVFILT_READ);
}

/* inotify counts what waits, and a buffer that is too small for one event is refused. */
START_TEST(kinds__inotify_counts_bytes)
{
	char path[256], buffer[4096];
	int fd = inotify_init1(IN_CLOEXEC), file, waiting;

	kq = queue();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(inotify_add_watch(fd, scratch_dir(), IN_CREATE), 0);
	add(fd, EVFILT_READ, 0);
	no_event(kq);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/file%d", scratch_dir(), i);
		ck_assert_int_ge(file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
		close(file);
		ck_assert_int_eq(ioctl(fd, FIONREAD, &waiting), 0);
		ck_assert_int_gt(waiting, 0);
		ck_assert_int_eq(read_event(fd).data, waiting);
	}
	ck_assert_int_eq(read(fd, buffer, sizeof(buffer)), waiting);
	no_event(kq);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(kinds__pidfd_is_readable_when_the_process_ends)
{
	struct kevent event;
	int fds[2], fd;
	char byte;
	pid_t pid;

	pair(PAIR_PIPE, fds);
	ck_assert_int_ge(pid = fork(), 0);
	if (pid == 0) {
		close(fds[1]);
		_exit((int)read(fds[0], &byte, 1));
	}
	kq = queue();
	ck_assert_int_ge(fd = (int)syscall(SYS_pidfd_open, pid, 0), 0);
	add(fd, EVFILT_READ, 0);
	no_event(kq);
	close(fds[1]);
	event = read_event(fd);
	ck_assert_int_eq(event.data, 1);
	ck_assert_uint_eq(event.fflags, 0);
	read_event(fd);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(read_event(fd).data, 1);
	close(fds[0]);
	close(fd);
	close(kq);
}
END_TEST

/* A file in memory: its size is seen at each call, though Linux tells nobody of a write. */
START_TEST(kinds__memfd_is_a_file)
{
	int fd = memfd_create("kq", MFD_CLOEXEC);

	kq = queue();
	ck_assert_int_ge(fd, 0);
	add(fd, EVFILT_READ, 0);
	add(fd, EVFILT_WRITE, EV_ONESHOT);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fd, EVFILT_WRITE).data, 0);
	no_event(kq);
	ck_assert_int_eq(pwrite(fd, "abc", 3, 0), 3);
	ck_assert_int_eq(read_event(fd).data, 3);
	get(fd, 2);
	ck_assert_int_eq(read_event(fd).data, 1);
	get(fd, 1);
	no_event(kq);
	ck_assert_int_eq(ftruncate(fd, 10), 0);
	ck_assert_int_eq(read_event(fd).data, 7);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(kinds__devices_that_are_always_ready)
{
	static const char *const names[] = { "/dev/zero", "/dev/full", "/dev/null" };

	kq = queue();
	for (int i = 0; i < 3; i++) {
		int fd = open(names[i], O_RDWR | O_CLOEXEC);

		ck_assert_int_ge(fd, 0);
		add(fd, EVFILT_READ, 0);
		for (int j = 0; j < 3; j++) {
			struct kevent event = read_event(fd);

			ck_assert_uint_eq(event.flags, 0);
			ck_assert_int_ge(event.data, 0);
			if (i == 2)
				ck_assert_int_eq(event.data, 0);
		}
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
		add(fd, EVFILT_WRITE, 0);
		for (int j = 0; j < 3; j++)
			ck_assert_int_eq(event_of(kq, (uintptr_t)fd, EVFILT_WRITE).data, 0);
		close(fd);
		no_event(kq);
	}
	close(kq);
}
END_TEST

START_TEST(kinds__random_device_is_readable)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	kq = queue();
	ck_assert_int_ge(fd, 0);
	add(fd, EVFILT_READ, 0);
	read_event(fd);
	get(fd, 16);
	read_event(fd);
	close(fd);
	close(kq);
}
END_TEST

/* It looks like a regular file, but can be waited for: then it has no size that means anything. */
START_TEST(kinds__file_that_can_be_polled_is_none)
{
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	kq = queue();
	ck_assert_int_ge(fd, 0);
	add(fd, EVFILT_READ, 0);
	ck_assert_int_eq(read_event(fd).data, 1);
	get(fd, 10);
	ck_assert_int_eq(read_event(fd).data, 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DISABLE, 0, 0, NULL), 0);
	asleep(kq, 200);
	close(fd);
	close(kq);
}
END_TEST

/* On Linux a message queue is a descriptor. */
START_TEST(kinds__message_queue_has_messages_and_room)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64], message[8];
	int mq;

	snprintf(name, sizeof(name), "kq-test-%d", (int)getpid());
	mq = (int)syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	if (mq == -1)
		return;		/* none here */
	ck_assert_int_eq(syscall(SYS_mq_unlink, name), 0);
	kq = queue();
	add(mq, EVFILT_READ, 0);
	no_event(kq);
	ck_assert_int_eq(syscall(MQ_SEND, mq, "message", (size_t)7, 0, NULL), 0);
	ck_assert_int_eq(read_event(mq).data, 1);
	add(mq, EVFILT_WRITE, EV_CLEAR);
	ck_assert_int_eq(read_event(mq).data, 1);
	ck_assert_int_eq(syscall(MQ_RECEIVE, mq, message, sizeof(message), NULL, NULL), 7);
	ck_assert_int_ge(event_of(kq, (uintptr_t)mq, EVFILT_WRITE).data, 1);
	no_event(kq);
	close(mq);
	close(kq);
}
END_TEST

/* Nothing can be written to these, so they are never ready for it. */
START_TEST(kinds__what_cannot_be_written_is_never_writable)
{
	sigset_t set;
	int fds[4], n = 4;

	kq = queue();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	fds[0] = signalfd(-1, &set, SFD_CLOEXEC);
	fds[1] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	fds[2] = inotify_init1(IN_CLOEXEC);
	fds[3] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	for (int i = 0; i < n; i++) {
		ck_assert_int_ge(fds[i], 0);
		add(fds[i], EVFILT_WRITE, 0);
	}
	no_event(kq);
	ck_assert(!readable(kq, 50));
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(kq);
}
END_TEST

/* A pipe's two ends each have one direction only. */
START_TEST(kinds__the_wrong_end_of_a_pipe)
{
	struct kevent event;
	int fds[2];

	pair(PAIR_PIPE, fds);
	kq = queue();
	add(fds[1], EVFILT_READ, 0);
	no_event(kq);
	put(fds[1], 5);
	no_event(kq);
	ck_assert(!readable(kq, 20));
	add(fds[0], EVFILT_WRITE, 0);
	get(fds[0], 5);
	no_event(kq);
	ck_assert(!readable(kq, 20));
	/* Of the other end's going each is told. */
	close(fds[0]);
	event = event_of(kq, (uintptr_t)fds[1], EVFILT_READ);
	ck_assert_uint_eq(event.flags, EV_EOF);
	close(fds[1]);
	close(kq);
}
END_TEST

/* A terminal that was hung up before it was registered has nothing left, either. */
START_TEST(kinds__terminal_that_was_hung_up_before)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal;
	struct kevent event;

	ck_assert_int_ge(master, 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_ge(terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC), 0);
	close(master);
	kq = queue();
	add(terminal, EVFILT_READ, 0);
	event = read_event(terminal);
	ck_assert_uint_eq(event.flags, EV_EOF);
	ck_assert_int_eq(event.data, 0);
	close(terminal);
	close(kq);
}
END_TEST

/* Where Linux does not count free space, a mark would never be met: there it means nothing. */
START_TEST(kinds__write_mark_where_nothing_is_counted)
{
	int fds[4], n = 0;

	kq = queue();
	ck_assert_int_ge(fds[n++] = eventfd(0, EFD_CLOEXEC), 0);
	ck_assert_int_ge(fds[n++] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), 0);
	ck_assert_int_eq(unlockpt(fds[1]), 0);
	ck_assert_int_ge(fds[n++] = open(ptsname(fds[1]), O_RDWR | O_NOCTTY | O_CLOEXEC), 0);
	ck_assert_int_ge(fds[n++] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), 0);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fds[i], EVFILT_WRITE, EV_ADD | EV_ONESHOT,
		    NOTE_LOWAT, 1000, NULL), 0);
		ck_assert_int_ge(event_of(kq, (uintptr_t)fds[i], EVFILT_WRITE).data, 1);
	}
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(kq);
}
END_TEST

/* The program's own mark is the kernel's business, ours is not the program's. */
START_TEST(kinds__own_mark_of_a_socket_is_kept)
{
	int fds[2], own = 50, mark = 0;
	socklen_t size = sizeof(mark);

	pair(PAIR_TCP, fds);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &own, sizeof(own)), 0);
	kq = queue();
	add(fds[0], EVFILT_READ, 0);
	put(fds[1], 30);
	nap(20);
	no_event(kq);
	put(fds[1], 30);
	ck_assert_int_eq(read_event(fds[0]).data, 60);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(getsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &mark, &size), 0);
	ck_assert_int_eq(mark, own);
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("read_kinds",
    kinds__inotify_counts_bytes,
    kinds__pidfd_is_readable_when_the_process_ends,
    kinds__memfd_is_a_file,
    kinds__devices_that_are_always_ready,
    kinds__random_device_is_readable,
    kinds__file_that_can_be_polled_is_none,
    kinds__message_queue_has_messages_and_room,
    kinds__what_cannot_be_written_is_never_writable,
    kinds__the_wrong_end_of_a_pipe,
    kinds__terminal_that_was_hung_up_before,
    kinds__write_mark_where_nothing_is_counted,
    kinds__own_mark_of_a_socket_is_kept)
