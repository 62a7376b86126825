/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many of the ready registrations one call returns: each once, and as many as there is room for.  What does
 * not fit is kept; how it takes turns is in kevent_turns.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
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

START_TEST(kevent_room__each_registration_is_returned_once_a_call)
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

START_TEST(kevent_room__ten_thousand_user_events_in_one_call)
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

/*
 * As many descriptors as the limit allows, up to 10,000 registrations: duplicates of one socket, which is
 * always ready for each of n filters.  The array is full to its last entry.
 */
static void
thousands_in_one_call(const short *filters, int n)
{
	enum { MOST = 10000 };
	int kq, fds[2], fd, *dups = calloc(MOST, sizeof(*dups)), ndups = 0, total = 0;
	struct kevent *events = calloc(MOST, sizeof(*events));

	raise_limit();
	kq = queue();
	pair(PAIR_UNIX, fds);
	pass(fds[1], fds[0], 1);
	while (total < MOST && (fd = dup(fds[0])) != -1) {
		dups[ndups++] = fd;
		for (int i = 0; i < n; i++)
			EV_SET(&events[total++], (uintptr_t)fd, filters[i], EV_ADD, 0, 0, NULL);
	}
	ck_assert_int_gt(ndups, 200);
	ck_assert_int_eq(kevent(kq, events, total, NULL, 0, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(collect(kq, events, total, 0), total);
	while (ndups > 0)
		ck_assert_int_eq(close(dups[--ndups]), 0);
	free(dups);
	free(events);
	close_pair(fds);
	close(kq);
}

START_TEST(kevent_room__ten_thousand_descriptors_in_one_call)
{
	static const short filters[] = { EVFILT_READ };

	thousands_in_one_call(filters, 1);
}
END_TEST

START_TEST(kevent_room__both_filters_of_thousands_of_descriptors_in_one_call)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

	thousands_in_one_call(filters, 2);
}
END_TEST

/* Events of every sort that fit exactly come in one call. */
START_TEST(kevent_room__events_of_all_sorts_that_fit_come_at_once)
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
		ck_assert_int_eq(collect(kq, events, 9, 0), 9);
		close(kq);
	}
	close(file);
	close_pair(fds);
	close_pair(other);
}
END_TEST

START_TEST(kevent_room__what_does_not_fit_is_kept)
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

START_TEST(kevent_room__one_shot_descriptors_that_do_not_fit_are_kept)
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

/* A timer with the shortest period is ready again as soon as it was delivered. */
START_TEST(kevent_room__what_is_ready_again_at_once_comes_once_in_a_call)
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
START_TEST(kevent_room__no_room_is_kept_in_vain)
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

START_TEST(kevent_room__a_date_leaves_room_for_a_descriptor)
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

static int
empty_file(const char *name)
{
	char path[300];
	int file;

	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	ck_assert_int_ge(file = open(path, O_RDWR | O_CREAT, 0600), 0);
	return file;
}

START_TEST(kevent_room__a_file_that_was_read_leaves_room_for_others)
{
	int kq = queue(), fds[2], file = empty_file("f");
	struct kevent events[2];

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

/* What a source tells of only when the room that was kept in vain is given away, comes in the same call. */
START_TEST(kevent_room__what_is_told_late_comes_in_the_same_call)
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
START_TEST(kevent_room__what_is_told_late_does_not_come_twice)
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
START_TEST(kevent_room__a_queue_that_is_counted_comes_once_in_a_call)
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
START_TEST(kevent_room__what_fits_beside_a_bell_comes_at_once)
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

HARNESS_MAIN("kevent_room",
    kevent_room__each_registration_is_returned_once_a_call,
    kevent_room__ten_thousand_user_events_in_one_call,
    kevent_room__ten_thousand_descriptors_in_one_call,
    kevent_room__both_filters_of_thousands_of_descriptors_in_one_call,
    kevent_room__events_of_all_sorts_that_fit_come_at_once,
    kevent_room__what_does_not_fit_is_kept,
    kevent_room__one_shot_descriptors_that_do_not_fit_are_kept,
    kevent_room__what_is_ready_again_at_once_comes_once_in_a_call,
    kevent_room__no_room_is_kept_in_vain,
    kevent_room__a_date_leaves_room_for_a_descriptor,
    kevent_room__a_file_that_was_read_leaves_room_for_others,
    kevent_room__what_is_told_late_comes_in_the_same_call,
    kevent_room__what_is_told_late_does_not_come_twice,
    kevent_room__a_queue_that_is_counted_comes_once_in_a_call,
    kevent_room__what_fits_beside_a_bell_comes_at_once)
