/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_VNODE while the file changes: what is seen early must still be told. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: empties and removes the directory. */
static void
remove_it(const char *dir, const char *file)
{
	unlink(file);
	_exit(rmdir(dir) == 0 ? 0 : 1);
}

/*
 * The last entry's event may be looked at when the directory is gone already,
 * but its parent's watch has not told so.
 */
START_TEST(vnode_race__removal_after_the_last_entry_is_told)
{
	char dir[96], file[112];
	int kq = queue();

	snprintf(dir, sizeof(dir), "%s/dir", scratch_dir());
	snprintf(file, sizeof(file), "%s/file", dir);
	for (int i = 0; i < 300; i++) {
		unsigned seen = 0;
		int fd, status;
		pid_t pid;

		ck_assert_int_eq(mkdir(dir, 0755), 0);
		close(open(file, O_WRONLY | O_CREAT, 0644));
		fd = open(dir, O_RDONLY | O_DIRECTORY);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR,
		    NOTE_DELETE | NOTE_WRITE, 0, NULL), 0);
		pid = fork();
		if (pid == 0)
			remove_it(dir, file);
		while ((seen & NOTE_DELETE) == 0)
			seen |= event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags;
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		close(fd);
	}
	close(kq);
}
END_TEST

/*
 * A name that goes is gone a moment after the count has fallen.  That moment
 * over, what has gone was another name, and the own one may still follow.
 */
START_TEST(vnode_race__own_name_goes_after_another)
{
	char own[96], other[96];
	int fd, kq = queue();

	/* Disabled after delivery, it must not be given up. */
	snprintf(own, sizeof(own), "%s/own", scratch_dir());
	snprintf(other, sizeof(other), "%s/other", scratch_dir());
	fd = open(own, O_RDWR | O_CREAT, 0644);
	ck_assert_int_eq(link(own, other), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_DISPATCH | EV_CLEAR,
	    NOTE_DELETE, 0, NULL), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(unlink(i == 0 ? other : own), 0);
		ck_assert_uint_eq(event_of(kq, (uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_DELETE);
		while (readable(kq, 300))
			no_event(kq);
		ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ENABLE, 0, 0, NULL), 0);
		while (readable(kq, 300))
			no_event(kq);
		if (i == 0)
			ck_assert_int_eq(link(own, other), 0);
	}
	close(fd);
	close(kq);
}
END_TEST

HARNESS_MAIN("vnode_race",
	vnode_race__removal_after_the_last_entry_is_told,
	vnode_race__own_name_goes_after_another)
