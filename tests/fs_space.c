/* SPDX-License-Identifier: BSD-2-Clause */
/* EVFILT_FS: name spaces, other processes and users, and what the library needs for it. */
#include "child.h"
#include "fs.h"
#include "numbers.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* A queue stays in the name space where it began, until its last registration goes. */
START_TEST(fs_space__name_space_of_the_first)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	if (unshare(CLONE_NEWNS) == -1) {
		close(kq);
		return;
	}
	no_event(kq);
	mount_on(one);
	no_event(kq);
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
	no_event(kq);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* The table that NOTE_REVOKE has left is that of the name space of then. */
START_TEST(fs_space__name_space_of_an_earlier_revoke)
{
	int kq, fd;

	if (!begin())
		return;
	kq = queue();
	mount_on(two);
	ck_assert_int_ge(fd = open(two, O_RDONLY | O_DIRECTORY), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_REVOKE, 0, NULL), 0);
	ck_assert_int_eq(change(kq, (uintptr_t)fd, EVFILT_VNODE, EV_DELETE, 0, 0, NULL), 0);
	close(fd);
	if (unshare(CLONE_NEWNS) == 0) {
		ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
		no_event(kq);
		mount_on(one);
		expect(kq, 0, VQ_MOUNT);
		unmount(one);
		expect(kq, 0, VQ_UNMOUNT);
	}
	close(kq);
	unmount(two);
}
END_TEST

/* Somebody else's mounts, in the same name space. */
START_TEST(fs_space__mounted_by_another_process_forked_child)
{
	int kq, status, own;
	pid_t pid;

	if (!begin())
		return;
	kq = watch_all();
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (fs(kq, 0, EV_ADD, ALL) != EBADF || (own = kqueue()) == -1 ||
		    fs(own, 0, EV_ADD, ALL) != 0)
			_exit(1);
		mount_on(one);
		expect(own, 0, VQ_MOUNT);
		_exit(0);
	}
	expect(kq, 0, VQ_MOUNT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	unmount(one);
	expect(kq, 0, VQ_UNMOUNT);
	close(kq);
}
END_TEST

/* The last registration has gone; the table has not, for a child has it, too. */
START_TEST(fs_space__child_keeps_a_copy)
{
	pid_t pid;
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	pid = child_with_copies();
	ck_assert_int_eq(fs(kq, 0, EV_DELETE, 0), 0);
	mount_on(one);
	asleep(kq, 50);
	ck_assert(!readable(kq, 0));
	child_killed(pid);
	unmount(one);
	close(kq);
}
END_TEST

START_TEST(fs_space__ordinary_user)
{
	int kq, status, go[2];
	pid_t pid;

	if (getuid() != 0 || !begin())
		return;		/* then every other test was one */
	pair(PAIR_UNIX, go);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (!become_nobody())
			_exit(1);
		kq = queue();
		ck_assert_int_eq(fs(kq, 0, EV_ADD, ALL), 0);
		put(go[1], 1);
		expect(kq, 0, VQ_MOUNT);
		_exit(0);
	}
	get(go[0], 1);
	mount_on(one);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	unmount(one);
	close_pair(go);
}
END_TEST

START_TEST(fs_space__without_proc_it_is_not_supported)
{
	int kq, status;
	pid_t pid;

	if (!begin())
		return;
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		kq = kqueue();
		if (unshare(CLONE_NEWNS) == -1 || umount2("/proc", MNT_DETACH) == -1)
			_exit(251);
		_exit(fs(kq, 0, EV_ADD, ALL) == ENOTSUP ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 251)
		fprintf(stderr, "skipped: /proc cannot be taken away\n");
	else
		ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(fs_space__moved_descriptors)
{
	int kq;

	if (!begin())
		return;
	kq = watch_all();
	take_numbers(true);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	/* Disabled, an event may show once, but not stay. */
	ck_assert_int_eq(fs(kq, 0, EV_DISABLE, 0), 0);
	unmount(one);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	ck_assert_int_eq(fs(kq, 0, EV_ENABLE, 0), 0);
	expect(kq, 0, VQ_UNMOUNT);
	mount_on(one);
	expect(kq, 0, VQ_MOUNT);
	no_event(kq);
	ck_assert(!readable(kq, 0));
	unmount(one);
	take_numbers(false);
	close(kq);
}
END_TEST

/* The kernel's table of descriptors is full: an error, and nothing is left behind. */
START_TEST(fs_space__no_more_descriptors)
{
	int kq = queue(), fds[2], before;

	before = open_descriptors();
	ok(pipe(fds));
	for (int room = 0; room < 2; room++) {
		struct kevent kev;
		int error = 0;
		pid_t pid = fork();

		ck_assert_int_ne(pid, -1);
		if (pid == 0) {
			int fill[1100], n = 0, own = kqueue();

			close(fds[0]);
			while (n < 1100 && (fill[n] = dup(fds[1])) != -1)
				n++;
			if (n == 1100)
				_exit(251);
			if (room == 1)
				close(fill[n - 1]);
			EV_SET(&kev, 0, EVFILT_FS, EV_ADD, ALL, 0, NULL);
			if (kevent(own, &kev, 1, NULL, 0, NULL) != -1 || errno != EMFILE)
				_exit(1);
			while (n > 0)
				close(fill[--n]);
			if (kevent(own, &kev, 1, NULL, 0, NULL) != 0)
				_exit(2);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &error, 0), pid);
		ck_assert(error == 0 || (WIFEXITED(error) && WEXITSTATUS(error) == 251));
	}
	close_pair(fds);
	ck_assert_int_eq(open_descriptors(), before);
	close(kq);
}
END_TEST

HARNESS_MAIN("fs_space",
    fs_space__name_space_of_the_first,
    fs_space__name_space_of_an_earlier_revoke,
    fs_space__mounted_by_another_process_forked_child,
    fs_space__child_keeps_a_copy,
    fs_space__ordinary_user,
    fs_space__without_proc_it_is_not_supported,
    fs_space__moved_descriptors,
    fs_space__no_more_descriptors)
