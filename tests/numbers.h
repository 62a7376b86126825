/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's own descriptors: a queue that has some, where they are, and the program on their numbers. */
#ifndef KQ_TESTS_NUMBERS_H
#define KQ_TESTS_NUMBERS_H

#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A queue with something of every kind, which makes the library open descriptors; on a pair below it. */
static inline int
full_queue(const int pair[2])
{
	int kq = queue();

	ck_assert_int_eq(change(kq, (uintptr_t)pair[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)pair[0], EVFILT_WRITE, EV_ADD | EV_CLEAR | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME | NOTE_SECONDS, INT32_MAX, NULL), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	return kq;
}

/* What a descriptor is, as /proc calls it; "" if there is none. */
static inline const char *
kind_of(int fd)
{
	static _Thread_local char target[64];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return target;
}

/* The library's own always readable descriptor, which every queue has as an item; an inherited one is lower. */
static inline int
bell(void)
{
	for (int fd = 256; fd < 65536; fd++)
		if (strcmp(kind_of(fd), "anon_inode:[eventfd]") == 0)
			return fd;
	ck_abort_msg("no eventfd");
}

/* The program takes every number at which the library has a descriptor, or gives them back. */
static inline void
take_numbers(bool take)
{
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	static bool taken[8192];

	for (int fd = 256; fd < 8192; fd++) {
		if (take && !taken[fd] && kind_of(fd)[0] != '\0') {
			ck_assert_int_eq(dup3(file, fd, O_CLOEXEC), fd);
			taken[fd] = true;
		} else if (!take && taken[fd]) {
			ck_assert_int_eq(close(fd), 0);
		}
	}
	close(file);
}

#endif
