/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The EV_ flags of a registration, each by itself.  Several waiting threads
 * are in flags_threads.c, READ and WRITE of one descriptor in flags_mixed.c.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int mark[4];

/* A socketpair whose fds[0] is the ident of every change here. */
static int fds[2], kq;

static void
begin(void)
{
	kq = queue();
	pair(PAIR_UNIX, fds);
}

static void
end(void)
{
	close_pair(fds);
	close(kq);
}

static int
do_change(short filter, unsigned int flags)
{
	return change(kq, (uintptr_t)fds[0], filter, (unsigned short)flags, 0, 0, NULL);
}

static void
reading(unsigned int flags)
{
	ck_assert_int_eq(do_change(EVFILT_READ, flags), 0);
}

static struct kevent
read_event(void)
{
	return event_of(kq, (uintptr_t)fds[0], EVFILT_READ);
}

/* More bytes for fds[0] to read. */
static void
arrive(size_t n)
{
	pass(fds[1], fds[0], n);
}

/* Nothing is ready, nothing says so, and waiting for it costs no processor time. */
static void
check_asleep(const char *what)
{
	struct kevent event;
	int64_t used;

	ck_assert_msg(!readable(kq, 20), "%s: the queue is readable", what);
	used = cpu_ns();
	ck_assert_msg(collect(kq, &event, 1, 200) == 0, "%s: an event", what);
	used = cpu_ns() - used;
	ck_assert_msg(used < 100000000, "%s: %jd ns of processor time in 200 ms", what, (intmax_t)used);
}

START_TEST(flags__add_again_updates_udata)
{
	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[1]), 0);
	arrive(1);
	ck_assert_ptr_eq(read_event().udata, &mark[1]);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[2]), 0);
	ck_assert_ptr_eq(read_event().udata, &mark[2]);
	end();
}
END_TEST

START_TEST(flags__add_again_updates_fflags_and_data)
{
	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 10, NULL), 0);
	arrive(5);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 5, NULL), 0);
	ck_assert_int_eq(read_event().data, 5);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 6, NULL), 0);
	no_event(kq);
	reading(EV_ADD);
	ck_assert_int_eq(read_event().data, 5);
	end();
}
END_TEST

START_TEST(flags__add_again_makes_no_second_registration)
{
	struct kevent events[4];

	begin();
	for (int i = 0; i < 5; i++)
		reading(EV_ADD);
	arrive(1);
	ck_assert_int_eq(collect(kq, events, 4, 1000), 1);
	reading(EV_DELETE);
	no_event(kq);
	ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE), ENOENT);
	end();
}
END_TEST

START_TEST(flags__add_again_does_not_enable)
{
	begin();
	reading(EV_ADD | EV_DISABLE);
	arrive(1);
	reading(EV_ADD);
	no_event(kq);
	reading(EV_ADD | EV_ENABLE);
	read_event();
	reading(EV_DISABLE);
	reading(EV_ADD);
	no_event(kq);
	end();
}
END_TEST

START_TEST(flags__add_again_with_disable_disables)
{
	begin();
	reading(EV_ADD);
	arrive(1);
	reading(EV_ADD | EV_DISABLE);
	no_event(kq);
	reading(EV_ENABLE);
	read_event();
	end();
}
END_TEST

/* How often each behaviour delivers data that stays unread. */
START_TEST(flags__add_again_does_not_change_the_behaviour)
{
	static const unsigned short all[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	begin();
	arrive(1);
	for (int was = 0; was < 4; was++)
		for (int now = 0; now < 4; now++) {
			reading(EV_ADD | all[was]);
			reading(EV_ADD | all[now]);
			ck_assert_uint_eq(read_event().flags, all[was]);
			if (all[was] == 0)
				read_event();
			else
				no_event(kq);
			ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE),
			    all[was] == EV_ONESHOT ? ENOENT : 0);
		}
	end();
}
END_TEST

START_TEST(flags__change_without_add_replaces_udata)
{
	static const unsigned short all[] = { 0, EV_ENABLE };

	begin();
	arrive(1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, all[i], 0, 0, &mark[i + 1]), 0);
		ck_assert_ptr_eq(read_event().udata, &mark[i + 1]);
	}
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DISABLE, 0, 0, &mark[3]), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 0, 0, NULL), 0);
	ck_assert_ptr_eq(read_event().udata, &mark[3]);
	end();
}
END_TEST

START_TEST(flags__keepudata_keeps_udata)
{
	begin();
	arrive(1);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_KEEPUDATA, 0, 0, &mark[1]), 0);
	ck_assert_ptr_eq(read_event().udata, &mark[0]);
	ck_assert_uint_eq(read_event().flags, 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DISABLE | EV_KEEPUDATA, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 0, 0, NULL), 0);
	ck_assert_ptr_eq(read_event().udata, &mark[0]);
	end();
}
END_TEST

START_TEST(flags__change_without_add_keeps_fflags_and_data_if_its_own_are_0)
{
	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 10, NULL), 0);
	arrive(5);
	reading(0);
	no_event(kq);
	reading(EV_DISABLE);
	reading(EV_ENABLE);
	no_event(kq);
	arrive(5);
	ck_assert_int_eq(read_event().data, 10);
	end();
}
END_TEST

START_TEST(flags__change_without_add_replaces_fflags_and_data_if_its_own_are_not_0)
{
	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 10, NULL), 0);
	arrive(5);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, 0, NOTE_LOWAT, 5, NULL), 0);
	ck_assert_int_eq(read_event().data, 5);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, NOTE_LOWAT, 6, NULL), 0);
	no_event(kq);
	end();
}
END_TEST

START_TEST(flags__delete_removes_and_forgets)
{
	begin();
	arrive(1);
	reading(EV_ADD);
	reading(EV_DELETE);
	no_event(kq);
	ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE), ENOENT);
	reading(EV_ADD | EV_CLEAR);
	ck_assert_uint_eq(read_event().flags, EV_CLEAR);
	end();
}
END_TEST

START_TEST(flags__disable_takes_back_what_was_not_collected)
{
	begin();
	reading(EV_ADD);
	arrive(1);
	reading(EV_DISABLE);
	no_event(kq);
	reading(EV_ENABLE);
	read_event();
	end();
}
END_TEST

START_TEST(flags__disabled_registrations_keep_recording)
{
	static const unsigned short all[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	begin();
	for (int i = 0; i < 4; i++) {
		reading(EV_ADD | EV_DISABLE | all[i]);
		arrive(3);
		no_event(kq);
		reading(EV_ENABLE);
		ck_assert_int_eq(read_event().data, 3);
		get(fds[0], 3);
		do_change(EVFILT_READ, EV_DELETE);
	}
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD | EV_CLEAR | EV_DISABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT | EV_DISABLE, 0, 1, NULL), 0);
	nap(10);
	no_event(kq);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ENABLE, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	end();
}
END_TEST

/* What came and went while it was disabled is not delivered. */
START_TEST(flags__enable_looks_at_the_condition_as_it_is)
{
	begin();
	reading(EV_ADD | EV_CLEAR | EV_DISABLE);
	arrive(3);
	get(fds[0], 3);
	reading(EV_ENABLE);
	no_event(kq);
	end();
}
END_TEST

START_TEST(flags__enabling_what_is_enabled_is_harmless)
{
	begin();
	reading(EV_ADD);
	reading(EV_ENABLE);
	no_event(kq);
	reading(EV_DISABLE);
	reading(EV_DISABLE);
	arrive(1);
	reading(EV_ENABLE);
	reading(EV_ENABLE);
	read_event();
	end();
}
END_TEST

START_TEST(flags__added_disabled_never_delivers)
{
	static const unsigned short all[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	begin();
	arrive(1);
	for (int i = 0; i < 4; i++) {
		reading(EV_ADD | EV_DISABLE | all[i]);
		ck_assert_int_eq(do_change(EVFILT_WRITE, EV_ADD | EV_DISABLE | all[i]), 0);
		check_asleep("added disabled");
		arrive(1);
		check_asleep("added disabled, and more arrived");
		reading(EV_DELETE);
		ck_assert_int_eq(do_change(EVFILT_WRITE, EV_DELETE), 0);
	}
	end();
}
END_TEST

static atomic_int stop;

static void *
write_until_stopped(void *arg)
{
	char buffer[512];

	(void)arg;
	while (!atomic_load(&stop))
		if (send(fds[1], "x", 1, MSG_DONTWAIT) == -1)
			while (recv(fds[0], buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
				continue;
	return NULL;
}

START_TEST(flags__added_disabled_never_delivers_in_a_race)
{
	static const unsigned short all[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	pthread_t writer;

	begin();
	ck_assert_int_eq(pthread_create(&writer, NULL, write_until_stopped, NULL), 0);
	for (int i = 0; i < 4000; i++) {
		struct kevent changes[2], event;
		struct timespec zero = { 0, 0 };

		EV_SET(&changes[0], (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISABLE | all[i % 4], 0, 0, NULL);
		EV_SET(&changes[1], (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD | EV_DISABLE | all[i / 4 % 4], 0, 0, NULL);
		ck_assert_int_eq(kevent(kq, changes, 2, &event, 1, &zero), 0);
		no_event(kq);
		reading(EV_DELETE);
		ck_assert_int_eq(do_change(EVFILT_WRITE, EV_DELETE), 0);
	}
	atomic_store(&stop, 1);
	pthread_join(writer, NULL);
	end();
}
END_TEST

START_TEST(flags__disabled_at_end_of_file_sleeps)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_SEQPACKET, PAIR_PIPE };
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

	for (size_t i = 0; i < 4; i++)
		for (int f = 0; f < 2; f++) {
			int end = f, peer = 1 - f;	/* the pipe's fds[0] reads, fds[1] writes */

			kq = queue();
			pair(kinds[i], fds);
			ck_assert_int_eq(change(kq, (uintptr_t)fds[end], filters[f], EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
			close(fds[peer]);
			check_asleep(pair_name(kinds[i]));
			close(fds[end]);
			close(kq);
		}
}
END_TEST

START_TEST(flags__disabled_after_end_of_file_sleeps)
{
	static const enum pair kinds[] = { PAIR_TCP, PAIR_UNIX, PAIR_PIPE };
	static const unsigned short all[] = { 0, EV_CLEAR };

	for (size_t i = 0; i < 3; i++)
		for (int j = 0; j < 2; j++) {
			kq = queue();
			pair(kinds[i], fds);
			reading(EV_ADD | all[j]);
			close(fds[1]);
			ck_assert_uint_eq(read_event().flags & EV_EOF, EV_EOF);
			reading(EV_DISABLE);
			no_event(kq);
			check_asleep(pair_name(kinds[i]));
			reading(EV_ENABLE);
			ck_assert_uint_eq(read_event().flags & EV_EOF, EV_EOF);
			close(fds[0]);
			close(kq);
		}
}
END_TEST

START_TEST(flags__dispatched_at_end_of_file_sleeps)
{
	begin();
	reading(EV_ADD | EV_DISPATCH);
	ck_assert_int_eq(shutdown(fds[1], SHUT_RDWR), 0);
	ck_assert_uint_eq(read_event().flags & EV_EOF, EV_EOF);
	no_event(kq);
	check_asleep("dispatched");
	end();
}
END_TEST

START_TEST(flags__oneshot_is_delivered_once_and_deleted)
{
	begin();
	arrive(1);
	reading(EV_ADD | EV_ONESHOT);
	read_event();
	no_event(kq);
	ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE), ENOENT);
	reading(EV_ADD | EV_ONESHOT);
	read_event();
	arrive(1);
	no_event(kq);
	end();
}
END_TEST

START_TEST(flags__dispatch_is_delivered_and_disabled)
{
	begin();
	arrive(1);
	reading(EV_ADD | EV_DISPATCH);
	read_event();
	no_event(kq);
	arrive(1);
	no_event(kq);
	reading(EV_ENABLE);
	ck_assert_int_eq(read_event().data, 2);
	no_event(kq);
	get(fds[0], 2);
	reading(EV_ENABLE);
	no_event(kq);
	arrive(1);
	read_event();
	reading(EV_DELETE);
	end();
}
END_TEST

START_TEST(flags__clear_fires_again_at_every_arrival)
{
	static const enum pair kinds[] = {
		PAIR_TCP, PAIR_UNIX, PAIR_SEQPACKET, PAIR_UDP, PAIR_DGRAM, PAIR_PIPE,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kq = queue();
		pair(kinds[i], fds);
		reading(EV_ADD | EV_CLEAR);
		for (int j = 0; j < 10; j++) {
			put(fds[1], 10);
			read_event();
			no_event(kq);
		}
		get(fds[0], 1);		/* reading some is no arrival */
		no_event(kq);
		end();
	}
}
END_TEST

START_TEST(flags__clear_does_not_fire_for_what_was_read_before)
{
	begin();
	reading(EV_ADD | EV_CLEAR);
	arrive(4);
	get(fds[0], 4);
	no_event(kq);
	arrive(2);
	ck_assert_int_eq(read_event().data, 2);
	end();
}
END_TEST

/* What a filter takes back when it is updated is not what was forced. */
START_TEST(flags__forceoneshot_survives_an_update)
{
	begin();
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_FORCEONESHOT, 0, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_USER);
	no_event(kq);
	end();
}
END_TEST

START_TEST(flags__forceoneshot_fires_now_and_deletes)
{
	begin();
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
	no_event(kq);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_FORCEONESHOT | EV_KEEPUDATA, 0, 0, NULL), 0);
	ck_assert(readable(kq, 0));
	struct kevent event = read_event();
	ck_assert_uint_eq(event.flags & EV_FORCEONESHOT, 0);
	ck_assert_ptr_eq(event.udata, &mark[0]);
	no_event(kq);
	ck_assert_int_eq(do_change(EVFILT_READ, EV_DELETE), ENOENT);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_FORCEONESHOT, 0, 0, NULL), 0);
	event_of(kq, 1, EVFILT_TIMER);
	ck_assert_int_eq(change(kq, 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
	end();
}
END_TEST

START_TEST(flags__every_change_but_disable_looks_again)
{
	static const unsigned short all[] = { 0, EV_ENABLE, EV_ADD, EV_ADD | EV_CLEAR, EV_KEEPUDATA };
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };

	begin();
	arrive(1);
	for (int f = 0; f < 2; f++) {
		ck_assert_int_eq(do_change(filters[f], EV_ADD | EV_CLEAR), 0);
		event_of(kq, (uintptr_t)fds[0], filters[f]);
		for (int i = 0; i < 5; i++) {
			no_event(kq);
			ck_assert_int_eq(do_change(filters[f], all[i]), 0);
			event_of(kq, (uintptr_t)fds[0], filters[f]);
		}
		ck_assert_int_eq(do_change(filters[f], EV_DISABLE), 0);
		no_event(kq);
	}
	end();
}
END_TEST

START_TEST(flags__looking_again_reports_nothing_that_does_not_hold)
{
	begin();
	reading(EV_ADD | EV_CLEAR);
	arrive(1);
	read_event();
	get(fds[0], 1);
	reading(EV_ADD | EV_CLEAR);
	reading(0);
	reading(EV_ENABLE);
	no_event(kq);
	end();
}
END_TEST

HARNESS_MAIN("flags",
    flags__add_again_updates_udata,
    flags__add_again_updates_fflags_and_data,
    flags__add_again_makes_no_second_registration,
    flags__add_again_does_not_enable,
    flags__add_again_with_disable_disables,
    flags__add_again_does_not_change_the_behaviour,
    flags__change_without_add_replaces_udata,
    flags__keepudata_keeps_udata,
    flags__change_without_add_keeps_fflags_and_data_if_its_own_are_0,
    flags__change_without_add_replaces_fflags_and_data_if_its_own_are_not_0,
    flags__delete_removes_and_forgets,
    flags__disable_takes_back_what_was_not_collected,
    flags__disabled_registrations_keep_recording,
    flags__enable_looks_at_the_condition_as_it_is,
    flags__enabling_what_is_enabled_is_harmless,
    flags__added_disabled_never_delivers,
    flags__added_disabled_never_delivers_in_a_race,
    flags__disabled_at_end_of_file_sleeps,
    flags__disabled_after_end_of_file_sleeps,
    flags__dispatched_at_end_of_file_sleeps,
    flags__oneshot_is_delivered_once_and_deleted,
    flags__dispatch_is_delivered_and_disabled,
    flags__clear_fires_again_at_every_arrival,
    flags__clear_does_not_fire_for_what_was_read_before,
    flags__forceoneshot_fires_now_and_deletes,
    flags__forceoneshot_survives_an_update,
    flags__every_change_but_disable_looks_again,
    flags__looking_again_reports_nothing_that_does_not_hold)
