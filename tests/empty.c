/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EVFILT_EMPTY: all that was sent has left.  For TCP that is when the peer's
 * system has taken it, so a peer whose receive buffer is full holds it back;
 * for AF_UNIX when the peer has read it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <netinet/in.h>
#include <unistd.h>

/* fds[1] is watched and sends, fds[0] reads. */
static int kq, fds[2];

static const enum pair streams[] = { PAIR_TCP, PAIR_UNIX };
enum { STREAMS = 2 };

static const unsigned short modes[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
enum { MODES = 4 };

static int
watch(unsigned int flags)
{
	return change(kq, (uintptr_t)fds[1], EVFILT_EMPTY, (unsigned short)flags, 0, 0, NULL);
}

static void
begin(enum pair kind)
{
	kq = queue();
	pair(kind, fds);
}

static void
end(void)
{
	close_pair(fds);
	close(kq);
}

static struct kevent
empty_event(unsigned int flags)
{
	struct kevent event = event_of(kq, (uintptr_t)fds[1], EVFILT_EMPTY);

	ck_assert_uint_eq(event.flags, flags);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 0);
	return event;
}

/* Sends until nothing leaves any more: TCP's peer may take what was too much at first. */
static void
stuff(void)
{
	for (int quiet = 0; quiet < 5; nap(2))
		quiet = fill(fds[1]) == 0 ? quiet + 1 : 0;
}

static void
drain_all(void)
{
	for (int i = 0; i < 100; i++)
		if (drain(fds[0]) == 0)
			nap(1);
}

/* Nobody looks at all: the timer that has a look taken would make the queue readable. */
static void
check_undisturbed(void)
{
	struct kevent event;

	nap(120);	/* a look that was under way */
	ck_assert_int_eq(collect(kq, &event, 1, 0), 0);
	ck_assert(!readable(kq, 300));
}

START_TEST(empty__socket_with_nothing_to_send_is_empty)
{
	static const enum pair all[] = {
		PAIR_TCP, PAIR_TCP6, PAIR_UNIX, PAIR_SEQPACKET, PAIR_UDP, PAIR_DGRAM,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i] == PAIR_TCP6 && !have_ipv6())
			continue;
		begin(all[i]);
		ck_assert_int_eq(watch(EV_ADD), 0);
		for (int j = 0; j < 3; j++) {
			ck_assert(readable(kq, 1000));
			empty_event(0);
		}
		end();
	}
}
END_TEST

START_TEST(empty__is_no_event_while_data_waits)
{
	for (int i = 0; i < STREAMS; i++)
		for (int j = 0; j < MODES; j++) {
			begin(streams[i]);
			stuff();
			ck_assert_int_eq(watch(EV_ADD | modes[j]), 0);
			no_event(kq);
			asleep(kq, 300);
			drain_all();
			empty_event(modes[j]);
			end();
		}
}
END_TEST

START_TEST(empty__wakes_a_waiting_thread)
{
	for (int i = 0; i < STREAMS; i++)
		for (int j = 0; j < MODES; j++) {
			struct waiter w;

			begin(streams[i]);
			stuff();
			ck_assert_int_eq(watch(EV_ADD | modes[j]), 0);
			waiter_start(&w, kq, -1);
			drain_all();
			waiter_join(&w);
			ck_assert_int_eq(w.count, 1);
			ck_assert_int_eq(w.event.filter, EVFILT_EMPTY);
			ck_assert_int_eq(w.event.data, 0);
			end();
		}
}
END_TEST

START_TEST(empty__queue_becomes_readable)
{
	struct kevent event;

	begin(PAIR_UNIX);
	stuff();
	ck_assert_int_eq(watch(EV_ADD), 0);
	no_event(kq);
	drain_all();
	do
		ck_assert(readable(kq, 10000));
	while (collect(kq, &event, 1, 0) == 0);
	ck_assert_int_eq(event.filter, EVFILT_EMPTY);
	ck_assert(readable(kq, 0));
	end();
}
END_TEST

START_TEST(empty__stops_when_data_is_sent_and_comes_back)
{
	for (int i = 0; i < STREAMS; i++) {
		begin(streams[i]);
		ck_assert_int_eq(watch(EV_ADD), 0);
		for (int again = 0; again < 3; again++) {
			empty_event(0);
			stuff();
			no_event(kq);
			asleep(kq, 300);
			drain_all();
			empty_event(0);
		}
		end();
	}
}
END_TEST

START_TEST(empty__clear_fires_once_for_each_time_it_drains)
{
	for (int i = 0; i < STREAMS; i++) {
		begin(streams[i]);
		ck_assert_int_eq(watch(EV_ADD | EV_CLEAR), 0);
		empty_event(EV_CLEAR);
		no_event(kq);
		check_undisturbed();
		for (int again = 0; again < 3; again++) {
			stuff();
			no_event(kq);
			drain_all();
			empty_event(EV_CLEAR);
			no_event(kq);
		}
		/* A change looks again. */
		ck_assert_int_eq(watch(EV_ADD), 0);
		empty_event(EV_CLEAR);
		end();
	}
}
END_TEST

/* Sent and acknowledged before anybody could look: TCP's counter tells. */
START_TEST(empty__clear_sees_what_tcp_sent_between_two_calls)
{
	begin(PAIR_TCP);
	ck_assert_int_eq(watch(EV_ADD | EV_CLEAR), 0);
	empty_event(EV_CLEAR);
	for (int i = 0; i < 5; i++) {
		pass(fds[1], fds[0], 10);
		nap(20);
		empty_event(EV_CLEAR);
		no_event(kq);
	}
	end();
}
END_TEST

START_TEST(empty__oneshot_and_dispatch)
{
	begin(PAIR_UNIX);
	ck_assert_int_eq(watch(EV_ADD | EV_ONESHOT), 0);
	empty_event(EV_ONESHOT);
	check_undisturbed();
	ck_assert_int_eq(watch(EV_DELETE), ENOENT);
	ck_assert_int_eq(watch(EV_ADD | EV_DISPATCH), 0);
	empty_event(EV_DISPATCH);
	check_undisturbed();
	stuff();
	ck_assert_int_eq(watch(EV_ENABLE), 0);
	no_event(kq);
	drain_all();
	empty_event(EV_DISPATCH);
	no_event(kq);
	end();
}
END_TEST

START_TEST(empty__disabled_is_not_looked_at)
{
	begin(PAIR_UNIX);
	stuff();
	ck_assert_int_eq(watch(EV_ADD | EV_DISABLE), 0);
	check_undisturbed();
	ck_assert_int_eq(watch(EV_ENABLE), 0);
	asleep(kq, 300);
	ck_assert_int_eq(watch(EV_DISABLE), 0);
	check_undisturbed();
	ck_assert_int_eq(watch(EV_ADD), 0);	/* does not enable */
	check_undisturbed();
	drain_all();
	no_event(kq);
	check_undisturbed();
	ck_assert_int_eq(watch(EV_ENABLE), 0);
	empty_event(0);
	ck_assert_int_eq(watch(EV_DISABLE), 0);
	check_undisturbed();
	end();
}
END_TEST

START_TEST(empty__deleting_ends_the_looking)
{
	begin(PAIR_UNIX);
	stuff();
	ck_assert_int_eq(watch(EV_ADD), 0);
	no_event(kq);
	ck_assert_int_eq(watch(EV_DELETE), 0);
	drain_all();
	check_undisturbed();
	end();
}
END_TEST

START_TEST(empty__closing_removes_it)
{
	int copy;

	begin(PAIR_UNIX);
	stuff();
	ck_assert_int_eq(watch(EV_ADD), 0);
	no_event(kq);
	copy = dup(fds[1]);
	close(fds[1]);
	drain_all();
	no_event(kq);
	check_undisturbed();
	ck_assert_int_eq(dup2(copy, fds[1]), fds[1]);
	ck_assert_int_eq(watch(EV_DELETE), ENOENT);
	ck_assert_int_eq(watch(EV_ADD), 0);
	empty_event(0);
	close(fds[1]);
	no_event(kq);
	check_undisturbed();
	close(copy);
	close(fds[0]);
	close(kq);
}
END_TEST

/* Where the closing cannot be seen, the next descriptor of that number is another, all the same. */
START_TEST(empty__unseen_closing_ends_it)
{
#ifdef SYS_dup3
	int next[2];

	begin(PAIR_UNIX);
	stuff();
	ck_assert_int_eq(watch(EV_ADD), 0);
	no_event(kq);
	pair(PAIR_UNIX, next);
	ck_assert_int_eq(syscall(SYS_dup3, next[1], fds[1], 0), fds[1]);
	asleep(kq, 300);
	check_undisturbed();
	ck_assert_int_eq(watch(EV_ADD), 0);
	empty_event(0);
	close_pair(next);
	end();
#endif
}
END_TEST

START_TEST(empty__shutdown_is_no_end)
{
	begin(PAIR_TCP);
	ck_assert_int_eq(shutdown(fds[1], SHUT_RDWR), 0);
	ck_assert_int_eq(watch(EV_ADD), 0);
	empty_event(0);
	end();
}
END_TEST

/* What a reset connection had queued is gone. */
START_TEST(empty__reset_connection_is_empty)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	begin(PAIR_TCP);
	stuff();
	ck_assert_int_eq(watch(EV_ADD), 0);
	no_event(kq);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fds[0]);
	empty_event(0);
	empty_event(0);
	close(fds[1]);
	close(kq);
}
END_TEST

START_TEST(empty__listening_and_unconnected_sockets_are_empty)
{
	for (int i = 0; i < 4; i++) {
		kq = queue();
		fds[1] = socket(i < 2 ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
		ck_assert_int_ge(fds[1], 0);
		if (i == 0) {
			struct sockaddr_in sin = { .sin_family = AF_INET };

			ck_assert_int_eq(bind(fds[1], (struct sockaddr *)(void *)&sin, sizeof(sin)), 0);
			ck_assert_int_eq(listen(fds[1], 1), 0);
		}
		ck_assert_int_eq(watch(EV_ADD), 0);
		empty_event(0);
		close(fds[1]);
		close(kq);
	}
}
END_TEST

START_TEST(empty__beside_read_and_write)
{
	struct kevent events[4];

	begin(PAIR_UNIX);
	ck_assert_int_eq(watch(EV_ADD), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	put(fds[0], 1);
	ck_assert_int_eq(collect(kq, events, 4, 0), 3);
	ck_assert_int_eq(collect(kq, events, 4, 0), 2);
	ck_assert_int_eq(watch(EV_DELETE), 0);
	ck_assert_int_eq(collect(kq, events, 4, 0), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_WRITE);
	end();
}
END_TEST

START_TEST(empty__queue_in_a_queue_counts_it)
{
	int outer = queue();

	begin(PAIR_UNIX);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(watch(EV_ADD), 0);
	ck_assert_int_eq(event_of(outer, (uintptr_t)kq, EVFILT_READ).data, 1);
	stuff();
	no_event(outer);
	close(outer);
	end();
}
END_TEST

START_TEST(empty__only_sockets)
{
	static const char *const paths[] = { "/dev/null", "/", "/etc/passwd" };

	kq = queue();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_ge(fds[1] = open(paths[i], O_RDONLY), 0);
		ck_assert_int_eq(watch(EV_ADD), EINVAL);
		ck_assert_int_eq(watch(EV_DELETE), ENOENT);
		close(fds[1]);
	}
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(watch(EV_ADD), EINVAL);
	close_pair(fds);
	ck_assert_int_eq(watch(EV_ADD), EBADF);
	ck_assert_int_eq(watch(EV_DELETE), EBADF);
	fds[1] = kq;
	ck_assert_int_eq(watch(EV_ADD), EINVAL);
	close(kq);
}
END_TEST

HARNESS_MAIN("empty",
    empty__socket_with_nothing_to_send_is_empty,
    empty__is_no_event_while_data_waits,
    empty__wakes_a_waiting_thread,
    empty__queue_becomes_readable,
    empty__stops_when_data_is_sent_and_comes_back,
    empty__clear_fires_once_for_each_time_it_drains,
    empty__clear_sees_what_tcp_sent_between_two_calls,
    empty__oneshot_and_dispatch,
    empty__disabled_is_not_looked_at,
    empty__deleting_ends_the_looking,
    empty__closing_removes_it,
    empty__unseen_closing_ends_it,
    empty__shutdown_is_no_end,
    empty__reset_connection_is_empty,
    empty__listening_and_unconnected_sockets_are_empty,
    empty__beside_read_and_write,
    empty__queue_in_a_queue_counts_it,
    empty__only_sockets)
