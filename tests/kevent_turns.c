/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the ready registrations one call returns: each once, as many as
 * there is room for, all of them in turn.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
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

START_TEST(kevent_turns__each_registration_is_returned_once_a_call)
{
	int kq = queue(), fds[2];
	struct kevent events[16];

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	add(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_CLEAR);
	add(kq, 1, EVFILT_USER, 0);
	trigger(kq, 1);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(collect(kq, events, 16, 0), i == 0 ? 4 : 3);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_turns__ten_thousand_user_events_in_one_call)
{
	enum { N = 10000 };
	struct kevent *events = calloc(N, sizeof(*events));
	char *seen = calloc(N, 1);
	int kq = queue();

	for (uintptr_t i = 0; i < N; i++)
		EV_SET(&events[i], i, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL);
	ck_assert_int_eq(kevent(kq, events, N, NULL, 0, NULL), 0);
	ck_assert_int_eq(collect(kq, events, N, 0), N);
	for (int i = 0; i < N; i++) {
		ck_assert_uint_lt(events[i].ident, N);
		ck_assert_int_eq(seen[events[i].ident]++, 0);
	}
	no_event(kq);
	free(events);
	free(seen);
	close(kq);
}
END_TEST

/* Allows as many descriptors as the system does. */
static void
raise_limit(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* As many as the limit of descriptors allows, up to 10,000: duplicates of one readable socket. */
START_TEST(kevent_turns__ten_thousand_descriptors_in_one_call)
{
	int kq, fds[2], n = 0, *dups = calloc(10000, sizeof(*dups));
	struct kevent *events = calloc(10000, sizeof(*events));

	raise_limit();
	kq = queue();
	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	while (n < 10000 && (dups[n] = dup(fds[0])) != -1) {
		EV_SET(&events[n], (uintptr_t)dups[n], EVFILT_READ, EV_ADD, 0, 0, NULL);
		n++;
	}
	ck_assert_int_gt(n, 200);
	ck_assert_int_eq(kevent(kq, events, n, NULL, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(collect(kq, events, n, 0), n);
	while (n > 0)
		ck_assert_int_eq(close(dups[--n]), 0);
	free(dups);
	free(events);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_turns__what_does_not_fit_is_kept)
{
	int kq = queue(), seen[100] = { 0 }, total = 0, n;
	struct kevent events[7];

	for (uintptr_t i = 0; i < 100; i++) {
		add(kq, i, EVFILT_USER, EV_CLEAR);
		trigger(kq, i);
	}
	for (int call = 0; call < 15; call++) {
		n = collect(kq, events, 7, 0);
		ck_assert_int_eq(n, call < 14 ? 7 : 2);
		for (int i = 0; i < n; i++)
			ck_assert_int_eq(seen[events[i].ident]++, 0);
		total += n;
	}
	ck_assert_int_eq(total, 100);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(kevent_turns__one_shot_descriptors_that_do_not_fit_are_kept)
{
	int kq = queue(), fds[2], dups[50];
	struct kevent events[7];

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_ge(dups[i] = dup(fds[0]), 0);
		add(kq, (uintptr_t)dups[i], EVFILT_READ, i % 2 == 0 ? EV_ONESHOT : EV_CLEAR);
	}
	for (int call = 0; call < 8; call++)
		ck_assert_int_eq(collect(kq, events, 7, 0), call < 7 ? 7 : 1);
	no_event(kq);
	for (int i = 0; i < 50; i++)
		close(dups[i]);
	close_pair(fds);
	close(kq);
}
END_TEST

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

/* The array is full to the last entry though every descriptor has two events. */
START_TEST(kevent_turns__both_filters_of_thousands_of_descriptors_in_one_call)
{
	int kq, fds[2], n = 0, *dups = calloc(5000, sizeof(*dups));
	struct kevent *events = calloc(10000, sizeof(*events));

	raise_limit();
	kq = queue();
	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	while (n < 5000 && (dups[n] = dup(fds[0])) != -1) {
		EV_SET(&events[2 * n], (uintptr_t)dups[n], EVFILT_READ, EV_ADD, 0, 0, NULL);
		EV_SET(&events[2 * n + 1], (uintptr_t)dups[n], EVFILT_WRITE, EV_ADD, 0, 0, NULL);
		n++;
	}
	ck_assert_int_eq(kevent(kq, events, 2 * n, NULL, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(collect(kq, events, 2 * n, 0), 2 * n);
	while (n > 0)
		ck_assert_int_eq(close(dups[--n]), 0);
	free(dups);
	free(events);
	close_pair(fds);
	close(kq);
}
END_TEST

/* Events of every sort that fit exactly come in one call. */
START_TEST(kevent_turns__events_of_all_sorts_that_fit_come_at_once)
{
	int fds[2], other[2], file;

	pair(PAIR_UNIX, fds);
	pair(PAIR_TCP, other);
	pass(fds[1], fds[0], 1);
	pass(other[1], other[0], 1);
	ck_assert_int_ge(file = open("/dev/null", O_RDWR), 0);
	for (int i = 0; i < 10; i++) {
		unsigned short flags = i % 2 == 0 ? EV_CLEAR : 0;
		struct kevent events[9];
		int kq = queue();

		add(kq, (uintptr_t)fds[0], EVFILT_READ, flags);
		add(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_CLEAR);
		add(kq, (uintptr_t)other[0], EVFILT_READ, EV_ONESHOT);
		add(kq, (uintptr_t)other[0], EVFILT_WRITE, flags);
		add(kq, (uintptr_t)file, EVFILT_READ, flags);
		add(kq, (uintptr_t)file, EVFILT_WRITE, flags);
		ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
		for (uintptr_t u = 0; u < 2; u++) {
			add(kq, u, EVFILT_USER, flags);
			trigger(kq, u);
		}
		nap(5);
		ck_assert_int_eq(collect(kq, events, 9, 0), 9);
		close(kq);
	}
	close(file);
	close_pair(fds);
	close_pair(other);
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

/* A timer with the shortest period is ready again as soon as it was delivered. */
START_TEST(kevent_turns__what_is_ready_again_at_once_comes_once_in_a_call)
{
	enum { TIMERS = 200 };
	static struct kevent events[3 * TIMERS];
	int kq = queue();

	for (uintptr_t i = 0; i < TIMERS; i++)
		ck_assert_int_eq(change(kq, i, EVFILT_TIMER, EV_ADD, NOTE_NSECONDS, 1, NULL), 0);
	for (int i = 0; i < 500; i++) {
		int n = collect(kq, events, 3 * TIMERS, 0), seen[TIMERS] = { 0 };

		for (int j = 0; j < n; j++)
			ck_assert_int_eq(seen[events[j].ident]++, 0);
	}
	close(kq);
}
END_TEST

/* A timer's report is no event, and what was ready may be so no longer: neither takes another's room. */
START_TEST(kevent_turns__no_room_is_kept_in_vain)
{
	int kq = queue(), fds[2];
	struct kevent events[3];

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
	ck_assert(readable(kq, 1000));
	nap(20);
	ck_assert_int_eq(collect(kq, events, 3, 0), 3);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_turns__a_date_leaves_room_for_a_descriptor)
{
	int kq = queue(), fds[2];
	struct kevent events[2];

	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME, 0, NULL), 0);
	add(kq, (uintptr_t)fds[0], EVFILT_READ, 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(collect(kq, events, 2, 0), 2);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent_turns__a_file_that_was_read_leaves_room_for_others)
{
	int kq = queue(), fds[2], file;
	struct kevent events[2];
	char path[300];

	snprintf(path, sizeof(path), "%s/f", scratch_dir());
	file = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(ftruncate(file, 5), 0);
	pair(PAIR_UNIX, fds);
	add(kq, (uintptr_t)file, EVFILT_READ, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	add(kq, (uintptr_t)fds[1], EVFILT_WRITE, 0);
	get(file, 5);
	ck_assert_int_eq(collect(kq, events, 2, 0), 2);
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

static int
empty_file(const char *name)
{
	char path[300];
	int file;

	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	return file;
}

/* What a source tells of only when the room that was kept in vain is given away, comes in the same call. */
START_TEST(kevent_turns__what_is_told_late_comes_in_the_same_call)
{
	int kq = queue(), fds[2], file = empty_file("f");
	struct kevent events[3];

	pair(PAIR_UNIX, fds);
	add(kq, (uintptr_t)file, EVFILT_READ, 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), 0);
	add(kq, 1, EVFILT_USER, 0);
	for (int i = 0; i < 10; i++) {
		trigger(kq, 1);
		put(file, 1);
		ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
		add(kq, (uintptr_t)file, EVFILT_READ, 0);	/* which looks: it is ready ... */
		get(file, (size_t)i + 1);			/* ... and is no longer */
		ck_assert_int_eq(collect(kq, events, 3, 0), 3);
	}
	close_pair(fds);
	close(file);
	close(kq);
}
END_TEST

/* But what was told before in the call does not, though its source tells of it again. */
START_TEST(kevent_turns__what_is_told_late_does_not_come_twice)
{
	int kq = queue(), fds[2], file = empty_file("f"), other = empty_file("g");
	struct kevent events[4];

	pair(PAIR_UNIX, fds);
	add(kq, (uintptr_t)file, EVFILT_READ, 0);
	add(kq, (uintptr_t)other, EVFILT_READ, EV_CLEAR);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, 0);
	for (int i = 0; i < 10; i++) {
		put(file, 1);
		put(other, 1);
		ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
		ck_assert_int_eq(lseek(other, 0, SEEK_SET), 0);
		add(kq, (uintptr_t)file, EVFILT_READ, 0);
		add(kq, (uintptr_t)other, EVFILT_READ, 0);
		get(file, (size_t)i + 1);
		ck_assert_int_eq(collect(kq, events, 3, 0), 2);
		ck_assert_int_eq(events[0].filter, EVFILT_WRITE);
		ck_assert_int_eq(events[1].filter, EVFILT_READ);
		ck_assert_int_eq(lseek(other, 0, SEEK_END), i + 1);
	}
	close_pair(fds);
	close(file);
	close(other);
	close(kq);
}
END_TEST

/* To count what is ready in a queue may ring its bell, which is news to the queue that watches it. */
START_TEST(kevent_turns__a_queue_that_is_counted_comes_once_in_a_call)
{
	int kq = queue(), inner = queue(), outer = queue(), fds[2];
	struct kevent events[6], kev;

	pair(PAIR_UNIX, fds);
	add(outer, (uintptr_t)kq, EVFILT_READ, 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_ABSTIME, 0, NULL), 0);
	add(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_CLEAR);
	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
	add(inner, (uintptr_t)fds[1], EVFILT_WRITE, EV_CLEAR);
	ck_assert_int_eq(collect(kq, events, 6, 0), 3);
	EV_SET(&kev, (uintptr_t)inner, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL);
	ck_assert_int_eq(kevent(kq, &kev, 1, events, 3, &(struct timespec){ .tv_sec = 0 }), 2);
	ck_assert_uint_ne(events[0].ident, events[1].ident);
	close_pair(fds);
	close(outer);
	close(inner);
	close(kq);
}
END_TEST

/* The bell is a report, too, which room was left for, and which needs none. */
START_TEST(kevent_turns__what_fits_beside_a_bell_comes_at_once)
{
	struct kevent events[6];
	int kq = queue(), fds[2][2];

	for (int i = 0; i < 2; i++) {
		pair(PAIR_UNIX, fds[i]);
		pass(fds[i][1], fds[i][0], 1);
		add(kq, (uintptr_t)fds[i][0], EVFILT_READ, 0);
		add(kq, (uintptr_t)fds[i][0], EVFILT_WRITE, 0);
	}
	for (uintptr_t ident = 1; ident <= 2; ident++) {
		add(kq, ident, EVFILT_USER, 0);
		trigger(kq, ident);
	}
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(collect(kq, events, 6, 0), 6);
	for (int i = 0; i < 2; i++)
		close_pair(fds[i]);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent_turns",
    kevent_turns__what_fits_beside_a_bell_comes_at_once,
    kevent_turns__no_room_is_kept_in_vain,
    kevent_turns__a_date_leaves_room_for_a_descriptor,
    kevent_turns__a_file_that_was_read_leaves_room_for_others,
    kevent_turns__what_is_told_late_comes_in_the_same_call,
    kevent_turns__what_is_told_late_does_not_come_twice,
    kevent_turns__a_queue_that_is_counted_comes_once_in_a_call,
    kevent_turns__no_mix_of_filters_starves_one,
    kevent_turns__what_is_ready_again_at_once_comes_once_in_a_call,
    kevent_turns__each_registration_is_returned_once_a_call,
    kevent_turns__ten_thousand_user_events_in_one_call,
    kevent_turns__ten_thousand_descriptors_in_one_call,
    kevent_turns__what_does_not_fit_is_kept,
    kevent_turns__one_shot_descriptors_that_do_not_fit_are_kept,
    kevent_turns__ready_registrations_take_turns_with_room_for_5,
    kevent_turns__ready_registrations_take_turns_with_room_for_1,
    kevent_turns__both_filters_of_thousands_of_descriptors_in_one_call,
    kevent_turns__events_of_all_sorts_that_fit_come_at_once,
    kevent_turns__both_filters_of_a_descriptor_take_turns,
    kevent_turns__two_filters_of_one_leave_room_for_another,
    kevent_turns__nothing_does_not_hide_an_event)
