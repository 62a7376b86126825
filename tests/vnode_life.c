/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of an EVFILT_VNODE registration: its flags, updates and end, and
 * several on one file.  Very many are in vnode_many.c.
 */
#include "vnode.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL	(NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | \
		NOTE_RENAME | NOTE_REVOKE | NOTE_TRUNCATE | NOTE_OPEN | NOTE_CLOSE | \
		NOTE_CLOSE_WRITE | NOTE_READ)
#define GROWS	(NOTE_WRITE | NOTE_EXTEND)

static int kq, fd;
static char path[128];

static void
begin(void)
{
	snprintf(path, sizeof(path), "%s", scratch_name("file"));
	fd = scratch_file("file");
	put(fd, 10);
	kq = queue();
}

static void
end(void)
{
	close(kq);
	close(fd);
}

static int
do_change(int q, int file, unsigned int flags, unsigned int notes)
{
	return change(q, (uintptr_t)file, EVFILT_VNODE, (unsigned short)flags, notes, 0, NULL);
}

static void
watch(int q, int file, unsigned int notes)
{
	ck_assert_int_eq(do_change(q, file, EV_ADD | EV_CLEAR, notes), 0);
}

/* What a queue has to tell of a file, and of no other; 0: nothing. */
static unsigned int
told(int q, int file)
{
	struct kevent event;

	if (collect(q, &event, 1, 0) == 0)
		return 0;
	ck_assert_int_eq(event.filter, EVFILT_VNODE);
	ck_assert_uint_eq(event.ident, (uintptr_t)file);
	return event.fflags;
}

START_TEST(vnode_life__oneshot)
{
	begin();
	ck_assert_int_eq(do_change(kq, fd, EV_ADD | EV_ONESHOT, NOTE_WRITE), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert_int_eq(do_change(kq, fd, EV_DELETE, 0), ENOENT);
	end();
}
END_TEST

START_TEST(vnode_life__disabled_one_keeps_recording)
{
	begin();
	watch(kq, fd, ALL);
	ck_assert_int_eq(do_change(kq, fd, EV_DISABLE, 0), 0);
	put(fd, 1);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(do_change(kq, fd, EV_ENABLE, 0), 0);
	ck_assert_uint_eq(told(kq, fd), GROWS | NOTE_ATTRIB);
	ck_assert_uint_eq(told(kq, fd), 0);
	end();
}
END_TEST

START_TEST(vnode_life__added_disabled)
{
	begin();
	ck_assert_int_eq(do_change(kq, fd, EV_ADD | EV_CLEAR | EV_DISABLE, NOTE_WRITE), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert_int_eq(do_change(kq, fd, EV_ADD, NOTE_WRITE), 0);
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert_int_eq(do_change(kq, fd, EV_ENABLE, 0), 0);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	end();
}
END_TEST

START_TEST(vnode_life__dispatch)
{
	begin();
	ck_assert_int_eq(do_change(kq, fd, EV_ADD | EV_CLEAR | EV_DISPATCH, ALL), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert_int_eq(do_change(kq, fd, EV_ENABLE, 0), 0);
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	end();
}
END_TEST

START_TEST(vnode_life__update_changes_what_is_asked_for)
{
	begin();
	watch(kq, fd, NOTE_WRITE);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), 0);
	watch(kq, fd, NOTE_ATTRIB | NOTE_OPEN);
	ck_assert_uint_eq(told(kq, fd), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), 0);
	ok(fchmod(fd, 0644));
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	close(open(path, O_RDONLY));
	ck_assert_uint_eq(told(kq, fd), NOTE_OPEN);
	/* Without EV_ADD, too, unless it asks for nothing. */
	ck_assert_int_eq(do_change(kq, fd, 0, NOTE_DELETE), 0);
	ck_assert_int_eq(do_change(kq, fd, 0, 0), 0);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), 0);
	ok(unlink(path));
	ck_assert_uint_eq(told(kq, fd), NOTE_DELETE);
	end();
}
END_TEST

START_TEST(vnode_life__update_takes_back_what_is_asked_for_no_more)
{
	begin();
	watch(kq, fd, ALL);
	put(fd, 1);
	ok(fchmod(fd, 0600));
	watch(kq, fd, NOTE_ATTRIB);
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	ok(fchmod(fd, 0644));
	watch(kq, fd, NOTE_DELETE);
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert(!readable(kq, 0));
	end();
}
END_TEST

START_TEST(vnode_life__update_to_the_same_loses_nothing)
{
	begin();
	watch(kq, fd, ALL);
	put(fd, 1);
	watch(kq, fd, ALL);
	ok(fchmod(fd, 0600));
	watch(kq, fd, ALL);
	ck_assert_uint_eq(told(kq, fd), GROWS | NOTE_ATTRIB);
	end();
}
END_TEST

/* What happened before is not told as if it had been asked for then. */
START_TEST(vnode_life__update_begins_with_what_the_file_is_then)
{
	begin();
	watch(kq, fd, NOTE_DELETE);
	put(fd, 10);
	watch(kq, fd, NOTE_WRITE);
	ok(link(path, scratch_name("link")));
	ok(fchmod(fd, 0600));
	ck_assert_int_eq((int)pwrite(fd, "x", 1, 0), 1);
	ck_assert_uint_eq(told(kq, fd), NOTE_WRITE);
	ok(unlink(path));
	watch(kq, fd, ALL);
	ok(fchmod(fd, 0644));
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	end();
}
END_TEST

START_TEST(vnode_life__deleted_one_tells_nothing)
{
	begin();
	watch(kq, fd, ALL);
	put(fd, 1);
	ck_assert_int_eq(do_change(kq, fd, EV_DELETE, 0), 0);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), 0);
	ck_assert_int_eq(do_change(kq, fd, EV_DELETE, 0), ENOENT);
	watch(kq, fd, ALL);
	ck_assert_uint_eq(told(kq, fd), 0);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	end();
}
END_TEST

START_TEST(vnode_life__close_removes_the_registration)
{
	int copy, again;

	begin();
	watch(kq, fd, ALL);
	ok(copy = dup(fd));
	put(fd, 1);
	close(fd);
	put(copy, 1);
	no_event(kq);
	/* The same file under the same number is another descriptor. */
	ok(again = dup2(copy, fd));
	ck_assert_int_eq(again, fd);
	put(copy, 1);
	no_event(kq);
	ck_assert_int_eq(do_change(kq, fd, EV_DELETE, 0), ENOENT);
	watch(kq, fd, ALL);
	put(copy, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	close(copy);
	end();
}
END_TEST

/* Linux reports the close itself, but the registration is gone by then. */
START_TEST(vnode_life__own_close_is_not_told)
{
	begin();
	watch(kq, fd, ALL);
	close(fd);
	no_event(kq);
	close(kq);
}
END_TEST

/* A close that cannot be seen: another file takes over the number. */
START_TEST(vnode_life__number_taken_over_unseen_tells_nothing_of_the_old_file)
{
	int copy, other;

	begin();
	watch(kq, fd, ALL);
	other = scratch_file("other");
	ok(copy = dup(fd));
	put(copy, 1);
	ok((int)syscall(SYS_dup3, other, fd, 0));
	no_event(kq);
	put(copy, 1);
	ok(fchmod(copy, 0600));
	no_event(kq);
	watch(kq, fd, ALL);
	put(copy, 1);
	no_event(kq);
	put(other, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	close(copy);
	close(other);
	end();
}
END_TEST

START_TEST(vnode_life__descriptor_closed_unseen_tells_nothing)
{
	int copy;

	begin();
	watch(kq, fd, ALL);
	ok(copy = dup(fd));
	put(copy, 1);
	ok((int)syscall(SYS_close, fd));
	no_event(kq);
	put(copy, 1);
	no_event(kq);
	ck_assert_int_eq(do_change(kq, fd, EV_ADD, ALL), EBADF);
	close(copy);
	close(kq);
}
END_TEST

/* Every one that watches the file is told once; the sum over all is returned. */
static unsigned int
told_each(int q, const int *files, int n)
{
	unsigned int notes[8] = { 0 }, all = 0;
	struct kevent events[8];
	int count = collect(q, events, 8, 0);

	ck_assert_int_eq(count, n);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < n; j++)
			if (events[i].ident == (uintptr_t)files[j]) {
				ck_assert_uint_eq(notes[j], 0);
				notes[j] = events[i].fflags;
			}
	for (int j = 0; j < n; j++) {
		ck_assert_uint_eq(notes[j], notes[0]);
		all |= notes[j];
	}
	no_event(q);
	return all;
}

START_TEST(vnode_life__descriptors_and_links_of_one_file_are_each_told)
{
	int files[4];

	begin();
	ok(link(path, scratch_name("link")));
	files[0] = fd;
	ok(files[1] = dup(fd));
	ok(files[2] = open(path, O_RDONLY));
	ok(files[3] = open(scratch_name("link"), O_RDONLY));
	for (int i = 0; i < 4; i++)
		watch(kq, files[i], ALL);
	put(fd, 1);
	ck_assert_uint_eq(told_each(kq, files, 4), GROWS);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told_each(kq, files, 4), NOTE_ATTRIB);
	ok(unlink(path));
	ck_assert_uint_eq(told_each(kq, files, 4), NOTE_DELETE | NOTE_LINK);
	close(files[1]);
	ok(unlink(scratch_name("link")));
	files[1] = files[3];
	ck_assert_uint_eq(told_each(kq, files, 3), NOTE_DELETE | NOTE_LINK);
	close(files[2]);
	close(files[3]);
	end();
}
END_TEST

START_TEST(vnode_life__each_descriptor_is_told_what_it_asked_for)
{
	int other;

	begin();
	ok(other = open(path, O_RDONLY));
	watch(kq, fd, NOTE_WRITE);
	watch(kq, other, NOTE_ATTRIB);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	ck_assert_uint_eq(told(kq, fd), 0);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, other), NOTE_ATTRIB);
	ck_assert_uint_eq(told(kq, other), 0);
	/* One that goes must not take the other's with it. */
	close(other);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	ok(fchmod(fd, 0644));
	ck_assert_uint_eq(told(kq, fd), 0);
	end();
}
END_TEST

/* One watch of Linux's serves both: what it had to tell the first is not the second's. */
START_TEST(vnode_life__second_descriptor_is_not_told_what_was_before_it)
{
	int other;

	begin();
	watch(kq, fd, ALL);
	ok(other = open(path, O_RDONLY));
	put(fd, 1);
	ok(unlink(path));
	watch(kq, other, ALL);
	ck_assert_uint_eq(told(kq, fd), GROWS | NOTE_DELETE | NOTE_LINK | NOTE_OPEN);
	ck_assert_uint_eq(told(kq, other), 0);
	close(other);
	end();
}
END_TEST

START_TEST(vnode_life__two_queues_are_each_told)
{
	int kq2;

	begin();
	kq2 = queue();
	watch(kq, fd, ALL);
	watch(kq2, fd, ALL);
	put(fd, 1);
	ck_assert_uint_eq(told(kq, fd), GROWS);
	ck_assert_uint_eq(told(kq2, fd), GROWS);
	close(kq2);
	ok(unlink(path));
	ck_assert_uint_eq(told(kq, fd), NOTE_DELETE | NOTE_LINK);
	end();
}
END_TEST

/* READ of a regular file listens to the same watch of Linux's. */
START_TEST(vnode_life__beside_a_read_registration)
{
	struct kevent events[2];

	begin();
	watch(kq, fd, NOTE_ATTRIB);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
	no_event(kq);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	ck_assert_int_eq((int)pwrite(fd, "xx", 2, 10), 2);
	ck_assert_int_eq(collect(kq, events, 2, 0), 1);
	ck_assert_int_eq(events[0].filter, EVFILT_READ);
	ck_assert_int_eq(events[0].data, 2);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
	ck_assert_int_eq((int)pwrite(fd, "xx", 2, 12), 2);
	no_event(kq);
	ok(fchmod(fd, 0644));
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	end();
}
END_TEST

START_TEST(vnode_life__forked_child_does_not_disturb)
{
	int status;
	pid_t pid;

	begin();
	watch(kq, fd, ALL);
	ok(pid = fork());
	if (pid == 0)
		_exit(close(kq) == -1 && errno == EBADF && close(fd) == 0 ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, fd), NOTE_ATTRIB);
	end();
}
END_TEST

/*
 * When the first thread has ended, /proc/self shows no descriptors.  0, or the number of what
 * was not as it should be.
 */
static void *
after_first_thread(void *arg)
{
	const int *dirs = arg;
	char target[64], own[32];
	int late;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	while (readlink(own, target, sizeof(target)) != -1)
		nap(1);
	/* What was registered before ... */
	if (unlink(path) == -1 || told(kq, fd) != (NOTE_DELETE | NOTE_LINK))
		_exit(1);
	if (rename(scratch_name("dir"), scratch_name("out/dir")) == -1 || told(kq, dirs[0]) != NOTE_RENAME)
		_exit(2);
	if (rmdir(scratch_name("out/dir")) == -1 || told(kq, dirs[0]) != (NOTE_DELETE | NOTE_LINK))
		_exit(3);
	/* ... and after. */
	if ((late = open(scratch_name("late"), O_RDWR | O_CREAT, 0644)) == -1 ||
	    do_change(kq, late, EV_ADD | EV_CLEAR, ALL) != 0 ||
	    change(kq, (uintptr_t)late, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, NULL) != 0 ||
	    do_change(kq, dirs[1], EV_ADD | EV_CLEAR, ALL) != 0)
		_exit(4);
	if (unlink(scratch_name("late")) == -1 || told(kq, late) != (NOTE_DELETE | NOTE_LINK))
		_exit(5);
	if (rmdir(scratch_name("dir2")) == -1 || told(kq, dirs[1]) != (NOTE_DELETE | NOTE_LINK))
		_exit(6);
	_exit(0);
}

static void
leave_first_thread(void)
{
	static int dirs[2];
	pthread_t thread;

	dirs[0] = open(scratch_name("dir"), O_RDONLY | O_DIRECTORY);
	dirs[1] = open(scratch_name("dir2"), O_RDONLY | O_DIRECTORY);
	kq = kqueue();
	if (kq == -1 || do_change(kq, fd, EV_ADD | EV_CLEAR, ALL) != 0 ||
	    do_change(kq, dirs[0], EV_ADD | EV_CLEAR, ALL) != 0 ||
	    pthread_create(&thread, NULL, after_first_thread, dirs) != 0)
		_exit(254);
	syscall(SYS_exit, 0);	/* as pthread_exit(), which would look for libraries first */
}

START_TEST(vnode_life__first_thread_has_ended)
{
	int status;
	pid_t pid;

	begin();
	ok(mkdir(scratch_name("dir"), 0755));
	ok(mkdir(scratch_name("dir2"), 0755));
	ok(mkdir(scratch_name("out"), 0755));
	ok(pid = fork());
	if (pid == 0)
		leave_first_thread();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	end();
}
END_TEST

/* What is asked for again is told, though an event from before it was given up is still to be read. */
START_TEST(vnode_life__what_is_asked_for_again_is_told)
{
	begin();
	ok(link(path, scratch_name("link")));
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_LINK, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD, 0, 0, NULL), 0);
	ok(unlink(scratch_name("link")));
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_LINK, 0, NULL), 0);
	no_event(kq);
	ok(unlink(path));
	ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_LINK);
	end();
}
END_TEST

/* What one asked for that is gone wakes nobody, whoever came before that was noticed. */
START_TEST(vnode_life__what_nobody_asks_for_any_more_wakes_nobody)
{
	int other, late;
	char c;

	begin();
	ok(other = open(path, O_RDONLY));
	ok(late = open(path, O_RDONLY));
	watch(kq, fd, NOTE_WRITE);
	watch(kq, other, NOTE_READ);
	ck_assert_int_eq(pread(late, &c, 1, 0), 1);
	ck_assert_int_eq(do_change(kq, other, EV_DELETE, 0), 0);
	watch(kq, late, NOTE_ATTRIB);
	no_event(kq);
	/* Linux may tell of one thing more. */
	ck_assert_int_eq(pread(late, &c, 1, 0), 1);
	no_event(kq);
	ck_assert_int_eq(pread(late, &c, 1, 0), 1);
	ck_assert(!readable(kq, 0));
	ok(fchmod(fd, 0600));
	ck_assert_uint_eq(told(kq, late), NOTE_ATTRIB);
	close(other);
	close(late);
	end();
}
END_TEST

HARNESS_MAIN("vnode_life",
	vnode_life__what_nobody_asks_for_any_more_wakes_nobody,
	vnode_life__what_is_asked_for_again_is_told,
	vnode_life__oneshot,
	vnode_life__disabled_one_keeps_recording,
	vnode_life__added_disabled,
	vnode_life__dispatch,
	vnode_life__update_changes_what_is_asked_for,
	vnode_life__update_takes_back_what_is_asked_for_no_more,
	vnode_life__update_to_the_same_loses_nothing,
	vnode_life__update_begins_with_what_the_file_is_then,
	vnode_life__deleted_one_tells_nothing,
	vnode_life__close_removes_the_registration,
	vnode_life__own_close_is_not_told,
	vnode_life__number_taken_over_unseen_tells_nothing_of_the_old_file,
	vnode_life__descriptor_closed_unseen_tells_nothing,
	vnode_life__descriptors_and_links_of_one_file_are_each_told,
	vnode_life__each_descriptor_is_told_what_it_asked_for,
	vnode_life__second_descriptor_is_not_told_what_was_before_it,
	vnode_life__two_queues_are_each_told,
	vnode_life__beside_a_read_registration,
	vnode_life__forked_child_does_not_disturb,
	vnode_life__first_thread_has_ended)
