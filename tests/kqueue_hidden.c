/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's own descriptors: out of the program's way, not open as far as
 * the program can tell, and safe from what it does to every number there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };

static int kq, fds[2];

/* Registers what makes the library open descriptors of its own. */
static void
begin(void)
{
	pair(PAIR_UNIX, fds);
	kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME | NOTE_SECONDS, INT32_MAX, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
}

/* All of it works still. */
static void
check_works(void)
{
	no_event(kq);
	put(fds[1], 1);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	get(fds[0], 1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	event_of(kq, 3, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 4, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME | NOTE_SECONDS, 1, NULL), 0);
	event_of(kq, 4, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	raise(SIGUSR1);
	event_of(kq, SIGUSR1, EVFILT_SIGNAL);
	no_event(kq);
}

static void
end(void)
{
	check_works();
	close_pair(fds);
	close(kq);
}

/* Whether a number is open, and not by the program, which has files and sockets only. */
static bool
is_hidden(int fd)
{
	static const char kind[] = "anon_inode:";
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd != kq && readlink(path, target, sizeof(target) - 1) > 0 &&
	    strncmp(target, kind, sizeof(kind) - 1) == 0;
}

static int
hidden(int numbers[MOST])
{
	int count = 0;

	for (int fd = 0; fd < 65536 && count < MOST; fd++)
		if (is_hidden(fd))
			numbers[count++] = fd;
	return count;
}

START_TEST(kqueue_hidden__own_descriptors_are_out_of_the_way)
{
	int numbers[MOST], n, next;

	signal(SIGUSR1, SIG_IGN);
	next = open("/dev/null", O_RDONLY);
	close(next);
	begin();
	/* The pair, then the queue: nothing else took a low number. */
	ck_assert_int_eq(fds[0], next);
	ck_assert_int_lt(kq, 256);
	n = hidden(numbers);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(numbers[i], 256);
	next = open("/dev/null", O_RDONLY);
	ck_assert_int_lt(next, 256);
	close(next);
	end();
}
END_TEST

START_TEST(kqueue_hidden__close_says_they_are_not_open)
{
	int numbers[MOST], n;

	signal(SIGUSR1, SIG_IGN);
	begin();
	n = hidden(numbers);
	for (int i = 0; i < n; i++) {
		errno = 0;
		ck_assert_int_eq(close(numbers[i]), -1);
		ck_assert_int_eq(errno, EBADF);
	}
	end();
}
END_TEST

START_TEST(kqueue_hidden__close_range_passes_over_them)
{
#ifdef CLOSE_RANGE_UNSHARE
	int numbers[MOST];

	signal(SIGUSR1, SIG_IGN);
	begin();
	ck_assert_int_gt(hidden(numbers), 0);
	ck_assert_int_eq(close_range((unsigned int)numbers[0], ~0u, 0), 0);
	end();
#endif
}
END_TEST

START_TEST(kqueue_hidden__closing_every_number_passes_over_them)
{
	signal(SIGUSR1, SIG_IGN);
	begin();
	for (int fd = kq + 1; fd < 65536; fd++)
		if (is_hidden(fd) || fcntl(fd, F_GETFD) == -1)
			close(fd);
	end();
}
END_TEST

/* As daemons do, with a queue from before. */
START_TEST(kqueue_hidden__queue_is_closed_with_all_the_rest)
{
	pid_t pid;
	int status;

	if ((pid = fork()) == 0) {
		struct kevent event;
		int own = kqueue();

		change(own, 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL);
		for (int fd = 0; fd < 65536; fd++)
			close(fd);
		if (kevent(own, NULL, 0, &event, 1, NULL) != -1 || errno != EBADF)
			_exit(1);
		if ((own = kqueue()) == -1 || change(own, 1, EVFILT_TIMER, EV_ADD, 0, 1, NULL) != 0)
			_exit(2);
		_exit(kevent(own, NULL, 0, &event, 1, NULL) == 1 ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

HARNESS_MAIN("kqueue_hidden",
    kqueue_hidden__own_descriptors_are_out_of_the_way,
    kqueue_hidden__close_says_they_are_not_open,
    kqueue_hidden__close_range_passes_over_them,
    kqueue_hidden__closing_every_number_passes_over_them,
    kqueue_hidden__queue_is_closed_with_all_the_rest)
