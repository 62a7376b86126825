/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_VNODE on very many files, and with more events than Linux keeps. */
#include "vnode.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)
#define GROWS	(NOTE_WRITE | NOTE_EXTEND)

static int kq;

static void
watch(int file, unsigned int notes)
{
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE, EV_ADD | EV_CLEAR, notes, 0, NULL),
	    0);
}

/* How many descriptors of this process are inotify instances. */
static int
instances(void)
{
	DIR *dir = opendir("/proc/self/fd");
	char target[64];
	struct dirent *entry;
	int count = 0;
	ssize_t n;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		count += strcmp(target, "anon_inode:inotify") == 0;
	}
	closedir(dir);
	return count;
}

#define MANY	1000

START_TEST(vnode_many__a_thousand_files_use_one_instance)
{
	struct rlimit limit;
	static int files[MANY];
	struct kevent events[8];
	char name[16];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	kq = queue();
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		files[i] = scratch_file(name);
		watch(files[i], ALL);
	}
	ck_assert_int_eq(instances(), 1);
	put(files[0], 1);
	put(files[MANY / 2], 1);
	put(files[MANY - 1], 1);
	ck_assert_int_eq(collect(kq, events, 8, 0), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(events[i].fflags, GROWS);
	for (int i = 0; i < MANY; i++)
		close(files[i]);
	no_event(kq);
	ck_assert_int_eq(instances(), 1);
	close(kq);
	ck_assert_int_eq(instances(), 0);
}
END_TEST

#define CROWD	100000

/* The number in a file of /proc/sys. */
static long
setting(const char *name)
{
	FILE *file = fopen(name, "re");
	long value = 0;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%ld", &value), 1);
	fclose(file);
	return value;
}

/* How many files of CROWD can be open and watched. */
static int
room_for_crowd(void)
{
	const long watches = setting("/proc/sys/fs/inotify/max_user_watches") - 1000;
	struct rlimit limit = { .rlim_cur = CROWD + 1000, .rlim_max = CROWD + 1000 };
	long room = CROWD;

	if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
		ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
		limit.rlim_cur = limit.rlim_max;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		room = (long)limit.rlim_max - 1000;
	}
	return (int)(room < watches ? room : watches);
}

/* A registration beside others on the file, which is told of as the one with this number. */
static void
watch_as(int file, uintptr_t number)
{
	ck_assert_int_eq(change(kq, (uintptr_t)file, EVFILT_VNODE,
	    EV_ADD | EV_CLEAR | EV_UDATA_SPECIFIC, NOTE_ATTRIB, 0, (void *)number), 0);
}

/* Files of the memory; where there may not be so many, some have several registrations. */
START_TEST(vnode_many__a_hundred_thousand_registrations)
{
	static int files[CROWD];
	static bool seen[CROWD];
	struct kevent events[64];
	int n, told_of = 0, room = room_for_crowd(), expected = 0;

	ck_assert_int_gt(room, 100);
	if (room < CROWD)
		fprintf(stderr, "only %d of %d files\n", room, CROWD);
	kq = queue();
	for (int i = 0; i < CROWD; i++) {
		files[i] = i < room ? memfd_create("crowd", MFD_CLOEXEC) : files[i % room];
		ok(files[i]);
		watch_as(files[i], (uintptr_t)i);
	}
	ck_assert_int_eq(instances(), 1);
	no_event(kq);
	for (int i = 0; i < room; i += 97)
		ok(fchmod(files[i], 0600));
	for (int i = 0; i < CROWD; i++)
		expected += i % room % 97 == 0;
	while ((n = collect(kq, events, 64, 0)) > 0)
		for (int i = 0; i < n; i++, told_of++) {
			uintptr_t which = (uintptr_t)events[i].udata;

			ck_assert_uint_eq(events[i].fflags, NOTE_ATTRIB);
			ck_assert_uint_eq(events[i].ident, (uintptr_t)files[which]);
			ck_assert(which % (uintptr_t)room % 97 == 0 && !seen[which]);
			seen[which] = true;
		}
	ck_assert_int_eq(told_of, expected);
	for (int i = 0; i < room; i++)
		close(files[i]);
	no_event(kq);
	close(kq);
}
END_TEST

START_TEST(vnode_many__registrations_come_and_go_many_times)
{
	int before, files[16];
	char name[16];

	kq = queue();
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "%d", i);
		files[i] = scratch_file(name);
	}
	watch(files[0], ALL);
	before = open_descriptors();
	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 16; i++)
			watch(files[i], ALL);
		put(files[round % 16], 1);
		if (round % 2 == 0)
			ck_assert_uint_eq(told_of(kq, files[round % 16]), GROWS);
		for (int i = 0; i < 16; i++)
			ck_assert_int_eq(change(kq, (uintptr_t)files[i], EVFILT_VNODE, EV_DELETE,
			    0, 0, NULL), 0);
		no_event(kq);
	}
	ck_assert_int_eq(open_descriptors(), before);
	for (int i = 0; i < 16; i++)
		close(files[i]);
	close(kq);
}
END_TEST

/* How many events of Linux's wait in an instance before it loses some. */
static long
limit_of_events(void)
{
	return setting("/proc/sys/fs/inotify/max_queued_events");
}

/* Fills it; two files by turns, since equal events one after the other are one. */
static void
overflow(void)
{
	int a = scratch_file("noise1"), b = scratch_file("noise2");

	watch(a, NOTE_WRITE);
	watch(b, NOTE_WRITE);
	for (long i = limit_of_events() / 2 + 8; i > 0; i--) {
		put(a, 1);
		put(b, 1);
	}
	close(a);
	close(b);
}

static const char *const lost[] = {
	"written", "grown", "truncated", "chmodded", "unlinked", "renamed", "linked", "untouched",
};
#define LOST	(sizeof(lost) / sizeof(lost[0]))

static void
change_all(const int *files)
{
	ck_assert_int_eq((int)pwrite(files[0], "y", 1, 0), 1);
	put(files[1], 1);
	ok(ftruncate(files[2], 3));
	ok(fchmod(files[3], 0600));
	ok(unlink(scratch_name(lost[4])));
	ok(rename(scratch_name(lost[5]), scratch_name("new")));
	ok(link(scratch_name(lost[6]), scratch_name("link")));
}

START_TEST(vnode_many__overflow_loses_no_state)
{
	static const unsigned int expected[LOST] = {
		NOTE_WRITE, GROWS, NOTE_WRITE | NOTE_TRUNCATE, NOTE_ATTRIB,
		NOTE_DELETE | NOTE_LINK, NOTE_RENAME, NOTE_LINK, 0,
	};
	unsigned int notes[LOST] = { 0 };
	struct kevent event;
	int files[LOST];

	if (limit_of_events() > 200000) {
		fprintf(stderr, "skipped: Linux would queue too many events\n");
		return;
	}
	kq = queue();
	for (size_t i = 0; i < LOST; i++) {
		files[i] = scratch_file(lost[i]);
		put(files[i], 10);
		watch(files[i], ALL);
	}
	overflow();
	change_all(files);
	while (collect(kq, &event, 1, 0) == 1)
		for (size_t i = 0; i < LOST; i++)
			if (event.ident == (uintptr_t)files[i])
				notes[i] |= event.fflags;
	for (size_t i = 0; i < LOST; i++)
		ck_assert_msg((notes[i] & expected[i]) == expected[i] &&
		    (notes[i] == 0) == (expected[i] == 0), "%s: told %#x where %#x was expected",
		    lost[i], notes[i], expected[i]);
	/* And all goes on. */
	put(files[0], 20);
	ck_assert_uint_eq(told_of(kq, files[0]), GROWS);
	for (size_t i = 0; i < LOST; i++)
		close(files[i]);
	close(kq);
}
END_TEST

START_TEST(vnode_many__overflow_loses_no_state_of_directories)
{
	const char *const names[] = { "changed", "removed", "moved", "quiet" };
	struct kevent events[8];
	unsigned int notes[4] = { 0 };
	int dirs[4];

	if (limit_of_events() > 200000) {
		fprintf(stderr, "skipped: Linux would queue too many events\n");
		return;
	}
	kq = queue();
	for (int i = 0; i < 4; i++) {
		ok(mkdir(scratch_name(names[i]), 0755));
		ok(dirs[i] = open(scratch_name(names[i]), O_RDONLY | O_DIRECTORY));
		watch(dirs[i], NOTE_WRITE | NOTE_LINK | NOTE_DELETE);
	}
	overflow();
	ok(mkdirat(dirs[0], "new", 0755));
	ok(rmdir(scratch_name("removed")));
	ok(rename(scratch_name("moved"), scratch_name("changed/moved")));
	for (int n; (n = collect(kq, events, 8, 0)) > 0;)
		for (int i = 0; i < n; i++)
			for (int j = 0; j < 4; j++)
				if (events[i].ident == (uintptr_t)dirs[j])
					notes[j] |= events[i].fflags;
	ck_assert_uint_eq(notes[0], NOTE_WRITE | NOTE_LINK);
	ck_assert_uint_eq(notes[1], NOTE_DELETE | NOTE_LINK);
	ck_assert_uint_eq(notes[3], 0);
	/* That it was moved was lost, but not where to. */
	ok(rmdir(scratch_name("changed/moved")));
	for (int n; (n = collect(kq, events, 8, 0)) > 0;)
		for (int i = 0; i < n; i++)
			if (events[i].ident == (uintptr_t)dirs[2])
				notes[2] |= events[i].fflags;
	ck_assert_uint_eq(notes[2], NOTE_DELETE | NOTE_LINK);
	for (int i = 0; i < 4; i++)
		close(dirs[i]);
	close(kq);
}
END_TEST

HARNESS_MAIN("vnode_many",
	vnode_many__a_thousand_files_use_one_instance,
	vnode_many__a_hundred_thousand_registrations,
	vnode_many__registrations_come_and_go_many_times,
	vnode_many__overflow_loses_no_state,
	vnode_many__overflow_loses_no_state_of_directories)
