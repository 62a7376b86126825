/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing a watched descriptor removes its registrations at once and silently,
 * though duplicates stay open; its number, opened again, is a new descriptor.
 * The ways to close one are in kqueue_close_ways.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

static int old_mark, new_mark;

static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_UDP, PAIR_PIPE };
enum { KINDS = 4 };

static int
scratch_file(const char *name, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 0);
	if (size > 0)
		put(fd, size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* That fd carries no registration: EV_DELETE knows none, nothing is reported. */
static void
check_fresh(int kq, int fd, short filter)
{
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, EV_ENABLE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, EV_ADD, 0, 0, &new_mark), 0);
	struct kevent event = event_of(kq, (uintptr_t)fd, filter);
	ck_assert_ptr_eq(event.udata, &new_mark);
	ck_assert_uint_eq(event.flags, 0);
	event_of(kq, (uintptr_t)fd, filter);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, EV_DELETE, 0, 0, NULL), 0);
}

START_TEST(kqueue_close__closed_descriptor_is_silent)
{
	for (int i = 0; i < KINDS; i++) {
		int kq = queue(), fds[2];

		pair(kinds[i], fds);
		put(fds[1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_int_eq(close(fds[0]), 0);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
		close(fds[1]);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__number_opened_again_is_new)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_DISABLE, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < KINDS; i++)
		for (int j = 0; j < 5; j++) {
			int kq = queue(), fds[2], again[2];

			pair(kinds[i], fds);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[j], 0, 0, &old_mark), 0);
			close_pair(fds);
			pair(kinds[i], again);
			ck_assert_int_eq(again[0], fds[0]);
			put(again[1], 1);
			check_fresh(kq, again[0], EVFILT_READ);
			close_pair(again);
			close(kq);
		}
}
END_TEST

START_TEST(kqueue_close__number_opened_again_is_new_for_write)
{
	for (int i = 0; i < KINDS; i++) {
		int kq = queue(), fds[2], again[2];

		pair(kinds[i], fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, &old_mark), 0);
		event_of(kq, (uintptr_t)fds[1], EVFILT_WRITE);
		close_pair(fds);
		pair(kinds[i], again);
		ck_assert_int_eq(again[1], fds[1]);
		check_fresh(kq, again[1], EVFILT_WRITE);
		close_pair(again);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__event_not_collected_is_dropped)
{
	for (int i = 0; i < KINDS; i++) {
		int kq = queue(), fds[2], again[2];

		pair(kinds[i], fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &old_mark), 0);
		put(fds[1], 1);
		ck_assert(readable(kq, 1000));
		close_pair(fds);
		pair(kinds[i], again);
		put(again[1], 1);
		check_fresh(kq, again[0], EVFILT_READ);
		close_pair(again);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__duplicate_does_not_keep_the_registration)
{
	for (int i = 0; i < KINDS; i++) {
		int kq = queue(), fds[2], again[2], copy;

		pair(kinds[i], fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &old_mark), 0);
		put(fds[1], 1);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_int_ge(copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 50), 0);
		close(fds[0]);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		put(fds[1], 1);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		/* The number is someone else's now, while the old file is still open and readable. */
		pair(kinds[i], again);
		if (again[1] == fds[0]) {
			again[1] = again[0];
			again[0] = fds[0];
		}
		ck_assert_int_eq(again[0], fds[0]);
		no_event(kq);
		put(again[1], 1);
		check_fresh(kq, again[0], EVFILT_READ);
		put(fds[1], 1);
		no_event(kq);
		close_pair(again);
		close(fds[1]);
		close(copy);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__duplicate_can_be_registered_by_its_own_number)
{
	int kq = queue(), fds[2], copy;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &old_mark), 0);
	ck_assert_int_ge(copy = dup(fds[0]), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)copy, EVFILT_READ, EV_ADD, 0, 0, &new_mark), 0);
	close(fds[0]);
	put(fds[1], 1);
	ck_assert_ptr_eq(event_of(kq, (uintptr_t)copy, EVFILT_READ).udata, &new_mark);
	close(copy);
	no_event(kq);
	close(fds[1]);
	close(kq);
}
END_TEST

START_TEST(kqueue_close__files_are_forgotten)
{
	static const short filters[] = { EVFILT_READ, EVFILT_VNODE, EVFILT_WRITE };

	for (int i = 0; i < 3; i++) {
		int kq = queue(), file = scratch_file("old", 10), copy, again;

		ck_assert_int_ge(copy = fcntl(file, F_DUPFD_CLOEXEC, 50), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)file, filters[i], EV_ADD | EV_CLEAR, NOTE_WRITE, 0, &old_mark), 0);
		close(file);
		no_event(kq);
		ck_assert_int_eq(pwrite(copy, "more and more", 13, 0), 13);
		no_event(kq);
		again = scratch_file("new", 5);
		ck_assert_int_eq(again, file);
		no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)again, filters[i], EV_DELETE, 0, 0, NULL), ENOENT);
		ck_assert_int_eq(pwrite(copy, "and more and more", 17, 0), 17);
		no_event(kq);
		close(again);
		close(copy);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__kind_of_descriptor_may_change)
{
	int kq = queue(), fds[2], file;

	file = scratch_file("file", 10);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)file, EVFILT_READ);
	close(file);
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(fds[0], file);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	put(fds[1], 3);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 3);
	close_pair(fds);
	file = scratch_file("file", 7);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(event_of(kq, (uintptr_t)file, EVFILT_READ).data, 7);
	close(file);
	close(kq);
}
END_TEST

#ifdef __linux__
/* A close that nobody can see: nothing of the old is reported, the new can be registered. */
START_TEST(kqueue_close__unseen_close_breaks_nothing)
{
	for (int i = 0; i < KINDS; i++)
		for (int ready = 0; ready < 2; ready++) {
			int kq = queue(), fds[2], again[2];

			pair(kinds[i], fds);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, &old_mark), 0);
			if (ready)
				put(fds[1], 1);
			for (int j = 0; j < 2; j++)
				ck_assert_int_eq(syscall(SYS_close, fds[j]), 0);
			no_event(kq);
			ck_assert(!readable(kq, 0));
			pair(kinds[i], again);
			ck_assert_int_eq(again[0], fds[0]);
			put(again[1], 1);
			no_event(kq);
			ck_assert_int_eq(change(kq, (uintptr_t)again[0], EVFILT_READ, EV_ADD, 0, 0, &new_mark), 0);
			struct kevent event = event_of(kq, (uintptr_t)again[0], EVFILT_READ);
			ck_assert_ptr_eq(event.udata, &new_mark);
			close_pair(again);
			no_event(kq);
			close(kq);
		}
}
END_TEST

START_TEST(kqueue_close__unseen_close_of_a_file_breaks_nothing)
{
	int kq = queue(), file = scratch_file("old", 10), again;

	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, &old_mark), 0);
	event_of(kq, (uintptr_t)file, EVFILT_READ);
	ck_assert_int_eq(syscall(SYS_close, file), 0);
	no_event(kq);
	again = scratch_file("new", 3);
	ck_assert_int_eq(again, file);
	ck_assert_int_eq(change(kq, (uintptr_t)again, EVFILT_READ, EV_ADD, 0, 0, &new_mark), 0);
	struct kevent event = event_of(kq, (uintptr_t)again, EVFILT_READ);
	ck_assert_int_eq(event.data, 3);
	ck_assert_ptr_eq(event.udata, &new_mark);
	close(again);
	no_event(kq);
	close(kq);
}
END_TEST
#define LINUX_TESTS								\
    kqueue_close__unseen_close_breaks_nothing,					\
    kqueue_close__unseen_close_of_a_file_breaks_nothing,
#else
#define LINUX_TESTS
#endif

START_TEST(kqueue_close__two_queues_both_forget)
{
	int one = queue(), two = queue(), fds[2], copy;

	pair(PAIR_UNIX, fds);
	ck_assert_int_ge(copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 50), 0);
	ck_assert_int_eq(change(one, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(two, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	put(fds[1], 1);
	close(fds[0]);
	no_event(one);
	no_event(two);
	close(copy);
	close(fds[1]);
	close(one);
	close(two);
}
END_TEST

/* Whoever waits stays asleep, and is reached by what comes later. */
START_TEST(kqueue_close__closing_does_not_disturb_a_waiter)
{
	int kq = queue(), fds[2], again[2];
	struct waiter w;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	waiter_start(&w, kq, 30000);
	close_pair(fds);
	pair(PAIR_UNIX, again);
	ck_assert_int_eq(again[0], fds[0]);
	put(again[1], 1);
	nap(20);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.filter, EVFILT_USER);
	close_pair(again);
	close(kq);
}
END_TEST

/* Nothing of the library's keeps the file open: the peer sees the end at once. */
START_TEST(kqueue_close__peer_sees_the_end_at_once)
{
	static const enum pair streams[] = { PAIR_TCP, PAIR_UNIX, PAIR_PIPE };
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

	for (int i = 0; i < 3; i++) {
		int kq = queue(), fds[2];
		struct pollfd pfd;
		char c;

		pair(streams[i], fds);
		for (int f = 0; f < 2; f++)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[1], filters[f], EV_ADD | (f == 0 ? EV_CLEAR : 0), 0, 0, NULL), 0);
		close(fds[1]);
		pfd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
		ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
		ck_assert_int_eq(read(fds[0], &c, 1), 0);
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_close__thousands_of_descriptors_come_and_go)
{
	int kq = queue(), fds[2], before;

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	before = open_descriptors();
	for (int i = 0; i < 20000; i++) {
		int fd = dup(fds[0]);

		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		if (i % 3 == 0)
			event_of(kq, (uintptr_t)fd, EVFILT_READ);
		close(fd);
	}
	no_event(kq);
	ck_assert_int_eq(open_descriptors(), before);
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_close", LINUX_TESTS
    kqueue_close__closed_descriptor_is_silent,
    kqueue_close__number_opened_again_is_new,
    kqueue_close__number_opened_again_is_new_for_write,
    kqueue_close__event_not_collected_is_dropped,
    kqueue_close__duplicate_does_not_keep_the_registration,
    kqueue_close__duplicate_can_be_registered_by_its_own_number,
    kqueue_close__files_are_forgotten,
    kqueue_close__kind_of_descriptor_may_change,
    kqueue_close__two_queues_both_forget,
    kqueue_close__closing_does_not_disturb_a_waiter,
    kqueue_close__peer_sees_the_end_at_once,
    kqueue_close__thousands_of_descriptors_come_and_go)
