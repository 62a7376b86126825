/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue that watches a socket for urgent data. */
#ifndef KQ_TESTS_EXCEPT_H
#define KQ_TESTS_EXCEPT_H

#include "harness.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* fds[0] is watched, fds[1] sends. */
static int kq, fds[2];

static const unsigned short modes[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
enum { MODES = 4 };

static inline void
add(int fd, short filter, unsigned int flags)
{
	ck_assert_int_eq(change(kq, (uintptr_t)fd, filter, (unsigned short)(EV_ADD | flags),
	    filter == EVFILT_EXCEPT ? NOTE_OOB : 0, 0, NULL), 0);
}

static inline void
begin(enum pair kind, unsigned int flags)
{
	kq = queue();
	pair(kind, fds);
	add(fds[0], EVFILT_EXCEPT, flags);
}

static inline void
end(void)
{
	close_pair(fds);
	close(kq);
}

/* Sends one urgent byte and waits for it to arrive. */
static inline void
urge(void)
{
	struct pollfd pfd = { .fd = fds[0], .events = POLLPRI };

	ck_assert_int_eq(send(fds[1], "!", 1, MSG_OOB), 1);
	ck_assert_int_eq(poll(&pfd, 1, 10000), 1);
}

static inline void
take_urgent(void)
{
	char byte;

	ck_assert_int_eq(recv(fds[0], &byte, 1, MSG_OOB), 1);
	ck_assert_int_eq(byte, '!');
}

static inline struct kevent
except_event(void)
{
	return event_of(kq, (uintptr_t)fds[0], EVFILT_EXCEPT);
}

static inline struct kevent
oob_event(unsigned int flags)
{
	struct kevent event = except_event();

	ck_assert_uint_eq(event.flags, flags);
	ck_assert_uint_eq(event.fflags, NOTE_OOB);
	ck_assert_int_eq(event.data, 1);
	return event;
}

static inline void
check_asleep(void)
{
	asleep(kq, 200);
	ck_assert(!readable(kq, 0));
}

#endif
