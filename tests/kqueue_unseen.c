/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closes that the library cannot see, because they are bare system calls, or
 * because none is seen (kqueue_unseen_unwrapped): what is detected late breaks
 * nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unseen.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* The number is another's, which can be read: 0, a file; 1, a pipe; 2, a socket; 3, a device. */
static void
unseen_become(int fd, int kind)
{
	int fds[2] = { -1, -1 };

	if (kind == 0) {
		fds[0] = open("/proc/self/exe", O_RDONLY);
	} else if (kind == 3) {
		fds[0] = open("/dev/null", O_RDONLY);
	} else {
		pair(kind == 1 ? PAIR_PIPE : PAIR_UNIX, fds);
		put(fds[1], 2);
	}
	ck_assert_int_ge(fds[0], 0);
	ck_assert_int_eq((int)syscall(SYS_dup3, fds[0], fd, 0), fd);
	close(fds[0]);
	if (fds[1] != -1)
		close(fds[1]);
}

START_TEST(kqueue_unseen__closed_descriptor_is_silent)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 4; i++) {
		int kq = queue(), fds[2];

		pair(PAIR_UNIX, fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[i], 0, 0, NULL), 0);
		put(fds[1], 1);
		unseen_close(fds[0]);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		close(fds[1]);
		close(kq);
	}
}
END_TEST

START_TEST(kqueue_unseen__number_of_a_closed_queue_is_a_new_queue)
{
	int kq, before, first = queue();

	before = open_descriptors();
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(change(kq = queue(), 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
		ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
		unseen_close(kq);
	}
	kq = queue();
	ck_assert_int_eq(open_descriptors(), before + 2);
	close(kq);
	close(first);
}
END_TEST

/* Registered again by its new owner, the number tells of that alone. */
START_TEST(kqueue_unseen__number_replaced_is_new)
{
	int kq = queue(), fds[2], again[2];

	pair(PAIR_UNIX, fds);
	pair(PAIR_UNIX, again);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, &old_mark), 0);
	ck_assert_int_eq(syscall(SYS_dup3, again[0], fds[0], 0), fds[0]);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &new_mark), 0);
	put(again[1], 1);
	ck_assert_ptr_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).udata, &new_mark);
	close_pair(fds);
	close_pair(again);
	close(kq);
}
END_TEST

/* What the new owner registers first shows that the other registrations are the old one's. */
START_TEST(kqueue_unseen__new_registration_ends_the_others)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE, EVFILT_READ };

	for (int i = 0; i < 2; i++) {
		int kq = queue(), fds[2], again[2];

		pair(PAIR_UNIX, fds);
		pair(PAIR_UNIX, again);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], filters[i], EV_ADD, 0, 0, &old_mark), 0);
		ck_assert_int_eq(syscall(SYS_dup3, again[0], fds[0], 0), fds[0]);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], filters[i + 1], EV_ADD, 0, 0, &new_mark), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], filters[i], EV_DELETE, 0, 0, NULL), ENOENT);
		put(again[1], 1);
		ck_assert_ptr_eq(event_of(kq, (uintptr_t)fds[0], filters[i + 1]).udata, &new_mark);
		close_pair(fds);
		close_pair(again);
		close(kq);
	}
}
END_TEST

/* What the number was the last time it was registered says nothing of what it is now. */
START_TEST(kqueue_unseen__number_becomes_another_kind)
{
	static const unsigned short ways[] = { EV_DELETE, EV_ONESHOT, EV_DISPATCH, 0 };

	for (int i = 0; i < 4; i++) {
		unsigned short flags = ways[i] & (EV_ONESHOT | EV_DISPATCH);
		int kq = queue(), fds[2], again[2];
		struct kevent event;

		pair(PAIR_UNIX, fds);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags, 0, 0, &old_mark), 0);
		put(fds[1], 1);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		if (ways[i] == EV_DELETE)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
		ck_assert_int_eq(pipe(again), 0);
		ck_assert_int_eq(syscall(SYS_dup3, again[0], fds[0], 0), fds[0]);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_ENABLE, 0, 0, &new_mark), 0);
		close(again[1]);
		event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_ptr_eq(event.udata, &new_mark);
		ck_assert((event.flags & EV_EOF) != 0);
		close(again[0]);
		close_pair(fds);
		close(kq);
	}
}
END_TEST

/* Nothing is left of a registration that was delivered, or it is disabled: the new one is new all the same. */
START_TEST(kqueue_unseen__number_of_one_that_was_delivered_is_new)
{
	static const unsigned short flags[] = { EV_ONESHOT, EV_DISPATCH };
	int kq, fds[2], kind;

	for (int i = 0; i < 8; i++) {
		kq = queue();
		kind = i / 2;
		pair(PAIR_UNIX, fds);
		put(fds[1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[i % 2], 0, 0, &old_mark), 0);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		unseen_become(fds[0], kind);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[i % 2], 0, 0, &new_mark), 0);
		ck_assert_ptr_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).udata, &new_mark);
		close_pair(fds);
		close(kq);
	}
}
END_TEST

/* What is written to there is not what is read here. */
START_TEST(kqueue_unseen__file_at_the_number_of_a_socket_is_new)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, &old_mark), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	unseen_become(fds[0], 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &new_mark), 0);
	ck_assert_ptr_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).udata, &new_mark);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	close_pair(fds);
	close(kq);
}
END_TEST

/* What is registered of the new owner before that is found out, stays. */
START_TEST(kqueue_unseen__file_keeps_what_is_its_own)
{
	struct kevent events[4];
	int kq = queue(), fds[2], file;
	char path[128];

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, &old_mark), 0);
	event_of(kq, (uintptr_t)fds[1], EVFILT_WRITE);
	syscall(SYS_close, fds[1]);
	ck_assert_int_eq(file = open(path, O_RDWR | O_CREAT, 0600), fds[1]);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(pwrite(file, "abc", 3, 0), 3);
	ck_assert_int_eq(collect(kq, events, 4, -1), 2);
	ck_assert_int_eq(events[0].filter + events[1].filter, EVFILT_VNODE + EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
	close_pair(fds);
	close(kq);
}
END_TEST

/* What a call only looks past, to find edges that are due, is told by the next all the same. */
START_TEST(kqueue_unseen__level_stays_beside_shared_edges)
{
	int kq = queue(), level[2], shared[2], marks[2];
	struct kevent events[8];

	pair(PAIR_UNIX, level);
	pair(PAIR_UNIX, shared);
	put(level[1], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)level[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)shared[0], EVFILT_READ,
		    EV_ADD | EV_CLEAR | EV_UDATA_SPECIFIC, 0, 0, &marks[i]), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(collect(kq, events, 8, 0), 2);
	close_pair(level);
	close_pair(shared);
	close(kq);
}
END_TEST

/* So it is if the new owner is a file, which epoll knows nothing of. */
START_TEST(kqueue_unseen__number_of_a_file_is_new)
{
	int kq = queue(), fds[2], file;
	char path[128];

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	put(file, 5);
	ck_assert_int_eq(lseek(file, 2, SEEK_SET), 2);
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISABLE, 0, 0, &old_mark), 0);
	ck_assert_int_eq(syscall(SYS_dup3, file, fds[0], 0), fds[0]);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_ENABLE, 0, 0, &new_mark), 0);
	struct kevent event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_ptr_eq(event.udata, &new_mark);
	ck_assert_int_eq(event.data, 3);
	close(file);
	close_pair(fds);
	close(kq);
}
END_TEST

/* A wait that ends in vain has time to look. */
START_TEST(kqueue_unseen__waiter_of_a_closed_queue_gets_ebadf)
{
	struct kevent event;
	int kq = queue(), file;

	unseen_close(kq);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &(struct timespec){ 0, 1000000 }), -1);
	ck_assert_int_eq(errno, EBADF);
	kq = queue();
	unseen_close(kq);
	ck_assert_int_eq(file = open("/dev/null", O_RDWR), kq);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &(struct timespec){ 0, 1000000 }), -1);
	ck_assert_int_eq(errno, EBADF);
	close(file);
}
END_TEST

START_TEST(kqueue_unseen__number_of_a_closed_queue_can_be_registered)
{
	int kq = queue(), gone = queue(), fds[2];

	unseen_close(gone);
	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(fds[0], gone);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	put(fds[1], 2);
	ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 2);
	close_pair(fds);
	close(kq);
	close(queue());
}
END_TEST

/* What closed queues hold is given back before there is none left: each has one besides its number. */
START_TEST(kqueue_unseen__closed_queues_do_not_use_up_the_descriptors)
{
	struct rlimit before, few;
	int taken[64], n = 0, null = open("/dev/null", O_RDONLY);

	ck_assert_int_ge(null, 0);
	close(queue());
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (taken[n] = kqueue()) != -1) {
		ck_assert_int_eq(syscall(SYS_dup3, null, taken[n], O_CLOEXEC), taken[n]);
		n++;
	}
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_gt(n, 40);
	while (n-- > 0)
		close(taken[n]);
	close(null);
	close(queue());
}
END_TEST

#ifdef UNWRAPPED

START_TEST(kqueue_unseen__closed_queue_is_ebadf)
{
	int kq = queue(), file;

	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	unseen_close(kq);
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(file, kq);
	struct kevent event;
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &(struct timespec){ 0, 0 }), -1);
	ck_assert_int_eq(errno, EBADF);
	close(file);
	close(queue());
}
END_TEST

START_TEST(kqueue_unseen__ten_thousand_queues_leak_nothing)
{
	int first = queue(), before = open_descriptors(), kq;

	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(change(kq = queue(), 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
		close(kq);
	}
	close(first);
	/* The next one finds out about the last. */
	ck_assert_int_ge(kq = queue(), 0);
	ck_assert_int_le(open_descriptors(), before);
	close(kq);
}
END_TEST

/* Level and edge, as ever. */
START_TEST(kqueue_unseen__levels_stay_levels)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	put(fds[1], 1);
	for (int i = 0; i < 10; i++) {
		ck_assert(readable(kq, 0));
		ck_assert_int_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).data, 1);
	}
	get(fds[0], 1);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	no_event(kq);
	close_pair(fds);
	close(kq);
}
END_TEST

#define UNWRAPPED_TESTS								\
    , kqueue_unseen__closed_queue_is_ebadf,					\
    kqueue_unseen__ten_thousand_queues_leak_nothing,				\
    kqueue_unseen__levels_stay_levels
#else
#define UNWRAPPED_TESTS
#endif

/* Of a socket that was shut down nothing is left at its number but a trace, which is of another one seldom. */
START_TEST(kqueue_unseen__number_that_was_shut_down_is_not_at_its_end)
{
	int kq = queue(), fds[2], number = fcntl(kq, F_DUPFD, 100), ends = 0;
	struct kevent event;

	close(number);
	for (int i = 0; i < 16; i++) {
		pair(i % 2 == 0 ? PAIR_UNIX : PAIR_TCP, fds);
		ck_assert_int_eq((int)syscall(SYS_dup3, fds[0], number, 0), number);
		close(fds[0]);
		ck_assert_int_eq(change(kq, (uintptr_t)number, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		event = event_of(kq, (uintptr_t)number, EVFILT_WRITE);
		ends += (event.flags & EV_EOF) != 0;
		ck_assert_int_eq(shutdown(number, SHUT_WR), 0);
		if (!UNSEEN_ALL) {
			event = event_of(kq, (uintptr_t)number, EVFILT_WRITE);
			ck_assert_uint_eq(event.flags & EV_EOF, EV_EOF);
		}
		unseen_close(number);
		close(fds[1]);
	}
	ck_assert_int_lt(ends, 4);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_unseen",
    kqueue_unseen__number_that_was_shut_down_is_not_at_its_end,
    kqueue_unseen__closed_descriptor_is_silent,
    kqueue_unseen__number_of_a_closed_queue_is_a_new_queue,
    kqueue_unseen__number_replaced_is_new,
    kqueue_unseen__number_of_a_file_is_new,
    kqueue_unseen__number_becomes_another_kind,
    kqueue_unseen__new_registration_ends_the_others,
    kqueue_unseen__number_of_one_that_was_delivered_is_new,
    kqueue_unseen__file_at_the_number_of_a_socket_is_new,
    kqueue_unseen__file_keeps_what_is_its_own,
    kqueue_unseen__level_stays_beside_shared_edges,
    kqueue_unseen__waiter_of_a_closed_queue_gets_ebadf,
    kqueue_unseen__number_of_a_closed_queue_can_be_registered,
    kqueue_unseen__closed_queues_do_not_use_up_the_descriptors UNWRAPPED_TESTS)
