/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_EXCEPT beside READ and WRITE of the same descriptor: each is as if it were alone, and they take turns. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "except.h"

/* How often each filter comes in one call; all that is ready. */
static void
check_ready(bool except, bool reads, bool writes)
{
	struct kevent events[8];
	int n = collect(kq, events, 8, 0);
	int seen[3] = { 0, 0, 0 };

	for (int i = 0; i < n; i++)
		seen[events[i].filter == EVFILT_EXCEPT ? 0 : events[i].filter == EVFILT_READ ? 1 : 2]++;
	ck_assert_int_eq(seen[0], except);
	ck_assert_int_eq(seen[1], reads);
	ck_assert_int_eq(seen[2], writes);
}

/* READ, WRITE and EXCEPT of one descriptor, in every mix of modes: each as if alone. */
START_TEST(except_beside__read_and_write_beside_it_are_as_if_alone)
{
	for (int i = 0; i < MODES * MODES * MODES; i++) {
		unsigned short e = modes[i % MODES], r = modes[i / MODES % MODES];
		unsigned short w = modes[i / MODES / MODES];

		begin(PAIR_TCP, e);
		add(fds[0], EVFILT_READ, r);
		add(fds[0], EVFILT_WRITE, w);
		check_ready(false, false, true);
		check_ready(false, false, w == 0);
		pass(fds[1], fds[0], 1);
		check_ready(false, true, w == 0);
		check_ready(false, r == 0, w == 0);
		urge();
		/* An urgent byte is an arrival for READ, too. */
		struct kevent events[8];
		int n = collect(kq, events, 8, 0), found = 0;
		for (int k = 0; k < n; k++)
			found += events[k].filter == EVFILT_EXCEPT;
		ck_assert_int_eq(found, 1);
		check_ready(e == 0, r == 0, w == 0);
		take_urgent();
		check_ready(false, r == 0, w == 0);
		end();
	}
}
END_TEST

START_TEST(except_beside__level_read_does_not_spin_on_urgent_data)
{
	kq = queue();
	pair(PAIR_TCP, fds);
	add(fds[0], EVFILT_READ, 0);
	add(fds[0], EVFILT_EXCEPT, EV_CLEAR);
	pass(fds[1], fds[0], 1);
	get(fds[0], 1);
	urge();
	except_event();
	take_urgent();
	no_event(kq);
	check_asleep();
	end();
}
END_TEST

/* With room for one event only, all three come in turn; twenty descriptors, too. */
START_TEST(except_beside__takes_turns)
{
	enum { N = 20, FILTERS = 3 };
	int pairs[N][2], seen[N][FILTERS];
	struct kevent event;

	for (int mode = 0; mode < 2; mode++) {
		kq = queue();
		for (int i = 0; i < N; i++) {
			pair(PAIR_TCP, fds);
			pairs[i][0] = fds[0];
			pairs[i][1] = fds[1];
			pass(fds[1], fds[0], 1);
			urge();
			add(fds[0], EVFILT_READ, 0);
			add(fds[0], EVFILT_EXCEPT, 0);
			add(fds[0], EVFILT_WRITE, mode == 0 ? 0 : EV_CLEAR);
			for (int f = 0; f < FILTERS; f++)
				seen[i][f] = 0;
		}
		for (int i = 0; i < 20 * N * FILTERS; i++) {
			ck_assert_int_eq(collect(kq, &event, 1, 0), 1);
			for (int j = 0; j < N; j++)
				if (event.ident == (uintptr_t)pairs[j][0])
					seen[j][event.filter == EVFILT_EXCEPT ? 2 : -event.filter - 1]++;
		}
		for (int i = 0; i < N; i++) {
			for (int f = 0; f < FILTERS; f++)
				ck_assert_int_ge(seen[i][f], 1);
			close_pair(pairs[i]);
		}
		close(kq);
	}
}
END_TEST

/* Room for two, and each lane has something: a third must not wait for ever. */
START_TEST(except_beside__takes_turns_with_little_room)
{
	struct kevent events[4];
	int other[2];

	for (int room = 1; room < 5; room++) {
		int seen[3] = { 0, 0, 0 };

		begin(PAIR_TCP, 0);
		pair(PAIR_TCP, other);
		pass(fds[1], fds[0], 1);
		urge();
		add(fds[0], EVFILT_READ, 0);
		add(fds[0], EVFILT_WRITE, 0);
		add(other[0], EVFILT_WRITE, 0);
		for (int i = 0; i < 40; i++) {
			int n = collect(kq, events, room, 0);

			ck_assert_int_ge(n, 1);
			for (int k = 0; k < n; k++)
				seen[events[k].filter == EVFILT_EXCEPT ? 2 : -events[k].filter - 1]++;
		}
		for (int f = 0; f < 3; f++)
			ck_assert_int_ge(seen[f], 1);
		close_pair(other);
		end();
	}
}
END_TEST

START_TEST(except_beside__deleting_leaves_the_others)
{
	begin(PAIR_TCP, 0);
	add(fds[0], EVFILT_READ, EV_CLEAR);
	put(fds[1], 1);
	urge();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_EXCEPT, EV_DELETE, 0, 0, NULL), 0);
	event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
	no_event(kq);
	check_asleep();
	add(fds[0], EVFILT_EXCEPT, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	oob_event(0);
	end();
}
END_TEST

HARNESS_MAIN("except_beside",
    except_beside__read_and_write_beside_it_are_as_if_alone,
    except_beside__level_read_does_not_spin_on_urgent_data,
    except_beside__takes_turns,
    except_beside__takes_turns_with_little_room,
    except_beside__deleting_leaves_the_others)
