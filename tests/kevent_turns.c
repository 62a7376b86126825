/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the ready registrations one call returns if there is not room for all: they take turns, and none
 * starves.  How many it returns is in kevent_room.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void
add(int kq, uintptr_t ident, short filter, unsigned short flags)
{
	ck_assert_int_eq(change(kq, ident, filter, EV_ADD | flags, 0, 0, NULL), 0);
}

static void
trigger(int kq, uintptr_t ident)
{
	ck_assert_int_eq(change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

/*
 * 64 level-triggered descriptors, a level-triggered user event, a regular
 * file, an expired timer and a periodic one: 68 in all, and room for `room`.
 * Nobody waits for more than about two rounds of the others.
 */
static void
take_turns(int room)
{
	int kq, fds[2], dups[64], file, calls = 3 * (68 / room + 1), seen[68] = { 0 };
	struct kevent events[5];
	char path[128];

	kq = queue();
	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	for (int i = 0; i < 64; i++) {
		ck_assert_int_ge(dups[i] = dup(fds[0]), 0);
		ck_assert_int_eq(change(kq, (uintptr_t)dups[i], EVFILT_READ, EV_ADD, 0, 0, &seen[i]), 0);
	}
	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(pwrite(file, "x", 1, 0), 1);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_READ, EV_ADD, 0, 0, &seen[64]), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, &seen[65]), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_KEEPUDATA, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, &seen[66]), 0);
	ck_assert_int_eq(change(kq, 2, EVFILT_TIMER, EV_ADD, 0, 1, &seen[67]), 0);
	nap(20);
	for (int call = 0; call < calls; call++) {
		int n = collect(kq, events, room, 0);

		ck_assert_int_eq(n, room);
		for (int i = 0; i < n; i++)
			++*(int *)events[i].udata;
	}
	for (int i = 0; i < 68; i++)
		ck_assert_msg(seen[i] > 0, "%s %d was starved in %d calls with room for %d",
		    i < 64 ? "descriptor" : i == 64 ? "file" : i == 65 ? "user event" : "timer",
		    i, calls, room);
	ck_assert_int_eq(seen[66], 1);
	for (int i = 0; i < 64; i++)
		close(dups[i]);
	close(file);
	close_pair(fds);
	close(kq);
}

START_TEST(kevent_turns__ready_registrations_take_turns_with_room_for_5)
{
	take_turns(5);
}
END_TEST

START_TEST(kevent_turns__ready_registrations_take_turns_with_room_for_1)
{
	take_turns(1);
}
END_TEST

START_TEST(kevent_turns__both_filters_of_a_descriptor_take_turns)
{
	static const enum pair kinds[] = { PAIR_UNIX, PAIR_TCP };

	for (int i = 0; i < 2; i++) {
		int kq = queue(), fds[2], reads = 0;

		pair(kinds[i], fds);
		pass(fds[1], fds[0], 1);
		add(kq, (uintptr_t)fds[0], EVFILT_READ, 0);
		add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
		for (int call = 0; call < 20; call++) {
			struct kevent event;

			ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
			reads += event.filter == EVFILT_READ;
		}
		ck_assert_int_gt(reads, 0);
		ck_assert_int_lt(reads, 20);
		close_pair(fds);
		close(kq);
	}
}
END_TEST

/* A descriptor with two events must not take the room of the next one, every time. */
START_TEST(kevent_turns__two_filters_of_one_leave_room_for_another)
{
	int kq = queue(), fds[2], other[2], seen = 0;
	struct kevent events[2];

	pair(PAIR_UNIX, fds);
	pair(PAIR_UNIX, other);
	pass(fds[1], fds[0], 1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	add(kq, (uintptr_t)other[0], EVFILT_WRITE, 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(collect(kq, events, 2, 0), 2);
		seen += events[0].ident == (uintptr_t)other[0] || events[1].ident == (uintptr_t)other[0];
	}
	ck_assert_int_ge(seen, 1);
	close_pair(fds);
	close_pair(other);
	close(kq);
}
END_TEST

/*
 * With room for one event, what turns out to be nothing must not stand in the
 * way of what is something: a withdrawn trigger, bytes below a mark, bytes
 * that were read already.
 */
START_TEST(kevent_turns__nothing_does_not_hide_an_event)
{
	int kq = queue(), below[2], gone[2], ready[2];
	struct kevent event;

	pair(PAIR_UNIX, below);
	pair(PAIR_UNIX, gone);
	pair(PAIR_UNIX, ready);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)below[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, NULL), 0);
		add(kq, (uintptr_t)gone[0], EVFILT_READ, EV_CLEAR);
		add(kq, 1, EVFILT_USER, 0);
		trigger(kq, 1);
		put(gone[1], 1);
		get(gone[0], 1);
		put(below[1], 1);
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
		add(kq, (uintptr_t)ready[0], EVFILT_READ, EV_CLEAR);
		put(ready[1], 1);
		ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
		ck_assert_uint_eq(event.ident, (uintptr_t)ready[0]);
	}
	close_pair(below);
	close_pair(gone);
	close_pair(ready);
	close(kq);
}
END_TEST

/* One of a mix: level-triggered and always ready, so it must come again and again. */
struct mixed {
	uintptr_t	ident;
	short		filter;
	unsigned short	flags;
	unsigned int	fflags;
	int64_t		data;
	int		seen;
};

/*
 * Every filter and every way to be watched at once: READ beside a WRITE that is
 * level-triggered, edge-triggered or one-shot (which takes a second lane),
 * EXCEPT, several of one direction, files, a nested queue, a date, a user event.
 */
static void
mix_takes_turns(int room)
{
	enum { PAIRS = 8, MOST = PAIRS * 8 + 8 };
	static const unsigned short beside[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	struct mixed mix[MOST];
	int kq = queue(), inner = queue(), fds[PAIRS][2], file, null, n = 0, calls;
	struct kevent events[8];
	char path[128];

	snprintf(path, sizeof(path), "%s/file", scratch_dir());
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_ge(null = open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(pwrite(file, "x", 1, 0), 1);
	add(inner, 1, EVFILT_USER, 0);
	trigger(inner, 1);
	for (int i = 0; i < PAIRS; i++) {
		uintptr_t fd;

		pair(PAIR_TCP, fds[i]);
		pass(fds[i][1], fds[i][0], 1);
		ck_assert_int_eq(send(fds[i][1], "!", 1, MSG_OOB), 1);
		fd = (uintptr_t)fds[i][0];
		mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_READ };
		if (beside[i % 4] == 0)
			mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_WRITE };
		else
			add(kq, fd, EVFILT_WRITE, beside[i % 4]);
		mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_EXCEPT, .fflags = NOTE_OOB };
		mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_EMPTY };
		fd = (uintptr_t)fds[i][1];
		mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_WRITE, .flags = EV_UDATA_SPECIFIC };
		mix[n++] = (struct mixed){ .ident = fd, .filter = EVFILT_WRITE, .flags = EV_UDATA_SPECIFIC };
	}
	mix[n++] = (struct mixed){ .ident = (uintptr_t)file, .filter = EVFILT_READ };
	mix[n++] = (struct mixed){ .ident = (uintptr_t)file, .filter = EVFILT_WRITE };
	mix[n++] = (struct mixed){ .ident = (uintptr_t)file, .filter = EVFILT_VNODE, .fflags = NOTE_ATTRIB };
	mix[n++] = (struct mixed){ .ident = (uintptr_t)null, .filter = EVFILT_READ };
	mix[n++] = (struct mixed){ .ident = (uintptr_t)inner, .filter = EVFILT_READ };
	mix[n++] = (struct mixed){ .ident = 1, .filter = EVFILT_TIMER, .fflags = NOTE_ABSTIME | NOTE_SECONDS, .data = 1 };
	mix[n++] = (struct mixed){ .ident = 1, .filter = EVFILT_USER, .fflags = NOTE_TRIGGER };
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(change(kq, mix[i].ident, mix[i].filter, EV_ADD | mix[i].flags, mix[i].fflags,
		    mix[i].data, &mix[i].seen), 0);
	ck_assert_int_eq(fchmod(file, 0640), 0);
	/* Half of the room is for what the library's own sources tell, so twice a fair share will do. */
	calls = 4 * (n / room + 1);
	for (int call = 0; call < calls; call++) {
		int got = collect(kq, events, room, 10000);

		ck_assert_int_gt(got, 0);
		for (int i = 0; i < got; i++) {
			if (events[i].udata == NULL)
				continue;	/* a WRITE that comes once */
			for (int j = 0; j < i; j++)
				ck_assert_ptr_ne(events[j].udata, events[i].udata);
			++*(int *)events[i].udata;
		}
	}
	for (int i = 0; i < n; i++)
		ck_assert_msg(mix[i].seen > 0, "(%ju, %d) was starved in %d calls with room for %d",
		    (uintmax_t)mix[i].ident, mix[i].filter, calls, room);
	for (int i = 0; i < PAIRS; i++)
		close_pair(fds[i]);
	close(file);
	close(null);
	close(inner);
	close(kq);
}

START_TEST(kevent_turns__no_mix_of_filters_starves_one)
{
	for (int room = 1; room <= 8; room++)
		mix_takes_turns(room);
}
END_TEST

HARNESS_MAIN("kevent_turns",
    kevent_turns__ready_registrations_take_turns_with_room_for_5,
    kevent_turns__ready_registrations_take_turns_with_room_for_1,
    kevent_turns__both_filters_of_a_descriptor_take_turns,
    kevent_turns__two_filters_of_one_leave_room_for_another,
    kevent_turns__nothing_does_not_hide_an_event,
    kevent_turns__no_mix_of_filters_starves_one)
