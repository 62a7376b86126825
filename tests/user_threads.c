/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_USER between threads: no trigger is lost, and what poll(2) says of the queue is true. */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* Two threads hand an event to and fro. */
static int there, back;

static void *
answer(void *arg)
{
	struct kevent event;

	(void)arg;
	for (int i = 0; i < 3000; i++) {
		if (kevent(there, NULL, 0, &event, 1, NULL) != 1)
			break;
		change(back, 1, EVFILT_USER, 0, NOTE_TRIGGER, event.data + 1, NULL);
	}
	return NULL;
}

START_TEST(user_threads__ping_pong_loses_nothing)
{
	pthread_t thread;

	there = queue();
	back = queue();
	ck_assert_int_eq(change(there, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(change(back, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		ck_assert_int_eq(change(there, 1, EVFILT_USER, 0, NOTE_TRIGGER, i, NULL), 0);
		ck_assert_int_eq(event_of(back, 1, EVFILT_USER).data, i + 1);
	}
	pthread_join(thread, NULL);
	close(there);
	close(back);
}
END_TEST

/* Triggers again, with all that it was triggered with itself, until it cannot. */
static void *
echo(void *arg)
{
	struct kevent event;

	(void)arg;
	while (kevent(back, NULL, 0, &event, 1, NULL) == 1)
		change(there, 1, EVFILT_USER, 0, NOTE_TRIGGER, event.data, event.udata);
	return NULL;
}

/* Has it told, mostly when it waits already; flags: of its registration. */
static void
told(unsigned int flags, int64_t data, void *udata)
{
	const struct kevent none = { .ident = 99 };
	struct kevent events[2] = { none, none };

	ck_assert_int_eq(change(back, 1, EVFILT_USER, 0, NOTE_TRIGGER, data, udata), 0);
	errno = 4242;
	ck_assert_int_eq(kevent(there, NULL, 0, events, data % 2 == 0 ? 2 : 1, NULL), 1);
	ck_assert_int_eq(errno, 4242);
	ck_assert_uint_eq(events[0].ident, 1);
	ck_assert_int_eq(events[0].filter, EVFILT_USER);
	ck_assert_uint_eq(events[0].flags, flags);
	ck_assert_uint_eq(events[0].fflags, 0x123);
	ck_assert_int_eq(events[0].data, data);
	ck_assert_ptr_eq(events[0].udata, udata);
	ck_assert_uint_eq(events[1].ident, 99);
}

/* What is left of a registration with these flags when it was told. */
static void
check_left(unsigned int flags)
{
	if ((flags & EV_ONESHOT) != 0) {
		ck_assert_int_eq(change(there, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	} else if ((flags & EV_DISPATCH) != 0) {
		ck_assert_int_eq(change(there, 1, EVFILT_USER, 0, NOTE_TRIGGER, -1, NULL), 0);
		no_event(there);
		ck_assert_int_eq(change(there, 1, EVFILT_USER, EV_ENABLE, 0, -2, NULL), 0);
		ck_assert_int_eq(event_of(there, 1, EVFILT_USER).data, -2);
	} else if ((flags & EV_CLEAR) == 0) {
		event_of(there, 1, EVFILT_USER);
	}
	if ((flags & EV_ONESHOT) == 0)
		ck_assert_int_eq(change(there, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(there);
	ck_assert(!readable(there, 0));
}

START_TEST(user_threads__who_waits_is_told_all_of_a_trigger)
{
	const unsigned int flags[] = { EV_CLEAR, 0, EV_ONESHOT, EV_CLEAR | EV_ONESHOT, EV_CLEAR | EV_DISPATCH };
	pthread_t thread;

	there = queue();
	back = queue();
	ck_assert_int_eq(change(back, 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, echo, NULL), 0);
	for (int64_t data = 1; data < 400; data++) {
		unsigned int kind = flags[data % 5];

		ck_assert_int_eq(change(there, 1, EVFILT_USER, (unsigned short)(EV_ADD | kind),
		    NOTE_FFCOPY | 0x123, 0, NULL), 0);
		told(kind, data, (char *)&there + data % 3);
		if (kind == EV_CLEAR)
			told(kind, data + 1, NULL);
		check_left(kind);
	}
	close(back);
	pthread_join(thread, NULL);
	close(there);
}
END_TEST

/* Several ring one queue, each for an event of its own, and several wait there: all rings are heard. */
enum { RINGERS = 3, HEARERS = 2, RINGS = 700, LAST = 99 };
static int acknowledged[RINGERS];
static atomic_int unheard;

static void *
hear(void *arg)
{
	struct kevent event;

	(void)arg;
	while (kevent(there, NULL, 0, &event, 1, NULL) == 1 && event.ident != LAST)
		change(acknowledged[event.ident], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
	return NULL;
}

static void *
ring(void *arg)
{
	const struct timespec long_time = { .tv_sec = 20 };
	uintptr_t i = (uintptr_t)((int *)arg - acknowledged);
	struct kevent event;

	for (int round = 0; round < RINGS; round++)
		if (change(there, i, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) != 0 ||
		    kevent(acknowledged[i], NULL, 0, &event, 1, &long_time) != 1)
			atomic_fetch_add(&unheard, 1);
	return NULL;
}

START_TEST(user_threads__rings_of_several_threads_are_all_heard)
{
	pthread_t thread[RINGERS + HEARERS];
	int lost;

	there = queue();
	ck_assert_int_eq(change(there, LAST, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	for (int i = 0; i < RINGERS; i++) {
		acknowledged[i] = queue();
		ck_assert_int_eq(change(acknowledged[i], 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
		ck_assert_int_eq(change(there, (uintptr_t)i, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	}
	for (int i = 0; i < HEARERS; i++)
		ck_assert_int_eq(pthread_create(&thread[RINGERS + i], NULL, hear, NULL), 0);
	for (int i = 0; i < RINGERS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, ring, &acknowledged[i]), 0);
	for (int i = 0; i < RINGERS; i++)
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
	lost = atomic_load(&unheard);
	ck_assert_int_eq(lost, 0);
	ck_assert_int_eq(change(there, LAST, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	for (int i = 0; i < HEARERS; i++)
		ck_assert_int_eq(pthread_join(thread[RINGERS + i], NULL), 0);
	ck_assert_int_eq(change(there, LAST, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	no_event(there);
	ck_assert(!readable(there, 0));
	for (int i = 0; i < RINGERS; i++)
		close(acknowledged[i]);
	close(there);
}
END_TEST

/* Two threads meet, both awake, so that what they do next is done at once. */
enum { MEETINGS = 2000 };
static atomic_int arrived;

static void
meet(void)
{
	int turn = atomic_fetch_add(&arrived, 1) / 2;

	while (atomic_load(&arrived) < 2 * (turn + 1))
		sched_yield();
}

/* Each triggers its own event, and the queue is readable then, though the other may be about to ring. */
static void *
trigger_and_look(void *arg)
{
	uintptr_t ident = arg != NULL;
	struct kevent events[2];
	int wrong = 0;

	for (int i = 0; i < MEETINGS; i++) {
		meet();
		wrong += change(there, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) != 0;
		wrong += !readable(there, 0);
		meet();
		if (ident == 0)
			wrong += collect(there, events, 2, 0) != 2 || readable(there, 0);
	}
	atomic_fetch_add(&unheard, wrong);
	return NULL;
}

/* One triggers while the other collects; afterwards nothing is left of it. */
static void *
trigger_or_collect(void *arg)
{
	struct kevent event;
	int wrong = 0;

	for (int i = 0; i < MEETINGS; i++) {
		meet();
		if (arg != NULL)
			wrong += change(there, 0, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL) != 0;
		else
			while (collect(there, &event, 1, 0) != 1)
				sched_yield();
		meet();
		wrong += readable(there, 0);
	}
	atomic_fetch_add(&unheard, wrong);
	return NULL;
}

static void
check_meetings(void *(*function)(void *))
{
	pthread_t thread;
	int wrong;

	there = queue();
	for (uintptr_t i = 0; i < 2; i++)
		ck_assert_int_eq(change(there, i, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, function, &there), 0);
	function(NULL);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wrong = atomic_load(&unheard);
	ck_assert_int_eq(wrong, 0);
	close(there);
}

START_TEST(user_threads__who_triggers_finds_the_queue_readable)
{
	check_meetings(trigger_and_look);
}
END_TEST

START_TEST(user_threads__what_is_collected_at_once_leaves_the_queue_unreadable)
{
	check_meetings(trigger_or_collect);
}
END_TEST

HARNESS_MAIN("user_threads",
    user_threads__ping_pong_loses_nothing,
    user_threads__who_waits_is_told_all_of_a_trigger,
    user_threads__rings_of_several_threads_are_all_heard,
    user_threads__who_triggers_finds_the_queue_readable,
    user_threads__what_is_collected_at_once_leaves_the_queue_unreadable)
