/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EV_UDATA_SPECIFIC: (ident, filter, udata) is the key, and registrations that
 * differ in udata only are each as if alone.
 */
#include "udata.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(udata__is_part_of_the_key)
{
	kq = queue();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR | SPECIFIC, 0, 0,
		    TAG(i)), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, TAG(3)), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, SPECIFIC, NOTE_TRIGGER, 0, TAG(1)), 0);
	ck_assert_uint_eq(told(), 1u << 1);
	/* Without the flag only the one made without it is found, and udata is no key. */
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, TAG(4)), 0);
	ck_assert_uint_eq(told(), 1u << 4);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, SPECIFIC, NOTE_TRIGGER, 0, TAG(4)), ENOENT);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, TAG(0)), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, TAG(0)), ENOENT);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE | SPECIFIC, 0, 0, TAG(1)), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE | SPECIFIC, 0, 0, TAG(1)), ENOENT);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, SPECIFIC, NOTE_TRIGGER, 0, TAG(0)), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, SPECIFIC, NOTE_TRIGGER, 0, TAG(2)), 0);
	ck_assert_uint_eq(told(), 1u | 1u << 2);
	close(kq);
}
END_TEST

START_TEST(udata__flag_comes_back)
{
	struct kevent event;

	start(PAIR_PIPE);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_CLEAR | EV_DISPATCH | EV_VANISHED), 0);
	put(fds[1], 1);
	event = event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_uint_eq(event.flags, EV_CLEAR | EV_DISPATCH2);
	stop();
}
END_TEST

START_TEST(udata__timers_with_one_ident)
{
	struct kevent events[4];
	unsigned set = 0;

	kq = queue();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, 7, EVFILT_TIMER, EV_ADD | EV_ONESHOT | SPECIFIC, 0,
		    i == 1 ? 3600000 : 1 + i, TAG(i)), 0);
	while (set != 5)
		for (int i = collect(kq, events, 4, -1); i-- > 0;)
			set |= 1u << ((char *)events[i].udata - tags);
	ck_assert_int_eq(change(kq, 7, EVFILT_TIMER, EV_DELETE | SPECIFIC, 0, 0, TAG(0)), ENOENT);
	ck_assert_int_eq(change(kq, 7, EVFILT_TIMER, EV_DELETE | SPECIFIC, 0, 0, TAG(1)), 0);
	close(kq);
}
END_TEST

START_TEST(udata__signals_with_one_number)
{
	kq = queue();
	signal(SIGUSR1, SIG_IGN);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ADD | SPECIFIC, 0, 0,
		    TAG(i)), 0);
	kill(getpid(), SIGUSR1);
	ck_assert_uint_eq(told(), 7);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_DELETE | SPECIFIC, 0, 0, TAG(1)), 0);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_DISABLE | SPECIFIC, 0, 0, TAG(2)), 0);
	kill(getpid(), SIGUSR1);
	ck_assert_uint_eq(told(), 1);
	ck_assert_int_eq(change(kq, SIGUSR1, EVFILT_SIGNAL, EV_ENABLE | SPECIFIC, 0, 0, TAG(2)), 0);
	ck_assert_uint_eq(told(), 4);
	close(kq);
}
END_TEST

START_TEST(udata__processes_with_one_pid)
{
	unsigned set = 0;
	int status, gate[2];
	pid_t pid;

	ck_assert_int_eq(pipe(gate), 0);
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		_exit((int)read(gate[0], &status, 1) + 3);
	}
	kq = queue();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_ADD | SPECIFIC,
		    NOTE_EXIT, 0, TAG(i)), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)pid, EVFILT_PROC, EV_DELETE | SPECIFIC, 0, 0,
	    TAG(1)), 0);
	close_pair(gate);
	while (set != 5)
		set |= told();
	waitpid(pid, &status, 0);
	ck_assert_uint_eq(told(), 0);
	close(kq);
}
END_TEST

START_TEST(udata__vnodes_of_one_descriptor)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	kq = queue();
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR | SPECIFIC,
	    NOTE_WRITE, 0, TAG(0)), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR | SPECIFIC,
	    NOTE_ATTRIB, 0, TAG(1)), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR | SPECIFIC,
	    NOTE_WRITE, 0, TAG(2)), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(), 5);
	fchmod(fd, 0644);
	ck_assert_uint_eq(told(), 2);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_DELETE | SPECIFIC, 0, 0,
	    TAG(0)), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(), 4);
	close(fd);
	close(kq);
}
END_TEST

START_TEST(udata__readers_of_a_regular_file)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	fd = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	fds[0] = fd;
	kq = queue();
	ck_assert_int_eq(on_read(0, EV_ADD), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_CLEAR), 0);
	ck_assert_uint_eq(told(), 0);
	put(fd, 3);
	lseek(fd, 0, SEEK_SET);
	ck_assert_uint_eq(told(), 3);
	ck_assert_uint_eq(told(), 1);
	close(fd);
	ck_assert_uint_eq(told(), 0);
	close(kq);
}
END_TEST

/* Modes of one direction of one descriptor. */

enum { LEVEL, CLEAR, ONESHOT, DISPATCH, DISABLED, MODES };
static const unsigned mode_flags[MODES] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_DISABLE };
#define ALL ((1u << MODES) - 1)

/* Each mode is told by its own rules, in whatever order they were registered. */
static void
check_modes(int rotation, bool before)
{
	if (before)
		pass(fds[1], fds[0], 3);
	for (int i = 0; i < MODES; i++) {
		int m = (i + rotation) % MODES;

		ck_assert_int_eq(on_read(m, EV_ADD | mode_flags[m]), 0);
	}
	if (!before) {
		ck_assert_uint_eq(told(), 0);
		pass(fds[1], fds[0], 3);
	}
	ck_assert_uint_eq(told(), ALL & ~(1u << DISABLED));
	ck_assert_uint_eq(told(), 1u << LEVEL);
	ck_assert_uint_eq(told(), 1u << LEVEL);
	pass(fds[1], fds[0], 3);	/* news, with old data unread */
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << CLEAR);
	ck_assert_int_eq(on_read(DISPATCH, EV_ENABLE), 0);
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << DISPATCH);
	ck_assert_int_eq(on_read(CLEAR, EV_ADD), 0);
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << CLEAR);
	ck_assert_int_eq(on_read(DISABLED, EV_ENABLE), 0);
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << DISABLED);
	ck_assert_int_eq(on_read(ONESHOT, EV_DELETE), ENOENT);
	get(fds[0], 6);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	pass(fds[1], fds[0], 1);
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << CLEAR | 1u << DISABLED);
	ck_assert_int_eq(on_read(LEVEL, EV_DELETE), 0);
	ck_assert_int_eq(on_read(DISABLED, EV_DELETE), 0);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	pass(fds[1], fds[0], 1);
	ck_assert_uint_eq(told(), 1u << CLEAR);
}

START_TEST(udata__modes_of_one_direction)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_PIPE };

	for (size_t k = 0; k < 3; k++)
		for (int i = 0; i < 2 * MODES; i++) {
			start(kinds[k]);
			check_modes(i % MODES, i >= MODES);
			stop();
		}
}
END_TEST

START_TEST(udata__writers_of_one_descriptor)
{
	start(PAIR_UNIX);
	for (int m = 0; m < MODES; m++)
		ck_assert_int_eq(on(EVFILT_WRITE, m, EV_ADD | mode_flags[m]), 0);
	ck_assert_uint_eq(told(), ALL & ~(1u << DISABLED));
	ck_assert_uint_eq(told(), 1u << LEVEL);
	fill(fds[1]);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	drain(fds[0]);
	ck_assert_uint_eq(told(), 1u << LEVEL | 1u << CLEAR);
	ck_assert_uint_eq(told(), 1u << LEVEL);
	stop();
}
END_TEST

/* Several of each direction on one socket: neither is told of the other's news. */
START_TEST(udata__reads_and_writes_do_not_mix)
{
	int s[2];

	pair(PAIR_UNIX, s);
	kq = queue();
	fds[0] = fds[1] = s[0];
	ck_assert_int_eq(on(EVFILT_READ, 0, EV_ADD | EV_CLEAR), 0);
	ck_assert_int_eq(on(EVFILT_WRITE, 4, EV_ADD), 0);
	ck_assert_int_eq(on(EVFILT_READ, 1, EV_ADD), 0);
	ck_assert_int_eq(on(EVFILT_WRITE, 5, EV_ADD | EV_CLEAR), 0);
	ck_assert_uint_eq(told(), 1u << 4 | 1u << 5);
	ck_assert_uint_eq(told(), 1u << 4);
	put(s[1], 1);
	ck_assert_uint_eq(told(), 1u << 4 | 3u);
	ck_assert_uint_eq(told(), 1u << 4 | 2u);
	ck_assert_int_eq(on(EVFILT_WRITE, 4, EV_DELETE), 0);
	ck_assert_uint_eq(told(), 2u);
	fill(s[0]);
	drain(s[1]);
	ck_assert_uint_eq(told(), 1u << 5 | 2u);
	ck_assert_uint_eq(told(), 2u);
	close_pair(s);
	ck_assert_uint_eq(told(), 0);
	close(kq);
}
END_TEST

START_TEST(udata__all_disabled_is_not_readable)
{
	start(PAIR_PIPE);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(on_read(i, EV_ADD | EV_CLEAR * (i == 1)), 0);
	put(fds[1], 1);
	ck_assert_uint_eq(told(), 7);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(on_read(i, EV_DISABLE), 0);
	put(fds[1], 1);
	ck_assert(!readable(kq, 0));
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(on_read(1, EV_ENABLE), 0);
	ck_assert(readable(kq, 0));
	ck_assert_uint_eq(told(), 2);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(on_read(0, EV_ENABLE), 0);
	ck_assert_uint_eq(told(), 1);
	stop();
}
END_TEST

START_TEST(udata__eof_is_told_to_each)
{
	start(PAIR_UNIX);
	ck_assert_int_eq(on_read(0, EV_ADD), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_CLEAR), 0);
	shutdown(fds[1], SHUT_WR);
	ck_assert_uint_eq(told(), 3);
	ck_assert_uint_eq(told(), 1);
	stop();
}
END_TEST

START_TEST(udata__urgent_data_and_the_end_are_told_to_each)
{
	static const unsigned notes[] = { NOTE_OOB, NOTE_OOB, 0 };
	char byte;

	start(PAIR_TCP);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_ADD | SPECIFIC | (i == 1 ? EV_CLEAR : 0),
		    notes[i], 0, TAG(i)), 0);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(send(fds[1], "!", 1, MSG_OOB), 1);
	ck_assert(readable(kq, 10000));
	ck_assert_uint_eq(told(), 1u | 1u << 1);
	ck_assert_uint_eq(told(), 1u);
	ck_assert_int_eq(recv(fds[0], &byte, 1, MSG_OOB), 1);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
	ck_assert(readable(kq, 10000));
	ck_assert_uint_eq(told(), 1u | 1u << 1 | 1u << 2);
	ck_assert_uint_eq(told(), 1u | 1u << 2);
	stop();
}
END_TEST

START_TEST(udata__marks_differ)
{
	start(PAIR_UNIX);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | SPECIFIC, NOTE_LOWAT,
	    4, TAG(0)), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_CLEAR), 0);
	put(fds[1], 2);
	ck_assert_uint_eq(told(), 2);
	ck_assert_uint_eq(told(), 0);
	ck_assert(!readable(kq, 0));
	put(fds[1], 2);
	ck_assert_uint_eq(told(), 3);
	ck_assert_uint_eq(told(), 1);
	stop();
}
END_TEST

START_TEST(udata__one_event_of_room_serves_all)
{
	struct kevent event;
	unsigned set = 0;

	start(PAIR_PIPE);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(on_read(i, EV_ADD), 0);
	put(fds[1], 1);
	for (int i = 0; i < 12; i++) {
		ck_assert_int_eq(collect(kq, &event, 1, -1), 1);
		set |= 1u << ((char *)event.udata - tags);
	}
	ck_assert_uint_eq(set, 15);
	stop();
}
END_TEST

START_TEST(udata__nested_queue_counts_each)
{
	struct kevent event;
	int outer = queue();

	start(PAIR_PIPE);
	ck_assert_int_eq(change(outer, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(on_read(i, EV_ADD | EV_CLEAR * (i == 2)), 0);
	no_event(outer);
	put(fds[1], 1);
	event = event_of(outer, (uintptr_t)kq, EVFILT_READ);
	ck_assert_int_eq(event.data, 3);
	ck_assert_uint_eq(told(), 7);
	event = event_of(outer, (uintptr_t)kq, EVFILT_READ);
	ck_assert_int_eq(event.data, 2);
	get(fds[0], 1);
	ck_assert_uint_eq(told(), 0);
	no_event(outer);
	close(outer);
	stop();
}
END_TEST

START_TEST(udata__does_not_spin)
{
	start(PAIR_PIPE);
	for (int i = 0; i < MODES; i++)
		ck_assert_int_eq(on_read(i, EV_ADD | mode_flags[i]), 0);
	put(fds[1], 1);
	ck_assert_uint_eq(told(), ALL & ~(1u << DISABLED));
	ck_assert_int_eq(on_read(LEVEL, EV_DELETE), 0);
	close(fds[1]);
	ck_assert_uint_eq(told(), 1u << CLEAR);
	asleep(kq, 200);
	close(fds[0]);
	close(kq);
}
END_TEST

START_TEST(udata__wakes_a_waiter)
{
	struct waiter w;

	start(PAIR_PIPE);
	ck_assert_int_eq(on_read(0, EV_ADD | EV_CLEAR), 0);
	ck_assert_int_eq(on_read(1, EV_ADD | EV_DISABLE), 0);
	put(fds[1], 1);
	ck_assert_uint_eq(told(), 1);
	waiter_start(&w, kq, -1);
	ck_assert_int_eq(on_read(1, EV_ENABLE), 0);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_ptr_eq(w.event.udata, TAG(1));
	stop();
}
END_TEST

START_TEST(udata__dispatch_goes_to_one_waiter_each)
{
	struct waiter w[6];
	unsigned set = 0;

	start(PAIR_PIPE);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(on_read(i, EV_ADD | EV_DISPATCH), 0);
	for (int i = 0; i < 6; i++)
		waiter_start(&w[i], kq, 1000);
	put(fds[1], 1);
	for (int i = 0; i < 6; i++) {
		waiter_join(&w[i]);
		if (w[i].count == 0)
			continue;
		ck_assert_uint_eq(set & 1u << ((char *)w[i].event.udata - tags), 0);
		set |= 1u << ((char *)w[i].event.udata - tags);
	}
	ck_assert_uint_eq(set, 7);
	stop();
}
END_TEST

/*
 * Whatever is done, each is told what it is told alone: the same changes go to
 * one queue with all registrations and to queues that have one each.
 */
#define SIX 6

static struct {
	int	kq;		/* where it is alone */
	short	filter;
	bool	made;
} lone[SIX];

static unsigned
told_alone(void)
{
	struct kevent events[4];
	unsigned set = 0;

	for (unsigned i = 0; i < SIX; i++)
		if (collect(lone[i].kq, events, 4, 0) > 0)
			set |= 1u << i;
	return set;
}

static void
change_both(unsigned i, unsigned flags)
{
	uintptr_t ident = (uintptr_t)fds[0];
	int error = change(lone[i].kq, ident, lone[i].filter, (unsigned short)flags, 0, 0, TAG(i));

	ck_assert_int_eq(error, change(kq, ident, lone[i].filter,
	    (unsigned short)(flags | SPECIFIC), 0, 0, TAG(i)));
	lone[i].made = (flags & EV_DELETE) == 0 && (error == 0 || lone[i].made);
}

static void
do_something(unsigned what, unsigned i)
{
	char buffer[8];

	if (what < 5)
		change_both(i, lone[i].made ? EV_ADD : EV_ADD | mode_flags[what]);
	else if (what < 8)
		change_both(i, what == 5 ? EV_DELETE | EV_ENABLE : what == 6 ? EV_DISABLE : EV_ENABLE);
	else if (what < 11)
		put(fds[1], 1 + what % 2);
	else if (what == 11)
		(void)!recv(fds[0], buffer, 1, MSG_DONTWAIT);
	else if (what == 12)
		drain(fds[0]);
	else if (what == 13)
		fill(fds[0]);
	else
		drain(fds[1]);
}

START_TEST(udata__each_as_if_alone)
{
	unsigned alone, together, what, i;
	uint32_t random = 1;

	for (int round = 0; round < 60; round++) {
		start(PAIR_UNIX);
		for (i = 0; i < SIX; i++) {
			lone[i].kq = queue();
			lone[i].filter = i < 4 ? EVFILT_READ : EVFILT_WRITE;
			lone[i].made = false;
		}
		for (int step = 0; step < 100; step++) {
			random = random * 1664525 + 1013904223;
			what = (random >> 8) % 15;
			i = (random >> 16) % SIX;
			do_something(what, i);
			if (random >> 30 == 0)
				continue;
			alone = told_alone();
			together = told();
			ck_assert_msg(alone == together, "round %d step %d after %u of %u: %x, not %x",
			    round, step, what, i, together, alone);
		}
		for (i = 0; i < SIX; i++)
			close(lone[i].kq);
		stop();
	}
}
END_TEST

HARNESS_MAIN("udata",
    udata__is_part_of_the_key, udata__flag_comes_back, udata__timers_with_one_ident,
    udata__signals_with_one_number, udata__processes_with_one_pid,
    udata__vnodes_of_one_descriptor, udata__readers_of_a_regular_file,
    udata__modes_of_one_direction, udata__writers_of_one_descriptor,
    udata__reads_and_writes_do_not_mix, udata__all_disabled_is_not_readable,
    udata__eof_is_told_to_each, udata__urgent_data_and_the_end_are_told_to_each,
    udata__marks_differ, udata__one_event_of_room_serves_all,
    udata__nested_queue_counts_each, udata__does_not_spin, udata__wakes_a_waiter,
    udata__dispatch_goes_to_one_waiter_each, udata__each_as_if_alone)
