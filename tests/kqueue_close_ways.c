/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways to close a descriptor: each removes its registrations, and does besides what it has always done.  What that
 * means for a program is in kqueue_close.c, many descriptors at once in kqueue_close_range.c and kqueue_close_edges.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

START_TEST(kqueue_close_ways__every_way_to_close_removes_registrations)
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
		ck_assert_msg(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL) == ENOENT,
		    "%s: READ is left", ways[i].name);
		ck_assert_msg(change(kq, (uintptr_t)fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL) == ENOENT,
		    "%s: WRITE is left", ways[i].name);
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
START_TEST(kqueue_close_ways__is_a_cancellation_point)
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
START_TEST(kqueue_close_ways__closefrom_removes_registrations)
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

START_TEST(kqueue_close_ways__pclose_removes_registrations)
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

START_TEST(kqueue_close_ways__closedir_removes_registrations)
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
	int kq = queue(), file, copy;
	char path[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(ftruncate(file, 10), 0);
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

START_TEST(kqueue_close_ways__freopen_removes_registrations)
{
	check_freopen(freopen);
#ifdef __GLIBC__
	check_freopen(freopen64);
#endif
}
END_TEST

/* A stream in memory has no number, and nobody asked for one. */
START_TEST(kqueue_close_ways__stream_without_descriptor_is_closed_as_ever)
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

START_TEST(kqueue_close_ways__closedir_of_no_directory_is_an_error)
{
	close(queue());
	errno = 0;
	ck_assert_int_eq(close_directory(NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST
#endif

/* Nobody has the highest number there is: nothing is noted of it, nor gone through later. */
START_TEST(kqueue_close_ways__shutdown_of_no_descriptor_leaves_nothing)
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

START_TEST(kqueue_close_ways__close_keeps_its_result_and_errno)
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

HARNESS_MAIN("kqueue_close_ways",
    kqueue_close_ways__every_way_to_close_removes_registrations,
    kqueue_close_ways__is_a_cancellation_point,
#if GLIBC_SINCE(2, 34)
    kqueue_close_ways__closefrom_removes_registrations,
#endif
    kqueue_close_ways__pclose_removes_registrations,
    kqueue_close_ways__closedir_removes_registrations,
    kqueue_close_ways__freopen_removes_registrations,
    kqueue_close_ways__stream_without_descriptor_is_closed_as_ever,
#ifdef __GLIBC__
    kqueue_close_ways__closedir_of_no_directory_is_an_error,
#endif
    kqueue_close_ways__shutdown_of_no_descriptor_leaves_nothing,
    kqueue_close_ways__close_keeps_its_result_and_errno)
