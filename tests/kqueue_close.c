/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing a watched descriptor removes its registrations at once and silently,
 * though duplicates stay open; its number, opened again, is a new descriptor.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* Each way to close: fd is closed; or taken over by what had another number. */
static void by_dup2(int fd) { int other = open("/dev/null", O_RDONLY); dup2(other, fd); close(other); }
static void by_dup3(int fd) { int other = open("/dev/null", O_RDONLY); dup3(other, fd, O_CLOEXEC); close(other); }
static void by_close(int fd) { close(fd); }
static void by_fclose(int fd) { fclose(fdopen(fd, "r")); }
#ifdef CLOSE_RANGE_UNSHARE
static void by_close_range(int fd) { close_range((unsigned int)fd, (unsigned int)fd, 0); }
/* Nobody shares the table of this process, so nothing is to be unshared. */
static void
by_close_range_unshare(int fd)
{
	if (threads() == 1)
		close_range((unsigned int)fd, (unsigned int)fd, CLOSE_RANGE_UNSHARE);
	else
		close(fd);
}
#endif

static const struct { const char *name; void (*close)(int); } ways[] = {
	{ "close", by_close }, { "dup2", by_dup2 }, { "dup3", by_dup3 }, { "fclose", by_fclose },
#ifdef CLOSE_RANGE_UNSHARE
	{ "close_range", by_close_range }, { "close_range, unsharing", by_close_range_unshare },
#endif
};

START_TEST(kqueue_close__every_way_to_close_removes_registrations)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int kq = queue(), fds[2], copy, fd;

		pair(PAIR_UNIX, fds);
		ck_assert_int_ge(copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 50), 0);
		put(fds[1], 1);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		ways[i].close(fds[0]);
		struct kevent events[2];
		ck_assert_msg(collect(kq, events, 2, 0) == 0, "%s: an event of a closed descriptor", ways[i].name);
		ck_assert_msg(!readable(kq, 0), "%s: the queue is readable", ways[i].name);
		fd = fcntl(fds[0], F_GETFD) == -1 ? open("/dev/null", O_RDONLY) : fds[0];
		ck_assert_int_eq(fd, fds[0]);
		ck_assert_msg(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL) == ENOENT, "%s: READ is left", ways[i].name);
		ck_assert_msg(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL) == ENOENT, "%s: WRITE is left", ways[i].name);
		close(fd);
		close(fds[1]);
		close(copy);
		close(kq);
	}
}
END_TEST

static void *
close_when_cancelled(void *arg)
{
	const int *fd = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	close(*fd);
	return NULL;
}

/* As ever; and what it does not close keeps its registrations. */
START_TEST(kqueue_close__is_a_cancellation_point)
{
	int kq = queue(), fds[2];
	pthread_t thread;
	void *result;

	pair(PAIR_PIPE, fds);
	put(fds[1], 1);
	for (int watched = 0; watched < 2; watched++) {
		if (watched)
			ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, close_when_cancelled, &fds[0]), 0);
		ck_assert_int_eq(pthread_join(thread, &result), 0);
		ck_assert_ptr_eq(result, PTHREAD_CANCELED);
		ck_assert_int_ne(fcntl(fds[0], F_GETFD), -1);
	}
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	close_pair(fds);
	close(kq);
}
END_TEST

#if GLIBC_SINCE(2, 34)
START_TEST(kqueue_close__closefrom_removes_registrations)
{
	enum { FROM = 1000 };	/* above what the test may have inherited, below the library's own */
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	ck_assert_int_eq(dup2(fds[0], FROM), FROM);
	ck_assert_int_eq(change(kq, FROM, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, FROM, EVFILT_READ);
	closefrom(FROM);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, FROM, EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
	close_pair(fds);
	close(kq);
}
END_TEST
#endif

START_TEST(kqueue_close__pclose_removes_registrations)
{
	FILE *stream = popen("cat >/dev/null", "w");
	int kq = queue(), fd, copy;

	ck_assert_ptr_nonnull(stream);
	fd = fileno(stream);
	ck_assert_int_ge(copy = fcntl(fd, F_DUPFD_CLOEXEC, 50), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fd, EVFILT_WRITE);
	/* cat ends with the last number of the pipe, so pclose() waits until the copy goes. */
	pid_t child = fork();
	if (child == 0) {
		close(fd);
		await_state(getppid(), 'S');
		_exit(0);
	}
	close(copy);
	ck_assert_int_eq(pclose(stream), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), EBADF);
	close(kq);
}
END_TEST

START_TEST(kqueue_close__closedir_removes_registrations)
{
	int kq = queue(), fd, copy;
	char path[128];
	DIR *dir;

	ck_assert_ptr_nonnull(dir = opendir(scratch_dir()));
	fd = dirfd(dir);
	ck_assert_int_ge(copy = fcntl(fd, F_DUPFD_CLOEXEC, 50), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), 0);
	closedir(dir);
	snprintf(path, sizeof(path), "%s/new", scratch_dir());
	ck_assert_int_eq(mkdir(path, 0700), 0);
	no_event(kq);
	close(copy);
	close(kq);
}
END_TEST

static void
check_freopen(FILE *(*reopen)(const char *, const char *, FILE *))
{
	int kq = queue(), file = scratch_file("file", 10), copy;
	FILE *stream;

	ck_assert_int_ge(copy = fcntl(file, F_DUPFD_CLOEXEC, 50), 0);
	ck_assert_ptr_nonnull(stream = fdopen(file, "r"));
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_ptr_nonnull(stream = reopen("/dev/null", "r", stream));
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fileno(stream), EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	fclose(stream);
	close(copy);
	close(kq);
}

START_TEST(kqueue_close__freopen_removes_registrations)
{
	check_freopen(freopen);
#ifdef __GLIBC__
	check_freopen(freopen64);
#endif
}
END_TEST

/* A stream in memory has no number, and nobody asked for one. */
START_TEST(kqueue_close__stream_without_descriptor_is_closed_as_ever)
{
	FILE *stream;
	char *text;
	size_t size;

	close(queue());
	ck_assert_ptr_nonnull(stream = open_memstream(&text, &size));
	ck_assert_int_eq(fputc('x', stream), 'x');
	errno = EDOM;
	ck_assert_int_eq(fclose(stream), 0);
#ifndef __SANITIZE_THREAD__	/* the thread sanitizer's own fclose() changes it */
	ck_assert_int_eq(errno, EDOM);
#endif
	ck_assert_str_eq(text, "x");
	free(text);
}
END_TEST

#ifdef __GLIBC__
static int (*volatile close_directory)(DIR *) = closedir;	/* the compiler knows that it wants one */

START_TEST(kqueue_close__closedir_of_no_directory_is_an_error)
{
	close(queue());
	errno = 0;
	ck_assert_int_eq(close_directory(NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST
#endif

/* Nobody has the highest number there is: nothing is noted of it, nor gone through later. */
START_TEST(kqueue_close__shutdown_of_no_descriptor_leaves_nothing)
{
	struct rlimit limit, few;
	int64_t spent;
	int status;
	pid_t pid;

	close(queue());
	errno = 0;
	ck_assert_int_eq(shutdown(INT_MAX, SHUT_WR), -1);
	ck_assert_int_eq(errno, EBADF);
	spent = cpu_ns();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(kqueue(), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	pid = fork();
	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_lt(cpu_ns() - spent, 1000000000);
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

START_TEST(kqueue_close__close_keeps_its_result_and_errno)
{
	int kq = queue(), fds[2];

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	errno = 4242;
	ck_assert_int_eq(close(fds[0]), 0);
	ck_assert_int_eq(errno, 4242);
	ck_assert_int_eq(close(fds[0]), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(close(-1), -1);
	ck_assert_int_eq(errno, EBADF);
	close(fds[1]);
	close(kq);
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
    kqueue_close__every_way_to_close_removes_registrations,
    kqueue_close__is_a_cancellation_point,
#if GLIBC_SINCE(2, 34)
    kqueue_close__closefrom_removes_registrations,
#endif
    kqueue_close__pclose_removes_registrations,
    kqueue_close__closedir_removes_registrations,
    kqueue_close__freopen_removes_registrations,
    kqueue_close__stream_without_descriptor_is_closed_as_ever,
#ifdef __GLIBC__
    kqueue_close__closedir_of_no_directory_is_an_error,
#endif
    kqueue_close__shutdown_of_no_descriptor_leaves_nothing,
    kqueue_close__two_queues_both_forget,
    kqueue_close__closing_does_not_disturb_a_waiter,
    kqueue_close__peer_sees_the_end_at_once,
    kqueue_close__close_keeps_its_result_and_errno,
    kqueue_close__thousands_of_descriptors_come_and_go)
