/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_USER. */
#include "child.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int mark[4];
static int kq;

static int
touch(uintptr_t ident, unsigned int flags, unsigned int fflags, int64_t data, void *udata)
{
	return change(kq, ident, EVFILT_USER, (unsigned short)flags, fflags, data, udata);
}

/* Registers ident 1, not triggered; stored: its first 24 bits. */
static void
begin(unsigned int flags, unsigned int stored)
{
	kq = queue();
	ck_assert_int_eq(touch(1, EV_ADD | flags, NOTE_FFCOPY | stored, 0, NULL), 0);
}

static void
trigger(void)
{
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), 0);
}

static struct kevent
user_event(void)
{
	return event_of(kq, 1, EVFILT_USER);
}

START_TEST(user__is_not_ready_untriggered)
{
	begin(0, 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(user__trigger_fires)
{
	begin(EV_CLEAR, 0);
	trigger();
	ck_assert(readable(kq, 0));
	struct kevent event = user_event();
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 0);
	ck_assert_ptr_null(event.udata);
	close(kq);
}
END_TEST

START_TEST(user__trigger_in_the_creating_call_fires)
{
	begin(0, 0);
	ck_assert_int_eq(touch(2, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 7, &mark[1]), 0);
	struct kevent event = event_of(kq, 2, EVFILT_USER);
	ck_assert_int_eq(event.data, 7);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_ptr_eq(event.udata, &mark[1]);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_in_a_repeated_add_fires)
{
	begin(EV_CLEAR, 0);
	ck_assert_int_eq(touch(1, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	user_event();
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_needs_a_registration)
{
	kq = queue();
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	ck_assert_int_eq(touch(1, EV_ENABLE, NOTE_TRIGGER, 0, NULL), ENOENT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_with_ev_enable_fires)
{
	begin(EV_CLEAR, 0);
	ck_assert_int_eq(touch(1, EV_ENABLE, NOTE_TRIGGER, 0, NULL), 0);
	user_event();
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__stays_ready_until_deleted)
{
	begin(0, 0);
	trigger();
	for (int i = 0; i < 5; i++)
		user_event();
	ck_assert(readable(kq, 0));
	ck_assert_int_eq(touch(1, EV_DELETE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert_int_eq(touch(1, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__stays_ready_until_disabled)
{
	begin(0, 0);
	trigger();
	user_event();
	ck_assert_int_eq(touch(1, EV_DISABLE, 0, 0, NULL), 0);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(user__clear_fires_once_a_trigger)
{
	begin(EV_CLEAR, 0);
	for (int i = 0; i < 100; i++) {
		trigger();
		user_event();
		no_event(kq);
	}
	close(kq);
}
END_TEST

START_TEST(user__triggers_before_delivery_are_one_event)
{
	begin(EV_CLEAR, 0);
	for (int i = 0; i < 100; i++)
		trigger();
	user_event();
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__change_with_ev_clear_resets_the_trigger)
{
	begin(0, 0);
	trigger();
	user_event();
	ck_assert_int_eq(touch(1, EV_CLEAR, 0, 0, NULL), 0);
	no_event(kq);
	trigger();
	user_event();
	user_event();		/* it is still level-triggered */
	ck_assert_int_eq(touch(1, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__change_with_ev_clear_and_a_trigger_triggers)
{
	begin(0, 0);
	ck_assert_int_eq(touch(1, EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
	user_event();
	user_event();
	ck_assert_int_eq(touch(1, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, NULL), 0);
	user_event();
	close(kq);
}
END_TEST

START_TEST(user__change_without_ev_clear_keeps_the_trigger)
{
	begin(EV_CLEAR, 0);
	trigger();
	ck_assert_int_eq(touch(1, 0, NOTE_FFOR | 1, 0, NULL), 0);
	ck_assert_int_eq(touch(1, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(touch(1, EV_ADD, 0, 0, NULL), 0);
	user_event();
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__change_after_delivery_does_not_fire_again)
{
	begin(EV_CLEAR, 0);
	trigger();
	user_event();
	ck_assert_int_eq(touch(1, 0, 0, 0, NULL), 0);
	ck_assert_int_eq(touch(1, EV_ENABLE, 0, 0, NULL), 0);
	ck_assert_int_eq(touch(1, EV_ADD, 0, 0, NULL), 0);
	ck_assert_int_eq(touch(1, 0, NOTE_FFCOPY | 5, 0, NULL), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__fflags_are_stored_at_creation)
{
	static const unsigned int control[] = { NOTE_FFNOP, NOTE_FFCOPY };

	kq = queue();
	for (uintptr_t i = 0; i < 2; i++) {
		ck_assert_int_eq(touch(i, EV_ADD, control[i] | NOTE_TRIGGER | 0x00abcdef, 0, NULL), 0);
		ck_assert_uint_eq(event_of(kq, i, EVFILT_USER).fflags, 0x00abcdef);
		ck_assert_int_eq(touch(i, EV_DELETE, 0, 0, NULL), 0);
	}
	close(kq);
}
END_TEST

START_TEST(user__fflags_operations)
{
	static const struct { unsigned int operation, given, expected; } cases[] = {
		{ NOTE_FFNOP, 0x123456, 0xff00f0 },
		{ NOTE_FFAND, 0x0ff0f0, 0x0f00f0 },
		{ NOTE_FFAND, 0, 0 },
		{ NOTE_FFOR, 0x00ff0f, 0xffffff },
		{ NOTE_FFOR, 0, 0xff00f0 },
		{ NOTE_FFCOPY, 0x123456, 0x123456 },
		{ NOTE_FFCOPY, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(EV_CLEAR, 0xff00f0);
		ck_assert_int_eq(touch(1, 0, cases[i].operation | cases[i].given, 0, NULL), 0);
		no_event(kq);
		trigger();
		ck_assert_uint_eq(user_event().fflags, cases[i].expected);
		close(kq);
		begin(EV_CLEAR, 0xff00f0);
		ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER | cases[i].operation | cases[i].given, 0, NULL), 0);
		ck_assert_uint_eq(user_event().fflags, cases[i].expected);
		close(kq);
	}
}
END_TEST

START_TEST(user__only_24_bits_are_stored)
{
	begin(EV_CLEAR, 0);
	ck_assert_int_eq(touch(1, 0, NOTE_FFCOPY | 0x3effffff, 0, NULL), 0);
	no_event(kq);
	trigger();
	ck_assert_uint_eq(user_event().fflags, NOTE_FFLAGSMASK);
	close(kq);
}
END_TEST

START_TEST(user__stored_fflags_survive_delivery)
{
	begin(EV_CLEAR, 0x10);
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER | NOTE_FFOR | 1u << i, 0, NULL), 0);
		ck_assert_uint_eq(user_event().fflags, 0x10 | ((2u << i) - 1));
	}
	trigger();
	ck_assert_uint_eq(user_event().fflags, 0x1f);
	close(kq);
}
END_TEST

START_TEST(user__every_change_replaces_data)
{
	begin(EV_CLEAR, 0);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 111, NULL), 0);
	ck_assert_int_eq(user_event().data, 111);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, -5, NULL), 0);
	ck_assert_int_eq(user_event().data, -5);
	trigger();
	ck_assert_int_eq(user_event().data, 0);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 1, NULL), 0);
	ck_assert_int_eq(touch(1, 0, 0, INT64_MAX, NULL), 0);
	ck_assert_int_eq(user_event().data, INT64_MAX);
	ck_assert_int_eq(touch(1, EV_ADD, NOTE_TRIGGER, INT64_MIN, NULL), 0);
	ck_assert_int_eq(user_event().data, INT64_MIN);
	close(kq);
}
END_TEST

/* As nginx does it: registered with one udata, triggered with another. */
START_TEST(user__every_change_replaces_udata)
{
	begin(EV_CLEAR, 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, &mark[i]), 0);
		ck_assert_ptr_eq(user_event().udata, &mark[i]);
	}
	ck_assert_int_eq(touch(1, EV_KEEPUDATA, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_ptr_eq(user_event().udata, &mark[3]);
	close(kq);
}
END_TEST

START_TEST(user__trigger_of_a_disabled_one_is_kept)
{
	static const unsigned short all[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };

	for (int i = 0; i < 4; i++) {
		begin(all[i] | EV_DISABLE, 0);
		ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER | NOTE_FFOR | 3, 9, NULL), 0);
		no_event(kq);
		ck_assert(!readable(kq, 0));
		ck_assert_int_eq(touch(1, EV_ENABLE, 0, 9, NULL), 0);
		struct kevent event = user_event();
		ck_assert_uint_eq(event.fflags, 3);
		ck_assert_int_eq(event.data, 9);
		close(kq);
	}
}
END_TEST

START_TEST(user__enabling_an_untriggered_one_does_not_fire)
{
	begin(EV_DISABLE, 0);
	ck_assert_int_eq(touch(1, EV_ENABLE, 0, 0, NULL), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__oneshot_is_deleted_after_its_trigger)
{
	begin(EV_ONESHOT, 0);
	no_event(kq);
	trigger();
	ck_assert_uint_eq(user_event().flags, EV_ONESHOT);
	no_event(kq);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	close(kq);
}
END_TEST

START_TEST(user__dispatch_waits_for_enable)
{
	begin(EV_DISPATCH | EV_CLEAR, 0);
	trigger();
	user_event();
	trigger();
	no_event(kq);
	ck_assert_int_eq(touch(1, EV_ENABLE, 0, 0, NULL), 0);
	user_event();
	ck_assert_int_eq(touch(1, EV_ENABLE, 0, 0, NULL), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__any_ident_will_do)
{
	static const uintptr_t idents[] = { 0, 1, 0xffffffffu, UINTPTR_MAX, UINTPTR_MAX / 2 + 1, UINTPTR_MAX - 1 };
	enum { N = sizeof(idents) / sizeof(idents[0]) };

	kq = queue();
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(touch(idents[i], EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	for (size_t i = 0; i < N; i++) {
		ck_assert_int_eq(touch(idents[i], 0, NOTE_TRIGGER, 0, NULL), 0);
		event_of(kq, idents[i], EVFILT_USER);
		no_event(kq);
	}
	close(kq);
}
END_TEST

START_TEST(user__only_the_triggered_one_of_many_fires)
{
	enum { N = 5000 };

	kq = queue();
	for (uintptr_t i = 0; i < N; i++)
		ck_assert_int_eq(touch(i * 64, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
	for (uintptr_t i = 0; i < N; i += 499) {
		ck_assert_int_eq(touch(i * 64, 0, NOTE_TRIGGER, 0, NULL), 0);
		event_of(kq, i * 64, EVFILT_USER);
		no_event(kq);
	}
	for (uintptr_t i = 0; i < N; i += 2)
		ck_assert_int_eq(touch(i * 64, EV_DELETE, 0, 0, NULL), 0);
	for (uintptr_t i = 0; i < N; i++)
		ck_assert_int_eq(touch(i * 64, 0, NOTE_TRIGGER, 0, NULL), i % 2 == 0 ? ENOENT : 0);
	close(kq);
}
END_TEST

START_TEST(user__trigger_wakes_a_waiting_thread)
{
	struct waiter w;

	begin(EV_CLEAR, 0);
	for (int i = 0; i < 20; i++) {
		waiter_start(&w, kq, -1);
		ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, i, NULL), 0);
		waiter_join(&w);
		ck_assert_int_eq(w.count, 1);
		ck_assert_int_eq(w.event.data, i);
	}
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_before_the_wait_is_not_lost)
{
	struct waiter w;

	begin(EV_CLEAR, 0);
	trigger();
	waiter_start(&w, kq, -1);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	close(kq);
}
END_TEST

START_TEST(user__trigger_and_collect_in_one_call)
{
	struct kevent kev;

	begin(EV_CLEAR, 0);
	for (int i = 0; i < 100; i++) {
		EV_SET(&kev, 1, EVFILT_USER, 0, NOTE_TRIGGER, i, &mark[0]);
		ck_assert_int_eq(kevent(kq, &kev, 1, &kev, 1, NULL), 1);
		ck_assert_int_eq(kev.data, i);
		ck_assert_uint_eq(kev.flags, EV_CLEAR);
	}
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_of_what_is_no_queue_is_ebadf)
{
	pid_t pid;

	begin(EV_CLEAR, 0);
	trigger();
	pid = fork();
	if (pid == 0) {
		CHILD_CHECK(touch(1, 0, NOTE_TRIGGER, 0, NULL) == EBADF);
		_exit(0);
	}
	child_succeeds(pid);
	user_event();
	close(kq);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	kq = -1;
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	kq = INT_MAX;
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), EBADF);
	kq = 0;
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, NULL), EBADF);
}
END_TEST

/* (ident, filter, udata) is the key of one of them: what has no flag is not for it. */
START_TEST(user__trigger_without_ev_udata_specific_is_for_who_has_it_not)
{
	kq = queue();
	ck_assert_int_eq(touch(1, EV_ADD | EV_CLEAR | EV_UDATA_SPECIFIC, 0, 0, &mark[1]), 0);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 0, &mark[1]), ENOENT);
	no_event(kq);
	ck_assert_int_eq(touch(1, EV_ADD | EV_CLEAR, 0, 0, &mark[2]), 0);
	ck_assert_int_eq(touch(1, 0, NOTE_TRIGGER, 5, &mark[3]), 0);
	struct kevent event = user_event();
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_int_eq(event.data, 5);
	ck_assert_ptr_eq(event.udata, &mark[3]);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(user__trigger_need_not_be_aligned)
{
	char room[sizeof(struct kevent) + 1];
	struct kevent kev;
	void *at = room + 1;

	begin(EV_CLEAR, 0);
	EV_SET(&kev, 1, EVFILT_USER, 0, NOTE_TRIGGER, 7, &mark[1]);
	memcpy(at, &kev, sizeof(kev));
	ck_assert_int_eq(kevent(kq, at, 1, NULL, 0, NULL), 0);
	kev = user_event();
	ck_assert_int_eq(kev.data, 7);
	ck_assert_ptr_eq(kev.udata, &mark[1]);
	close(kq);
}
END_TEST

HARNESS_MAIN("user",
    user__is_not_ready_untriggered,
    user__trigger_fires,
    user__trigger_in_the_creating_call_fires,
    user__trigger_in_a_repeated_add_fires,
    user__trigger_needs_a_registration,
    user__trigger_with_ev_enable_fires,
    user__stays_ready_until_deleted,
    user__stays_ready_until_disabled,
    user__clear_fires_once_a_trigger,
    user__triggers_before_delivery_are_one_event,
    user__change_with_ev_clear_resets_the_trigger,
    user__change_with_ev_clear_and_a_trigger_triggers,
    user__change_without_ev_clear_keeps_the_trigger,
    user__change_after_delivery_does_not_fire_again,
    user__fflags_are_stored_at_creation,
    user__fflags_operations,
    user__only_24_bits_are_stored,
    user__stored_fflags_survive_delivery,
    user__every_change_replaces_data,
    user__every_change_replaces_udata,
    user__trigger_of_a_disabled_one_is_kept,
    user__enabling_an_untriggered_one_does_not_fire,
    user__oneshot_is_deleted_after_its_trigger,
    user__dispatch_waits_for_enable,
    user__any_ident_will_do,
    user__only_the_triggered_one_of_many_fires,
    user__trigger_wakes_a_waiting_thread,
    user__trigger_before_the_wait_is_not_lost,
    user__trigger_and_collect_in_one_call,
    user__trigger_of_what_is_no_queue_is_ebadf,
    user__trigger_without_ev_udata_specific_is_for_who_has_it_not,
    user__trigger_need_not_be_aligned)
