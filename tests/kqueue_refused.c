/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Epoll refuses an item, as it does without memory (ENOMEM) or at the limit of
 * items that a user may have (ENOSPC), and descriptors run out (EMFILE).  Linux
 * only: a double stands in for epoll_ctl().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refused;		/* what new items are refused with; 0: they are not */
static int refusals, allowed;	/* how many were; how many may come before */

int
epoll_ctl(int ep, int op, int fd, struct epoll_event *item)
{
	if (op == EPOLL_CTL_ADD && refused != 0 && allowed-- <= 0) {
		refusals++;
		errno = refused;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, ep, op, fd, item);
}

static void
refuse(int error)
{
	refused = error;
	refusals = allowed = 0;
}

static void
trigger(int kq, uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

/* News of a queue that is readable already ring for the one it is in, whatever epoll has room for. */
START_TEST(kqueue_refused__news_of_a_nested_queue_are_told)
{
	int outer = queue(), inner = queue(), fds[2];
	struct kevent events[8];

	pair(PAIR_UNIX, fds);
	for (uintptr_t i = 1; i <= 5; i++)
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	trigger(inner, 1);
	ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, 2);
	no_event(outer);
	refuse(ENOSPC);
	for (uintptr_t i = 2; i <= 4; i++) {
		trigger(inner, i);
		ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, (int)i + 1);
		no_event(outer);
	}
	ck_assert(readable(inner, 0));
	refuse(0);
	trigger(inner, 5);
	ck_assert_int_eq(event_of(outer, (uintptr_t)inner, EVFILT_READ).data, 6);
	ck_assert_int_eq(collect(inner, events, 8, 0), 6);
	for (uintptr_t i = 1; i <= 5; i++)
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(inner);
	ck_assert(!readable(inner, 0));
	close_pair(fds);
	close(inner);
	close(outer);
}
END_TEST

/* The library's own always readable descriptor, which every queue has as an item. */
static int
bell(void)
{
	char path[64], target[64];

	for (int fd = 3; fd < 65536; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		memset(target, 0, sizeof(target));
		if (readlink(path, target, sizeof(target) - 1) > 0 &&
		    strcmp(target, "anon_inode:[eventfd]") == 0)
			return fd;
	}
	ck_abort_msg("no eventfd");
}

/* The program takes the number of one of ours, and there is no room for the item under its new one. */
START_TEST(kqueue_refused__bell_that_moves_is_added_later)
{
	int kq = queue(), fds[2], taken;

	pair(PAIR_UNIX, fds);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	refuse(ENOMEM);
	ck_assert_int_ge(taken = dup2(fds[0], bell()), 0);
	trigger(kq, 1);
	ck_assert_int_ge(refusals, 2);
	event_of(kq, 1, EVFILT_USER);
	refuse(0);
	trigger(kq, 2);
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	event_of(kq, 2, EVFILT_USER);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(taken);
	close_pair(fds);
	close(kq);
}
END_TEST

HARNESS_MAIN("kqueue_refused",
    kqueue_refused__news_of_a_nested_queue_are_told,
    kqueue_refused__bell_that_moves_is_added_later)
