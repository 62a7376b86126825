/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTE_LOWAT: a mark of a registration's own.  Below it nothing is reported
 * and nobody spins; at it the event comes; the end of file ignores it.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static const enum pair streams[] = { PAIR_TCP, PAIR_UNIX, PAIR_PIPE };
enum { STREAMS = 3 };

static int kq, fds[2];

static int
mark(int queue_, int fd, short filter, unsigned int flags, int64_t lowat)
{
	return change(queue_, (uintptr_t)fd, filter, (unsigned short)flags, NOTE_LOWAT, lowat, NULL);
}

static void
begin_reading(enum pair kind, unsigned int flags, int64_t lowat)
{
	kq = queue();
	pair(kind, fds);
	ck_assert_int_eq(mark(kq, fds[0], EVFILT_READ, EV_ADD | flags, lowat), 0);
}

static void
begin_writing(enum pair kind, unsigned int flags, int64_t lowat)
{
	kq = queue();
	pair(kind, fds);
	ck_assert_int_eq(mark(kq, fds[1], EVFILT_WRITE, EV_ADD | flags, lowat), 0);
}

static void
end(void)
{
	close_pair(fds);
	close(kq);
}

static struct kevent
read_event(void)
{
	return event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
}

static struct kevent
write_event(void)
{
	return event_of(kq, (uintptr_t)fds[1], EVFILT_WRITE);
}

START_TEST(lowat__read_below_the_mark_is_no_event)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_reading(streams[i], 0, 10);
		pass(fds[1], fds[0], 9);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		pass(fds[1], fds[0], 1);
		struct kevent event = read_event();
		ck_assert_int_eq(event.data, 10);
		ck_assert_uint_eq(event.flags, 0);
		end();
	}
}
END_TEST

START_TEST(lowat__read_below_the_mark_sleeps)
{
	static const unsigned short flags[] = { 0, EV_CLEAR };

	for (int i = 0; i < STREAMS; i++)
		for (int j = 0; j < 2; j++) {
			begin_reading(streams[i], flags[j], 10);
			pass(fds[1], fds[0], 9);
			asleep(kq, 300);
			end();
		}
}
END_TEST

START_TEST(lowat__read_wakes_a_waiting_thread_at_the_mark)
{
	static const unsigned short flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < STREAMS; i++)
		for (int j = 0; j < 4; j++) {
			struct waiter w;

			begin_reading(streams[i], flags[j], 100);
			pass(fds[1], fds[0], 50);
			waiter_start(&w, kq, -1);
			pass(fds[1], fds[0], 49);
			nap(5);
			pass(fds[1], fds[0], 1);
			waiter_join(&w);
			ck_assert_int_eq(w.count, 1);
			ck_assert_int_eq(w.event.data, 100);
			end();
		}
}
END_TEST

START_TEST(lowat__read_stays_ready_at_the_mark_and_sleeps_below_it_again)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_reading(streams[i], 0, 10);
		for (int again = 0; again < 3; again++) {
			pass(fds[1], fds[0], 12);
			for (int j = 0; j < 3; j++)
				ck_assert_int_eq(read_event().data, 12);
			get(fds[0], 3);
			no_event(kq);
			ck_assert(!readable(kq, 0));
			get(fds[0], 9);
			no_event(kq);
		}
		end();
	}
}
END_TEST

START_TEST(lowat__read_with_clear_fires_at_every_arrival_above_the_mark)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_reading(streams[i], EV_CLEAR, 10);
		pass(fds[1], fds[0], 8);
		no_event(kq);
		pass(fds[1], fds[0], 4);
		ck_assert_int_eq(read_event().data, 12);
		no_event(kq);
		pass(fds[1], fds[0], 1);
		ck_assert_int_eq(read_event().data, 13);
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(lowat__read_at_the_end_of_file_ignores_the_mark)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_reading(streams[i], 0, 1000);
		pass(fds[1], fds[0], 5);
		no_event(kq);
		close(fds[1]);
		struct kevent event = read_event();
		ck_assert_uint_eq(event.flags, EV_EOF);
		ck_assert_int_eq(event.data, 5);
		get(fds[0], 5);
		event = read_event();
		ck_assert_uint_eq(event.flags, EV_EOF);
		ck_assert_int_eq(event.data, 0);
		close(fds[0]);
		close(kq);
	}
}
END_TEST

START_TEST(lowat__each_registration_has_its_own_mark)
{
	int other;

	begin_reading(PAIR_UNIX, 0, 10);
	other = queue();
	ck_assert_int_eq(mark(other, fds[0], EVFILT_READ, EV_ADD, 3), 0);
	pass(fds[1], fds[0], 5);
	ck_assert_int_eq(event_of(other, (uintptr_t)fds[0], EVFILT_READ).data, 5);
	no_event(kq);
	pass(fds[1], fds[0], 5);
	ck_assert_int_eq(read_event().data, 10);
	event_of(other, (uintptr_t)fds[0], EVFILT_READ);
	close(other);
	end();
}
END_TEST

START_TEST(lowat__mark_may_be_changed)
{
	begin_reading(PAIR_TCP, 0, 10);
	pass(fds[1], fds[0], 5);
	no_event(kq);
	ck_assert_int_eq(mark(kq, fds[0], EVFILT_READ, EV_ADD, 5), 0);
	read_event();
	ck_assert_int_eq(mark(kq, fds[0], EVFILT_READ, 0, 6), 0);
	no_event(kq);
	asleep(kq, 300);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(read_event().data, 5);
	end();
}
END_TEST

/* A mark of 1 or less is as good as none. */
START_TEST(lowat__small_marks)
{
	for (int64_t lowat = -1; lowat < 2; lowat++) {
		begin_reading(PAIR_UNIX, 0, lowat);
		no_event(kq);
		pass(fds[1], fds[0], 1);
		ck_assert_int_eq(read_event().data, 1);
		end();
	}
}
END_TEST

START_TEST(lowat__read_mark_leaves_write_alone)
{
	for (int i = 0; i < 2; i++) {
		begin_reading(streams[i], 0, 10);
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
		pass(fds[1], fds[0], 5);
		for (int j = 0; j < 3; j++)
			event_of(kq, (uintptr_t)fds[0], EVFILT_WRITE);
		fill(fds[0]);
		no_event(kq);
		asleep(kq, 300);
		pass(fds[1], fds[0], 5);
		ck_assert_int_eq(read_event().data, 10);
		end();
	}
}
END_TEST

START_TEST(lowat__disabled_below_the_mark)
{
	begin_reading(PAIR_UNIX, EV_DISABLE, 10);
	pass(fds[1], fds[0], 5);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	no_event(kq);
	asleep(kq, 300);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DISABLE, 0, 0, NULL), 0);
	pass(fds[1], fds[0], 5);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(read_event().data, 10);
	end();
}
END_TEST

/* Half of what there is when nothing is in the way. */
static int64_t
half_the_room(enum pair kind)
{
	int64_t room;

	begin_writing(kind, 0, 1);
	room = write_event().data;
	end();
	return room / 2;
}

START_TEST(lowat__write_below_the_mark_is_no_event)
{
	for (int i = 0; i < STREAMS; i++) {
		int64_t lowat = half_the_room(streams[i]);

		begin_writing(streams[i], 0, lowat);
		ck_assert_int_ge(write_event().data, lowat);
		fill(fds[1]);
		no_event(kq);
		asleep(kq, 300);
		drain(fds[0]);
		ck_assert_int_ge(write_event().data, lowat);
		end();
	}
}
END_TEST

/* There is room, and poll() would say so, but less than the mark. */
START_TEST(lowat__write_with_some_room_sleeps)
{
	int64_t lowat = half_the_room(PAIR_PIPE);
	struct waiter w;

	begin_writing(PAIR_PIPE, 0, lowat);
	put(fds[1], (size_t)lowat + 8192);
	no_event(kq);
	asleep(kq, 300);
	waiter_start(&w, kq, -1);
	drain(fds[0]);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_ge(w.event.data, lowat);
	end();
}
END_TEST

/* It was the timer that found room enough: from then on it is a level like any other. */
START_TEST(lowat__write_stays_ready_at_the_mark)
{
	int64_t lowat = half_the_room(PAIR_PIPE);
	struct kevent events[4];

	begin_writing(PAIR_PIPE, 0, lowat);
	for (int again = 0; again < 3; again++) {
		put(fds[1], (size_t)lowat + 8192);
		no_event(kq);
		drain(fds[0]);
		for (int i = 0; i < 4; i++) {
			ck_assert_int_eq(collect(kq, events, 4, 10000), 1);
			ck_assert_int_ge(events[0].data, lowat);
		}
		ck_assert(readable(kq, 0));
	}
	end();
}
END_TEST

START_TEST(lowat__write_mark_that_cannot_be_met_sleeps)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_writing(streams[i], 0, INT64_MAX);
		no_event(kq);
		asleep(kq, 300);
		ck_assert_int_eq(mark(kq, fds[1], EVFILT_WRITE, EV_ADD, 1), 0);
		write_event();
		end();
	}
}
END_TEST

/* The change looks; the look that was due for the old mark must not tell it once more. */
START_TEST(lowat__write_with_clear_tells_a_change_once)
{
	struct kevent event;

	begin_writing(PAIR_PIPE, EV_CLEAR, INT64_MAX);
	put(fds[1], 1);
	ck_assert_int_eq(collect(kq, &event, 1, 50), 0);
	nap(100);
	ck_assert_int_eq(mark(kq, fds[1], EVFILT_WRITE, EV_ADD, 1), 0);
	write_event();
	no_event(kq);
	nap(100);
	no_event(kq);
	/* And if it is still too high, it is looked at as before. */
	ck_assert_int_eq(mark(kq, fds[1], EVFILT_WRITE, 0, 60000), 0);
	write_event();
	put(fds[1], 8192);
	ck_assert_int_eq(mark(kq, fds[1], EVFILT_WRITE, 0, 60000), 0);
	no_event(kq);
	get(fds[0], 8193);
	write_event();
	end();
}
END_TEST

START_TEST(lowat__write_at_the_end_ignores_the_mark)
{
	for (int i = 0; i < STREAMS; i++) {
		begin_writing(streams[i], 0, INT64_MAX);
		no_event(kq);
		if (streams[i] == PAIR_PIPE)
			close(fds[0]);
		else
			ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		ck_assert_uint_eq(write_event().flags, EV_EOF);
		if (streams[i] != PAIR_PIPE)
			close(fds[0]);
		close(fds[1]);
		close(kq);
	}
}
END_TEST

HARNESS_MAIN("lowat",
    lowat__read_below_the_mark_is_no_event,
    lowat__read_below_the_mark_sleeps,
    lowat__read_wakes_a_waiting_thread_at_the_mark,
    lowat__read_stays_ready_at_the_mark_and_sleeps_below_it_again,
    lowat__read_with_clear_fires_at_every_arrival_above_the_mark,
    lowat__read_at_the_end_of_file_ignores_the_mark,
    lowat__each_registration_has_its_own_mark,
    lowat__mark_may_be_changed,
    lowat__small_marks,
    lowat__read_mark_leaves_write_alone,
    lowat__disabled_below_the_mark,
    lowat__write_below_the_mark_is_no_event,
    lowat__write_with_some_room_sleeps,
    lowat__write_stays_ready_at_the_mark,
    lowat__write_mark_that_cannot_be_met_sleeps,
    lowat__write_with_clear_tells_a_change_once,
    lowat__write_at_the_end_ignores_the_mark)
