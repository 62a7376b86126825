/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue as a descriptor: making it, what it costs, closing it, and its
 * number.  kqueue_poll.c has what select, poll, epoll and other queues see of
 * it, kqueue_close.c what closing a watched descriptor does, kqueue_fork.c
 * processes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void
add(int kq, uintptr_t ident, short filter, unsigned int fflags, int64_t data)
{
	ck_assert_int_eq(change(kq, ident, filter, EV_ADD, fflags, data, NULL), 0);
}

/* One registration of every filter; the pair and the file belong to the caller. */
static void
add_every_filter(int kq, const int fds[2], int file)
{
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0, 0);
	add(kq, (uintptr_t)file, EVFILT_READ, 0, 0);
	add(kq, (uintptr_t)file, EVFILT_VNODE, NOTE_WRITE | NOTE_DELETE, 0);
	add(kq, (uintptr_t)getpid(), EVFILT_PROC, NOTE_EXIT, 0);
	add(kq, SIGUSR1, EVFILT_SIGNAL, 0, 0);
	add(kq, 1, EVFILT_TIMER, NOTE_SECONDS, 1000);
	add(kq, 2, EVFILT_TIMER, NOTE_ABSTIME | NOTE_SECONDS, INT32_MAX);
	add(kq, 1, EVFILT_USER, 0, 0);
}

static int
scratch_file(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(fd = open(path, O_RDWR | O_CREAT, 0600), 0);
	return fd;
}

START_TEST(kqueue__descriptors_are_close_on_exec)
{
	int all[] = { kqueue(), kqueue1(0), kqueue1(O_CLOEXEC), kqueuex(0), kqueuex(KQUEUE_CLOEXEC) };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		ck_assert_int_ge(all[i], 0);
		ck_assert_int_eq(fcntl(all[i], F_GETFD), FD_CLOEXEC);
		no_event(all[i]);
		ck_assert_int_eq(close(all[i]), 0);
	}
}
END_TEST

START_TEST(kqueue__kqueue1_takes_nonblock)
{
	int plain = kqueue1(0), nonblock = kqueue1(O_NONBLOCK | O_CLOEXEC);

	ck_assert_int_eq(fcntl(plain, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(nonblock, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	/* It says nothing about kevent(), whose timeout does. */
	struct kevent event;
	int64_t began = now_ns();
	ck_assert_int_eq(collect(nonblock, &event, 1, 30), 0);
	ck_assert_int_ge(now_ns() - began, 30000000);
	close(plain);
	close(nonblock);
}
END_TEST

START_TEST(kqueue__kqueue1_refuses_other_bits)
{
	static const int bad[] = { O_APPEND, O_RDWR, O_CLOEXEC | O_CREAT, -1, 1 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(kqueue1(bad[i]), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

START_TEST(kqueue__kqueuex_refuses_other_bits)
{
	static const unsigned int bad[] = { 2, 3, 0x80000000u, ~0u };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(kqueuex(bad[i]), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
}
END_TEST

START_TEST(kqueue__number_is_the_lowest_free_one)
{
	int fd = open("/dev/null", O_RDONLY), kq;

	close(fd);
	kq = queue();
	ck_assert_int_eq(kq, fd);
	close(kq);
}
END_TEST

START_TEST(kqueue__out_of_descriptors_is_emfile)
{
	struct rlimit limit, none;
	int lowest = open("/dev/null", O_RDONLY);

	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(kqueue(), -1);
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(queue());
}
END_TEST

/* What a program that is exec'd finds open; the pipe to it is there in both cases. */
static void
list_after_exec(char *list, size_t size)
{
	int out[2];
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(out), 0);
	if ((pid = fork()) == 0) {
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c", "ls /proc/self/fd | sort -n | tr '\\n' ' '", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	memset(list, 0, size);
	while ((n = read(out[0], list + strlen(list), size - 1 - strlen(list))) > 0)
		continue;
	close(out[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(kqueue__nothing_of_a_queue_survives_exec)
{
	char without[512], with[512];
	int fds[2], file = scratch_file(), kq;

	pair(PAIR_UNIX, fds);
	kq = open("/dev/null", O_RDONLY | O_CLOEXEC);	/* in the queue's place */
	list_after_exec(without, sizeof(without));
	close(kq);
	kq = queue();
	add_every_filter(kq, fds, file);
	list_after_exec(with, sizeof(with));
	ck_assert_str_eq(with, without);
	ck_assert_int_gt(strlen(with), 4);
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

START_TEST(kqueue__closing_frees_every_descriptor)
{
	int fds[2], file = scratch_file(), kq, before;

	pair(PAIR_UNIX, fds);
	before = open_descriptors();
	for (int i = 0; i < 20; i++) {
		kq = queue();
		add_every_filter(kq, fds, file);
		ck_assert_int_eq(close(kq), 0);
		ck_assert_int_eq(open_descriptors(), before);
	}
	close_pair(fds);
	close(file);
}
END_TEST

START_TEST(kqueue__closed_queue_is_ebadf)
{
	struct timespec zero = { 0, 0 };
	struct kevent event;
	int kq = queue();

	close(kq);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(close(kq), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(kqueue__number_may_become_another_queue)
{
	int fds[2], kq = queue(), again;

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	add(kq, 1, EVFILT_USER, NOTE_TRIGGER, 0);
	close(kq);
	again = queue();
	ck_assert_int_eq(again, kq);
	no_event(again);
	ck_assert_int_eq(change(again, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(again, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	add(again, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	event_of(again, (uintptr_t)fds[0], EVFILT_READ);
	close(again);
	close_pair(fds);
}
END_TEST

START_TEST(kqueue__number_may_become_something_else)
{
	struct timespec zero = { 0, 0 };
	int kq = queue(), file, fds[2];
	struct kevent event;

	add(kq, 1, EVFILT_USER, NOTE_TRIGGER, 0);
	close(kq);
	file = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(file, kq);
	ck_assert_int_eq(kevent(file, NULL, 0, &event, 1, &zero), -1);
	ck_assert_int_eq(errno, EBADF);
	close(file);
	/* A queue must not be mistaken for the descriptor that had its number. */
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fds[0], kq);
	kq = queue();
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kqueue__closing_by_dup2_frees_it)
{
	struct timespec zero = { 0, 0 };
	int kq = queue(), file = open("/dev/null", O_RDONLY), before;
	struct kevent event;

	before = open_descriptors();
	add(kq, 1, EVFILT_TIMER, NOTE_SECONDS, 1000);
	ck_assert_int_eq(dup2(file, kq), kq);
	ck_assert_int_le(open_descriptors(), before);
	ck_assert_int_eq(kevent(kq, NULL, 0, &event, 1, &zero), -1);
	ck_assert_int_eq(errno, EBADF);
	close(kq);
	close(file);
}
END_TEST

START_TEST(kqueue__duplicate_is_the_same_queue)
{
	int kq = queue(), fds[2], all[3];

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	all[0] = dup(kq);
	all[1] = fcntl(kq, F_DUPFD_CLOEXEC, 10);
	all[2] = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(dup2(kq, all[2]), all[2]);
	for (int i = 0; i < 3; i++) {
		event_of(all[i], (uintptr_t)fds[0], EVFILT_READ);
		add(all[i], (uintptr_t)i, EVFILT_USER, 0, 0);
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	}
	close(kq);
	event_of(all[0], (uintptr_t)fds[0], EVFILT_READ);
	close(all[0]);
	event_of(all[1], (uintptr_t)fds[0], EVFILT_READ);
	close(all[1]);
	event_of(all[2], (uintptr_t)fds[0], EVFILT_READ);
	close(all[2]);
	close_pair(fds);
}
END_TEST

START_TEST(kqueue__thousand_queues_are_made_and_closed)
{
	int fds[2], before;

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	before = open_descriptors();
	for (int i = 0; i < 1000; i++) {
		int kq = queue();

		add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
		add(kq, 1, EVFILT_TIMER, NOTE_SECONDS, 1000);
		event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
		ck_assert_int_eq(close(kq), 0);
	}
	ck_assert_int_eq(open_descriptors(), before);
	close_pair(fds);
}
END_TEST

START_TEST(kqueue__hundreds_of_queues_at_once)
{
	enum { N = 200 };
	int kq[N], before = open_descriptors();

	for (int i = 0; i < N; i++) {
		kq[i] = queue();
		ck_assert_int_eq(change(kq[i], (uintptr_t)i, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	}
	/* No more than two descriptors a queue before its filters need more. */
	ck_assert_int_le(open_descriptors() - before, 2 * N + 2);
	for (int i = 0; i < N; i++)
		event_of(kq[i], (uintptr_t)i, EVFILT_USER);
	for (int i = 0; i < N; i += 2)
		close(kq[i]);
	for (int i = 1; i < N; i += 2) {
		event_of(kq[i], (uintptr_t)i, EVFILT_USER);
		close(kq[i]);
	}
}
END_TEST

START_TEST(kqueue__twenty_thousand_timers_cost_two_descriptors)
{
	enum { N = 20000 };
	struct kevent *changes = calloc(N, sizeof(*changes));
	int kq = queue(), before = open_descriptors();

	for (uintptr_t i = 0; i < N; i++)
		EV_SET(&changes[i], i, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 3600000 + (int64_t)i, NULL);
	ck_assert_int_eq(kevent(kq, changes, N, NULL, 0, NULL), 0);
	ck_assert_int_le(open_descriptors() - before, 2);
	no_event(kq);
	free(changes);
	close(kq);
}
END_TEST

START_TEST(kqueue__every_filter_does_without_threads)
{
	int fds[2], file = scratch_file(), kq = queue(), before = threads();
	struct kevent events[16];

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	add_every_filter(kq, fds, file);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	add(kq, 3, EVFILT_TIMER, 0, 1);
	nap(5);
	put(file, 10);
	ck_assert_int_gt(collect(kq, events, 16, 1000), 3);
	ck_assert_int_eq(threads(), before);
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

START_TEST(kqueue__queues_do_not_share_registrations)
{
	int one = queue(), two = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	add(one, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	add(one, 1, EVFILT_USER, NOTE_TRIGGER, 0);
	no_event(two);
	ck_assert_int_eq(change(two, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(two, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	add(two, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	event_of(two, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_int_eq(change(two, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	close(two);
	ck_assert_int_eq(change(one, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	event_of(one, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(one);
}
END_TEST

/* A change that one thread makes reaches another that already waits. */
START_TEST(kqueue__change_reaches_a_waiting_thread)
{
	struct waiter w;
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	waiter_start(&w, kq, -1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0, 0);
	waiter_join(&w);
	ck_assert_int_eq(w.event.filter, EVFILT_READ);

	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DISABLE, 0, 0, NULL), 0);
	waiter_start(&w, kq, -1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.event.filter, EVFILT_READ);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);

	waiter_start(&w, kq, -1);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.event.filter, EVFILT_USER);

	add(kq, 1, EVFILT_TIMER, NOTE_SECONDS, 1000);
	waiter_start(&w, kq, -1);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 5, NULL), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.event.filter, EVFILT_TIMER);
	ck_assert_uint_eq(w.event.ident, 2);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kqueue__regular_file_reaches_a_waiting_thread)
{
	int kq = queue(), file = scratch_file();
	struct waiter w;

	put(file, 10);
	ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
	waiter_start(&w, kq, -1);
	add(kq, (uintptr_t)file, EVFILT_READ, 0, 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(w.event.data, 10);
	close(file);
	close(kq);
}
END_TEST

START_TEST(kqueue__closing_wakes_waiters_with_ebadf)
{
	struct waiter w[4];
	int kq = queue();

	add(kq, 1, EVFILT_TIMER, NOTE_SECONDS, 1000);
	for (int i = 0; i < 4; i++)
		waiter_start(&w[i], kq, i % 2 == 0 ? -1 : 50000);
	ck_assert_int_eq(close(kq), 0);
	for (int i = 0; i < 4; i++) {
		waiter_join(&w[i]);
		ck_assert_int_eq(w[i].count, -1);
		ck_assert_int_eq(w[i].error, EBADF);
	}
}
END_TEST

/* The number goes to a new queue at once: a waiter of the old one must not end up in it. */
START_TEST(kqueue__closing_wakes_waiters_though_the_number_is_reused)
{
	for (int round = 0; round < 50; round++) {
		int kq = queue(), again;
		struct waiter w;

		memset(&w, 0, sizeof(w));
		waiter_start(&w, kq, -1);
		close(kq);
		again = queue();
		ck_assert_int_eq(change(again, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
		waiter_join(&w);
		ck_assert_int_eq(w.count, -1);
		ck_assert_int_eq(w.error, EBADF);
		close(again);
	}
}
END_TEST

HARNESS_MAIN("kqueue",
    kqueue__descriptors_are_close_on_exec,
    kqueue__kqueue1_takes_nonblock,
    kqueue__kqueue1_refuses_other_bits,
    kqueue__kqueuex_refuses_other_bits,
    kqueue__number_is_the_lowest_free_one,
    kqueue__out_of_descriptors_is_emfile,
    kqueue__nothing_of_a_queue_survives_exec,
    kqueue__closing_frees_every_descriptor,
    kqueue__closed_queue_is_ebadf,
    kqueue__number_may_become_another_queue,
    kqueue__number_may_become_something_else,
    kqueue__closing_by_dup2_frees_it,
    kqueue__duplicate_is_the_same_queue,
    kqueue__thousand_queues_are_made_and_closed,
    kqueue__hundreds_of_queues_at_once,
    kqueue__twenty_thousand_timers_cost_two_descriptors,
    kqueue__every_filter_does_without_threads,
    kqueue__queues_do_not_share_registrations,
    kqueue__change_reaches_a_waiting_thread,
    kqueue__regular_file_reaches_a_waiting_thread,
    kqueue__closing_wakes_waiters_with_ebadf,
    kqueue__closing_wakes_waiters_though_the_number_is_reused)
