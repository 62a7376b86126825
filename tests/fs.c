/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_FS, in a mount name space that each test makes. */
#include "fs.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(fs__mount_and_unmount)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	no_event(kq);
	ck_assert(!readable(kq, 0));
	mount_on(one);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_MOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	close(kq);
}
END_TEST

START_TEST(fs__a_waiter_wakes)
{
	struct waiter w;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 7, EV_ADD, ALL), 0);
	waiter_start(&w, kq, -1);
	mount_on(one);
	waiter_join(&w);
	ck_assert_int_eq(w.count, 1);
	ck_assert_uint_eq(w.event.ident, 7);
	ck_assert_uint_eq(w.event.fflags, VQ_MOUNT);
	unmount(one);
	close(kq);
}
END_TEST

START_TEST(fs__only_what_was_asked)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 1, EV_ADD, VQ_MOUNT), 0);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, VQ_UNMOUNT | 0x10000), 0);
	ck_assert_int_eq(fs(kq, 3, EV_ADD, 0x10000), 0);
	mount_on(one);
	expect(kq, 1, VQ_MOUNT);
	no_event(kq);
	unmount(one);
	expect(kq, 2, VQ_UNMOUNT);
	no_event(kq);
	/* Without notes: all. */
	ck_assert_int_eq(fs(kq, 4, EV_ADD, 0), 0);
	ck_assert_int_eq(fs(kq, 1, EV_DELETE, 0), 0);
	mount_on(one);
	expect(kq, 4, VQ_MOUNT);
	no_event(kq);
	/* What has happened goes by the old notes, what comes by the new ones. */
	unmount(one);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, VQ_MOUNT), 0);
	expect(kq, 4, VQ_UNMOUNT);
	no_event(kq);
	mount_on(one);
	ck_assert_int_eq(fs(kq, 4, EV_DELETE, 0), 0);
	expect(kq, 2, VQ_MOUNT);
	unmount(one);
	close(kq);
}
END_TEST

/* What is mounted at last is told as well as what is no longer. */
START_TEST(fs__several_changes_in_one_event)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	/* The new one gets the number of the old one. */
	unmount(one);
	mount_on(two);
	expect(kq, 0, ALL);
	mount_on(one);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	unmount(one);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

/* What has happened stays to be told when what is asked for, or whether, is said again. */
START_TEST(fs__changed_while_there_is_an_event)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	mount_on(one);
	unmount(one);
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, 0, 0), 0);
	ck_assert_int_eq(fs(kq, 0, 0, VQ_UNMOUNT), 0);
	expect(kq, 0, VQ_UNMOUNT);
	mount_on(one);
	no_event(kq);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* What leaves the table as it was. */
START_TEST(fs__between_two_looks)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	mount_on(one);
	unmount(one);
	expect(kq, 0, ALL);
	no_event(kq);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	mount_on(one);
	expect(kq, 0, ALL);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__remounting_is_no_event)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	ok(mount("none", one, "", MS_REMOUNT | MS_RDONLY, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_SHARED, NULL));
	no_event(kq);
	ok(mount("none", one, "", MS_REMOUNT | MS_BIND, NULL));
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

START_TEST(fs__bind_and_move)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	ok(mount(one, two, "", MS_BIND, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	ok(mount(one, two, "", MS_MOVE, NULL));
	expect(kq, 0, ALL);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* Names may be anything, and long. */
START_TEST(fs__odd_names)
{
	static const char odd[] = "/ - \n\\ \t-";
	char path[sizeof(one) + sizeof(odd)], options[4000], deep[4000];
	int kq, i;

	if (!begin())
		return;
	kq = queue();
	snprintf(path, sizeof(path), "%s%s", one, odd);
	ok(mkdir(path, 0700));
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	ok(mount(" - - \n", path, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	ok(mount("", one, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	unmount(path);
	expect(kq, 0, VQ_UNMOUNT);
	/* A source that fills a page, on a path that does. */
	memset(options, ' ', sizeof(options) - 1);
	options[sizeof(options) - 1] = '\0';
	strcpy(deep, one);
	for (i = 0; i < 14; i++) {
		memset(deep + strlen(deep) + 1, '\0', 251);
		memset(deep + strlen(deep) + 1, '\n', 250);
		deep[strlen(deep)] = '/';
		ok(mkdir(deep, 0700));
	}
	ok(mount(options, deep, "tmpfs", 0, NULL));
	expect(kq, 0, VQ_MOUNT);
	mount_on(two);
	expect(kq, 0, VQ_MOUNT);
	unmount(deep);
	expect(kq, 0, VQ_UNMOUNT);
	unmount(two);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__thousands)
{
	char path[sizeof(one) + 16];
	int kq, i;

	if (!begin())
		return;
	kq = queue();
	mount_on(one);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	for (i = 0; i < 4200; i++) {
		snprintf(path, sizeof(path), "%s/%d", one, i);
		ok(mkdir(path, 0700));
		ok(mount(two, path, "", MS_BIND, NULL));
	}
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	unmount(path);
	expect(kq, 0, VQ_UNMOUNT);
	ok(mount(two, path, "", MS_BIND, NULL));
	expect(kq, 0, VQ_MOUNT);
	unmount(path);
	ok(mount(one, path, "", MS_BIND, NULL));
	expect(kq, 0, ALL);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__disabled)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_DISABLE, ALL), 0);
	mount_on(one);
	ck_assert(!readable(kq, 50));
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	ck_assert(readable(kq, 10000));
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DISABLE, 0), 0);
	unmount(one);
	ck_assert(!readable(kq, 50));
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	expect(kq, 0, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(fs__dispatch_and_oneshot)
{
	struct kevent event;
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_DISPATCH, ALL), 0);
	mount_on(one);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_MOUNT);
	unmount(one);
	ck_assert(!readable(kq, 50));
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_UNMOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD | EV_ONESHOT, ALL), 0);
	no_event(kq);
	mount_on(one);
	event = event_of(kq, 0, EVFILT_FS);
	ck_assert_uint_eq(event.fflags, VQ_MOUNT);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), ENOENT);
	unmount(one);
	no_event(kq);
	close(kq);
}
END_TEST

/* One that comes later knows nothing of what was before. */
START_TEST(fs__future_events_only)
{
	int kq;

	if (!begin())
		return;
	kq = queue();
	ck_assert_int_eq(fs(kq, 1, EV_ADD, ALL), 0);
	mount_on(one);
	ck_assert_int_eq(fs(kq, 2, EV_ADD, ALL), 0);
	expect(kq, 1, VQ_MOUNT);
	no_event(kq);
	unmount(one);
	ck_assert_int_eq(fs(kq, 1, EV_DELETE, 0), 0);
	expect(kq, 2, VQ_UNMOUNT);
	no_event(kq);
	close(kq);
}
END_TEST

/* Several threads wait: none makes two events of one change. */
START_TEST(fs__several_waiters)
{
	struct waiter w[4];
	int kq, i, round;

	if (!begin())
		return;
	kq = watch_all();
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 4; i++)
			waiter_start(&w[i], kq, 10000);
		for (i = 0; i < 4; i++) {
			if (i % 2 == 0)
				mount_on(one);
			else
				unmount(one);
			nap(3);
		}
		/* Those that have slept on. */
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0, NULL), 0);
		for (i = 0; i < 4; i++) {
			waiter_join(&w[i]);
			ck_assert_int_eq(w[i].count, 1);
		}
		ck_assert_int_eq(change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
		while (collect(kq, &w[0].event, 1, 0) > 0)
			continue;
	}
	close(kq);
}
END_TEST

HARNESS_MAIN("fs",
    fs__mount_and_unmount,
    fs__a_waiter_wakes,
    fs__only_what_was_asked,
    fs__changed_while_there_is_an_event,
    fs__several_changes_in_one_event,
    fs__between_two_looks,
    fs__remounting_is_no_event,
    fs__bind_and_move,
    fs__odd_names,
    fs__thousands,
    fs__disabled,
    fs__dispatch_and_oneshot,
    fs__future_events_only,
    fs__several_waiters)
