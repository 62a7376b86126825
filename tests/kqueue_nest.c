/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue in another queue. */
#include "harness.h"

#include <unistd.h>

static int inner, outer;

static void
begin(void)
{
	inner = queue();
	outer = queue();
}

static void
end(void)
{
	close(inner);
	close(outer);
}

/* Has the outer queue watch the inner one. */
static void
nest(unsigned short flags)
{
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_ADD | flags, 0, 0, NULL), 0);
}

static struct kevent
nested_event(void)
{
	return event_of(outer, (uintptr_t)inner, EVFILT_READ);
}

START_TEST(kqueue_nest__data_is_the_number_of_ready_registrations)
{
	int fds[2];
	struct kevent events[4];

	begin();
	nest(0);
	no_event(outer);
	pair(PAIR_UNIX, fds);
	put(fds[1], 5);
	for (uintptr_t i = 0; i < 3; i++) {
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
		ck_assert_int_eq(nested_event().data, (intmax_t)i + 1);
	}
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(nested_event().data, 4);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(nested_event().data, 5);
	ck_assert_int_eq(change(inner, 2, EVFILT_USER, EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(nested_event().data, 4);
	/* Asking took nothing away. */
	ck_assert_int_eq(collect(inner, events, 4, 0), 4);
	no_event(inner);
	no_event(outer);
	close_pair(fds);
	end();
}
END_TEST

START_TEST(kqueue_nest__nested_event_is_told_again_until_collected)
{
	begin();
	nest(0);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
	for (int i = 0; i < 5; i++)
		nested_event();
	event_of(inner, 1, EVFILT_USER);
	no_event(inner);
	no_event(outer);
	ck_assert(!readable(outer, 0));
	end();
}
END_TEST

START_TEST(kqueue_nest__nested_clear_fires_at_every_arrival)
{
	begin();
	nest(EV_CLEAR);
	for (uintptr_t i = 0; i < 5; i++) {
		no_event(outer);
		ck_assert_int_eq(change(inner, i, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
		ck_assert_int_eq(nested_event().data, (intmax_t)i + 1);
	}
	end();
}
END_TEST

/* Who takes what there is with room for just that, or for more, need not be told that there is nothing left. */
START_TEST(kqueue_nest__nested_clear_fires_anew_once_all_was_collected)
{
	static const unsigned short flags[] = { EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	struct kevent events[4];

	for (int i = 0; i < 6; i++) {
		begin();
		nest(EV_CLEAR);
		for (int n = 0; n < 8; n++) {
			ck_assert_int_eq(change(inner, 1, EVFILT_USER, (unsigned short)(EV_ADD | flags[i / 2]), 0, 0, NULL), 0);
			ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ENABLE, NOTE_TRIGGER, 0, NULL), 0);
			ck_assert_int_eq(nested_event().data, 1);
			ck_assert_int_eq(collect(inner, events, i % 2 == 0 ? 1 : 4, 0), 1);
			no_event(outer);
		}
		end();
	}
}
END_TEST

/* The same while the inner queue has a descriptor that stays ready. */
START_TEST(kqueue_nest__nested_clear_fires_anew_beside_what_stays_ready)
{
	int fds[2];
	struct kevent events[4];

	begin();
	pair(PAIR_UNIX, fds);
	put(fds[1], 1);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	nest(EV_CLEAR);
	nested_event();
	for (int n = 0; n < 8; n++) {
		ck_assert_int_eq(change(inner, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
		nested_event();
		ck_assert_int_eq(collect(inner, events, 4, 0), 2);
	}
	end();
	close_pair(fds);
}
END_TEST

START_TEST(kqueue_nest__queues_nest_three_deep)
{
	int a = queue(), b = queue(), c = queue();

	ck_assert_int_eq(change(b, (uintptr_t)a, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(c, (uintptr_t)b, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(c);
	ck_assert_int_eq(change(a, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 5, NULL), 0);
	event_of(c, (uintptr_t)b, EVFILT_READ);
	event_of(b, (uintptr_t)a, EVFILT_READ);
	event_of(a, 1, EVFILT_TIMER);
	no_event(a);
	no_event(b);
	no_event(c);
	close(a);
	close(b);
	close(c);
}
END_TEST

START_TEST(kqueue_nest__disabled_registrations_do_not_count)
{
	begin();
	nest(0);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD | EV_DISABLE, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert(!readable(inner, 0));
	no_event(outer);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(nested_event().data, 1);
	end();
}
END_TEST

/* As deep as the kernel allows; one deeper is refused, and what is there works on. */
START_TEST(kqueue_nest__deeper_than_the_kernel_allows_is_einval)
{
	int queues[12], error = 0, depth;

	queues[0] = queue();
	for (depth = 1; depth < 12; depth++) {
		queues[depth] = queue();
		error = change(queues[depth], (uintptr_t)queues[depth - 1], EVFILT_READ, EV_ADD, 0, 0, NULL);
		if (error != 0)
			break;
	}
	ck_assert_int_eq(error, EINVAL);
	ck_assert_int_ge(depth, 3);
	ck_assert_int_eq(change(queues[depth], (uintptr_t)queues[depth - 1], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(queues[0], 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	for (int i = 1; i < depth; i++)
		event_of(queues[i], (uintptr_t)queues[i - 1], EVFILT_READ);
	no_event(queues[depth]);
	for (int i = 0; i <= depth; i++)
		close(queues[i]);
}
END_TEST

START_TEST(kqueue_nest__itself_and_cycles_are_einval)
{
	int a = queue(), b = queue(), c = queue();

	ck_assert_int_eq(change(a, (uintptr_t)a, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(a, (uintptr_t)a, EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	ck_assert_int_eq(change(b, (uintptr_t)a, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(a, (uintptr_t)b, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(c, (uintptr_t)b, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(a, (uintptr_t)c, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(b, (uintptr_t)c, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	/* The other way round is fine once the first is gone. */
	ck_assert_int_eq(change(b, (uintptr_t)a, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(a, (uintptr_t)b, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	close(a);
	close(b);
	close(c);
}
END_TEST

/* A registration that ended by its delivery is none. */
START_TEST(kqueue_nest__told_once_it_makes_no_cycle)
{
	int a = queue(), b = queue();

	ck_assert_int_eq(change(a, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(change(b, (uintptr_t)a, EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
	event_of(b, (uintptr_t)a, EVFILT_READ);
	ck_assert_int_eq(change(a, (uintptr_t)b, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	close(a);
	close(b);
}
END_TEST

/* What was counted, and what comes until it is collected, is one event. */
START_TEST(kqueue_nest__counted_clear_is_told_once)
{
	int fds[2];
	struct kevent event;

	begin();
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	nest(0);
	put(fds[1], 1);
	ck_assert_int_eq(nested_event().data, 1);
	close(fds[1]);
	event = event_of(inner, (uintptr_t)fds[0], EVFILT_READ);
	ck_assert_int_eq(event.data, 1);
	ck_assert_uint_ne(event.flags & EV_EOF, 0);
	no_event(inner);
	no_event(outer);
	close(fds[0]);
	end();
}
END_TEST

/* What epoll tells once, and was told when the queue was counted, is told again if it had passed meanwhile. */
START_TEST(kqueue_nest__counted_dispatch_that_passed_is_told_again)
{
	static const unsigned short manners[] = { EV_DISPATCH, EV_ONESHOT, EV_CLEAR };

	for (int i = 0; i < 6; i++) {
		int fds[2];

		begin();
		pair(PAIR_PIPE, fds);
		nest(0);
		ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | manners[i % 3], 0, 0, NULL), 0);
		put(fds[1], 1);
		nested_event();
		get(fds[0], 1);
		no_event(i < 3 ? outer : inner);
		put(fds[1], 1);
		ck_assert(readable(inner, 0));
		ck_assert_int_eq(nested_event().data, 1);
		ck_assert_int_eq(event_of(inner, (uintptr_t)fds[0], EVFILT_READ).data, 1);
		close_pair(fds);
		end();
	}
}
END_TEST

/* A level whose mark was not met, and is when the queue is counted, stays one. */
START_TEST(kqueue_nest__counted_mark_that_is_met_stays_ready)
{
	int fds[2];

	begin();
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(inner, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 10, NULL), 0);
	put(fds[1], 1);
	no_event(inner);
	put(fds[1], 20);
	nest(0);
	nested_event();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(event_of(inner, (uintptr_t)fds[0], EVFILT_READ).data, 21);
		ck_assert(readable(inner, 0));
		nested_event();
	}
	close_pair(fds);
	end();
}
END_TEST

START_TEST(kqueue_nest__other_filters_on_a_queue_are_einval)
{
	begin();
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_WRITE, EV_ADD, 0, 0, NULL), EINVAL);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), EINVAL);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
	end();
}
END_TEST

START_TEST(kqueue_nest__closing_the_inner_queue_removes_it_from_the_outer)
{
	begin();
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	nest(0);
	nested_event();
	close(inner);
	no_event(outer);
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_DELETE, 0, 0, NULL), EBADF);
	inner = queue();
	ck_assert_int_eq(change(outer, (uintptr_t)inner, EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
	end();
}
END_TEST

START_TEST(kqueue_nest__closing_the_outer_queue_leaves_the_inner_alone)
{
	begin();
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	nest(0);
	close(outer);
	ck_assert_int_eq(change(inner, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	event_of(inner, 1, EVFILT_USER);
	close(inner);
}
END_TEST

HARNESS_MAIN("kqueue_nest",
    kqueue_nest__data_is_the_number_of_ready_registrations,
    kqueue_nest__nested_event_is_told_again_until_collected,
    kqueue_nest__nested_clear_fires_at_every_arrival,
    kqueue_nest__nested_clear_fires_anew_once_all_was_collected,
    kqueue_nest__nested_clear_fires_anew_beside_what_stays_ready,
    kqueue_nest__queues_nest_three_deep,
    kqueue_nest__disabled_registrations_do_not_count,
    kqueue_nest__deeper_than_the_kernel_allows_is_einval,
    kqueue_nest__itself_and_cycles_are_einval,
    kqueue_nest__told_once_it_makes_no_cycle,
    kqueue_nest__counted_clear_is_told_once,
    kqueue_nest__counted_dispatch_that_passed_is_told_again,
    kqueue_nest__counted_mark_that_is_met_stays_ready,
    kqueue_nest__other_filters_on_a_queue_are_einval,
    kqueue_nest__closing_the_inner_queue_removes_it_from_the_outer,
    kqueue_nest__closing_the_outer_queue_leaves_the_inner_alone)
