/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EV_DISPATCH2 and EV_VANISHED: a registration's end is told to who handles its
 * events.
 */
#include "udata.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* EV_DISPATCH2: who handles an event says that it is done before the registration goes. */

static struct kevent
last_event(int tag)
{
	struct kevent event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);

	ck_assert_ptr_eq(event.udata, TAG(tag));
	ck_assert_int_eq(event.data, 0);
	ck_assert_uint_eq(event.fflags, 0);
	return event;
}

START_TEST(udata_end__dispatch2_delete_waits_for_enable)
{
	start(PAIR_PIPE);
	put(fds[1], 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(on_read(i, EV_ADD | EV_DISPATCH), 0);
	ck_assert_uint_eq(told(), 3);
	ck_assert_int_eq(on_read(0, EV_DELETE), EINPROGRESS);
	ck_assert_int_eq(on_read(0, EV_DELETE), EINPROGRESS);
	ck_assert_int_eq(on_read(0, EV_ADD), 0);	/* it stays what it is */
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(on_read(0, EV_ENABLE), 0);
	ck_assert(readable(kq, 0));
	ck_assert_uint_eq(last_event(0).flags, EV_DISPATCH2 | EV_DELETE | EV_ONESHOT);
	ck_assert_int_eq(on_read(0, EV_ENABLE), ENOENT);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(on_read(1, EV_ENABLE), 0);
	ck_assert_uint_eq(told(), 2);
	ck_assert_int_eq(on_read(0, EV_ADD), 0);
	ck_assert_uint_eq(told(), 1);
	stop();
}
END_TEST

START_TEST(udata_end__dispatch2_delete_at_once)
{
	start(PAIR_PIPE);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), 0);	/* it is enabled */
	ck_assert_int_eq(on_read(0, EV_DELETE), ENOENT);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_DISABLE), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE | EV_ENABLE), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), ENOENT);
	/* Neither half of it alone defers. */
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISABLE), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ,
	    EV_ADD | EV_DISPATCH | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	stop();
}
END_TEST

START_TEST(udata_end__dispatch2_of_filters_without_descriptors)
{
	const unsigned short flags = EV_ADD | EV_DISPATCH2 | EV_DISABLE;
	struct kevent event;

	kq = queue();
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_USER, flags, 0, 0, TAG(0)), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_TIMER, flags, 0, 9, TAG(0)), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_USER, EV_DELETE | SPECIFIC, 0, 0,
		    TAG(0)), EINPROGRESS);
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_TIMER, EV_DELETE | SPECIFIC, 0, 0,
		    TAG(0)), EINPROGRESS);
	}
	no_event(kq);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_TIMER, EV_ENABLE | SPECIFIC, 0, 9,
		    TAG(0)), 0);
		event = event_of(kq, (uintptr_t)i, EVFILT_TIMER);
		ck_assert_uint_eq(event.flags, EV_DISPATCH2 | EV_DELETE | EV_ONESHOT);
		ck_assert_int_eq(change(kq, (uintptr_t)i, EVFILT_TIMER, EV_ENABLE | SPECIFIC, 0, 9,
		    TAG(0)), ENOENT);
	}
	no_event(kq);
	close(kq);
}
END_TEST

/* As on macOS: the one event does not end it, being done with it does. */
START_TEST(udata_end__dispatch2_oneshot_ends_when_enabled)
{
	start(PAIR_PIPE);
	put(fds[1], 1);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_ONESHOT), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(on_read(0, EV_ENABLE), 0);
	ck_assert_uint_eq(last_event(0).flags, EV_DISPATCH2 | EV_DELETE | EV_ONESHOT);
	ck_assert_int_eq(on_read(0, EV_DELETE), ENOENT);
	stop();
}
END_TEST

START_TEST(udata_end__dispatch2_closing_ends_the_deferred)
{
	struct kevent event;

	start(PAIR_PIPE);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_DISABLE), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_DISPATCH | EV_DISABLE | EV_VANISHED), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), EINPROGRESS);
	ck_assert_int_eq(on_read(1, EV_DELETE), EINPROGRESS);
	close(fds[0]);
	ck_assert_int_eq(on_read(0, EV_ENABLE), EBADF);
	ck_assert_int_eq(on_read(1, EV_ENABLE), 0);
	event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_uint_eq(event.flags, EV_DISPATCH2 | EV_DELETE | EV_ONESHOT);
	ck_assert_uint_eq(told(), 0);
	close(fds[1]);
	close(kq);
}
END_TEST

/* EV_VANISHED */

#define VANISHED (EV_DISPATCH2 | EV_VANISHED | EV_ONESHOT)

START_TEST(udata_end__vanished_is_for_ev_add_with_dispatch2)
{
	const uintptr_t fd = 0;

	kq = queue();
	ck_assert_int_eq(change(kq, fd, EVFILT_READ, EV_ADD | EV_VANISHED, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(kq, fd, EVFILT_READ, EV_ADD | EV_DISPATCH | EV_VANISHED, 0, 0,
	    NULL), EINVAL);
	ck_assert_int_eq(change(kq, fd, EVFILT_READ, EV_ADD | SPECIFIC | EV_VANISHED, 0, 0,
	    NULL), EINVAL);
	ck_assert_int_eq(change(kq, fd, EVFILT_READ, EV_ENABLE | EV_DISPATCH2 | EV_VANISHED, 0, 0,
	    NULL), EINVAL);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_DISPATCH2 | EV_VANISHED, 0, 0,
	    NULL), 0);
	close(kq);
}
END_TEST

static void
close_by_close(int fd)
{
	close(fd);
}

static void
close_by_dup2(int fd)
{
	dup2(fds[1], fd);
}

/* The last event comes once; being enabled, or deleted, ends it. */
static void
check_vanished(void (*closes)(int), bool waits)
{
	struct waiter w;

	start(PAIR_UNIX);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_DISPATCH), 0);
	ck_assert_int_eq(on_read(2, EV_ADD), 0);
	if (waits)
		waiter_start(&w, kq, -1);
	closes(fds[0]);
	if (waits) {
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_uint_eq(w.event.ident, (uintptr_t)fds[0]);
		ck_assert_int_eq(w.event.filter, EVFILT_READ);
		ck_assert_uint_eq(w.event.flags, VANISHED);
		ck_assert_ptr_eq(w.event.udata, TAG(0));
	} else {
		ck_assert(readable(kq, 0));
		ck_assert_uint_eq(last_event(0).flags, VANISHED);
	}
	ck_assert_uint_eq(told(), 0);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(on_read(0, EV_DELETE), EINPROGRESS);
	ck_assert_int_eq(on_read(0, EV_ENABLE), 0);
	ck_assert_uint_eq(last_event(0).flags, EV_DISPATCH2 | EV_DELETE | EV_ONESHOT);
	ck_assert_int_ne(on_read(0, EV_ENABLE), 0);
	ck_assert_uint_eq(told(), 0);
	close(fds[0]);
	close(fds[1]);
	close(kq);
}

START_TEST(udata_end__vanished_tells_of_close)
{
	check_vanished(close_by_close, false);
	check_vanished(close_by_close, true);
}
END_TEST

START_TEST(udata_end__vanished_tells_of_dup2)
{
	check_vanished(close_by_dup2, false);
	check_vanished(close_by_dup2, true);
}
END_TEST

START_TEST(udata_end__vanished_of_vnode_and_write)
{
	char path[256];
	unsigned flags = 0;
	struct kevent events[4];
	int n;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	fds[0] = fds[1] = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	kq = queue();
	ck_assert_int_eq(on(EVFILT_WRITE, 0, EV_ADD | EV_DISPATCH | EV_VANISHED | EV_DISABLE), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_VNODE,
	    EV_ADD | EV_DISPATCH2 | EV_VANISHED, NOTE_WRITE, 0, TAG(2)), 0);
	close(fds[0]);
	n = collect(kq, events, 4, 0);
	ck_assert_int_eq(n, 2);		/* the disabled one waits */
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(events[i].flags, VANISHED);
		flags |= 1u << -events[i].filter;
	}
	ck_assert_uint_eq(flags, 1u << -EVFILT_READ | 1u << -EVFILT_VNODE);
	ck_assert_int_eq(on(EVFILT_WRITE, 0, EV_ENABLE), 0);
	ck_assert_uint_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE).flags, VANISHED);
	ck_assert_int_eq(on(EVFILT_WRITE, 0, EV_DELETE | EV_ENABLE), 0);
	ck_assert_int_eq(on(EVFILT_WRITE, 0, EV_DELETE | EV_ENABLE), EBADF);
	close(kq);
}
END_TEST

/* The number is another descriptor's: what was there before tells its end and no more. */
START_TEST(udata_end__vanished_is_not_the_next_owner)
{
	int other[2], fd;

	for (int collected = 0; collected < 2; collected++) {
		start(PAIR_PIPE);
		pair(PAIR_PIPE, other);
		fd = fds[0];
		ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
		close(fd);
		if (collected)
			ck_assert_uint_eq(last_event(0).flags, VANISHED);
		ck_assert_int_eq(dup2(other[0], fd), fd);
		put(other[1], 1);
		ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
		if (!collected)
			ck_assert_uint_eq(last_event(0).flags & EV_VANISHED, EV_VANISHED);
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_READ).flags, EV_DISPATCH2);
		/* Nothing but the new one is left. */
		ck_assert_int_eq(on_read(0, EV_DELETE | EV_ENABLE), 0);
		ck_assert_int_eq(on_read(0, EV_DELETE | EV_ENABLE), ENOENT);
		ck_assert_uint_eq(told(), 0);
		close_pair(other);
		stop();
	}
}
END_TEST

START_TEST(udata_end__vanished_in_several_queues)
{
	int kqs[3];

	pair(PAIR_PIPE, fds);
	for (int i = 0; i < 3; i++) {
		kq = kqs[i] = queue();
		ck_assert_int_eq(on_read(i, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
	}
	close(fds[0]);
	for (int i = 0; i < 3; i++) {
		kq = kqs[i];
		ck_assert(readable(kq, 0));
		ck_assert_uint_eq(last_event(i).flags, VANISHED);
		ck_assert_uint_eq(told(), 0);
		ck_assert(!readable(kq, 0));
		close(kq);
	}
	close(fds[1]);
}
END_TEST

static void
fork_and_close(bool shares)
{
	pid_t pid = shares ? vfork() : fork();

	if (pid == 0) {
		close(fds[0]);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(udata_end__vanished_not_by_a_child)
{
	for (int shares = 0; shares < 2; shares++) {
		start(PAIR_PIPE);
		ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
		fork_and_close(shares);
		no_event(kq);
		put(fds[1], 1);
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fds[0], EVFILT_READ).flags,
		    EV_DISPATCH2);
		stop();
	}
}
END_TEST

/* Each number's end is told, and nothing is left of a thousand of them. */
START_TEST(udata_end__vanished_again_and_again)
{
	start(PAIR_PIPE);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
		ck_assert_int_eq(dup2(fds[1], fds[0]), fds[0]);
		if (i % 2 == 0)
			ck_assert_uint_eq(last_event(0).flags, VANISHED);
	}
	while (collect(kq, &(struct kevent){ 0 }, 1, 0) > 0)
		;
	ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), 0);
	ck_assert_int_eq(on_read(0, EV_DELETE), ENOENT);
	stop();
}
END_TEST

/* Threads handle and close; every descriptor's end is told to exactly one of them. */
#define ROUNDS 300

static void *
handle(void *arg)
{
	int *ends = arg;
	struct kevent event;

	while (__atomic_load_n(ends, __ATOMIC_SEQ_CST) < ROUNDS)
		if (collect(kq, &event, 1, 20) == 1 && (event.flags & EV_VANISHED) != 0)
			__atomic_fetch_add(ends, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

START_TEST(udata_end__vanished_goes_to_one_thread)
{
	pthread_t thread[3];
	int ends = 0;

	kq = queue();
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, handle, &ends);
	for (int i = 0; i < ROUNDS; i++) {
		pair(PAIR_PIPE, fds);
		ck_assert_int_eq(on_read(0, EV_ADD | EV_DISPATCH | EV_VANISHED), 0);
		ck_assert_int_eq(on_read(1, EV_ADD), 0);
		close_pair(fds);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	ck_assert_int_eq(ends, ROUNDS);
	close(kq);
}
END_TEST

HARNESS_MAIN("udata_end",
    udata_end__dispatch2_delete_waits_for_enable, udata_end__dispatch2_delete_at_once,
    udata_end__dispatch2_of_filters_without_descriptors,
    udata_end__dispatch2_oneshot_ends_when_enabled, udata_end__dispatch2_closing_ends_the_deferred,
    udata_end__vanished_is_for_ev_add_with_dispatch2, udata_end__vanished_tells_of_close,
    udata_end__vanished_tells_of_dup2, udata_end__vanished_of_vnode_and_write,
    udata_end__vanished_is_not_the_next_owner, udata_end__vanished_in_several_queues,
    udata_end__vanished_not_by_a_child, udata_end__vanished_again_and_again,
    udata_end__vanished_goes_to_one_thread)
