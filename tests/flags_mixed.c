/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * READ and WRITE of one descriptor, each with any behaviour, are independent:
 * each is told what it would be told alone.
 */
#include "harness.h"

#include <sys/socket.h>
#include <unistd.h>

enum mode { LEVEL, CLEAR, ONESHOT, DISPATCH, DISABLED, MODES };

static const unsigned short mode_flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_DISABLE };
static const char *const mode_name[] = { "level", "clear", "oneshot", "dispatch", "disabled" };
static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX };

/* The pair under test, for what a failing check says. */
static enum pair kind;
static enum mode read_mode, write_mode;
static int kq, fds[2];

/* Collects what there is: exactly the expected events, one of a filter at the most. */
static void
check_events(const char *when, bool want_read, bool want_write)
{
	struct kevent events[4];
	bool got_read = false, got_write = false;
	int n = 0;

	/* What must come may need a moment; what must not is looked for once. */
	for (int tries = 0; tries < 3000; tries++) {
		n = collect(kq, events, 4, 0);
		for (int i = 0; i < n; i++)
			*(events[i].filter == EVFILT_READ ? &got_read : &got_write) = true;
		if ((!want_read || got_read) && (!want_write || got_write))
			break;
		nap(1);
	}
	ck_assert_msg(got_read == want_read && got_write == want_write,
	    "%s, READ %s, WRITE %s, %s: READ %s, WRITE %s", pair_name(kind),
	    mode_name[read_mode], mode_name[write_mode], when,
	    got_read == want_read ? "right" : got_read ? "came" : "did not come",
	    got_write == want_write ? "right" : got_write ? "came" : "did not come");
	ck_assert_int_le(n, 2);
}

static int
do_change(short filter, unsigned int flags)
{
	return change(kq, (uintptr_t)fds[0], filter, (unsigned short)flags, 0, 0, NULL);
}

static void
add_both(bool read_first)
{
	for (int i = 0; i < 2; i++)
		if (read_first == (i == 0))
			ck_assert_int_eq(do_change(EVFILT_READ, EV_ADD | mode_flags[read_mode]), 0);
		else
			ck_assert_int_eq(do_change(EVFILT_WRITE, EV_ADD | mode_flags[write_mode]), 0);
}

/* Whether a registration in this mode is told again of a condition that lasts; of a new arrival. */
static bool
lasting(enum mode mode)
{
	return mode == LEVEL;
}

static bool
arriving(enum mode mode)
{
	return mode == LEVEL || mode == CLEAR;
}

/* fds[0] has data to read and room to write, from before the registration. */
static void
check_ready_from_the_start(void)
{
	pass(fds[1], fds[0], 3);
	add_both(read_mode % 2 == 0);
	check_events("first", read_mode != DISABLED, write_mode != DISABLED);
	check_events("again", lasting(read_mode), lasting(write_mode));
	check_events("a third time", lasting(read_mode), lasting(write_mode));
}

/* Bytes arrive: that is nothing new for WRITE. */
static void
check_arrival(void)
{
	pass(fds[1], fds[0], 2);
	check_events("after an arrival", arriving(read_mode), lasting(write_mode));
	check_events("after an arrival, again", lasting(read_mode), lasting(write_mode));
	get(fds[0], 1);
	check_events("after reading some", lasting(read_mode), lasting(write_mode));
}

/* The send buffer fills up and is drained: that is nothing new for READ. */
static void
check_room(void)
{
	fill(fds[0]);
	check_events("when full", lasting(read_mode), false);
	drain(fds[1]);
	check_events("with room again", lasting(read_mode), arriving(write_mode));
	check_events("with room, again", lasting(read_mode), lasting(write_mode));
}

static void
check_enable(void)
{
	if (read_mode >= DISPATCH)
		ck_assert_int_eq(do_change(EVFILT_READ, EV_ENABLE), 0);
	check_events("READ enabled", read_mode != CLEAR && read_mode != ONESHOT, lasting(write_mode));
	if (write_mode >= DISPATCH)
		ck_assert_int_eq(do_change(EVFILT_WRITE, EV_ENABLE), 0);
	check_events("WRITE enabled", lasting(read_mode) || read_mode == DISABLED,
	    write_mode != CLEAR && write_mode != ONESHOT);
}

/* One goes, the other stays as it was. */
static void
check_delete(void)
{
	ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE), read_mode == ONESHOT ? ENOENT : 0);
	check_events("READ deleted", false, lasting(write_mode) || write_mode == DISABLED);
	ck_assert_int_eq(do_change(EVFILT_READ, EV_ADD), 0);
	check_events("READ added again", true, lasting(write_mode) || write_mode == DISABLED);
	ck_assert_int_eq(do_change(EVFILT_WRITE, EV_DELETE), write_mode == ONESHOT ? ENOENT : 0);
	check_events("WRITE deleted", true, false);
	drain(fds[0]);
	check_events("everything read", false, false);
	pass(fds[1], fds[0], 1);
	check_events("alone", true, false);
}

static void
each_mix(void (*const checks[])(void), size_t n)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (read_mode = 0; read_mode < MODES; read_mode++)
			for (write_mode = 0; write_mode < MODES; write_mode++) {
				kind = kinds[k];
				kq = queue();
				pair(kind, fds);
				for (size_t i = 0; i < n; i++)
					checks[i]();
				close_pair(fds);
				close(kq);
			}
}

#define EACH_MIX(...) do {							\
	void (*const checks_[])(void) = { __VA_ARGS__ };			\
										\
	each_mix(checks_, sizeof(checks_) / sizeof(checks_[0]));		\
} while (0)

START_TEST(flags_mixed__ready_from_the_start)
{
	EACH_MIX(check_ready_from_the_start);
}
END_TEST

START_TEST(flags_mixed__arrivals)
{
	EACH_MIX(check_ready_from_the_start, check_arrival);
}
END_TEST

START_TEST(flags_mixed__send_buffer_full_and_drained)
{
	EACH_MIX(check_ready_from_the_start, check_room);
}
END_TEST

START_TEST(flags_mixed__enabled)
{
	EACH_MIX(check_ready_from_the_start, check_enable);
}
END_TEST

START_TEST(flags_mixed__one_deleted)
{
	EACH_MIX(check_ready_from_the_start, check_enable, check_delete);
}
END_TEST

START_TEST(flags_mixed__one_after_the_other)
{
	EACH_MIX(check_ready_from_the_start, check_arrival, check_room, check_arrival, check_enable,
	    check_delete);
}
END_TEST

/* Nothing to read at first, and no room to write. */
static void
check_becoming_ready(void)
{
	fill(fds[0]);
	add_both(write_mode % 2 == 0);
	check_events("before", false, false);
	pass(fds[1], fds[0], 3);
	check_events("data", read_mode != DISABLED, false);
	drain(fds[1]);
	check_events("room", lasting(read_mode), write_mode != DISABLED);
	check_events("both, again", lasting(read_mode), lasting(write_mode));
}

START_TEST(flags_mixed__becoming_ready_one_by_one)
{
	EACH_MIX(check_becoming_ready);
}
END_TEST

/*
 * The peer says that it will send no more.  A change of a socket's state wakes
 * everybody on Linux: a WRITE with EV_CLEAR may be told once more.
 */
static void
check_half_close(void)
{
	struct kevent events[4];
	bool got_read = false, got_write = false;

	add_both(read_mode % 2 == 0);
	check_events("before the end", false, write_mode != DISABLED);
	ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
	for (int tries = 0; tries < 3000 && !got_read; tries++) {
		int n = collect(kq, events, 4, 0);

		for (int i = 0; i < n; i++) {
			*(events[i].filter == EVFILT_READ ? &got_read : &got_write) = true;
			ck_assert_int_eq((events[i].flags & EV_EOF) != 0, events[i].filter == EVFILT_READ);
		}
		if (read_mode == DISABLED)
			break;
		nap(1);
	}
	ck_assert_int_eq(got_read, read_mode != DISABLED);
	if (write_mode == LEVEL)
		ck_assert(got_write);
	else if (write_mode != CLEAR)
		ck_assert(!got_write);
	while (write_mode == CLEAR && readable(kq, 0) && collect(kq, events, 4, 0) == 1 &&
	    events[0].filter == EVFILT_WRITE && read_mode != LEVEL)
		continue;
	check_events("peer's half-close, again", lasting(read_mode), lasting(write_mode));
	if (read_mode != LEVEL && write_mode != LEVEL)
		ck_assert(!readable(kq, 0));
}

START_TEST(flags_mixed__half_close)
{
	EACH_MIX(check_half_close);
}
END_TEST

/* Two queues watch one descriptor, each in its own way. */
START_TEST(flags_mixed__two_queues)
{
	int other;

	for (read_mode = 0; read_mode < MODES; read_mode++)
		for (write_mode = 0; write_mode < MODES; write_mode++) {
			kind = PAIR_UNIX;
			kq = queue();
			other = queue();
			pair(kind, fds);
			ck_assert_int_eq(change(other, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
			check_ready_from_the_start();
			event_of(other, (uintptr_t)fds[0], EVFILT_READ);
			check_arrival();
			event_of(other, (uintptr_t)fds[0], EVFILT_READ);
			no_event(other);
			close(other);
			check_room();
			close_pair(fds);
			close(kq);
		}
}
END_TEST

HARNESS_MAIN("flags_mixed",
    flags_mixed__ready_from_the_start,
    flags_mixed__arrivals,
    flags_mixed__send_buffer_full_and_drained,
    flags_mixed__enabled,
    flags_mixed__one_deleted,
    flags_mixed__one_after_the_other,
    flags_mixed__becoming_ready_one_by_one,
    flags_mixed__half_close,
    flags_mixed__two_queues)
