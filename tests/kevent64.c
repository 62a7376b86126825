/* SPDX-License-Identifier: BSD-2-Clause */
/* kevent64(): the wider structure, its flags, and what it shares with kevent(). */
#include "harness.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct timespec zero = { 0, 0 };
static const struct timespec long_time = { HARNESS_TIMEOUT, 0 };

/* Applies one change with ext; 0 or the errno. */
static int
change64(int kq, uint64_t ident, short filter, unsigned int flags, unsigned int fflags,
    int64_t data, uint64_t udata, uint64_t ext0, uint64_t ext1)
{
	struct kevent64_s kev;

	EV_SET64(&kev, ident, filter, (unsigned short)flags, fflags, data, udata, ext0, ext1);
	return kevent64(kq, &kev, 1, NULL, 0, 0, NULL) == 0 ? 0 : errno;
}

static int
collect64(int kq, struct kevent64_s *events, int n)
{
	return kevent64(kq, NULL, 0, events, n, 0, &zero);
}

static struct kevent64_s
event64_of(int kq, uint64_t ident, short filter)
{
	struct kevent64_s event;

	ck_assert_int_eq(kevent64(kq, NULL, 0, &event, 1, 0, &long_time), 1);
	ck_assert_uint_eq(event.ident, ident);
	ck_assert_int_eq(event.filter, filter);
	return event;
}

START_TEST(kevent64__every_member_comes_back)
{
	int kq = queue(), fds[2];

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change64(kq, (uint64_t)fds[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0,
	    UINT64_C(0x12345678), 1, UINT64_MAX), 0);
	put(fds[1], 5);
	struct kevent64_s event = event64_of(kq, (uint64_t)fds[0], EVFILT_READ);
	ck_assert_uint_eq(event.flags, EV_CLEAR);
	ck_assert_uint_eq(event.fflags, 0);
	ck_assert_int_eq(event.data, 5);
	ck_assert_uint_eq(event.udata, UINT64_C(0x12345678));
	ck_assert_uint_eq(event.ext[0], 1);
	ck_assert_uint_eq(event.ext[1], UINT64_MAX);
	ck_assert_int_eq(collect64(kq, &event, 1), 0);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent64__ext_is_each_registrations_own)
{
	struct kevent64_s events[4];
	int kq = queue();

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(change64(kq, i, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0,
		    i == 1 ? 0 : i, i == 1 ? 0 : i * 10), 0);
	ck_assert_int_eq(collect64(kq, events, 4), 4);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t ident = events[i].ident;

		ck_assert_uint_eq(events[i].ext[0], ident == 1 ? 0 : ident);
		ck_assert_uint_eq(events[i].ext[1], ident == 1 ? 0 : ident * 10);
	}
	close(kq);
}
END_TEST

START_TEST(kevent64__a_change_replaces_ext)
{
	int kq = queue();

	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD, 0, 0, 0, 1, 2), 0);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, 7, 3, 4), 0);
	struct kevent64_s event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.udata, 7);
	ck_assert_uint_eq(event.ext[0], 3);
	ck_assert_uint_eq(event.ext[1], 4);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_KEEPUDATA, 0, 0, 8, 5, 6), 0);
	event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.udata, 7);
	ck_assert_uint_eq(event.ext[0], 3);
	ck_assert_uint_eq(event.ext[1], 4);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, 0, 0, 0, 8, 0, 0), 0);
	event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.ext[0], 0);
	ck_assert_uint_eq(event.ext[1], 0);
	close(kq);
}
END_TEST

START_TEST(kevent64__a_failed_change_leaves_ext)
{
	int kq = queue();

	ck_assert_int_eq(change64(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_NSECONDS, 1, 0, 1, 2), 0);
	ck_assert_int_eq(change64(kq, 1, EVFILT_TIMER, EV_ADD, 0, -1, 0, 3, 4), EINVAL);
	struct kevent64_s event = event64_of(kq, 1, EVFILT_TIMER);
	ck_assert_uint_eq(event.ext[0], 1);
	ck_assert_uint_eq(event.ext[1], 2);
	close(kq);
}
END_TEST

START_TEST(kevent64__a_new_registration_has_no_old_ext)
{
	int kq = queue(), fds[2];

	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, 0, 1, 2), 0);
	event64_of(kq, 1, EVFILT_USER);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	struct kevent64_s event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.ext[0] | event.ext[1], 0);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, 0, 9, 9), 0);

	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change64(kq, (uint64_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, 0, 3, 4), 0);
	close_pair(fds);
	pair(PAIR_PIPE, fds);
	ck_assert_int_eq(change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
	event = event64_of(kq, (uint64_t)fds[1], EVFILT_WRITE);
	ck_assert_uint_eq(event.ext[0] | event.ext[1], 0);
	close_pair(fds);
	close(kq);
}
END_TEST

START_TEST(kevent64__a_one_shot_event_has_its_ext)
{
	int kq = queue();

	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD | EV_ONESHOT, NOTE_TRIGGER, 0, 0, 1, 2), 0);
	struct kevent64_s event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.ext[0], 1);
	ck_assert_uint_eq(event.ext[1], 2);
	close(kq);
}
END_TEST

START_TEST(kevent64__and_kevent_share_registrations)
{
	int mark, kq = queue();

	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD, 0, 0, (uintptr_t)&mark, 1, 2), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 5, &mark), 0);
	struct kevent narrow = event_of(kq, 1, EVFILT_USER);
	ck_assert_ptr_eq(narrow.udata, &mark);
	ck_assert_int_eq(narrow.data, 5);
	/* kevent() has no ext to give, so it leaves it. */
	struct kevent64_s event = event64_of(kq, 1, EVFILT_USER);
	ck_assert_uint_eq(event.udata, (uintptr_t)&mark);
	ck_assert_uint_eq(event.ext[0], 1);
	ck_assert_uint_eq(event.ext[1], 2);

	ck_assert_int_eq(change(kq, 2, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
	ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
	event = event64_of(kq, 2, EVFILT_USER);
	ck_assert_uint_eq(event.ext[0] | event.ext[1], 0);
	ck_assert_int_eq(change64(kq, 2, EVFILT_USER, EV_DELETE, 0, 0, 0, 0, 0), 0);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(kevent64__receipts_and_errors_have_ext_as_given)
{
	struct kevent64_s list[3];
	int kq = queue();

	EV_SET64(&list[0], 1, EVFILT_USER, EV_ADD | EV_RECEIPT, 0, 1, 2, 3, 4);
	EV_SET64(&list[1], 2, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 1, 2, 3, 4);
	EV_SET64(&list[2], 3, EVFILT_USER, EV_DELETE, 0, 5, 6, 7, 8);
	ck_assert_int_eq(kevent64(kq, list, 3, list, 3, 0, &long_time), 2);
	ck_assert_uint_eq(list[0].ident, 1);
	ck_assert_uint_eq(list[0].flags, EV_ADD | EV_RECEIPT | EV_ERROR);
	ck_assert_int_eq(list[0].data, 0);
	ck_assert_uint_eq(list[0].udata, 2);
	ck_assert_uint_eq(list[0].ext[0], 3);
	ck_assert_uint_eq(list[0].ext[1], 4);
	ck_assert_uint_eq(list[1].ident, 3);
	ck_assert_uint_eq(list[1].flags, EV_DELETE | EV_ERROR);
	ck_assert_int_eq(list[1].data, ENOENT);
	ck_assert_uint_eq(list[1].ext[0], 7);
	ck_assert_uint_eq(list[1].ext[1], 8);
	close(kq);
}
END_TEST

START_TEST(kevent64__immediate_does_not_wait)
{
	struct kevent64_s event;
	int kq = queue();

	ck_assert_int_eq(kevent64(kq, NULL, 0, &event, 1, KEVENT_FLAG_IMMEDIATE, NULL), 0);
	ck_assert_int_eq(kevent64(kq, NULL, 0, &event, 1, KEVENT_FLAG_IMMEDIATE, &long_time), 0);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0, 0, 0), 0);
	ck_assert_int_eq(kevent64(kq, NULL, 0, &event, 1, KEVENT_FLAG_IMMEDIATE, NULL), 1);
	close(kq);
}
END_TEST

START_TEST(kevent64__error_events_are_all_that_comes)
{
	struct kevent64_s list[2];
	int kq = queue();

	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0, 0, 0), 0);
	ck_assert_int_eq(kevent64(kq, NULL, 0, list, 2, KEVENT_FLAG_ERROR_EVENTS, NULL), 0);
	EV_SET64(&list[0], 2, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, 0, 0, 0);
	ck_assert_int_eq(kevent64(kq, list, 1, list, 2, KEVENT_FLAG_ERROR_EVENTS, NULL), 0);
	EV_SET64(&list[0], 3, EVFILT_USER, EV_DELETE, 0, 0, 0, 0, 0);
	ck_assert_int_eq(kevent64(kq, list, 1, list, 2,
	    KEVENT_FLAG_ERROR_EVENTS | KEVENT_FLAG_IMMEDIATE, NULL), 1);
	ck_assert_int_eq(list[0].data, ENOENT);
	ck_assert_int_eq(collect64(kq, list, 2), 2);
	close(kq);
}
END_TEST

START_TEST(kevent64__other_flags_are_invalid)
{
	struct kevent64_s kev;
	int kq = queue();

	EV_SET64(&kev, 1, EVFILT_USER, EV_ADD, 0, 0, 0, 0, 0);
	ck_assert_int_eq(KEVENT_FLAG_NONE, 0);
	for (unsigned int bit = 1; bit != 0; bit <<= 1) {
		if ((bit & (KEVENT_FLAG_IMMEDIATE | KEVENT_FLAG_ERROR_EVENTS)) != 0)
			continue;
		errno = 0;
		ck_assert_int_eq(kevent64(kq, &kev, 1, NULL, 0, bit, &zero), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
	/* Nothing was applied. */
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, 0, 0, 0), ENOENT);
	ck_assert_int_eq(kevent64(-1, &kev, 1, NULL, 0, 0x80, &zero), -1);
	ck_assert_int_eq(errno, EBADF);
	close(kq);
}
END_TEST

START_TEST(kevent64__bad_arguments_fail_as_those_of_kevent)
{
	const struct timespec bad = { -1, 0 };
	struct kevent64_s kev;
	int kq = queue();

	EV_SET64(&kev, 1, EVFILT_USER, EV_ADD, 0, 0, 0, 0, 0);
	ck_assert_int_eq(kevent64(kq, &kev, -1, NULL, 0, 0, &zero), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(kevent64(kq, NULL, 1, NULL, 0, 0, &zero), -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(kevent64(kq, &kev, 1, NULL, 1, 0, &zero), -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(kevent64(kq, &kev, 1, NULL, 0, 0, &bad), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(change64(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, 0, 0, 0), ENOENT);
	close(kq);
}
END_TEST

/* So many that epoll's reports are read into the caller's own array. */
#define MANY	1500

START_TEST(kevent64__many_descriptors_in_one_call)
{
	static struct kevent64_s events[2 * MANY + 10];
	static bool seen[2][2 * MANY + 2000];
	static int fds[MANY][2];
	struct rlimit limit;
	int kq = queue(), n;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < MANY; i++) {
		pair(PAIR_UNIX, fds[i]);
		put(fds[i][1], 1);
		uint64_t fd = (uint64_t)fds[i][0];

		ck_assert_int_eq(change64(kq, fd, EVFILT_READ, EV_ADD, 0, 0, fd, fd, fd + 1), 0);
		ck_assert_int_eq(change64(kq, fd, EVFILT_WRITE, EV_ADD, 0, 0, fd, 0, fd + 2), 0);
	}
	memset(events, 0x5a, sizeof(events));
	n = kevent64(kq, NULL, 0, events, 2 * MANY + 9, 0, &zero);
	ck_assert_int_eq(n, 2 * MANY);
	for (int i = 0; i < n; i++) {
		const struct kevent64_s *e = &events[i];
		bool writes = e->filter == EVFILT_WRITE;

		ck_assert(!seen[writes][e->ident]);
		seen[writes][e->ident] = true;
		ck_assert_uint_eq(e->udata, e->ident);
		ck_assert_uint_eq(e->ext[0], writes ? 0 : e->ident);
		ck_assert_uint_eq(e->ext[1], e->ident + (writes ? 2 : 1));
	}
	ck_assert_uint_eq(events[2 * MANY + 9].ident, UINT64_C(0x5a5a5a5a5a5a5a5a));
	for (int i = 0; i < MANY; i++)
		close_pair(fds[i]);
	ck_assert_int_eq(kevent64(kq, NULL, 0, events, 2 * MANY, 0, &zero), 0);
	close(kq);
}
END_TEST

HARNESS_MAIN("kevent64",
    kevent64__every_member_comes_back,
    kevent64__ext_is_each_registrations_own,
    kevent64__a_change_replaces_ext,
    kevent64__a_failed_change_leaves_ext,
    kevent64__a_new_registration_has_no_old_ext,
    kevent64__a_one_shot_event_has_its_ext,
    kevent64__and_kevent_share_registrations,
    kevent64__receipts_and_errors_have_ext_as_given,
    kevent64__immediate_does_not_wait,
    kevent64__error_events_are_all_that_comes,
    kevent64__other_flags_are_invalid,
    kevent64__bad_arguments_fail_as_those_of_kevent,
    kevent64__many_descriptors_in_one_call)
